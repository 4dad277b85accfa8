"""The adapter by which operations render, read and validate the configuration of a runtime's gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.gateway.configuration import GatewayInputs

RESOURCE = "gateway-config"


class GatewayAdapter(Protocol):
    """The gateway of one environment. `resources` are what has to follow a change of its configuration, by name."""

    resources: tuple[str, ...]

    def files(self, inputs: GatewayInputs) -> Mapping[str, str]:
        """Return what should be in force: texts by name, as a person may read them."""

    def current(self) -> Mapping[str, str]:
        """Return what was applied last, as `files`; empty before. Raises RagopsError (not_permitted, file_error)."""

    def validate(self, inputs: GatewayInputs) -> None:
        """Let the gateway's own program judge it, without applying it. Raises RagopsError (gateway_config_invalid)."""

    def needs_restart(self, inputs: GatewayInputs) -> bool:
        """Whether what runs was started with other settings, which only `up` changes."""
