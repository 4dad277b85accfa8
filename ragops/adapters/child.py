"""Tools that work for one run of ragops: bounded in time, ended with it, quoted in its errors."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from ragops.errors import MissingError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PR_SET_PDEATHSIG = 1  # prctl(2)
_STOP_GRACE = 10.0
_QUOTED = 1500
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel ends the child when ragops is killed; nobody else would know of it."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def running(arguments: Sequence[str], environment: Mapping[str, str], limit: float) -> Iterator[None]:
    """Run a tool beside the block and wait for it at the block's end, at most `limit` seconds.

    Raises MissingError (tool_missing, disk_full), RagopsError (tool_failed, tool_timeout) with what it said. Ended with
    SIGTERM where the block fails or is interrupted.
    """
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                arguments, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        except OSError as error:
            raise MissingError(
                "tool_missing", f"{arguments[0]} cannot be run: {error.strerror}", "see `ragops doctor`"
            ) from error
        try:
            yield
            process.wait(limit)
        except subprocess.TimeoutExpired as error:
            raise RagopsError(
                "tool_timeout", f"{_name(arguments)} took over {limit:.0f} s", "is a disk busy?"
            ) from error
        finally:
            _end(process)
        if process.returncode != 0:
            said.seek(0)
            raise _failed(_name(arguments), process.returncode, said.read().decode(errors="replace").strip())


def run(arguments: Sequence[str], environment: Mapping[str, str], limit: float) -> None:
    """Run a tool to its end; raises as `running` does."""
    with running(arguments, environment, limit):
        pass


def output(arguments: Sequence[str], environment: Mapping[str, str], limit: float) -> str:
    """What a tool prints; raises RagopsError (tool_failed, tool_timeout)."""
    try:
        done = subprocess.run(
            arguments, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RagopsError("tool_timeout", f"{_name(arguments)} took over {limit:.0f} s", "is a disk busy?") from error
    except OSError as error:
        raise MissingError(
            "tool_missing", f"{arguments[0]} cannot be run: {error.strerror}", "see `ragops doctor`"
        ) from error
    if done.returncode != 0:
        raise _failed(_name(arguments), done.returncode, done.stderr.decode(errors="replace").strip())
    return done.stdout.decode(errors="replace")


def _failed(name: str, code: int, said: str) -> RagopsError:
    if "No space left on device" in said:
        return MissingError("disk_full", f"{name}: no space left on the device", "free some space, then run it again")
    return RagopsError("tool_failed", f"{name} ended with {code}: {said[-_QUOTED:]}")


def _name(arguments: Sequence[str]) -> str:
    return arguments[0].rpartition("/")[2]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_GRACE)
