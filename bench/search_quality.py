"""`make bench-search`: how often a question finds its document, in every mode, against BM25 (bm25s) and ts_rank_cd.

The documents and questions are those of search_data.py. ragops searches as its API does, in its development engine.
`python bench/search_quality.py --tune` shows how the fusion was chosen, by other documents and questions.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any
from uuid import UUID

import bm25s
import psycopg
import search_data
import Stemmer
from measure import publish
from psycopg import sql

sys.path.insert(0, str(Path(__file__).parent.parent))

from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.async_client import AsyncClient
from ragops.adapters.qdrant.sparse import WordModel
from ragops.api.config import SearchConfig
from ragops.api.embedders import LocalEmbedder, Source
from ragops.api.retrieval import RRF_K, RRF_WEIGHTS, Retrieval
from ragops.embedding.batch import embed_batch
from ragops.embedding.hashing import HashingEmbedder
from ragops.embedding.static import StaticEmbedder
from ragops.ingest.context import lead_of, path_words, with_context
from ragops.ingest.split import Splitter
from ragops.ingest.vectors import Point, VectorStore
from tests.contract.qdrant_servers import KEY, development_engine
from tests.integration.timescaledb.conftest import WHEEL, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.embedding import Embedder

CHUNK, OVERLAP, DEEP, BATCH = 800, 100, 10, 500
TABLE = (
    "| set | search | chunks | hit@1 | hit@5 | MRR@10 | MRR@10, held-out half | a text twice in the top five"
    " | nothing found, of 50 |"
)
FUSIONS = [(k, (1.0, weight)) for k in (1, 2, 5, 60) for weight in (1.0, 1.5, 1.9, 2.5)]
Passage = tuple[str, str]  # document, text


@dataclass(frozen=True)
class Row:
    """The figures of one way to search one set."""

    data: str
    search: str
    chunks: str
    first: float
    five: float
    mrr: float
    held_out: float
    twice: int
    nothing: int

    def render(self) -> str:
        figures = f"{self.first:.3f} | {self.five:.3f} | {self.mrr:.3f} | {self.held_out:.3f}"
        figures += f" | {self.twice} | {self.nothing}"
        return f"| {self.data} | {self.search} | {self.chunks} | {figures} |"


def measure(data: search_data.Set, search: str, chunks: str, find: Callable[[str], list[Passage]]) -> Row:
    first = five = twice = 0
    scores: dict[bool, list[float]] = {True: [], False: []}
    for question in data.questions:
        found = find(question.text)[:DEEP]
        texts = [re.sub(r"\W+", " ", text).strip().casefold() for _, text in found[:5]]
        twice += len(set(texts)) < len(texts)
        rank = next((rank for rank, (name, _) in enumerate(found, 1) if name in question.answers), None)
        scores[question.is_held_out].append(1 / rank if rank else 0.0)
        first, five = first + (rank == 1), five + (rank is not None and rank <= 5)
    number = len(data.questions)
    nothing = sum(not find(text) for text in search_data.gibberish())
    mrr, held_out = mean([*scores[True], *scores[False]]), mean(scores[True])
    return Row(data.name, search, chunks, first / number, five / number, mrr, held_out, twice, nothing)


def split(documents: dict[str, str], kept: bool) -> list[Passage]:
    """All chunks of the documents; `kept`: short pieces and headings stay with what follows, as ingest has it."""
    splitter = Splitter(CHUNK, OVERLAP)
    cut = splitter.chunks if kept else splitter._pieces
    return [(name, chunk) for name, text in documents.items() for chunk in cut(name, [text])]


# --- ragops -----------------------------------------------------------------------------------------------------------


class Silent:
    """No node is expected to fail."""

    def ejected(self, node: Address, reason: str) -> None:
        raise AssertionError(f"{node.name}: {reason}")

    def readmitted(self, node: Address) -> None:
        pass


class Engine:
    """A running development engine, filled and asked by ragops' own code."""

    def __init__(self, url: str) -> None:
        self._address = Address("engine", url)
        self._loop = asyncio.new_event_loop()
        self._client = self._loop.run_until_complete(self._open())

    async def _open(self) -> AsyncClient:
        return AsyncClient([self._address], lambda: KEY, seconds=60, monotonic=time.monotonic, observer=Silent())

    def fill(self, name: str, passages: list[Passage], embedder: Embedder) -> None:
        seen: Counter[str] = Counter()
        leads: dict[str, str] = {}
        with VectorStore([self._address], KEY) as store:
            store.ensure(name, embedder.dimensions)
            for start in range(0, len(passages), BATCH):
                part = passages[start : start + BATCH]
                titles = [path_words(path) for path, _ in part]
                vectors = embed_batch(embedder, [text for _, text in part], titles)
                points = []
                for number, ((path, text), vector) in enumerate(zip(part, vectors, strict=True), start):
                    payload = {"path": path, "text": text, "document_id": path, "position": seen[path]}
                    lead = leads.get(path, "") if seen[path] else ""
                    leads.setdefault(path, lead_of(text))
                    seen[path] += 1
                    words = WordModel().of_passage(with_context(text, path_words(path), lead), CHUNK)
                    assert isinstance(vector, list)
                    points.append(Point(UUID(int=number), vector, payload, words))
                store.upsert(name, points)

    def finder(
        self, name: str, mode: Any, embedder: Embedder, fusion: tuple[int, tuple[float, float]] = (RRF_K, RRF_WEIGHTS)
    ) -> Callable[[str], list[Passage]]:
        retrieval = Retrieval(self._client, SearchConfig(mode=mode), *fusion)  # type: ignore[arg-type]
        source = Source(LocalEmbedder(embedder), True, name)

        def find(text: str) -> list[Passage]:
            vector = embedder.embed([text])[0] if retrieval.needs_vector else None
            found = self._loop.run_until_complete(retrieval.find(source, text, vector, DEEP))
            return [(hit.payload["path"], hit.payload["text"]) for hit in found.hits]

        return find


