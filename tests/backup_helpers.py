"""Recovery points for tests: a writer that keeps every file, repositories in folders, and forgers who have the key."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ragops.adapters.background import BackgroundTask, TaskPool
from ragops.adapters.storage import FileEntry
from ragops.adapters.storage.folder import FolderStore
from ragops.config.load import load
from ragops.errors import StoreMissingError
from ragops.operations.backup import create
from ragops.operations.lifecycle.init import init
from ragops.operations.records.restore_journal import RestoreJournal
from ragops.operations.restore import restore as restoring
from ragops.operations.session import Session
from ragops.recovery.codec import encode, file_suffix
from ragops.recovery.manifest import FILE_NAME, FORMAT, Kind, Manifest, ManifestPart, StoredFile, parse, sign_manifest
from ragops.recovery.repositories import Repositories
from ragops.recovery.repository import Repository
from ragops.services.contract import discard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from ragops.adapters.streams import ByteReader
    from ragops.operations.session import Platform
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.signing import SigningKey
    from ragops.services.contract import BackupEngine, Endpoint, Part
    from ragops.services.control import Control


class KeepingWriter:
    """`PartWriter` that leaves every file in `folder`: what is dumped can be verified and restored from there."""

    encrypted = False

    def __init__(self, folder: Path, journal: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.journal = journal or folder.with_name(f"{folder.name}.journal")
        self.parts: list[Part] = []
        self.stated: dict[str, str] = {}
        self.has_begun = False

    def snapshot_fixed(self) -> None:
        self.has_begun = True

    def run_all(self, tasks: Sequence[Callable[[], None]]) -> None:
        TaskPool(2).run_all(tasks)

    def store(
        self,
        name: str,
        source: ByteReader,
        read_back: Callable[[], Part],
        also: Callable[[bytes], None] = discard,
        sha256: Callable[[], str] = lambda: "",
    ) -> Part:
        reading = BackgroundTask(read_back)
        with self._new(name) as target:
            while block := source.read(1 << 16):
                target.write(block)
                also(block)
        also(b"")
        if digest := sha256():
            self.stated[name] = digest
        part = reading.result()
        assert part.name == name
        self.parts.append(part)
        return part

    @contextlib.contextmanager
    def _new(self, name: str) -> Iterator[BinaryIO]:
        """A file that was not there before; gone again if it is not written to its end, since it may be tried again."""
        path = self.folder / name
        with path.open("xb") as target:
            try:
                yield target
            except BaseException:
                path.unlink()
                raise


def dump(
    engine: BackupEngine, endpoint: Endpoint, control: Control, folder: Path, journal: Path | None = None
) -> tuple[Part, ...]:
    """Have `engine` dump into `folder`; its parts by name."""
    writer = KeepingWriter(folder, journal)
    engine.dump(endpoint, control, writer)
    assert writer.has_begun, "nothing that comes after this service would ever begin"
    return tuple(sorted(writer.parts, key=lambda part: part.name))


# --- repositories ---------------------------------------------------------------------------------------------------


def open_repositories(folder: Path, *copies: Path, environment: str = "default", **named: Any) -> Repositories:
    """Repositories in `folder`/backups and `copies`, all else beside it."""
    places = (folder / "backups", *copies)
    return Repositories(
        members=tuple(Repository(FolderStore(place), environment, folder / "cache") for place in places),
        staging=folder / "staging",
        signing_key_file=folder / "signing.pem",
        **named,
    )


def session_in(folder: Path, backup: str = "") -> Session:
    """A new project with more lines in its section `backup:`, which nothing was done with yet."""
    init(folder, "rag", "embedded")
    config = folder / "ragops.yaml"
    config.write_text(config.read_text().replace("backup:\n", f"backup:\n{backup}", 1))
    return Session(load(config, None, {}), "test", lambda _text: None)


def take(platform: Platform, repos: Repositories, **named: Any) -> RecoveryPoint:
    """A recovery point, as `ragops backup run` takes it."""
    return create.run(platform, repos, **named).point


def journal_of(repos: Repositories) -> RestoreJournal:
    """The note on a restore that is under way."""
    return RestoreJournal(repos.staging.parent / "restore.json")


def restore(
    request: restoring.RestoreRequest, platform: Platform, repos: Repositories, **named: Any
) -> restoring.RestoreResult:
    """As `ragops restore` does it."""
    return restoring.restore(request, platform, repos, journal_of(repos), **named)


def files_of(folder: Path) -> list[str]:
    """Every file below, temporary ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def nothing_left(repos: Repositories) -> bool:
    """Whether no repository holds a file, and nothing is on its way; notes for the next run may be there."""
    places = [repository.store.folder for repository in repos.members]  # type: ignore[attr-defined]
    on_its_way = [name for name in files_of(repos.staging) if not name.startswith("journal/")]
    return not any(files_of(place) for place in places) and not on_its_way


