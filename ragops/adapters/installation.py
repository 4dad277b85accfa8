"""The installation of this ragops, and the command that extends or replaces it.

Sources: PEP 610 (`direct_url.json`, where a package came from), PEP 376 (`INSTALLER`), pipx (`pipx_metadata.json`) and
uv (`uv-receipt.toml`), which keep these files at the top of the environment that they make for a tool.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import ragops
from ragops import DISTRIBUTION
from ragops.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import Distribution

_SUMMARY = "Infrastructure-as-code operator"  # of our own package, also from when it was called `ragops`


class Installer(StrEnum):
    """The program that manages the environment which ragops runs in."""

    PIP = "pip"
    PIPX = "pipx"
    UV = "uv"
    UV_TOOL = "uv tool"


@dataclass(frozen=True)
class Installation:
    """`origin` is PEP 610's `direct_url.json` (empty: from a package index), `extras` the optional ones installed."""

    installer: Installer
    origin: Mapping[str, Any]
    extras: tuple[str, ...] = ()
    python: str = sys.executable

    def install_command(self, extra: str) -> str:
        """Return the command that adds `extra` to this installation, for a shell."""
        if self.installer is Installer.UV_TOOL:  # it makes the environment again: with all that it has today
            return f"uv tool install --force {self._source((*self.extras, extra))}"
        return f"{self._program()} install {self._source((extra,))}"

    def upgrade_command(self) -> str:
        """Return the command that replaces this installation by a newer version, for a shell."""
        if self.installer is Installer.UV_TOOL:
            return f"uv tool upgrade {DISTRIBUTION}"
        checkout = self._checkout()
        if checkout and self._is_editable():
            return f"git -C {shlex.quote(checkout)} pull && {self._program()} install {self._source(self.extras)}"
        if self.installer is Installer.PIPX and not self.origin:
            return f"pipx upgrade {DISTRIBUTION}"
        again = "--upgrade --force-reinstall" if self.origin else "--upgrade"
        return f"{self._program()} install {again} {self._source(self.extras, pinned=False)}"

    def replace_command(self) -> str:
        """Return the command that removes another project's `ragops` and restores our files that it removed."""
        yes = "" if self.installer is Installer.UV else "--yes "
        if self.installer is Installer.UV_TOOL:
            return f"uv tool uninstall ragops; uv tool install --force {self._source(self.extras)}"
        again = f"{self._program()} install --force-reinstall {self._source(self.extras)}"
        return f"{self._program()} uninstall {yes}ragops && {again}"

    def _program(self) -> str:
        if self.installer is Installer.PIPX:
            return f"pipx runpip {DISTRIBUTION}"
        if self.installer is Installer.UV:
            return f"uv pip --python {shlex.quote(self.python)}"
        return f"{shlex.quote(self.python)} -m pip"

    def _source(self, extras: tuple[str, ...], *, pinned: bool = True) -> str:
        """Return the requirement as an argument, with `--editable` for an editable checkout."""
        wanted = ",".join(sorted({extra for extra in extras if extra}))
        suffix = f"[{wanted}]" if wanted else ""
        url = str(self.origin.get("url", ""))
        if not url:
            return shlex.quote(f"{DISTRIBUTION}{suffix}")
        path = _local_path(url)
        revision = self.origin.get("vcs_info", {})
        if revision:
            chosen = revision.get("requested_revision") or revision.get("commit_id") if pinned else None
            at = f"@{chosen}" if chosen else ""
            return shlex.quote(f"{DISTRIBUTION}{suffix} @ {revision.get('vcs', 'git')}+{_without_login(url)}{at}")
        if path:
            editable = "--editable " if self._is_editable() else ""
            return f"{editable}{shlex.quote(path + suffix)}"
        return shlex.quote(f"{DISTRIBUTION}{suffix} @ {_without_login(url)}")

    def _is_editable(self) -> bool:
        return bool(self.origin.get("dir_info", {}).get("editable"))

    def _checkout(self) -> str:
        return _local_path(str(self.origin.get("url", ""))) if "dir_info" in self.origin else ""


def detect() -> Installation:
    """Return how the running ragops was installed; one without package metadata counts as from the index, by pip."""
    from importlib import metadata  # here: it takes 20 ms, and every command imports this module

    try:
        found = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return Installation(Installer.PIP, {})
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    return Installation(_installer(found), origin, _installed_extras(found))


def install_command(extra: str) -> str:
    """Return the command that adds the optional dependencies `extra` to the running ragops."""
    return detect().install_command(extra)


def upgrade_command() -> str:
    """Return the command that replaces the running ragops by a newer one."""
    return detect().upgrade_command()


def require_own_package() -> None:
    """Raise MissingError (other_package) if another project's `ragops` is imported or mixed with this one's files."""
    folder = Path(ragops.__file__ or "").parent
    if getattr(ragops, "DISTRIBUTION", "") == DISTRIBUTION and not _other_projects(folder.parent):
        return
    what = f"cannot run: the package `ragops` of another project is installed in {folder.parent}, under the same name"
    raise MissingError("other_package", what, f"run `{detect().replace_command()}`")


def _other_projects(site_packages: Path) -> bool:
    for info in site_packages.glob("ragops-*.dist-info"):
        description = info / "METADATA"
        if description.is_file() and f"Summary: {_SUMMARY}" not in description.read_text(errors="replace"):
            return True
    return False


def _installer(found: Distribution) -> Installer:
    environment = Path(sys.prefix)
    if (environment / "pipx_metadata.json").is_file():
        return Installer.PIPX
    if (environment / "uv-receipt.toml").is_file():
        return Installer.UV_TOOL
    return Installer.UV if (found.read_text("INSTALLER") or "").strip() == "uv" else Installer.PIP


def _installed_extras(found: Distribution) -> tuple[str, ...]:
    """Return the extras all of whose packages are installed."""
    wanted: dict[str, list[str]] = {}
    for line in found.requires or ():
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", marker)
        name = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
        if extra and name and name[0] != DISTRIBUTION:
            wanted.setdefault(extra[1], []).append(name[0])
    return tuple(extra for extra, names in wanted.items() if all(_is_installed(name) for name in names))


def _is_installed(name: str) -> bool:
    from importlib import metadata

    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _local_path(url: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else ""


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
