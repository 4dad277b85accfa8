"""One suite for the development engine and for a Qdrant server: both must give the same answers."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

if TYPE_CHECKING:
    from collections.abc import Iterator
from tests.contract.qdrant_servers import Server, error_of, upload

UUID = "57ef5637-60d1-4758-9c2a-c1da55aebefa"


@pytest.fixture
def client(server: Server) -> Iterator[QdrantClient]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        made = QdrantClient(url=server.url, api_key=server.key or None, timeout=60, trust_env=False)
    yield made
    made.close()


@pytest.fixture
def filled(client: QdrantClient, name: str) -> str:
    """A collection with five points on a quarter circle."""
    client.create_collection(name, models.VectorParams(size=2, distance=models.Distance.COSINE))
    rows = [(1, [1.0, 0.0]), (2, [0.9, 0.1]), (3, [0.5, 0.5]), (4, [0.1, 0.9]), (UUID, [0.0, 1.0])]
    points = [
        models.PointStruct(
            id=key,
            vector=vector,
            payload={"n": number, "kind": "even" if number % 2 == 0 else "odd", "tags": ["all", f"t{number}"]},
        )
        for number, (key, vector) in enumerate(rows)
    ]
    client.upsert(name, points, wait=True)
    return name


def must(key: str, **condition: Any) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key=key, **condition)])


# --- the service ------------------------------------------------------------------------------------------------------


def test_liveness_needs_no_key(server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/healthz").text == "healthz check passed"
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").text == "all shards are ready"
        root = client.get("/").json()
    assert set(root) >= {"title", "version"}
    major, minor, _ = root["version"].split(".")
    assert (int(major), int(minor)) >= (1, 18)


def test_development_engine_says_what_it_is(server: Server, raw: httpx.Client) -> None:
    if not server.development:
        pytest.skip("of the development engine only")
    assert "development engine" in raw.get("/").json()["title"]


@pytest.mark.parametrize("headers", [{}, {"api-key": "wrong"}, {"authorization": "Bearer wrong"}, {"api-key": ""}])
@pytest.mark.parametrize("path", ["/collections", "/metrics", "/collections/x/points/1"])
def test_key_is_asked_for(server: Server, headers: dict[str, str], path: str) -> None:
    if not server.key:
        pytest.skip("this server has no key")
    response = httpx.get(server.url + path, headers=headers, trust_env=False)
    assert response.status_code in (401, 403)
    assert server.key not in response.text


def test_bearer_token_is_taken_as_key(server: Server) -> None:
    if not server.key:
        pytest.skip("this server has no key")
    headers = {"authorization": f"Bearer {server.key}"}
    assert httpx.get(f"{server.url}/collections", headers=headers, trust_env=False).status_code == 200


def test_metrics(raw: httpx.Client, filled: str) -> None:
    page = raw.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    lines = page.text.splitlines()
    assert any(line.startswith("app_info{") for line in lines)
    assert any(line.startswith("collections_total ") for line in lines)
    assert any(line.startswith("rest_responses_total{") and 'method="PUT"' in line for line in lines)
    points = next(family for family in parse(page.text) if family.name == "collection_points")
    assert {sample.labels["id"]: sample.value for sample in points.samples}[filled] == 5


# --- collections ------------------------------------------------------------------------------------------------------


def test_collection_from_creation_to_deletion(raw: httpx.Client, client: QdrantClient, name: str) -> None:
    assert client.collection_exists(name) is False
    assert client.create_collection(name, models.VectorParams(size=4, distance=models.Distance.DOT)) is True
    assert client.collection_exists(name) is True
    assert name in [item.name for item in client.get_collections().collections]
    info = client.get_collection(name)
    assert info.status == models.CollectionStatus.GREEN
    assert info.points_count == 0
    assert info.config.params.vectors == models.VectorParams(size=4, distance=models.Distance.DOT)
    assert info.config.params.shard_number == 1
    assert client.delete_collection(name) is True
    assert client.collection_exists(name) is False
    again = raw.delete(f"/collections/{name}")
    assert (again.status_code, again.json()["result"]) == (200, False)


def test_answer_has_qdrants_shape(raw: httpx.Client) -> None:
    body = raw.get("/collections").json()
    assert body["status"] == "ok"
    assert isinstance(body["time"], float)
    assert isinstance(body["result"]["collections"], list)


def test_a_collection_that_is_there_already(raw: httpx.Client, filled: str) -> None:
    response = raw.put(f"/collections/{filled}", json={"vectors": {"size": 2, "distance": "Cosine"}})
    assert response.status_code == 409
    assert error_of(response) == f"Wrong input: Collection `{filled}` already exists!"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("GET", "/points/1", None),
        ("PUT", "/points", {"points": [{"id": 1, "vector": [1.0]}]}),
        ("POST", "/points/scroll", {}),
        ("POST", "/points/count", {}),
        ("POST", "/points/query", {"query": [1.0]}),
        ("POST", "/points/delete", {"points": [1]}),
        ("PUT", "/index", {"field_name": "a", "field_schema": "keyword"}),
        ("GET", "/cluster", None),
        ("GET", "/shards/0/snapshots", None),
        ("POST", "/shards/0/snapshots", None),
    ],
)
def test_unknown_collection(raw: httpx.Client, method: str, path: str, body: object) -> None:
    response = raw.request(method, f"/collections/not-there{path}", json=body)
    assert response.status_code == 404
    assert error_of(response) == "Not found: Collection `not-there` doesn't exist!"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"vectors": {"size": 0, "distance": "Cosine"}}, 400),
        ({"vectors": {"size": 70000, "distance": "Cosine"}}, 422),
        ({"vectors": {"size": 4, "distance": "Crow"}}, 400),
        ({"vectors": {"size": "four", "distance": "Cosine"}}, 400),
    ],
)
def test_bad_collection_parameters(raw: httpx.Client, name: str, body: object, status: int) -> None:
    response = raw.put(f"/collections/{name}", json=body)
    assert response.status_code == status
    assert error_of(response)
    assert raw.get(f"/collections/{name}/exists").json()["result"] == {"exists": False}


@pytest.mark.parametrize("bad", ["a:b", "a*b", "x" * 256])
def test_bad_collection_name(raw: httpx.Client, bad: str) -> None:
    response = raw.put(f"/collections/{bad}", json={"vectors": {"size": 2, "distance": "Dot"}})
    assert response.status_code == 422
    assert "collection_name" in error_of(response)


@pytest.mark.parametrize("body", [b"", b"{", b"[1, 2", b"nonsense", b'{"vectors": NaN}', b"\xff\xfe"])
def test_malformed_json(raw: httpx.Client, name: str, body: bytes) -> None:
    response = raw.put(f"/collections/{name}", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert "JSON" in error_of(response)


def test_cluster_of_a_collection(raw: httpx.Client, filled: str) -> None:
    result = raw.get(f"/collections/{filled}/cluster").json()["result"]
    assert isinstance(result["peer_id"], int)
    assert result["shard_count"] == 1
    (shard,) = result["local_shards"]
    assert (shard["shard_id"], shard["points_count"], shard["state"]) == (0, 5, "Active")
    assert result["remote_shards"] == []
    assert result["shard_transfers"] == []


# --- points -----------------------------------------------------------------------------------------------------------


def test_retrieve(client: QdrantClient, filled: str) -> None:
    found = client.retrieve(filled, [3, UUID, 99], with_payload=["n"], with_vectors=True)
    by_id = {point.id: point for point in found}
    assert set(by_id) == {3, UUID}
    assert by_id[3].payload == {"n": 2}
    assert by_id[3].vector == pytest.approx([0.5**0.5, 0.5**0.5], abs=1e-6)
    (bare,) = client.retrieve(filled, [1], with_payload=False)
    assert not bare.payload
    assert bare.vector is None


def test_one_point(raw: httpx.Client, filled: str) -> None:
    found = raw.get(f"/collections/{filled}/points/{UUID}").json()["result"]
    assert found["id"] == UUID
    assert found["payload"]["n"] == 4
    assert found["vector"] == pytest.approx([0, 1])
    missing = raw.get(f"/collections/{filled}/points/99")
    assert missing.status_code == 404
    assert error_of(missing) == "Not found: Point with id 99 does not exists!"


def test_upsert_replaces_a_point_whole(client: QdrantClient, filled: str) -> None:
    client.upsert(filled, [models.PointStruct(id=1, vector=[0.0, 1.0], payload={"new": True})], wait=True)
    (found,) = client.retrieve(filled, [1], with_vectors=True)
    assert found.payload == {"new": True}
    assert found.vector == pytest.approx([0, 1])
    assert client.count(filled).count == 5


def test_upsert_as_a_batch(client: QdrantClient, filled: str) -> None:
    batch = models.Batch(ids=[10, 11], vectors=[[1.0, 1.0], [1.0, 2.0]], payloads=[{"a": 1}, {}])
    assert client.upsert(filled, batch, wait=True).status == models.UpdateStatus.COMPLETED
    assert client.retrieve(filled, [10])[0].payload == {"a": 1}
    assert client.count(filled).count == 7


def test_update_status_follows_wait(client: QdrantClient, filled: str) -> None:
    point = models.PointStruct(id=10, vector=[1.0, 1.0])
    assert client.upsert(filled, [point], wait=True).status == models.UpdateStatus.COMPLETED
    assert client.upsert(filled, [point], wait=False).status == models.UpdateStatus.ACKNOWLEDGED


PAYLOAD = {
    "null": None, "int": -5, "large": 2**53, "float": 0.25, "bool": False, "": "empty",
    "text": "Größe \U0001f4a1 \"'\\",
    "list": [1, "a", None, [], {"x": {}}], "nested": {"a": {"b": [{"c": 1}]}},
}  # fmt: skip


def test_payload_comes_back_as_it_was(client: QdrantClient, filled: str) -> None:
    client.upsert(filled, [models.PointStruct(id=20, vector=[1.0, 1.0], payload=PAYLOAD)], wait=True)
    assert client.retrieve(filled, [20])[0].payload == PAYLOAD


@pytest.mark.parametrize(("vector", "status"), [([1.0], 400), ([1.0, 2.0, 3.0], 400), ([], 422)])
def test_wrong_vector_size_changes_nothing(
    raw: httpx.Client, client: QdrantClient, filled: str, vector: list[float], status: int
) -> None:
    points = [{"id": 1, "vector": [0.3, 0.3], "payload": {"n": 77}}, {"id": 30, "vector": vector}]
    response = raw.put(f"/collections/{filled}/points", params={"wait": "true"}, json={"points": points})
    assert response.status_code == status
    assert client.retrieve(filled, [30]) == []
    search = raw.post(f"/collections/{filled}/points/query", json={"query": vector})
    assert search.status_code == 400


def test_wrong_vector_size_in_words(raw: httpx.Client, filled: str) -> None:
    response = raw.put(
        f"/collections/{filled}/points", params={"wait": "true"}, json={"points": [{"id": 1, "vector": [1.0]}]}
    )
    assert error_of(response) == "Wrong input: Vector dimension error: expected dim: 2, got 1"


@pytest.mark.parametrize("bad", ["not-a-uuid", -1, 1.5, None, 2**64, [1]])
def test_bad_point_id(raw: httpx.Client, filled: str, bad: object) -> None:
    response = raw.put(f"/collections/{filled}/points", json={"points": [{"id": bad, "vector": [1.0, 1.0]}]})
    assert response.status_code == 400
    assert raw.post(f"/collections/{filled}/points", json={"ids": [bad]}).status_code == 400


@pytest.mark.parametrize("body", [{}, {"points": {}}, {"points": [{"id": 1}]}, {"points": [{"vector": [1, 2]}]}])
def test_bad_upsert(raw: httpx.Client, filled: str, body: object) -> None:
    response = raw.put(f"/collections/{filled}/points", json=body)
    assert response.status_code == 400
    assert error_of(response)


def test_scroll_visits_every_point_once(client: QdrantClient, filled: str) -> None:
    seen: list[Any] = []
    offset: Any = None
    while True:
        page, offset = client.scroll(filled, limit=2, offset=offset, with_payload=False)
        seen += [point.id for point in page]
        if offset is None:
            break
    assert seen == [1, 2, 3, 4, UUID]


def test_scroll_with_filter_and_page(raw: httpx.Client, filled: str) -> None:
    body = {"limit": 1, "filter": {"must": {"key": "kind", "match": {"value": "odd"}}}}
    result = raw.post(f"/collections/{filled}/points/scroll", json=body).json()["result"]
    assert [point["id"] for point in result["points"]] == [2]
    assert result["points"][0]["payload"]["kind"] == "odd"
    assert result["next_page_offset"] == 4


@pytest.mark.parametrize("limit", [0, -1, "ten"])
def test_bad_limit(raw: httpx.Client, filled: str, limit: object) -> None:
    for path, body in (("scroll", {}), ("query", {"query": [1.0, 0.0]})):
        response = raw.post(f"/collections/{filled}/points/{path}", json={**body, "limit": limit})
        assert response.status_code == (422 if limit == 0 else 400)


FILTERS = [
    (must("kind", match=models.MatchValue(value="even")), {1, 3, UUID}),
    (must("n", range=models.Range(gte=1, lt=3)), {2, 3}),
    (must("tags", match=models.MatchAny(any=["t0", "t4"])), {1, UUID}),
    (must("n", match=models.MatchExcept(**{"except": [0, 1]})), {3, 4, UUID}),
    (must("tags", values_count=models.ValuesCount(gt=2)), set()),
    (models.Filter(must_not=[models.HasIdCondition(has_id=[1, UUID])]), {2, 3, 4}),
    (models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="none"))]), {1, 2, 3, 4, UUID}),
    (
        models.Filter(
            should=[
                models.FieldCondition(key="n", match=models.MatchValue(value=0)),
                models.Filter(
                    must=[
                        models.FieldCondition(key="kind", match=models.MatchValue(value="odd")),
                        models.FieldCondition(key="n", range=models.Range(gt=1)),
                    ]
                ),
            ]
        ),
        {1, 4},
    ),
    (
        models.Filter(
            min_should=models.MinShould(
                conditions=[
                    models.FieldCondition(key="n", range=models.Range(gte=2)),
                    models.FieldCondition(key="kind", match=models.MatchValue(value="even")),
                ],
                min_count=2,
            )
        ),
        {3, UUID},
    ),
]


@pytest.mark.parametrize(("condition", "expected"), FILTERS)
def test_filters(client: QdrantClient, filled: str, condition: models.Filter, expected: set[Any]) -> None:
    page, _ = client.scroll(filled, scroll_filter=condition, limit=100)
    assert {point.id for point in page} == expected
    assert client.count(filled, count_filter=condition, exact=True).count == len(expected)
    hits = client.query_points(filled, query=[1.0, 0.0], query_filter=condition, limit=100).points
    assert {hit.id for hit in hits} == expected


@pytest.mark.parametrize(
    "bad",
    [{"must": [{"key": "n"}]}, {"must": [{"nothing": 1}]}, {"must": [{"key": "n", "match": {}}]}, {"must": 5}, []],
)
def test_bad_filter(raw: httpx.Client, filled: str, bad: object) -> None:
    response = raw.post(f"/collections/{filled}/points/count", json={"filter": bad})
    assert response.status_code in (400, 422)
    assert error_of(response)


def test_query_orders_by_nearness(client: QdrantClient, filled: str) -> None:
    hits = client.query_points(filled, query=[1.0, 0.0], limit=3, with_payload=True).points
    assert [hit.id for hit in hits] == [1, 2, 3]
    assert [hit.score for hit in hits] == pytest.approx([1.0, 0.99388, 0.70711], abs=1e-4)
    assert hits[0].payload is not None
    assert hits[0].payload["n"] == 0
    assert hits[0].vector is None


def test_query_defaults(raw: httpx.Client, filled: str) -> None:
    result = raw.post(f"/collections/{filled}/points/query", json={"query": [1.0, 0.0]}).json()["result"]
    assert [point["id"] for point in result["points"]] == [1, 2, 3, 4, UUID]
    assert all(set(point) >= {"id", "version", "score"} for point in result["points"])
    assert all(not point.get("payload") and not point.get("vector") for point in result["points"])


def test_query_with_offset_threshold_and_vectors(client: QdrantClient, filled: str) -> None:
    hits = client.query_points(
        filled, query=[1.0, 0.0], limit=10, offset=1, score_threshold=0.5, with_vectors=True
    ).points
    assert [hit.id for hit in hits] == [2, 3]
    assert hits[1].vector == pytest.approx([0.5**0.5, 0.5**0.5], abs=1e-6)


def test_query_as_nearest_and_exact(raw: httpx.Client, filled: str) -> None:
    body = {"query": {"nearest": [0.0, 1.0]}, "limit": 1, "params": {"exact": True, "hnsw_ef": 64}}
    result = raw.post(f"/collections/{filled}/points/query", json=body).json()["result"]
    assert [point["id"] for point in result["points"]] == [UUID]


@pytest.mark.parametrize(("distance", "order"), [("Euclid", [1, 2, 3]), ("Manhattan", [1, 2, 3]), ("Dot", [3, 2, 1])])
def test_other_distances(raw: httpx.Client, name: str, distance: str, order: list[int]) -> None:
    raw.put(f"/collections/{name}", json={"vectors": {"size": 1, "distance": distance}})
    points = [{"id": number, "vector": [float(number)]} for number in (1, 2, 3)]
    raw.put(f"/collections/{name}/points", params={"wait": "true"}, json={"points": points})
    found = raw.post(f"/collections/{name}/points/query", json={"query": [1.0]}).json()["result"]["points"]
    assert [point["id"] for point in found] == order


def test_delete_by_ids_and_by_filter(client: QdrantClient, filled: str) -> None:
    client.delete(filled, models.PointIdsList(points=[1, 99]), wait=True)
    assert client.count(filled).count == 4
    client.delete(filled, models.FilterSelector(filter=must("kind", match=models.MatchValue(value="odd"))), wait=True)
    page, _ = client.scroll(filled, limit=10)
    assert [point.id for point in page] == [3, UUID]


# --- payload indexes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "data_type"),
    [
        ("keyword", "keyword"),
        ("integer", "integer"),
        ("datetime", "datetime"),
        ("uuid", "uuid"),
        ({"type": "keyword", "is_tenant": True}, "keyword"),
        ({"type": "integer", "lookup": True, "range": False}, "integer"),
        ({"type": "text", "tokenizer": "word", "lowercase": True, "min_token_len": 2}, "text"),
    ],
)
def test_index_comes_and_goes(raw: httpx.Client, filled: str, schema: Any, data_type: str) -> None:
    body = {"field_name": "kind", "field_schema": schema}
    made = raw.put(f"/collections/{filled}/index", params={"wait": "true"}, json=body)
    assert made.json()["result"]["status"] == "completed"
    shown = raw.get(f"/collections/{filled}").json()["result"]["payload_schema"]
    assert shown["kind"]["data_type"] == data_type
    if isinstance(schema, dict):
        assert {name: shown["kind"]["params"][name] for name in schema} == schema
    gone = raw.delete(f"/collections/{filled}/index/kind", params={"wait": "true"})
    assert gone.json()["result"]["status"] == "completed"
    assert raw.get(f"/collections/{filled}").json()["result"]["payload_schema"] == {}


def test_text_index_finds_words(client: QdrantClient, filled: str) -> None:
    client.create_payload_index(filled, "kind", models.TextIndexParams(type=models.TextIndexType.TEXT), wait=True)
    found = client.count(filled, count_filter=must("kind", match=models.MatchText(text="even"))).count
    assert found == 3


@pytest.mark.parametrize("schema", ["nonsense", {"type": "nonsense"}, 5])
def test_bad_index(raw: httpx.Client, filled: str, schema: object) -> None:
    response = raw.put(f"/collections/{filled}/index", json={"field_name": "kind", "field_schema": schema})
    assert response.status_code == 400


# --- aliases ----------------------------------------------------------------------------------------------------------


def alias_operation(alias: str, collection: str) -> models.CreateAliasOperation:
    return models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=collection, alias_name=alias))


def test_alias_stands_for_its_collection(raw: httpx.Client, client: QdrantClient, filled: str) -> None:
    alias = f"alias-{uuid4().hex[:8]}"
    assert client.update_collection_aliases([alias_operation(alias, filled)]) is True
    assert client.count(alias).count == 5
    assert client.query_points(alias, query=[0.0, 1.0], limit=1).points[0].id == UUID
    assert client.collection_exists(alias) is True
    shown = {"alias_name": alias, "collection_name": filled}
    assert shown in raw.get("/aliases").json()["result"]["aliases"]
    assert raw.get(f"/collections/{filled}/aliases").json()["result"]["aliases"] == [shown]
    assert alias not in [item.name for item in client.get_collections().collections]
    rename = models.RenameAliasOperation(
        rename_alias=models.RenameAlias(old_alias_name=alias, new_alias_name=f"{alias}-2")
    )
    client.update_collection_aliases([rename])
    with pytest.raises(UnexpectedResponse) as failure:
        client.count(alias)
    assert failure.value.status_code == 404
    assert client.count(f"{alias}-2").count == 5
    delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=f"{alias}-2"))
    client.update_collection_aliases([delete])
    assert client.get_collection_aliases(filled).aliases == []


def test_alias_goes_with_its_collection(client: QdrantClient, filled: str) -> None:
    alias = f"alias-{uuid4().hex[:8]}"
    client.update_collection_aliases([alias_operation(alias, filled)])
    client.delete_collection(filled)
    assert alias not in [item.alias_name for item in client.get_aliases().aliases]


def test_bad_aliases(raw: httpx.Client, client: QdrantClient, filled: str) -> None:
    with pytest.raises(UnexpectedResponse) as missing:
        client.update_collection_aliases([alias_operation("x", "not-there")])
    assert missing.value.status_code == 404
    with pytest.raises(UnexpectedResponse) as taken:
        client.update_collection_aliases([alias_operation(filled, filled)])
    assert taken.value.status_code == 409
    rename = {"rename_alias": {"old_alias_name": "not-there", "new_alias_name": "y"}}
    response = raw.post("/collections/aliases", json={"actions": [rename]})
    assert response.status_code == 404
    assert error_of(response) == "Not found: Alias not-there does not exists!"


# --- shard snapshots --------------------------------------------------------------------------------------------------


def test_snapshot_round_trip(raw: httpx.Client, client: QdrantClient, filled: str) -> None:
    snapshots = f"/collections/{filled}/shards/0/snapshots"
    client.create_payload_index(filled, "kind", models.PayloadSchemaType.KEYWORD, wait=True)
    made = raw.post(snapshots, params={"wait": "true"}).json()["result"]
    assert made["name"].startswith(f"{filled}-shard-0-")
    assert made["name"].endswith(".snapshot")
    assert [item["name"] for item in raw.get(snapshots).json()["result"]] == [made["name"]]
    content = raw.get(f"{snapshots}/{made['name']}").content
    assert len(content) == made["size"]
    assert hashlib.sha256(content).hexdigest() == made["checksum"]
    client.delete(filled, models.PointIdsList(points=[1, 2]), wait=True)
    taken = upload(raw, filled, content, checksum=made["checksum"])
    assert (taken.status_code, taken.json()["status"]) == (200, "ok")
    assert client.count(filled).count == 5
    assert client.count(filled, count_filter=must("kind", match=models.MatchValue(value="even"))).count == 3
    client.upsert(filled, [models.PointStruct(id=50, vector=[1.0, 1.0])], wait=True)
    assert client.count(filled).count == 6
    assert raw.delete(f"{snapshots}/{made['name']}").json()["result"] is True
    assert raw.get(snapshots).json()["result"] == []
    assert raw.get(f"{snapshots}/{made['name']}").status_code == 404
    assert raw.delete(f"{snapshots}/{made['name']}").status_code == 404


def test_snapshot_into_a_fresh_collection(raw: httpx.Client, client: QdrantClient, filled: str) -> None:
    snapshots = f"/collections/{filled}/shards/0/snapshots"
    made = raw.post(snapshots, params={"wait": "true"}).json()["result"]
    content = raw.get(f"{snapshots}/{made['name']}").content
    raw.delete(f"{snapshots}/{made['name']}")
    client.delete_collection(filled)
    client.create_collection(filled, models.VectorParams(size=2, distance=models.Distance.COSINE))
    assert upload(raw, filled, content).status_code == 200
    assert client.count(filled).count == 5
    assert client.query_points(filled, query=[1.0, 0.0], limit=1).points[0].id == 1


def test_upload_with_a_wrong_checksum(raw: httpx.Client, client: QdrantClient, filled: str) -> None:
    response = upload(raw, filled, b"x" * 2048, checksum="0" * 64)
    assert response.status_code == 400
    assert error_of(response).startswith("Checksum mismatch")
    assert client.count(filled).count == 5


def test_snapshot_of_an_unknown_shard(raw: httpx.Client, filled: str) -> None:
    response = raw.post(f"/collections/{filled}/shards/7/snapshots")
    assert response.status_code == 404
    assert error_of(response) == "Not found: shard 7 not found"