# --- recovery points without engines ---------------------------------------------------------------------------------


class MemoryStore:
    """`Store` in memory that counts how often each file is read; `on_write` may fail before one is in place."""

    is_remote = True
    has_atomic_replace = False

    def __init__(self, name: str = "memory://x", on_write: Callable[[str], None] = lambda _path: None) -> None:
        self.name = name
        self.files: dict[str, bytes] = {}
        self.reads: Counter[str] = Counter()
        self.removed: list[str] = []
        self.on_write = on_write
        self._turn = threading.Lock()

    @contextlib.contextmanager
    def open_write(self, path: str) -> Iterator[BinaryIO]:
        stream = io.BytesIO()
        yield stream
        self.on_write(path)
        with self._turn:
            self.files[path] = stream.getvalue()

    @contextlib.contextmanager
    def open_read(self, path: str) -> Iterator[BinaryIO]:
        with self._turn:
            self.reads[path] += 1
            content = self.files.get(path)
        if content is None:
            raise StoreMissingError("repository_file_missing", f"there is no {path}")
        yield io.BytesIO(content)

    def read_all(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        with self._turn:
            wanted = list(paths)
            self.reads.update(wanted)
            return {path: self.files[path] for path in wanted if path in self.files}

    def list_entries(self, prefix: str = "") -> list[FileEntry]:
        start = f"{prefix.strip('/')}/" if prefix else ""
        with self._turn:
            found = sorted((path, content) for path, content in self.files.items() if path.startswith(start))
        return [FileEntry(path, len(content), hashlib.md5(content).hexdigest()) for path, content in found]

    def list_folders(self, prefix: str = "") -> list[str]:
        start = f"{prefix.strip('/')}/" if prefix else ""
        with self._turn:
            inner = [path.removeprefix(start) for path in self.files if path.startswith(start)]
        return sorted({path.partition("/")[0] for path in inner if "/" in path})

    def remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            with self._turn:
                if self.files.pop(path, None) is not None:
                    self.removed.append(path)

    def free_bytes(self) -> int | None:
        return None

    def clear_leftovers(self) -> None:
        """It has none."""


def put_point(
    repository: Repository,
    key: SigningKey,
    contents: Mapping[str, bytes] | None = None,
    *,
    sequence: int = 1,
    created: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    kind: Kind = Kind.BACKUP,
    ident: str = "",
    recipients: tuple[str, ...] = (),
    unhealthy: tuple[str, ...] = (),
    schema_digest: str = "",
    versions: Mapping[str, str] | None = None,
) -> RecoveryPoint:
    """Write a recovery point of `contents` by `service/name` as it lies in a repository, without a lock."""
    ident = ident or f"{created:%Y%m%dT%H%M%SZ}-{sequence:06x}"
    home = f"{repository.environment}/{ident}"
    parts = []
    for path, content in (contents or {"redis/dump.rdb": b"content"}).items():
        service, _, name = path.partition("/")
        file = name + file_suffix(recipients)
        with repository.store.open_write(f"{home}/{service}/{file}") as target:
            sealed = encode(io.BytesIO(content), target, recipients)
        stored_as = StoredFile(file=file, size=sealed.stored_size, sha256=sealed.stored_sha256)
        parts.append(
            ManifestPart(
                service=service, name=name, size=sealed.size, sha256=sealed.sha256, stored=stored_as,
                counts={"keys": len(content)}, instant=created, versions=dict(versions or {"valkey": "9.1.2"}),
            )
        )  # fmt: skip
    manifest = Manifest(
        format=FORMAT, id=ident, sequence=sequence, kind=kind, created=created, platform="p",
        environment=repository.environment, runtime="embedded", ragops="0.1.0", duration=1.5,
        recipients=recipients, parts=tuple(parts), unhealthy=unhealthy, schema_digest=schema_digest,
    )  # fmt: skip
    content = sign_manifest(manifest, key)
    with repository.store.open_write(f"{home}/{FILE_NAME}") as stream:
        stream.write(content)
    return repository.open_point(parse(content, home))


# --- recovery points as they lie there -------------------------------------------------------------------------------


def folder_of(point: RecoveryPoint) -> Path:
    """Its folder, in a store that is one."""
    found: Path = point.store.folder / point.path  # type: ignore[attr-defined]
    return found


def part_of(point: RecoveryPoint, path: str) -> ManifestPart:
    """Its part called `path`."""
    (found,) = [part for part in point.manifest.parts if part.path == path]
    return found


def stored(point: RecoveryPoint, path: str) -> Path:
    """The file that lies in the repository for the part called `path`."""
    return folder_of(point) / part_of(point, path).stored_path


def unpack(repos: Repositories, point: RecoveryPoint, service: str, folder: Path) -> Path:
    """The parts of `service` as its engine wrote them, in the new folder `folder`."""
    folder.mkdir(parents=True)
    for part in point.manifest.parts_of(service):
        point.fetch(part, folder / part.name, repos.load_identities(point))
    return folder


def damage(path: Path, how: str) -> None:
    """Flip a byte in the middle of a file, cut its end off, or remove it."""
    content = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[:-20])
    else:
        assert how == "flipped"
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)


