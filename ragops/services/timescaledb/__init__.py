"""TimescaleDB: the metadata database with the `rag` schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from ragops.services.contract import BackupEngine, Endpoint, ProbeResult, VersionStep
    from ragops.services.spec import RuntimeTraits
    from ragops.services.timescaledb.settings import TimescaleSettings

# The embedded engine: PostgreSQL.
VERSION = "18.4"
ENGINE = "postgresql"

# The server as an image: PostgreSQL with TimescaleDB.
# Versions before 2.20.3 dump what they cannot restore (remarks.py).
IMAGE = "timescale/timescaledb:2.29.2-pg17"
IMAGE_ENGINE = "timescaledb"

OWNER_ROLE = "rag_owner"
OWNER_SECRET = "timescaledb_owner"  # noqa: S105  the name of the secret
APPLICATION_ROLE = "rag_app"
APPLICATION_SECRET = "timescaledb_application"  # noqa: S105  the name of the secret


class TimescaleService:
    """All that ragops knows about TimescaleDB, behind the service contract."""

    name = "timescaledb"
    titles: ClassVar[Mapping[str, str]] = {ENGINE: "PostgreSQL", IMAGE_ENGINE: "TimescaleDB"}

    def settings(self) -> type[BaseModel]:
        """Section `timescaledb:`."""
        from ragops.services.timescaledb.settings import TimescaleSettings

        return TimescaleSettings

    def secrets(self) -> tuple[str, ...]:
        """Passwords of the owner and of the application role."""
        return (OWNER_SECRET, APPLICATION_SECRET)

    def version(self, settings: TimescaleSettings, traits: RuntimeTraits) -> str:
        """The image's, by its tag, or the wheel's."""
        from ragops.services.image_references import tag

        return tag(settings.image or IMAGE).removeprefix("v") if traits.uses_images else VERSION

    def step(self, before: str, after: str) -> VersionStep:
        """Within a major version of PostgreSQL, forward only."""
        from ragops.services.timescaledb.versions import step

        return step(before, after)

    def component(self) -> Callable[..., Any]:
        """The Pulumi component."""
        from ragops.services.timescaledb.component import Timescale

        return Timescale

    def prepare(self, endpoint: Endpoint) -> None:
        """The database, the application role and TimescaleDB's extension, made where they are missing."""
        from ragops.services.timescaledb import extension, roles

        roles.prepare(endpoint)
        if endpoint.engine == IMAGE_ENGINE:
            extension.prepare(endpoint, endpoint.options["database"])

    def probe(self, endpoint: Endpoint, timeout: float) -> ProbeResult:
        """Reachable, writable, schema, connections, replication."""
        from ragops.services.timescaledb.health import probe

        return probe(endpoint, timeout)

    def backup(self) -> BackupEngine:
        """By pg_dump, restored into a fresh database that takes the old one's place."""
        from ragops.services.timescaledb.backup import TimescaleBackup

        return TimescaleBackup()

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:
        """URL and parts of the application's login."""
        user, where = endpoint.logins["application"].user, f"{endpoint.host}:{endpoint.port}"
        database = endpoint.options["database"]
        return {
            "TIMESCALEDB_HOST": endpoint.host,
            "TIMESCALEDB_PORT": str(endpoint.port),
            "TIMESCALEDB_USER": user,
            "TIMESCALEDB_PASSWORD": password,
            "TIMESCALEDB_DATABASE": database,
            "TIMESCALEDB_URL": f"postgresql://{user}:{password}@{where}/{database}",
        }
