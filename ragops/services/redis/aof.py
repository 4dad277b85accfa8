"""Append-only files as they lie in a data folder: which belong together, and up to when one is whole.

A manifest names a base (one RDB file) and increments, each with a number of its own; what it names is the data, in that
order (redis.io, "Redis persistence", multi-part AOF).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from ragops.services.control import DataFile

FOLDER = "appendonlydir"
PREFIX = "appendonly.aof"
MANIFEST = f"{FOLDER}/{PREFIX}.manifest"

# What the manifest does not name the engine leaves out without a word, and writes over in the end: no start then.
# Files of one block do not count, as a first start that was killed leaves some; nor do increments from before the base.
GUARD = f"""cd {FOLDER} 2>/dev/null || exit 0
manifest={PREFIX}.manifest
stop() {{ echo "its append-only files are not whole: $1; \\`ragops repair redis\\` reads what is there"; exit 1; }}
[ -n "$(find . -name '{PREFIX}.*' ! -name $manifest -size +1)" ] || exit 0
[ -s $manifest ] || stop "they have no manifest"
base=$(sed -n 's/^file "\\{{0,1\\}}\\([^ "]*\\)"\\{{0,1\\}} seq [0-9]* type b.*/\\1/p' $manifest)
[ -n "$base" ] || stop "the manifest names no base"
for file in {PREFIX}.*.incr.aof; do
  if [ -n "$(find "$file" -size +1 -newer "$base" 2>/dev/null)" ] && ! grep -qF "$file" $manifest; then
    stop "the manifest does not name $file"
  fi
done"""

BASE, INCREMENT = "b", "i"

_NAME = re.compile(rf"{re.escape(PREFIX)}\.(\d+)\.(base|incr)\.(rdb|aof)")
_LINE = re.compile(r'file "?([^" ]+)"? seq (\d+) type ([bhi])( .*)?')
_TIME = re.compile(rb"#TS:(\d{9,11})\r\n")
_BLOCK = 1 << 20
_LONGEST = 64  # bytes of a line that states a time or a length


@dataclass(frozen=True)
class AofFile:
    """One append-only file: its path in the data folder, its kind (`b`, `i`) and its number among them."""

    path: str
    kind: str
    number: int

    @property
    def line(self) -> str:
        """Its line in a manifest."""
        return f"file {self.path.removeprefix(f'{FOLDER}/')} seq {self.number} type {self.kind}\n"


@dataclass(frozen=True)
class Chain:
    """Base and increments in their order, `faults` of them by the manifest; `cut` are those after a gap."""

    base: AofFile | None
    increments: tuple[AofFile, ...]
    cut: tuple[AofFile, ...] = ()
    faults: tuple[str, ...] = ()


def chain(manifest: str | None, files: Mapping[str, DataFile]) -> Chain:
    """Return the files that belong together by the manifest, else by their names if it is missing or lacks one."""
    listed, faults = _parse(manifest)
    named = sorted(_by_name(files), key=lambda file: file.number)
    base = next((file for file in listed if file.kind == BASE), None)
    if base is None or base.path not in files:
        if base is not None:
            faults.append(f"the manifest names {base.path}, which is missing")
        found = [file for file in named if file.kind == BASE]
        if found:
            base = found[-1]
            faults += [] if manifest is None else [f"the manifest does not name {base.path}"]
        else:
            base = None
    increments = {file.number: file for file in listed if file.kind == INCREMENT}
    since = files[base.path].modified if base and listed else 0.0
    for file in named:
        late = files[file.path].size and files[file.path].modified > since
        if file.kind == INCREMENT and file.number not in increments and (late or not listed):
            increments[file.number] = file
            faults += [] if manifest is None else [f"the manifest does not name {file.path}"]
    return _until_gap(base, [increments[number] for number in sorted(increments)], files, faults)


def _until_gap(
    base: AofFile | None, increments: Sequence[AofFile], files: Mapping[str, DataFile], faults: list[str]
) -> Chain:
    """Stop at an increment that is missing: those after it build on it."""
    for place, file in enumerate(increments):
        if file.path not in files:
            faults.append(f"the manifest names {file.path}, which is missing")
            rest = tuple(item for item in increments[place + 1 :] if item.path in files)
            return Chain(base, tuple(increments[:place]), rest, tuple(faults))
    return Chain(base, tuple(increments), (), tuple(faults))


def _parse(manifest: str | None) -> tuple[list[AofFile], list[str]]:
    if manifest is None:
        return [], ["the manifest is missing"]
    found, faults = [], []
    for line in manifest.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if matched := _LINE.fullmatch(line.strip()):
            found.append(AofFile(f"{FOLDER}/{matched[1]}", matched[3], int(matched[2])))
        else:
            faults.append("the manifest has a line that cannot be parsed")
    return found, faults


def _by_name(files: Mapping[str, DataFile]) -> Iterator[AofFile]:
    for path in files:
        if path.startswith(f"{FOLDER}/") and (matched := _NAME.fullmatch(path.removeprefix(f"{FOLDER}/"))):
            yield AofFile(path, BASE if matched[2] == "base" else INCREMENT, int(matched[1]))


def last_time(path: Path, end: int) -> datetime | None:
    """Return the last time in the first `end` bytes of the file, searched backwards."""
    with path.open("rb") as stream:
        while end > 0:
            begin = max(0, end - _BLOCK)
            stream.seek(begin)
            block = stream.read(end - begin)
            if found := _TIME.findall(block):
                return datetime.fromtimestamp(int(found[-1]), tz=UTC)
            end = begin + _LONGEST if begin else 0
    return None


def find_command(path: Path, name: str) -> int | None:
    """Return the position of the first command called `name` in an increment; None if none can be reached."""
    with path.open("rb") as stream:
        while line := stream.readline(_LONGEST):
            if line.startswith(b"#"):
                continue
            begin = stream.tell() - len(line)
            try:
                words = [_word(stream, keep=place == 0) for place in range(int(line[1:]))]
            except (ValueError, EOFError):
                return None
            if words and words[0].decode(errors="replace") == name:
                return begin
    return None


def _word(stream: BinaryIO, *, keep: bool) -> bytes:
    length = int(stream.readline(_LONGEST)[1:])
    if not keep:
        stream.seek(length + 2, 1)
        return b""
    word = stream.read(length)
    if stream.read(2) != b"\r\n":
        raise EOFError
    return word
