"""Programs inside containers by a process of ours that stands for them, and sandboxes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters import subprocess_tool
from ragops.errors import RagopsError
from ragops.runtimes.docker import sandbox as exec_stream
from ragops.runtimes.docker.containers.exec_proxy import arguments
from ragops.runtimes.docker.sandbox import OWNER, SANDBOX, docker_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost

IMAGE = "debian:trixie-slim"
PIECE = 1 << 20


@pytest.fixture(scope="module")
def container(docker: DockerHost, image: Callable[[str], str], module_mine: Any) -> str:
    """A container that does nothing, with a volume for data, of a user who is not root."""
    name = module_mine.name()
    docker.create(
        name,
        {
            "Image": image(IMAGE),
            "Entrypoint": ["sleep", "600"],
            "User": "nobody",
            "Labels": module_mine.labels,
            "HostConfig": {"Binds": [f"{name}-data:/srv"], "Init": False},
        },
    )
    docker.start(name)
    return name


def processes(docker: DockerHost, container: str) -> list[str]:
    return [row[-1] for row in docker.api.top(container, ps_args="-eo pid,args")["Processes"]]


def test_output_code_and_words_are_the_programs(container: str) -> None:
    assert subprocess_tool.read_tool_output([*arguments(container, "echo"), "a b", "$c"], os.environ, 30) == "a b $c\n"
    with pytest.raises(RagopsError, match=r"tool ended with 3: it said"):
        subprocess_tool.run_tool(
            [*arguments(container, "sh"), "-c", "echo it said >&2; exit 3"], os.environ, 30, name="tool"
        )
    with pytest.raises(RagopsError, match="ended with 127"):
        subprocess_tool.run_tool(arguments(container, "no-such-program"), os.environ, 30)
    with pytest.raises(RagopsError, match="o such container"):
        subprocess_tool.run_tool(arguments("ragops-test-no-such-container", "true"), os.environ, 30)


def test_a_large_file_goes_in_and_out_unchanged(docker: DockerHost, container: str) -> None:
    piece, sent, found = os.urandom(PIECE), hashlib.sha256(), hashlib.sha256()
    with exec_stream.start_with_stdin(docker, container, ["sh", "-c", "cat > /tmp/copy"], 60) as program:
        for _ in range(48):
            program.write(piece)
            sent.update(piece)
        program.write(b"")
        program.output()
    with subprocess_tool.streamed_tool([*arguments(container, "cat"), "/tmp/copy"], os.environ, 60) as output:
        while block := output.read(PIECE):
            found.update(block)
    assert found.digest() == sent.digest()


def test_a_program_that_reads_only_the_beginning(container: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"first\n" + b"x" * (32 * PIECE))
    said = subprocess_tool.read_tool_output(
        [*arguments(container, "head"), "-1"], os.environ, 60, stdin=tmp_path / "in"
    )
    assert said == "first\n"


def test_no_process_is_left_to_the_first_one(docker: DockerHost, container: str) -> None:
    """`sleep`, as the first process, waits for no child: an orphan would stay as a zombie."""
    for _ in range(5):
        subprocess_tool.run_tool(arguments(container, "true"), os.environ, 30)
    assert processes(docker, container) == ["sleep 600"]


@pytest.mark.fault
def test_a_killed_run_leaves_no_program_behind(docker: DockerHost, container: str, wait_until: Any) -> None:
    word = "98765"
    process = subprocess.Popen([*arguments(container, "sleep"), word], stdin=subprocess.DEVNULL)
    wait_until(lambda: f"sleep {word}" in processes(docker, container), 60)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: f"sleep {word}" not in processes(docker, container), 60)
    wait_until(lambda: processes(docker, container) == ["sleep 600"], 60)


def test_a_program_that_is_fed_reads_it_all_and_says_what_it_found(docker: DockerHost, container: str) -> None:
    blocks = [os.urandom(PIECE), os.urandom(5), os.urandom(3 * PIECE + 1)]
    with exec_stream.start_with_stdin(docker, container, ["sha256sum"], 30) as program:
        for block in (*blocks, b""):
            program.write(block)
        said = program.output()
    assert said.split()[0] == hashlib.sha256(b"".join(blocks)).hexdigest()


def test_a_program_that_is_fed_and_ends_early_misses_nothing(docker: DockerHost, container: str) -> None:
    with exec_stream.start_with_stdin(docker, container, ["sh", "-c", "head -c 10 >&2; exit 3"], 30) as program:
        for _ in range(40):
            program.write(b"x" * PIECE)
        with pytest.raises(RagopsError, match="sh ended with 3: xxxxxxxxxx"):
            program.output()


def test_a_program_that_does_not_read_is_waited_for_as_long_as_was_said(docker: DockerHost, container: str) -> None:
    with (
        exec_stream.start_with_stdin(docker, container, ["sleep", "30"], 1) as program,
        pytest.raises(RagopsError) as failed,
    ):
        for _ in range(40):
            program.write(b"x" * PIECE)
    assert failed.value.code == "tool_timeout"


def test_a_program_that_is_fed_may_print_much(docker: DockerHost, container: str) -> None:
    """The list of an archive of many tables: all of it is looked through."""
    with exec_stream.start_with_stdin(docker, container, ["seq", "200000"], 30) as program:
        program.write(b"")
        assert program.output().splitlines() == [str(number) for number in range(1, 200_001)]


def test_what_a_program_prints_is_read_as_a_stream(container: str) -> None:
    command = [*arguments(container, "sh"), "-c", "echo first; read line; exit 4"]
    with subprocess_tool.streamed_tool(command, os.environ, 30, name="it") as output:
        assert output.read(PIECE) == b"first\n"


def test_a_program_that_fails_after_it_has_printed_says_so_at_the_end(container: str) -> None:
    command = [*arguments(container, "sh"), "-c", "echo first; echo not today >&2; exit 4"]
    with (
        subprocess_tool.streamed_tool(command, os.environ, 30, name="it") as output,
        pytest.raises(RagopsError, match="it ended with 4: not today"),
    ):
        assert output.read(PIECE) == b"first\n"
        output.read(PIECE)


def test_the_limit_of_a_program_that_is_fed_begins_when_it_has_all(docker: DockerHost, container: str) -> None:
    with exec_stream.start_with_stdin(docker, container, ["cksum"], 1) as program, ThreadPoolExecutor(1) as pool:
        said = pool.submit(program.output)
        time.sleep(2)
        program.write(b"slow")
        program.write(b"")
        assert said.result(10).split()[1] == "4"


def test_a_sandbox_is_apart_and_gone_at_the_end(docker: DockerHost, container: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    source.chmod(0o600)
    with docker_sandbox(docker, container) as sandbox:
        sandbox.put(source, "given")
        inner = (
            f"cd {sandbox.folder} && cp given out && mkdir sub && echo 1 > sub/b && echo 2 > sub/a && ls /sys/class/net"
        )
        assert subprocess_tool.read_tool_output([*sandbox.tool("sh"), "-c", inner], os.environ, 60).split() == ["lo"]
        assert sandbox.names("sub") == ("a", "b")
        sandbox.get("out", tmp_path / "copy")
        assert subprocess_tool.read_tool_output([*sandbox.tool("id"), "-un"], os.environ, 60) == "nobody\n"
        with pytest.raises(RagopsError, match="Read-only"):
            subprocess_tool.run_tool([*sandbox.tool("touch"), "/etc/x"], os.environ, 60)
    assert (tmp_path / "copy").read_bytes() == b"content"
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert docker.containers({SANDBOX: container}) == ()


KILLED = """
import os, signal, sys
from ragops.adapters.docker.client import DockerHost
from ragops.runtimes.docker.sandbox import docker_sandbox
with docker_sandbox(DockerHost(), sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.fault
def test_the_sandbox_of_a_killed_run_is_removed_by_the_next(docker: DockerHost, container: str) -> None:
    subprocess.run([sys.executable, "-c", KILLED, container], check=False, timeout=60)
    (left,) = docker.containers({SANDBOX: container})
    assert left.labels[OWNER]
    with docker_sandbox(docker, container):
        assert [sandbox.id for sandbox in docker.containers({SANDBOX: container}) if sandbox.id == left.id] == []
    assert docker.containers({SANDBOX: container}) == ()
