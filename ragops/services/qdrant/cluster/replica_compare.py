"""Compares the replicas of a shard point by point, in the memory of one page of each.

A node returns the points of its own replica in the order of their ids (POST /collections/NAME/shards/N/points/scroll).
All replicas are read side by side. The version of a point is the number of an operation in the log of one replica, so
equal points may have different ones: their payloads, and vectors if asked for, are compared instead. What differs is
read again after a while, since a write reaches one replica after the other.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.adapters import cancellation
from ragops.adapters.qdrant.addresses import path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ragops.adapters.qdrant.http import HttpClient

    Key = tuple[int, int | str]

_PAGE, _VECTOR_PAGE = 1000, 200
# Of points that differ at first; of more than that the rest is not read again.
_MOST_DIFFERENT = 10_000
# Seconds before each new look at what differs.
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)


@dataclass(frozen=True)
class Comparison:
    """The replicas of one shard by node: their `points`, and the ids that `differ` for good.

    `digest` is a SHA-256 of ids and contents of all points, the same for equal replicas; empty if some differ. With
    `is_capped` there are more differences than were looked at twice. `agree` are the nodes whose replicas are the same,
    more than half of them; none if no majority agrees.
    """

    points: Mapping[str, int]
    differ: tuple[int | str, ...]
    digest: str
    is_capped: bool = False
    agree: frozenset[str] = frozenset()

    @property
    def is_equal(self) -> bool:
        """Return whether all replicas hold the same points."""
        return not self.differ


@dataclass(frozen=True)
class ReplicaReader:
    """Reads the replica of a shard on the node of `client`."""

    client: HttpClient
    collection: str
    shard: int
    with_vectors: bool

    def points(self) -> Iterator[tuple[Key, bytes]]:
        """Return the key and the digest of every point, in the order of their keys. Raises as `HttpClient`."""
        offset: object = None
        while True:
            body = {**self._wanted(), "limit": _VECTOR_PAGE if self.with_vectors else _PAGE, "offset": offset}
            page = self.client.send("POST", f"{self._path}/scroll", body)
            for point in page["points"]:
                yield key_of(point["id"]), digest_of(point)
            cancellation.check()
            if (offset := page.get("next_page_offset")) is None:
                return

    def digests(self, ids: Sequence[int | str]) -> dict[int | str, bytes]:
        """Return the digests of those of the points that are there. Raises as `HttpClient`."""
        found = {}
        for start in range(0, len(ids), _VECTOR_PAGE):
            body = {**self._wanted(), "ids": list(ids[start : start + _VECTOR_PAGE])}
            for point in self.client.send("POST", self._path, body):
                found[point["id"]] = digest_of(point)
        return found

    @property
    def _path(self) -> str:
        return f"{path_of(self.collection)}/shards/{self.shard}/points"

    def _wanted(self) -> dict[str, object]:
        return {"with_payload": True, "with_vector": self.with_vectors}


def compare_replicas(readers: Mapping[str, ReplicaReader], on_points: Callable[[int], None]) -> Comparison:
    """Compare the replicas by node; `on_points` hears how many points of each were read so far.

    Raises as `HttpClient`, InterruptedRunError.
    """
    whole, points, suspects = hashlib.sha256(), Counter(dict.fromkeys(readers, 0)), 0
    differ: list[int | str] = []
    suspicious = {name: hashlib.sha256() for name in readers}  # of each node what it has of the points that differ
    for number, (key, digests) in enumerate(_side_by_side(readers), 1):
        points.update(digests.keys())
        if len(digests) == len(readers) and len(set(digests.values())) == 1:
            whole.update(f"{key[0]}:{key[1]}:".encode() + next(iter(digests.values())))
        else:
            suspects += 1
            for name, one in suspicious.items():
                one.update(f"{key[0]}:{key[1]}:".encode() + digests.get(name, b"missing"))
            if len(differ) < _MOST_DIFFERENT:
                differ.append(key[1])
        if number % _PAGE == 0:
            on_points(number)
    last = _look_again(readers, differ)
    left = tuple(ident for ident in differ if _is_different(last, ident))
    digest = "" if left or suspects else whole.hexdigest()
    is_capped = suspects > len(differ)
    contents = {name: one.digest() for name, one in suspicious.items()} if is_capped else _contents(last, left)
    return Comparison(dict(points), left, digest, is_capped, _majority(contents))


def _side_by_side(readers: Mapping[str, ReplicaReader]) -> Iterator[tuple[Key, dict[str, bytes]]]:
    """Return the digests of each point by node, for the nodes that have it."""
    rows = heapq.merge(*(_rows(name, reader) for name, reader in readers.items()), key=lambda row: row[0])
    current: Key | None = None
    found: dict[str, bytes] = {}
    for key, name, digest in rows:
        if current is not None and key != current:
            yield current, found
            found = {}
        current = key
        found[name] = digest
    if current is not None:
        yield current, found


def _rows(name: str, reader: ReplicaReader) -> Iterator[tuple[Key, str, bytes]]:
    for key, digest in reader.points():
        yield key, name, digest


def _look_again(readers: Mapping[str, ReplicaReader], ids: Sequence[int | str]) -> dict[str, dict[int | str, bytes]]:
    """Return by node the digests of the points that still differ after every pause."""
    left, last = list(ids), dict[str, dict[int | str, bytes]]()
    for pause in PAUSES:
        if not left:
            break
        cancellation.sleep(pause)
        last = {name: reader.digests(left) for name, reader in readers.items()}
        left = [ident for ident in left if _is_different(last, ident)]
    return last if left else {}


def _is_different(digests: Mapping[str, Mapping[int | str, bytes]], ident: int | str) -> bool:
    return len({one.get(ident) for one in digests.values()}) > 1


def _contents(digests: Mapping[str, Mapping[int | str, bytes]], ids: Sequence[int | str]) -> dict[str, object]:
    return {name: tuple(one.get(ident) for ident in ids) for name, one in digests.items()}


def _majority(contents: Mapping[str, object]) -> frozenset[str]:
    """Return the nodes with the content that more than half of them have."""
    for most, count in Counter(contents.values()).most_common(1):
        if 2 * count > len(contents):
            return frozenset(name for name, one in contents.items() if one == most)
    return frozenset()


def key_of(ident: int | str) -> Key:
    """Return what Qdrant sorts points by: numbers first, then UUIDs."""
    return (0, ident) if isinstance(ident, int) else (1, ident)


def digest_of(point: Mapping[str, Any]) -> bytes:
    """Return a digest of payload and vectors, whatever the order of keys and of sparse entries."""
    content = [point.get("payload"), _canonical(point.get("vector"))]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def _canonical(vector: Any) -> Any:
    if not isinstance(vector, dict):
        return vector
    if vector.keys() == {"indices", "values"}:
        return sorted(zip(vector["indices"], vector["values"], strict=True))
    return {name: _canonical(one) for name, one in vector.items()}
