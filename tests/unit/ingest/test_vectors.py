"""The client of the vector store against a server that answers what it is told to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from ragops.adapters.qdrant.addresses import Address
from ragops.errors import IntegrityError, MissingError, RagopsError, UnhealthyError
from ragops.ingest.vectors import Point, PointsRefusedError, VectorStore
from ragops.services.contract import Endpoint, Login, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = UUID(int=1)
DONE = {"result": {"operation_id": 1, "status": "completed"}, "status": "ok", "time": 0.0}
WORDS = {"bm25": {"modifier": "idf"}}
MADE = {"result": True, "status": "ok", "time": 0.0}


class Server:
    """Answers with what is in `answers`, the last of them for ever; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, object, str]] = []
        self.answers: list[tuple[int, object]] = [(200, DONE)]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                asked = (self.command, self.path, json.loads(body) if body else None, self.headers.get("api-key", ""))
                outer.asked.append(asked)
                status, value = outer.respond(asked[2])
                content = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def respond(self, _body: object) -> tuple[int, object]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def store(*servers: Server, attempts: int = 3) -> VectorStore:
    return VectorStore([Address(server.url, server.url) for server in servers], "the-key", seconds=5, attempts=attempts)


def error(words: str) -> dict:
    return {"status": {"error": words}, "time": 0.0}


def description(size: int, distance: str = "Cosine") -> dict:
    return info({"vectors": {"size": size, "distance": distance}})


def info(params: dict) -> dict:
    """A collection as Qdrant describes it."""
    optimizers = {
        "deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0,
        "flush_interval_sec": 5,
    }  # fmt: skip
    config = {
        "params": params, "optimizer_config": optimizers,
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
    }  # fmt: skip
    described = {
        "status": "green", "optimizer_status": "ok", "segments_count": 1, "config": config, "payload_schema": {},
    }  # fmt: skip
    return {"result": described, "status": "ok", "time": 0.0}


def page(ids: list, following: object) -> dict:
    points = [{"id": one} for one in ids]
    return {"result": {"points": points, "next_page_offset": following}, "status": "ok", "time": 0.0}


def test_an_upsert_says_key_id_vector_and_waits(server: Server) -> None:
    with store(server) as client:
        client.upsert("docs", [Point(ID, [0.5, 0.5], {"path": "ä"})])
    body = {"points": [{"id": str(ID), "vector": [0.5, 0.5], "payload": {"path": "ä"}}]}
    assert server.asked == [("PUT", "/collections/docs/points?wait=true", body, "the-key")]


def test_a_node_that_fails_is_passed_over_for_the_next(server: Server) -> None:
    other = Server()
    server.answers = [(500, error("on fire"))]
    try:
        with store(server, other) as client:
            client.upsert("docs", [])
            client.upsert("docs", [])
        assert (len(server.asked), len(other.asked)) == (1, 2)
    finally:
        other.close()


def test_nobody_answers() -> None:
    gone = Server()
    gone.close()
    with store(gone) as client, pytest.raises(UnhealthyError) as caught:
        client.count("docs")
    assert caught.value.code == "qdrant_unreachable"
    assert "the-key" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "code", "tries"),
    [
        (401, MissingError, "qdrant_key_refused", 1),
        (400, PointsRefusedError, "qdrant_refused", 1),
        (413, PointsRefusedError, "qdrant_refused", 1),
        (404, RagopsError, "qdrant_error", 1),
        (501, MissingError, "qdrant_not_supported", 1),
        (507, MissingError, "disk_full", 1),
        (429, UnhealthyError, "qdrant_unreachable", 3),
        (503, UnhealthyError, "qdrant_unreachable", 3),
    ],
)
def test_what_answers_mean(server: Server, status: int, kind: type[RagopsError], code: str, tries: int) -> None:
    server.answers = [(status, error("its words"))]
    with store(server) as client, pytest.raises(kind, match="its words") as caught:
        client.upsert("docs", [])
    assert (caught.value.code, len(server.asked)) == (code, tries)


