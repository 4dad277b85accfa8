"""The nightly run, started as cron starts it: the very line of the crontab, nothing of an environment, from /."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import threading
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from ragops.adapters import locks
from ragops.adapters.healthcheck_ping import ping
from ragops.adapters.scheduler.cron import Crontab
from ragops.adapters.scheduler.systemd import UnitFolder, systemctl, unit_folder
from ragops.config.backup import PingSettings
from ragops.errors import MissingError, RagopsError, UsageError
from ragops.operations.schedule import install as operation
from ragops.operations.schedule import step_runner
from ragops.operations.schedule.install import Schedulers
from ragops.operations.schedule.scheduler_files import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "f3b1c2-no-message-may-hold-this"  # as services that watch have it: in the path
BARE = {"HOME": "/", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "root"}


# --- whoever watches -----------------------------------------------------------------------------------------------
@dataclass
class Watcher:
    """A server that is pinged: `answers` are the codes it gives in turn, the last one for ever; 0 hangs."""

    answers: dict[str, list[int]] = field(default_factory=dict)
    heard: list[tuple[str, str, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def words(self) -> list[str]:
        """What was heard: the last part of every path, in order."""
        return [path.rpartition("/")[2] for _, path, _ in self.heard]

    def body(self, word: str) -> str:
        return next(body for _, path, body in self.heard if path.endswith(word))

    def watch(self, project: Path) -> None:
        """Have the runs of a project ping this."""
        config = project / "ragops.yaml"
        lines = "".join(f"    {word}: {self.url}/{TOKEN}/{word}\n" for word in ("start", "success", "failure"))
        text = config.read_text()
        assert text.count("\nbackup:\n") == 1
        config.write_text(text.replace("\nbackup:\n", f"\nbackup:\n  ping:\n{lines}"))


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    found = Watcher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            found.heard.append((self.command, self.path, body))
            codes = found.answers.get(self.path.rpartition("/")[2], [200])
            code = codes.pop(0) if len(codes) > 1 else codes[0]
            if code == 0:
                found.over.wait()
                return
            self.send_response(code)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield found
        finally:
            found.over.set()
            server.shutdown()
            thread.join()


# --- a crontab, and what stands in it ------------------------------------------------------------------------------
FAKE = """#!/bin/sh
file="$(dirname "$0")/crontab.txt"
case "$1" in
-l) if [ -e "$file.broken" ]; then echo "tables: permission denied" >&2; exit 1; fi
    if [ ! -e "$file" ]; then echo "no crontab for someone" >&2; exit 1; fi
    cat "$file" ;;
-) if [ -e "$file.full" ]; then echo "no room" >&2; exit 1; fi
    cat > "$file" ;;
esac
"""


@dataclass(frozen=True)
class Table:
    """A crontab of nobody: the program `crontab` in a folder of its own."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "crontab.txt"

    @property
    def env(self) -> dict[str, str | None]:
        return {"PATH": f"{self.folder}:{os.environ['PATH']}"}


def make_table(folder: Path) -> Table:
    folder.mkdir(exist_ok=True)
    (folder / "crontab").write_text(FAKE)
    (folder / "crontab").chmod(0o755)
    return Table(folder)


@pytest.fixture
def table(workspace: Path) -> Table:
    return make_table(workspace / "bin")


def line_of(crontab: str, environment: str = "default") -> str:
    """What cron hands to /bin/sh: after the five fields, with its escapes undone."""
    lines = [line for line in crontab.splitlines() if f"--env {environment} " in line and line.endswith(" scheduled")]
    assert len(lines) == 1, crontab
    return lines[0].split(" ", 5)[5].replace("\\%", "%")


