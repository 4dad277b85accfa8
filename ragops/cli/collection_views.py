"""What is shown of collections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.cli.printable import one_line

if TYPE_CHECKING:
    from ragops.operations.data.collections import CollectionDetails, CollectionRow

_SHOWN_TYPES = 10


def line(row: CollectionRow) -> tuple[str, ...]:
    """Return the cells of a collection in a list."""
    when = f"{row.indexed_at:%Y-%m-%d %H:%M}" if row.indexed_at else "-"
    return (row.name, row.directory, row.embedding_model, str(row.indexed), str(row.failed), when, state(row))


def state(row: CollectionRow) -> str:
    """Return whether it is ingested."""
    if not row.enabled:
        return "disabled"
    if row.pending:
        return f"{row.pending} pending"
    if row.needs_rebuild:
        return "rebuild pending"
    return "ok" if row.indexed_at else "not ingested"


def describe_rebuild(row: CollectionRow) -> str:
    """Return which vectors are searched until a rebuild, and its command."""
    what = f"{row.name}: the vectors of {row.embedder} are searched until they are of {row.embedding_model}"
    return f"{what}: `ragops ingest --rebuild {row.name}`"


def documents(row: CollectionRow) -> int:
    """Return the number of its documents."""
    return row.indexed + row.failed + row.pending


def facts(found: CollectionDetails) -> list[tuple[str, str]]:
    """Return what there is to show of one collection."""
    row = found.row
    facts = [
        ("name", row.name),
        ("directory", row.directory),
        ("model", row.embedding_model),
        ("chunks", f"at most {row.chunk_size} characters, {row.chunk_overlap} of them again"),
        ("files", _file_types(row)),
        *_file_values(row),
        ("folders inside", "read" if row.recursive else "left out"),
        ("state", state(row)),
        ("source", "collections-config.json" if row.source == "json" else "database"),
        ("documents", f"{row.indexed} indexed, {row.failed} failed, {row.pending} pending"),
    ]
    unread = {key: value for key, value in row.extra.items() if key not in row.file_values}
    facts += [(f"{key} (not read)", one_line(str(value))) for key, value in unread.items()]
    for points, count in found.points.items():
        there = "no such collection" if count is None else f"{count} points"
        facts.append((f"vectors in {points}", f"{there}, {found.chunks.get(points, 0)} chunks"))
        if points in found.layouts:
            facts.append((f"layout of {points}", str(found.layouts[points].layout)))
    return facts


def _file_values(row: CollectionRow) -> list[tuple[str, str]]:
    """Return what else decides which files are read, as far as it is set."""
    from ragops.units import first_of

    exclude, largest = row.file_values["exclude"], row.file_values["maxFileSize"]
    facts = []
    if exclude:
        names = [str(one) for one in exclude] if isinstance(exclude, list) else [str(exclude)]
        facts.append(("left out", first_of(names, _SHOWN_TYPES)))
    if largest is not None:
        facts.append(("largest file", str(largest)))
    if (expected := row.file_values["expectedPoints"]) is not None:
        facts.append(("expected points", f"{expected:,}"))
    return facts


def _file_types(row: CollectionRow) -> str:
    more = len(row.file_types) - _SHOWN_TYPES
    shown = ", ".join(row.file_types[:_SHOWN_TYPES])
    return f"{shown} and {more} more; all of them with --json" if more > 0 else shown or "all"


def question(found: CollectionDetails) -> str:
    """Return what to confirm before it is deleted."""
    points = sum(count or 0 for count in found.points.values())
    return f"This deletes collection {found.row.name}: {documents(found.row)} documents and {points} points, for good."
