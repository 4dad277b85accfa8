"""Tools that are fed: what they get, what becomes of one that ends early, hangs or is interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from ragops.adapters import cancellation, subprocess_tool
from ragops.errors import InterruptedRunError, MissingError, RagopsError

pytestmark = pytest.mark.timeout(60)
BLOCK = os.urandom(1 << 20)


def python(program: str) -> list[str]:
    return [sys.executable, "-c", f"import sys, time, hashlib\n{program}"]


def test_it_gets_all_of_its_input_and_its_end() -> None:
    with subprocess_tool.piped_tool(python("print(len(sys.stdin.buffer.read()))"), os.environ, 30) as tool:
        for _ in range(5):
            tool.write(BLOCK)
        tool.write(b"")
        assert tool.output() == f"{5 * len(BLOCK)}\n"


def test_one_that_ends_early_is_judged_by_how_it_ended() -> None:
    with subprocess_tool.piped_tool(
        python("sys.stdin.buffer.read(10); sys.exit('no such thing')"), os.environ, 30, name="it"
    ) as tool:
        for _ in range(5):
            tool.write(BLOCK)
        tool.write(b"")
        with pytest.raises(RagopsError, match="it ended with 1: no such thing") as found:
            tool.output()
    assert found.value.code == "tool_failed"


def test_one_that_takes_nothing_is_given_up() -> None:
    with subprocess_tool.piped_tool(python("time.sleep(60)"), os.environ, 1, name="it") as tool:
        with pytest.raises(RagopsError, match="it took over 1 s"):
            for _ in range(5):
                tool.write(BLOCK)
        assert tool._process.poll() is None
    assert tool._process.poll() is not None


def test_the_limit_is_for_each_block_not_for_all() -> None:
    """A slow store must not let a good file be called unreadable."""
    with subprocess_tool.piped_tool(python("print(len(sys.stdin.buffer.read()))"), os.environ, 3) as tool:
        for _ in range(4):
            tool.write(BLOCK)
            time.sleep(0.9)
        tool.write(b"")
        assert tool.output() == f"{4 * len(BLOCK)}\n"


def test_an_interrupt_ends_the_wait_for_one_that_takes_nothing() -> None:
    with (
        cancellation.new_run() as run,
        subprocess_tool.piped_tool(python("time.sleep(60)"), os.environ, 60) as tool,
    ):
        threading.Timer(0.5, run.cancel).start()
        with pytest.raises(InterruptedRunError):
            for _ in range(5):
                tool.write(BLOCK)
    assert tool._process.poll() is not None


def test_its_output_is_read_while_it_runs() -> None:
    program = "sys.stdout.write('first\\n'); sys.stdout.flush(); time.sleep(0.2); sys.stdout.write('x' * 3000000)"
    with subprocess_tool.streamed_tool(python(program), os.environ, 30) as output:
        assert output.read(1 << 20) == b"first\n"
        assert tool_running(output)
        rest = 0
        while block := output.read(1 << 16):
            assert len(block) <= 1 << 16
            rest += len(block)
    assert rest == 3_000_000


def tool_running(output: subprocess_tool.ToolOutput) -> bool:
    return output._process.poll() is None


def test_output_that_ends_early_is_no_output() -> None:
    """Half a dump is none, though the pipe only says that it has ended."""
    program = "sys.stdout.write('half of it\\n'); sys.stdout.flush(); sys.exit('the server is gone')"
    with subprocess_tool.streamed_tool(python(program), os.environ, 30, name="it") as output:
        assert output.read(1 << 20) == b"half of it\n"
        with pytest.raises(RagopsError, match="it ended with 1: the server is gone"):
            output.read(1 << 20)


def test_one_that_prints_nothing_is_given_up() -> None:
    with (
        subprocess_tool.streamed_tool(python("time.sleep(60)"), os.environ, 1, name="it") as output,
        pytest.raises(RagopsError, match="it took over 1 s"),
    ):
        output.read(1)
    assert not tool_running(output)


def test_an_interrupt_ends_the_wait_for_output() -> None:
    with cancellation.new_run() as run, subprocess_tool.streamed_tool(python("time.sleep(60)"), os.environ, 60) as tool:
        threading.Timer(0.5, run.cancel).start()
        with pytest.raises(InterruptedRunError):
            tool.read(1)
    assert not tool_running(tool)


def test_one_that_is_not_there() -> None:
    with pytest.raises(MissingError) as found, subprocess_tool.piped_tool(["/nonexistent/tool"], os.environ, 1):
        pass
    assert found.value.code == "tool_missing"


FORKS = """
import os
import ragops
from concurrent.futures import ThreadPoolExecutor
import grpc
from ragops.adapters import subprocess_tool as child

server = grpc.server(ThreadPoolExecutor(4))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
grpc.channel_ready_future(grpc.insecure_channel(f"127.0.0.1:{port}")).result(60)
for _ in range(100):
    child.run_tool(["true"], os.environ, 10)
print("all ran", flush=True)
os._exit(0)
"""


def test_tools_start_beside_pulumis_grpc() -> None:
    """Its fork handlers ended one in thirty before it was the tool: a drill that called a good file damaged."""
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_ENABLE_FORK_SUPPORT"}
    done = subprocess.run(
        [sys.executable, "-c", FORKS], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "all ran\n", done.stderr[-2000:]
