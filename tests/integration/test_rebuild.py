"""A collection built again on real engines: killed wherever it can be killed, and what else is done meanwhile."""

# ruff: noqa: F811
from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from ragops.embedding.hashing import HashingEmbedder
from ragops.embedding.spec import ModelSpec
from ragops.errors import IntegrityError, LockedError, UnhealthyError
from ragops.ingest import jobs
from ragops.ingest.document_store import open_store
from ragops.operations.data import collections
from ragops.operations.data.ingest import ingest
from ragops.operations.data.models import Models
from tests.integration.test_ingest import (  # noqa: F401
    EMBEDDER,
    World,
    check_settled,
    drop,
    fill,
    forked,
    migrated,
    mutate,
    points_of,
    rebuild,
    store,
    words,
    world,
)
from tests.unit.embedding.model_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.fault, pytest.mark.servers]
_MOST_EFFECTS = 70  # that a rebuild of four documents has on the stores


def texts_of(world: World, points: str) -> set[tuple[str, str]]:
    """What a question can find in a collection of points: path and text of each."""
    return {(one["path"], one["text"]) for one in world.store.points(points).values()}


def at_store(action: Callable[[], object], files: int = 0) -> Callable[[Any], None]:
    """Do something once, when so many documents of a build are stored."""
    left = [action]

    def on_progress(progress: Any) -> None:
        if progress.stage == "store" and progress.files >= files and left:
            left.pop()()

    return on_progress


def ingest_many(world: World) -> None:
    """Ingest more documents than a batch has."""
    for number in range(250):
        world.write(f"{number:03}.md", words(number, 20))
    world.run()


def give_up(world: World, *embedder: HashingEmbedder) -> None:
    """Interrupt a rebuild once a hundred documents are stored."""

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(world, *embedder, on_progress=at_store(stop, 100))


@pytest.mark.campaign(sample=4)
@pytest.mark.parametrize("effects", range(_MOST_EFFECTS))
def test_killed_anywhere_it_is_continued_and_loses_nothing(world: World, effects: int) -> None:
    fill(world)
    world.run()
    old = texts_of(world, "docs")
    mutate(world)
    ended = forked(lambda: rebuild(world), effects)
    assert ended in (0, -signal.SIGKILL)
    assert effects < _MOST_EFFECTS - 1 or ended == 0, "the campaign ends before the rebuild does"
    live, count = points_of(world)
    assert count == len(world.store.points(live))
    assert texts_of(world, live) == (old if live == "docs" else texts_of(world, "docs@2"))
    assert texts_of(world, "docs") == old, "the old points are there until they are dropped"
    if live == "docs":
        report = rebuild(world).collections[0]
        assert [one.path for one in report.failed] == ["bad.md"]
    drop(world)
    check_settled(world, "docs@2")
    assert {path for path, _ in texts_of(world, "docs@2")} == {"a.md", "deep/er/b.txt", "moved.md", "new.md"}
    assert drop(world) == []


def test_a_build_that_was_given_up_does_not_stop_one_with_other_vectors(world: World) -> None:
    ingest_many(world)
    give_up(world, HashingEmbedder(32))
    report = rebuild(world, HashingEmbedder(16)).collections[0]
    assert (report.refused, report.added + report.changed) == (None, 250)
    drop(world)
    check_settled(world, "docs@2")
    size = world.store.client.get("/collections/docs@2").json()["result"]["config"]["params"]["vectors"]["size"]
    assert size == 16


def test_files_that_change_while_it_builds_are_those_of_the_next_ingest(world: World) -> None:
    ingest_many(world)

    def change() -> None:
        world.write("000.md", words(5000, 20))  # its chunks are made already
        world.write("249.md", words(6000, 20))
        world.write("more.md", words(7000, 20))
        (world.directory / "001.md").unlink()
        (world.directory / "248.md").unlink()

    rebuild(world, on_progress=at_store(change, 100))
    assert points_of(world)[0] == "docs@2"
    report = world.run()
    assert report.failed == ()
    drop(world)
    check_settled(world, "docs@2")
    shown = " ".join(text for _, text in texts_of(world, "docs@2"))
    assert {f"word{number}" in shown for number in (5000, 6000, 7000)} == {True}
    assert {path for path, _ in texts_of(world, "docs@2")} == {
        "more.md", *(f"{number:03}.md" for number in range(250) if number not in (1, 248)),
    }  # fmt: skip


def test_nothing_else_works_on_the_collection_while_it_builds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOCK_SECONDS", 0.0)
    fill(world)
    world.run()
    found: list[Any] = []

    def disturb() -> None:
        with pytest.raises(LockedError) as caught:
            drop(world)
        found.append(caught.value.code)
        found.extend(one.refused and one.refused.code for one in world.ingest().collections)
        found.extend(one.refused and one.refused.code for one in rebuild(world).collections)

    assert rebuild(world, on_progress=at_store(disturb)).collections[0].refused is None
    assert found == ["ingest_running"] * 3
    assert drop(world) == ["docs"]
    check_settled(world, "docs@2")


