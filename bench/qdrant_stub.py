"""`python bench/qdrant_stub.py PORT`: a gRPC server that answers every query with the same 25 points, for the cost of the caller alone."""

from __future__ import annotations

import asyncio
import sys
from uuid import UUID

import grpc
from measure import passages
from qdrant_client import grpc as messages

FOUND = 25  # what a search of five passages asks for


def answers() -> list[bytes]:
    """Serialized answers that differ in their points, as those of different questions do."""
    texts, made = passages(), []
    for start in range(0, 200, FOUND):
        points = [point(number, texts[number % len(texts)], number - start) for number in range(start, start + FOUND)]
        made.append(messages.QueryResponse(result=points, time=0.001).SerializeToString())
    return made


def point(number: int, text: str, rank: int) -> messages.ScoredPoint:
    found = messages.ScoredPoint(id=messages.PointId(uuid=str(UUID(int=number))), score=1 / (2 + rank))
    strings = {"path": f"packages/{number}.md", "text": text, "heading": "Usage / Options", "content_hash": "0" * 64}
    for name, value in strings.items():
        found.payload[name].string_value = value
    for name, value in {"document_id": number, "position": 3}.items():
        found.payload[name].integer_value = value
    return found


async def serve(port: int) -> None:
    made, turn = answers(), 0

    async def query(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
        nonlocal turn
        turn += 1
        return made[turn % len(made)]

    server = grpc.aio.server()
    handlers = {"Query": grpc.unary_unary_rpc_method_handler(query)}  # bytes in, bytes out
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("qdrant.Points", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
