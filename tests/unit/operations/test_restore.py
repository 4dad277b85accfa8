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
    restore,
    stored,
    take,
    vault_of,
)
from tests.fake_engines import ORDER, FakeEngine, platform_of

if TYPE_CHECKING:
    from ragops.recovery.backup_target import BackupTarget

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


def test_all_services_come_back_in_order(fakes: Any, vault: BackupTarget) -> None:
    before = live(fakes)
    point = take(platform_of(), vault)
    changed(fakes)
    result = restore(RestoreRequest(), platform_of(), vault)
    assert live(fakes) == before
    assert [item.service for item in result.services] == list(ORDER)
    assert [dict(item.before) for item in result.services] == [{"one.bytes": len(LATER)}] * 3
    assert result.point.id == point.id
    assert result.services[0].counts == {"one.bytes": 16000, "two.bytes": 32000}
    assert not result.dry_run
    safety = vault.primary.get(result.safety)
    assert safety.manifest.kind is Kind.SAFETY
    assert journal_of(vault).read() is None
    assert files_of(vault.staging) == []
    restore(RestoreRequest(result.safety), platform_of(), vault)
    assert live(fakes) == {name: {"one": LATER} for name in ORDER}


def test_shards_of_a_collection_are_told_as_one_as_the_live_one_is(fakes: Any, vault: BackupTarget) -> None:
    point = take(platform_of(), vault)
    forge_counts(vault, point, "qdrant/one", **{"docs/0.points": 41})
    forge_counts(vault, vault.primary.get(point.id), "qdrant/two", **{"docs/1.points": 230})
    for request in (RestoreRequest(dry_run=True), RestoreRequest()):
        found = {item.service: item.counts for item in restore(request, platform_of(), vault).services}
        assert found["qdrant"] == {"one.bytes": 11000, "two.bytes": 22000, "docs.points": 271}


def test_what_the_recovery_point_does_not_count_is_told_as_it_is_now(fakes: Any, vault: BackupTarget) -> None:
    """Where no engine here could read a part when it was taken, a closing table of 0 would be false."""
    take(platform_of(), vault)
    fakes["qdrant"].counts = lambda _endpoint: {"docs.points": 7, "one.bytes": 1}
    found = {item.service: item.counts for item in restore(RestoreRequest(), platform_of(), vault).services}
    assert found["qdrant"] == {"one.bytes": 11000, "two.bytes": 22000, "docs.points": 7}


def test_only_what_was_named(fakes: Any, vault: BackupTarget) -> None:
    take(platform_of(), vault)
    changed(fakes)
    result = restore(RestoreRequest(services=("redis",)), platform_of(), vault)
    assert restored(fakes) == ["redis"]
    assert {part.service for part in vault.primary.get(result.safety).manifest.parts} == {"redis"}
    with pytest.raises(UsageError) as caught:
        restore(RestoreRequest(services=("redis", "gateway")), platform_of(), vault)
    assert caught.value.code == "not_in_recovery_point"


def test_a_safety_point_is_not_copied_and_can_be_left_out(fakes: Any, tmp_path: Path) -> None:
    vault = vault_of(tmp_path, tmp_path / "second")
    take(platform_of(), vault)
    restore(RestoreRequest(), platform_of(), vault)
    assert [len(repository.list().points) for repository in vault.repositories] == [2, 1]
    assert restore(RestoreRequest(safety=False), platform_of(), vault).safety == ""
    assert [len(repository.list().points) for repository in vault.repositories] == [2, 1]


def test_from_another_repository(fakes: Any, tmp_path: Path) -> None:
    vault = vault_of(tmp_path, tmp_path / "second")
    before = live(fakes)
    point = take(platform_of(), vault)
    stored(point, "redis/one").unlink()
    changed(fakes)
    with pytest.raises(IntegrityError):
        restore(RestoreRequest(), platform_of(), vault)
    restore(RestoreRequest(repository="2"), platform_of(), vault)
    assert live(fakes) == before


def test_a_dry_run_reads_all_and_touches_nothing(fakes: Any, vault: BackupTarget) -> None:
    take(platform_of(), vault)
    changed(fakes)
    result = restore(RestoreRequest(dry_run=True), platform_of(), vault)
    assert result.dry_run
    assert restored(fakes) == []
    for engine in fakes.values():
        assert engine.steps == ["preflight", "verify one", "verify two"]
    assert len(vault.primary.list().points) == 1
    assert journal_of(vault).read() is None


