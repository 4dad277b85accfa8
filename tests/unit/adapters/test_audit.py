"""The audit trail: whole lines, whoever writes at the same time."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.audit import append, find_user
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import sys
from pathlib import Path
from ragops.adapters.audit import append
for number in range(200):
    append(Path(sys.argv[1]), command="x" * 3000, writer=sys.argv[2], number=number)
"""


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_who_when_where_and_what(tmp_path: Path) -> None:
    append(tmp_path / "new" / "audit.jsonl", command="ragops up", outcome="done")
    (line,) = lines(tmp_path / "new" / "audit.jsonl")
    assert set(line) == {"time", "user", "host", "pid", "command", "outcome"}
    assert str(line["time"]).endswith("+00:00")


def test_lines_are_appended_never_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("what stood there\n")
    append(path, command="a\nb")
    assert path.read_text().startswith("what stood there\n")
    assert len(path.read_text().splitlines()) == 2


def test_the_trail_is_private(tmp_path: Path) -> None:
    append(tmp_path / "audit.jsonl")
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


def test_lines_of_runs_at_the_same_time_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)]) for number in range(4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 4
    found = lines(path)
    assert len(found) == 800
    for writer in range(4):
        assert [line["number"] for line in found if line["writer"] == str(writer)] == list(range(200))


def test_a_trail_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(RagopsError) as caught:
        append(tmp_path / "audit.jsonl")
    assert "audit.jsonl" in caught.value.message


def test_behind_sudo_the_person_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ada")
    assert find_user() == "ada"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without a name")
def test_a_user_without_a_name_is_no_failure() -> None:
    program = "import os; from ragops.adapters.audit import find_user; os.setuid(54321); print(find_user())"
    done = subprocess.run([sys.executable, "-c", program], env={}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "54321"
