"""The client of the RAG API: searches spread over the nodes, on `AsyncQdrantClient`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import httpx

from ragops.adapters.qdrant import library
from ragops.adapters.qdrant.addresses import verification
from ragops.adapters.qdrant.balancing import PROBE_SECONDS, Balancer
from ragops.adapters.qdrant.failures import NO_ANSWER, Failure, RequestFailedError, no_answer
from ragops.adapters.qdrant.hedging import Hedging
from ragops.adapters.qdrant.searching import Hit, Question, search_by_grpc, search_by_rest
from ragops.adapters.trace_context import span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

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
    stub: library.Stub | None  # None if the node has no gRPC

    async def close(self) -> None:
        await self.client.close()
        if self.stub is not None:
            await self.stub.close()


_Request = Callable[[_Session, "Address"], Awaitable[T]]


class AsyncClient:
    """Reads spread over the nodes, to the nearer one of two; a node that fails is ejected until a probe succeeded.

    A search that takes longer than 95 of 100 is asked of a second node as well, at most one in twenty; the first answer
    counts, and the other call is cancelled. `on_hedge` is called then.
    `on_answer` gets the node that answered a search, and in how many seconds.
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
        on_hedge: Callable[[], None] = lambda: None,
        on_answer: Callable[[Address, float], None] = lambda _node, _seconds: None,
    ) -> None:
        self._key = key
        self._monotonic = monotonic
        self._on_hedge = on_hedge
        self._on_answer = on_answer
        self._hedging = Hedging()
        self._seconds = seconds
        verify = next((found for one in addresses if (found := verification(one.url))), False)
        self._http = httpx.AsyncClient(timeout=seconds, trust_env=False, verify=verify)
        self._sessions: dict[Address, _Session] = {}
        self._retired: set[asyncio.Task[None]] = set()
        self.balancer = Balancer(addresses, self._is_ready, monotonic, observer)
        self.attempts = max(_LEAST_ATTEMPTS, min(len(addresses), _MOST_NODES_ASKED))

    async def query(self, collection: str, asked: Question) -> list[Hit]:
        """Return the best points with their payloads, best first; a failure with 404 or 400 may be its result."""

        async def request(session: _Session, address: Address) -> list[Hit]:
            if session.stub is not None:
                return await search_by_grpc(session.stub, collection, asked, self._seconds)
            return await search_by_rest(session.client, library.collection_path(address, collection), asked)

        return await self._call(request, collection)

    async def collections(self) -> list[str]:
        """Return the names of all collections."""

        async def request(session: _Session, _address: Address) -> list[str]:
            return [item.name for item in (await session.client.get_collections()).collections]

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
            await session.close()
        await self._http.aclose()

    async def _call(self, request: _Request[T], collection: str = "") -> T:
        """Return the answer of a node; `collection` is named by a search, which may be asked of two at once."""
        nodes = self.balancer.in_turn(collection)
        try:
            return await self._repeat(request, nodes, collection)
        except RequestFailedError as error:
            if error.failure.status != _NOT_FOUND or len(self.balancer) == 1:
                raise
        # A node that has just come back may not have the collection yet: ask another one, too.
        return await self._repeat(request, nodes, "")

    async def _repeat(self, request: _Request[T], nodes: Iterator[Node], collection: str) -> T:
        for left in reversed(range(self.attempts)):
            try:
                if collection and self._hedging.delay is not None and len(self.balancer) > 1:
                    return await self._hedge(request, nodes, collection, self._hedging.delay)
                return await self._attempt(request, next(nodes), collection)
            except RequestFailedError as error:
                if not error.failure.is_of_node or not left:
                    raise
            await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311  spreads retries, no secret
        raise AssertionError("unreachable")

    async def _hedge(self, request: _Request[T], nodes: Iterator[Node], collection: str, delay: float) -> T:
        """Ask a node, after `delay` seconds the next one too; return the first answer, else raise the first failure."""
        calls = [asyncio.create_task(self._attempt(request, next(nodes), collection))]
        try:
            done, _ = await asyncio.wait(calls, timeout=delay)
            if not done and self.balancer.has_choice and self._hedging.take():
                self._on_hedge()
                calls.append(asyncio.create_task(self._attempt(request, next(nodes), collection)))
            waiting = set(calls)
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for call in done:
                    if call.exception() is None:
                        return call.result()
            return calls[0].result()
        finally:
            running = [call for call in calls if not call.done()]
            for call in running:
                call.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _attempt(self, request: _Request[T], node: Node, collection: str) -> T:
        began = self._monotonic()
        node.in_flight += 1
        try:
            with library.translate_errors(), self._span(node, collection):
                async with asyncio.timeout(self._seconds):
                    found = await request(self._session(node.address), node.address)
        except RequestFailedError as error:
            if error.failure.is_of_node:
                self.balancer.eject(node, error.failure.reason)
            else:
                self.balancer.readmit(node)
            raise
        except asyncio.CancelledError:  # another node was quicker, or the caller has left
            node.add(collection, self._monotonic() - began, self._monotonic())
            raise
        finally:
            node.in_flight -= 1
        self.balancer.readmit(node)
        now = self._monotonic()
        node.add(collection, now - began, now)
        if collection:
            self._hedging.add(now - began)
            self._on_answer(node.address, now - began)
        return found

    def _span(self, node: Node, collection: str) -> AbstractContextManager[object]:
        return span("search" if collection else "ask", is_call=True, node=node.address.name, collection=collection)

    def _session(self, address: Address) -> _Session:
        """Return the node's clients with the present key; those before it end when their last call must have ended."""
        key, session = self._key(), self._sessions.get(address)
        if session is None or session.key != key:
            if session is not None:
                task = asyncio.create_task(self._retire(session))
                self._retired.add(task)
                task.add_done_callback(self._retired.discard)
            stub = library.Stub(address, key) if address.grpc_url else None
            session = _Session(key, library.open_async_client(address, key, self._seconds), stub)
            self._sessions[address] = session
        return session

    async def _retire(self, session: _Session) -> None:
        try:
            await asyncio.sleep(self._seconds + 1)
        finally:
            await session.close()

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
        if (stub := self._session(address).stub) is not None:
            with library.translate_errors():
                await stub.greet(seconds)
