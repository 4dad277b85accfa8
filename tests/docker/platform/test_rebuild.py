"""A collection built again on the cluster of three: asked, killed, backed up, without a node."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.asking import Questions
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.engine, pytest.mark.fault]
NAME, FILES = "built", 300
TOPICS = ("lamp of the harbour", "bell of the tower", "gate of the garden")
VALUES = {"directory": NAME, "embeddingModel": "hashing-384-v1", "chunkSize": 200, "fileTypes": ["md"]}


def write(whole: Any, state: str) -> None:
    folder = whole.root / NAME
    folder.mkdir(exist_ok=True)
    for number in range(FILES):
        lines = [f"The {topic} number {number} is {state}, as ever." for topic in TOPICS for _ in range(4)]
        (folder / f"{number:03}.md").write_text("\n\n".join(lines))


def state_of(texts: tuple[str, ...]) -> str:
    states = [[word for word in ("green", "amber", "blue") if word in text] for text in texts]
    return states[0][0] if all(one == states[0] and len(one) == 1 for one in states) else "mixed"


@pytest.fixture
def questions(whole: Any, token: str) -> Iterator[Questions]:
    write(whole, "green")
    (whole.root / "built.json").write_text(json.dumps({"collections": [{"name": NAME, **VALUES}]}))
    whole.run("migrate", "json-to-db", "built.json")
    whole.run("ingest", NAME)
    found = whole.outputs()
    yield Questions((found["API_URL"], found["GATEWAY_URL"]), token, NAME, TOPICS)
    whole.run("collection", "remove", NAME, "--yes")


def start_half(whole: Any) -> Any:
    """A rebuild that has stored the first documents and goes on."""
    waiting = "SELECT count(*) FROM rag.documents d JOIN rag.collections c ON c.id = d.collection_id WHERE c.name ~ %s"
    run = whole.ragops.start("ingest", "--rebuild", NAME, cwd=whole.root, env=whole.env)
    with psycopg.connect(whole.outputs()["TIMESCALEDB_URL"], autocommit=True) as connection:

        def begun() -> bool:
            row = connection.execute(waiting, [f"^{NAME}@[0-9]+$"]).fetchone()
            return run.poll() is not None or (row is not None and row[0] > 0)

        wait_until(begun, 120, "the first document of a rebuild")
    return run


def test_every_question_is_answered_while_a_collection_is_built_again(whole: Any, questions: Questions) -> None:
    with questions as asked:
        begin = asked.go_on()
        write(whole, "amber")
        run = start_half(whole)
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate(timeout=60)
        killed = asked.go_on()
        assert {state_of(one.texts) for one in asked.between(begin)} == {"green"}
        whole.run("backup", "run", "--quiet")
        whole.run("ingest", "--rebuild", NAME)
        switched = time.monotonic()
        whole.run("ingest", "--drop-old", NAME)
        asked.go_on(80)
        write(whole, "blue")
        run = start_half(whole)
        whole.docker.api.kill(whole.name("qdrant-2"))
        out, err = run.communicate(timeout=300)
        asked.go_on()
        whole.up()
        if run.returncode:  # a node was lost: it may be told so, and then continues
            whole.run("ingest", "--rebuild", NAME)
        built = time.monotonic()
        whole.run("ingest", "--drop-old", NAME)
        asked.go_on(80)
    print(f"{len(asked.answers)} answers, {len(asked.failed)} failed; {run.returncode} {out[-300:]} {err[-300:]}")
    assert asked.failed == []
    found = {(state_of(one.texts), *_when(one.asked, killed, switched, built)) for one in asked.answers}
    assert "mixed" not in {state for state, *_ in found}
    assert {state for state, before, *_ in found if before} == {"green"}
    assert {state for state, _, _, after in found if after} == {"blue"}
    assert {state for state, *_ in found} == {"green", "amber", "blue"}
    shown = whole.json("collection", "show", NAME)
    assert (set(shown["points"]), shown["points"]) == ({f"{NAME}@3"}, shown["chunks"])
    whole.run("backup", "verify", "--deep")  # without a proof of a restore the platform is not well


def _when(asked: float, killed: float, switched: float, built: float) -> tuple[bool, bool, bool]:
    return asked < killed, killed <= asked < switched, asked > built
