"""The Pulumi dynamic provider that keeps a gateway's hot configuration applied.

Applying is: let the gateway's own program judge the text, move the files into place, ask the running gateway whether it
now does what it should, and put the last good files back where it does not. Creating and updating are the same act,
so an interrupted one is simply repeated.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from ragops.errors import RagopsError, encode_error
from ragops.runtimes.contract import RUNNING
from ragops.runtimes.embedded.envoy import apply
from ragops.runtimes.embedded.programs import locate
from ragops.services.gateway.configuration import GatewayConfiguration, SmokeTest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi


class GatewayConfigProvider(ResourceProvider):
    """Create, read, update and forget of one gateway's hot configuration."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Validate and write; smoke-tested where a gateway already runs."""
        return CreateResult(f"gateway-config@{props['folder']}", _apply(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Apply hot, or leave everything as it was."""
        return UpdateResult(_apply(news))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A difference is another text, or files that are not as they were applied."""
        try:
            digest = from_props(news).digest()
        except (KeyError, TypeError, AttributeError, ValueError):
            digest = ""  # a refresh compares a state that another version of ragops wrote
        changed = olds.get("digest") != digest or olds.get("state") != RUNNING
        return DiffResult(changes=changed, replaces=[], stables=[])

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look at the files: the state never claims what is not so."""
        changed = apply.changed_files(Path(props["folder"]), props["digests"])
        state = f"running with {', '.join(changed)} changed by hand" if changed else RUNNING
        return ReadResult(id_, {**props, "state": state})

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Forget it: the files stay for the process, which ends on its own account."""


def _apply(props: Mapping[str, Any]) -> dict[str, Any]:
    wanted = from_props(props)
    try:
        apply.apply(wanted)
    except RagopsError as error:
        raise RuntimeError(encode_error(error)) from error
    return {
        "folder": wanted.folder,
        "digest": wanted.digest(),
        "digests": apply.digests(wanted.files),
        "state": RUNNING,
    }


def to_props(configuration: GatewayConfiguration) -> dict[str, Any]:
    """The JSON values that `from_props` reads; what nobody wants to read in a plan is under `rendered`."""
    rendered = {
        "files": dict(configuration.files),
        "order": list(configuration.files),  # the engine sorts keys
        "check": configuration.check,
        "command": list(configuration.command),
        "bootstrap": configuration.bootstrap,
        "bootstrap_digest": configuration.bootstrap_digest,
        "smoke": [{**asdict(test), "headers": dict(test.headers)} for test in configuration.smoke],
    }
    return {
        "folder": configuration.folder,
        "policy": dict(configuration.policy),
        "tokens": list(configuration.tokens),
        "certificate": configuration.certificate,
        "rendered": rendered,
    }


def from_props(props: Mapping[str, Any]) -> GatewayConfiguration:
    """Read `to_props`'s values, numbers as Pulumi returns them (floats) included."""
    rendered = props["rendered"]
    return GatewayConfiguration(
        folder=props["folder"],
        files={name: rendered["files"][name] for name in rendered["order"]},
        check=rendered["check"],
        command=tuple(rendered["command"]),
        bootstrap=rendered["bootstrap"],
        bootstrap_digest=rendered["bootstrap_digest"],
        smoke=tuple(
            SmokeTest(test["url"], tuple(int(status) for status in test["statuses"]), dict(test["headers"]), test["ca"])
            for test in rendered["smoke"]
        ),
        policy=props["policy"],
        tokens=tuple(props["tokens"]),
        certificate=props.get("certificate", ""),
    )


class GatewayConfig(Resource, module="ragops", name="GatewayConfig"):
    """What a running gateway reads again without a restart."""

    state: pulumi.Output[str]

    def __init__(
        self, name: str, configuration: GatewayConfiguration, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        program, *arguments = configuration.command
        props = to_props(replace(configuration, command=(str(locate(program)), *arguments)))
        super().__init__(GatewayConfigProvider(), name, {**props, "state": None, "digest": None, "digests": None}, opts)
