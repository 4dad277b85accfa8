"""The sections of ragops.yaml: one for each of SERVICES, made when this module is imported.

For mypy, which cannot run `create_model`, the class below repeats the sections that other code reads by name. A new
service needs a line there only if code outside its folder reads its section.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, create_model

from ragops.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.api.settings import ApiSettings
    from ragops.services.contract import Service
    from ragops.services.gateway.settings import GatewaySettings
    from ragops.services.observability.settings import ObservabilitySettings
    from ragops.services.ollama.settings import OllamaSettings
    from ragops.services.qdrant.settings import QdrantSettings
    from ragops.services.redis.settings import RedisSettings
    from ragops.services.timescaledb.settings import TimescaleSettings

    class Sections(BaseModel):
        """The sections, for the type checker alone."""

        redis: RedisSettings = RedisSettings()
        timescaledb: TimescaleSettings = TimescaleSettings()
        qdrant: QdrantSettings = QdrantSettings()
        ollama: OllamaSettings | None = None
        api: ApiSettings = ApiSettings()
        gateway: GatewaySettings = GatewaySettings()
        observability: ObservabilitySettings | None = None

else:

    def _field(service: Service) -> Any:
        """Return the type of the service's section, and what it is without one in ragops.yaml."""
        model = service.settings
        return (model | None, None) if service.is_optional else (model, model())

    Sections = create_model("Sections", **{service.name: _field(service) for service in SERVICES})


def with_switches(values: Mapping[str, Any], *, uses_images: bool) -> dict[str, Any]:
    """Return the values of a ragops.yaml with the sections of optional services as they are meant.

    `on` instead of a section is its defaults, `off` is no such service; a service that is there by default with images
    has its section.
    """
    found = dict(values)
    for service in SERVICES:
        if not service.is_optional:
            continue
        if service.is_default_with_images and uses_images:
            found.setdefault(service.name, True)
        if isinstance(switch := found.get(service.name), bool):
            found[service.name] = {} if switch else None
    return found


def ports(sections: Sections, *, uses_images: bool) -> dict[tuple[str, str], int]:
    """Return every port of this machine that services listen on, by its key in ragops.yaml: service, then key."""
    return {
        (service.name, key): port
        for service in SERVICES
        if (section := getattr(sections, service.name)) is not None
        for key, port in service.ports(section, uses_images=uses_images).items()
    }


def exposable() -> dict[str, str]:
    """Return the services whose ports may be published on another address, the outermost first, each described."""
    return {service.name: service.exposable for service in reversed(SERVICES) if service.exposable}


def image_keys() -> tuple[str, ...]:
    """Return the keys, dotted, that only runtimes with images read."""
    return tuple(f"{service.name}.{key}" for service in SERVICES for key in service.image_keys)
