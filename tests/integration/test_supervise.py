"""Host processes as the embedded runtime keeps them, on small real programs and the real engines."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from ragops.config.load import load
from ragops.config.model import Settings
from ragops.errors import ExitCode, MissingError, RagopsError
from ragops.runtimes.embedded.control import ProcessControl
from ragops.runtimes.embedded.host import refuse_used
from ragops.runtimes.embedded.preflight import refuse_taken_port
from ragops.runtimes.embedded.processes import by_log_file, exec_wrapper, supervisor
from ragops.runtimes.embedded.processes.spec import ProcessSpec
from ragops.runtimes.embedded.processes.state import read_record, state_of
from ragops.runtimes.embedded.programs import unprivileged_user
from ragops.runtimes.embedded.runtime import process_spec
from ragops.services.redis import component as redis_component
from ragops.services.spec import ConfigFile, ExecCheck, HttpCheck, InitStep, Layout, TcpCheck
from ragops.services.timescaledb import component as timescale_component

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[..., ProcessSpec]

pytestmark = pytest.mark.servers

# A service in twenty lines: `server.py PORT DATA [stubborn|slow|mute]`, stands in its data folder as engines do.
SERVER = """
import http.server, os, signal, subprocess, sys, time
port, data, *how = sys.argv[1:]
os.chdir(data)
if "stubborn" in how:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", data])
if "slow" in how:
    time.sleep(1.5)
if "mute" in how:
    time.sleep(60)
if "dies" in how:
    sys.exit("cannot open the shop")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""

STARTER = """
import json, sys
from ragops.runtimes.embedded.processes import supervisor as supervise
from ragops.runtimes.embedded.processes.spec import ProcessSpec
sys.executable = sys.argv[2] or sys.executable
supervise.ensure_running(ProcessSpec.from_props(json.load(open(sys.argv[1]))))
"""


@pytest.fixture
def make(workspace: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., ProcessSpec]]:
    """A function that describes the small service; what it started is stopped at the end."""
    made: list[Path] = []
    program = workspace / "server.py"
    program.write_text(SERVER)

    def describe(*how: str, name: str = "shop", **changes: object) -> ProcessSpec:
        port = free_port()
        data = workspace / "data" / name
        run_dir = workspace / "run" / name
        made.append(run_dir)
        spec = ProcessSpec(
            service=name, version="1", command=(sys.executable, str(program), str(port), str(data), *how),
            files=(ConfigFile("shop.conf", "open = yes\n"), ConfigFile("key", "hush\n", secret=True)),
            environment={}, ports={name: port}, health=HttpCheck(port), run_dir=str(run_dir), data_dir=str(data),
            stop_grace=5.0, start_timeout=20.0,
        )  # fmt: skip
        return replace(spec, **changes)  # type: ignore[arg-type]

    yield describe
    for run_dir in made:
        supervisor.stop(run_dir, "SIGKILL", 5)


def pid_of(spec: ProcessSpec) -> int:
    record = read_record(Path(spec.run_dir))
    assert record and record.alive
    return record.pid


def control_of(spec: ProcessSpec) -> ProcessControl:
    return ProcessControl(Path(spec.run_dir))


def state(spec: ProcessSpec) -> str:
    return state_of(Path(spec.run_dir), spec.ports, spec.file_digests())


