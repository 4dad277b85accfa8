"""The Pulumi dynamic provider that keeps Envoy's hot configuration applied.

Applying is: let the gateway's own program check the text, move the files into place, ask the running gateway whether it
works by them, and put the last good files back if it does not.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulumi.dynamic import Resource
from pydantic import TypeAdapter

from ragops.adapters.pulumi.provider import DigestProvider
from ragops.runtimes.embedded.envoy import apply
from ragops.runtimes.embedded.programs import locate
from ragops.services.gateway.configuration import GatewayConfiguration

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi


# What a plan need not show.
_RENDERED = ("files", "check", "command", "bootstrap", "bootstrap_digest", "smoke")
_CONFIGURATION = TypeAdapter(GatewayConfiguration)


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
    values = _CONFIGURATION.dump_python(configuration, mode="json")
    rendered = {name: values.pop(name) for name in _RENDERED}
    return {**values, "rendered": {**rendered, "order": list(configuration.files)}}  # the engine sorts keys


def from_props(props: Mapping[str, Any]) -> GatewayConfiguration:
    """Return the configuration of `to_props`'s values, numbers as Pulumi returns them (floats) included."""
    rendered = props["rendered"]
    files = {name: rendered["files"][name] for name in rendered["order"]}
    return _CONFIGURATION.validate_python({**props, **rendered, "files": files})


class GatewayConfig(Resource, module="ragops", name="GatewayConfig"):
    """What a running gateway reads again without a restart."""

    state: pulumi.Output[str]

    def __init__(
        self, name: str, configuration: GatewayConfiguration, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        program, *arguments = configuration.command
        props = to_props(replace(configuration, command=(str(locate(program)), *arguments)))
        super().__init__(GatewayConfigProvider(), name, {**props, "state": None, "digest": None, "digests": None}, opts)
