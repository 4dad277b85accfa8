"""Questions to API and gateway while a collection is built again by the command, killed, switched, and cleaned up."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.asking import Questions
from tests.loaded_platform import outputs
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.loaded_platform import Loaded

pytestmark = [pytest.mark.engine, pytest.mark.fault]
FILES = 240
TOPICS = ("lamp of the harbour", "bell of the tower", "gate of the garden")
NAME = "built"
VALUES = {"directory": NAME, "embeddingModel": "hashing-384-v1", "chunkSize": 200, "fileTypes": ["md"]}


def write(folder: Path, state: str) -> None:
    """Files whose every line names the state of the collection that it is part of."""
    folder.mkdir(exist_ok=True)
    for number in range(FILES):
        lines = [f"The {topic} number {number} is {state}, as ever." for topic in TOPICS for _ in range(4)]
        (folder / f"{number:03}.md").write_text("\n\n".join(lines))


@pytest.fixture
def questions(loaded: Loaded) -> Iterator[Questions]:
    """The collection in its first state, and questions to it that begin with the block."""
    write(loaded.root / NAME, "green")
    (loaded.root / "built.json").write_text(json.dumps({"collections": [{"name": NAME, **VALUES}]}))
    loaded.run("migrate", "json-to-db", "built.json")
    loaded.run("ingest", NAME)
    found = outputs(loaded.root, loaded.ragops)
    yield Questions((found["API_URL"], found["GATEWAY_URL"]), loaded.token, NAME, TOPICS)
    loaded.run("collection", "remove", NAME, "--yes")


def state_of(texts: tuple[str, ...]) -> str:
    """The state that all texts are of; `mixed` if they are of several."""
    states = [[word for word in ("green", "amber", "blue") if word in text] for text in texts]
    return states[0][0] if all(one == states[0] and len(one) == 1 for one in states) else "mixed"


def test_every_question_is_answered_while_a_collection_is_built_again(loaded: Loaded, questions: Questions) -> None:
    def ended(*words: str) -> float:
        loaded.run(*words)
        return time.monotonic()

    with questions as asked:
        begin = asked.go_on()
        write(loaded.root / NAME, "amber")
        kill_half_way(loaded)
        killed = asked.go_on()
        assert {state_of(one.texts) for one in asked.between(begin)} == {"green"}
        switched = ended("ingest", "--rebuild", NAME)
        dropped = ended("ingest", "--drop-old", NAME)
        asked.go_on(80)
        write(loaded.root / NAME, "blue")
        ended("ingest", "--rebuild", NAME)
        again = ended("ingest", "--drop-old", NAME)
        asked.go_on()
    assert asked.failed == []
    states = [(state_of(one.texts), one.asked, one.cached) for one in asked.answers]
    assert {state for state, *_ in states} == {"green", "amber", "blue"}
    assert {state for state, at, _ in states if at < killed} == {"green"}
    assert {state for state, at, _ in states if switched < at < dropped + 0.1} == {"amber"}, "the cache was asked"
    assert {state for state, at, _ in states if at > again} == {"blue"}
    assert {(state, cached) for state, _, cached in states} >= {("green", True), ("amber", True), ("blue", True)}
    names = loaded.run("collection", "show", NAME, "--json").json()
    assert set(names["points"]) == {f"{NAME}@3"}
    assert len(set(names["points"].values()) | set(names["chunks"].values())) == 1


def kill_half_way(loaded: Loaded) -> None:
    """End a rebuild by SIGKILL when the first documents are stored."""
    waiting = "SELECT count(*) FROM rag.documents d JOIN rag.collections c ON c.id = d.collection_id WHERE c.name = %s"
    run = loaded.ragops.start("ingest", "--rebuild", NAME, cwd=loaded.root)
    with psycopg.connect(outputs(loaded.root, loaded.ragops)["TIMESCALEDB_URL"], autocommit=True) as connection:

        def begun() -> bool:
            assert run.poll() is None, run.communicate()
            row = connection.execute(waiting, [f"{NAME}@2"]).fetchone()
            return row is not None and row[0] > 0

        wait_until(begun, 60, "the first document of a rebuild")
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate(timeout=30)
    assert run.returncode == -signal.SIGKILL