def mode(path: Path | str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def kill(spec: ProcessSpec) -> None:
    """SIGKILL, and wait until the kernel has done it."""
    record = read_record(Path(spec.run_dir))
    assert record
    os.kill(record.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while record.alive and time.monotonic() < deadline:
        time.sleep(0.01)


def stop(spec: ProcessSpec) -> None:
    supervisor.stop(Path(spec.run_dir), spec.stop_signal, spec.stop_grace)


# --- start, adopt, change, stop ------------------------------------------------------------------------------------


def test_a_started_process_is_healthy_detached_and_known(make: Make) -> None:
    spec = make()
    supervisor.ensure_running(spec)
    process = psutil.Process(pid_of(spec))
    assert state(spec) == "running"
    assert os.getsid(process.pid) == process.pid, "no terminal's Ctrl-C reaches it"
    assert list(process.cmdline()) == list(spec.command)
    assert process.cwd() == spec.data_dir


def test_files_are_private_and_secrets_are_in_the_configuration_only(make: Make) -> None:
    spec = make()
    supervisor.ensure_running(spec)
    run_dir = Path(spec.run_dir)
    assert {path.name: mode(path) for path in spec.config_dir.iterdir()} == {"shop.conf": 0o600, "key": 0o600}
    assert mode(run_dir / "shop.log") == 0o600
    assert mode(spec.data_dir) == 0o700
    others = [path for path in run_dir.iterdir() if path.is_file()]
    assert others
    assert not [path for path in others if "hush" in path.read_text()]


def test_a_second_run_changes_nothing(make: Make) -> None:
    spec = make()
    supervisor.ensure_running(spec)
    first = pid_of(spec)
    supervisor.ensure_running(spec)
    assert pid_of(spec) == first


def test_a_change_restarts_it_and_keeps_its_data(make: Make) -> None:
    spec = make()
    supervisor.ensure_running(spec)
    first = pid_of(spec)
    Path(spec.data_dir, "kept").write_text("x")
    changed = replace(spec, files=(ConfigFile("other.conf", "open = no\n"),))
    supervisor.ensure_running(changed)
    assert pid_of(changed) != first
    assert not psutil.pid_exists(first)
    assert [path.name for path in spec.config_dir.iterdir()] == ["other.conf"], "what is no longer wanted goes away"
    assert Path(spec.data_dir, "kept").read_text() == "x"


def test_a_process_started_otherwise_than_provisioned_is_not_adopted(make: Make) -> None:
    spec = make()
    supervisor.start(spec, ("extra",))
    first = pid_of(spec)
    supervisor.ensure_running(spec)
    assert psutil.Process(pid_of(spec)).cmdline()[-1] != "extra"
    assert pid_of(spec) != first


def test_stop_is_gentle_and_leaves_the_data(make: Make) -> None:
    spec = make()
    supervisor.ensure_running(spec)
    pid = pid_of(spec)
    stop(spec)
    assert state(spec) == "stopped"
    assert not psutil.pid_exists(pid)
    assert Path(spec.data_dir).is_dir()
    stop(spec)  # nothing to do


def test_one_that_ignores_the_signal_is_killed_with_its_children(make: Make, processes_of, wait_until) -> None:
    spec = make("stubborn", stop_grace=0.5)
    supervisor.ensure_running(spec)
    assert len(processes_of(Path(spec.data_dir))) == 2
    stop(spec)
    wait_until(lambda: not processes_of(Path(spec.data_dir)), 5, "its end")


def test_its_log_is_kept_and_rotated(make: Make) -> None:
    spec = make()
    log = supervisor.log_path(Path(spec.run_dir), spec.service)
    supervisor.ensure_running(spec)
    with log.open("ab") as stream:
        stream.truncate(11 * 1024 * 1024)
    supervisor.ensure_running(spec)
    left = log.stat().st_size
    assert left < 64 * 1024, "also while it runs: a service may run for years; a last block may stay"
    assert log.with_name("shop.log.1").stat().st_size >= 11 * 1024 * 1024 - left


# --- what goes wrong at the start ----------------------------------------------------------------------------------


def test_a_failure_shows_the_end_of_the_log(make: Make) -> None:
    with pytest.raises(RagopsError) as caught:
        supervisor.ensure_running(make("dies"))
    assert caught.value.code == "service_failed"
    assert "cannot open the shop" in caught.value.hint


def test_a_program_that_is_not_there(make: Make) -> None:
    with pytest.raises(RagopsError) as caught:
        supervisor.ensure_running(make(command=("/no/such/program",)))
    assert caught.value.code == "service_failed"
    assert "/no/such/program" in caught.value.hint or "No such file" in caught.value.hint


def test_one_that_never_gets_healthy(make: Make) -> None:
    spec = make("mute", start_timeout=0.5)
    with pytest.raises(RagopsError) as caught:
        supervisor.ensure_running(spec)
    assert "not healthy within" in caught.value.message
    stop(spec)


def test_a_stranger_that_answers_in_its_place_is_not_its_health(make: Make) -> None:
    """The port was free when it was looked at; health is asked of whoever has it now."""
    spec = make("dies", health=ExecCheck(("sleep", "0.7")))
    with pytest.raises(RagopsError) as caught:
        supervisor.ensure_running(spec)
    assert caught.value.code == "service_failed"


def test_a_foreign_process_on_the_port_is_named_before_anything_starts(make: Make) -> None:
    owner, guest = make(name="owner"), make(name="guest")
    supervisor.ensure_running(owner)
    guest = replace(guest, ports={"guest": owner.ports["owner"]})
    with pytest.raises(MissingError) as caught:
        supervisor.ensure_running(guest)
    assert caught.value.code == "port_taken"
    assert str(owner.ports["owner"]) in caught.value.message
    assert f"pid {pid_of(owner)}" in caught.value.message
    assert not Path(guest.run_dir).exists()


def test_a_full_disk_is_said(make: Make, small_disk: Path) -> None:
    spec = make(run_dir=str(small_disk / "run"), data_dir=str(small_disk / "data"))
    fill(small_disk)
    with pytest.raises(RagopsError) as caught:
        supervisor.ensure_running(spec)
    assert (caught.value.code, caught.value.exit_code) == ("disk_full", ExitCode.MISSING)


@pytest.fixture
def small_disk(workspace: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = workspace / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space"):
        while True:
            stream.write(b"x" * 4096)


# --- what interrupted runs leave -----------------------------------------------------------------------------------


def starter(spec: ProcessSpec, workspace: Path, interpreter: Path | str = "") -> subprocess.Popen[bytes]:
    """Another process that makes the service run; the interpreter is the one its launcher will be given."""
    props = workspace / "props.json"
    props.write_text(json.dumps(spec.to_props()))
    return subprocess.Popen([sys.executable, "-c", STARTER, str(props), str(interpreter)], start_new_session=True)


def servers(spec: ProcessSpec, processes_of) -> list[int]:
    return [process.pid for process in processes_of(Path(spec.data_dir))]


@pytest.mark.fault
def test_starter_killed_before_the_record(make: Make, workspace: Path, processes_of, wait_until) -> None:
    """The launcher comes to itself late, when somebody else has started the service already: there must be one."""
    gate = workspace / "gate"
    slow = workspace / "slow-python"
    slow.write_text(
        f'#!/bin/sh\ntouch {gate}.reached\nwhile [ ! -e {gate} ]; do sleep 0.05; done\nexec {sys.executable} "$@"\n'
    )
    slow.chmod(0o755)
    spec = make()
    first = starter(spec, workspace, slow)
    wait_until(Path(f"{gate}.reached").exists)
    first.kill()
    first.wait()
    supervisor.ensure_running(spec)
    pid = pid_of(spec)
    gate.touch()
    wait_until(lambda: not [item for item in processes_of(workspace) if item.pid != pid], what="the launcher's end")
    assert pid_of(spec) == pid
    assert servers(spec, processes_of) == [pid]


@pytest.mark.fault
def test_starter_killed_while_it_waits_for_health(make: Make, workspace: Path, processes_of, wait_until) -> None:
    spec = make("slow")
    first = starter(spec, workspace)
    wait_until(lambda: read_record(Path(spec.run_dir)))
    first.kill()
    first.wait()
    pid = pid_of(spec)
    supervisor.ensure_running(spec)
    assert pid_of(spec) == pid, "adopted, not started again"
    assert servers(spec, processes_of) == [pid]


@pytest.mark.fault
def test_starter_killed_while_it_initialises(make: Make, workspace: Path, wait_until) -> None:
    """What the killed run's tool still writes gets into no data folder."""
    script = 'echo x >"$1/half"; sleep 1; echo late >"$1/late"; touch "$1/WHOLE"'
    step = InitStep(("/bin/sh", "-c", script, "init", "{data}"), "WHOLE")
    spec = make(init=step)
    data = Path(spec.data_dir)
    first = starter(spec, workspace)
    wait_until(lambda: list(data.parent.glob("shop.init-*/half")))
    first.kill()
    first.wait()
    quick = replace(spec, init=InitStep(("/bin/sh", "-c", 'touch "$1/WHOLE"', "init", "{data}"), "WHOLE"))
    supervisor.ensure_running(quick)
    time.sleep(1.2)
    assert [path.name for path in data.iterdir()] == ["WHOLE"]
    stop(quick)
    (data / "WHOLE").unlink()
    supervisor.ensure_running(quick)
    assert [path.name for path in data.parent.iterdir()] == ["shop"], "remains are cleared by the next one"


def test_an_init_step_that_fails_says_why_and_leaves_no_data(make: Make) -> None:
    spec = make(init=InitStep(("/bin/sh", "-c", "echo no luck >&2; exit 3"), "WHOLE"))
    with pytest.raises(RagopsError) as caught:
        supervisor.ensure_running(spec)
    assert caught.value.code == "init_failed"
    assert "no luck" in caught.value.message
    assert not Path(spec.data_dir).exists()


def test_somebody_elses_data_are_not_touched(make: Make) -> None:
    spec = make(init=InitStep(("/bin/true",), "WHOLE"))
    Path(spec.data_dir).mkdir(parents=True)
    Path(spec.data_dir, "thesis.txt").write_text("x")
    with pytest.raises(RagopsError) as caught:
        supervisor.ensure_running(spec)
    assert caught.value.code == "data_folder_foreign"
    assert Path(spec.data_dir, "thesis.txt").read_text() == "x"


# --- what is noticed -----------------------------------------------------------------------------------------------


def test_a_killed_process_is_noticed_and_repaired(make: Make) -> None:
    spec = make()
    supervisor.ensure_running(spec)
    kill(spec)
    assert state(spec) == "stopped"  # a zombie of ours now: not waited for, not alive
    supervisor.ensure_running(spec)
    assert state(spec) == "running"


def test_a_stranger_in_its_place_is_named(make: Make) -> None:
    spec = make()
    supervisor.ensure_running(spec)
    stop(spec)
    stranger = replace(make(name="stranger"), ports=spec.ports, health=spec.health)
    stranger = replace(stranger, command=(*spec.command[:2], str(spec.ports["shop"]), stranger.data_dir))
    supervisor.ensure_running(stranger)
    assert state(spec) == f"replaced by {psutil.Process(pid_of(stranger)).name()} (pid {pid_of(stranger)})"


# --- what lost its record ------------------------------------------------------------------------------------------


def lose(spec: ProcessSpec) -> int:
    """Remove the whole run folder, as a person who tidies up does; returns the pid of what runs on."""
    pid = pid_of(spec)
    shutil.rmtree(spec.run_dir)
    return pid


def test_stop_finds_what_lost_its_record(make: Make) -> None:
    spec, other = make(), make(name="shop-2")
    supervisor.ensure_running(spec)
    supervisor.ensure_running(other)
    lost = lose(spec)
    assert control_of(spec).is_running()
    supervisor.stop(Path(spec.run_dir), "SIGTERM", 5)
    assert not exec_wrapper.identity(lost)
    assert not control_of(spec).is_running()
    assert pid_of(other), "a neighbour whose name begins alike is not touched"


def test_what_lost_its_record_is_told_and_started_anew(make: Make) -> None:
    spec = make()
    supervisor.ensure_running(spec)
    lost = lose(spec)
    assert state(spec) == f"running without its record (pid {lost})"
    supervisor.ensure_running(spec)
    assert pid_of(spec) != lost
    assert not exec_wrapper.identity(lost)
    assert state(spec) == "running"


def test_real_engines_are_found_without_their_record(engines: dict[str, ProcessSpec]) -> None:
    for spec in engines.values():
        supervisor.ensure_running(spec)
        lost = lose(spec)
        assert state(spec) == f"running without its record (pid {lost})"
        assert by_log_file.find_leaders(Path(spec.run_dir)) == [lost], "PostgreSQL's backends end with it"
        remains = ProcessControl(Path(spec.run_dir))
        assert remains.is_running(), "valkey-server shows no path among its arguments"
        remains.stop()
        assert not exec_wrapper.identity(lost)


def test_a_reader_of_the_files_is_not_the_service(make: Make) -> None:
    spec = make()
    supervisor.ensure_running(spec)
    stop(spec)
    log = str(supervisor.log_path(Path(spec.run_dir), spec.service))
    reader = subprocess.Popen(
        ["tail", "-f", log, str(spec.config_dir / "shop.conf")],
        cwd=spec.data_dir, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        supervisor.stop(Path(spec.run_dir), "SIGTERM", 5)
        assert reader.poll() is None
        assert state(spec) == "stopped"
    finally:
        reader.kill()
        reader.wait()


def test_data_that_somebody_uses_are_not_removed(make: Make) -> None:
    spec = make()
    supervisor.ensure_running(spec)
    with pytest.raises(RagopsError) as caught:
        refuse_used([Path(spec.data_dir)])
    assert (caught.value.code, caught.value.exit_code) == ("data_in_use", ExitCode.FAILED)
    assert f"pid {pid_of(spec)}" in caught.value.message
    stop(spec)
    refuse_used([Path(spec.data_dir)])


def test_a_port_of_another_environment_is_named_as_that(make: Make, workspace: Path) -> None:
    port = make().ports["shop"]
    (workspace / "ragops.yaml").write_text(f"name: test\nredis:\n  port: {port}\n")
    (workspace / "ragops.staging.yaml").write_text("name: test\n")
    default, staging = (load(workspace / "ragops.yaml", name) for name in ("default", "staging"))
    run_dir, data = default.paths.run_dir("redis"), workspace / "data" / "redis"
    command = (sys.executable, str(workspace / "server.py"), str(port), str(data))
    spec = replace(make(name="redis"), run_dir=str(run_dir), data_dir=str(data), command=command)
    spec = replace(spec, ports={"redis": port}, health=HttpCheck(port))
    supervisor.ensure_running(spec)
    try:
        lose(spec)
        refuse_taken_port(default, "redis", port)  # its own, which `up` starts anew
        with pytest.raises(MissingError) as caught:
            refuse_taken_port(staging, "redis", port)
    finally:
        supervisor.stop(run_dir, "SIGKILL", 5)
    assert "environment default of this project" in caught.value.message
    assert caught.value.hint == "give redis another port in ragops.staging.yaml"


@pytest.mark.parametrize("how", ["changed", "removed"])
def test_a_file_changed_by_hand_is_noticed_and_put_right(make: Make, how: str) -> None:
    spec = make()
    supervisor.ensure_running(spec)
    first = pid_of(spec)
    file = spec.config_dir / "shop.conf"
    file.write_text("open = no\n") if how == "changed" else file.unlink()
    assert state(spec) == "running with shop.conf changed by hand"
    supervisor.ensure_running(spec)
    assert file.read_text() == "open = yes\n"
    assert pid_of(spec) != first


def test_a_later_process_with_its_pid_is_not_it(make: Make) -> None:
    """After a reboot a pid may be anybody's: it is neither adopted nor stopped."""
    spec = make()
    innocent = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        supervisor.ensure_running(spec)
        record = Path(spec.run_dir) / "process.json"
        values = json.loads(record.read_text())
        stop(spec)
        record.write_text(json.dumps({**values, "pid": innocent.pid}))
        assert state(spec) == "stopped"
        stop(spec)
        assert innocent.poll() is None
        record.write_text(json.dumps({**values, "pid": innocent.pid}))
        supervisor.ensure_running(spec)
        assert pid_of(spec) != innocent.pid
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "identity": 1, "digest": 2, "started": 3}']
)
def test_a_damaged_record_is_no_process(make: Make, text: str) -> None:
    spec = make()
    Path(spec.run_dir).mkdir(parents=True)
    (Path(spec.run_dir) / "process.json").write_text(text)
    assert state(spec) == "stopped"
    supervisor.ensure_running(spec)
    assert state(spec) == "running"


# --- lock files of the engine --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["999999\n", f"{os.getpid()}\n", "", "no number\n"], ids=["gone", "reused", "empty", "no number"]
)
def test_a_stale_lock_file_is_removed(make: Make, text: str) -> None:
    """Of a process that is gone, of one that has nothing to do with it, of nobody (a full disk leaves it empty)."""
    spec = make(lock_files=("shop.pid",))
    Path(spec.data_dir).mkdir(parents=True)
    Path(spec.data_dir, "shop.pid").write_text(text)
    supervisor.ensure_running(spec)
    assert not Path(spec.data_dir, "shop.pid").exists()


@pytest.mark.parametrize("lock_files", [("shop.pid",), ()])
def test_an_engine_that_was_started_by_hand_on_the_data_is_left_alone(
    make: Make, free_port, wait_until, lock_files: tuple[str, ...]
) -> None:
    spec = make(lock_files=lock_files)
    data = Path(spec.data_dir)
    data.mkdir(parents=True)
    by_hand = subprocess.Popen([*spec.command[:2], str(free_port()), str(data)])
    try:
        wait_until(lambda: psutil.Process(by_hand.pid).cwd() == str(data))
        (data / "shop.pid").write_text(f"{by_hand.pid}\n")
        with pytest.raises(RagopsError) as caught:
            supervisor.ensure_running(spec)
        assert caught.value.code == "data_in_use"
        assert f"pid {by_hand.pid}" in caught.value.message
        assert by_hand.poll() is None
        assert (data / "shop.pid").exists()
    finally:
        by_hand.kill()
        by_hand.wait()


# --- the engines themselves ----------------------------------------------------------------------------------------


@pytest.fixture
def engines(workspace: Path, free_port: Callable[[], int]) -> Iterator[dict[str, ProcessSpec]]:
    """Both engines as they are provisioned, not started yet."""
    values = {"name": "test", "redis": {"port": free_port()}, "timescaledb": {"port": free_port()}}
    settings = Settings.model_validate(values)
    secrets = dict.fromkeys(("redis_operator", "redis_application"), "p" * 32)
    secrets |= dict.fromkeys(("timescaledb_owner", "timescaledb_application"), "p" * 32)
    made = {}
    for name, component in (("redis", redis_component), ("timescaledb", timescale_component)):
        run_dir = workspace / "run" / name
        layout = Layout(str(run_dir / "config"), str(workspace / "data" / name), "127.0.0.1")
        service = component.service_spec(getattr(settings, name), secrets, layout)
        user = unprivileged_user("") if service.needs_unprivileged_user else ""
        made[name] = process_spec(service, layout, str(run_dir), user)
    yield made
    for spec in made.values():
        supervisor.stop(Path(spec.run_dir), "SIGKILL", 10)


def command(port: int, *words: str) -> bytes:
    """One inline command to Valkey after its login."""
    import socket

    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(f"AUTH ragops {'p' * 32}\r\n{' '.join(words)}\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < (3 if words[0] == "GET" else 2):
            answer += connection.recv(1000)
        return answer.partition(b"\r\n")[2].strip()


def test_valkey_keeps_its_data_when_it_is_killed_and_when_it_is_stopped(engines: dict[str, ProcessSpec]) -> None:
    spec = engines["redis"]
    supervisor.ensure_running(spec)
    port = spec.ports["redis"]
    assert command(port, "SET", "one", "1") == b"+OK"
    stop(spec)
    supervisor.ensure_running(spec)
    assert command(port, "GET", "one") == b"$1\r\n1"
    time.sleep(1.2)  # what is younger than a second may be lost
    kill(spec)
    supervisor.ensure_running(spec)
    assert command(port, "GET", "one") == b"$1\r\n1"


def test_valkeys_health_needs_no_password_and_passes_when_it_serves(engines: dict[str, ProcessSpec]) -> None:
    assert isinstance(engines["redis"].health, TcpCheck)
    assert "p" * 32 not in str(engines["redis"].health)


def test_postgresql_runs_as_somebody_else_than_root(engines: dict[str, ProcessSpec]) -> None:
    spec = engines["timescaledb"]
    supervisor.ensure_running(spec)
    user = psutil.Process(pid_of(spec)).username()
    assert user != "root"
    for path in (Path(spec.data_dir), *spec.config_dir.iterdir()):
        assert pwd.getpwuid(path.stat().st_uid).pw_name == user
        assert mode(path) & 0o077 == 0


@pytest.mark.fault
def test_a_backend_that_outlives_its_postmaster_is_in_nobodys_way(engines: dict[str, ProcessSpec], wait_until) -> None:
    """It computes on until its query ends, holds the shared memory, and no new server starts meanwhile."""
    spec = engines["timescaledb"]
    supervisor.ensure_running(spec)
    busy = threading.Thread(target=compute, args=(spec.ports["timescaledb"],), daemon=True)
    busy.start()
    postmaster = pid_of(spec)
    wait_until(lambda: backend(postmaster), 20, "a busy backend")
    orphan = backend(postmaster)
    assert orphan
    time.sleep(0.3)
    kill(spec)
    time.sleep(0.3)
    assert orphan.is_running(), "else this test shows nothing"
    supervisor.ensure_running(spec)
    assert not orphan.is_running()
    with connect(spec.ports["timescaledb"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def connect(port: int) -> psycopg.Connection:
    return psycopg.connect(
        host="127.0.0.1", port=port, user="rag_owner", password="p" * 32, dbname="postgres", autocommit=True
    )


def compute(port: int) -> None:
    with pytest.raises(psycopg.OperationalError), connect(port) as connection:
        connection.execute("SET max_parallel_workers_per_gather = 0; SET application_name = 'busy'")
        connection.execute("SELECT count(*) FROM generate_series(1, 1000000000) n WHERE n % 7 = 3")


def backend(postmaster: int) -> psutil.Process | None:
    children = psutil.Process(postmaster).children()
    return next((child for child in children if "SELECT" in " ".join(child.cmdline())), None)
