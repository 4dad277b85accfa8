"""Programs on a real terminal."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def on_terminal(
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
    stdout: IO[bytes] | None = None,
    code: int | None = 0,
) -> str:
    """What the program writes to a terminal, which has its stdout too if no file takes that.

    `code` is how it has to end, None: whatever.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, env={**env, "TERM": "xterm"}, cwd=cwd, stdin=theirs, stdout=stdout or theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = bytearray()
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:  # the other side is closed
        pass
    finally:
        ended = process.wait(timeout=60)
        os.close(ours)
    assert code in (None, ended)
    return shown.decode().replace("\r\n", "\n")
