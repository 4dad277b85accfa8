"""How many chunks a collection is expected to have, on which its layout in the vector store depends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.ingest.documents.kinds import kind_of
from ragops.services.timescaledb.collections.file_keys import layout_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ragops.ingest.rows import Collection
    from ragops.ingest.walk import FileEntry
    from ragops.services.qdrant.shard_layout import LayoutRules, ShardLayout

# Characters of text for a byte of a file: most of what a PDF or an Office file holds is fonts and pictures.
_SHARES = {"PDF": 0.05, "Word": 0.05, "PowerPoint": 0.02, "spreadsheet": 0.5, "HTML": 0.4}


def estimate_points(collection: Collection, files: Iterable[FileEntry]) -> int:
    """Return how many chunks of its size the files of a collection make, by their sizes and endings."""
    step = max(collection.chunk_size - collection.chunk_overlap, 1)
    return sum(1 + int(one.size * _SHARES.get(kind_of(one.path).name, 1.0) / step) for one in files)


def choose_layout(rules: LayoutRules, collection: Collection, estimate: int, numbers: int) -> ShardLayout:
    """Return the layout for vectors of so many `numbers`, by the collection's own keys, else by the `estimate`.

    Raises UsageError (collection_key_invalid).
    """
    keys = layout_keys(collection.extra, collection.defaults)
    return rules.choose(keys.expected_points or estimate, numbers, keys.shards)
