"""The client of the RAG API: searches spread over the nodes, on `AsyncQdrantClient`."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from ragops.adapters.qdrant import library
from ragops.adapters.qdrant.addresses import verification
from ragops.adapters.qdrant.balancing import PROBE_SECONDS, Balancer
from ragops.adapters.qdrant.failures import NO_ANSWER, Failure, RequestFailedError, no_answer
from ragops.adapters.qdrant.searching import Hit, Question, search_by_grpc, search_by_rest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from qdrant_client import AsyncQdrantClient

    from ragops.adapters.qdrant.addresses import Address
    from ragops.adapters.qdrant.balancing import Node, Observer

T = TypeVar("T")
_LEAST_ATTEMPTS, _MOST_NODES_ASKED = 2, 3
_PAUSE_SECONDS = 0.05
_NOT_FOUND = 404


@dataclass(frozen=True)
class _Session:
    """The library's client of one node, and the key that it sends."""

    key: str
    client: AsyncQdrantClient


class AsyncClient:
    """Reads spread round robin over the nodes; a node that fails is ejected until a probe of it succeeded.

    Every call raises RequestFailedError when `attempts` attempts have failed, each on another node as long as there are
    others. One attempt takes at most `seconds`. `key` returns the key that is valid now: it may be rotated.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        key: Callable[[], str],
        *,
        seconds: float,
        monotonic: Callable[[], float],
        observer: Observer,
    ) -> None:
        self._key = key
        self._seconds = seconds
        verify = next((found for one in addresses if (found := verification(one.url))), False)
        self._http = httpx.AsyncClient(timeout=seconds, trust_env=False, verify=verify)
        self._sessions: dict[Address, _Session] = {}
        self._retired: set[asyncio.Task[None]] = set()
        self.balancer = Balancer(addresses, self._is_ready, monotonic, observer)
        self.attempts = max(_LEAST_ATTEMPTS, min(len(addresses), _MOST_NODES_ASKED))

    async def query(self, collection: str, asked: Question) -> list[Hit]:
        """Return the best points with their payloads, best first; a failure with 404 or 400 may be its result."""

        async def request(client: AsyncQdrantClient, address: Address) -> list[Hit]:
            if address.grpc_url:
                return await search_by_grpc(client, collection, asked, self._seconds)
            return await search_by_rest(client, library.collection_path(address, collection), asked)

        return await self._call(request)

    async def collections(self) -> list[str]:
        """Return the names of all collections."""

        async def request(client: AsyncQdrantClient, _address: Address) -> list[str]:
            return [item.name for item in (await client.get_collections()).collections]

        return await self._call(request)

    async def check_ready(self) -> None:
        """Return if a node reports that it is ready and is reached the way that searches go."""
        nodes = self.balancer.in_turn()
        for left in reversed(range(self.attempts)):
            node = next(nodes)
            try:
                await self._greet(node.address, self._seconds)
            except RequestFailedError as error:
                self.balancer.eject(node, error.failure.reason)
                if not left:
                    raise
            else:
                self.balancer.readmit(node)
                return

    async def close(self) -> None:
        """Close all connections."""
        await self.balancer.close()
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        for session in self._sessions.values():
            await session.client.close()
        await self._http.aclose()

    async def _call(self, request: Callable[[AsyncQdrantClient, Address], Awaitable[T]]) -> T:
        nodes = self.balancer.in_turn()
        try:
            return await self._repeat(request, nodes)
        except RequestFailedError as error:
            if error.failure.status != _NOT_FOUND or len(self.balancer) == 1:
                raise
        # A node that has just come back may not have the collection yet: ask another one, too.
        return await self._repeat(request, nodes)

    async def _repeat(self, request: Callable[[AsyncQdrantClient, Address], Awaitable[T]], nodes: Any) -> T:
        for left in reversed(range(self.attempts)):
            try:
                return await self._attempt(request, next(nodes))
            except RequestFailedError as error:
                if not error.failure.is_of_node or not left:
                    raise
            await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311  spreads retries, no secret
        raise AssertionError("unreachable")

    async def _attempt(self, request: Callable[[AsyncQdrantClient, Address], Awaitable[T]], node: Node) -> T:
        try:
            with library.translate_errors():
                async with asyncio.timeout(self._seconds):
                    found = await request(self._client(node.address), node.address)
        except RequestFailedError as error:
            if error.failure.is_of_node:
                self.balancer.eject(node, error.failure.reason)
            else:
                self.balancer.readmit(node)
            raise
        self.balancer.readmit(node)
        return found

    def _client(self, address: Address) -> AsyncQdrantClient:
        """Return the node's client with the present key; the one before it ends when its last call must have ended."""
        key, session = self._key(), self._sessions.get(address)
        if session is None or session.key != key:
            if session is not None:
                task = asyncio.create_task(self._retire(session.client))
                self._retired.add(task)
                task.add_done_callback(self._retired.discard)
            session = _Session(key, library.open_async_client(address, key, self._seconds))
            self._sessions[address] = session
        return session.client

    async def _retire(self, client: AsyncQdrantClient) -> None:
        try:
            await asyncio.sleep(self._seconds + 1)
        finally:
            await client.close()

    async def _is_ready(self, address: Address) -> bool:
        try:
            await self._greet(address, PROBE_SECONDS)
        except RequestFailedError:
            return False
        return True

    async def _greet(self, address: Address, seconds: float) -> None:
        """Ask the node at its REST address whether it is ready, and call it over gRPC if it has that."""
        try:
            response = await self._http.get(f"{address.url}/readyz", timeout=seconds)
        except httpx.HTTPError as error:
            raise RequestFailedError(Failure(NO_ANSWER, no_answer(error))) from error
        if response.status_code != httpx.codes.OK:
            raise RequestFailedError(Failure(response.status_code, f"/readyz answers {response.status_code}"))
        if address.grpc_url:
            with library.translate_errors():
                await library.greet(self._client(address), seconds)