def measure_ragops(engine: Engine, data: search_data.Set, kept: bool) -> Iterator[Row]:
    passages = split(data.documents, kept)
    chunks = f"{len(passages)}, {'kept together' if kept else 'as cut'}"
    for embedder in (HashingEmbedder(), StaticEmbedder()):
        kind = "hashing" if isinstance(embedder, HashingEmbedder) else "static"
        name = f"{data.name}-{kind}-{kept}".replace(" ", "-")
        engine.fill(name, passages, embedder)
        yield measure(data, f"dense, {kind}", chunks, engine.finder(name, "dense", embedder))
        if kind == "static":
            yield measure(data, "sparse", chunks, engine.finder(name, "sparse", embedder))
        yield measure(data, f"hybrid, {kind}", chunks, engine.finder(name, "hybrid", embedder))


# --- others -----------------------------------------------------------------------------------------------------------


def measure_bm25s(data: search_data.Set, passages: list[Passage]) -> Row:
    stemmer = Stemmer.Stemmer("english")
    tokens = bm25s.tokenize([text for _, text in passages], stopwords="en", stemmer=stemmer, show_progress=False)
    index = bm25s.BM25()
    index.index(tokens, show_progress=False)

    def find(text: str) -> list[Passage]:
        asked = bm25s.tokenize([text], stopwords="en", stemmer=stemmer, show_progress=False, return_ids=False)
        if not asked[0] or not any(word in index.vocab_dict for word in asked[0]):
            return []
        places, scores = index.retrieve(asked, k=DEEP, show_progress=False)
        return [passages[place] for place, score in zip(places[0], scores[0], strict=True) if score > 0]

    return measure(data, "BM25 (bm25s)", f"{len(passages)}, kept together", find)


