"""`ragops` of another project in the same environment: refused with the command that mends it, never mixed."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]
FILES = {
    "ragops/__init__.py": '__version__ = "2.0.2"\n',
    "ragops/cli.py": "def cli_entrypoint():\n    print('the other project')\n",
    "ragops-2.0.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: ragops\nVersion: 2.0.2\nSummary: Tests\n",
    "ragops-2.0.2.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "ragops-2.0.2.dist-info/entry_points.txt": "[console_scripts]\nragops = ragops.cli:cli_entrypoint\n",
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Ours, and one with the name, the import name and the console script of the other project."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(pip, check=True, timeout=300)
    other = folder / "ragops-2.0.2-py3-none-any.whl"
    record = "".join(f"{name},,\n" for name in [*FILES, "ragops-2.0.2.dist-info/RECORD"])
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in {**FILES, "ragops-2.0.2.dist-info/RECORD": record}.items():
            archive.writestr(name, content)
    return next(folder.glob("ragops_platform-*.whl")), other


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment of its own that finds the libraries of this one."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=True)
    site = next((folder / "lib").glob("python3*")) / "site-packages"
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def install(environment: Path, *wheels: Path) -> None:
    for wheel in wheels:
        pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
        subprocess.run(pip, check=True, timeout=120)


def run_ragops(environment: Path, *, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": "/usr/bin:/bin", **({"PYTHONPATH": str(path)} if path else {})}
    command = [environment / "bin" / "ragops", "status"]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("ours_first", [True, False])
def test_both_in_one_environment(wheels: tuple[Path, Path], environment: Path, ours_first: bool) -> None:
    install(environment, *(wheels if ours_first else wheels[::-1]))
    done = run_ragops(environment)
    assert done.returncode == 7, done.stderr
    assert "of another project" in done.stderr
    assert "pip uninstall" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_hint_mends_it(wheels: tuple[Path, Path], environment: Path) -> None:
    install(environment, *wheels[::-1])
    command = run_ragops(environment).stderr.partition("run `")[2].partition("`")[0]
    command = command.replace("--force-reinstall", "--no-deps --force-reinstall")  # the libraries are here
    subprocess.run(["/bin/sh", "-c", command], check=True, timeout=120, capture_output=True)
    done = run_ragops(environment)
    assert "of another project" not in done.stderr
    assert done.returncode == 2, done.stderr  # no ragops.yaml here, which is another matter


def test_another_project_that_is_found_first(wheels: tuple[Path, Path], environment: Path, tmp_path: Path) -> None:
    install(environment, wheels[0])
    zipfile.ZipFile(wheels[1]).extractall(tmp_path / "elsewhere")
    done = run_ragops(environment, path=tmp_path / "elsewhere")
    assert done.returncode == 7, done.stderr
    assert str(tmp_path / "elsewhere" / "ragops") in done.stderr
