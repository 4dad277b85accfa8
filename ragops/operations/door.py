"""Opens the gateway for `token` and `gateway` commands: what is wanted of it, and how it is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.operations.stack import open_stack, platform_inputs
from ragops.services.gateway.configuration import configuration

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.operations.session import Session
    from ragops.services.gateway.configuration import GatewayConfiguration

RESOURCE = "gateway-config"


def wanted(session: Session) -> GatewayConfiguration:
    """The hot configuration that settings and credentials now ask for."""
    session.endpoint("gateway")  # says so where nothing is provisioned yet
    inputs = platform_inputs(session.project, session.secrets(), renew=False)
    return configuration(inputs.door, inputs.runtime.layout("gateway"))


def applier(session: Session) -> Callable[[], None]:
    """A function that brings the running gateway up to what is wanted: a targeted update of its one resource."""
    session.endpoint("gateway")

    def apply() -> None:
        open_stack(session.project, session.secrets()).up(resources=[RESOURCE])

    return apply
