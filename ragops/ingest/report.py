"""The result of an ingestion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class FailedDocument:
    """A file that has no chunks of its present content, or a folder that could not be read."""

    path: str
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """A file or folder (with `/` at its end) that a rule leaves out."""

    path: str
    reason: str


@dataclass(frozen=True)
class RefusedChunk:
    """A chunk that the embedder does not take: path and position of it; the rest of its document is stored."""

    path: str
    position: int
    reason: str


@dataclass(frozen=True)
class Refusal:
    """Why a whole collection was left as it was."""

    code: str
    message: str
    hint: str
    exit_code: ExitCode


@dataclass(frozen=True)
class CollectionReport:
    """One collection: documents by what became of them, chunks written, points it has now, seconds by stage.

    `unchanged` counts documents out of reach too: their folder could not be read, `failed` names it. `repaired` is how
    many points and documents were mended that an earlier run or a restore had left without their counterpart.
    """

    name: str
    added: int = 0
    changed: int = 0
    moved: int = 0
    deleted: int = 0
    unchanged: int = 0
    failed: tuple[FailedDocument, ...] = ()
    refused_chunks: tuple[RefusedChunk, ...] = ()
    chunks: int = 0
    points: int = 0
    repaired: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    total_seconds: float = 0.0
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    left_out_counts: Mapping[str, int] = field(default_factory=dict)
    skipped: bool = False
    refused: Refusal | None = None

    @property
    def files(self) -> int:
        """How many files were looked at."""
        return self.added + self.changed + self.moved + self.unchanged + len(self.failed)

    @property
    def shortfall(self) -> str:
        """What could not be stored, as text; empty if all was."""
        parts = [f"{len(self.failed)} files have no chunks"] if self.failed else []
        if self.refused_chunks:
            parts.append(f"{len(self.refused_chunks)} chunks were refused by the embedder")
        return ", ".join(parts)


@dataclass(frozen=True)
class IngestReport:
    """All collections in the order of their names, and which embedder made the vectors."""

    embedder: str
    collections: tuple[CollectionReport, ...]
    seconds: float

    @property
    def exit_code(self) -> ExitCode:
        """DONE if every file has its chunks; that of the first refused collection, else FAILED."""
        refused = [one.refused.exit_code for one in self.collections if one.refused]
        if refused:
            return refused[0]
        return ExitCode.FAILED if any(one.shortfall for one in self.collections) else ExitCode.DONE
