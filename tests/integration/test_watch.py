"""`ragops ingest --watch`, and the options of collections that decide what it reads, on a platform that is up."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from ragops.adapters import locks
from ragops.operations.data import collections
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.loaded_platform import Loaded

pytestmark = pytest.mark.engine
LONG = 90.0


class Watching:
    """A watcher with --json, and the documents that it has printed."""

    def __init__(self, loaded: Loaded, inside: tuple[str, ...] = ()) -> None:
        """`inside` is a command that runs the watcher."""
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [*inside, *loaded.ragops.command("ingest", "--watch", "--json", "watched")],
            cwd=loaded.root, env=loaded.ragops.environment(), stdin=subprocess.DEVNULL, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip
        self.lines: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line)

    def next(self, name: str) -> Any:
        """The report on a collection in the next document that has one; documents of errors are passed over."""
        while True:
            document = json.loads(self.lines.get(timeout=LONG))
            for one in document.get("collections", ()):
                if isinstance(one, dict) and one["name"] == name:
                    return one

    def error(self) -> dict[str, Any]:
        """The next document of an error."""
        while True:
            document = json.loads(self.lines.get(timeout=LONG))
            if "error" in document:
                return document

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """How it ends if it is asked to."""
        self.process.send_signal(number)
        return self.process.wait(LONG)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LONG)
        self.reader.join()
        assert self.process.stdout and self.process.stderr
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def folder(loaded: Loaded) -> Iterator[Path]:
    """The directory of a collection `watched`, which is removed at the end."""
    made = loaded.root / "watched"
    made.mkdir()
    (made / "a.md").write_text("# First\n\nwords of the first page\n")
    create(loaded, exclude=["drafts/"])
    try:
        yield made
    finally:
        remove(loaded)
        shutil.rmtree(made)


def create(loaded: Loaded, **values: Any) -> None:
    """Make the collection `watched`."""
    values = {"directory": "watched", "embeddingModel": "hashing-384-v1", **values}
    collections.create(loaded.session().endpoint("timescaledb"), "watched", values, "a test")


def remove(loaded: Loaded, name: str = "watched") -> None:
    session = loaded.session()
    collections.remove(session.endpoint("timescaledb"), session.endpoint("qdrant"), name, "a test")


@pytest.fixture
def watching(loaded: Loaded, folder: Path) -> Iterator[Watching]:
    made = Watching(loaded)
    try:
        assert made.next("watched")["added"] == 1
        yield made
    finally:
        made.close()


def counts(report: dict[str, Any]) -> tuple[int, int, int]:
    return report["added"], report["changed"], report["deleted"]


def test_what_changes_is_ingested_and_nothing_else_is(loaded: Loaded, folder: Path, watching: Watching) -> None:
    (folder / "drafts").mkdir()
    (folder / "drafts" / "no.md").write_text("not yet")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "no.md").write_text("not ours")
    (folder / "new" / "er").mkdir(parents=True)
    (folder / "new" / "er" / "b.md").write_text("the second page")
    assert counts(watching.next("watched")) == (1, 0, 0)
    (folder / "new" / "er" / "b.md").write_text("the second page, in a folder that is new")
    assert counts(watching.next("watched")) == (0, 1, 0)
    (folder / "drafts" / "no.md").write_text("still not")
    (folder / "a.md").unlink()
    assert counts(watching.next("watched")) == (0, 0, 1)
    assert locks.find_holder(loaded.session().project.paths.locks, "ingest") is None, "it holds the lock while it waits"
    assert watching.end(signal.SIGINT) == 0


def test_a_lock_is_waited_for(loaded: Loaded, folder: Path, watching: Watching) -> None:
    session = loaded.session()
    with session.changing():
        (folder / "b.md").write_text("the second page")
        found = watching.error()
        assert (found["error"]["code"], found["collections"]) == ("locked", ["watched"])
        assert "a test" in found["error"]["message"], "the holder is not named"
    assert counts(watching.next("watched")) == (1, 0, 0)
    assert watching.end() == 0


def test_a_store_that_is_down_is_tried_again(loaded: Loaded, folder: Path, watching: Watching) -> None:
    psutil.Process(loaded.pids()["qdrant"]).kill()
    (folder / "b.md").write_text("the second page")
    assert watching.error()["retry_seconds"] > 0
    loaded.run("service", "start")
    report = watching.next("watched")
    assert (report["points"], report["failed"]) == (2, []), "a run that was broken off may have added its row before"
    assert watching.end() == 0


def test_a_collection_that_is_changed_and_removed(loaded: Loaded, folder: Path, watching: Watching) -> None:
    (folder / "b.txt").write_text("the second page")
    assert counts(watching.next("watched")) == (1, 0, 0)
    database = loaded.session().endpoint("timescaledb")
    collections.set_values(database, "watched", {"exclude": ["*.txt"]}, "a test")
    assert counts(watching.next("watched")) == (0, 0, 1)
    remove(loaded)
    create(loaded)
    assert counts(watching.next("watched")) == (2, 0, 0)
    assert watching.end() == 0


def test_files_are_looked_at_if_the_kernel_can_watch_no_more(loaded: Loaded, folder: Path) -> None:
    limited = 'echo 0 > /proc/sys/user/max_inotify_instances || exit 99; exec "$@"'
    inside = ("unshare", "--user", "--map-root-user", "sh", "-c", limited, "sh")
    try:
        tried = subprocess.run([*inside, "true"], capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `unshare` here: a watcher at the limit was not seen")
    if tried.returncode:
        pytest.skip("no namespace can be made here: a watcher at the limit was not seen")
    made = Watching(loaded, inside=inside)
    try:
        assert made.next("watched")["added"] == 1
        (folder / "b.md").write_text("the second page")
        assert counts(made.next("watched")) == (1, 0, 0)
        assert made.end() == 0
    finally:
        made.close()


def test_a_watcher_that_cannot_begin(loaded: Loaded) -> None:
    assert loaded.run("ingest", "--watch", "nothing", "--json", code=2).error["code"] == "unknown_collection"


# --- which files ----------------------------------------------------------------------------------------------------


def test_what_is_left_out_can_be_set_shown_and_cleared(loaded: Loaded, folder: Path) -> None:
    def shown() -> dict[str, str]:
        lines = loaded.run("collection", "show", "watched").out.splitlines()
        return {line[:16].strip(): line[16:].strip() for line in lines}

    loaded.run("collection", "set", "watched", "--exclude", "*.tmp.md", "--exclude", "old/", "--max-file-size", "1KiB")
    values = shown()
    assert (values["left out"], values["largest file"]) == ("*.tmp.md, old/", "1KiB")
    loaded.run("collection", "set", "watched", "--no-exclude", "--no-max-file-size")
    assert not {"left out", "largest file"} & shown().keys()
    both = loaded.run("collection", "set", "watched", "--exclude", "x", "--no-exclude", "--json", code=2)
    assert both.error["code"] == "options_conflict"


@pytest.mark.parametrize(
    "words", ["collection set watched --exclude {}", "collection set watched --directory {}", "collection show {}"]
)
def test_an_argument_that_is_not_utf_8_is_named(loaded: Loaded, folder: Path, words: str) -> None:
    odd = os.fsdecode(b"caf\xe9")
    done = loaded.ragops(*words.format(odd).split(), cwd=loaded.root)
    assert (done.code, "fault in ragops" in done.err) == (2, False), done.err


def test_what_a_command_sets_comes_back_from_an_export(loaded: Loaded, folder: Path) -> None:
    def exported() -> dict[str, Any]:
        text = loaded.run("migrate", "db-to-json").out
        return next(one for one in json.loads(text)["collections"] if one["name"] == "exported")

    entry = {"name": "exported", "directory": "watched", "fileTypes": ["md"], "owner": "me", "exclude": ["a/"]}
    file = loaded.root / "exported.json"
    file.write_text(json.dumps({"collections": [entry], "defaults": {"maxFileSize": "1MiB"}}))
    loaded.run("migrate", "json-to-db", file.name)
    database = loaded.session().endpoint("timescaledb")
    try:
        assert "1MiB" in loaded.run("collection", "show", "exported").out, "the document's default holds"
        collections.set_values(database, "exported", {"exclude": ["b/"], "maxFileSize": "2MiB"}, "a test")
        found = exported()
        assert (found["exclude"], found["maxFileSize"], found["owner"]) == (["b/"], "2MiB", "me")
        collections.set_values(database, "exported", {"exclude": [], "maxFileSize": None}, "a test")
        found = exported()
        assert (found["exclude"], "maxFileSize" in found, found["owner"]) == ([], False, "me")
    finally:
        remove(loaded, "exported")


def test_a_collection_that_is_made_with_all_options(loaded: Loaded, folder: Path) -> None:
    options = ("--disable", "--exclude", "x/", "--max-file-size", "2MiB", "--no-recursive", "--file-type", "md")
    loaded.run("collection", "create", "later", "watched", *options)
    try:
        [found] = [one for one in collections.list_all(loaded.session().endpoint("timescaledb")) if one.name == "later"]
        assert (found.enabled, found.recursive, found.file_types) == (False, False, ["md"])
        assert found.extra == {"exclude": ["x/"], "maxFileSize": "2MiB"}
    finally:
        remove(loaded, "later")


def test_an_ingest_that_is_interrupted_ends_with_130(loaded: Loaded, folder: Path) -> None:
    for number in range(1500):
        (folder / f"{number}.md").write_text(f"# Page {number}\n\n" + f"words of page {number} " * 20)
    process = loaded.ragops.start("ingest", "--watch", "watched", cwd=loaded.root)
    try:
        holder = loaded.session().project.paths.locks
        wait_until(lambda: locks.find_holder(holder, "ingest"), LONG, "the first ingest")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=LONG)
    finally:
        process.kill()
    assert (process.returncode, "interrupted" in err) == (130, True), out + err


def test_an_ingest_by_the_clock_is_recorded(loaded: Loaded, folder: Path) -> None:
    report = loaded.run("schedule", "ingest", "--json").json()
    assert (report["exit_code"], [step["name"] for step in report["steps"]]) == (0, ["ingest"])
    (folder / "bad.md").write_bytes(b"caf\0")
    failed = loaded.run("schedule", "ingest", "--json", code=1).error
    assert (failed["code"], "watched: 1 files" in failed["message"]) == ("ingest_incomplete", True)
    log = (loaded.root / ".ragops" / "schedule" / "ingest" / "default.log").read_text()
    assert "bad.md: binary" in log, "the log has what the ingest reports"