def test_what_is_encrypted_needs_its_identity(fakes: Any, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "identity").write_text(f"{identity}\n")
    (tmp_path / "other").write_text(f"{pyrage.x25519.Identity.generate()}\n")
    vault = vault_of(tmp_path, recipients=(str(identity.to_public()),))
    before = live(fakes)
    take(platform_of(), vault)
    changed(fakes)
    for file, code in ((None, "identity_missing"), ("nosuch", "identity_missing"), ("other", "identity_wrong")):
        with pytest.raises(RagopsError) as caught:
            restore(RestoreRequest(), platform_of(), replace(vault, identity_file=tmp_path / file if file else None))
        assert caught.value.code == code
    assert restored(fakes) == []
    assert len(vault.primary.list().points) == 1
    restore(RestoreRequest(), platform_of(), replace(vault, identity_file=tmp_path / "identity"))
    assert live(fakes) == before


# --- refused before anything is touched -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["flipped", "truncated", "missing"])
def test_damage_of_the_last_part_stops_the_first_service(fakes: Any, vault: BackupTarget, how: str) -> None:
    point = take(platform_of(), vault)
    changed(fakes)
    damage(stored(point, "qdrant/two"), how)
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), platform_of(), vault)
    assert caught.value.code == "recovery_point_damaged"
    assert "qdrant/two" in caught.value.message
    assert [engine.steps for engine in fakes.values()] == [[], [], []]
    assert len(vault.primary.list().points) == 1
    assert files_of(vault.staging) == []
    restore(RestoreRequest(services=("redis",)), platform_of(), vault)


def test_missing_parts_are_seen_before_hours_of_unpacking(fakes: Any, vault: BackupTarget) -> None:
    point = take(platform_of(), vault)
    for path in ("qdrant/one", "qdrant/two"):
        stored(point, path).unlink()
    said: list[Any] = []
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), platform_of(), vault, on_progress=said.append)
    assert "qdrant/one.zst is missing" in caught.value.message
    assert "qdrant/two.zst is missing" in caught.value.message
    assert said == []


def test_a_stranger_is_not_trusted(fakes: Any, vault: BackupTarget) -> None:
    take(platform_of(), vault)
    changed(fakes)
    vault.signing_key_file.unlink()
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(), platform_of(), vault)
    assert caught.value.code == "signer_unknown"
    assert [engine.steps for engine in fakes.values()] == [[], [], []]


def test_another_runtime_is_refused(fakes: Any, vault: BackupTarget) -> None:
    take(platform_of(), vault)
    with pytest.raises(MissingError) as caught:
        restore(RestoreRequest(), replace(platform_of(), runtime="docker"), vault)
    assert caught.value.code == "runtime_differs"


@pytest.mark.parametrize("service", ORDER)
def test_a_preflight_that_fails_stops_all(fakes: Any, vault: BackupTarget, service: str) -> None:
    take(platform_of(), vault)
    changed(fakes)
    fakes[service].at = fail_at("preflight")
    with pytest.raises(RagopsError, match="told to fail"):
        restore(RestoreRequest(), platform_of(), vault)
    assert restored(fakes) == []
    assert len(vault.primary.list().points) == 1


def test_no_way_back_no_restore(fakes: Any, vault: BackupTarget) -> None:
    take(platform_of(), vault)
    changed(fakes)
    fakes["qdrant"].at = fail_at("dump one")
    with pytest.raises(RagopsError) as caught:
        restore(RestoreRequest(), platform_of(), vault)
    assert "nothing was touched" in caught.value.hint
    assert restored(fakes) == []
    assert journal_of(vault).read() is None


def test_too_little_room_is_said_before_anything_is_unpacked(
    fakes: Any, vault: BackupTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(platform_of(), vault)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage(1 << 40, 1 << 40, 1 << 20))
    with pytest.raises(MissingError) as caught:
        restore(RestoreRequest(), platform_of(), vault)
    assert caught.value.code == "disk_full"
    assert "backup.staging" in caught.value.hint
    assert files_of(vault.staging) == []


# --- failures and interrupts on the way ---------------------------------------------------------------------------


def test_a_failure_on_the_way_names_what_is_done_and_the_way_back(fakes: Any, vault: BackupTarget) -> None:
    take(platform_of(), vault)
    changed(fakes)
    fakes["redis"].at = fail_at("restore")
    with pytest.raises(RagopsError) as caught:
        restore(RestoreRequest(), platform_of(), vault)
    (safety,) = [point.id for point in vault.primary.list().points if point.manifest.kind is Kind.SAFETY]
    assert caught.value.hint == f"try again. (timescaledb already restored; to go back: `ragops restore {safety}`)"
    assert fakes["redis"].live == fakes["qdrant"].live == {"one": LATER}


