"""Writes the files of a new project, with free ports; never overwrites one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.adapters.files import explain_os_error, make_dir, write_atomic
from ragops.adapters.ports import is_free
from ragops.config import secrets
from ragops.config.load import CONFIG_NAME, load
from ragops.config.model import find_ports
from ragops.config.paths import DEFAULT_ENVIRONMENT, PASSAGE_MODE, ProjectPaths
from ragops.errors import MissingError, UsageError
from ragops.recovery import signing
from ragops.render import render
from ragops.resources import templates_dir
from ragops.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from ragops.services.contract import Service

_IGNORED = (".ragops/", "backups/", "*identity*.txt")  # state and secrets, recovery points, the key that opens them
_COLLECTIONS = "collections-config.json"


@dataclass(frozen=True)
class InitResult:
    """The files that were written, and the ports that were chosen because they are free, by key."""

    config: str
    written: tuple[str, ...]
    ports: dict[str, int]


def init(folder: Path, name: str | None, runtime: str) -> InitResult:
    """Write ragops.yaml, .gitignore, a sample of collections-config.json and the secrets (0600) into `folder`.

    Raises UsageError if ragops.yaml is already there or the name is not usable.
    """
    folder = folder.resolve()
    config = folder / CONFIG_NAME
    if config.exists():
        raise UsageError(
            "already_initialised",
            f"cannot write a new project: {config} is already there",
            "edit it, or name another folder",
        )
    chosen = name or _name_from(folder)
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", chosen):
        raise UsageError(
            "invalid_name",
            f"cannot make a project named {chosen!r}: invalid name",
            "use a-z, 0-9 and -, a letter first",
        )
    make_dir(folder)
    ports = free_ports({"runtime": runtime})
    ignored = _ignore(folder / ".gitignore")
    paths = ProjectPaths(folder, DEFAULT_ENVIRONMENT)
    make_dir(paths.secrets.parent, PASSAGE_MODE)
    secrets.ensure(paths.secrets, [secret for service in SERVICES for secret in service.secrets()])
    key = signing.load_or_create(paths.signing_key).public
    sections = [_section(service, runtime, ports) for service in SERVICES]
    write_atomic(config, render("ragops.yaml.j2", name=chosen, runtime=runtime, sections=sections, verify_key=key))
    load(config, None)  # what we wrote is valid, or we hear of it now
    others = [(folder / ".gitignore", ignored), (folder / _COLLECTIONS, _sample(folder / _COLLECTIONS))]
    written = (config, *(path for path, was_written in others if was_written), paths.secrets, paths.signing_key)
    return InitResult(str(config), tuple(map(str, written)), ports)


def _section(service: Service, runtime: str, ports: Mapping[str, int]) -> str:
    """Return the text of a service's section, empty for an optional one that a new project has none of."""
    if service.section_template:
        return render(service.section_template, runtime=runtime, ports=ports).strip()
    own = [(key.partition(".")[2], port) for key, port in ports.items() if key.partition(".")[0] == service.name]
    return "\n".join([f"{service.name}:", *(f"  {key}: {port}" for key, port in own)]) if own else ""


def _name_from(folder: Path) -> str:
    """Return the folder's name as far as it is usable."""
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


_TRIES = 200


def _usual(port: int) -> int:
    return port


def free_ports(
    values: Mapping[str, Any], taken: Collection[int] = (), first: Callable[[int], int] = _usual
) -> dict[str, int]:
    """For every key of a port (`service.key`) that the values of a ragops.yaml lead to: a port that is free.

    It is the next from `first` of the one there now on which is none of `taken`, with all ports that follow from it.
    Raises MissingError (no_free_port).
    """
    chosen: dict[str, int] = {}
    gone = set(taken)
    for (service, key), now in find_ports(values).items():
        if "," not in key:
            found = _free(values, service, key, first(now), gone)
            chosen[f"{service}.{key}"] = found[0]
            gone |= {*found}
    return chosen


def _free(values: Mapping[str, Any], service: str, key: str, first: int, taken: set[int]) -> list[int]:
    """Return the first port from `first` on that is free with all that follow from it, and those."""
    for port in range(first, first + _TRIES):
        section = {**(values.get(service) or {}), key: port}
        wanted = find_ports({**values, service: section})
        ports = [found for (owner, what), found in wanted.items() if owner == service and what.partition(",")[0] == key]
        if not taken & {*ports} and all(map(is_free, ports)):
            return ports
    raise MissingError(
        "no_free_port", f"cannot choose a port: {first} to {first + _TRIES - 1} are all taken", "free one of them"
    )
