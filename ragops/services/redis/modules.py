"""The modules that an image of Redis brings (JSON, search, time series, Bloom filters) and how a server loads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = "/usr/local/lib/redis/modules"

# Becomes the server with the configuration $1 and every module of the image; the official entry point does the same.
WITH_MODULES = f"""conf=$1; shift
for module in {FOLDER}/*.so; do [ ! -e "$module" ] || set -- "$@" --loadmodule "$module"; done
exec redis-server "$conf" "$@\""""


def by_hand(loaded: Iterable[Mapping[Any, Any]]) -> list[str]:
    """Modules of the live server (the answer to MODULE LIST) that no other server of this platform would have.

    One without the path of a file is part of the engine itself.
    """
    found = [{_text(key): _text(value) for key, value in module.items()} for module in loaded]
    return [
        module["name"]
        for module in found
        if "/" in module.get("path", "") and not module["path"].startswith((f"{FOLDER}/", "/usr/lib/redis/modules/"))
    ]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
