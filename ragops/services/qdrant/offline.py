"""Reads a shard snapshot with the engine, without a server."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ragops.errors import IntegrityError, MissingError


def count_points(snapshot: Path) -> int:
    """Unpack and open a snapshot, its own or a Qdrant server's, and count its points.

    Raises IntegrityError (snapshot_unreadable), MissingError (engine_not_installed, disk_full).
    """
    edge = _engine()
    with tempfile.TemporaryDirectory(prefix="ragops-qdrant-") as folder:
        shard = str(Path(folder) / "shard")
        try:
            edge.EdgeShard.unpack_snapshot(str(snapshot), shard)
            opened = edge.EdgeShard.load(shard)
            try:
                return int(opened.count(edge.CountRequest(exact=True)))
            finally:
                opened.close()
        except Exception as error:  # Edge raises nothing narrower
            if "os error 28" in str(error):
                what = f"no space left in {tempfile.gettempdir()} to open {snapshot.name}"
                raise MissingError("disk_full", what, "free some space, or set TMPDIR") from error
            what = f"the engine cannot read {snapshot.name}: {error}"
            raise IntegrityError("snapshot_unreadable", what, "use another recovery point") from error


def _engine() -> Any:
    try:
        import qdrant_edge
    except ImportError as error:
        what = "qdrant-edge-py is not installed"
        raise MissingError("engine_not_installed", what, "run `pip install 'ragops[embedded]'`") from error
    return qdrant_edge
