"""Opens the gateway for `token` and `gateway` commands: what is wanted of it, and how it is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.operations.lifecycle.stack import open_stack, platform_inputs, refuse_renamed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.operations.session import Session
    from ragops.runtimes.gateway import GatewayAdapter
    from ragops.services.gateway.configuration import GatewayInputs


def opened(session: Session) -> tuple[GatewayAdapter, GatewayInputs]:
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
