"""The progress of a pull: what Docker reports of every layer, added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = ("Already exists", "Pull complete")
_LOADED = ("Download complete", "Verifying Checksum", "Extracting", *_HERE)


@dataclass(frozen=True)
class PullProgress:
    """The progress of a pull: bytes downloaded of those known so far, layers in place of all."""

    reference: str
    done: int
    total: int
    layers_done: int
    layers: int


@dataclass
class _Layer:
    done: int = 0
    total: int = 0
    here: bool = False


class PullState:
    """Adds up the events of one image, those of a repeated attempt included."""

    def __init__(self, reference: str) -> None:
        self._reference = reference
        self._layers: dict[str, _Layer] = {}

    def feed(self, event: Mapping[str, Any]) -> bool:
        """Take in one event of the API; returns whether the progress changed."""
        status, name = str(event.get("status", "")), str(event.get("id", ""))
        if not name or status.startswith(("Pulling from", "Digest", "Status")):
            return False
        before = self.progress
        layer = self._layers.setdefault(name, _Layer())
        detail = event.get("progressDetail") or {}
        if status == "Downloading":
            layer.total = max(layer.total, int(detail.get("total") or 0))
            layer.done = max(layer.done, int(detail.get("current") or 0))
        elif status.startswith(_LOADED):
            layer.done = layer.total
            layer.here = layer.here or status.startswith(_HERE)
        return self.progress != before

    @property
    def progress(self) -> PullProgress:
        """Return the current progress."""
        layers = self._layers.values()
        return PullProgress(
            self._reference,
            sum(layer.done for layer in layers),
            sum(layer.total for layer in layers),
            sum(layer.here for layer in layers),
            len(self._layers),
        )
