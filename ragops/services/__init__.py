"""One folder for each service, with all that is known about it; SERVICES: in order of dependence, optional ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.api import ApiService
from ragops.services.gateway import GatewayService
from ragops.services.ollama import OllamaService
from ragops.services.qdrant import QdrantService
from ragops.services.redis import RedisService
from ragops.services.timescaledb import TimescaleService

if TYPE_CHECKING:
    from ragops.services.contract import BackupEngine, Service

SERVICES: tuple[Service, ...] = (
    TimescaleService(),
    RedisService(),
    QdrantService(),
    OllamaService(),
    ApiService(),
    GatewayService(),
)
NAMES = tuple(service.name for service in SERVICES)


def by_name(name: str) -> Service:
    """The service called `name` (KeyError where there is none)."""
    return {service.name: service for service in SERVICES}[name]


def backup_engine(name: str) -> BackupEngine:
    """Dump, verify and restore of the service called `name` (KeyError where it has no data or there is no such)."""
    engine = by_name(name).backup()
    if engine is None:
        raise KeyError(name)
    return engine
