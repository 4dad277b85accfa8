"""gateway diff, check and apply: the hot configuration compared, validated and applied."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.operations.lifecycle.stack import open_stack, platform_inputs, refuse_renamed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ragops.operations.session import Session
    from ragops.runtimes.contract import GatewayAdapter
    from ragops.services.gateway.configuration import GatewayInputs


@dataclass(frozen=True)
class FileDiff:
    """One file that would change; `lines` are those of a unified diff."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class GatewayDiff:
    """How what would be applied differs from what is; `restart` states that the gateway would be restarted too."""

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


def open_gateway(session: Session) -> tuple[GatewayAdapter, GatewayInputs]:
    """Return the gateway, and what settings and credentials now ask of it."""
    session.endpoint("gateway")  # raises not_provisioned
    inputs = platform_inputs(session.project, session.secrets(), write=False).door
    return session.host.gateway(), inputs.with_upstream(session.endpoint("api").internal_address)


def applier(session: Session) -> Callable[[], None]:
    """Return a function that updates gateway and API, and nothing else of the stack."""
    session.endpoint("gateway")
    refuse_renamed(session.project)

    def apply() -> None:
        open_stack(session.project, session.secrets()).up(resources=session.host.gateway().resources)

    return apply


def diff(door: GatewayAdapter, inputs: GatewayInputs) -> GatewayDiff:
    """Return how the rendered and the applied configuration differ. Raises RagopsError (not_permitted, file_error)."""
    return GatewayDiff(_changed(door, inputs), restart=door.needs_restart(inputs))


def check(door: GatewayAdapter, inputs: GatewayInputs) -> GatewayDiff:
    """Let the gateway judge what would be applied, without applying it; returns what would change.

    Raises RagopsError (gateway_config_invalid), MissingError (engine_not_installed, image_missing).
    """
    door.validate(inputs)
    return diff(door, inputs)


def apply(door: GatewayAdapter, inputs: GatewayInputs, apply_stack: Callable[[], None]) -> GatewayApplied:
    """Put it in force through `apply_stack`, the update of the stack that targets this configuration.

    Runs even if the files are the same: a state that an interrupted run left behind is brought up to date.
    Raises RagopsError (gateway_config_invalid, gateway_smoke_failed); the old configuration then is in force.
    """
    found = _changed(door, inputs)
    apply_stack()
    return GatewayApplied(tuple(item.name for item in found))


def _changed(door: GatewayAdapter, inputs: GatewayInputs) -> tuple[FileDiff, ...]:
    there, wanted = door.current(), door.files(inputs)
    changed = (name for name in sorted({*there, *wanted}) if there.get(name) != wanted.get(name))
    return tuple(FileDiff(name, _unified(name, there, wanted)) for name in changed)


def _unified(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    old, new = before.get(name, "").splitlines(), after.get(name, "").splitlines()
    return tuple(difflib.unified_diff(old, new, f"applied/{name}", f"rendered/{name}", lineterm="", n=2))
