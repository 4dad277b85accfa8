"""Takes the parts of a recovery point: services begin one after the other, their parts are stored in parallel.

What an engine writes goes straight to the encoder and, in the same blocks, to the engine's own check of it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask, TaskPool, cancel_all, raise_failure
from ragops.adapters.files import make_dir
from ragops.adapters.progress import Progress, make_byte_counter
from ragops.errors import IntegrityError
from ragops.recovery.codec import EncodedPart, checksum, encode, file_suffix
from ragops.recovery.manifest import ManifestPart, StoredFile
from ragops.recovery.streams import TeeReader
from ragops.services import SERVICES, backup_engine
from ragops.services.contract import discard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ragops.adapters.progress import OnProgress
    from ragops.adapters.streams import ByteReader
    from ragops.operations.session import Platform
    from ragops.recovery.point import Draft
    from ragops.recovery.repositories import Repositories
    from ragops.services.contract import Part

_POLL = 0.02
_READ_GRACE = 5.0


class BackupWriter:
    """One run: into `draft`, by way of `folder`; `parts` are those that are done."""

    def __init__(self, draft: Draft, repos: Repositories, folder: Path, jobs: int, on_progress: OnProgress) -> None:
        self.parts: list[ManifestPart] = []
        self.on_progress = on_progress
        self.limit = TaskPool(jobs)
        self.encrypted = bool(repos.recipients)
        self._draft = draft
        self._repos = repos
        self._folder = folder
        self._readings: list[BackgroundTask[Part]] = []

    def run(self, platform: Platform, services: Sequence[str], all_begun: Callable[[], None]) -> None:
        """Every part of `services`. `all_begun` is called when the instants of all are fixed. Raises RagopsError."""
        jobs: list[BackgroundTask[None]] = []
        with cancellation.new_run():
            try:
                self._run_dumps(platform, services, all_begun, jobs)
            except BaseException:
                cancel_all([*jobs, *self._readings])
                raise

    def _run_dumps(
        self,
        platform: Platform,
        services: Sequence[str],
        all_begun: Callable[[], None],
        jobs: list[BackgroundTask[None]],
    ) -> None:
        for name in services:
            writer = self.writer_for(name)
            job = BackgroundTask(lambda writer=writer: self._dump(platform, writer), f"ragops-{name}", jobs)  # type: ignore[misc]
            _until(lambda writer=writer, job=job: writer.has_begun or job.is_done, jobs)  # type: ignore[misc]
        all_begun()
        _until(lambda: all(job.is_done for job in jobs), jobs)

    def writer_for(self, service: str) -> ServiceWriter:
        """Return what takes the parts of `service`."""
        return ServiceWriter(self, service, make_dir(self._folder / service, 0o700), self._repos.journal_path(service))

    def in_order(self) -> tuple[ManifestPart, ...]:
        """Return the parts by service in order of dependence, then by name."""
        order = {service.name: number for number, service in enumerate(SERVICES)}
        return tuple(sorted(self.parts, key=lambda part: (order.get(part.service, len(order)), part.name)))

    def store_part(
        self,
        service: str,
        name: str,
        source: ByteReader,
        read_back: Callable[[], Part],
        also: Callable[[bytes], None],
        sha256: Callable[[], str],
    ) -> Part:
        """Encode `source` into the repository while its engine reads it, and compare what lies there then."""
        path = f"{service}/{name}"
        with cancellation.new_run() as run:
            reading = BackgroundTask(read_back, f"ragops-read-{name}", self._readings)
            try:
                encoded = self._encode(path, source, also, reading)
                self._compare(path, encoded, sha256())
                self.on_progress(Progress(path, "the engine reads it", done=encoded.size, total=encoded.size))
                part = reading.result()
            except BaseException:
                run.cancel()  # it would wait for the rest
                reading.wait(_READ_GRACE)
                raise
        self.parts.append(self._describe(service, part, encoded))
        self.on_progress(Progress(path, "stored and read back", final=True, done=encoded.size, total=encoded.size))
        return part

    def _describe(self, service: str, part: Part, encoded: EncodedPart) -> ManifestPart:
        stored = StoredFile(
            file=part.name + file_suffix(self._repos.recipients),
            size=encoded.stored_size,
            sha256=encoded.stored_sha256,
        )
        return ManifestPart(
            service=service,
            name=part.name,
            size=encoded.size,
            sha256=encoded.sha256,
            stored=stored,
            counts=dict(part.counts),
            instant=part.instant,
            versions=dict(part.versions),
            notes=part.notes,
        )

    def _dump(self, platform: Platform, writer: ServiceWriter) -> None:
        endpoint = platform.endpoint(writer.service)
        backup_engine(writer.service).dump(endpoint, platform.control_of(endpoint), writer)

    def _encode(
        self, path: str, source: ByteReader, also: Callable[[bytes], None], reading: BackgroundTask[Part]
    ) -> EncodedPart:
        count = make_byte_counter(self.on_progress, path, "storing", 0)

        def on_bytes(size: int) -> None:
            cancellation.check()
            raise_failure([reading])
            count(size)

        with self._draft.open_write(self._path(path)) as target:
            encoded = encode(TeeReader(source, also), target, self._repos.recipients, on_bytes)
        also(b"")
        return encoded

    def _path(self, name: str) -> str:
        return name + file_suffix(self._repos.recipients)

    def _compare(self, path: str, encoded: EncodedPart, sha256: str) -> None:
        """Read it where it lies now: a disk or a server may have taken something else than it was given."""
        if sha256 and encoded.sha256 != sha256.lower():
            what = f"cannot store {path}: it has another checksum than its engine states"
            raise IntegrityError("part_damaged", what, "run it again; a disk or a connection changes what it carries")
        with self._draft.open_read(self._path(path)) as stored:
            found = checksum(stored, lambda _size: cancellation.check())
        if found != (encoded.stored_size, encoded.stored_sha256):
            what = f"cannot store {self._path(path)}: it reads back otherwise than it was written"
            raise IntegrityError("read_back_differs", what, "check the disk or server that the repository lies on")


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

    def store(
        self,
        name: str,
        source: ByteReader,
        read_back: Callable[[], Part],
        also: Callable[[bytes], None] = discard,
        sha256: Callable[[], str] = lambda: "",
    ) -> Part:
        """Store and read back."""
        return self._writer.store_part(self.service, name, source, read_back, also, sha256)


def _until(condition: Callable[[], bool], jobs: Sequence[BackgroundTask[None]]) -> None:
    """Wait, unless one of the jobs fails. Raises what it failed with."""
    while True:
        met = condition()
        raise_failure(jobs)  # after it: one that fails in between has ended too
        if met:
            return
        cancellation.sleep(_POLL)
