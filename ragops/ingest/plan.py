"""What has to be done: the files of a directory compared with the documents of its collection."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ragops.errors import RagopsError
from ragops.ingest.rows import UNREAD, Document, FileVersion
from ragops.ingest.text import UnusableDocumentError, inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Set
    from pathlib import Path

    from ragops.ingest.walk import FileEntry, Walk

# A file that changed just before it was read may have changed again within the same tick of its clock.
_TICK = timedelta(seconds=2)


class Change(NamedTuple):
    """A file whose chunks are to be made; `document` is None for a new one, has another path for one that moved."""

    seen: FileVersion
    document: Document | None

    @property
    def moved(self) -> bool:
        """Whether the document was at another path before."""
        return self.document is not None and self.document.path != self.seen.path


class Failure(NamedTuple):
    """A file that cannot be read as text; `known` when its row has just that already."""

    seen: FileVersion
    document: Document | None
    reason: str

    @property
    def known(self) -> bool:
        """Whether the database has it already."""
        document = self.document
        return document is not None and (document.status, document.error, *document[2:5]) == (
            "failed", self.reason, *self.seen[1:],
        )  # fmt: skip


@dataclass
class Plan:
    """Changes in the order of their paths; `touched` have a new time and the same content.

    `out_of_reach` are documents below folders that could not be read: nothing is known of them, nothing is done.
    `gone` are files that were deleted after they were listed.
    """

    changes: list[Change] = field(default_factory=list)
    touched: list[tuple[int, FileVersion]] = field(default_factory=list)
    deleted: list[Document] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unchanged: int = 0
    out_of_reach: int = 0
    gone: set[str] = field(default_factory=set)


def make_plan(
    directory: Path,
    walk: Walk,
    documents: Mapping[str, Document],
    damaged: Set[int],
    on_file: Callable[[int], None] = lambda _count: None,
) -> Plan:
    """Compare by size and time, then by content if those prove nothing; `damaged` ids are done again in any case.

    `on_file` hears how many files were looked at.
    """
    plan = Plan()
    for count, file in enumerate(walk.files):
        _compare(plan, directory, file, documents.get(file.path), damaged)
        on_file(count + 1)
    _missing(plan, walk, documents)
    plan.changes.sort()
    return plan


def refuse_empty(directory: Path, collection: str, walk: Walk, documents: Mapping[str, Document]) -> None:
    """Raise RagopsError (directory_empty) if there is no file and all documents would go: a share may be unmounted.

    Folders that could not be read lose nothing anyway, so they are no reason.
    """
    if documents and not (walk.files or walk.closed):
        what = f"{directory} has no matching file, and collection {collection} has {len(documents)} documents"
        hint = f"mount it, or have all of them removed: ragops ingest {collection} --allow-empty"
        raise RagopsError("directory_empty", what, hint)


def _compare(plan: Plan, directory: Path, file: FileEntry, document: Document | None, damaged: Set[int]) -> None:
    # An indexed document with an error lacks chunks that were refused.
    indexed = document is not None and document.status == "indexed" and document.error is None
    whole = document is not None and indexed and document.id not in damaged
    if document is not None and whole and _looks_same(file, document):
        plan.unchanged += 1
        return
    try:
        read = inspect(directory / file.path)
    except UnusableDocumentError as error:
        if error.is_gone:  # since the folder was listed
            plan.gone.add(file.path)
            return
        plan.failures.append(Failure(FileVersion(file.path, UNREAD, file.size, file.modified), document, str(error)))
        return
    seen = FileVersion(file.path, read.sha256, read.size, read.modified or file.modified)
    if document is not None and document.status == "failed" and document.sha256 == seen.sha256:
        plan.failures.append(Failure(seen, document, document.error or ""))  # its conversion would end the same
        return
    if document is None or not whole or document.sha256 != seen.sha256:
        plan.changes.append(Change(seen, document))
        return
    plan.unchanged += 1
    if document.modified != seen.modified:
        plan.touched.append((document.id, seen))


def _looks_same(file: FileEntry, document: Document) -> bool:
    settled = document.indexed_at is not None and document.modified < document.indexed_at - _TICK
    return settled and (file.size, file.modified) == (document.size, document.modified)


def _missing(plan: Plan, walk: Walk, documents: Mapping[str, Document]) -> None:
    """Documents without a file: moved where a new file has their content, out of reach, else deleted."""
    present = {file.path for file in walk.files} - plan.gone
    gone = sorted((document for path, document in documents.items() if path not in present), key=lambda one: one.path)
    lost = [
        document
        for document in gone
        if not (reason := _closed(walk, document.path)) or not _wait(plan, document, reason)
    ]
    moved = _moves(plan, lost)
    plan.deleted = [document for document in lost if document.id not in moved]


def _closed(walk: Walk, path: str) -> str:
    """Why the file cannot be looked at, if a folder above it is closed."""
    for folder, reason in walk.closed:
        if not folder or path == folder or path.startswith(f"{folder}/"):
            return reason
    return ""


def _wait(plan: Plan, document: Document, reason: str) -> bool:
    if document.status == "indexed":
        plan.out_of_reach += 1
    else:  # its chunks may be of another embedder: none rather than those
        seen = FileVersion(document.path, document.sha256, document.size, document.modified)
        plan.failures.append(Failure(seen, document, reason))
    return True


def _moves(plan: Plan, lost: Iterable[Document]) -> set[int]:
    by_hash: dict[str, list[Document]] = defaultdict(list)
    for document in lost:
        by_hash[document.sha256].append(document)
    moved = set()
    for index, change in enumerate(plan.changes):
        candidates = by_hash.get(change.seen.sha256)
        if change.document is None and candidates:
            document = candidates.pop(0)
            plan.changes[index] = Change(change.seen, document)
            moved.add(document.id)
    return moved