def as_cron(command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a line with nothing but what cron gives it."""
    words = [f"{name}={value}" for name, value in BARE.items()]
    return subprocess.run(
        ["/usr/bin/env", "-i", *words, "/bin/sh", "-c", command], cwd="/", stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def record_of(project: Path) -> dict[str, Any]:
    """The last run on record."""
    return json.loads((project / ".ragops" / "schedule" / "default.jsonl").read_text().splitlines()[-1])


# --- install, show, remove -----------------------------------------------------------------------------------------
def test_install_show_remove_leave_other_lines_alone(project: Path, ragops: Any, table: Table) -> None:
    theirs = "MAILTO=me@example.org\n0 5 * * 1 tar \\%x  \n\n# the end"
    table.file.write_text(f"{theirs}\n")

    missing = ragops("backup", "schedule", "show", "--json", cwd=project, env=table.env)
    assert (missing.code, missing.error["code"]) == (7, "not_scheduled")

    done = ragops("backup", "schedule", "install", "--with", "cron", "--json", cwd=project, env=table.env)
    assert done.code == 0, done.err
    block = done.json()["installed"]["text"]
    assert table.file.read_text() == f"{theirs}\n{block}"

    again = ragops(
        "backup", "schedule", "install", "--with=cron", "--at=03:30", "--drill=sunday", cwd=project, env=table.env
    )
    assert again.code == 0, again.err
    lines = table.file.read_text().removeprefix(f"{theirs}\n").splitlines()
    assert [line.split(" /")[0] for line in lines[1:-1]] == ["30 3 * * *", "30 5 * * 0"]
    assert again.out.splitlines() == lines, "what it shows is what stands there"

    shown = ragops("backup", "schedule", "show", "--json", cwd=project, env=table.env).json()
    assert [(item["scheduler"], item["next_run"][11:16]) for item in shown["installed"]] == [("cron", "03:30")]
    assert shown["last"] is None

    assert ragops("backup", "schedule", "remove", "--json", cwd=project, env=table.env).json() == {"removed": ["cron"]}
    assert table.file.read_text() == f"{theirs}\n"
    nothing = ragops("backup", "schedule", "remove", cwd=project, env=table.env)
    assert (nothing.code, nothing.err) == (0, "nothing was scheduled\n")


def test_it_drills_on_sundays_unless_told_otherwise(project: Path, ragops: Any, table: Table) -> None:
    def installed(*options: str) -> list[str]:
        done = ragops("backup", "schedule", "install", "--with=cron", *options, cwd=project, env=table.env)
        assert done.code == 0, done.err
        return [line.split(" /")[0] for line in table.file.read_text().splitlines() if not line.startswith("#")]

    assert installed() == ["0 2 * * *", "0 4 * * 0"]
    assert installed("--drill=none") == ["0 2 * * *"]
    assert installed("--drill=friday") == ["0 2 * * *", "0 4 * * 5"]


def test_without_a_key_there_is_no_drill_and_that_is_said(project: Path, ragops: Any, table: Table) -> None:
    recipient = ragops("backup", "keygen", str(project / "identity.txt"), cwd=project).out.strip()
    config = project / "ragops.yaml"
    config.write_text(config.read_text().replace("backup:\n", f"backup:\n  recipients: [{recipient}]\n", 1))
    done = ragops("backup", "schedule", "install", "--with=cron", cwd=project, env=table.env)
    assert done.code == 0, done.err
    assert "no drill" in done.err
    assert "backup drill latest" not in table.file.read_text()
    refused = ragops("backup", "schedule", "install", "--with=cron", "--drill=sunday", cwd=project, env=table.env)
    assert refused.code == 2


def test_environments_of_one_project_have_blocks_of_their_own(project: Path, ragops: Any, table: Table) -> None:
    (project / "ragops.live.yaml").write_text("redis: {port: 11111}\n")
    for options in ((), ("--env", "live")):
        assert ragops(*options, "backup", "schedule", "install", "--with=cron", cwd=project, env=table.env).code == 0
    both = table.file.read_text()
    assert ragops("backup", "schedule", "remove", "--env=live", cwd=project, env=table.env).code == 0
    left = table.file.read_text()
    assert line_of(left) == line_of(both)
    assert "live" not in left
    assert "--env live " in line_of(both, "live")


def test_a_crontab_that_cannot_be_read_is_not_overwritten(project: Path, ragops: Any, table: Table) -> None:
    table.file.write_text("0 1 * * * theirs\n")
    (table.folder / "crontab.txt.broken").touch()
    for command in ("install --with=cron", "show", "remove"):
        done = ragops("backup", "schedule", *command.split(), "--json", cwd=project, env=table.env)
        assert (done.code, done.error["code"]) == (1, "crontab_unreadable")
        assert "permission denied" in done.error["message"]
    assert table.file.read_text() == "0 1 * * * theirs\n"


def test_a_crontab_that_is_refused_says_so(project: Path, ragops: Any, table: Table) -> None:
    (table.folder / "crontab.txt.full").touch()
    done = ragops("backup", "schedule", "install", "--with=cron", "--json", cwd=project, env=table.env)
    assert (done.code, done.error["code"]) == (1, "crontab_refused")
    assert "no room" in done.error["message"]


def test_neither_cron_nor_systemd(project: Path, ragops: Any, workspace: Path) -> None:
    env: dict[str, str | None] = {"PATH": str(workspace)}
    done = ragops("backup", "schedule", "install", "--with=cron", "--json", cwd=project, env=env)
    assert (done.code, done.error["code"]) == (7, "cron_missing")
    assert "apt-get install cron" in done.error["hint"]
    done = ragops("backup", "schedule", "install", "--with=systemd", "--json", cwd=project, env=env)
    assert (done.code, done.error["code"]) == (7, "systemd_missing")
    assert ragops("backup", "schedule", "show", "--json", cwd=project, env=env).error["code"] == "not_scheduled"


@pytest.mark.parametrize(
    ("words", "code"),
    [("--at 25:00", "invalid_time"), ("--drill someday", "invalid_weekday"), ("--with at", "unknown_scheduler")],
)
def test_wrong_words_change_nothing(project: Path, ragops: Any, table: Table, words: str, code: str) -> None:
    done = ragops("backup", "schedule", "install", *words.split(), "--json", cwd=project, env=table.env)
    assert (done.code, done.error["code"]) == (2, code)
    assert not table.file.exists()


def test_settings_that_cron_will_not_have_are_named(project: Path, ragops: Any, table: Table) -> None:
    env = {**table.env, "RAGOPS__BACKUP__JOBS": "1"}
    done = ragops("backup", "schedule", "install", "--with=cron", cwd=project, env=env)
    assert "RAGOPS__BACKUP__JOBS" in done.err


# --- an ingest by the clock ----------------------------------------------------------------------------------------
def fields_of(table: Table) -> list[str]:
    """The times of the crontab's lines."""
    return [line.split(" /")[0] for line in table.file.read_text().splitlines() if not line.startswith("#")]


def test_the_ingest_and_the_nightly_run_leave_one_another_alone(project: Path, ragops: Any, table: Table) -> None:
    def run(*words: str, code: int = 0) -> Any:
        done = ragops("schedule", *words, cwd=project, env=table.env)
        assert done.code == code, done.err
        return done

    done = run("install", "--ingest=15m", "--with=cron", "--json").json()
    assert (done["installed"], done["ingest"]["scheduler"]) == (None, "cron")
    assert fields_of(table) == ["*/15 * * * *"], "it was asked for alone"
    assert "*/15" in run("show").out
    run("install", "--at=03:30", "--with=cron")
    assert fields_of(table) == ["*/15 * * * *", "30 3 * * *", "30 5 * * 0"]
    run("install", "--ingest", "2h", "--with=cron")
    assert fields_of(table) == ["0 */2 * * *", "30 3 * * *", "30 5 * * 0"]
    shown = run("show", "--json").json()
    assert [len(one["installed"]) for one in (shown, shown["ingest"])] == [1, 1]
    assert shown["ingest"]["log"].endswith("/schedule/ingest/default.log")
    assert run("install", "--ingest=none").err == "removed the ingest\n"
    assert run("install", "--ingest=none").err == "no ingest was scheduled\n"
    assert fields_of(table) == ["30 3 * * *", "30 5 * * 0"]
    run("install", "--at=02:00", "--ingest=1h", "--with=cron")
    assert len(fields_of(table)) == 3
    assert run("remove", "--json").json() == {"removed": ["cron"]}
    assert table.file.read_text() == ""
    run("show", code=7)
    assert not ragops("backup", "schedule", "install", "--with=cron", cwd=project, env=table.env).code
    assert fields_of(table) == ["0 2 * * *", "0 4 * * 0"], "the older name does the same"


@pytest.mark.parametrize("text", ["", "7m", "90m", "15", "0m", "m", "-1h", "24h", "1d", "15 m", "1٢m", "60h"])
def test_an_interval_that_cron_does_not_have(project: Path, ragops: Any, table: Table, text: str) -> None:
    done = ragops("schedule", "install", f"--ingest={text}", "--json", cwd=project, env=table.env)
    assert (done.code, done.error["code"]) == (2, "invalid_interval")
    assert "15m" in done.error["hint"]
    assert not table.file.exists()


def test_the_ingest_as_cron_runs_it(odd_project: Path, ragops: Any, table: Table) -> None:
    assert ragops("schedule", "install", "--ingest=15m", "--with=cron", cwd=odd_project, env=table.env).code == 0
    [line] = [line for line in table.file.read_text().splitlines() if not line.startswith("#")]
    done = as_cron(line.split(" ", 5)[5].replace("\\%", "%"))
    assert (done.returncode, done.stdout) == (7, ""), done.stderr
    assert done.stderr.startswith("error: ingest: ")
    last = ragops("schedule", "show", "--json", cwd=odd_project, env=table.env).json()
    assert (last["last"], last["ingest"]["last"]["exit_code"]) == (None, 7), "it has a record of its own"
    assert "exit code 7 (ingest 7)" in ragops("schedule", "show", cwd=odd_project, env=table.env).out
    folder = odd_project / ".ragops" / "schedule" / "ingest"
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert "ends with exit code 7" in (folder / "default.log").read_text()


def test_a_second_ingest_by_the_clock_ends_at_once(project: Path, ragops: Any) -> None:
    folder = project / ".ragops" / "locks" / "default"
    with locks.hold_locks(folder, ("scheduled-ingest",), "ragops schedule ingest", 0.0, lambda _text: None):
        done = ragops("schedule", "ingest", "--json", cwd=project)
    assert (done.code, done.error["code"]) == (5, "ingest_running")
    assert not (project / ".ragops" / "schedule").exists(), "it left a record"
    assert ragops("schedule", "ingest", "--json", cwd=project).code == 7


# --- the line, as cron runs it -------------------------------------------------------------------------------------
@pytest.fixture
def odd_project(workspace: Path, project: Path) -> Path:
    """A project whose folder has a name that shells, cron and systemd read in ways of their own."""
    folder = workspace / 'it\'s 100% "odd" $HOME ü'
    project.rename(folder)
    return folder


def test_the_line_needs_nothing_of_its_environment(
    odd_project: Path, ragops: Any, table: Table, watcher: Watcher
) -> None:
    watcher.watch(odd_project)
    assert ragops("backup", "schedule", "install", "--with=cron", cwd=odd_project, env=table.env).code == 0
    done = as_cron(line_of(table.file.read_text()))

    assert (done.returncode, done.stdout) == (7, ""), done.stderr
    assert done.stderr.startswith("error: backup: "), "what cron sends by mail"
    record = record_of(odd_project)
    assert [(step["name"], step["exit_code"]) for step in record["steps"]] == [("backup", 7), ("maintain", 7)]
    assert record["start"] <= record["steps"][0]["start"] <= record["steps"][1]["end"] <= record["end"]
    assert record["exit_code"] == 7
    assert watcher.words() == ["start", "failure"]
    assert watcher.heard[1][0] == "POST"
    assert watcher.body("failure").startswith("exit code 7\nbackup: exit code 7\nmaintain: exit code 7\n")
    assert "is not up" in watcher.body("failure"), "the last lines of the log"

    files = list((odd_project / ".ragops" / "schedule").iterdir())
    assert sorted(path.name for path in files) == ["default.jsonl", "default.log"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    log = (odd_project / ".ragops" / "schedule" / "default.log").read_text()
    assert "ends with exit code 7" in log
    assert TOKEN not in log + done.stderr

    last = ragops("backup", "schedule", "show", "--json", cwd=odd_project, env=table.env).json()["last"]
    assert (last["state"], last["exit_code"]) == ("failed", 7)
    words = ragops("backup", "schedule", "show", cwd=odd_project, env=table.env).out
    assert "exit code 7 (backup 7, maintain 7)" in words


def test_a_folder_of_our_name_at_home_is_not_taken_for_us(
    project: Path, ragops: Any, table: Table, workspace: Path
) -> None:
    (workspace / "ragops").mkdir()
    (workspace / "ragops" / "__init__.py").write_text("raise SystemExit('somebody else')\n")
    assert ragops("backup", "schedule", "install", "--with=cron", cwd=project, env=table.env).code == 0
    done = as_cron(f"cd {workspace} && {line_of(table.file.read_text())}")
    assert done.returncode == 7, done.stderr


def test_json_of_a_failure_is_one_document(project: Path, ragops: Any) -> None:
    done = ragops("backup", "scheduled", "--json", cwd=project)
    assert (done.code, done.err) == (7, "")
    assert done.error["message"].startswith("backup: ")


@pytest.mark.engine
def test_on_a_platform_that_is_up_it_ends_with_0(
    module_project: Path, ragops: Any, module_workspace: Path, watcher: Watcher
) -> None:
    own = make_table(module_workspace / "bin")
    watcher.watch(module_project)
    try:
        for command in (("up", "--yes"), ("migrate", "up"), ("backup", "schedule", "install", "--with=cron")):
            done = ragops(*command, cwd=module_project, env=own.env)
            assert done.code == 0, done.err
        ran = as_cron(line_of(own.file.read_text()))
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", ""), "nothing for cron to send by mail"
        record = record_of(module_project)
        assert [(step["name"], step["exit_code"]) for step in record["steps"]] == [("backup", 0), ("maintain", 0)]
        assert watcher.words() == ["start", "success"]
        assert [method for method, _, _ in watcher.heard] == ["GET", "GET"]
        points = ragops("backup", "list", "--json", cwd=module_project).json()["points"]
        assert len(points) == 1
        shown = ragops("backup", "schedule", "show", "--json", cwd=module_project, env=own.env).json()
        assert (shown["last"]["state"], shown["last"]["exit_code"]) == ("done", 0)
    finally:
        assert ragops("down", "--yes", cwd=module_project).code == 0


# --- an end before the end -----------------------------------------------------------------------------------------
@pytest.mark.fault
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_says_so(
    project: Path, ragops: Any, watcher: Watcher, wait_until: Any, number: signal.Signals
) -> None:
    watcher.watch(project)
    folder = project / ".ragops" / "locks" / "default"
    log = project / ".ragops" / "schedule" / "default.log"
    with locks.hold_locks(folder, locks.KINDS, "a long change", 0, print):  # its first step waits for that
        process = ragops.start("backup", "scheduled", cwd=project)
        wait_until(lambda: (log.exists() and "backup: begins" in log.read_text()) or process.poll() is not None, 60)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert [(step["name"], step["exit_code"]) for step in record_of(project)["steps"]] == [("backup", 130)]
    assert watcher.words() == ["start", "failure"]
    assert "backup: exit code 130" in watcher.body("failure")


def test_a_failure_that_an_interrupt_became_ends_the_run(tmp_path: Path) -> None:
    """Python makes a RuntimeError of one that comes while a class is made (`__set_name__`)."""

    def interrupted() -> None:
        raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()

    files = step_runner.RunFiles(tmp_path / "log", tmp_path / "record")
    report = step_runner.run([("backup", interrupted), ("prune", pytest.fail)], files, PingSettings())
    assert (report.exit_code, [step.exit_code for step in report.steps]) == (130, [130])


@pytest.mark.fault
def test_a_run_that_is_told_to_stop_before_its_first_step(
    project: Path, ragops: Any, watcher: Watcher, wait_until: Any
) -> None:
    watcher.answers["start"] = [0]
    watcher.watch(project)
    process = ragops.start("backup", "scheduled", cwd=project)
    wait_until(lambda: watcher.heard or process.poll() is not None, 60)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert (record_of(project)["exit_code"], record_of(project)["steps"]) == (130, [])
    assert watcher.words() == ["start", "failure"]


@pytest.mark.fault
def test_a_run_that_was_killed_is_not_taken_for_the_one_before(
    project: Path, ragops: Any, watcher: Watcher, wait_until: Any, table: Table
) -> None:
    assert ragops("backup", "schedule", "install", "--with=cron", cwd=project, env=table.env).code == 0
    assert ragops("backup", "scheduled", cwd=project).code == 7
    watcher.answers["start"] = [0]
    watcher.watch(project)
    process = ragops.start("backup", "scheduled", cwd=project)
    wait_until(lambda: watcher.heard or process.poll() is not None, 60)

    def last() -> tuple[str, Any]:
        found = ragops("backup", "schedule", "show", "--json", cwd=project, env=table.env).json()["last"]
        return found["state"], found["exit_code"]

    assert last() == ("running", None)
    process.kill()
    process.communicate(timeout=60)
    assert last() == ("killed", None)


# --- the run itself: steps, log, record, pings ---------------------------------------------------------------------
def files_in(folder: Path) -> step_runner.RunFiles:
    return step_runner.RunFiles(folder / "schedule" / "x.log", folder / "schedule" / "x.jsonl")


def test_every_step_is_run_whatever_the_one_before_came_to(tmp_path: Path) -> None:
    ran: list[str] = []

    def bad() -> None:
        ran.append("bad")
        raise ValueError("a fault")

    def locked() -> None:
        ran.append("locked")
        raise MissingError("lacking", "not there", "get it")

    report = step_runner.run(
        (("one", bad), ("two", locked), ("three", lambda: print("words of the third"))),
        files_in(tmp_path),
        PingSettings(),
    )
    assert ran == ["bad", "locked"]
    assert [(step.name, step.exit_code, step.error) for step in report.steps] == [
        ("one", 1, "internal_error"), ("two", 7, "lacking"), ("three", 0, ""),
    ]  # fmt: skip
    assert report.exit_code == 1, "the first that failed"
    assert report.failure is not None
    assert report.failure.message == "one: this is a fault in ragops: ValueError: a fault"
    log = files_in(tmp_path).log.read_text()
    assert "Traceback" in log
    assert "words of the third" in log


def test_no_step_follows_an_interrupt(tmp_path: Path) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    report = step_runner.run(
        (("one", stopped), ("two", lambda: pytest.fail("ran"))), files_in(tmp_path), PingSettings()
    )
    assert (report.exit_code, [step.exit_code for step in report.steps]) == (130, [130])


def test_a_failure_tells_no_secret(tmp_path: Path, watcher: Watcher) -> None:
    secret = "correct-horse-battery"
    url = f"{watcher.url}/{TOKEN}/failure"

    def step() -> None:
        print(f"connecting with {secret} to {url}")
        raise RagopsError("broken", f"login as rag:{secret} failed")

    step_runner.run((("one", step),), files_in(tmp_path), PingSettings(failure=url), secrets=(secret,))
    body = watcher.body("failure")
    assert "connecting with *** to ***" in body
    assert "rag:*** failed" in body
    assert secret not in body
    assert TOKEN not in body


def test_a_failure_tells_as_much_as_is_taken(tmp_path: Path, watcher: Watcher) -> None:
    def step() -> None:
        for _ in range(100):
            print("x" * 1000)
        raise RagopsError("broken", "the last words")

    step_runner.run((("one", step),), files_in(tmp_path), PingSettings(failure=f"{watcher.url}/failure"))
    body = watcher.body("failure")
    assert len(body) <= 10_000
    assert body.startswith("exit code 1\n")
    assert "the last words" in body


def test_the_log_is_bounded_and_the_record_as_well(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    for _ in range(12):
        step_runner.run((("one", lambda: print("x" * 700_000)),), files, PingSettings())
    sizes = [path.stat().st_size for path in files.log.parent.glob("x.log*")]
    assert len(sizes) > 1
    assert sum(sizes) < 10 * 700_000
    files.record.write_text("{}\n" * 500_000)
    step_runner.run((), files, PingSettings())
    assert files.record.stat().st_size < 10_000
    found = operation.last_run(files.record)
    assert found is not None
    assert found.state == "done"


def test_a_log_that_cannot_be_written_fails_nothing(tmp_path: Path, watcher: Watcher) -> None:
    (tmp_path / "schedule").write_text("a file where the folder should be")
    ran: list[int] = []
    pings = PingSettings(success=f"{watcher.url}/success")
    report = step_runner.run((("one", lambda: ran.append(1)),), files_in(tmp_path), pings)
    assert (report.exit_code, ran, watcher.words()) == (0, [1], ["success"])
    assert len(report.notices) >= 1
    assert "recorded" in report.notices[0]


def test_half_a_line_of_the_record_hides_no_run(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    assert operation.last_run(files.record) is None
    step_runner.run((), files, PingSettings())
    with files.record.open("a") as stream:
        stream.write('{"start": "2026-0')
    found = operation.last_run(files.record)
    assert found is not None
    assert found.exit_code == 0


# --- pings that go wrong -------------------------------------------------------------------------------------------
def test_a_server_that_is_ill_for_a_moment_is_asked_again(watcher: Watcher) -> None:
    watcher.answers["x"] = [500, 500, 200]
    assert ping(f"{watcher.url}/x") == ""
    assert watcher.words() == ["x", "x", "x"]


@pytest.mark.parametrize(("code", "times"), [(503, 3), (429, 3), (404, 1)])
def test_a_ping_that_is_not_heard_is_one_notice(tmp_path: Path, watcher: Watcher, code: int, times: int) -> None:
    watcher.answers["success"] = [code]
    pings = PingSettings(success=f"{watcher.url}/{TOKEN}/success")
    report = step_runner.run((), files_in(tmp_path), pings)
    assert report.exit_code == 0, "the backup is done"
    assert report.notices == (f"cannot ping 127.0.0.1: it answered {code}",)
    assert len(watcher.heard) == times
    assert TOKEN not in files_in(tmp_path).log.read_text() + files_in(tmp_path).record.read_text()


def test_a_server_that_hangs_delays_by_its_three_tries_alone(watcher: Watcher) -> None:
    watcher.answers["x"] = [0]
    assert ping(f"{watcher.url}/{TOKEN}/x", "body", limit=0.2) == ("cannot ping 127.0.0.1: no answer in time")
    assert watcher.words() == ["x", "x", "x"]


def test_a_server_that_sends_a_letter_now_and_then_delays_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr("ragops.adapters.healthcheck_ping._PAUSE", 0.0)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                while not over.wait(0.05):
                    connection.sendall(b"H")  # never a whole line, never a pause that httpx would call one

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            failure = ping(f"http://127.0.0.1:{server.getsockname()[1]}/x", limit=0.5)
        finally:
            over.set()
            thread.join()
    assert failure == "cannot ping 127.0.0.1: it did not end in time"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (f"http://user:{TOKEN}@127.0.0.1:1/{TOKEN}", "127.0.0.1"),
        (f"http://nosuch.invalid/{TOKEN}", "nosuch.invalid"),
        (f"http://[{TOKEN}", "its URL"),
        (f"nonsense://{TOKEN}", TOKEN),
    ],
)
def test_whatever_a_url_is_nothing_is_raised_and_nothing_told(url: str, host: str) -> None:
    said = ping(url, limit=5)
    assert said.startswith(f"cannot ping {host}: ")
    assert TOKEN not in said.removeprefix(f"cannot ping {host}: ")


# --- systemd: its files for real, its program played ---------------------------------------------------------------
@dataclass
class NoCrontab:
    """A machine without cron."""

    def available(self) -> bool:
        return False

    def read(self) -> str:
        raise MissingError("cron_missing", "no cron")

    def write(self, text: str) -> None:
        raise MissingError("cron_missing", "no cron")


@dataclass(frozen=True)
class Folder(UnitFolder):
    """A folder of units on a machine where systemd runs."""

    def available(self) -> bool:
        return True


@pytest.fixture
def units(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """`systemctl` writes down what it is told, and fails at the word that stands in the file `fails`."""
    program = workspace / "bin" / "systemctl"
    program.parent.mkdir(exist_ok=True)
    program.write_text(
        '#!/bin/sh\nhere="$(dirname "$0")"\necho "$*" >> "$here/told"\n'
        'case "$*" in *"$(cat "$here/fails" 2>/dev/null || echo never)"*) echo "Failed to do it" >&2; exit 1;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return Folder(workspace / "units", True, workspace)


def told(units: Folder) -> list[str]:
    """What systemctl was told since it was asked for last."""
    file = units.folder.parent / "bin" / "told"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def wanted(project: Path, name: str = "test", drill: int | None = None, minute: int = 120) -> Schedule:
    return Schedule(name, "default", project / "ragops.yaml", "/usr/bin/python3", minute, drill)


def loaded(project: Path) -> Any:
    from ragops.config.load import load

    return load(project / "ragops.yaml", None)


def test_systemctl_is_told_so() -> None:
    assert systemctl(True, "enable", "x.timer") == ("systemctl", "--no-ask-password", "enable", "x.timer")
    assert systemctl(False, "daemon-reload") == ("systemctl", "--user", "--no-ask-password", "daemon-reload")


def test_where_units_go(tmp_path: Path) -> None:
    assert unit_folder(0, {}) == UnitFolder(Path("/etc/systemd/system"), True, Path("/run/user/0"))
    mine = unit_folder(1000, {"HOME": "/home/me"})
    assert mine == UnitFolder(Path("/home/me/.config/systemd/user"), False, Path("/run/user/1000"))
    assert unit_folder(1000, {"XDG_CONFIG_HOME": "/x", "HOME": "/y"}).folder == Path("/x/systemd/user")


def test_units_come_and_go(project: Path, units: Folder) -> None:
    found = Schedulers(NoCrontab(), units)
    theirs = units.folder / "ragops-other.timer"
    units.folder.mkdir()
    theirs.write_text("[Timer]\nOnCalendar=daily\n")

    report = operation.install(wanted(project, drill=0), found)
    assert report.installed.scheduler == "systemd"
    assert told(units)[1:] == [
        "--no-ask-password enable ragops-test-default-drill.timer ragops-test-default.timer",
        "--no-ask-password restart ragops-test-default-drill.timer ragops-test-default.timer",
    ]
    assert len(list(units.folder.iterdir())) == 5

    operation.install(wanted(project, minute=200), found)
    assert "--no-ask-password disable --now ragops-test-default-drill.timer" in told(units)
    shown = operation.show(loaded(project), found)
    assert [item.scheduler for item in shown.installed] == ["systemd"]
    assert shown.installed[0].next_run is not None
    assert f"{shown.installed[0].next_run:%H:%M}" == "03:20"

    assert operation.remove(loaded(project), found) == ("systemd",)
    assert [path.name for path in units.folder.iterdir()] == ["ragops-other.timer"]
    with pytest.raises(MissingError, match="cannot show the schedule: nothing of environment"):
        operation.show(loaded(project), found)


def test_timers_of_the_ingest(project: Path, units: Folder) -> None:
    found = Schedulers(NoCrontab(), units)
    operation.install(wanted(project), found)
    for minutes, calendar, steps in ((15, "*-*-* *:00/15:00", 900), (120, "*-*-* 00/2:00:00", 7200)):
        report = operation.install(replace(wanted(project), interval=minutes), found, kinds=(operation.INGEST,))
        assert report.ingest is not None
        assert f"OnCalendar={calendar}\n" in report.ingest.text
        assert '"schedule" "ingest"' in report.ingest.text
        due = report.ingest.next_run
        assert due is not None
        assert (due.hour * 3600 + due.minute * 60 + due.second) % steps == 0
        assert due.replace(tzinfo=None) - datetime.now() <= timedelta(seconds=steps)
    assert len(units.read()) == 4
    assert operation.remove(loaded(project), found, (operation.INGEST,)) == ("systemd",)
    assert sorted(units.read()) == ["ragops-test-default.service", "ragops-test-default.timer"]


@pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd here: its reading of calendars was not seen"
)
@pytest.mark.parametrize("calendar", ["*-*-* *:00/15:00", "*-*-* 00/2:00:00", "*-*-* *:00/1:00", "*-*-* 00/12:00:00"])
def test_systemd_reads_the_intervals(calendar: str) -> None:
    subprocess.run(["systemd-analyze", "calendar", calendar], check=True, capture_output=True, timeout=30)


def test_units_of_another_project_of_that_name_are_left_alone(project: Path, workspace: Path, units: Folder) -> None:
    found = Schedulers(NoCrontab(), units)
    operation.install(wanted(workspace / "other"), found)
    before = units.read()
    with pytest.raises(UsageError) as caught:
        operation.install(wanted(project), found)
    assert caught.value.code == "unit_taken"
    assert operation.remove(loaded(project), found) == ()
    assert units.read() == before


@pytest.mark.parametrize("word", ["daemon-reload", "enable", "restart"])
def test_what_systemd_refuses_leaves_nothing_behind(project: Path, units: Folder, word: str) -> None:
    found = Schedulers(NoCrontab(), units)
    (units.folder.parent / "bin" / "fails").write_text(word)
    with pytest.raises(RagopsError, match="Failed to do it"):
        operation.install(wanted(project, drill=1), found)
    assert units.read() == {}
    (units.folder.parent / "bin" / "fails").unlink()
    operation.install(wanted(project), found)
    before = units.read()
    (units.folder.parent / "bin" / "fails").write_text(word)
    with pytest.raises(RagopsError, match="Failed to do it"):
        operation.install(wanted(project, drill=1, minute=5), found)
    assert units.read() == before


def test_changing_from_one_to_the_other_never_runs_it_twice(
    project: Path, units: Folder, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGOPS_CACHE_DIR", str(project / "cache"))
    found = Schedulers(Crontab(), units)
    table.file.write_text("0 1 * * * theirs\n")
    for scheduler in ("cron", "systemd", "cron"):
        operation.install(wanted(project), found, scheduler)
        assert [item.scheduler for item in operation.show(loaded(project), found).installed] == [scheduler]
    operation.install(wanted(project), found)
    assert table.file.read_text() == "0 1 * * * theirs\n"


def test_a_user_is_told_what_their_timer_needs(project: Path, units: Folder) -> None:
    own = Folder(units.folder, False, units.runtime)
    notes = operation.install(wanted(project), Schedulers(NoCrontab(), own)).notes
    assert any("loginctl enable-linger" in note for note in notes)
    assert told(units)[0] == "--user --no-ask-password daemon-reload"


def test_who_may_have_timers_and_no_crontab_is_well_served(
    project: Path, units: Folder, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGOPS_CACHE_DIR", str(project / "cache"))
    (table.folder / "crontab.txt.broken").touch()
    found = Schedulers(Crontab(), units)
    report = operation.install(wanted(project), found)
    assert any("an older one may be left in cron" in note for note in report.notes)
    assert [item.scheduler for item in operation.show(loaded(project), found).installed] == ["systemd"]


# --- a real crontab and a real cron --------------------------------------------------------------------------------
needs_crontab = pytest.mark.skipif(
    not shutil.which("crontab"), reason="crontab is not installed: `apt-get install cron`"
)


@pytest.fixture
def real_crontab() -> Iterator[Callable[[], bytes]]:
    """The crontab of whoever runs the tests, which is put back whatever happens; a function that reads it."""

    def read() -> bytes:
        done = subprocess.run(["crontab", "-l"], capture_output=True, timeout=30, check=False)
        if done.returncode != 0 and b"no crontab for" not in done.stderr:
            pytest.skip(f"this user may have no crontab: {done.stderr.decode().strip()}")
        return done.stdout

    before = read()
    try:
        yield read
    finally:
        words = ["crontab", "-"] if before else ["crontab", "-r"]
        if read() != before:
            subprocess.run(words, input=before, capture_output=True, timeout=30, check=True)
        assert read() == before


@needs_crontab
def test_a_real_crontab_takes_it_and_gives_it_back(
    odd_project: Path, ragops: Any, real_crontab: Callable[[], bytes]
) -> None:
    theirs = real_crontab() + b"# caf\xe9\n#0 0 1 1 * date +\\%s  \n"
    subprocess.run(["crontab", "-"], input=theirs, timeout=30, check=True)
    (odd_project / "ragops.live.yaml").write_text("redis: {port: 11111}\n")
    for options in (["--drill=sunday"], ["--env=live"], ["--at=23:59"]):
        done = ragops("backup", "schedule", "install", "--with=cron", *options, cwd=odd_project)
        assert done.code == 0, done.err
    lines = real_crontab().removeprefix(theirs).decode().splitlines()
    assert [line.split(" /")[0] for line in lines if not line.startswith("#")] == ["59 23 * * *", "0 2 * * *"]
    assert ragops("backup", "schedule", "show", cwd=odd_project).code == 0
    for options in ([], ["--env=live"]):
        assert ragops("backup", "schedule", "remove", *options, cwd=odd_project).code == 0
    assert real_crontab() == theirs


@pytest.fixture
def cron_daemon() -> Iterator[None]:
    """Debian's cron: the one that runs, or one of our own for the time of a test."""
    if any(process.info["name"] == "cron" for process in psutil.process_iter(["name"])):
        yield
        return
    if os.getuid() != 0 or not shutil.which("cron", path="/usr/sbin:/usr/bin"):
        pytest.skip("no cron runs here, and none can be started: it takes root and Debian's package `cron`")
    process = subprocess.Popen(
        ["/usr/sbin/cron", "-f"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@needs_crontab
@pytest.mark.slow  # cron looks once a minute
@pytest.mark.timeout(900)
def test_a_real_cron_runs_it(
    odd_project: Path, ragops: Any, real_crontab: Callable[[], bytes], cron_daemon: None, watcher: Watcher,
    wait_until: Any,
) -> None:  # fmt: skip
    watcher.watch(odd_project)
    at = datetime.now() + timedelta(minutes=1, seconds=15)  # cron looks once a minute
    done = ragops("backup", "schedule", "install", "--with=cron", f"--at={at:%H:%M}", cwd=odd_project)
    assert done.code == 0, done.err
    wait_until(lambda: "failure" in watcher.words(), 200, "a run by cron")
    assert record_of(odd_project)["exit_code"] == 7
    assert watcher.words() == ["start", "failure"]
    assert ragops("backup", "schedule", "remove", cwd=odd_project).code == 0
    wait_until(lambda: not running(odd_project), 60, "the end of the run")


def running(folder: Path) -> list[int]:
    """Commands of a project that still run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(str(folder) in word for word in process.cmdline()):
                found.append(process.pid)
    return found
