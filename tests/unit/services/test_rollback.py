"""A restore that fails puts the old data back, though a step of the way back fails too; its own failure is raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ragops.errors import RagopsError, UnhealthyError
from ragops.services.contract import Endpoint
from ragops.services.qdrant.backup import backup as qdrant
from ragops.services.redis import backup as redis
from ragops.services.rollback import rollback
from ragops.services.timescaledb.backup import backup as timescaledb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Control:
    """A control whose service starts only on the old data, and does not stop once the new data are there."""

    def __init__(self, *, running: bool) -> None:
        self.done: list[str] = []
        self.running, self.aside = running, ""

    def is_running(self) -> bool:
        return self.running

    def stop(self) -> None:
        self.done.append("stop")
        if self.aside:
            raise RagopsError("cannot_stop", "it does not stop")
        self.running = False

    def start(self) -> None:
        self.done.append("start")
        if self.aside:
            raise RagopsError("service_failed", "it does not start")
        self.running = True

    def swap_data(self, _files: Any, label: str) -> str:
        self.aside = f"/data.{label}"
        self.done.append("swap")
        return self.aside

    def move_data_aside(self, label: str) -> str:
        return self.swap_data({}, label)

    def rollback_data(self, aside: str) -> None:
        assert aside == self.aside
        self.aside = ""
        self.done.append("roll back")


def failed_restore(control: Control, run: Callable[[], object]) -> RagopsError:
    with pytest.raises(RagopsError) as caught:
        run()
    assert control.aside == "", "the old data are in place"
    return caught.value


def endpoint(service: str, engine: str) -> Endpoint:
    return Endpoint(service, engine, "1", "embedded", "127.0.0.1", 1)


def test_redis_serves_its_old_data_though_the_new_server_does_not_stop() -> None:
    control: Any = Control(running=True)
    error = failed_restore(control, lambda: redis._swap(endpoint("redis", "valkey"), control, {}, {}, "before-restore"))
    assert control.done == ["stop", "swap", "start", "stop", "roll back", "start"]
    assert error.code == "service_failed"
    assert error.message == "it does not start; cannot stop redis: it does not stop"


def test_postgresql_gets_its_old_data_though_it_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_answer(_endpoint: Endpoint) -> None:
        raise UnhealthyError("database_unreachable", "it does not answer")

    control: Any = Control(running=True)
    monkeypatch.setattr(timescaledb.roles, "wait_ready", no_answer)
    error = failed_restore(control, lambda: timescaledb._bring_up(endpoint("timescaledb", "postgresql"), control))
    assert control.done[-3:] == ["start", "stop", "roll back"]
    assert error.code == "service_failed"
    assert "cannot stop the database: it does not stop" in error.message


def test_qdrant_gets_its_old_data_though_it_does_not_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    control: Any = Control(running=False)
    monkeypatch.setattr(control, "start", lambda: (_ for _ in ()).throw(RagopsError("service_failed", "damaged")))
    monkeypatch.setattr(qdrant, "_check_complete", lambda _folder, _parts: None)
    monkeypatch.setattr(qdrant.manifest, "read", lambda _path: None)
    error = failed_restore(
        control,
        lambda: qdrant.QdrantBackup().restore(endpoint("qdrant", "qdrant-edge"), control, tmp_path, ()),
    )
    assert control.done[-2:] == ["stop", "roll back"]
    assert (error.code, error.message) == ("service_failed", "damaged; cannot stop qdrant: it does not stop")


def test_an_interrupt_is_rolled_back_and_stays_an_interrupt() -> None:
    done: list[str] = []

    def fail() -> None:
        raise OSError("no such folder")

    with pytest.raises(KeyboardInterrupt) as caught, rollback() as undo:
        undo.add("do the first", lambda: done.append("first"))
        undo.add("do the second", fail)
        raise KeyboardInterrupt
    assert done == ["first"]
    assert caught.value.__notes__ == ["cannot do the second: no such folder"]


def test_nothing_is_rolled_back_after_success() -> None:
    done: list[str] = []
    with rollback() as undo:
        undo.add("undo it", lambda: done.append("undone"))
    assert done == []
