"""Files that a program of this machine judges before a service reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.files import create_private, explain_os_error
from ragops.adapters.temp_dirs import private_temp_dir
from ragops.errors import RagopsError
from ragops.runtimes.contract import Judgement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.services.spec import ConfigFile

_LIMIT = 60.0


def check_files(command: Sequence[str], files: Sequence[ConfigFile]) -> Judgement | None:
    """Return what the program reports, None if it is not here. Raises RagopsError (tool_timeout, disk_full, …)."""
    program = shutil.which(command[0]) or shutil.which(Path(command[0]).name)
    if program is None:
        return None
    try:
        with private_temp_dir() as folder:
            for file in files:
                path = folder / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with create_private(path) as written:
                    written.write(file.content.encode())
            return _run([program, *command[1:], str(folder / files[0].name)], folder)
    except OSError as error:
        raise explain_os_error(error, f"check files with {program}") from error


def _run(arguments: Sequence[str], folder: Path) -> Judgement:
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, errors="replace", timeout=_LIMIT, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        what = f"{arguments[0]} did not end within {_LIMIT:.0f} s"
        raise RagopsError("tool_timeout", what, "is the machine overloaded?") from error
    return Judgement.from_output(done.returncode, f"{done.stdout}\n{done.stderr}", str(folder))
