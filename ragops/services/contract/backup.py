"""Dump, verify and restore: the parts of a recovery point and the engine that writes and reads them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from ragops.adapters.streams import ByteReader
    from ragops.services.contract.endpoint import Endpoint
    from ragops.services.control import Control


@dataclass(frozen=True)
class Part:
    """One file of a recovery point as its engine wrote it.

    `counts` are items by kind (rows by table, keys), taken so that they are true of the file; `instant` is when the
    data were as they are in the file; `versions` are those of engine and extensions. `notes` are messages for the user:
    what of the service cannot be in the file, and what a restore does differently.
    """

    name: str
    instant: datetime
    counts: Mapping[str, int]
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()


class Extent(StrEnum):
    """How much of a recovery point was proven, least first."""

    READ = "read"
    SAMPLED = "sampled"
    RESTORED = "restored"


@dataclass(frozen=True)
class Proof:
    """What was really proven of all parts of one service.

    RESTORED: the engine has restored all of them, and every count is what is in the manifest. SAMPLED: it has restored
    the schema and the kinds (tables) in `proven`, whose counts are right; `left` are those that the budget had no time
    for. READ: the engine has read every byte and restored nothing; `detail` is the reason. `notes` are for the user,
    `seconds` is the duration.
    """

    extent: Extent
    detail: str
    seconds: float = 0.0
    proven: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def discard(_block: bytes) -> None:
    """Ignore a block of bytes."""


class PartWriter(Protocol):
    """Where the backup of one service writes its parts.

    `folder` is for files that the engine reads, `journal` a file that outlives a killed run, for notes on what it
    would leave elsewhere. `encrypted`: only the owner of an identity can read what is stored; nothing
    else may hold a secret. Every method may be called by several threads.
    """

    folder: Path
    journal: Path
    encrypted: bool

    def snapshot_fixed(self) -> None:
        """Report that the point in time of all parts is fixed: services that come later may begin."""

    def run_all(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run all, several at once within the limit of the run. Raises the first failure, others are not begun then."""

    def store(
        self,
        name: str,
        source: ByteReader,
        read_back: Callable[[], Part],
        also: Callable[[bytes], None] = discard,
        sha256: Callable[[], str] = lambda: "",
    ) -> Part:
        """Put all of `source` into the repository as the part `name`, and return the part.

        `also` gets the same bytes in blocks, the last one empty. `read_back` runs in parallel, in its own thread: it
        has the engine read them and returns their description. Raises what `source` and `read_back` raise, and
        IntegrityError (part_damaged) if the checksum is not the one that the engine has stated, if any, which `sha256`
        returns after the last byte of `source`. If it fails it may be called again for the same part.
        """


class BackupEngine(Protocol):
    """Dump, verify and restore of one service, together: what `verify` accepts, `restore` brings back."""

    def dump(self, endpoint: Endpoint, control: Control, writer: PartWriter) -> None:
        """Give every part to `writer`, each read back by the engine, so that success means it was read back.

        Raises RagopsError; leaves nothing behind on the server, nor what an earlier run that was killed left there.
        """

    def verify(self, folder: Path, part: Part, control: Control) -> None:
        """Read the part with the engine that wrote it, as a restore would; raises IntegrityError if it is not whole.

        `control` may be of a service that is down.
        """

    def prove(
        self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part], budget: float = 0.0
    ) -> Proof:
        """Restore the parts away from the live data, as far as `budget` seconds (0: no limit) go, and compare counts.

        Nothing that is live is changed, and nothing is left. Which kinds are taken first if not all can be changes
        from day to day, so that each has had its turn after seven. Raises IntegrityError if a restore of them would
        fail, or has other counts.
        """

    def preflight(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> None:
        """Refuse, before anything is touched, what cannot be restored here (versions, rights, space, capabilities)."""

    def restore(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> tuple[str, ...]:
        """Replace the service's data by the parts' and compare the counts, whether the service was up or down before.

        Returns notes for the user, such as where the old data are kept; a NotRestored for each object that is missing
        although all rows are back. A failure leaves the old data serving or set
        aside, never lost; a run that was killed is completed by the next one. Raises IntegrityError on other counts.
        """

    def counts(self, endpoint: Endpoint) -> Mapping[str, int]:
        """Items by kind that the live service holds now, in the terms of `Part.counts`."""


class NotRestored(str):
    """Words on an object that could not be made again, such as an index: the restore is done, but not complete."""

    __slots__ = ()
