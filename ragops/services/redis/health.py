"""The probe of Redis: reachable, writable, persistence, memory, replication, disk."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragops.adapters import redis_client
from ragops.errors import RagopsError
from ragops.services.contract import Check, ProbeResult, Status
from ragops.services.contract.probe import check_disk
from ragops.services.redis.scratch_client import operator_client
from ragops.services.redis.users import strangers
from ragops.units import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.services.contract import Endpoint

_LOG = "see `ragops logs redis`"
_FULL = 0.9  # share of maxmemory from which on it is reported
_KEY_SECONDS = 60


def probe(endpoint: Endpoint, timeout: float) -> ProbeResult:
    """Look at the live server for at most `timeout` seconds; never raises."""
    started = time.monotonic()
    checks: list[Check] = []
    version = ""
    try:
        state, directory, listed = _look(endpoint, timeout, checks)
        version = str(state.get("valkey_version", state.get("redis_version", "")))
        checks.append(_application(endpoint, timeout))
        checks += _users(endpoint, listed)
        checks += _persistence(state)
        checks += [_memory(state), _replication(state)]
        if endpoint.files_here and directory:
            checks += check_disk(Path(directory))
    except RagopsError as error:
        checks.append(Check("reachable", Status.DOWN, error.message, error.hint))
    except Exception as error:
        checks.append(Check("answer", Status.DOWN, f"unexpected answer: {type(error).__name__}: {error}", _LOG))
    return ProbeResult("redis", tuple(checks), time.monotonic() - started, version)


def _look(endpoint: Endpoint, timeout: float, checks: list[Check]) -> tuple[dict[str, Any], str, list[str]]:
    """Everything in one round trip: INFO, the data folder, the users, and a key written and read back."""
    started = time.monotonic()
    key, value = f"ragops:probe:{secrets.token_hex(8)}", secrets.token_hex(8)
    with operator_client(endpoint, timeout) as client:
        batch = client.pipeline(transaction=False)
        batch.info()
        batch.config_get("dir")
        batch.acl_list()
        batch.set(key, value, ex=_KEY_SECONDS)
        batch.get(key)
        batch.delete(key)
        state, directory, listed, *written = batch.execute(raise_on_error=False)
        if isinstance(state, Exception):
            raise state
    milliseconds = (time.monotonic() - started) * 1000
    checks.append(Check("reachable", Status.OK, f"answers in {milliseconds:.0f} ms"))
    checks.append(_write(written, value))
    folder = directory.get("dir", "") if isinstance(directory, dict) else ""
    return state, folder, listed if isinstance(listed, list) else []


def _write(answers: list[Any], value: str) -> Check:
    failed = next((answer for answer in answers if isinstance(answer, Exception)), None)
    if failed is not None:
        import redis

        if not isinstance(failed, redis.RedisError):
            raise failed
        error = redis_client.translate(failed)
        return Check("write", Status.DOWN, error.message, error.hint)
    if answers[1] != value:
        return Check(
            "write",
            Status.DOWN,
            "a key that was written could not be read back",
            "memory is full: raise `redis.maxmemory`",
        )
    return Check("write", Status.OK, "a key was written and read back")


def _application(endpoint: Endpoint, timeout: float) -> Check:
    """Whether the RAG services can log in."""
    login = endpoint.logins["application"]
    try:
        with (
            redis_client.translate_errors("redis"),
            redis_client.connect(endpoint.host, endpoint.port, login.user, login.password, timeout=timeout) as client,
        ):
            client.ping()
    except RagopsError as error:
        return Check("application login", Status.DOWN, error.message, error.hint)
    return Check("application login", Status.OK, f"{login.user} can log in")


def _users(endpoint: Endpoint, listed: list[str]) -> Iterator[Check]:
    """Users that the next start does not bring back, and whether the others are those of the file."""
    known, wanted = endpoint.options.get("users", ""), endpoint.options.get("users_file", "")
    if not known:
        return  # provisioned by a ragops that did not record it
    if wanted and not any(line.split()[1] == wanted for line in listed):
        what = "it runs with other users than ragops.yaml has"
        yield Check("users", Status.DEGRADED, what, "take them over: `ragops up`")
    for name, yaml in strangers(listed, known.split(",")).items():
        what = f"the user {name} is not in ragops.yaml: it is gone at the next start, and in no recovery point"
        hint = f"add `{yaml}` to ragops.yaml, then `ragops up` (with a generated password: `ragops outputs`)"
        yield Check("users", Status.DEGRADED, what, f"{hint}; or remove it: ACL DELUSER {name}")


def _persistence(state: dict[str, Any]) -> Iterator[Check]:
    if state["loading"]:
        yield Check("persistence", Status.DEGRADED, "it is reading its data", "wait until it is done")
    elif not state["aof_enabled"]:
        hint = "a restore or a change by hand left it off: CONFIG SET appendonly yes, or `ragops down && ragops up`"
        yield Check("persistence", Status.DEGRADED, "no append-only file is written", hint)
    elif state["aof_last_write_status"] != "ok":
        yield Check("persistence", Status.DOWN, "it cannot write its append-only file", f"free disk space; {_LOG}")
    else:
        yield Check("persistence", Status.OK, "append-only file and snapshots are written")
    for name, field in (("snapshot", "rdb_last_bgsave_status"), ("rewrite", "aof_last_bgrewrite_status")):
        if state.get(field, "ok") != "ok":
            yield Check(name, Status.DEGRADED, f"the last {name} failed", f"free disk space and memory; {_LOG}")


def _memory(state: dict[str, Any]) -> Check:
    used, limit, policy = state["used_memory"], state["maxmemory"], state["maxmemory_policy"]
    if not limit:
        hint = "set `redis: {maxmemory: …}` in ragops.yaml"
        return Check("memory", Status.DEGRADED, f"{size(used)} used, no limit", hint)
    detail = f"{size(used)} of {size(limit)} used, {policy}, {state['evicted_keys']} keys evicted"
    if policy == "noeviction" and used > _FULL * limit:
        return Check(
            "memory", Status.DEGRADED, detail, "writes will be refused: raise `redis.maxmemory`, then `ragops up`"
        )
    return Check("memory", Status.OK, detail)


def _replication(state: dict[str, Any]) -> Check:
    if state["role"] == "master":
        return Check("replication", Status.OK, f"primary with {state['connected_slaves']} replicas")
    if state.get("master_link_status") == "up":
        return Check("replication", Status.DEGRADED, "it is a replica", "point `redis:` at the primary")
    hint = "look at its primary, or make this one the primary: REPLICAOF NO ONE"
    return Check("replication", Status.DOWN, "it is a replica and has lost its primary", hint)
