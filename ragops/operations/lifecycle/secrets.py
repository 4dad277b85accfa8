"""secrets list and rotate: values that are generated, and how new ones take their place.

A rotation has three steps, each of them a change of the file of secrets and then `up`:

1. `NAME.next` is there: servers take both values, if they can; consumers send the old one, and have the next.
2. `NAME` is the new value, `NAME.previous` the old one: consumers send the new one, servers take both.
3. `NAME.previous` is gone: the old value is refused.

So the file is its own journal: what it holds states which step was begun, and the next run continues there.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import SecretStr

from ragops.adapters import cancellation
from ragops.adapters.postgres import is_password_refused
from ragops.config import secrets
from ragops.errors import RagopsError, UsageError
from ragops.operations.lifecycle.provision import provision
from ragops.operations.session import secret_names
from ragops.resources import page_url
from ragops.services.api import INGEST_SECRET, OPERATOR_SECRET
from ragops.services.monitoring import DATABASE_SECRET, MONITOR, QDRANT_SECRET, REDIS_SECRET
from ragops.services.observability import GRAFANA_SECRET
from ragops.services.qdrant.names import API_KEY_SECRET
from ragops.services.redis import APPLICATION_SECRET as REDIS_APPLICATION
from ragops.services.redis import OPERATOR_SECRET as REDIS_OPERATOR
from ragops.services.redis import user_secret
from ragops.services.secret_names import NEXT, PREVIOUS, UNTIL, base
from ragops.services.timescaledb import APPLICATION_SECRET as DATABASE_APPLICATION
from ragops.services.timescaledb import OWNER_SECRET as DATABASE_OWNER
from ragops.services.timescaledb.roles import MAINTENANCE, change_password, log_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ragops.adapters.pulumi.events import OnStep
    from ragops.config.load import Project
    from ragops.operations.session import Session

_SEEN_SECONDS = 3.0  # the API looks at its files once a second

_USES = {
    DATABASE_OWNER: "ragops itself: migrations, backups, ingest",
    DATABASE_APPLICATION: "the API, applications (TIMESCALEDB_PASSWORD)",
    REDIS_OPERATOR: "ragops itself: health, backups",
    REDIS_APPLICATION: "the API, applications (REDIS_PASSWORD)",
    API_KEY_SECRET: "the API, ingest, backups, applications (QDRANT_API_KEY)",
    DATABASE_SECRET: "postgres_exporter",
    REDIS_SECRET: "redis_exporter",
    QDRANT_SECRET: "Prometheus, to read the metrics of Qdrant",
    GRAFANA_SECRET: "people, at Grafana (GRAFANA_PASSWORD)",
    OPERATOR_SECRET: "ragops itself, to the API",
    INGEST_SECRET: "ingest, services of your own (INTER_SERVICE_SECRET)",
}


@dataclass(frozen=True)
class SecretInfo:
    """A generated secret, without its value: who uses it, when it was made (`at_least`: it may be older), how it goes.

    `rotation` states what changes it; `state` is empty, or states that an old value is taken as well.
    """

    name: str
    service: str
    uses: str
    created: datetime | None
    at_least: bool
    rotation: str
    state: str = ""


@dataclass(frozen=True)
class RotationPlan:
    """What a rotation would do: names, those among them that were begun before, and a text on what it disturbs."""

    names: tuple[str, ...]
    begun: tuple[str, ...]
    disturbs: tuple[str, ...]


@dataclass(frozen=True)
class RotationResult:
    """The secrets that have new values; `until` is when the old ones end, None if they have ended."""

    names: tuple[str, ...]
    until: datetime | None = None


def list_secrets(project: Project) -> tuple[SecretInfo, ...]:
    """Every generated secret of the environment; of those that are no password with what changes them."""
    paths = project.paths
    known, noted = secrets.load(paths.secrets), secrets.read_ages(paths.secrets)
    fallback = _written(paths.secrets)
    lines = []
    for name in dict.fromkeys((*secret_names(project.settings), *map(base, known))):
        created = noted.get(name, fallback) if name in known else None
        wanted = name in secret_names(project.settings)
        how = "ragops secrets rotate" if wanted else "none: nothing uses it any more"
        state = _state(known, name) if name in known else "not made yet"
        lines.append(SecretInfo(name, _service(name), _uses(name), created, name not in noted, how, state))
    return (*lines, *_others(project))


def _others(project: Project) -> list[SecretInfo]:
    """Keys in files of their own, which other commands renew."""
    paths = project.paths
    rows = (
        ("signing.pem", "recovery points", "signs them", paths.signing_key, f"hand, see {page_url('recovery.md')}"),
        (
            "passphrase",
            "Pulumi",
            "encrypts its state",
            paths.passphrase,
            "none: it opens the state",
        ),
        ("tls.key", "gateway", "its certificate", paths.gateway / "tls.key", "renewed 30 days before it ends"),
        ("tokens", "gateway", "one public key each", paths.gateway / "credentials.json", "ragops token issue, revoke"),
    )
    return [
        SecretInfo(name, service, uses, _written(path), True, how)
        for name, service, uses, path, how in rows
        if path.exists()
    ]


def _service(name: str) -> str:
    return "api" if name.startswith("api_") else name.partition("_")[0]


def _uses(name: str) -> str:
    if name.startswith(user_secret("")):
        return f"the user {name.removeprefix(user_secret(''))} of redis.users"
    return _USES.get(name, "")


def _state(known: Mapping[str, str], name: str) -> str:
    if name + NEXT in known:
        return "rotation interrupted: ragops secrets rotate --resume"
    if name + PREVIOUS not in known:
        return ""
    until = known.get(name + UNTIL, "")
    return f"old value good until {until}" if until else "rotation interrupted: ragops secrets rotate --resume"


def _written(path: Path) -> datetime | None:
    with suppress(OSError):
        return datetime.fromtimestamp(int(path.stat().st_mtime), tz=UTC)
    return None


# --- rotation --------------------------------------------------------------------------------------------------------


def plan_rotation(session: Session, names: Iterable[str], *, every: bool, resume: bool) -> RotationPlan:
    """Plan `rotate`. Raises UsageError (unknown_secret, nothing_to_rotate), MissingError (not_provisioned)."""
    wanted = tuple(dict.fromkeys(names))
    known = secrets.load(session.project.paths.secrets)
    possible = [name for name in secret_names(session.project.settings) if name in known]
    if unknown := [name for name in wanted if name not in possible]:
        hint = f"one of: {', '.join(possible)}; `ragops secrets list` shows who uses which"
        raise UsageError("unknown_secret", f"cannot rotate {unknown[0]!r}: there is no such secret", hint)
    begun = tuple(name for name in possible if name + NEXT in known or name + PREVIOUS in known)
    chosen = tuple(possible) if every else wanted
    if not chosen and not (resume and begun):
        what = "no rotation was interrupted" if resume else "no secret is named"
        raise UsageError("nothing_to_rotate", f"cannot rotate: {what}", "`ragops secrets rotate NAME`, or `--all`")
    session.endpoints()
    chosen = tuple(dict.fromkeys((*begun, *chosen)))
    return RotationPlan(chosen, begun, tuple(_disturbed(session, chosen)))


def _disturbed(session: Session, names: Iterable[str]) -> list[str]:
    found = []
    if {API_KEY_SECRET, QDRANT_SECRET} & {*names} and session.host.facts.traits.uses_images:
        nodes = len(session.endpoint("qdrant").nodes)
        how = "one node after the other" if nodes > 1 else "its only node, which is away for that time"
        found.append(f"qdrant restarts three times, {how}: it reads its keys at its start")
    if set(names) & {DATABASE_OWNER, DATABASE_APPLICATION}:
        found.append("timescaledb takes one password for a role: applications of your own need the new one at once")
    return found


def rotate(
    session: Session, plan: RotationPlan, grace: timedelta = timedelta(0), on_step: OnStep | None = None
) -> RotationResult:
    """Give the secrets of `plan` new values; ends once the old ones are refused, or at once with a `grace`.

    Killed at any step, the next run completes it. Raises what `up` raises.
    """
    path = session.project.paths.secrets
    with session.changing():
        _adopt_changed_operator(session)
        known = secrets.load(path)
        started = [name for name in plan.names if name + NEXT not in known and name + PREVIOUS not in known]
        fresh = {name + NEXT: secrets.generate() for name in started}
        secrets.save(path, {**known, **fresh})
        if any(name + NEXT in {**known, **fresh} for name in plan.names):
            provision(session, None, on_step)
            cancellation.sleep(_SEEN_SECONDS)
            _change_database_passwords(session)
            until = datetime.now(tz=UTC) + grace if grace else None
            _swap(path, until)
        provision(session, None, on_step)
        secrets.record_ages(path, plan.names)
        if grace:
            return RotationResult(plan.names, until)
        cancellation.sleep(_SEEN_SECONDS)
        _forget(path, plan.names)
        provision(session, None, on_step)
    return RotationResult(plan.names)


def _adopt_changed_operator(session: Session) -> None:
    """If a run was killed just after PostgreSQL had the operator's next password, it is the password."""
    path, name = session.project.paths.secrets, DATABASE_OWNER
    known = secrets.load(path)
    if name + NEXT not in known:
        return
    endpoint = session.endpoint("timescaledb")
    try:
        log_in(endpoint, MAINTENANCE).close()
    except RagopsError as error:
        if not is_password_refused(error):
            raise
        known[name + PREVIOUS], known[name] = known[name], known.pop(name + NEXT)
        secrets.save(path, known)


def _change_database_passwords(session: Session) -> None:
    """Roles of PostgreSQL get their next passwords."""
    known = secrets.load(session.project.paths.secrets)
    endpoint = session.endpoint("timescaledb")
    for role in (MONITOR, "application", "operator"):  # the operator's last: the others are changed with it
        if (login := endpoint.logins.get(role)) is None:
            continue
        if (value := known.get(login.secret + NEXT)) is None:
            continue
        change_password(endpoint, replace(login, password=SecretStr(value)))


def _swap(path: Path, until: datetime | None) -> None:
    """Put the new values in the place of the old ones, which stay valid."""
    known = secrets.load(path)
    for key in [key for key in known if key.endswith(NEXT)]:
        name = base(key)
        known[name + PREVIOUS], known[name] = known[name], known.pop(key)
        if until:
            known[name + UNTIL] = until.isoformat(timespec="seconds")
    secrets.save(path, known)


def _forget(path: Path, names: Iterable[str]) -> None:
    gone = {name + suffix for name in names for suffix in (PREVIOUS, UNTIL)}
    secrets.save(path, {key: value for key, value in secrets.load(path).items() if key not in gone})
