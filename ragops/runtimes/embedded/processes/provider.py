"""The Pulumi dynamic provider that keeps one host process as its ProcessSpec says.

Runs inside Pulumi's provider host, which imports this module by name. Creating and updating are the same act,
`ensure_running`, so an interrupted `up` is simply repeated: what it left is adopted by its record.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from ragops.errors import RagopsError, encode_error
from ragops.runtimes.contract import RUNNING
from ragops.runtimes.embedded.processes import supervisor
from ragops.runtimes.embedded.processes.spec import ProcessSpec
from ragops.runtimes.embedded.processes.state import state_of

if TYPE_CHECKING:
    import pulumi


class ProcessProvider(ResourceProvider):
    """Create, read, update and delete of one detached host process."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Start the process, or adopt the one that an interrupted run left."""
        outs = _ensure(props)
        return CreateResult(f"{props['service']}@{props['run_dir']}", outs)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Restart it where what it was made from changed; start it where it was found stopped."""
        return UpdateResult(_ensure(news))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A difference is a new digest of it or of a file, or a process that is not as it was provisioned."""
        try:
            wanted = ProcessSpec.from_props(news)
            digests = (wanted.digest(), wanted.file_digests())
        except (KeyError, TypeError, AttributeError, ValueError):
            digests = ("", {})  # a refresh compares a state that another version of ragops wrote
        changed = (olds.get("digest"), olds.get("digests")) != digests or olds.get("state") != RUNNING
        return DiffResult(changes=changed, replaces=[], stables=[])

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look at the machine: the state never claims what is not so."""
        ports = {name: int(port) for name, port in props["ports"].items()}
        state = state_of(Path(props["run_dir"]), ports, props["digests"], str(props.get("data_dir") or ""))
        return ReadResult(id_, {**props, "state": state})

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Stop it; its data stay."""
        try:
            supervisor.stop(Path(props["run_dir"]), props["stop_signal"], float(props["stop_grace"]))
        except RagopsError as error:
            raise RuntimeError(encode_error(error)) from error


def _ensure(props: dict[str, Any]) -> dict[str, Any]:
    spec = ProcessSpec.from_props(props)
    try:
        supervisor.ensure_running(spec)
    except RagopsError as error:
        raise RuntimeError(encode_error(error)) from error
    return {
        "service": spec.service,
        "version": spec.version,
        "run_dir": spec.run_dir,
        "data_dir": spec.data_dir,
        "ports": spec.ports,
        "digest": spec.digest(),
        "digests": spec.file_digests(),
        "stop_signal": spec.stop_signal,
        "stop_grace": spec.stop_grace,
        "state": RUNNING,
    }


class Process(Resource, module="ragops", name="Process"):
    """One service as a detached host process."""

    state: pulumi.Output[str]

    def __init__(self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(ProcessProvider(), name, {**props, "state": None, "digest": None, "digests": None}, opts)