def measure_postgres(server: Server, data: search_data.Set, passages: list[Passage]) -> Row:
    login = server.endpoint.logins["operator"]
    with psycopg.connect(
        host="127.0.0.1", port=server.port, user="operator", password=login.password.get_secret_value(), dbname="postgres",
        autocommit=True,
    ) as connection:  # fmt: skip
        table = sql.Identifier(data.name)
        connection.execute(
            sql.SQL(
                "CREATE TABLE {} (name text, content text,"
                " words tsvector GENERATED ALWAYS AS (to_tsvector('english', content)) STORED)"
            ).format(table)
        )
        with connection.cursor() as cursor:
            rows = [(name, text.replace("\0", "")) for name, text in passages]
            cursor.executemany(sql.SQL("INSERT INTO {} VALUES (%s, %s)").format(table), rows)
        # Any of the words: with all of them most questions would find nothing.
        ask = sql.SQL(
            "WITH asked AS (SELECT replace(plainto_tsquery('english', %s)::text, '&', '|')::tsquery AS query)"
            " SELECT name, content FROM {}, asked WHERE words @@ query"
            " ORDER BY ts_rank_cd(words, query) DESC, name LIMIT %s"
        ).format(table)
        return measure(
            data, "PostgreSQL, `ts_rank_cd`", f"{len(passages)}, kept together",
            lambda text: connection.execute(ask, (text, DEEP)).fetchall(),
        )  # fmt: skip


# --- the page ---------------------------------------------------------------------------------------------------------


@contextmanager
def postgres() -> Iterator[Server]:
    server = Server(WHEEL)
    try:
        yield server
    finally:
        server.stop()


def bars(rows: list[Row]) -> str:
    """What the bars come to, set by set."""
    lines = []
    for data in dict.fromkeys(row.data for row in rows):
        mine = [row for row in rows if row.data == data and row.chunks.endswith("together")]
        hybrid = next(row for row in mine if row.search == "hybrid, static")
        single = max((row for row in mine if row.search.startswith(("dense", "sparse"))), key=lambda row: row.mrr)
        lines.append(
            f"- {data}: hybrid has {hybrid.mrr / single.mrr:.2f} times the MRR of the best single one ({single.search},"
            f" {single.mrr:.3f}), {hybrid.held_out / single.held_out:.2f} times on the held-out half; bar 1.05. {hybrid.twice} questions have a text twice in the top five; bar 0."
            f" Nothing is found for {hybrid.nothing} of {search_data.GIBBERISH} questions without sense; bar 45."
        )
    return "\n".join(lines)


def tune() -> None:
    """Print the MRR of each fusion for documents and questions that the page has no figures of."""
    with contextmanager(development_engine)() as server:
        engine, embedder = Engine(server.url), StaticEmbedder()
        for data in search_data.tuning():
            name = data.name.replace(" ", "-")
            engine.fill(name, split(data.documents, kept=True), embedder)
            for mode in ("dense", "sparse"):
                print(f"{data.name}, {mode}: {measure(data, mode, '', engine.finder(name, mode, embedder)).mrr:.3f}")
            for fusion in FUSIONS:
                mrr = measure(data, "hybrid", "", engine.finder(name, "hybrid", embedder, fusion)).mrr
                print(f"{data.name}, k {fusion[0]}, weights {fusion[1]}: {mrr:.3f}", flush=True)


def main() -> None:
    rows: list[Row] = []
    sets = (search_data.packages(), search_data.known())
    with contextmanager(development_engine)() as server, postgres() as database:
        engine = Engine(server.url)
        for data in sets:
            for kept in (False, True):
                rows += measure_ragops(engine, data, kept)
            passages = split(data.documents, kept=True)
            rows += [measure_bm25s(data, passages), measure_postgres(database, data, passages)]
    sizes = "; ".join(f"{data.name}: {len(data.documents)} documents, {len(data.questions)} questions" for data in sets)
    head = f"`make bench-search`, Python {sys.version.split()[0]}, {datetime.now(tz=UTC):%Y-%m-%d}; {sizes}."
    table = "\n".join([TABLE, "|" + " --- |" * 9, *(row.render() for row in rows)])
    publish("bench-search", f"{head}\n\n{table}\n\n{bars(rows)}")


if __name__ == "__main__":
    tune() if "--tune" in sys.argv else main()
