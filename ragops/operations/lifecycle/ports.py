"""Free ports of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragops.adapters.ports import is_free
from ragops.config.model import find_ports
from ragops.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

_TRIES = 200


def _usual(port: int) -> int:
    return port


def free_ports(
    values: Mapping[str, Any], taken: Collection[int] = (), first: Callable[[int], int] = _usual
) -> dict[str, int]:
    """For every key of a port (`service.key`) that the values of a ragops.yaml lead to: a port that is free.

    It is the next from `first` of the one there now on which is none of `taken`, with all ports that follow from it.
    Raises MissingError (no_free_port).
    """
    chosen: dict[str, int] = {}
    gone = set(taken)
    for (service, key), now in find_ports(values).items():
        if "," not in key:
            found = _free(values, service, key, first(now), gone)
            chosen[f"{service}.{key}"] = found[0]
            gone |= {*found}
    return chosen


def _free(values: Mapping[str, Any], service: str, key: str, first: int, taken: set[int]) -> list[int]:
    """Return the first port from `first` on that is free with all that follow from it, and those."""
    for port in range(first, first + _TRIES):
        section = {**(values.get(service) or {}), key: port}
        wanted = find_ports({**values, service: section})
        ports = [found for (owner, what), found in wanted.items() if owner == service and what.partition(",")[0] == key]
        if not taken & {*ports} and all(map(is_free, ports)):
            return ports
    raise MissingError("no_free_port", f"ports {first} to {first + _TRIES - 1} are all taken", "free one of them")
