"""What a drill fails with is raised and recorded, whatever becomes of its scratch platform."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.errors import IntegrityError, RagopsError
from ragops.operations.restore import drill as module
from ragops.operations.restore.compare import Comparison
from ragops.operations.restore.drill import DrillRequest, drill
from ragops.services.contract import Status
from tests.backup_helpers import open_repositories, take
from tests.fake_engines import engines, platform_of, plugged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.recovery.repositories import Repositories

STUCK = RagopsError("data_in_use", "a process still writes there")
DAMAGED = IntegrityError("drill_failed", "counts differ")


@pytest.fixture
def repos(tmp_path: Path) -> Iterator[Repositories]:
    with plugged(engines()):
        found = open_repositories(tmp_path)
        take(platform_of(), found)
        yield found


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RagopsError | None]:
    """Outcomes that were kept; the scratch platform is a folder that cannot be removed."""
    kept: list[RagopsError | None] = []

    def stuck(*_: Any) -> None:
        raise STUCK

    @contextmanager
    def files(*_: Any, **__: Any) -> Iterator[None]:
        yield None

    monkeypatch.setattr(module, "keep_record", lambda _session, record, _notice: kept.append(record.error))
    monkeypatch.setattr(module, "project_files", files)
    monkeypatch.setattr(module.scratch_platform, "left", lambda _project: [])
    monkeypatch.setattr(module.scratch_platform, "new_folder", lambda _project: tmp_path / "scratch")
    monkeypatch.setattr(module.scratch_platform, "make", lambda *_: SimpleNamespace(notes=()))
    monkeypatch.setattr(module.scratch_platform, "remove", stuck)
    return kept


def session(notices: list[str]) -> Any:
    return SimpleNamespace(project=None, command="ragops backup drill", notice=notices.append)


def test_a_failure_of_cleaning_up_does_not_hide_that_of_the_drill(
    repos: Repositories, records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise DAMAGED

    notices: list[str] = []
    monkeypatch.setattr(module, "_prove", fail)
    with pytest.raises(RagopsError) as found:
        drill(session(notices), repos, DrillRequest())
    assert found.value is DAMAGED
    assert records == ["drill_failed"], "health shows why"
    assert "a process still writes there" in found.value.__notes__[0]
    assert notices == found.value.__notes__


def test_a_drill_that_went_well_is_recorded_so_though_its_platform_cannot_be_removed(
    repos: Repositories, records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def succeed(run: Any, _scratch: Any) -> Any:
        run.comparison = Comparison({}, 3, (), (), ())
        return SimpleNamespace(status=Status.OK, unsettled=())

    monkeypatch.setattr(module, "_prove", succeed)
    with pytest.raises(RagopsError) as found:
        drill(session([]), repos, DrillRequest())
    assert found.value is STUCK
    assert records == [""]
