"""The platform as a Pulumi program: every service of ragops.yaml, each after those that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi

from ragops.services import SERVICES, by_name
from ragops.services.contract import Declaration

if TYPE_CHECKING:
    from ragops.operations.lifecycle.stack import PlatformInputs


def program(inputs: PlatformInputs) -> None:
    """Declare every service and export how to reach it."""
    declared: dict[str, Any] = {}  # the services' components
    for service in SERVICES:
        section = inputs.settings.section(service.name)
        if section is None:
            continue
        needed = {name: declared[name] for name in service.needs if name in declared}
        declaration = Declaration(
            settings=section,
            platform=inputs.settings.name,
            secrets=inputs.secrets,
            runtime=inputs.runtime,
            before={name: component.endpoint for name, component in needed.items()},
            own=inputs.own(service.name),
            is_mixed=service.name in inputs.mixed,
            targets={name: by_name(name).scrape_targets(component.endpoint) for name, component in needed.items()},
            is_monitored=inputs.settings.section("observability") is not None,
        )
        declared[service.name] = service.declare(declaration, pulumi.ResourceOptions(depends_on=[*needed.values()]))
    pulumi.export("endpoints", {name: component.endpoint.to_dict() for name, component in declared.items()})
