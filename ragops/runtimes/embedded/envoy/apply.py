"""Applies a gateway's hot configuration to the files that it watches: judged first, smoke-tested after, else undone.

The record next to the folder is what was last seen to work. It is written last, so that an interrupted run falls
back to something that worked.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.files import PUBLIC_MODE, explain_os_error, make_dir, sync_dir, write_atomic
from ragops.adapters.state_file import StateFile
from ragops.errors import RagopsError
from ragops.services.gateway.configuration import CHECK_PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.gateway.configuration import GatewayConfiguration

_VALIDATE_SECONDS = 30.0


def apply(wanted: GatewayConfiguration) -> None:
    """Make the gateway do what is in `wanted`, or leave it as it was.

    A gateway that does not run, or is about to be restarted with another bootstrap, gets its files unasked. Raises
    RagopsError: gateway_config_invalid (nothing was touched), gateway_smoke_failed (the last good files are back).
    """
    # Imported late: a plan starts the host of providers too, and asks the gateway nothing.
    from ragops.runtimes.gateway_smoke import live_configuration, smoke

    validate(wanted)
    folder = Path(wanted.folder)
    before = last_good(folder) or current(folder)
    mark = live_configuration(wanted.smoke[0]) if same_bootstrap(wanted) else None
    _put(folder, wanted.files)
    if mark is not None and (failure := smoke(wanted.smoke)):
        raise _undone(wanted, before, mark, failure)
    _record(folder).write(dict(wanted.files))


def validate(wanted: GatewayConfiguration) -> None:
    """Let the gateway's own program judge the text. Raises RagopsError (gateway_config_invalid)."""
    with tempfile.TemporaryDirectory(prefix="ragops-gateway-") as scratch:
        check = Path(scratch) / "check.json"
        check.write_text(wanted.check)
        command = [part.replace(CHECK_PLACEHOLDER, str(check)) for part in wanted.command]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_VALIDATE_SECONDS, check=False)
        except OSError as error:
            raise explain_os_error(error, f"run {command[0]}") from error
        except subprocess.TimeoutExpired as error:
            what = f"cannot check the gateway's configuration within {_VALIDATE_SECONDS:.0f} s"
            raise RagopsError("gateway_config_invalid", what, "is the machine overloaded? try again") from error
        if done.returncode != 0:
            raise RagopsError(
                "gateway_config_invalid",
                f"cannot apply the gateway's configuration: {_error_excerpt(done.stderr + done.stdout, str(check))}",
                "nothing was changed, the old configuration is in force; `ragops gateway diff` shows the new one",
            )


def current(folder: Path) -> dict[str, str]:
    """Return the applied files by name; empty if there are none."""
    try:
        return {path.name: path.read_text() for path in sorted(folder.glob("[!.]*.json"))}
    except OSError as error:
        raise explain_os_error(error, f"read {folder}") from error


def last_good(folder: Path) -> dict[str, str]:
    """Return the files that were last seen to work; empty if none were."""
    return _record(folder).read() or {}


def digests(files: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of every file by name."""
    return {name: hashlib.sha256(content.encode()).hexdigest() for name, content in files.items()}


def changed_files(folder: Path, expected: Mapping[str, str]) -> tuple[str, ...]:
    """Return names of files that are not what was applied, missing and added ones included."""
    found = digests(current(folder))
    return tuple(sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name)))


def _record(folder: Path) -> StateFile[dict[str, str]]:
    return StateFile(folder.with_name(f"{folder.name}.last-good"), dict[str, str], PUBLIC_MODE)


def _put(folder: Path, files: Mapping[str, str]) -> None:
    """Move the files into place, each in one rename and in their order.

    All are written next to the folder first: a full disk is met before anything is moved. All are moved, the unchanged
    too: the gateway sees moves only, and a text that came into its folder otherwise would look applied and not be.
    """
    stage = folder.with_name(f"{folder.name}.new")
    for name, content in files.items():
        write_atomic(stage / name, content, PUBLIC_MODE)
    try:
        make_dir(folder)
        for name in files:
            (stage / name).replace(folder / name)
        for name in current(folder).keys() - files.keys():
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(stage, ignore_errors=True)
        sync_dir(folder)
    except OSError as error:
        raise explain_os_error(error, f"write to {folder}") from error


def _undone(wanted: GatewayConfiguration, before: Mapping[str, str], mark: str | None, failure: str) -> RagopsError:
    """Put `before` back, whose mark is `mark`; the error states whether the gateway is as it was."""
    from ragops.runtimes.gateway_smoke import back_in_force

    outcome = "there was no earlier configuration to go back to"
    if before:
        _put(Path(wanted.folder), before)
        outcome = back_in_force(wanted.smoke[0], mark)
    return RagopsError(
        "gateway_smoke_failed",
        f"cannot apply the gateway's configuration: it fails its smoke test: {failure}; {outcome}",
        "`ragops logs gateway` may show why; `ragops gateway diff` shows what is new",
    )


def same_bootstrap(wanted: GatewayConfiguration) -> bool:
    """Whether the running process was started with the bootstrap that belongs to `wanted`."""
    try:
        return hashlib.sha256(Path(wanted.bootstrap).read_bytes()).hexdigest() == wanted.bootstrap_digest
    except OSError:
        return False


def _error_excerpt(output: str, check: str) -> str:
    """Return the program's own complaint: of lines of JSON their message, else the last line."""
    lines = [line for line in output.strip().splitlines() if line.strip()]
    if not lines:
        return "no reason given"
    try:
        words = str(json.loads(lines[-1])["message"])
    except (ValueError, KeyError, TypeError):
        words = lines[-1]
    return words.replace(f"'{check}'", "").replace(check, "").strip()[-600:]
