"""What can be read of damaged data: tried on copies with the engine's own programs, whatever becomes of the service.

Increments are cut at the first fault by the engine's own tool (`--fix`), one file after the other: with a manifest
Valkey 9 takes a good base for a bad one and would cut that. A base cannot be cut; a snapshot of its own may be whole.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from shutil import disk_usage
from tempfile import gettempdir
from typing import TYPE_CHECKING

from ragops.adapters.files import explain_os_error
from ragops.adapters.temp_dirs import private_temp_dir
from ragops.errors import IntegrityError, RagopsError
from ragops.services.backup_checks import need_space
from ragops.services.redis.aof import FOLDER, MANIFEST, AofFile, Chain, chain, find_command, last_time
from ragops.services.redis.backup import PART
from ragops.services.redis.scratch_server import open_scratch_server, run_scratch_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ragops.services.control import Control, DataFile, Sandbox

_LIMIT = 3600.0
_ANALYZED = re.compile(r"AOF analyzed: .*?size=(\d+), ok_up_to=(\d+)")
_UNKNOWN = (  # Redis, Valkey
    re.compile(r"Unknown command '(?P<name>.*?)' reading the append only file (?P<file>\S+?)[\s:]*$", re.MULTILINE),
    re.compile(r"Error reading the append only file (?P<file>\S+), error: unknown command '(?P<name>.*?)'"),
)
_TRIES = 20  # unknown commands that are cut off one after the other


@dataclass(frozen=True)
class Repaired:
    """Data that the engine reads, made from damaged ones: `rdb` holds `counts`.

    `faults` are what was wrong, if anything; `source` describes the source of the data. They are
    true of `instant`; `seconds` and `size` (bytes) are what was written after it and is lost.
    """

    rdb: Path
    counts: Mapping[str, int]
    source: str
    faults: tuple[str, ...]
    instant: datetime
    seconds: float
    size: int


@contextmanager
def rescue(control: Control, engine: str) -> Iterator[Repaired]:
    """Rescue the most that can be read of the data of the stopped service; the copy is gone when the block ends.

    Nothing of the service is changed. Raises MissingError (disk_full), IntegrityError (not_repairable).
    """
    files = control.data_files()
    size = sum(file.size for file in files.values())
    need_space("repair redis", f"in {gettempdir()}", disk_usage(gettempdir()).free, 3 * size)
    need_space("repair redis", "next to its data", control.free_bytes(), 3 * size)
    try:
        with private_temp_dir() as ours:
            yield _Attempt(control, engine, files, ours).best()
    except OSError as error:
        raise explain_os_error(error, "repair a copy of the data of redis") from error


class _Attempt:
    """One look at a data folder; `ours` takes the copies."""

    def __init__(self, control: Control, engine: str, files: Mapping[str, DataFile], ours: Path) -> None:
        self._control = control
        self._engine = engine
        self._files = files
        self._ours = ours
        self._faults: list[str] = []
        self._based = False  # whether the append-only files have a base that can be read

    def best(self) -> Repaired:
        """Read append-only files up to the first fault, or the snapshot if it is younger or the only one."""
        found = chain(self._manifest(), self._files)
        aof = self._from_aof(found) if found.base or found.increments else None
        if aof and not self._faults:
            return aof
        snapshot = self._from_snapshot()
        ways = [way for way in (aof, snapshot) if way]
        if not ways:
            raise IntegrityError(
                "not_repairable",
                f"cannot repair redis: nothing of its data can be read: {'; '.join(self._faults) or 'there are none'}",
                "bring back a recovery point: `ragops restore latest --service redis`",
            )
        whole = [way for way in ways if way is snapshot or self._based] or ways
        best = max(whole, key=lambda way: way.instant)
        return replace(best, faults=tuple(dict.fromkeys(self._faults)))

    def _manifest(self) -> str | None:
        if MANIFEST not in self._files:
            return None
        return self._copy(MANIFEST).read_text(errors="replace")

    def _copy(self, name: str) -> Path:
        """Return the file itself if this machine has access to it: nothing here writes to it."""
        if self._control.local_data:
            return self._control.local_data / name
        target = self._ours / name.replace("/", "--")
        if not target.exists():
            self._control.get_data_file(name, target)
        return target

    # --- append-only files ---------------------------------------------------------------------------------------

    def _from_aof(self, found: Chain) -> Repaired | None:
        self._faults += found.faults
        with self._control.sandbox() as sandbox:
            base = found.base if found.base and self._good_base(sandbox, found.base) else None
            self._based = base is not None
            kept = self._cut(sandbox, found.increments)
            if not base and not sum(kept.values()):
                return None
            rdb = self._load(sandbox, base, kept)
            if rdb is None:
                return None
            lost = self._size(found.increments) + self._size(found.cut) - sum(kept.values())
            lost += self._files[found.base.path].size if found.base and not base else 0
            return self._result(rdb, self._words(base, kept), self._instant(base, kept, lost), lost)

    def _good_base(self, sandbox: Sandbox, base: AofFile) -> bool:
        sandbox.put(self._copy(base.path), base.path, changing=True)
        if base.path.endswith(".aof"):
            return self._fix(sandbox, base) == self._files[base.path].size
        try:
            sandbox.output((f"{self._engine}-check-rdb", f"{sandbox.folder}/{base.path}"), _LIMIT)
        except RagopsError as error:
            if error.code != "tool_failed":
                raise
            self._faults.append(f"{base.path} is damaged, and no part of a base can be read")
            return False
        return True

    def _cut(self, sandbox: Sandbox, increments: tuple[AofFile, ...]) -> dict[AofFile, int]:
        """How many bytes of which increments are whole; the first that is not is the last."""
        kept: dict[AofFile, int] = {}
        for file in increments:
            sandbox.put(self._copy(file.path), file.path, changing=True)
            size = self._files[file.path].size
            kept[file] = whole = self._fix(sandbox, file) if size else 0
            if whole < size:
                self._faults.append(f"{file.path} is damaged at byte {whole} of {size}")
                break
        return kept

    def _fix(self, sandbox: Sandbox, file: AofFile) -> int:
        """Have the tool cut the copy at its first fault; returns how long it is then."""
        command = (f"{self._engine}-check-aof", "--fix", f"{sandbox.folder}/{file.path}")
        with sandbox.start_with_stdin(command, _LIMIT) as tool:
            tool.write(b"y\n")
            tool.write(b"")
            report = tool.output()
        matched = _ANALYZED.search(report)
        if matched is None:
            raise RagopsError("tool_failed", f"cannot read the report of {command[0]}: {report[-300:]}")
        return int(matched[2])

    def _load(self, sandbox: Sandbox, base: AofFile | None, kept: dict[AofFile, int]) -> Path | None:
        """Make an RDB file of what the engine reads; what it does not understand is cut off, too (`kept` follows)."""
        for _ in range(_TRIES):
            chosen = [*([base] if base else []), *kept]
            manifest = self._ours / "manifest"
            manifest.write_text("".join(file.line for file in chosen))
            sandbox.put(manifest, MANIFEST, changing=True)
            try:
                with run_scratch_server(sandbox, self._engine, self._ours, append_only=True) as scratch:
                    return scratch.write_rdb().rename(self._ours / "from-aof.rdb")
            except IntegrityError as error:
                if not self._cut_unknown(sandbox, kept, error.message):
                    self._faults.append(f"the engine does not read the append-only files: {error.message[-200:]}")
                    return None
        return None

    def _cut_unknown(self, sandbox: Sandbox, kept: dict[AofFile, int], report: str) -> bool:
        """Cut where a command begins that the engine lacks; returns False if its error is another one."""
        matched = next((found for pattern in _UNKNOWN if (found := pattern.search(report))), None)
        file = next((one for one in kept if matched and one.path.endswith(matched["file"])), None)
        if matched is None or file is None:
            return False
        place = find_command(self._copy(file.path), matched["name"])
        if place is None or place >= kept[file]:
            return False
        self._faults.append(f"{file.path} is damaged at byte {place} of {self._files[file.path].size}")
        for later in list(kept)[list(kept).index(file) + 1 :]:
            del kept[later]
        kept[file] = place
        shorter = self._ours / "shorter"
        with self._copy(file.path).open("rb") as stream:
            shorter.write_bytes(stream.read(place))
        sandbox.put(shorter, file.path, changing=True)
        return True

    def _instant(self, base: AofFile | None, kept: Mapping[AofFile, int], lost: int) -> datetime:
        """When the data were by the kept files."""
        if not lost:
            return self._end()
        for file, end in reversed(list(kept.items())):
            if found := last_time(self._copy(file.path), end):
                return min(found, self._end())
        return datetime.fromtimestamp(self._files[base.path].modified, tz=UTC) if base else self._end()

    def _words(self, base: AofFile | None, kept: Mapping[AofFile, int]) -> str:
        if base:
            return "the append-only files"
        first = next(iter(kept))
        return f"{first.path} and what follows, without the base: only what was written since then"

    # --- the snapshot --------------------------------------------------------------------------------------------

    def _from_snapshot(self) -> Repaired | None:
        if PART not in self._files:
            return None
        rdb = self._copy(PART)
        written = datetime.fromtimestamp(self._files[PART].modified, tz=UTC)
        try:
            with open_scratch_server(self._control, self._engine, rdb):
                pass
        except IntegrityError:
            self._faults.append(f"{PART} is damaged")
            return None
        lost = self._size_of_folder()
        return self._result(rdb, f"the snapshot {PART}", written, lost)

    # --- what it comes to ----------------------------------------------------------------------------------------

    def _result(self, rdb: Path, source: str, instant: datetime, lost: int) -> Repaired:
        with open_scratch_server(self._control, self._engine, rdb) as scratch:
            counts = scratch.counts()
        seconds = max(0.0, (self._end() - instant).total_seconds()) if lost else 0.0
        return Repaired(rdb, counts, source, tuple(self._faults), instant, seconds, lost)

    def _end(self) -> datetime:
        """When data were written last."""
        times = [file.modified for name, file in self._files.items() if name.startswith(f"{FOLDER}/")]
        last = max(times, default=self._files[PART].modified if PART in self._files else 0.0)
        return datetime.fromtimestamp(last, tz=UTC)

    def _size(self, files: Iterable[AofFile]) -> int:
        return sum(self._files[file.path].size for file in files)

    def _size_of_folder(self) -> int:
        return sum(file.size for name, file in self._files.items() if name.startswith(f"{FOLDER}/"))


_STARTED, _SERVES = "is starting oO0OoO0OoO0Oo", "Ready to accept connections"
_DAMAGE = re.compile(
    r"Bad file format reading the append only file|Unexpected end of file reading the append only file"
    r"|Unrecoverable error reading the append only file|Unknown command '.*' reading the append only file"
    r"|Error reading the append only file|Unable to obtain the AOF file|AOF manifest file|FATAL AOF MANIFEST"
    r"|the truncated file is not the last file"
    r"|RDB ERROR DETECTED|Internal error in RDB reading|Short read or OOM loading DB|Wrong signature trying to load"
    r"|Check RDB returned error code 1|Fatal error loading the DB|its append-only files are not whole"
)


def in_log(lines: Iterable[str]) -> str:
    """Return the line of the last start that reports damage, empty without one or if the server serves in the end."""
    found = ""
    for line in lines:
        if _STARTED in line or _SERVES in line:
            found = ""
        elif not found and (matched := _DAMAGE.search(line)):
            found = line[matched.start() :].strip().partition(":")[0].partition(". You can")[0]
    return found
