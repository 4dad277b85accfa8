"""The Pulumi dynamic provider that keeps Envoy's hot configuration applied.

Applying is: let the gateway's own program check the text, move the files into place, ask the running gateway whether it
works by them, and put the last good files back if it does not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulumi.dynamic import Resource
from pydantic import TypeAdapter

from ragops.adapters.pulumi.provider import DigestProvider
from ragops.runtimes.embedded.envoy import apply
from ragops.runtimes.embedded.programs import locate
from ragops.services.gateway.configuration import GatewayConfiguration, SmokeTest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi


@dataclass(frozen=True)
class _Rendered:
    files: dict[str, str]
    order: tuple[str, ...]
    check: str
    command: tuple[str, ...]
    bootstrap: str
    bootstrap_digest: str
    smoke: tuple[SmokeTest, ...]


@dataclass(frozen=True)
class _Props:
    folder: str
    rendered: _Rendered
    policy: dict[str, Any] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()
    certificate: str = ""


class GatewayConfigProvider(DigestProvider[GatewayConfiguration]):
    """The hot configuration of one Envoy; forgotten at the end, because the files stay for the process."""

    def parse(self, props: Mapping[str, Any]) -> GatewayConfiguration:
        """Return the configuration of these properties."""
        return from_props(props)

    def identify(self, wanted: GatewayConfiguration) -> str:
        """Return the folder."""
        return f"gateway-config@{wanted.folder}"

    def expected(self, wanted: GatewayConfiguration) -> Mapping[str, Any]:
        """Return the digest of the whole configuration."""
        return {"digest": wanted.digest()}

    def apply(self, wanted: GatewayConfiguration) -> Mapping[str, Any]:
        """Apply it hot, or leave everything as it was; smoke-tested if a gateway runs."""
        apply.apply(wanted)
        return {"folder": wanted.folder, "digests": apply.digests(wanted.files)}

    def observe(self, outputs: Mapping[str, Any]) -> str:
        """Return whether the files are those that were applied."""
        changed = apply.changed_files(Path(outputs["folder"]), outputs["digests"])
        return f"running with {', '.join(changed)} changed by hand" if changed else self.fine


def to_props(configuration: GatewayConfiguration) -> dict[str, Any]:
    """Return the JSON values that `from_props` reads; what a plan need not show is under `rendered`."""
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
    """Return the configuration of `to_props`'s values, numbers as Pulumi returns them (floats) included."""
    found = TypeAdapter(_Props).validate_python(dict(props))
    rendered = found.rendered
    return GatewayConfiguration(
        folder=found.folder,
        files={name: rendered.files[name] for name in rendered.order},
        check=rendered.check,
        command=rendered.command,
        bootstrap=rendered.bootstrap,
        bootstrap_digest=rendered.bootstrap_digest,
        smoke=rendered.smoke,
        policy=found.policy,
        tokens=found.tokens,
        certificate=found.certificate,
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