def test_removed_in_the_middle_nothing_of_it_is_left(world: World) -> None:
    ingest_many(world)
    give_up(world)
    world.sql("DELETE FROM rag.documents WHERE collection_id = (SELECT id FROM rag.collections WHERE name = 'docs@2')")
    world.sql("DELETE FROM rag.collections WHERE name = 'docs@2'")  # as after a restore of the database alone
    collections.remove(world.database, world.store.endpoint, "docs", "carol")
    assert world.store.client.get("/collections").json()["result"]["collections"] == []
    assert world.sql("SELECT count(*) FROM rag.chunks") == [(0,)]


def test_points_that_no_row_names_any_more_are_dropped_with_the_old(world: World) -> None:
    fill(world)
    world.run()
    rebuild(world)
    world.sql("DELETE FROM rag.documents WHERE collection_id = (SELECT id FROM rag.collections WHERE name = 'docs@1')")
    world.sql("DELETE FROM rag.collections WHERE name = 'docs@1'")
    world.store.client.put("/collections/docs@7", json={"vectors": {"size": 4, "distance": "Cosine"}})
    world.store.client.put("/collections/docs-b@1", json={"vectors": {"size": 4, "distance": "Cosine"}})
    assert drop(world) == ["docs@7"]
    left = {one["name"] for one in world.store.client.get("/collections").json()["result"]["collections"]}
    assert left == {"docs", "docs@2", "docs-b@1"}, "`docs` may be anybody's by now"


def test_the_old_points_stay_if_the_live_ones_are_lost(world: World) -> None:
    fill(world)
    world.run()
    rebuild(world)
    world.store.client.delete("/collections/docs@2").raise_for_status()
    with pytest.raises(IntegrityError, match="docs@2 is missing") as caught:
        drop(world)
    assert "ragops ingest docs" in caught.value.hint
    assert world.store.points("docs")
    world.run()
    assert drop(world) == ["docs"]
    check_settled(world, "docs@2")


def test_an_alias_that_a_kill_left_behind_is_set_by_the_next_run(world: World) -> None:
    fill(world)
    world.run()
    rebuild(world)
    action = {"delete_alias": {"alias_name": "docs@live"}}
    world.store.post("/collections/aliases", {"actions": [action]})
    world.run()
    assert world.store.aliases() == [{"alias_name": "docs@live", "collection_name": "docs@2"}]
    before = world.store.writes()
    world.run()
    assert world.store.writes() == before


def test_the_vector_store_is_started_again_in_the_middle(world: World) -> None:
    ingest_many(world)
    old = texts_of(world, "docs")
    with pytest.raises(UnhealthyError):
        rebuild(world, on_progress=at_store(world.store.kill, 100))
    world.store.start()
    assert (points_of(world)[0], texts_of(world, "docs")) == ("docs", old)
    report = rebuild(world).collections[0]
    assert report.unchanged >= 100
    assert report.unchanged + report.changed + report.added == 250
    assert texts_of(world, "docs@2") == old


def test_a_model_that_dies_costs_the_collections_that_have_it(world: World) -> None:
    """The others are built and switched; those stay as they are, and are continued when it is back."""
    for number in range(250):
        world.write(f"{number:03}.md", words(number, 20))
    for name in ("again", "other"):
        world.add_collection(name, world.directory)
    world.sql("INSERT INTO rag.embedding_models (name) VALUES ('served')")
    world.sql("UPDATE rag.collections SET embedding_model = 'served' WHERE name <> 'other'")
    with ModelServer("ollama", 16) as server:
        specs = {"served": ModelSpec(kind="ollama", model="served", url=server.url)}
        run = lambda **options: ingest(world.database, world.store.endpoint, Models(specs, str), [], **options)  # noqa: E731
        run()

        def die() -> None:
            server.misbehave = lambda _texts: server.error(500, "out of memory")

        # `again` is the first one by name, and half of it is done when the server fails.
        report = {one.name: one for one in run(rebuild=True, on_progress=at_store(die, 100)).collections}
        assert report["other"].refused is None
        assert {name: one.refused is not None for name, one in report.items()} == {
            "again": True, "docs": True, "other": False,
        }  # fmt: skip
        assert points_of(world)[0] == "docs"
        server.misbehave = lambda _texts: None
        report = {one.name: one for one in run(rebuild=True).collections}
    assert {one.refused for one in report.values()} == {None}
    assert report["again"].unchanged >= 100
    with open_store(world.database) as rows:
        assert {one.name: one.points for one in rows.collections()} == {
            "again": "again@2", "docs": "docs@2", "other": "other@3",
        }  # fmt: skip
    world.sql("DELETE FROM rag.documents")