def test_the_same_command_goes_on_with_what_is_left(fakes: Any, vault: BackupTarget) -> None:
    before = live(fakes)
    take(platform_of(), vault)
    changed(fakes)
    fakes["redis"].at = fail_at("restore")
    with pytest.raises(RagopsError):
        restore(RestoreRequest(), platform_of(), vault)
    (safety,) = [point.id for point in vault.primary.list().points if point.manifest.kind is Kind.SAFETY]
    for engine in fakes.values():
        engine.steps.clear()
    fakes["redis"].at = lambda _step: None
    result = restore(RestoreRequest(), platform_of(), vault)
    assert restored(fakes) == ["redis", "qdrant"]
    assert live(fakes) == before
    assert result.safety == safety, "of what was there before the first attempt"
    assert "continuing" in result.notes[0]
    assert safety in result.notes[0]
    assert "left as it is" in result.services[0].notes[0]
    assert len(vault.primary.list().points) == 2
    assert journal_of(vault).read() is None


def interrupted(fakes: Any, vault: BackupTarget) -> None:
    take(platform_of(), vault)
    changed(fakes)
    fakes["qdrant"].at = fail_at("restore", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        restore(RestoreRequest(), platform_of(), vault)
    left = journal_of(vault).read()
    assert left is not None
    assert left.done == ("timescaledb", "redis")
    fakes["qdrant"].at = lambda _step: None
    changed(fakes)


def test_anew_restores_all_again(fakes: Any, vault: BackupTarget) -> None:
    interrupted(fakes, vault)
    result = restore(RestoreRequest(restart=True), platform_of(), vault)
    assert restored(fakes) == list(ORDER)
    assert len(vault.primary.list().points) == 3
    assert result.notes == ()


@pytest.mark.parametrize("age", [timedelta(hours=25), timedelta(hours=-2)])
def test_a_stale_one_begins_anew(fakes: Any, vault: BackupTarget, age: timedelta) -> None:
    interrupted(fakes, vault)
    path = vault.staging.parent / "restore.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "started": (datetime.fromisoformat(values["started"]) - age).isoformat()}))
    restore(RestoreRequest(), platform_of(), vault)
    assert restored(fakes) == list(ORDER)
    assert len(vault.primary.list().points) == 3


def test_another_restore_begins_anew(fakes: Any, vault: BackupTarget) -> None:
    interrupted(fakes, vault)
    restore(RestoreRequest(services=("timescaledb", "redis")), platform_of(), vault)
    assert restored(fakes) == ["timescaledb", "redis"]
    assert journal_of(vault).read() is None


def test_a_dry_run_in_between_changes_nothing_of_it(fakes: Any, vault: BackupTarget) -> None:
    interrupted(fakes, vault)
    restore(RestoreRequest(dry_run=True), platform_of(), vault)
    restore(RestoreRequest(), platform_of(), vault)
    assert restored(fakes) == ["qdrant"]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from tests.backup_helpers import restore, vault_of
    from tests.fake_engines import engines, platform_of, plugged
    from ragops.operations.restore.restore import RestoreRequest

    where, service = sys.argv[1:]
    found = engines()

    def at(what):
        if what == "restore":
            os.kill(os.getpid(), signal.SIGKILL)

    found[service].at = at
    with plugged(found):
        restore(RestoreRequest(), platform_of(), vault_of(Path(where)))
"""


@pytest.mark.fault
@pytest.mark.parametrize("service", ORDER)
def test_a_killed_restore_is_gone_on_with(fakes: Any, vault: BackupTarget, service: str) -> None:
    before = live(fakes)
    take(platform_of(), vault)
    changed(fakes)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(vault.staging.parent), service]
    assert subprocess.run(command, env=environment, timeout=60, check=False).returncode == -signal.SIGKILL
    done = ORDER[: ORDER.index(service)]
    for name in done:
        fakes[name].live = before[name]  # as the killed run left it
    result = restore(RestoreRequest(), platform_of(), vault)
    assert restored(fakes) == [name for name in ORDER if name not in done]
    assert live(fakes) == before
    assert vault.primary.get(result.safety).manifest.kind is Kind.SAFETY
    assert files_of(vault.staging) == []


def test_other_counts_than_stated_are_found_in_a_rehearsal(fakes: Any, vault: BackupTarget) -> None:
    point = take(platform_of(), vault)
    forge_counts(vault, point, "redis/one", **{"one.bytes": 7})
    with pytest.raises(IntegrityError) as caught:
        restore(RestoreRequest(dry_run=True), platform_of(), vault)
    assert caught.value.code == "counts_differ"
