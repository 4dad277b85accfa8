"""collections-config.json: its valid content, and every fault of one file at once. Nothing here uses a database."""

from __future__ import annotations

import errno
import json
import re
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ragops.config import collection_names
from ragops.errors import IntegrityError, InvalidInputError, MissingError, Problem, UsageError
from ragops.services.timescaledb.collections.file_columns import BUILT_IN, FIELDS, KNOWN, escape, is_name
from ragops.services.timescaledb.collections.file_keys import EXTRA_KEYS
from ragops.services.timescaledb.collections.json_reader import (
    Element,
    HashingReader,
    JsonFault,
    Member,
    Value,
    found,
    read_document,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_DEFAULTABLE = KNOWN.keys() - {"name"}


@dataclass(frozen=True)
class CollectionsDocument:
    """A valid file: `rows` is PostgreSQL's COPY text of its collections, in the order of `COLUMNS`.

    `unread` counts the keys that are kept and that nothing acts on.
    """

    path: Path
    sha256: str
    defaults: Mapping[str, Any]
    extra: Mapping[str, Any]
    count: int
    rows: BinaryIO
    unread: Mapping[str, int] = field(default_factory=dict)


@contextmanager
def parse_collections(
    path: Path, built_in: Mapping[str, Any] = BUILT_IN, unknown_model: Callable[[str], str] = lambda _name: ""
) -> Iterator[CollectionsDocument]:
    """Read and check `path` in bounded memory; its rows wait in a temporary file until the block ends.

    `built_in` holds if neither a collection nor the document's defaults have a value; `unknown_model` returns what is
    wrong with an embedding model's name, empty if nothing is. Raises InvalidInputError with every problem, UsageError
    if it cannot be read, IntegrityError if it changed during that, MissingError if the disk is full.
    """
    with _translate_errors(path), tempfile.TemporaryFile() as rows:
        check = _Check(str(path), _find_defaults(path), cast("BinaryIO", rows), built_in, unknown_model)
        with path.open("rb") as file:
            digest = check.run(file)
        if check.problems:
            message = f"cannot import {path}: it is not a valid collections file; nothing was imported"
            raise InvalidInputError("collections_invalid", message, check.problems)
        rows.seek(0)
        yield CollectionsDocument(
            path, digest, check.defaults, check.extra, check.count, cast("BinaryIO", rows), dict(check.unread)
        )


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            hint = "free space where temporary files go (TMPDIR)"
            raise MissingError("disk_full", f"cannot copy {path}: no space left", hint) from error
        raise UsageError("file_unreadable", f"cannot read {path}: {error.strerror}", "name the right file") from error
    except JsonFault as fault:
        problem = Problem(f"{path}:{fault.line}:{fault.column}", "", fault.message)
        raise InvalidInputError(
            "collections_not_json", f"cannot import {path}: it is not JSON in UTF-8", [problem]
        ) from fault


def _find_defaults(path: Path) -> Any:
    # They may stand after the collections that need them: a look for them first spares holding all collections.
    with path.open("rb") as file:
        for item in read_document(file, "collections"):
            if isinstance(item, Member) and item.key == "defaults" and item.value:
                return item.value.value
    return {}


@dataclass
class _Check:
    """One pass over the file: problems found, rows written."""

    path: str
    raw_defaults: Any
    rows: BinaryIO
    built_in: Mapping[str, Any]
    unknown_model: Callable[[str], str]
    problems: list[Problem] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    count: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)
    _names: dict[str, tuple[int, str]] = field(default_factory=dict)  # by their folded form: place and spelling

    def __post_init__(self) -> None:
        self.defaults: dict[str, Any] = self.raw_defaults if isinstance(self.raw_defaults, dict) else {}
        usable = {
            key: value for key, value in self.defaults.items() if key in _DEFAULTABLE and KNOWN[key].accepts(value)
        }
        # A default that is not valid is reported once; the built-in value must not be checked in its place.
        built_in = {key: value for key, value in self.built_in.items() if key not in self.defaults}
        self._fallback = {**built_in, **usable}
        self._fallback_cells = {key: KNOWN[key].cell(value) for key, value in self._fallback.items()}

    def run(self, file: BinaryIO) -> str:
        stream = HashingReader(file)
        for item in read_document(cast("BinaryIO", stream), "collections"):
            if isinstance(item, Element):
                self._element(item)
            else:
                self._member(item)
        if "collections" not in self._seen:
            self._problem(1, "collections", "expected a list of collections, found none")
        return stream.sum.hexdigest()

    def _problem(self, line: int, key: str, message: str) -> None:
        self.problems.append(Problem(f"{self.path}:{line}", key, message))

    def _member(self, member: Member) -> None:
        if member.key in self._seen:
            self._problem(member.line, member.key, "expected once, found again")
        self._seen.add(member.key)
        if member.value is None:
            return
        for note in member.value.notes:
            self._problem(member.line, member.key, note)
        if member.key == "collections":
            self._problem(member.line, "collections", f"expected a list, found {found(member.value.value)}")
        elif member.key == "defaults":
            self._check_defaults(member.value)
        else:
            self.extra[member.key] = member.value.value
            self.unread[member.key] += 1

    def _check_defaults(self, value: Value) -> None:
        if value.value != self.raw_defaults:
            raise IntegrityError(
                "file_changed", f"cannot import {self.path}: it changed while it was read", "run the command again"
            )
        if not isinstance(value.value, dict):
            self._problem(value.line, "defaults", f"expected an object, found {found(value.value)}")
            return
        for key, default in self.defaults.items():
            known = KNOWN.get(key)
            if key == "name":
                self._problem(_line(value, key), "defaults.name", "expected no name: each collection has its own")
            elif known and not known.accepts(default):
                expected = f"expected {known.expected}, found {found(default)}"
                self._problem(_line(value, key), f"defaults.{key}", expected)
            elif not known and key != "name":
                self._check_extra(key, default, value, f"defaults.{key}")
        self._check_model(self.defaults.get("embeddingModel"), value, "defaults")

    def _element(self, element: Element) -> None:
        value, place = element.value, f"collections[{element.index}]"
        before = len(self.problems)
        for note in value.notes:
            self._problem(value.line, place, note)
        if not isinstance(value.value, dict):
            self._problem(value.line, place, f"expected an object, found {found(value.value)}")
            return
        cells = self._cells(value.value, value, place)
        self._check_overlap(value.value, value, place)
        self._check_model(value.value.get("embeddingModel"), value, place)
        self._check_name(value.value.get("name"), element.index, value, place)
        if len(self.problems) == before:
            row = f"{element.index}\t{value.line}\t" + "\t".join(cells) + "\n"
            self.rows.write(row.encode())
        self.count += 1

    def _cells(self, own: Mapping[str, Any], value: Value, place: str) -> list[str]:
        # One loop for checking and writing: it runs eight times for each collection of a file that may be huge.
        cells, used = [], []
        for key, column, expected, accepts, cell in FIELDS:
            if key in own:
                if accepts(own[key]):
                    cells.append(cell(own[key]))
                else:
                    message = f"expected {expected}, found {found(own[key])}"
                    self._problem(_line(value, key), f"{place}.{key}", message)
            elif key in self._fallback_cells:
                used.append(column)
                cells.append(self._fallback_cells[key])
            elif key == "name" or key not in self.defaults:
                where = "" if key == "name" else " here or in defaults"
                self._problem(value.line, f"{place}.{key}", f"expected {expected}{where}, found nothing")
        unknown = own.keys() - KNOWN.keys()
        extra = {key: own[key] for key in own if key in unknown} if unknown else {}
        for key in extra:
            self._check_extra(key, own[key], value, f"{place}.{key}")
        cells += [escape(_ENCODER.encode(extra)) if unknown else "{}", "{" + ",".join(used) + "}"]
        return cells

    def _check_extra(self, key: str, content: Any, value: Value, place: str) -> None:
        """Check a key without a column of its own, or count one that nothing acts on."""
        known = EXTRA_KEYS.get(key)
        if known is None:
            self.unread[key] += 1
        elif not known.accepts(content):
            self._problem(_line(value, key), place, f"expected {known.expected}, found {found(content)}")

    def _check_overlap(self, own: Mapping[str, Any], value: Value, key: str) -> None:
        size = own.get("chunkSize", self._fallback.get("chunkSize"))
        overlap = own.get("chunkOverlap", self._fallback.get("chunkOverlap"))
        if type(size) is int and type(overlap) is int and overlap >= size > 0:
            message = f"expected less than chunkSize, which is {size}, found {overlap}"
            self._problem(_line(value, "chunkOverlap"), f"{key}.chunkOverlap", message)

    def _check_model(self, model: Any, value: Value, key: str) -> None:
        if is_name(model) and (message := self.unknown_model(model)):
            self._problem(_line(value, "embeddingModel"), f"{key}.embeddingModel", message)

    def _check_name(self, name: Any, index: int, value: Value, key: str) -> None:
        if isinstance(name, str):
            first, spelled = self._names.setdefault(collection_names.fold(name), (index, name))
            if first != index:
                again = (
                    "again"
                    if spelled == name
                    else f"again, spelled {found(spelled)}: names must differ by more than case"
                )
                message = f"expected a name of its own, found {found(name)} of collections[{first}] {again}"
                self._problem(_line(value, "name"), f"{key}.name", message)


_ENCODER = json.JSONEncoder(ensure_ascii=False)


def _line(value: Value, key: str) -> int:
    match = re.search(rf'"{re.escape(key)}"\s*:', value.text)
    return value.line + (value.text.count("\n", 0, match.start()) if match else 0)
