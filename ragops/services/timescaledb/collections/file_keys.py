"""Keys of a collection that have no column of their own, and are obeyed: they are kept in `extra`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pathspec import GitIgnoreSpec

from ragops.errors import UsageError
from ragops.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST_SIZE = 1 << 30
MOST_POINTS = 10**12
MOST_SHARDS = 1000
# Everything that ingest reads: `ragops.ingest.documents.kinds` has the same, which a test compares.
_FILE_TYPES = (
    "txt text adoc asciidoc org tex md markdown mdx rst rest html htm xhtml pdf docx docm pptx pptm xlsx "
    "xlsm xls ods csv tsv json jsonl ndjson ipynb eml mbox yaml yml toml ini cfg conf properties py pyi "
    "js jsx mjs cjs ts tsx go rs java kt kts scala c h cc cpp cxx hpp hh cs fs rb php pl pm lua r jl "
    "swift m dart ex exs erl hs ml clj sh bash zsh fish ps1 bat sql graphql proto tf hcl nix vue svelte"
)
FILE_TYPES = tuple(_FILE_TYPES.split())


class ExtraKey(NamedTuple):
    """A key; `expected` describes what `accepts` checks."""

    key: str
    expected: str
    accepts: Callable[[Any], bool]


class FileRules(NamedTuple):
    """`exclude` are patterns of git, `largest` is in bytes, None for the default."""

    exclude: tuple[str, ...] = ()
    largest: int | None = None


class LayoutKeys(NamedTuple):
    """How many points a collection is to hold, and in how many shards; None for what is not set."""

    expected_points: int | None = None
    shards: int | None = None


def _number(most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and 1 <= value <= most


def _patterns(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and one.strip() and _is_pattern(one) for one in value)


def _is_pattern(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
        line.encode()
    except Exception:  # errors of its own, those of `re`, letters that no file has
        return False
    return True


def _size(value: Any) -> bool:
    return type(value) in (int, str) and 0 < (parse_size(str(value)) or 0) <= LARGEST_SIZE


EXTRA = (
    ExtraKey("exclude", "a list of patterns as in .gitignore", _patterns),
    ExtraKey("maxFileSize", "a size from 1B to 1GiB, such as 20MiB", _size),
    ExtraKey("expectedPoints", f"a whole number from 1 to {MOST_POINTS}", _number(MOST_POINTS)),
    ExtraKey("shards", f"a whole number from 1 to {MOST_SHARDS}", _number(MOST_SHARDS)),
)
EXTRA_KEYS = {known.key: known for known in EXTRA}


def file_rules(extra: Mapping[str, Any], defaults: Mapping[str, Any]) -> FileRules:
    """Return the rules of a collection from its row, else from the document's `defaults`.

    Raises UsageError (collection_key_invalid): such a row was imported by an earlier release, which took any value.
    """
    values = _valid(extra, defaults)
    size = values["maxFileSize"]
    return FileRules(tuple(values["exclude"] or ()), None if size is None else parse_size(str(size)))


def layout_keys(extra: Mapping[str, Any], defaults: Mapping[str, Any]) -> LayoutKeys:
    """Return what a collection's row, else the document's `defaults`, hold of its layout. Raises as `file_rules`."""
    values = _valid(extra, defaults)
    return LayoutKeys(values["expectedPoints"], values["shards"])


def _valid(extra: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    values = {known.key: extra.get(known.key, defaults.get(known.key)) for known in EXTRA}
    for known in EXTRA:
        value = values[known.key]
        if value is not None and not known.accepts(value):
            hint = (
                "correct it with `ragops collection set`, or in the collections file: `ragops migrate json-to-db FILE`"
            )
            raise UsageError("collection_key_invalid", f"cannot use {known.key}: expected {known.expected}", hint)
    return values
