"""Writes the files of a new project; never overwrites one."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.files import explain_os_error, make_dir, write_atomic
from ragops.config import secrets
from ragops.config.load import CONFIG_NAME, load
from ragops.config.model import ports_as_written
from ragops.config.paths import DEFAULT_ENVIRONMENT, ProjectPaths
from ragops.errors import MissingError, UsageError
from ragops.recovery import signing
from ragops.render import render
from ragops.resources import templates_dir
from ragops.services import SERVICES

if TYPE_CHECKING:
    from pathlib import Path

_IGNORED = (".ragops/", "backups/")
_PORT_TRIES = 200
_COLLECTIONS = "collections-config.json"


@dataclass(frozen=True)
class InitResult:
    """The files that were written, and the ports that were chosen because they are free, by key."""

    config: str
    written: tuple[str, ...]
    ports: dict[str, int]


def init(folder: Path, name: str | None, runtime: str) -> InitResult:
    """Write ragops.yaml, .gitignore, a sample of collections-config.json and the secrets (0600) into `folder`.

    Raises UsageError where ragops.yaml is already there or the name is not usable.
    """
    folder = folder.resolve()
    config = folder / CONFIG_NAME
    if config.exists():
        raise UsageError("already_initialised", f"{config} is already there", "edit it, or name another folder")
    chosen = name or _name_from(folder)
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", chosen):
        raise UsageError("invalid_name", f"{chosen!r} is no name of a platform", "use a-z, 0-9 and -, a letter first")
    make_dir(folder)
    ports = _free_ports(runtime)
    ignored = _ignore(folder / ".gitignore")
    paths = ProjectPaths(folder, DEFAULT_ENVIRONMENT)
    make_dir(paths.secrets.parent, 0o711)
    secrets.ensure(paths.secrets, [secret for service in SERVICES for secret in service.secrets()])
    key = signing.ensure(paths.signing_key).public
    write_atomic(config, render("ragops.yaml.j2", name=chosen, runtime=runtime, ports=ports, verify_key=key))
    load(config, None)  # what we wrote is valid, or we hear of it now
    others = [(folder / ".gitignore", ignored), (folder / _COLLECTIONS, _sample(folder / _COLLECTIONS))]
    written = (config, *(path for path, was_written in others if was_written), paths.secrets, paths.signing_key)
    return InitResult(str(config), tuple(map(str, written)), ports)


def _name_from(folder: Path) -> str:
    """The folder's name as far as it is usable."""
    return re.sub(r"^[^a-z]+|[^a-z0-9-]", "", folder.name.lower())[:31] or "rag"


def _ignore(path: Path) -> bool:
    """Add what must not be committed to `path`, keep all that is in it; returns whether anything was missing."""
    try:
        text = path.read_text() if path.exists() else ""
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    missing = [line for line in _IGNORED if line not in text.splitlines()]
    if missing:
        glue = "" if not text or text.endswith("\n") else "\n"
        write_atomic(path, text + glue + "\n".join(missing) + "\n")
    return bool(missing)


def _sample(path: Path) -> bool:
    """Write one collection as an example, unless there is a file; returns whether it was written."""
    if path.exists():
        return False
    write_atomic(path, (templates_dir() / _COLLECTIONS).read_text())
    return True


def _free_ports(runtime: str) -> dict[str, int]:
    """For every key of a port its usual one, or the next from which on all that follow from it are free."""
    chosen: dict[str, int] = {}
    taken: set[int] = set()
    for (service, key), usual in ports_as_written({"runtime": runtime}).items():
        if "," not in key:
            found = _free(runtime, service, key, usual, taken)
            chosen[f"{service}.{key}"] = found[0]
            taken |= {*found}
    return chosen


def _free(runtime: str, service: str, key: str, usual: int, taken: set[int]) -> list[int]:
    """The first port from `usual` on that is free with all that follow from it, and those."""
    for port in range(usual, usual + _PORT_TRIES):
        wanted = ports_as_written({"runtime": runtime, service: {key: port}})
        ports = [found for (owner, what), found in wanted.items() if owner == service and what.partition(",")[0] == key]
        if not taken & {*ports} and all(map(_can_bind, ports)):
            return ports
    raise MissingError("no_free_port", f"ports {usual} to {usual + _PORT_TRIES - 1} are all taken", "free one of them")


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