class StrictServer(Server):
    """A server with `upsert_max_batchsize`, as Qdrant's strict mode has it."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.stored: list[str] = []

    def respond(self, body: dict) -> tuple[int, object]:
        if len(body["points"]) > self.most:
            return 400, error(f"Forbidden: Upsert limit exceeded: {len(body['points'])} > {self.most}")
        self.stored += [point["id"] for point in body["points"]]
        return 200, DONE


def test_points_go_in_smaller_requests_if_the_server_takes_no_larger_ones() -> None:
    strict = StrictServer(16)
    points = [Point(UUID(int=number), [0.5], {}) for number in range(128)]
    try:
        with store(strict) as client:
            client.upsert("docs", points)
            assert strict.stored == [str(point.id) for point in points]
            before = len(strict.asked)
            client.upsert("docs", points)
            assert len(strict.asked) - before == 8  # as many as it is known to take, none refused again
            strict.most = 0
            with pytest.raises(PointsRefusedError, match="1 > 0"):
                client.upsert("docs", points)
    finally:
        strict.close()


def test_an_answer_that_is_not_qdrants(server: Server) -> None:
    server.answers = [(200, b"<html>")]
    with store(server) as client, pytest.raises(UnhealthyError, match="not Qdrant's"):
        client.count("docs")


def test_a_collection_is_made_once(server: Server) -> None:
    server.answers = [(404, error("no")), (200, MADE)]
    with store(server) as client:
        client.ensure("docs", 4)
    assert [(method, body) for method, _, body, _ in server.asked] == [
        ("GET", None), ("PUT", {"vectors": {"size": 4, "distance": "Cosine"}, "sparse_vectors": WORDS}),
    ]  # fmt: skip
    server.answers = [(404, error("no")), (409, error("already exists")), (200, description(4))]
    with store(server) as client:
        client.ensure("docs", 4)


@pytest.mark.parametrize(
    ("options", "placement"),
    [
        (
            {"shard_number": "6", "replication_factor": "2"},
            {
                "shard_number": 6,
                "replication_factor": 2,
                "write_consistency_factor": 1,
                "metadata": {"ragops_shards_set": 6},
            },
        ),
        (
            {},
            {
                "shard_number": 1,
                "replication_factor": 3,
                "write_consistency_factor": 2,
                "metadata": {"ragops_copy_on_every_node": 3},
            },
        ),
    ],
)
def test_a_collection_of_a_cluster_is_laid_out_as_is_set_or_on_every_node(
    server: Server, options: dict[str, str], placement: dict[str, Any]
) -> None:
    login = Login("", "key", SecretStr("the-key"))
    endpoint = Endpoint(
        service="qdrant", engine="qdrant", version="1.18.3", runtime="docker", host="127.0.0.1", port=1,
        options=options, logins={"application": login},
        nodes=tuple(Node(f"qdrant-{number}", server.url) for number in (1, 2, 3)),
    )  # fmt: skip
    server.answers = [(404, error("Not found")), (200, MADE)]
    with VectorStore.at(endpoint) as client:
        assert client.ensure("docs", 4) is not None
    assert server.asked[1][2] == {
        "vectors": {"size": 4, "distance": "Cosine"},
        "sparse_vectors": WORDS,
        "optimizers_config": {"indexing_threshold": 2000},
        "hnsw_config": {"full_scan_threshold": 2000},
        **placement,
    }


@pytest.mark.parametrize("found", [description(8), description(4, "Dot"), info({})])
def test_a_collection_for_other_vectors_is_refused(server: Server, found: dict) -> None:
    server.answers = [(200, found)]
    with store(server) as client, pytest.raises(IntegrityError) as caught:
        client.ensure("docs", 4)
    assert caught.value.code == "vectors_differ"
    assert {method for method, *_ in server.asked} == {"GET"}


def test_the_hint_of_a_collection_that_was_built_again_names_the_collection(server: Server) -> None:
    server.answers = [(200, description(8))]
    with store(server) as client, pytest.raises(IntegrityError) as caught:
        client.ensure("docs@2", 4)
    assert "`ragops ingest --rebuild docs`" in caught.value.hint


def test_ids_come_page_by_page(server: Server) -> None:
    server.answers = [
        (200, page([7], str(ID))),
        (200, page([str(ID)], None)),
    ]
    with store(server) as client:
        assert list(client.pages("docs")) == [[7], [ID]]
    assert server.asked[1][2]["offset"] == str(ID)  # type: ignore[index]


def test_large_deletions_go_in_pages(server: Server) -> None:
    with store(server) as client:
        client.delete("docs", [UUID(int=number) for number in range(2500)])
    assert [len(body["points"]) for _, _, body, _ in server.asked] == [1000, 1000, 500]  # type: ignore[index]
