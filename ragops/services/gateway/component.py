"""The gateway as a Pulumi component: its hot configuration, and the process that reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pulumi

from ragops.services.contract import Endpoint
from ragops.services.gateway import VERSION
from ragops.services.gateway.configuration import (
    GatewayConfiguration,
    GatewayInputs,
    admin_socket,
    configuration,
    service_spec,
)
from ragops.services.spec import Runtime

if TYPE_CHECKING:
    from ragops.services.spec import Layout


class GatewayRuntime(Runtime, Protocol):
    """A runtime that can also apply a gateway's configuration while it runs."""

    def configure(self, configuration: GatewayConfiguration, parent: Any) -> Any:
        """Declare the resource that keeps `configuration` applied, below the component `parent`."""


@dataclass(frozen=True)
class GatewayArgs:
    """What the component is made from."""

    inputs: GatewayInputs
    runtime: GatewayRuntime


class Gateway(pulumi.ComponentResource):
    """Envoy with its policy; `endpoint` says how to reach it."""

    def __init__(self, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ragops:service:Gateway", "gateway", None, opts)
        runtime, layout = args.runtime, args.runtime.layout("gateway")
        self.configuration = runtime.configure(configuration(args.inputs, layout), self)
        # Below its configuration, not beside it: Envoy does not start without the files that it is to watch.
        self.process = runtime.run(service_spec(args.inputs, layout), self.configuration)
        self.endpoint = _endpoint(args, layout)
        self.register_outputs({"endpoint": self.endpoint.to_dict()})


def _endpoint(args: GatewayArgs, layout: Layout) -> Endpoint:
    runtime, settings = args.runtime, args.inputs.settings
    options = {"admin": admin_socket(layout)}
    if settings.tls and args.inputs.certificate:
        options |= {"tls_port": str(settings.tls_port), "certificate": args.inputs.certificate}
    return Endpoint(
        service="gateway",
        engine="envoy",
        version=VERSION,
        runtime=runtime.name,
        host="127.0.0.1",
        port=settings.port,
        handle=runtime.handle("gateway"),
        options=options,
        capabilities=runtime.capabilities,
    )