# --- forgers who have the project's key ------------------------------------------------------------------------------


def forge(repos: Repositories, point: RecoveryPoint, change: Callable[[dict[str, Any]], None]) -> None:
    """Let `change` have the manifest's values, and sign what comes of it with the project's own key."""
    values = json.loads(point.manifest.model_dump_json())
    change(values)
    content = sign_manifest(Manifest.model_validate_json(json.dumps(values)), repos.signing_key())
    (folder_of(point) / FILE_NAME).write_bytes(content)


def forge_part(repos: Repositories, point: RecoveryPoint, path: str, content: bytes) -> None:
    """Put other content in the place of a part, all checksums and the signature right."""
    part = part_of(point, path)
    plain = repos.staging.parent / "forged"
    plain.write_bytes(content)
    with plain.open("rb") as source, (folder_of(point) / part.stored_path).open("wb") as target:
        sealed = encode(source, target, repos.recipients)
    assert part.stored.file.endswith(file_suffix(repos.recipients))

    def change(values: dict[str, Any]) -> None:
        (found,) = [item for item in values["parts"] if f"{item['service']}/{item['name']}" == path]
        found["size"], found["sha256"] = sealed.size, sealed.sha256
        found["stored"] = {**found["stored"], "size": sealed.stored_size, "sha256": sealed.stored_sha256}

    forge(repos, point, change)


def forge_counts(repos: Repositories, point: RecoveryPoint, path: str, **counts: int) -> None:
    """State other counts of a part."""

    def change(values: dict[str, Any]) -> None:
        (found,) = [item for item in values["parts"] if f"{item['service']}/{item['name']}" == path]
        found["counts"] = {**found["counts"], **counts}

    forge(repos, point, change)
