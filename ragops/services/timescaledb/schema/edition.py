"""The edition of TimescaleDB that a server runs, or PostgreSQL without it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import psycopg

from ragops.adapters.postgres import fetch_value, translate_errors

if TYPE_CHECKING:
    from ragops.adapters.postgres import Connection

# "ragops" in ASCII: one number for all that change the schema of a database.
LOCK_KEY = int.from_bytes(b"ragops", "big")


class Edition(StrEnum):
    """What a server can do with data that grows by time."""

    COMMUNITY = "community"
    APACHE = "apache"
    POSTGRESQL = "postgresql"


def detect(connection: Connection) -> Edition:
    """Return the edition that the server supports, whether the extension is in this database yet or not.

    Raises RagopsError as `translate_errors` does.
    """
    with translate_errors():
        row = connection.execute(
            "SELECT current_setting('timescaledb.disable_load', true) IS NOT NULL,"
            " EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb'),"
            " EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')"
        ).fetchone()
        loaded, available, installed = row or (False, False, False)
        if not installed and not (loaded and available):
            return Edition.POSTGRESQL
        return _edition_of(_license(connection) or _license_by_trial(connection))


def _license_by_trial(connection: Connection) -> str:
    # The setting has no value until the extension's own library is loaded, and making the extension loads it; a session
    # of its own, because one that has loaded the library cannot make the extension any more.
    with psycopg.connect(connection.info.dsn, password=connection.info.password) as trial:
        trial.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])  # another run may be making it for good
        trial.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        found = _license(trial)
        trial.rollback()
    return found


def _license(connection: Connection) -> str:
    return fetch_value(connection, "SELECT current_setting('timescaledb.license', true)") or ""


def _edition_of(license_name: str) -> Edition:
    return Edition.COMMUNITY if license_name == "timescale" else Edition.APACHE
