"""Small JSON files in which ragops keeps its own state.

All of them follow one rule: they can be missed. A file that is missing, unreadable or damaged counts as none, and the
next write replaces it whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ragops.adapters.files import SECRET_MODE, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import TypeAdapter

T = TypeVar("T")


@dataclass(frozen=True)
class StateFile(Generic[T]):
    """The JSON file `path` with a value of the type `model`: a dataclass, a pydantic model, or a mapping of them.

    Keys that this version does not have are ignored, so that files of a newer one stay readable.
    """

    path: Path
    model: type[T]
    mode: int = SECRET_MODE

    def read(self) -> T | None:
        """Return the value; None if the file is missing, unreadable or damaged."""
        try:
            return self.read_strictly()
        except (OSError, ValueError, RecursionError):
            return None

    def read_strictly(self) -> T:
        """Return the value. Raises OSError (missing, unreadable), ValueError (damaged)."""
        return self._adapter().validate_json(self.path.read_bytes())

    def write(self, value: T) -> None:
        """Replace the file, in one step. Raises MissingError (disk_full), RagopsError (not_permitted, file_error)."""
        write_atomic(self.path, self._adapter().dump_json(value, indent=2) + b"\n", self.mode)

    def remove(self) -> None:
        """Remove the file if there is one. Raises OSError."""
        self.path.unlink(missing_ok=True)

    def _adapter(self) -> TypeAdapter[T]:
        from pydantic import TypeAdapter

        if self.model not in _adapters:
            _adapters[self.model] = TypeAdapter(self.model)
        return _adapters[self.model]


_adapters: dict[Any, TypeAdapter[Any]] = {}
