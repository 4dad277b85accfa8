"""Collections of Qdrant, each with one thing that real ones have."""

# ruff: noqa: E501  a table, a line for each kind

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

SIZE = 8
POINTS = 60
UUID = "57ef5637-60d1-4758-9c2a-c1da55aebefa"
DENSE = {"size": SIZE, "distance": "Cosine"}


def numbers(seed: int, size: int = SIZE) -> list[float]:
    dice = random.Random(seed)
    return [round(dice.uniform(-1, 1), 4) for _ in range(size)]


def sparse(seed: int) -> dict[str, Any]:
    dice = random.Random(seed)
    indices = sorted(dice.sample(range(1000), 5))
    return {"indices": indices, "values": [round(dice.random() + 0.1, 4) for _ in indices]}


def dense_points(count: int = POINTS) -> list[dict[str, Any]]:
    return [{"id": one, "vector": numbers(one), "payload": {"n": one, "word": f"w{one % 5}"}} for one in range(count)]


def of(make: Any, count: int = POINTS) -> list[dict[str, Any]]:
    """Points whose vectors `make` makes from their numbers."""
    return [{"id": one, "vector": make(one), "payload": {"n": one}} for one in range(count)]


@dataclass(frozen=True)
class Kind:
    """A collection: the body that makes it, its points, its indexes, aliases, and what is changed afterwards.

    `edge` says that the development engine has such a collection too. `requests` are made after all else.
    """

    what: str
    body: dict[str, Any] = field(default_factory=lambda: {"vectors": DENSE})
    points: list[dict[str, Any]] = field(default_factory=dense_points)
    indexes: dict[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    requests: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    name: str = "docs"
    keys: dict[str | int, list[dict[str, Any]]] = field(default_factory=dict)
    edge: bool = False


def index_kind(what: str, schema: Any, values: Any, *, edge: bool = False) -> Kind:
    points = [{"id": one, "vector": numbers(one), "payload": {"f": values(one)}} for one in range(POINTS)]
    return Kind(f"index: {what}", points=points, indexes={"f": schema}, edge=edge)


def quantized(what: str, config: dict[str, Any]) -> Kind:
    return Kind(f"quantization: {what}", {"vectors": DENSE, "quantization_config": config})


VECTORS = [
    Kind("dense, cosine", edge=True),
    Kind("dense, euclid", {"vectors": {"size": SIZE, "distance": "Euclid"}}, edge=True),
    Kind("dense, dot", {"vectors": {"size": SIZE, "distance": "Dot"}}, edge=True),
    Kind("dense, manhattan", {"vectors": {"size": SIZE, "distance": "Manhattan"}}, edge=True),
    Kind("dense, of one number", {"vectors": {"size": 1, "distance": "Dot"}}, of(lambda one: [one + 0.5])),
    Kind("dense, of 2,048 numbers", {"vectors": {"size": 2048, "distance": "Cosine"}}, of(lambda one: numbers(one, 2048), 5)),
    Kind(
        "named vectors, each with parameters of its own",
        {
            "vectors": {
                "text": {"size": 4, "distance": "Cosine", "hnsw_config": {"m": 8, "ef_construct": 40}},
                "Bild ö": {"size": 6, "distance": "Euclid", "on_disk": True},
                "small": {
                    "size": 4, "distance": "Dot", "quantization_config": {"scalar": {"type": "int8", "always_ram": True}},
                },
            }
        },
        of(lambda one: {"text": numbers(one, 4), "Bild ö": numbers(one, 6), "small": numbers(one, 4)}),
    ),
    Kind(
        "multivector",
        {"vectors": {"size": 4, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}},
        of(lambda one: [numbers(one * 10 + each, 4) for each in range(1 + one % 4)]),
    ),
    Kind("sparse", {"sparse_vectors": {"words": {}}}, of(lambda one: {"words": sparse(one)})),
    Kind(
        "sparse with idf, on disk, of half the width",
        {"sparse_vectors": {"w": {"modifier": "idf", "index": {"on_disk": True, "datatype": "float16", "full_scan_threshold": 9}}}},
        of(lambda one: {"w": sparse(one)}),
    ),
    Kind(
        "dense and sparse in one",
        {"vectors": {"d": DENSE}, "sparse_vectors": {"s": {"modifier": "idf"}}},
        of(lambda one: {"d": numbers(one), "s": sparse(one)}),
    ),
    Kind(
        "uint8",
        {"vectors": {"size": SIZE, "distance": "Dot", "datatype": "uint8"}},
        of(lambda one: [(one * 7 + each * 31) % 256 for each in range(SIZE)]),
    ),
    Kind("float16", {"vectors": {"size": SIZE, "distance": "Cosine", "datatype": "float16"}}),
    Kind("vectors on disk", {"vectors": {**DENSE, "on_disk": True}}),
    Kind("no vectors at all", {"vectors": {}}, of(lambda _one: {})),
    Kind(
        "points that lack some or all of the vectors",
        {"vectors": {"a": DENSE, "b": DENSE}, "sparse_vectors": {"s": {}}},
        of(lambda one: [{}, {"a": numbers(one)}, {"b": numbers(one)}, {"s": sparse(one)}][one % 4]),
    ),
]  # fmt: skip

QUANTIZATION = [
    quantized("scalar", {"scalar": {"type": "int8", "quantile": 0.95, "always_ram": True}}),
    quantized("product", {"product": {"compression": "x16", "always_ram": False}}),
    quantized("binary", {"binary": {"always_ram": True}}),
    quantized("binary, two bits, asymmetric", {"binary": {"encoding": "two_bits", "query_encoding": "scalar8bits"}}),
    quantized("turbo", {"turbo": {"always_ram": True}}),
]

SETTINGS = [
    Kind(
        "hnsw of its own",
        {"vectors": DENSE, "hnsw_config": {"m": 24, "ef_construct": 77, "full_scan_threshold": 11, "on_disk": True}},
    ),
    Kind("hnsw by tenant only", {"vectors": DENSE, "hnsw_config": {"m": 0, "payload_m": 16}}, indexes={"word": "keyword"}),
    Kind(
        "optimizer settings",
        {
            "vectors": DENSE,
            "optimizers_config": {
                "deleted_threshold": 0.5, "vacuum_min_vector_number": 123, "default_segment_number": 3,
                "max_segment_size": 77777, "indexing_threshold": 0, "flush_interval_sec": 9, "max_optimization_threads": 1,
            },
        },
    ),
    Kind("unoptimized segments prevented", {"vectors": DENSE, "optimizers_config": {"prevent_unoptimized": True}}),
    Kind("log settings", {"vectors": DENSE, "wal_config": {"wal_capacity_mb": 8, "wal_segments_ahead": 1}}),
    Kind("payload in memory", {"vectors": DENSE, "on_disk_payload": False}),
    Kind(
        "strict mode",
        {
            "vectors": DENSE,
            "strict_mode_config": {
                "enabled": True, "max_query_limit": 1000, "unindexed_filtering_retrieve": False, "search_max_hnsw_ef": 99,
                "upsert_max_batchsize": 100, "max_timeout": 60, "max_payload_index_count": 3, "max_points_count": 100_000,
            },
        },
        indexes={"n": "integer"},
    ),
    Kind(
        "strict mode that lets hardly anything be written",
        requests=(("PATCH", "", {"strict_mode_config": {
            "enabled": True, "write_rate_limit": 1, "upsert_max_batchsize": 1, "max_points_count": 10,
            "max_payload_index_count": 0, "multivector_config": {"": {"max_vectors": 3}},
            "sparse_config": {"s": {"max_length": 3}},
        }}),),
        indexes={"n": "integer"},
    ),
    Kind("metadata", {"vectors": DENSE, "metadata": {"owner": "search", "model": {"name": "e5", "dims": [8]}, "n": 1}}),
    Kind(
        "reads fanned out",
        requests=(("PATCH", "", {"params": {"read_fan_out_factor": 2, "read_fan_out_delay_ms": 50}}),),
    ),
    Kind("write consistency", {"vectors": DENSE, "replication_factor": 1, "write_consistency_factor": 1}),
    Kind("five shards", {"vectors": DENSE, "shard_number": 5}),
    Kind(
        "custom sharding, a key of which is gone",
        {"vectors": DENSE, "sharding_method": "custom", "shard_number": 2},
        points=[],
        keys={"gone": dense_points(3), "north ö/ß": dense_points(20), 7: [{**one, "id": one["id"] + 100} for one in dense_points(9)]},
        requests=(("POST", "/shards/delete", {"shard_key": "gone"}),),
    ),
    Kind("custom sharding without a key", {"vectors": DENSE, "sharding_method": "custom"}, points=[]),
]  # fmt: skip

INDEXES = [
    index_kind("keyword", "keyword", lambda one: f"k{one % 3}", edge=True),
    index_kind("keyword of a tenant, on disk", {"type": "keyword", "is_tenant": True, "on_disk": True}, lambda one: f"t{one % 3}"),
    index_kind("keyword without hnsw links", {"type": "keyword", "enable_hnsw": False}, lambda one: f"t{one % 3}"),
    index_kind("keywords in lists", "keyword", lambda one: [f"a{one}", f"b{one % 3}"], edge=True),
    index_kind("integer", "integer", lambda one: one - 30, edge=True),
    index_kind("integer, lookup only", {"type": "integer", "lookup": True, "range": False}, lambda one: one),
    index_kind("integer, range, principal, on disk",
               {"type": "integer", "lookup": False, "range": True, "is_principal": True, "on_disk": True}, lambda one: one),
    index_kind("float", "float", lambda one: one / 7, edge=True),
    index_kind("float, principal", {"type": "float", "is_principal": True, "on_disk": True}, lambda one: one / 3),
    index_kind("geo", "geo", lambda one: {"lon": one - 30.5, "lat": one / 2}),
    index_kind("geo on disk", {"type": "geo", "on_disk": True}, lambda one: [{"lon": 1.5, "lat": one / 2}]),
    index_kind("datetime", "datetime", lambda one: f"2026-01-{1 + one % 28:02}T03:04:05.678Z"),
    index_kind("datetime, principal", {"type": "datetime", "is_principal": True}, lambda one: f"2026-02-{1 + one % 28:02}"),
    index_kind("uuid", {"type": "uuid", "is_tenant": False}, lambda one: f"57ef5637-60d1-4758-9c2a-{one:012}"),
    index_kind("bool", "bool", lambda one: one % 2 == 0, edge=True),
    index_kind("text, words", {"type": "text", "tokenizer": "word", "min_token_len": 2, "max_token_len": 9,
                               "lowercase": True}, lambda one: f"Words of {one}, and More"),
    index_kind("text, white space", {"type": "text", "tokenizer": "whitespace", "lowercase": False}, lambda one: f"A B {one}"),
    index_kind("text, prefixes", {"type": "text", "tokenizer": "prefix", "min_token_len": 2}, lambda one: f"prefix{one}"),
    index_kind("text, of many languages", {"type": "text", "tokenizer": "multilingual", "on_disk": True}, lambda one: f"日本語 {one} ö"),
    index_kind(
        "text, stop words, stems, phrases, no accents",
        {"type": "text", "tokenizer": "word", "phrase_matching": True, "ascii_folding": True,
         "stopwords": {"languages": ["english"], "custom": ["foo"]}, "stemmer": {"type": "snowball", "language": "german"}},
        lambda one: f"the Häuser of foo {one}",
    ),
    Kind("index: of a nested key, and one that no point has",
         points=[{"id": one, "vector": numbers(one), "payload": {"a": {"b": [{"c": one}]}}} for one in range(POINTS)],
         indexes={"a.b[].c": "integer", "nowhere": "keyword"}),
    Kind("index: of eight fields", points=[{"id": one, "vector": numbers(one), "payload": {f"f{each}": one for each in range(8)}}
                                           for one in range(POINTS)], indexes={f"f{each}": "integer" for each in range(8)}),
]  # fmt: skip

NAMES = [
    Kind("several aliases", aliases=("current", "stable", "docs-2026"), edge=True),
    Kind("an alias that needs quoting", aliases=("näme with space & 100%+#;=,",), edge=True),
    Kind("a name with odd characters", name="Größe 100%+#;=,&(1)' [x] {y} ~ ..", edge=True),
    Kind("a name in another script", name="文書の集まり", aliases=("別名",), edge=True),
    Kind("a name like a copy's, but not", name="docs__ragops-restored"),
    Kind("a name with a dot in front", name=".hidden"),
    Kind("the longest name", name="n" * 200, points=dense_points(3)),
]

CONTENT = [
    Kind("empty", points=[], aliases=("void",), edge=True),
    Kind("ids at both ends", points=[{"id": one, "vector": numbers(1)} for one in (0, 2**63, 2**64 - 1, UUID)]),
    Kind("points without payload", points=[{"id": one, "vector": numbers(one)} for one in range(9)], edge=True),
    Kind(
        "payload of every type",
        points=[{"id": 1, "vector": numbers(1), "payload": {
            "null": None, "yes": True, "int": -(2**53), "big": 2**63 - 1, "float": 1.5e-300, "text": "ö\u0000\n\t\"'\\ 日本 🦀",
            "empty": [], "object": {}, "deep": {"a": [{"b": [[1, [2, {"c": None}]]]}]}, "": "no name", "a.b[0]": "like a path",
        }}],
    ),
    Kind("large payload", points=[{"id": one, "vector": numbers(one), "payload": {"text": f"{one} " * 200_000}} for one in range(3)]),
    Kind("deleted points", requests=(("POST", "/points/delete", {"points": list(range(0, POINTS, 2))}),)),
    Kind("points written over and over", requests=tuple(
        ("PUT", "/points", {"points": [{"id": 3, "vector": numbers(one), "payload": {"times": one}}]}) for one in range(5)
    )),
    Kind("vectors and payload taken away again", requests=(
        ("POST", "/points/payload/delete", {"keys": ["n"], "points": [1, 2, 3]}),
        ("POST", "/points/payload/clear", {"points": [4]}),
        ("POST", "/points/payload", {"payload": {"set": [1]}, "points": [5]}),
    )),
    Kind("an index that was removed", indexes={"n": "integer", "word": "keyword"}, requests=(("DELETE", "/index/n", {}),)),
]  # fmt: skip

KINDS = [*VECTORS, *QUANTIZATION, *SETTINGS, *INDEXES, *NAMES, *CONTENT]
