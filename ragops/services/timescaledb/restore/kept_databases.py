"""Databases that restores keep, or leave when they are killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.postgres import fetch_value
from ragops.errors import UsageError
from ragops.services.kept_data import Kept, since
from ragops.services.timescaledb.restore import swap
from ragops.services.timescaledb.roles import MAINTENANCE, session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.services.contract import Endpoint

_SIZE = "SELECT pg_database_size(%s::name)"


def kept(endpoint: Endpoint) -> tuple[Kept, ...]:
    """Those that are there, oldest first."""
    database = endpoint.options["database"]
    with session(endpoint, MAINTENANCE, subject="the database") as connection:
        names = [*swap.kept_databases(connection, database), *swap.scratch_databases(connection, database)]
        sizes = {name: fetch_value(connection, _SIZE, [name]) or 0 for name in names}
    return tuple(Kept("database", name, since(name), int(size)) for name, size in sizes.items())


def drop(endpoint: Endpoint, names: Sequence[str]) -> None:
    """Drop some of them, and none that is not one of them."""
    known = {item.name for item in kept(endpoint)}
    with session(endpoint, MAINTENANCE, limit=0, subject="the database") as connection:
        for name in names:
            if name not in known:
                raise UsageError(
                    "not_kept", f"{name} is no database that a restore keeps", "see `ragops restore clean`"
                )
            swap.drop(connection, endpoint, name)
