"""The commands that hints name fit the way in which ragops was installed."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

import ragops
from ragops.adapters import installation
from ragops.adapters.installation import Installation, Installer
from ragops.errors import ExitCode, MissingError

if TYPE_CHECKING:
    from pathlib import Path

CHECKOUT = {"url": "file:///srv/my%20tools/ragops", "dir_info": {"editable": True}}
FOLDER = {"url": "file:///srv/ragops", "dir_info": {}}
WHEEL = {"url": "file:///srv/ragops_platform-0.1.0-py3-none-any.whl", "archive_info": {"hash": "sha256=0"}}
GIT = {
    "url": "https://me:s3cret@git.example/team/ragops",
    "vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": "abc"},
}
DOWNLOAD = {"url": "https://files.example/ragops_platform-0.1.0-py3-none-any.whl", "archive_info": {}}


@pytest.mark.parametrize(
    ("installer", "origin", "command"),
    [
        (Installer.PIP, {}, "/py -m pip install 'ragops-platform[s3]'"),
        (Installer.PIP, CHECKOUT, "/py -m pip install --editable '/srv/my tools/ragops[s3]'"),
        (Installer.PIP, FOLDER, "/py -m pip install '/srv/ragops[s3]'"),
        (Installer.PIP, WHEEL, "/py -m pip install '/srv/ragops_platform-0.1.0-py3-none-any.whl[s3]'"),
        (Installer.PIP, GIT, "/py -m pip install 'ragops-platform[s3] @ git+https://git.example/team/ragops@v1'"),
        (
            Installer.PIP,
            DOWNLOAD,
            "/py -m pip install 'ragops-platform[s3] @ https://files.example/ragops_platform-0.1.0-py3-none-any.whl'",
        ),
        (Installer.PIPX, {}, "pipx runpip ragops-platform install 'ragops-platform[s3]'"),
        (Installer.PIPX, CHECKOUT, "pipx runpip ragops-platform install --editable '/srv/my tools/ragops[s3]'"),
        (Installer.UV, {}, "uv pip --python /py install 'ragops-platform[s3]'"),
        (Installer.UV_TOOL, {}, "uv tool install --force 'ragops-platform[docker,s3]'"),
        (Installer.UV_TOOL, WHEEL, "uv tool install --force '/srv/ragops_platform-0.1.0-py3-none-any.whl[docker,s3]'"),
    ],
)
def test_the_command_that_adds_an_extra(installer: Installer, origin: dict[str, Any], command: str) -> None:
    assert Installation(installer, origin, ("docker",), "/py").install_command("s3") == command


@pytest.mark.parametrize(
    ("installer", "origin", "command"),
    [
        (Installer.PIP, {}, "/py -m pip install --upgrade 'ragops-platform[docker]'"),
        (
            Installer.PIP,
            CHECKOUT,
            "git -C '/srv/my tools/ragops' pull && /py -m pip install --editable '/srv/my tools/ragops[docker]'",
        ),
        (
            Installer.PIP,
            GIT,
            "/py -m pip install --upgrade --force-reinstall"
            " 'ragops-platform[docker] @ git+https://git.example/team/ragops'",
        ),
        (Installer.PIPX, {}, "pipx upgrade ragops-platform"),
        (Installer.UV_TOOL, {}, "uv tool upgrade ragops-platform"),
    ],
)
def test_the_command_that_upgrades(installer: Installer, origin: dict[str, Any], command: str) -> None:
    assert Installation(installer, origin, ("docker",), "/py").upgrade_command() == command


def test_no_command_holds_the_login_of_a_url() -> None:
    found = Installation(Installer.PIP, GIT, (), "/py")
    assert "s3cret" not in found.install_command("s3") + found.upgrade_command()


def make_distribution(folder: Path, installer: str, origin: dict[str, Any] | None) -> None:
    info = folder / "ragops_platform-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ragops-platform\nVersion: 0.1.0\n")
    (info / "INSTALLER").write_text(installer)
    if origin is not None:
        (info / "direct_url.json").write_text(json.dumps(origin))


@pytest.mark.parametrize(
    ("installer", "file", "expected"),
    [
        ("pip\n", "", Installer.PIP),
        ("uv", "", Installer.UV),
        ("pip\n", "pipx_metadata.json", Installer.PIPX),
        ("uv", "uv-receipt.toml", Installer.UV_TOOL),
    ],
)
def test_the_installer_is_found(
    installer: str, file: str, expected: Installer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_distribution(tmp_path / "site", installer, WHEEL)
    if file:
        (tmp_path / file).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    found = metadata.Distribution.at(tmp_path / "site" / "ragops_platform-0.1.0.dist-info")
    monkeypatch.setattr(metadata, "distribution", lambda _name: found)
    assert (installation.detect().installer, installation.detect().origin) == (expected, WHEEL)


def install_beside(folder: Path, summary: str) -> None:
    info = folder / "ragops-2.0.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ragops\nVersion: 2.0.2\nSummary: {summary}\n")


def test_another_project_in_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ragops, "__file__", str(tmp_path / "ragops" / "__init__.py"))
    installation.require_own_package()
    install_beside(tmp_path, "Regression tests for something else")
    with pytest.raises(MissingError) as refused:
        installation.require_own_package()
    assert (refused.value.code, refused.value.exit_code) == ("other_package", ExitCode.MISSING)
    assert "pip uninstall --yes ragops" in refused.value.hint


def test_an_earlier_installation_of_ours_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ragops, "__file__", str(tmp_path / "ragops" / "__init__.py"))
    install_beside(tmp_path, "Infrastructure-as-code operator for a self-hosted RAG platform")
    installation.require_own_package()


def test_another_project_that_is_imported_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ragops, "DISTRIBUTION")
    with pytest.raises(MissingError, match="of another project"):
        installation.require_own_package()
