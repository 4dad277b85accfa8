"""gateway diff, check and apply: the hot configuration, looked at, judged, and put in force."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.runtimes import gateway_apply
from ragops.runtimes.programs import locate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ragops.services.gateway.configuration import GatewayConfiguration


@dataclass(frozen=True)
class FileDiff:
    """One file that would change; `lines` are those of a unified diff."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class GatewayDiff:
    """How what would be applied differs from what is; `restart` says that the process would be started anew too."""

    files: tuple[FileDiff, ...]
    restart: bool

    @property
    def changed(self) -> bool:
        """Whether there is anything to apply."""
        return bool(self.files) or self.restart


@dataclass(frozen=True)
class GatewayApplied:
    """What `apply` changed: names of files."""

    changed: tuple[str, ...]


def diff(wanted: GatewayConfiguration) -> GatewayDiff:
    """Rendered against applied. Raises RagopsError (not_permitted, file_error)."""
    there = gateway_apply.current(Path(wanted.folder))
    names = sorted({*there, *wanted.files})
    changed = [name for name in names if there.get(name) != wanted.files.get(name)]
    files = tuple(FileDiff(name, _unified(name, there, wanted.files)) for name in changed)
    return GatewayDiff(files, restart=not gateway_apply.same_bootstrap(wanted))


def check(wanted: GatewayConfiguration) -> GatewayDiff:
    """Let the gateway judge what would be applied, without applying it; returns what would change.

    Raises RagopsError (gateway_config_invalid), MissingError (engine_not_installed).
    """
    program, *arguments = wanted.command
    gateway_apply.validate(replace(wanted, command=(str(locate(program)), *arguments)))
    return diff(wanted)


def apply(wanted: GatewayConfiguration, apply_stack: Callable[[], None]) -> GatewayApplied:
    """Put it in force through `apply_stack`, the update of the stack that targets this configuration.

    Runs even where the files are the same: a state that an interrupted run left behind is brought up to date.
    Raises RagopsError (gateway_config_invalid, gateway_smoke_failed); the old configuration then is in force.
    """
    found = diff(wanted)
    apply_stack()
    return GatewayApplied(tuple(item.name for item in found.files))


def _unified(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    old, new = before.get(name, "").splitlines(), after.get(name, "").splitlines()
    return tuple(difflib.unified_diff(old, new, f"applied/{name}", f"rendered/{name}", lineterm="", n=2))
