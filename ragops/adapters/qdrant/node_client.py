"""The client of one node for long runs: REST as in `http.py`, points and changes of collections on the library."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from ragops.adapters.qdrant.failures import RequestFailedError, request_error, retry_consensus
from ragops.adapters.qdrant.http import HttpClient, open_transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import httpx

    from ragops.adapters.qdrant.addresses import Address
    from ragops.adapters.qdrant.client import Client, PointId

T = TypeVar("T")
_SECONDS = 120.0  # an exact count of a large collection


class NodeClient(HttpClient):
    """A client of one node, over gRPC if it has that; the library is imported and opened by the first call.

    All methods raise as `HttpClient` does.
    """

    def __init__(self, transport: httpx.Client, name: str, library: Callable[[], Client]) -> None:
        super().__init__(transport, name)
        self._library = library

    def delete_collection(self, name: str) -> None:
        """Delete a collection; one that is not there is no error."""
        self._change(lambda library: library.delete_collection(name), "qdrant_not_found")

    def change_aliases(self, set_to: Mapping[str, str], delete: Iterable[str] = ()) -> None:
        """Delete aliases, then create or move those of `set_to` to their collections, all or nothing."""
        gone = list(delete)
        if set_to or gone:
            self._change(lambda library: library.change_aliases(set_to, gone))

    def create_shard_key(self, name: str, key: str | int, shards: int) -> None:
        """Create a shard key of custom sharding with so many shards."""
        self._change(lambda library: library.create_shard_key(name, key, shards), "qdrant_exists")

    def replicate_shard(self, name: str, shard: int, source: int, target: int) -> None:
        """Start to copy a shard from one peer to another."""
        self._change(lambda library: library.replicate_shard(name, shard, source, target))

    def start_optimizers(self, name: str) -> None:
        """Have the segments of a collection optimized that wait for a change."""
        self._change(lambda library: library.start_optimizers(name))

    def count(self, name: str) -> int:
        """Return the exact number of points."""
        return self._call(lambda library: library.count(name))

    def point_ids(self, name: str) -> Iterator[list[PointId]]:
        """Return the ids of all points, page by page."""
        pages = self._call(lambda library: library.pages(name))
        while page := self._call(lambda _library: next(pages, None)):
            yield page

    def has_points(self, name: str, ids: Sequence[PointId]) -> bool:
        """Return whether all these points are there."""
        return len(self._call(lambda library: library.retrieve(name, ids, payload=False))) == len(ids)

    def _change(self, request: Callable[[Client], object], done_before: str = "") -> None:
        retry_consensus(lambda: self._call(request), done_before)

    def _call(self, request: Callable[[Client], T]) -> T:
        try:
            return request(self._library())
        except RequestFailedError as error:
            raise request_error(error.failure, self.name) from error


@contextmanager
def open_node(address: Address, key: str, timeout: float) -> Iterator[NodeClient]:
    """Open a client of one node; a REST answer takes at most `timeout` seconds."""
    with open_transport(address.url, key, timeout) as transport, ExitStack() as stack:

        @cache
        def library() -> Client:
            from ragops.adapters.qdrant.client import Client  # takes up to a second and 60 MB

            return stack.enter_context(Client([address], key, seconds=_SECONDS, attempts=1))

        yield NodeClient(transport, address.name, library)
