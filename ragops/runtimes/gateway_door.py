"""How a gateway's hot configuration is rendered, looked at and judged, whichever program is the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.gateway.configuration import GatewayInputs


class Wanted(Protocol):
    """A rendered configuration: texts by name, as a person may read them."""

    @property
    def files(self) -> Mapping[str, str]:
        """The texts that are applied, by name."""


class Door(Protocol):
    """The gateway of one environment."""

    def wanted(self, inputs: GatewayInputs) -> Wanted:
        """What should be in force."""

    def current(self) -> Mapping[str, str]:
        """What was applied last, by name. Raises RagopsError (not_permitted, file_error)."""

    def validate(self, wanted: Wanted) -> None:
        """Let the gateway's own program judge it. Raises RagopsError (gateway_config_invalid)."""

    def needs_restart(self, wanted: Wanted) -> bool:
        """Whether applying it starts the gateway anew."""
