"""The gateway of the embedded runtime: Envoy, and the files that it watches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.runtimes.contract import RESOURCE
from ragops.runtimes.embedded.envoy import apply
from ragops.runtimes.embedded.programs import locate
from ragops.services.gateway.configuration import configuration, hot_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.gateway.configuration import GatewayConfiguration, GatewayInputs
    from ragops.services.spec import Layout


class EnvoyAdapter:
    """`GatewayAdapter` of an Envoy with the folders of `layout`; it shares its keys with the API."""

    resources: tuple[str, ...] = (RESOURCE,)

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def files(self, inputs: GatewayInputs) -> Mapping[str, str]:
        """Return the hot files."""
        return self._wanted(inputs).files

    def current(self) -> Mapping[str, str]:
        """Return the files that Envoy watches."""
        return apply.current(Path(hot_folder(self._layout)))

    def validate(self, inputs: GatewayInputs) -> None:
        """Validate it by `envoy --mode validate`. Raises MissingError (engine_not_installed) too."""
        wanted = self._wanted(inputs)
        program, *arguments = wanted.command
        apply.validate(replace(wanted, command=(str(locate(program)), *arguments)))

    def needs_restart(self, inputs: GatewayInputs) -> bool:
        """Whether the bootstrap is another one."""
        return not apply.same_bootstrap(self._wanted(inputs))

    def _wanted(self, inputs: GatewayInputs) -> GatewayConfiguration:
        return configuration(inputs, self._layout)
