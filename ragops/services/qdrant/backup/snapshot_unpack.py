"""`python -m … SNAPSHOT FOLDER` opens a shard snapshot with Qdrant Edge in the new folder and prints its points.

A program of its own that imports little else: one is started for every shard.
"""

import sys

NOT_HERE = "the engine cannot be imported"


def main(snapshot: str, folder: str) -> str:
    """Print how many points there are; returns why they cannot be counted."""
    try:
        import qdrant_edge as edge
    except ImportError as error:
        return f"{NOT_HERE}: {error}"
    try:
        edge.EdgeShard.unpack_snapshot(snapshot, folder)
        opened = edge.EdgeShard.load(folder)
        sys.stdout.write(f"{opened.count(edge.CountRequest(exact=True))}\n")
    except BaseException as error:  # the library raises nothing narrower than Exception, and its panics are none
        return str(error) or type(error).__name__
    return ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) or 0)
