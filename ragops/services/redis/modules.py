"""The modules that an image of Redis brings (JSON, search, time series, Bloom filters) and how a server loads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FOLDER = "/usr/local/lib/redis/modules"

# Becomes the server with the configuration $1 and every module of the image; the official entry point does the same.
WITH_MODULES = f"""conf=$1; shift
for module in {FOLDER}/*.so; do [ ! -e "$module" ] || set -- "$@" --loadmodule "$module"; done
exec redis-server "$conf" "$@\""""


def by_hand(loaded: Iterable[Mapping[Any, Any] | Sequence[Any]]) -> list[str]:
    """Modules of the live server (the answer to MODULE LIST) that no other server of this platform would have.

    One without the path of a file is part of the engine itself.
    """
    found = [{_text(key): _text(value) for key, value in _pairs(module)} for module in loaded]
    return [
        module["name"]
        for module in found
        if "/" in module.get("path", "") and not module["path"].startswith((f"{FOLDER}/", "/usr/lib/redis/modules/"))
    ]


def _pairs(module: Mapping[Any, Any] | Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    """Names and values, whichever way the protocol has them."""
    return module.items() if isinstance(module, Mapping) else zip(module[::2], module[1::2], strict=True)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
