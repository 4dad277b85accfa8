"""Restores: everything is checked first, nothing is touched in vain, and an interrupted one goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import namedtuple
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyrage
import pytest

from ragops.errors import IntegrityError, MissingError, RagopsError, UsageError
from ragops.operations.restore.restore import RestoreRequest
from ragops.recovery.manifest import Kind
from tests.backup_helpers import (
    damage,
    files_of,
    forge_counts,
    journal_of,
    open_repositories,
    restore,
    stored,
    take,
)
from tests.fake_engines import ORDER, FakeEngine, platform_of

if TYPE_CHECKING:
    from ragops.recovery.repositories import Repositories

pytestmark = pytest.mark.timeout(120)
LATER = b"written later"


def live(fakes: dict[str, FakeEngine]) -> dict[str, dict[str, bytes]]:
    return {name: dict(engine.live) for name, engine in fakes.items()}


def changed(fakes: dict[str, FakeEngine]) -> None:
    for engine in fakes.values():
        engine.live = {"one": LATER}
        engine.steps.clear()


def restored(fakes: dict[str, FakeEngine]) -> list[str]:
    return [name for name in ORDER if "restore" in fakes[name].steps]


def fail_at(step: str, error: BaseException | None = None) -> Any:
    def at(found: str) -> None:
        if found == step:
            raise error or RagopsError("told_to", "told to fail", "try again.")

    return at


# --- the whole of it ----------------------------------------------------------------------------------------------


def test_all_services_come_back_in_order(fakes: Any, repos: Repositories) -> None:
    before = live(fakes)
    point = take(platform_of(), repos)
    changed(fakes)
    result = restore(RestoreRequest(), platform_of(), repos)
    assert live(fakes) == before
    assert [item.service for item in result.services] == list(ORDER)
    assert [dict(item.before) for item in result.services] == [{"one.bytes": len(LATER)}] * 3
    assert result.point.id == point.id
    assert result.services[0].counts == {"one.bytes": 16000, "two.bytes": 32000}
    assert not result.dry_run
    safety = repos.primary.get(result.safety)
    assert safety.manifest.kind is Kind.SAFETY
    assert journal_of(repos).read() is None
    assert files_of(repos.staging) == []
    restore(RestoreRequest(result.safety), platform_of(), repos)
    assert live(fakes) == {name: {"one": LATER} for name in ORDER}


def test_shards_of_a_collection_are_told_as_one_as_the_live_one_is(fakes: Any, repos: Repositories) -> None:
    point = take(platform_of(), repos)
    forge_counts(repos, point, "qdrant/one", **{"docs/0.points": 41})
    forge_counts(repos, repos.primary.get(point.id), "qdrant/two", **{"docs/1.points": 230})
    for request in (RestoreRequest(dry_run=True), RestoreRequest()):
        found = {item.service: item.counts for item in restore(request, platform_of(), repos).services}
        assert found["qdrant"] == {"one.bytes": 11000, "two.bytes": 22000, "docs.points": 271}


def test_what_the_recovery_point_does_not_count_is_told_as_it_is_now(fakes: Any, repos: Repositories) -> None:
    """Where no engine here could read a part when it was taken, a closing table of 0 would be false."""
    take(platform_of(), repos)
    fakes["qdrant"].counts = lambda _endpoint: {"docs.points": 7, "one.bytes": 1}
    found = {item.service: item.counts for item in restore(RestoreRequest(), platform_of(), repos).services}
    assert found["qdrant"] == {"one.bytes": 11000, "two.bytes": 22000, "docs.points": 7}


def test_only_what_was_named(fakes: Any, repos: Repositories) -> None:
    take(platform_of(), repos)
    changed(fakes)
    result = restore(RestoreRequest(services=("redis",)), platform_of(), repos)
    assert restored(fakes) == ["redis"]
    assert {part.service for part in repos.primary.get(result.safety).manifest.parts} == {"redis"}
    with pytest.raises(UsageError) as caught:
        restore(RestoreRequest(services=("redis", "gateway")), platform_of(), repos)
    assert caught.value.code == "not_in_recovery_point"


def test_a_safety_point_is_not_copied_and_can_be_left_out(fakes: Any, tmp_path: Path) -> None:
    repos = open_repositories(tmp_path, tmp_path / "second")
    take(platform_of(), repos)
    restore(RestoreRequest(), platform_of(), repos)
    assert [len(repository.list().points) for repository in repos.members] == [2, 1]
    assert restore(RestoreRequest(safety=False), platform_of(), repos).safety == ""
    assert [len(repository.list().points) for repository in repos.members] == [2, 1]


def test_from_another_repository(fakes: Any, tmp_path: Path) -> None:
    repos = open_repositories(tmp_path, tmp_path / "second")
    before = live(fakes)
    point = take(platform_of(), repos)
    stored(point, "redis/one").unlink()
    changed(fakes)
    with pytest.raises(IntegrityError):
        restore(RestoreRequest(), platform_of(), repos)
    restore(RestoreRequest(repository="2"), platform_of(), repos)
    assert live(fakes) == before


def test_a_dry_run_reads_all_and_touches_nothing(fakes: Any, repos: Repositories) -> None:
    take(platform_of(), repos)
    changed(fakes)
    result = restore(RestoreRequest(dry_run=True), platform_of(), repos)
    assert result.dry_run
    assert restored(fakes) == []
    for engine in fakes.values():
        assert engine.steps == ["preflight", "verify one", "verify two"]
    assert len(repos.primary.list().points) == 1
    assert journal_of(repos).read() is None


def test_what_is_encrypted_needs_its_identity(fakes: Any, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "identity").write_text(f"{identity}\n")
    (tmp_path / "other").write_text(f"{pyrage.x25519.Identity.generate()}\n")
    repos = open_repositories(tmp_path, recipients=(str(identity.to_public()),))
    before = live(fakes)
    take(platform_of(), repos)
    changed(fakes)
    for file, code in ((None, "identity_missing"), ("nosuch", "identity_missing"), ("other", "identity_wrong")):
        with pytest.raises(RagopsError) as caught:
            restore(RestoreRequest(), platform_of(), replace(repos, identity_file=tmp_path / file if file else None))
        assert caught.value.code == code
    assert restored(fakes) == []
    assert len(repos.primary.list().points) == 1
    restore(RestoreRequest(), platform_of(), replace(repos, identity_file=tmp_path / "identity"))
    assert live(fakes) == before


# --- refused before anything is touched -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["flipped", "truncated", "missing"])
def test_damage_of_the_last_part_stops_the_first_service(fakes: Any, repos: Repositories, how: str) -> None:
    point = take(platform_of(), repos)
    changed(fakes)
    damage(stored(point, "qdrant/two"), how)
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), platform_of(), repos)
    assert caught.value.code == "recovery_point_damaged"
    assert "qdrant/two" in caught.value.message
    assert [engine.steps for engine in fakes.values()] == [[], [], []]
    assert len(repos.primary.list().points) == 1
    assert files_of(repos.staging) == []
    restore(RestoreRequest(services=("redis",)), platform_of(), repos)


def test_missing_parts_are_seen_before_hours_of_unpacking(fakes: Any, repos: Repositories) -> None:
    point = take(platform_of(), repos)
    for path in ("qdrant/one", "qdrant/two"):
        stored(point, path).unlink()
    said: list[Any] = []
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), platform_of(), repos, on_progress=said.append)
    assert "qdrant/one.zst is missing" in caught.value.message
    assert "qdrant/two.zst is missing" in caught.value.message
    assert said == []


def test_a_stranger_is_not_trusted(fakes: Any, repos: Repositories) -> None:
    take(platform_of(), repos)
    changed(fakes)
    repos.signing_key_file.unlink()
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), platform_of(), repos)
    assert caught.value.code == "signer_unknown"
    assert [engine.steps for engine in fakes.values()] == [[], [], []]


def test_another_runtime_is_refused(fakes: Any, repos: Repositories) -> None:
    take(platform_of(), repos)
    with pytest.raises(MissingError) as caught:
        restore(RestoreRequest(), replace(platform_of(), runtime="docker"), repos)
    assert caught.value.code == "runtime_differs"


@pytest.mark.parametrize("service", ORDER)
def test_a_preflight_that_fails_stops_all(fakes: Any, repos: Repositories, service: str) -> None:
    take(platform_of(), repos)
    changed(fakes)
    fakes[service].at = fail_at("preflight")
    with pytest.raises(RagopsError, match="told to fail"):
        restore(RestoreRequest(), platform_of(), repos)
    assert restored(fakes) == []
    assert len(repos.primary.list().points) == 1


def test_no_way_back_no_restore(fakes: Any, repos: Repositories) -> None:
    take(platform_of(), repos)
    changed(fakes)
    fakes["qdrant"].at = fail_at("dump one")
    with pytest.raises(RagopsError) as caught:
        restore(RestoreRequest(), platform_of(), repos)
    assert "nothing was touched" in caught.value.hint
    assert restored(fakes) == []
    assert journal_of(repos).read() is None


def test_too_little_room_is_said_before_anything_is_unpacked(
    fakes: Any, repos: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(platform_of(), repos)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage(1 << 40, 1 << 40, 1 << 20))
    with pytest.raises(MissingError) as caught:
        restore(RestoreRequest(), platform_of(), repos)
    assert caught.value.code == "disk_full"
    assert "backup.staging" in caught.value.hint
    assert files_of(repos.staging) == []


# --- failures and interrupts on the way ---------------------------------------------------------------------------


def test_a_failure_on_the_way_names_what_is_done_and_the_way_back(fakes: Any, repos: Repositories) -> None:
    take(platform_of(), repos)
    changed(fakes)
    fakes["redis"].at = fail_at("restore")
    with pytest.raises(RagopsError) as caught:
        restore(RestoreRequest(), platform_of(), repos)
    (safety,) = [point.id for point in repos.primary.list().points if point.manifest.kind is Kind.SAFETY]
    assert caught.value.hint == f"try again. (timescaledb already restored; to go back: `ragops restore {safety}`)"
    assert fakes["redis"].live == fakes["qdrant"].live == {"one": LATER}


def test_the_same_command_goes_on_with_what_is_left(fakes: Any, repos: Repositories) -> None:
    before = live(fakes)
    take(platform_of(), repos)
    changed(fakes)
    fakes["redis"].at = fail_at("restore")
    with pytest.raises(RagopsError):
        restore(RestoreRequest(), platform_of(), repos)
    (safety,) = [point.id for point in repos.primary.list().points if point.manifest.kind is Kind.SAFETY]
    for engine in fakes.values():
        engine.steps.clear()
    fakes["redis"].at = lambda _step: None
    result = restore(RestoreRequest(), platform_of(), repos)
    assert restored(fakes) == ["redis", "qdrant"]
    assert live(fakes) == before
    assert result.safety == safety, "of what was there before the first attempt"
    assert "continuing" in result.notes[0]
    assert safety in result.notes[0]
    assert "left as it is" in result.services[0].notes[0]
    assert len(repos.primary.list().points) == 2
    assert journal_of(repos).read() is None


def interrupted(fakes: Any, repos: Repositories) -> None:
    take(platform_of(), repos)
    changed(fakes)
    fakes["qdrant"].at = fail_at("restore", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        restore(RestoreRequest(), platform_of(), repos)
    left = journal_of(repos).read()
    assert left is not None
    assert left.done == ("timescaledb", "redis")
    fakes["qdrant"].at = lambda _step: None
    changed(fakes)


def test_anew_restores_all_again(fakes: Any, repos: Repositories) -> None:
    interrupted(fakes, repos)
    result = restore(RestoreRequest(restart=True), platform_of(), repos)
    assert restored(fakes) == list(ORDER)
    assert len(repos.primary.list().points) == 3
    assert result.notes == ()


@pytest.mark.parametrize("age", [timedelta(hours=25), timedelta(hours=-2)])
def test_a_stale_one_begins_anew(fakes: Any, repos: Repositories, age: timedelta) -> None:
    interrupted(fakes, repos)
    path = repos.staging.parent / "restore.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "started": (datetime.fromisoformat(values["started"]) - age).isoformat()}))
    restore(RestoreRequest(), platform_of(), repos)
    assert restored(fakes) == list(ORDER)
    assert len(repos.primary.list().points) == 3


def test_another_restore_begins_anew(fakes: Any, repos: Repositories) -> None:
    interrupted(fakes, repos)
    restore(RestoreRequest(services=("timescaledb", "redis")), platform_of(), repos)
    assert restored(fakes) == ["timescaledb", "redis"]
    assert journal_of(repos).read() is None


def test_a_dry_run_in_between_changes_nothing_of_it(fakes: Any, repos: Repositories) -> None:
    interrupted(fakes, repos)
    restore(RestoreRequest(dry_run=True), platform_of(), repos)
    restore(RestoreRequest(), platform_of(), repos)
    assert restored(fakes) == ["qdrant"]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from tests.backup_helpers import restore, open_repositories
    from tests.fake_engines import engines, platform_of, plugged
    from ragops.operations.restore.restore import RestoreRequest

    where, service = sys.argv[1:]
    found = engines()

    def at(what):
        if what == "restore":
            os.kill(os.getpid(), signal.SIGKILL)

    found[service].at = at
    with plugged(found):
        restore(RestoreRequest(), platform_of(), open_repositories(Path(where)))
"""


@pytest.mark.fault
@pytest.mark.parametrize("service", ORDER)
def test_a_killed_restore_is_gone_on_with(fakes: Any, repos: Repositories, service: str) -> None:
    before = live(fakes)
    take(platform_of(), repos)
    changed(fakes)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(repos.staging.parent), service]
    assert subprocess.run(command, env=environment, timeout=60, check=False).returncode == -signal.SIGKILL
    done = ORDER[: ORDER.index(service)]
    for name in done:
        fakes[name].live = before[name]  # as the killed run left it
    result = restore(RestoreRequest(), platform_of(), repos)
    assert restored(fakes) == [name for name in ORDER if name not in done]
    assert live(fakes) == before
    assert repos.primary.get(result.safety).manifest.kind is Kind.SAFETY
    assert files_of(repos.staging) == []


def test_other_counts_than_stated_are_found_in_a_rehearsal(fakes: Any, repos: Repositories) -> None:
    point = take(platform_of(), repos)
    forge_counts(repos, point, "redis/one", **{"one.bytes": 7})
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(dry_run=True), platform_of(), repos)
    assert caught.value.code == "counts_differ"
