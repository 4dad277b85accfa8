"""The local history: kept from run to run, and named if it cannot be read, so that numbers never begin again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ragops.config.load import load
from ragops.errors import RagopsError
from ragops.operations.lifecycle.init import init
from ragops.operations.observe import backup_health
from ragops.operations.session import Session
from ragops.recovery.local_history import History

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED = [b"", b"{", b"[]", b'{"sequence": "many"}', b"\xff\xfe"]


def test_numbers_grow_and_what_others_recorded_stays(tmp_path: Path) -> None:
    history = History(tmp_path / "history.json")
    assert (history.read().sequence, history.read().is_new_platform) == (0, False)
    history.record_sequence(7)
    history.record_copies(["elsewhere"])
    history.record_sequence(3)
    assert (history.read().sequence, history.read().copies) == (7, ["elsewhere"])


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_one_is_named_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history.json"
    path.write_bytes(content)
    for act in (History(path).read, lambda: History(path).record_sequence(8), lambda: History(path).record_data([])):
        with pytest.raises(RagopsError, match=f"cannot read {path}: it is damaged") as caught:
            act()
        assert (caught.value.code, f"`rm {path}`" in caught.value.hint) == ("history_unreadable", True)
    assert path.read_bytes() == content


def test_no_backup_takes_a_number_from_a_damaged_one_and_health_names_it(tmp_path: Path) -> None:
    init(tmp_path, "rag", "embedded")
    session = Session(load(tmp_path / "ragops.yaml", None, {}), "test", lambda _text: None)
    path = session.project.paths.history
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"{")
    with pytest.raises(RagopsError, match="cannot read"):
        session.repositories().last_sequence()
    found = {check.name: check.detail for check in backup_health.probe(session).checks}
    assert f"cannot read {path}" in found["recovery point"]
