"""The scratch project of a restore drill: made out of a recovery point, and taken away again whatever has become of it.

It is a project of its own below the live one's state, so that a user who reaches the live data reaches these.
"""

from __future__ import annotations

import random
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragops.adapters import cancellation
from ragops.adapters.files import SECRET_MODE, explain_os_error, make_dir, write_atomic
from ragops.config.load import CONFIG_NAME, load, read_values
from ragops.config.paths import PASSAGE_MODE
from ragops.errors import RagopsError
from ragops.operations.lifecycle import provision
from ragops.operations.lifecycle.init import free_ports
from ragops.operations.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from ragops.config.load import Project
    from ragops.operations.restore.project_files import ProjectFiles

_LONGEST_NAME = 31
_PORTS = (15000, 31000)  # below those that the kernel gives to outgoing connections
_STATE = "pulumi"
_LOCK_SECONDS = 60.0
_TRIES, _PAUSE = 20, 0.5
_MODELS = "the models of Ollama are left out: `ragops up` fetches them again"


@dataclass(frozen=True)
class ScratchPlatform:
    """The project, opened; `notes` are where it differs from the recovery point's in more than names and ports."""

    session: Session
    notes: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Return its folder."""
        return self.session.project.paths.root


def new_folder(live: Project) -> Path:
    """Return a place for the next one, called as its platform will be."""
    return live.paths.drill_projects / scratch_name(live.settings.name)


def make(
    live: Project, files: ProjectFiles, folder: Path, command: str, notice: Callable[[str], None]
) -> ScratchPlatform:
    """Write the project of a drill into `folder` with the settings out of a recovery point; nothing is started.

    Raises InvalidInputError if this ragops does not take those settings, MissingError (no_free_port).
    """
    make_dir(live.paths.drill_projects.parent, PASSAGE_MODE)
    make_dir(folder, PASSAGE_MODE)
    changed, notes = settings(read_values(files.settings), folder, live.settings.ports().values())
    if live.paths.data_override:  # the disk that is meant for data has room for a copy of them
        changed["data_dir"] = str((live.paths.root / live.paths.data_override).resolve() / folder.name)
    _find_keys(changed.get("api"), live.paths.root)
    make_dir(folder / _STATE)
    write_atomic(folder / CONFIG_NAME, _yaml(changed), SECRET_MODE)
    return ScratchPlatform(_opened(folder, command, notice), notes)


def _find_keys(api: Any, root: Path) -> None:
    """Name the key files of models by their whole paths: they lie in the live project."""
    if not isinstance(api, dict):
        return
    models = api.get("models")
    for part in (api.get("embedder"), api.get("chat"), *(models.values() if isinstance(models, dict) else ())):
        if isinstance(part, dict) and part.get("key_file"):
            part["key_file"] = str(root / part["key_file"])


def scratch_name(name: str) -> str:
    """Return a name for the drill of the platform `name`, no longer than names may be."""
    suffix = f"-drill-{secrets.token_hex(2)}"
    return name[: _LONGEST_NAME - len(suffix)].rstrip("-") + suffix


def settings(values: Mapping[str, Any], folder: Path, taken: Collection[int]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the values of a ragops.yaml changed for a drill in `folder`, and words on what is left out.

    The platform is called as the folder; no port is one of `taken`.
    """
    changed: dict[str, Any] = {**values, "name": folder.name}
    notes: tuple[str, ...] = ()
    for section in ("backup", "expose", "pulumi", "data_dir"):
        changed.pop(section, None)
    changed["observability"] = False  # no one watches a platform that is gone in minutes
    if changed.pop("ollama", None) is not None:
        api = dict(changed.get("api") or {})
        api.pop("chat", None)
        api.pop("models", None)
        changed["api"], notes = {**api, "embedder": {"kind": "hashing"}}, (_MODELS,)
    # Not where the state of the live platform lies, nor anywhere else that outlives the drill.
    changed["pulumi"] = {"backend": (folder / _STATE).as_uri()}
    for key, port in free_ports(changed, taken, lambda _now: random.randrange(*_PORTS)).items():  # noqa: S311
        section, _, word = key.partition(".")
        changed[section] = {**(changed.get(section) or {}), word: port}
    return changed, notes


def left(live: Project) -> tuple[Path, ...]:
    """Projects of drills that were killed, or kept. The caller holds the lock of drills."""
    folder = live.paths.drill_projects
    return tuple(sorted(path for path in folder.iterdir() if path.is_dir())) if folder.is_dir() else ()


def remove(folder: Path, command: str, notice: Callable[[str], None]) -> None:
    """Stop all that runs for the project, then remove it with its data. Raises RagopsError; it can be repeated."""
    with cancellation.new_run(shielded=True):  # an interrupt of the drill does not stop its removal
        if (folder / CONFIG_NAME).exists():
            session = _opened(folder, command, notice)
            if session.project.paths.state.exists():
                _stop(session)
            data = Path(session.project.paths.data_override)
            if data.name == folder.name:  # as `make` called it
                _remove_tree(data)
        _remove_tree(folder)


def _stop(session: Session) -> None:
    """Through the engine, which first ends what a killed run may still have under way; if it cannot, without."""
    try:
        provision.down(session, purge_data=True)
    except RagopsError:
        session.host.stop_orphans()
        _purge(session)


def _purge(session: Session) -> None:
    """Remove a folder in which a killed engine may still write for a moment."""
    for _ in range(_TRIES):
        try:
            return session.host.purge_data()
        except RagopsError as error:
            if error.code != "data_in_use":
                raise
        time.sleep(_PAUSE)
    return session.host.purge_data()


def _remove_tree(folder: Path) -> None:
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise explain_os_error(error, f"remove {folder}") from error


def _opened(folder: Path, command: str, notice: Callable[[str], None]) -> Session:
    """Without variables of the environment: they are in the file already, or meant for the live platform."""
    return Session(load(folder / CONFIG_NAME, None, {}), command, notice, _LOCK_SECONDS)


def _yaml(values: Mapping[str, Any]) -> str:
    import yaml

    return "# The platform of a restore drill; it is removed when the drill ends.\n" + yaml.safe_dump(
        dict(values), sort_keys=False, allow_unicode=True
    )
