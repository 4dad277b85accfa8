"""The files of a Pulumi state that lies in a folder: whether they are whole, set aside where not, and kept small.

The engine's own words for a damaged file name no file, and every operation adds a copy of the state to its history.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets as random
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import yaml

from ragops.adapters.files import SECRET_MODE, explain_os_error, make_dir, write_atomic
from ragops.errors import IntegrityError, MissingError, RagopsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

REPAIR_HINT = "`ragops up --repair-state` keeps the broken state aside and takes up again what runs"
ASIDE = "broken-state"  # the folder, below the work directory, of what was set aside
_PRIVATE = 0o700
_NEWEST_FORMAT = 4  # of a checkpoint that the pinned engine reads
_META_VERSIONS = (0, 1)
_KEPT_RUNS = 5
_GROWING = ("history", "backups")
_ATTRIBUTES = ".attrs"  # the end of the name of the file that the engine writes next to each of its files


@dataclass(frozen=True)
class StateFault:
    """A file of the state that the engine cannot use, and why."""

    file: Path
    reason: str

    def error(self) -> IntegrityError:
        """Return the failure of every command that needs the state."""
        return IntegrityError("state_damaged", f"cannot read the Pulumi state {self.file}: {self.reason}", REPAIR_HINT)


@dataclass(frozen=True)
class LocalState:
    """The state of one stack: `root` is the backend's folder, `work_dir` has the stack's settings."""

    root: Path
    work_dir: Path
    project: str
    stack: str

    @property
    def checkpoint(self) -> Path:
        """Return the file with the resources of the stack."""
        return self.root / ".pulumi" / "stacks" / self.project / f"{self.stack}.json"

    @property
    def backup(self) -> Path:
        """The checkpoint as it was one step before."""
        return self.checkpoint.with_name(f"{self.checkpoint.name}.bak")

    @property
    def meta(self) -> Path:
        """The version of the backend's layout."""
        return self.root / ".pulumi" / "meta.yaml"

    @property
    def settings(self) -> Path:
        """The stack's settings, with the salt of its encryption."""
        return self.work_dir / f"Pulumi.{self.stack}.yaml"

    @property
    def locks(self) -> Path:
        """The folder of the stack's locks."""
        return self.root / ".pulumi" / "locks" / "organization" / self.project / self.stack

    @property
    def is_encrypted(self) -> bool:
        """Return whether a passphrase has been used for it already."""
        return bool(self._salt_of_settings() or _salt(_read_json(self.checkpoint)))

    def fault(self) -> StateFault | None:
        """Return the first file that cannot be used, None if all are whole or not there yet.

        Raises RagopsError (not_permitted) for one that this user may not read: it may be whole.
        """
        for path, reason_of in ((self.meta, _meta_fault), (self.settings, lambda text: _mapping(text)[1])):
            if (text := _text(path)) is not None and (reason := reason_of(text)):
                return StateFault(path, reason)
        text = _text(self.checkpoint)
        reason = checkpoint_fault(text) if text is not None else ""
        return StateFault(self.checkpoint, reason) if reason else None

    def repair_salt(self) -> bool:
        """Copy the salt of the checkpoint into the stack's settings if they differ; return whether they did."""
        salt = _salt(_read_json(self.checkpoint))
        if not salt or self._salt_of_settings() == salt:
            return False
        write_atomic(self.settings, yaml.safe_dump({"encryptionsalt": salt}), SECRET_MODE)
        return True

    def set_aside(self, *, keep_backup: bool) -> tuple[Path, bool]:
        """Move the state out of the way; with `keep_backup` what was saved one step before takes its place, if whole.

        Returns its new path, and whether the backup is used. Data and services are not touched. Raises
        RagopsError.
        """
        whole = _text(self.backup) if keep_backup else None
        usable = whole is not None and not checkpoint_fault(whole)
        stamp = datetime.now(tz=UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        target = make_dir(self.work_dir / ASIDE / stamp, _PRIVATE)
        try:
            for path in (self.settings, self.meta, self.checkpoint, self.backup):
                if path.exists() or path.is_symlink():
                    path.rename(target / path.name)
        except OSError as error:
            raise explain_os_error(error, f"move the Pulumi state {self.checkpoint} to {target}") from error
        if usable and whole is not None:
            write_atomic(self.checkpoint, whole, SECRET_MODE)
            self.repair_salt()
        return target, usable

    def trim_history(self) -> None:
        """Remove all but the newest copies in the history of the stack; what cannot be removed stays."""
        for name in _GROWING:
            folder = self.root / ".pulumi" / name / self.project / self.stack
            with contextlib.suppress(OSError):
                runs = sorted({_run_of(path) for path in folder.iterdir()})
                for path in folder.iterdir():
                    if _run_of(path) in runs[:-_KEPT_RUNS]:
                        path.unlink(missing_ok=True)

    def remove_cut_attributes(self) -> None:
        """Remove the attribute files that a killed engine left empty or cut off; what cannot be removed stays.

        The engine writes them in place, opens no file that has a broken one, and needs nothing that is in them.
        """
        for path in (self.root / ".pulumi").rglob(f"*{_ATTRIBUTES}"):
            if _read_json(path) is None:
                with contextlib.suppress(OSError):
                    path.unlink()

    def restrict_modes(self) -> None:
        """Take every right of others from the work directory and all below it. What is another user's stays."""
        above = (self.work_dir.parent,) if self.work_dir.parent.name == "pulumi" else ()
        for path in (*above, self.work_dir, *self.work_dir.rglob("*")):
            with contextlib.suppress(OSError):
                mode = path.lstat().st_mode
                if not stat.S_ISLNK(mode) and mode & 0o077:
                    path.chmod(stat.S_IMODE(mode) & 0o700)

    def _salt_of_settings(self) -> str:
        try:
            values = yaml.safe_load(self.settings.read_text())
        except (OSError, ValueError, yaml.YAMLError):
            return ""
        return str(values.get("encryptionsalt") or "") if isinstance(values, dict) else ""


def local_state(backend: str, work_dir: Path, project: str, stack: str) -> LocalState | None:
    """Return the files of the state at `backend` (a URL); None if it is no folder of this machine."""
    parts = urlsplit(backend)
    if parts.scheme != "file":
        return None
    path = Path(unquote(f"{parts.netloc}{parts.path}")).expanduser()
    return LocalState(path if path.is_absolute() else work_dir / path, work_dir, project, stack)


def checkpoint_fault(text: str) -> str:
    """Return why this is no checkpoint; empty if it is one."""
    if not text.strip():
        return "it is empty"
    try:
        values = json.loads(text)
    except ValueError as error:
        return f"it is not JSON, or cut off ({error})"
    if not isinstance(values, dict) or not isinstance(values.get("checkpoint"), dict):
        return "it is JSON, but not a checkpoint"
    version = values.get("version")
    if not isinstance(version, int) or not 1 <= version <= _NEWEST_FORMAT:
        return f"its format is {version!r}, and this engine reads 1 to {_NEWEST_FORMAT}"
    return "" if all(_is_resource(each) for each in _resources(values)) else "a resource in it has no name or type"


def _resources(values: dict[str, Any]) -> Iterator[Any]:
    latest = values["checkpoint"].get("latest") or {}
    yield from (latest.get("resources") or ()) if isinstance(latest, dict) else (None,)


def _is_resource(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("urn"), str) and isinstance(value.get("type"), str)


def _meta_fault(text: str) -> str:
    values, fault = _mapping(text)
    if fault or values is None:
        return fault or "it is empty"
    version = values.get("version", 0)
    return "" if version in _META_VERSIONS else f"its version is {version!r}, and this engine reads 0 and 1"


def _mapping(text: str) -> tuple[dict[str, Any] | None, str]:
    """Return the keys of a YAML file, None if it is empty, and why it cannot be used."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        return None, "it is not YAML"
    return (values, "") if values is None or isinstance(values, dict) else (None, "it is not a mapping")


def _salt(values: Any) -> str:
    try:
        return str(values["checkpoint"]["latest"]["secrets_providers"]["state"]["salt"])
    except (KeyError, TypeError):
        return ""


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _text(path: Path) -> str | None:
    """Return the file's text, None if there is none. Raises RagopsError (not_permitted, file_error)."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError:
        return ""
    except OSError as error:
        failed = explain_os_error(error, f"read the Pulumi state {path}")
        hint = f"look at its owner and mode (`ls -l {path}`) and give it back to the user of the project"
        raise RagopsError(failed.code, failed.message, hint, exit_code=failed.exit_code) from error


def _run_of(path: Path) -> str:
    """Return the time in a name such as default-1795861546465447458.checkpoint.json.attrs."""
    return "".join(part for part in path.name.replace("-", ".").split(".") if part.isdecimal()).rjust(24, "0")


PASSPHRASE, PASSPHRASE_FILE = "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"


def passphrase_variables(stored: Path, *, in_use: bool) -> dict[str, str]:
    """Return the variables for the engine; the file `stored` is made if there is none and none is given.

    `in_use`: something is encrypted with the passphrase already. Raises UsageError (passphrase_differs) if the shell
    gives another passphrase than the stored one: the engine would take the shell's. Raises MissingError
    (passphrase_missing) if none is left, RagopsError (not_permitted) if it cannot be read.
    """
    name, given = _given()
    if not stored.exists():
        if name:
            return {}
        if in_use:
            what = f"the passphrase that opens the Pulumi state is gone: {stored} is not there"
            hint = f"put the file back, set {PASSPHRASE}, or start a new state: `ragops up --repair-state`"
            raise MissingError("passphrase_missing", what, hint)
        write_atomic(stored, random.token_urlsafe(32), SECRET_MODE)
    kept = _read(stored)
    if name and given != kept:
        what = f"{name} is set in this shell to another passphrase than that of this environment ({stored})"
        raise UsageError("passphrase_differs", what, f"run the command without it: `unset {name}`")
    # As both are the same, the stored one is named alone: the engine prefers a value to a file.
    return {PASSPHRASE_FILE: str(stored)} if not name else {}


def _given() -> tuple[str, str]:
    """Return the variable that gives a passphrase, and the passphrase; as in the engine, a value precedes a file."""
    if PASSPHRASE in os.environ:
        return PASSPHRASE, os.environ[PASSPHRASE].strip()
    if named := os.environ.get(PASSPHRASE_FILE):
        return PASSPHRASE_FILE, _read(Path(named))
    return "", ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise explain_os_error(error, f"read the passphrase {path}") from error
