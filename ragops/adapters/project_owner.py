"""Whose a project is, and how a command of root becomes one of its owner.

Root may write everywhere. What it leaves in the project of a user is root's, and stops every later command of theirs.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import ragops
from ragops.errors import MissingError, UsageError

_STATE = ".ragops"
# What a shell of root holds of root: it would lead the owner's command to root's files.
_OF_ROOT = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "MAIL")


@dataclass(frozen=True)
class ProjectOwner:
    """The user whose a project is; `name` is empty for a uid that has none, as it may be inside a container."""

    uid: int
    gid: int
    name: str
    home: str

    def __str__(self) -> str:
        return self.name or f"uid {self.uid}"


def find_owner(folder: Path) -> ProjectOwner:
    """Whose the project in `folder` is: the owner of its state, else of the folder, else of the nearest one above.

    What is inside may be of several users: an engine of root's project runs as another one.
    """
    state = folder / _STATE
    place = next(each for each in (state, folder, *folder.absolute().parents) if each.exists())
    info = place.stat()
    try:
        entry = pwd.getpwuid(info.st_uid)
    except KeyError:
        return ProjectOwner(info.st_uid, info.st_gid, "", str(folder / _STATE / "home"))
    return ProjectOwner(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)


def is_own_project(folder: Path) -> bool:
    """Return whether the project in `folder` is this user's: what is written there stays readable for its owner."""
    return find_owner(folder).uid == os.geteuid()


def require_ownership(folder: Path, command: str, *, reads_only: bool) -> None:
    """Raise UsageError (not_owner) if the project in `folder` is another user's.

    Root may look if a command `reads_only`; another user cannot even do that: what is inside is for its owner.
    `command` is for the hint.
    """
    owner, me = find_owner(folder), os.geteuid()
    if me == owner.uid or (me == 0 and reads_only):
        return
    if me == 0:
        what = f"the project in {folder} belongs to {owner}, and what root writes there {owner} could not use any more"
        raise UsageError(
            "not_owner", what, f"run the command as {owner}, or let root do that: `sudo ragops --as-owner {command}`"
        )
    if not (folder / _STATE).exists() and os.access(folder, os.W_OK):
        return  # a shared folder without a project
    what = f"the project in {folder} belongs to {owner}, and this user is {_name(me)}"
    raise UsageError(
        "not_owner", what, f"run the command as {owner}, such as with `sudo -u {owner.name or f'#{owner.uid}'}`"
    )


def switch_to_owner(folder: Path) -> None:
    """Continue as the owner of the project in `folder`: user, groups and HOME. Nothing of root's may be open yet.

    Raises UsageError (not_root) for other users, MissingError (owner_unknown, owner_cannot_run) if that cannot be.
    """
    owner = find_owner(folder)
    if os.geteuid() == owner.uid:
        return
    if os.geteuid() != 0:
        what = f"the project in {folder} belongs to {owner}, and only root can act as another user"
        raise UsageError("not_root", what, "run it with `sudo`, and --as-owner")
    _refuse_unmapped(folder, owner)
    _refuse_hidden_program(owner)
    os.setgroups(os.getgrouplist(owner.name, owner.gid) if owner.name else [owner.gid])
    os.setresgid(owner.gid, owner.gid, owner.gid)
    os.setresuid(owner.uid, owner.uid, owner.uid)
    for name in _OF_ROOT:
        os.environ.pop(name, None)
    name = owner.name or str(owner.uid)
    os.environ.update({"HOME": owner.home, "USER": name, "LOGNAME": name})
    runtime = Path(f"/run/user/{owner.uid}")
    if runtime.is_dir():
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)


def _refuse_unmapped(folder: Path, owner: ProjectOwner) -> None:
    """Raise if this container cannot act as the owner: a user without a mapping has no name here."""
    try:
        ranges = [[int(part) for part in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except (OSError, ValueError):
        return
    if ranges and not any(inside <= owner.uid < inside + count for inside, _outside, count in ranges):
        what = f"cannot act as the owner of {folder}: this container has no such user (user namespace)"
        raise MissingError("owner_unknown", what, "map that user into the container, or run the command outside")


def _refuse_hidden_program(owner: ProjectOwner) -> None:
    """Raise if the owner cannot read the modules and programs that a command loads later."""
    for place in (Path(sys.executable).resolve(), Path(ragops.__file__).resolve(), Path(os.__file__).resolve()):
        if blocked := find_unreadable(place, owner):
            what = f"cannot run this program as {owner}: that user may not read {blocked}"
            raise MissingError("owner_cannot_run", what, f"install ragops for {owner}, or where every user can read it")


def find_unreadable(path: Path, owner: ProjectOwner, needed: int = stat.S_IROTH) -> Path | None:
    """Return the topmost part of the path that the user may not pass, or without the right `needed` to the path itself.

    None if the way is free; a place that does not exist yet is free.
    """
    groups = set(os.getgrouplist(owner.name, owner.gid)) if owner.name else {owner.gid}
    for place in [*reversed(path.parents), path]:
        if not place.exists():
            return None
        info = place.stat()
        shift = 6 if info.st_uid == owner.uid else 3 if info.st_gid in groups else 0
        if not (info.st_mode >> shift) & (needed if place == path else stat.S_IXOTH):
            return place
    return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
