"""Dump, verify and restore of Redis: one RDB file, and append-only files made from it.

With `appendonly yes` the append-only files win at a start, and an RDB file put in their place is ignored. So a restore
lets a scratch server read the file and write fresh append-only files; both then take the place of the old data at once.
The live server serves until everything is ready, and whatever fails before that has touched nothing.
"""

from __future__ import annotations

from functools import partial
from shutil import disk_usage
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, cast

from ragops.errors import MissingError, RagopsError
from ragops.services.backup_checks import (
    check_engine,
    check_major,
    compare_counts,
    engine_of,
    need_space,
    prove_by_loading,
)
from ragops.services.contract import Capability, Part
from ragops.services.redis.modules import by_hand
from ragops.services.redis.rdb import check_command, open_rdb, read_counts
from ragops.services.redis.scratch_client import info, keys_of, operator_client
from ragops.services.redis.scratch_server import open_scratch_server, wait_for
from ragops.services.redis.users import strangers
from ragops.services.rollback import rollback
from ragops.services.stream_check import start_check

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import redis

    from ragops.services.contract import Endpoint, PartWriter, Proof
    from ragops.services.control import Control
    from ragops.services.stream_check import StreamCheck

PART = "dump.rdb"
_LOAD_LIMIT = 3600.0
_COMMAND_LIMIT = 30.0


