"""Timers and services of systemd: unit files in one folder, and systemctl."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters import subprocess_tool
from ragops.adapters.files import explain_os_error, write_atomic
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BOOT = ".boot.service"  # what a service that is started at boot is called at its end
_LIMIT = 90.0
_SYSTEM = Path("/etc/systemd/system")
_RUNNING = Path("/run/systemd/system")
_LINGERING = Path("/var/lib/systemd/linger")


def systemctl(system: bool, *words: str) -> tuple[str, ...]:
    """Return the arguments of systemctl for root's units or a user's own."""
    return ("systemctl", *(() if system else ("--user",)), "--no-ask-password", *words)


@dataclass(frozen=True)
class UnitFolder:
    """Unit files of ragops in `folder`, and the calls of systemctl for them.

    `system`: they are root's. `runtime` is the user's runtime folder.
    """

    folder: Path
    system: bool
    runtime: Path

    def available(self) -> bool:
        """Return whether a systemd runs that can be reached: a user's own if they logged in, or linger."""
        mine = self.system or (self.runtime / "systemd" / "private").exists()
        return _RUNNING.is_dir() and mine and shutil.which("systemctl") is not None

    def read(self) -> dict[str, str]:
        """Return the text of every unit by file name. Raises RagopsError (file_error, not_permitted)."""
        try:
            files = [path for path in self.folder.glob("ragops-*") if path.suffix in (".service", ".timer")]
            return {path.name: path.read_text(encoding="utf-8", errors="replace") for path in files}
        except OSError as error:
            raise explain_os_error(error, f"read the units in {self.folder}") from error

    def install(self, units: Mapping[str, str]) -> None:
        """Write units and start their timers, with their new time; if that fails, all is as it was before."""
        before = self.read()
        try:
            self._write(units)
            self._tell("daemon-reload")
            self._tell("enable", *_enabled(units))
            if timers := _timers(units):
                self._tell("restart", *timers)
        except RagopsError:
            self._put_back(units, before)
            raise

    def remove(self, names: Sequence[str]) -> None:
        """Stop the timers, remove the files; a service that was started runs to its end."""
        if timers := [name for name in _timers(names) if (self.folder / name).exists()]:
            self._tell("disable", "--now", *timers)
        if services := [name for name in _booted(names) if (self.folder / name).exists()]:
            self._tell("disable", *services)
        self._unlink(names)
        self._tell("daemon-reload")

    def lingers(self) -> bool:
        """Return whether timers run while their user is not logged in, as root's do."""
        import getpass

        return self.system or (_LINGERING / getpass.getuser()).exists()

    def _put_back(self, units: Mapping[str, str], before: Mapping[str, str]) -> None:
        """Undo as far as possible: the first failure is the one to report."""
        new = [name for name in units if name not in before]
        old = {name: before[name] for name in units if name in before}
        steps: tuple[Callable[[], None], ...] = (
            lambda: self._tell("disable", "--now", *_timers(new)) if _timers(new) else None,
            lambda: self._tell("disable", *_booted(new)) if _booted(new) else None,
            lambda: self._unlink(new),
            lambda: self._write(old),
            lambda: self._tell("daemon-reload"),
        )
        for step in steps:
            with contextlib.suppress(RagopsError):
                step()

    def _unlink(self, names: Sequence[str]) -> None:
        try:
            for name in names:
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise explain_os_error(error, f"remove the units in {self.folder}") from error

    def _write(self, units: Mapping[str, str]) -> None:
        for name, text in units.items():
            write_atomic(self.folder / name, text)

    def _tell(self, *words: str) -> None:
        environment = {"XDG_RUNTIME_DIR": str(self.runtime), **os.environ, "LC_ALL": "C"}
        subprocess_tool.run_tool(systemctl(self.system, *words), environment, _LIMIT)


def unit_folder(uid: int, environment: Mapping[str, str]) -> UnitFolder:
    """Return the folder of this user's units: root's are the system's."""
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}")
    if uid == 0:
        return UnitFolder(_SYSTEM, True, runtime)
    base = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or "~").expanduser() / ".config")
    return UnitFolder(base / "systemd" / "user", False, runtime)


def _timers(names: Mapping[str, str] | Sequence[str]) -> list[str]:
    return sorted(name for name in names if name.endswith(".timer"))


def _booted(names: Mapping[str, str] | Sequence[str]) -> list[str]:
    """Services that are started at boot."""
    return sorted(name for name in names if name.endswith(BOOT))


def _enabled(names: Mapping[str, str] | Sequence[str]) -> list[str]:
    return [*_timers(names), *_booted(names)]
