"""The gateway as a Pulumi component: its hot configuration, and the program that takes it over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pulumi

from ragops.services.gateway import VERSION, configuration, kong_configuration
from ragops.services.spec import GatewayEngine, Runtime, local_endpoint

if TYPE_CHECKING:
    from ragops.services.contract import Declaration, Endpoint
    from ragops.services.gateway.configuration import GatewayInputs
    from ragops.services.spec import Layout, ServiceSpec


_SPECS = {GatewayEngine.ENVOY: configuration.service_spec, GatewayEngine.KONG: kong_configuration.service_spec}


class GatewayRuntime(Runtime, Protocol):
    """A runtime that can also apply a gateway's configuration while it runs."""

    def configure(self, inputs: GatewayInputs, parent: Any) -> Any:
        """Declare the resource that keeps the configuration applied that `inputs` come to, below `parent`."""


class Gateway(pulumi.ComponentResource):
    """Envoy, or in an image Kong, with its policy; `endpoint` states how to reach it."""

    def __init__(
        self, inputs: GatewayInputs, runtime: GatewayRuntime, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ragops:service:Gateway", "gateway", None, opts)
        layout = runtime.layout("gateway", kong_configuration.image(inputs.settings))
        spec = _SPECS[layout.gateway_engine](inputs, layout)
        self.configuration = runtime.configure(inputs, self)
        # Below its configuration, not next to it: neither program starts without those files.
        self.process = runtime.run(spec, self.configuration)
        self.endpoint = _endpoint(inputs, runtime, layout, spec)
        self.register_outputs({"endpoint": self.endpoint.to_dict()})


def _endpoint(inputs: GatewayInputs, runtime: Runtime, layout: Layout, spec: ServiceSpec) -> Endpoint:
    settings = inputs.settings
    options = {"admin": configuration.admin_socket(layout)} if layout.gateway_engine is GatewayEngine.ENVOY else {}
    if inputs.metrics_port:
        options["metrics_port"] = str(inputs.metrics_port)
    if settings.tls and inputs.certificate:
        options |= {"tls_port": str(settings.tls_port), "certificate": inputs.certificate}
    return local_endpoint(
        "gateway",
        runtime,
        layout,
        engine=layout.gateway_engine.value,
        version=spec.version if layout.uses_images else VERSION,
        port=settings.port,
        inner_port=spec.ports["http"],
        options=options,
    )


def declare(declaration: Declaration, options: pulumi.ResourceOptions | None = None) -> Gateway:
    """Declare the component on the platform's stack, in front of the API."""
    inputs: GatewayInputs = declaration.own["inputs"]
    upstream = declaration.before["api"].internal_address
    return Gateway(inputs.with_upstream(upstream), declaration.runtime, options)
