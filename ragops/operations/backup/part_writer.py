"""Takes the parts of a recovery point: services begin one after the other, their parts are stored in parallel."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask, TaskPool, cancel_all, raise_failure
from ragops.adapters.files import make_dir
from ragops.adapters.progress import Progress, make_byte_counter
from ragops.adapters.tail_reader import TailReader
from ragops.errors import IntegrityError
from ragops.recovery.codec import EncodedPart, checksum, encode, file_suffix
from ragops.recovery.manifest import ManifestPart, StoredFile
from ragops.recovery.streams import TeeReader
from ragops.services import SERVICES, backup_engine
from ragops.services.contract import discard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ragops.adapters.streams import ByteReader
    from ragops.operations.platform import Platform
    from ragops.recovery.backup_target import BackupTarget
    from ragops.recovery.draft import Draft
    from ragops.services.contract import Part

_POLL = 0.02
_WATCH_SECONDS = 0.5
_ABANDON_SECONDS = 15.0


class BackupWriter:
    """One run: into `draft`, by way of `folder`; `parts` are those that are done."""

    def __init__(
        self, draft: Draft, vault: BackupTarget, folder: Path, jobs: int, on_progress: Callable[[Progress], None]
    ) -> None:
        self.parts: list[ManifestPart] = []
        self.on_progress = on_progress
        self.limit = TaskPool(jobs)
        self.encrypted = bool(vault.recipients)
        self._draft = draft
        self._vault = vault
        self._folder = folder
        self._stored: set[str] = set()
        self._readings: list[BackgroundTask[Part]] = []
        self._sealing: list[BackgroundTask[EncodedPart]] = []
        self._followed: dict[str, BackgroundTask[EncodedPart]] = {}
        self._abandoned: dict[str, BackgroundTask[EncodedPart]] = {}

    def run(self, platform: Platform, services: Sequence[str], all_begun: Callable[[], None]) -> None:
        """Every part of `services`. `all_begun` is called when the instants of all are fixed. Raises RagopsError."""
        jobs: list[BackgroundTask[None]] = []
        with cancellation.new_run():
            try:
                self._run_dumps(platform, services, all_begun, jobs)
            except BaseException:
                cancel_all([*jobs, *self._readings, *self._sealing])
                raise

    def _run_dumps(
        self,
        platform: Platform,
        services: Sequence[str],
        all_begun: Callable[[], None],
        jobs: list[BackgroundTask[None]],
    ) -> None:
        with self._watched():
            for name in services:
                writer = self.writer_for(name)
                job = BackgroundTask(lambda writer=writer: self._dump(platform, writer), f"ragops-{name}", jobs)  # type: ignore[misc]
                _until(lambda writer=writer, job=job: writer.has_begun or job.is_done, jobs)  # type: ignore[misc]
            all_begun()
            _until(lambda: all(job.is_done for job in jobs), jobs)

    def writer_for(self, service: str) -> ServiceWriter:
        """Return what takes the parts of `service`."""
        return ServiceWriter(self, service, make_dir(self._folder / service, 0o700), self._vault.journal_path(service))

    def in_order(self) -> tuple[ManifestPart, ...]:
        """Return the parts by service in order of dependence, then by name."""
        order = {service.name: number for number, service in enumerate(SERVICES)}
        return tuple(sorted(self.parts, key=lambda part: (order.get(part.service, len(order)), part.name)))

    @contextlib.contextmanager
    def stream_part(self, service: str, source: Path, also: Callable[[bytes], None] = discard) -> Iterator[None]:
        """Put `source` into the repository, and what is read of it into `also`, while the block writes it."""
        name = f"{service}/{source.name}"
        self._await_earlier(name)
        growing = TailReader(source)
        job = BackgroundTask(lambda: self._follow(name, growing, also), f"ragops-seal-{source.name}", self._sealing)
        try:
            yield
        except BaseException:
            growing.abandon()
            if not job.wait(_ABANDON_SECONDS):
                self._abandoned[name] = job
            raise
        growing.finish()
        self._followed[name] = job

    def _await_earlier(self, name: str) -> None:
        """Wait for the thread of an earlier try, which writes the same file."""
        for earlier in (self._followed.pop(name, None), self._abandoned.pop(name, None)):
            while earlier is not None and not earlier.wait(_POLL):
                cancellation.check()

    def store_part(self, service: str, source: Path, read_back: Callable[[], Part], sha256: str) -> Part:
        """Put a file into the repository while its engine reads it, and compare what lies there then."""
        name = f"{service}/{source.name}"
        reading = BackgroundTask(read_back, f"ragops-read-{source.name}", self._readings)
        sealed = self._sealed(name, source)
        if sha256 and sealed.sha256 != sha256.lower():
            what = f"{name} has another checksum than its engine states"
            raise IntegrityError("part_damaged", what, "run it again; a disk or a connection changes what it carries")
        self._compare(name, sealed)
        self.on_progress(Progress(name, "the engine reads it", done=sealed.size, total=sealed.size))
        part = reading.result()
        self.parts.append(
            ManifestPart(
                service=service,
                name=part.name,
                size=sealed.size,
                sha256=sealed.sha256,
                stored=StoredFile(
                    file=source.name + file_suffix(self._vault.recipients),
                    size=sealed.stored_size,
                    sha256=sealed.stored_sha256,
                ),
                counts=dict(part.counts),
                instant=part.instant,
                versions=dict(part.versions),
                notes=part.notes,
            )
        )
        self.on_progress(Progress(name, "stored and read back", final=True, done=sealed.size, total=sealed.size))
        return part

    def _dump(self, platform: Platform, writer: ServiceWriter) -> None:
        endpoint = platform.endpoint(writer.service)
        backup_engine(writer.service).dump(endpoint, platform.control_of(endpoint), writer)

    def _sealed(self, name: str, source: Path) -> EncodedPart:
        """Return what came of it in the repository, begun before or now."""
        followed = self._followed.pop(name, None)
        if followed is None:
            self._await_earlier(name)
            with source.open("rb") as plain:
                return self._seal(name, plain, source.stat().st_size)
        sealed = followed.result()
        if sealed.size != source.stat().st_size:
            raise IntegrityError("part_incomplete", f"{name} grew when it should have been whole", "run it again")
        return sealed

    def _follow(self, name: str, growing: TailReader, also: Callable[[bytes], None]) -> EncodedPart:
        with growing:
            sealed = self._seal(name, TeeReader(growing, also), 0)
        also(b"")
        return sealed

    def _seal(self, name: str, source: ByteReader, total: int) -> EncodedPart:
        tell = make_byte_counter(self.on_progress, name, "storing", total)

        def on_bytes(size: int) -> None:
            cancellation.check()
            tell(size)

        self._stored.add(name)
        with self._draft.open_write(self._path(name)) as target:
            return encode(source, target, self._vault.recipients, on_bytes)

    def _path(self, name: str) -> str:
        return name + file_suffix(self._vault.recipients)

    def _compare(self, name: str, sealed: EncodedPart) -> None:
        """Read it where it lies now: a disk or a server may have taken something else than it was given."""
        with self._draft.open_read(self._path(name)) as stored:
            found = checksum(stored, lambda _size: cancellation.check())
        if found != (sealed.stored_size, sealed.stored_sha256):
            what = f"{self._path(name)} reads back otherwise than it was written"
            raise IntegrityError("read_back_differs", what, "check the disk or server that the repository lies on")

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Tell how files grow that engines write."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_WATCH_SECONDS):
                with contextlib.suppress(OSError):
                    self._tell_sizes()

        watching = BackgroundTask(watch, "ragops-watch")
        try:
            yield
        finally:
            over.set()
            watching.wait(_WATCH_SECONDS)

    def _tell_sizes(self) -> None:
        for path in self._folder.glob("*/*"):
            name = f"{path.parent.name}/{path.name}"
            if name not in self._stored:
                self.on_progress(Progress(name, "taking", done=path.stat().st_size))


class ServiceWriter:
    """`PartWriter` of one service."""

    def __init__(self, writer: BackupWriter, service: str, folder: Path, journal: Path) -> None:
        self.service = service
        self.folder = folder
        self.journal = journal
        self.encrypted = writer.encrypted
        self._writer = writer
        self._begun = threading.Event()

    @property
    def has_begun(self) -> bool:
        """Whether the instant of its parts is fixed."""
        return self._begun.is_set()

    def snapshot_fixed(self) -> None:
        """Let what has to come after this service begin."""
        self._begun.set()

    def run_all(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run all within the limit of the run."""
        self._writer.limit.run_all(tasks)

    def stream(self, name: str, also: Callable[[bytes], None] = discard) -> AbstractContextManager[None]:
        """Store the file while it is written."""
        return self._writer.stream_part(self.service, self.folder / name, also)

    def store(self, name: str, read_back: Callable[[], Part], sha256: str = "") -> Part:
        """Store and read back, then remove the file."""
        path = self.folder / name
        part = self._writer.store_part(self.service, path, read_back, sha256)
        path.unlink()
        return part


def _until(condition: Callable[[], bool], jobs: Sequence[BackgroundTask[None]]) -> None:
    """Wait, unless one of the jobs fails. Raises what it failed with."""
    while True:
        met = condition()
        raise_failure(jobs)  # after it: one that fails in between has ended too
        if met:
            return
        cancellation.sleep(_POLL)
