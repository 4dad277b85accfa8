"""What goes wrong in daily life, through the real command line: code, words, exit code; and no secret anywhere."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from ragops.cli.app import app
from tests.terminal import on_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator


def refused(ragops: Any, *arguments: str, cwd: Path, code: int, word: str = "", **more: Any) -> dict[str, str]:
    """Run with --json: exactly one document, nothing else, with this exit code and error code."""
    done = ragops(*arguments, "--json", cwd=cwd, **more)
    assert done.code == code, f"{arguments}: {done.code}\n{done.out}\n{done.err}"
    assert set(done.error) == {"code", "message", "hint"}
    assert done.error["code"] == word or not word
    assert done.error["message"]
    assert "Traceback" not in done.err
    return done.error


# --- ragops.yaml ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [rag\n", "ragops.yaml:2"),
        ("name: rag\n\tredis: {}\n", "ragops.yaml:2"),
        ("name: rag\nredis:\n  port: 7000\nredis: {}\n", "ragops.yaml:4: redis: stands twice"),
        ("name: rag\nkafka: {}\n", "ragops.yaml:2: kafka: is not a known key"),
        ("name: rag\nredis:\n  port: many\n", "ragops.yaml:3: redis.port"),
        ("name: rag\nredis:\n  port: 80\n", "ragops.yaml:3: redis.port"),
        ("- name\n", "keys and values"),
        ("name: '; rm -rf /'\n", "ragops.yaml:1: name"),
        ("name: ../x\n", "ragops.yaml:1: name"),
        ("", "name: is missing"),
        ("name: \xe9\n", "not UTF-8"),
    ],
)
def test_an_invalid_file_ends_with_2_and_says_where(workspace: Path, ragops: Any, text: str, expected: str) -> None:
    (workspace / "ragops.yaml").write_bytes(text.encode("latin-1"))
    error = refused(ragops, "status", cwd=workspace, code=2, word="invalid_config")
    assert expected in error["message"]


def test_all_faults_come_at_once_for_people_too(workspace: Path, ragops: Any) -> None:
    (workspace / "ragops.yaml").write_text("name: Rag\nredis: {port: 1}\nnope: 1\n")
    done = ragops("up", "--yes", cwd=workspace)
    assert (done.code, done.out) == (2, "")
    for word in ("ragops.yaml:1: name", "ragops.yaml:2: redis.port", "ragops.yaml:3: nope"):
        assert word in done.err
    assert not (workspace / ".ragops").exists(), "nothing was touched"


@pytest.mark.parametrize("name", ["; rm -rf /", "../x", "a'b", "naïve", "x" * 100, "a\nb", "", "-x"])
def test_hostile_names_of_a_new_project(workspace: Path, ragops: Any, name: str) -> None:
    done = ragops("init", "new", f"--name={name}", "--json", cwd=workspace)
    if name == "":
        assert done.code == 0, "no name is the folder's"
        return
    assert (done.code, done.error["code"]) == (2, "invalid_name")
    assert not (workspace / "new" / "ragops.yaml").exists()


@pytest.mark.parametrize("name", ["; rm -rf /", "../x", "a'b", "naïve", "x" * 100, "a\nb"])
def test_hostile_environments(project: Path, ragops: Any, name: str) -> None:
    refused(ragops, "status", f"--env={name}", cwd=project, code=2, word="invalid_environment")
    assert sorted(path.name for path in (project / ".ragops").iterdir()) == ["secrets"]


@pytest.mark.parametrize(
    "line", ["doctor", "plan", "up --yes", "down --yes", "health", "images list", "backup keygen x"]
)
def test_an_environment_without_a_file_is_refused_by_every_command(project: Path, ragops: Any, line: str) -> None:
    (project / "ragops.live.yaml").write_text("redis: {port: 7101}\n")
    error = refused(ragops, *line.split(), "--env", "nope", cwd=project, code=2, word="config_not_found")
    assert error["hint"].startswith("one of: default, live;")
    assert not (project / ".ragops" / "run").exists()


def test_no_file_at_all(workspace: Path, ragops: Any) -> None:
    assert "ragops init" in refused(ragops, "status", cwd=workspace, code=2, word="config_not_found")["hint"]


def test_init_overwrites_nothing(project: Path, ragops: Any) -> None:
    before = (project / "ragops.yaml").read_text()
    refused(ragops, "init", cwd=project, code=2, word="already_initialised")
    assert (project / "ragops.yaml").read_text() == before


# --- the command line ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["nosuch", "status --nosuch", "logs", "logs redis -n many", "backup nosuch", "up extra"]
)
def test_wrong_usage_ends_with_2(workspace: Path, ragops: Any, line: str) -> None:
    assert "--help" in refused(ragops, *line.split(), cwd=workspace, code=2, word="usage")["hint"]
    plain = ragops(*line.split(), cwd=workspace)
    assert (plain.code, plain.out) == (2, "")
    assert plain.err.startswith("error: ")


def test_before_the_first_up_it_says_what_to_do(project: Path, ragops: Any) -> None:
    for line in ("status", "outputs", "health", "drift", "logs redis"):
        assert "ragops up" in refused(ragops, *line.split(), cwd=project, code=7, word="not_provisioned")["hint"]
    assert "nothing is up" in ragops("down", "--yes", cwd=project).err
    assert "ragops.staging.yaml" in refused(ragops, "--env", "staging", "up", cwd=project, code=2)["hint"]
    nagios = ragops("health", "--format", "nagios", cwd=project)
    assert nagios.code == 3
    assert nagios.out.startswith("RAGOPS UNKNOWN")


def test_checksums_need_no_platform(project: Path, ragops: Any) -> None:
    for command in ("verify", "list", "show"):
        assert ragops("backup", command, "--json", cwd=project).json().get("error", {}).get("code") != "not_provisioned"


def test_a_restore_looks_at_its_words_before_it_asks(project: Path, ragops: Any) -> None:
    error = refused(ragops, "restore", "latest", "--service", "reddis", cwd=project, code=2, word="unknown_service")
    assert error["hint"] == "did you mean redis?"
    error = refused(ragops, "restore", cwd=project, code=7, word="no_recovery_point")
    assert "ragops backup run" in error["hint"]


def test_without_a_terminal_nobody_is_asked(project: Path, ragops: Any) -> None:
    for arguments in (("down",), ("down", "--purge-data")):
        error = refused(ragops, *arguments, cwd=project, code=2, word="confirmation_needed")
        assert "--yes" in error["hint"]


# --- the machine ---------------------------------------------------------------------------------------------------


def test_an_engine_that_is_not_where_it_is_said_to_be(project: Path, ragops: Any) -> None:
    error = refused(ragops, "plan", cwd=project, code=7, env={"RAGOPS_PULUMI": "/nowhere/pulumi"})
    assert "RAGOPS_PULUMI" in error["message"]


@pytest.mark.parametrize("command", ["plan", "up --yes", "drift", "down --yes", "engine path"])
def test_no_engine_anywhere_says_how_to_get_one(project: Path, ragops: Any, command: str) -> None:
    env = {"PATH": "", "RAGOPS_PULUMI": None, "RAGOPS_CACHE_DIR": str(project / "empty")}
    error = refused(ragops, *command.split(), cwd=project, code=7, word="engine_missing", env=env)
    assert "ragops engine install" in error["hint"]


@contextmanager
def listener(port: int) -> Iterator[None]:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield


def port_of(project: Path, service: str) -> int:
    import yaml

    return int(yaml.safe_load((project / "ragops.yaml").read_text())[service]["port"])


def test_a_taken_port_is_named_with_its_owner_before_anything_starts(project: Path, ragops: Any) -> None:
    port = port_of(project, "timescaledb")
    with listener(port):
        error = refused(ragops, "up", "--yes", cwd=project, code=7, word="port_taken")
        assert str(port) in error["message"]
        assert f"pid {os.getpid()}" in error["message"]
        assert "ragops.yaml" in error["hint"]
        assert ragops("doctor", "--json", cwd=project).code == 7
    assert not (project / ".ragops" / "run").exists()


@pytest.fixture
def disk(workspace: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder = workspace / "disk"
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.mark.fault
def test_too_small_a_disk_is_noticed_before_anything_starts(disk: Path, ragops: Any) -> None:
    assert ragops("init", ".", "--name", "small", cwd=disk).code == 0
    error = refused(ragops, "up", "--yes", cwd=disk, code=7, word="disk_full")
    assert "MiB" in error["message"]
    assert not (disk / ".ragops" / "run").exists()


@pytest.mark.fault
def test_the_data_can_go_to_a_larger_disk(disk: Path, ragops: Any, workspace: Path) -> None:
    assert ragops("init", ".", "--name", "small", cwd=disk).code == 0
    with (disk / "ragops.yaml").open("a") as stream:
        stream.write(f"data_dir: {workspace}/elsewhere\n")
    checks = {check["name"]: check for check in ragops("doctor", "--json", cwd=disk).json()["checks"]}
    assert checks["disk"]["status"] != "down"


@pytest.mark.fault
@pytest.mark.parametrize("command", ["init new --name x", "up --yes"])
def test_a_full_disk_ends_with_7(disk: Path, ragops: Any, command: str) -> None:
    if not command.startswith("init"):
        assert ragops("init", ".", "--name", "small", cwd=disk).code == 0
    with (disk / "ballast").open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space"):
        while True:
            stream.write(b"x" * 4096)
    refused(ragops, *command.split(), cwd=disk, code=7, word="disk_full")


@pytest.mark.fault
@pytest.mark.parametrize("command", ["init new --name x", "up --yes", "down --yes", "backup run"])
def test_a_read_only_folder_is_said(disk: Path, ragops: Any, command: str) -> None:
    assert ragops("init", ".", "--name", "small", cwd=disk).code == 0
    _mount("-o", "remount,ro", str(disk))
    try:
        error = refused(ragops, *command.split(), cwd=disk, code=1, word="not_permitted")
        assert str(disk) in error["message"]
    finally:
        _mount("-o", "remount,rw", str(disk))


# --- on a platform that is up ------------------------------------------------------------------------------------

engine = pytest.mark.engine


@engine
def test_a_wrong_passphrase(platform: Path, ragops: Any) -> None:
    file = platform / ".ragops" / "pulumi" / "default" / "passphrase"
    right = file.read_text()
    file.write_text("wrong")
    try:
        for command in (("plan",), ("down", "--yes")):
            error = refused(ragops, *command, cwd=platform, code=1, word="wrong_passphrase")
            assert "passphrase" in error["hint"]
            assert right not in str(error)
    finally:
        file.write_text(right)
    assert ragops("health", "--json", cwd=platform).json()["status"] != "down", "nothing was stopped"


@engine
@pytest.mark.fault
def test_a_dead_service_ends_health_with_3(platform: Path, ragops: Any) -> None:
    record = platform / ".ragops" / "run" / "default" / "redis" / "process.json"
    os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
    try:
        health = ragops("health", "--json", cwd=platform)
        assert health.code == 3
        probes = {probe["service"]: probe for probe in health.json()["probes"]}
        assert probes["redis"]["checks"][0]["status"] == "down"
        assert probes["timescaledb"]["checks"][0]["status"] == "ok"
        nagios = ragops("health", "redis", "--format", "nagios", cwd=platform)
        assert (nagios.code, nagios.out.split(" - ")[0]) == (2, "RAGOPS CRITICAL")
        assert ragops("backup", "run", "--json", cwd=platform).code != 0, "never a silent skip"
    finally:
        assert ragops("up", "--yes", cwd=platform).code == 0


# Every command, with arguments that change nothing that another test needs, and failures beside successes.
JSON_LINES = {
    "init": ["init ."],
    "doctor": ["doctor"],
    "plan": ["plan --exit-code"],
    "up": ["up", "up nonsense"],
    "down": ["down"],
    "status": ["status", "status --env nosuch"],
    "outputs": ["outputs", "outputs --format json", "outputs --format nosuch"],
    "logs": [
        "logs redis",
        "logs timescaledb -n 1",
        "logs redis -n 0",
        "logs nosuch",
        "logs redis api --since 1h",
        "logs redis --since soon",
        "logs redis --grep [",
    ],
    "drift": ["drift"],
    "slo": ["slo", "slo --prometheus http://127.0.0.1:1"],
    "health": ["health", "health redis", "health nosuch", "health --format nagios", "health --format prometheus"],
    "migrate up": ["migrate up"],
    "migrate status": ["migrate status"],
    "migrate maintain": ["migrate maintain"],
    "migrate json-to-db": ["migrate json-to-db /nosuch/file.json", "migrate json-to-db ragops.yaml"],
    "migrate db-to-json": [
        "migrate db-to-json",
        "migrate db-to-json out.json",
        "migrate db-to-json ragops.yaml/out.json",
    ],
    "backup run": ["backup run"],
    "backup list": ["backup list"],
    "backup show": ["backup show", "backup show nosuch"],
    "backup verify": ["backup verify --deep", "backup verify nosuch"],
    "backup copy": ["backup copy", "backup copy nosuch"],
    "backup keep": ["backup keep", "backup keep --off", "backup keep nosuch"],
    "backup prune": ["backup prune --dry-run", "backup prune nonsense"],
    "backup delete": ["backup delete nosuch", "backup delete latest --dry-run"],
    "backup keygen": ["backup keygen identity-json.txt", "backup keygen /nosuch/identity.txt"],
    "backup drill": ["backup drill nosuch"],  # one that goes well takes half a minute, and is tried elsewhere
    "backup scheduled": ["backup scheduled"],
    # What goes well is tried with a crontab of nobody, not with that of whoever runs the tests.
    "backup schedule install": ["backup schedule install --at nonsense", "backup schedule install --with nosuch"],
    "backup schedule show": ["backup schedule show"],
    "backup schedule remove": ["backup schedule remove"],
    "schedule install": ["schedule install --ingest nonsense", "schedule install --at nonsense"],
    "schedule show": ["schedule show"],
    "schedule remove": ["schedule remove"],
    "schedule ingest": ["schedule ingest"],
    "restore": ["restore --dry-run", "restore", "restore nosuch --yes"],
    "repair": ["repair redis", "repair redis --dry-run", "repair qdrant", "repair nosuch"],
    "recover": ["recover nosuch", "recover backups --into new --point nosuch", "recover nosuch --into new --env a/b"],
    "ingest": ["ingest", "ingest nosuch"],
    "collection list": ["collection list"],
    "collection show": ["collection show nosuch"],
    "collection create": ["collection create 'no name' ."],
    "collection set": ["collection set nosuch", "collection set nosuch --chunk-size 100"],
    "collection remove": ["collection remove nosuch"],
    "cluster status": ["cluster status", "cluster status --shards"],
    "cluster rebalance": ["cluster rebalance --dry-run", "cluster rebalance nosuch --yes"],
    "cluster set-replication": ["cluster set-replication nosuch 2 --yes", "cluster set-replication docs none"],
    "cluster move-shard": ["cluster move-shard nosuch 0 --from qdrant-1 --to nosuch --yes"],
    "cluster add-node": ["cluster add-node --dry-run"],
    "cluster remove-node": ["cluster remove-node --dry-run"],
    "cluster replace-node": ["cluster replace-node nosuch --yes"],
    "cluster verify": ["cluster verify", "cluster verify nosuch"],
    "cluster repair": ["cluster repair --dry-run", "cluster repair nosuch --yes"],
    "cluster cancel": ["cluster cancel --yes"],
    "cluster upgrade": ["cluster upgrade --dry-run"],
    "cluster reshard": ["cluster reshard nosuch", "cluster reshard nosuch --dry-run"],
    "metrics export": ["metrics export json", "metrics export ragops.yaml"],
    "metrics runbook": ["metrics runbook", "metrics runbook ApiDown", "metrics runbook nosuch"],
    "metrics targets": ["metrics targets", "metrics targets --output json"],
    "query": ["query words --token-file nosuch", "query words --token-file nosuch --collection nosuch"],
    "token issue": ["token issue json", "token issue 'no name'"],
    "token list": ["token list"],
    "token revoke": ["token revoke json", "token revoke nosuch"],
    "gateway diff": ["gateway diff"],
    "gateway check": ["gateway check"],
    "gateway apply": ["gateway apply"],
    "secrets list": ["secrets list"],
    "secrets rotate": ["secrets rotate", "secrets rotate nosuch --yes", "secrets rotate --resume --yes"],
    "images list": ["images list"],
    "images pull": ["images pull", "images pull --load /nosuch/file.tar"],
    "images build": ["images build nonsense"],  # a whole build is tried with a Docker engine
    "service install": ["service install --with nosuch"],
    "service show": ["service show"],
    "service stop": ["service stop"],
    "service start": ["service start"],
    "service remove": ["service remove"],
    "unlock": ["unlock", "unlock nonsense"],
    "engine install": ["engine install"],
    "completion": ["completion fish"],
    "engine path": ["engine path"],
}


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name))


def test_the_list_above_is_whole() -> None:
    assert set(JSON_LINES) == set(commands(app.tree))


@engine
@pytest.mark.campaign(sample=25)
@pytest.mark.parametrize("name", JSON_LINES)
def test_json_is_exactly_one_document(platform: Path, ragops: Any, name: str) -> None:
    secrets = known_secrets(platform)
    for line in JSON_LINES[name]:
        done = ragops(*line.split(), "--json", cwd=platform)
        assert done.json() is not None, line
        assert (done.code in (0, 3, 4)) == ("error" not in done.json()), f"{line}: {done.code} {done.out[:200]}"
        assert "Traceback" not in done.err
        assert not [secret for secret in secrets if secret in done.out + done.err]


# --- pipes and terminals -----------------------------------------------------------------------------------------


@engine
@pytest.mark.parametrize("line", ["logs timescaledb", "health", "outputs", "--help"])
def test_a_reader_that_goes_away_is_no_fault(platform: Path, ragops: Any, line: str) -> None:
    command = shlex.join(ragops.command(*line.split()))
    done = subprocess.run(
        ["/bin/bash", "-c", f"{command} | head -1; exit ${{PIPESTATUS[0]}}"], cwd=platform, env=ragops.environment(),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    alone = ragops(*line.split(), cwd=platform).code  # of a platform that is not well if all was written in time
    assert done.returncode in (0, alone, 128 + signal.SIGPIPE)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


@pytest.mark.parametrize("line", ["--version", "--help", "doctor", "status --env nosuch --json"])
def test_a_reader_that_was_never_there_is_told_like_sigpipe(project: Path, ragops: Any, line: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        ragops.command(*line.split()), cwd=project, env=ragops.environment(), stdin=subprocess.DEVNULL, stdout=writer,
        stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("line", ["--version", "--help", "doctor", "doctor --json", "status --env nosuch --json"])
def test_output_that_cannot_be_written_ends_with_7(project: Path, ragops: Any, line: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            ragops.command(*line.split()), cwd=project, env=ragops.environment(), stdin=subprocess.DEVNULL,
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 7
    assert done.stderr.startswith("error: the output cannot be written: No space left on device")
    assert len(done.stderr.splitlines()) == 2, "the failure and its cure, no traceback"


@pytest.mark.parametrize("line", ["", "backup"])
def test_no_command_shows_the_help(workspace: Path, ragops: Any, line: str) -> None:
    done = ragops(*line.split(), cwd=workspace)
    assert (done.code, done.err) == (2, "")
    assert done.out.startswith("Usage: ragops")


def shown(ragops: Any, *arguments: str, cwd: Path, env: dict[str, str]) -> str:
    """What a command writes on a terminal."""
    return on_terminal(ragops.command(*arguments), ragops.environment(env), cwd=cwd, code=None)


@engine
@pytest.mark.parametrize("how", ["NO_COLOR", "--no-color"])
def test_plain_text_is_to_be_had_on_a_terminal(platform: Path, ragops: Any, how: str) -> None:
    assert "\x1b[32m" in shown(ragops, "status", cwd=platform, env={})
    options = [how] if how.startswith("--") else []
    env = {} if options else {how: "1"}
    for command in ("status", "nosuch"):
        text = shown(ragops, command, *options, cwd=platform, env=env)
        assert "\x1b[" not in text


@engine
@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_narrow_terminal_breaks_no_address_and_no_number(platform: Path, ragops: Any, width: int) -> None:
    text = shown(ragops, "status", cwd=platform, env={"COLUMNS": str(width)})
    narrow = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "…" not in narrow
    for item in ragops("status", "--json", cwd=platform).json()["services"]:
        line = next(line for line in narrow.splitlines() if line.startswith(item["service"]))
        assert {"running", item["address"], item["ident"][:12]} <= set(line.split())


@engine
def test_a_narrow_pipe_keeps_whole_lines(platform: Path, ragops: Any) -> None:
    assert ragops("health", cwd=platform, env={"COLUMNS": "40"}).out.splitlines()[0].split() == [
        "SERVICE", "CHECK", "STATUS", "DETAIL",
    ]  # fmt: skip
    done = ragops("status", cwd=platform, env={"COLUMNS": "40", "PYTHONIOENCODING": "ascii"})
    assert done.code == 0
    assert f"127.0.0.1:{port_of(platform, 'redis')}" in done.out
    assert "\x1b" not in done.out


# --- secrets -----------------------------------------------------------------------------------------------------


def known_secrets(project: Path) -> list[str]:
    values = json.loads((project / ".ragops" / "secrets" / "default.json").read_text()).values()
    found = [*values, (project / ".ragops" / "pulumi" / "default" / "passphrase").read_text().strip()]
    assert all(len(secret) >= 32 for secret in found)
    return found


@engine
def test_secrets_are_shown_only_when_asked_for(platform: Path, ragops: Any) -> None:
    secrets = known_secrets(platform)
    lines = ["status", "logs redis", "logs timescaledb -n 1000", "outputs", "health", "backup show"]
    lines += ["status --env nosuch --verbose", "logs nosuch --verbose", "restore nosuch --yes --verbose"]
    for line in lines:
        done = ragops(*line.split(), cwd=platform)
        assert not [secret for secret in secrets if secret in done.out + done.err], line
    shown = ragops("outputs", "--show-secrets", cwd=platform).out
    assert sum(secret in shown for secret in secrets) == 4, (
        "the application's logins, keys and tokens, not the operator's"
    )


@engine
@pytest.mark.fault
def test_no_secret_is_in_any_argument_list(platform: Path, ragops: Any) -> None:
    secrets = known_secrets(platform)
    seen: set[str] = set()
    over = threading.Event()
    watcher = threading.Thread(target=watch_arguments, args=(seen, over), daemon=True)
    watcher.start()
    try:
        record = platform / ".ragops" / "run" / "default" / "timescaledb" / "process.json"
        os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
        for line in ("up --yes", "backup run", "restore latest --yes"):
            done = ragops(*line.split(), cwd=platform)
            assert done.code == 0, done.err
    finally:
        over.set()
        watcher.join()
    assert any("pulumi" in line for line in seen)
    assert any("pg_dump" in line for line in seen)
    assert not [line for line in seen for secret in secrets if secret in line]


def watch_arguments(seen: set[str], over: threading.Event) -> None:
    while not over.is_set():
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(process.read_bytes().replace(b"\x00", b" ").decode(errors="replace"))
            except OSError:
                continue
        over.wait(0.02)


@engine
def test_no_file_but_the_private_ones_holds_a_secret(platform: Path, ragops: Any) -> None:
    assert ragops("backup", "run", cwd=platform).code == 0
    secrets = [secret.encode() for secret in known_secrets(platform)]
    holding = set()
    for path in platform.rglob("*"):
        if path.is_file() and any(secret in path.read_bytes() for secret in secrets):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
            holding.add(str(path.relative_to(platform / ".ragops")))
    assert holding == {
        "secrets/default.json",
        "pulumi/default/passphrase",
        "run/default/timescaledb/hot/owner.password",
        "run/default/qdrant/hot/api_key",
        "run/default/api/hot/service_tokens.json",
        "run/default/api/hot/redis.password",
        "run/default/api/hot/qdrant.key",
        "run/default/api/hot/database.password",
    }


@engine
def test_private_files_are_private(platform: Path) -> None:
    state = platform / ".ragops"
    files = [state / "audit.jsonl", state / "run/default/endpoints.json", *state.glob("run/default/*/config/*")]
    files += [*state.glob("run/default/*/*.log"), *state.glob("run/default/*/spec.json")]
    assert len(files) >= 10
    assert {
        str(path): stat.S_IMODE(path.stat().st_mode) for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077
    } == {}


@engine
def test_nothing_of_the_platform_listens_to_the_world(platform: Path) -> None:
    ports = {port_of(platform, "redis"), port_of(platform, "timescaledb")}
    found = [
        item for item in psutil.net_connections("tcp") if item.status == psutil.CONN_LISTEN and item.laddr[1] in ports
    ]
    assert {item.laddr[0] for item in found} == {"127.0.0.1"}
    assert {item.laddr[1] for item in found} == ports