class RedisBackup:
    """By the RDB file that the server sends to a replica.

    Counts are those of the file: `keys` of all databases, and `expires` of them with a time to live, expired or not.
    A live server's are lower as soon as keys have expired.
    """

    def dump(self, endpoint: Endpoint, control: Control, writer: PartWriter) -> None:
        """Store what the server sends while the engine's tool reads it. Raises RagopsError."""

        def dump() -> None:
            with operator_client(endpoint, _COMMAND_LIMIT) as client:
                _refuse_foreign_modules(client)
                versions = _versions(client)
                notes = _notes(client, endpoint)
                client.config_set("repl-diskless-sync-delay", 0)  # else it waits for more replicas
            with start_check(control, check_command(endpoint.engine)) as check, open_rdb(endpoint) as stream:
                writer.snapshot_fixed()  # the engine has forked
                read_back = partial(_read_back, check, stream.taken_at, versions, notes)
                writer.store(PART, stream, read_back, check.write)

        writer.run_all([dump])

    def verify(self, folder: Path, part: Part, control: Control) -> None:
        """Load the file with the engine and compare the keys of every database."""
        engine = engine_of(part)
        try:
            with open_scratch_server(control, engine, folder / part.name) as scratch:
                compare_counts(part.name, part.counts, scratch.counts())
        except MissingError as error:
            if error.code != "engine_not_installed":
                raise
            what = f"cannot read {part.name}: {engine} wrote it, which is not here, and no other engine reads it"
            raise MissingError("engine_differs", what, f"use it on a platform that runs {engine}") from error

    def prove(
        self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part], budget: float = 0.0
    ) -> Proof:
        """Have the engine load the files, as far as the budget goes. Raises as `verify` does."""
        del endpoint
        return prove_by_loading(self.verify, folder, parts, control, budget)

    def preflight(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> None:
        """Refuse another engine, an older server, a runtime that cannot restart it, too little space."""
        _need(endpoint, Capability.RESTART, "stop redis for the restore")
        _need(endpoint, Capability.READ_FILES, "replace redis' data folder")
        for part in parts:
            check_engine(endpoint, part)
            check_major(part, endpoint.engine, endpoint.version)
        size = sum((folder / part.name).stat().st_size for part in parts)
        need_space("restore redis", "next to its data", control.free_bytes(), 3 * size)
        need_space("restore redis", f"in {gettempdir()}", disk_usage(gettempdir()).free, 2 * size)

    def restore(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> tuple[str, ...]:
        """Make the new data, put them in place, start, compare; on failure the old ones serve again."""
        (part,) = parts
        return (put_in_place(endpoint, control, folder / part.name, part.counts, "before-restore"),)

    def counts(self, endpoint: Endpoint) -> Mapping[str, int]:
        """Keys as they are now, expired ones that still take memory included."""
        with operator_client(endpoint, _COMMAND_LIMIT) as client:
            return keys_of(info(client, "keyspace"))


def _read_back(check: StreamCheck, taken_at: datetime, versions: Mapping[str, str], notes: tuple[str, ...]) -> Part:
    return Part(PART, taken_at, read_counts(check), versions, notes)


def _need(endpoint: Endpoint, capability: Capability, purpose: str) -> None:
    if not endpoint.can(capability):
        what = f"cannot {purpose}: the runtime {endpoint.runtime} lacks `{capability}`"
        raise MissingError("capability_missing", what, "run ragops where the service runs")


def _notes(client: redis.Redis, endpoint: Endpoint) -> tuple[str, ...]:
    """Users that no recovery point holds, by name: those of ragops.yaml are in that."""
    if not (known := endpoint.options.get("users")):
        return ()
    found = strangers(map(str, client.acl_list()), known.split(","))
    return tuple(
        f"the user {name} of redis is not in ragops.yaml and so in no recovery point: add `{line}`"
        for name, line in found.items()
    )


def _refuse_foreign_modules(client: redis.Redis) -> None:
    """Raise RagopsError (redis_module_foreign) for data that no server which restores them could read."""
    if found := by_hand(cast("Any", client).execute_command("MODULE", "LIST")):
        what = f"cannot back up redis: its module {found[0]} is not of its image, and nothing else reads its data"
        raise RagopsError("redis_module_foreign", what, "put it into an image of your own: `redis: {image: …}`")


def _versions(client: redis.Redis) -> dict[str, str]:
    """Return the engine's own name and version; Valkey also reports the version of Redis that it is compatible with."""
    server = info(client, "server")
    name = str(server.get("server_name", "redis"))
    return {name: str(server.get(f"{name}_version", server["redis_version"]))}


def put_in_place(endpoint: Endpoint, control: Control, rdb: Path, counts: Mapping[str, int], label: str) -> str:
    """Let what the RDB file holds (`counts`) take the place of the data; returns a note on where those are kept.

    On failure the old ones are in place, and serve again if they did before. Raises IntegrityError on other counts.
    """
    with open_scratch_server(control, endpoint.engine, rdb) as scratch:
        compare_counts("the RDB file", counts, scratch.counts())
        files = {PART: rdb, **scratch.write_aof()}
        return _swap(endpoint, control, files, counts, label)


def _swap(
    endpoint: Endpoint, control: Control, files: Mapping[str, Path], counts: Mapping[str, int], label: str
) -> str:
    """Let `files` take the place of the data; whatever goes wrong, the old ones serve again if they did before."""
    with rollback() as undo:
        if control.is_running():
            undo.add("start redis on its old data", control.start)
        control.stop()
        aside = control.swap_data(files, label)
        undo.add(f"put the old data back from {aside}", lambda: control.rollback_data(aside))
        undo.add("stop redis", control.stop)
        control.start()
        _check_loaded(endpoint, counts)
    return f"the data from before are kept in {aside}: remove that folder when you do not need them any more"


def wait_loaded(endpoint: Endpoint) -> None:
    """Wait until the server has read its data. Raises RagopsError (redis_timeout)."""
    with operator_client(endpoint, _COMMAND_LIMIT) as client:
        _wait_loaded(client)


def _wait_loaded(client: redis.Redis) -> None:
    """Its health check is content with any answer, and it answers while it still reads."""
    wait_for(
        lambda: not info(client, "persistence")["loading"], _LOAD_LIMIT, "cannot use redis: it did not read its data"
    )


def _check_loaded(endpoint: Endpoint, counts: Mapping[str, int]) -> None:
    """Check that the live server read every key of the file, and writes its append-only file again."""
    with operator_client(endpoint, _COMMAND_LIMIT) as client:
        _wait_loaded(client)
        state = info(client, "persistence")
    # What it loaded, not what it holds now: clients may write, keys may expire from the first instant on.
    loaded = state["rdb_last_load_keys_loaded"] + state["rdb_last_load_keys_expired"]
    compare_counts("the server", {"keys": counts["keys"]}, {"keys": loaded})
    if not state["aof_enabled"] or state["aof_last_write_status"] != "ok":
        raise RagopsError(
            "aof_not_written", "cannot finish: redis does not write its append-only file", "see `ragops logs redis`"
        )
