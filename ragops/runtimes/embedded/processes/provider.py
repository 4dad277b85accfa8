"""The Pulumi dynamic provider that keeps one host process as in its ProcessSpec.

Runs inside Pulumi's provider host, which imports this module by name. An interrupted `up` is repeated: the process that
it left is adopted by its record.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulumi.dynamic import Resource

from ragops.adapters.pulumi.provider import DigestProvider
from ragops.runtimes.embedded.processes import supervisor
from ragops.runtimes.embedded.processes.spec import ProcessSpec
from ragops.runtimes.embedded.processes.state import state_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi


class ProcessProvider(DigestProvider[ProcessSpec]):
    """One detached host process."""

    def parse(self, props: Mapping[str, Any]) -> ProcessSpec:
        """Return the process of these properties."""
        return ProcessSpec.from_props(props)

    def identify(self, wanted: ProcessSpec) -> str:
        """Return the service and its run folder."""
        return f"{wanted.service}@{wanted.run_dir}"

    def expected(self, wanted: ProcessSpec) -> Mapping[str, Any]:
        """Return the digests of all that a restart depends on, and of each file."""
        return {"digest": wanted.digest(), "digests": wanted.file_digests()}

    def apply(self, wanted: ProcessSpec) -> Mapping[str, Any]:
        """Start the process, restart it if anything changed, or adopt the one that an interrupted run left."""
        supervisor.ensure_running(wanted)
        names = ("service", "version", "run_dir", "data_dir", "ports", "stop_signal", "stop_grace")
        return {name: getattr(wanted, name) for name in names}

    def observe(self, outputs: Mapping[str, Any]) -> str:
        """Return the state of the process and its files."""
        ports = {name: int(port) for name, port in outputs["ports"].items()}
        return state_of(Path(outputs["run_dir"]), ports, outputs["digests"], str(outputs.get("data_dir") or ""))

    def remove(self, outputs: Mapping[str, Any]) -> None:
        """Stop it; its data stay."""
        supervisor.stop(Path(outputs["run_dir"]), outputs["stop_signal"], float(outputs["stop_grace"]))


class Process(Resource, module="ragops", name="Process"):
    """One service as a detached host process."""

    state: pulumi.Output[str]

    def __init__(self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(ProcessProvider(), name, {**props, "state": None, "digest": None, "digests": None}, opts)
