"""ragops's own figures: one file for node_exporter's textfile collector, written by what changes one of them."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops import __version__
from ragops.adapters.files import PUBLIC_MODE, make_dir, write_atomic
from ragops.adapters.prometheus import gauge, render
from ragops.errors import RagopsError
from ragops.operations.records import drill_log, last_backup, observations, outcomes
from ragops.operations.schedule.last_run import last_run
from ragops.operations.schedule.step_runner import files_of
from ragops.services.gateway import certificate, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.operations.observe.health import Health
    from ragops.operations.session import Session

    # Name, description, further labels and value; one that is not known is left out.
    Figure = tuple[str, str, Mapping[str, str], float | None]

FILE = "ragops.prom"
_FOLDER_MODE = 0o755  # the exporter's user only has to read
_BACKUP = "backup"
_STATUSES = {"ok": 0.0, "degraded": 1.0, "down": 2.0}
_OWN_TOKENS = "ragops-"
_DAY, _HOUR = 86_400.0, 3600.0
_FEWEST_COPIES = 2  # of a cluster whose collections have layouts of their own
_KINDS = {"nightly": "", "ingest": "ingest"}


def write(session: Session) -> None:
    """Write the file, if the platform is watched. A failure is only a notice: what was done is no worse for it."""
    if not is_watched(session):
        return
    folder = session.project.paths.metrics
    try:
        make_dir(folder, _FOLDER_MODE)
        write_atomic(folder / FILE, text(session), PUBLIC_MODE)
    except Exception as error:  # a damaged record must not make the change fail that it is of
        why = error.message if isinstance(error, RagopsError) else f"{type(error).__name__}: {error}"
        session.notice(f"cannot write the metrics: {why}")


def is_watched(session: Session) -> bool:
    """Return whether the platform has observability."""
    return getattr(session.project.settings, "observability", None) is not None


def note_health(session: Session, health: Health) -> None:
    """Keep what a look at all services found, and write the file."""
    seen = {probe.service: probe.status.value for probe in health.probes}
    points = next((probe.counted for probe in health.probes if probe.service == _BACKUP), {})
    _note(session, health_time=round(time.time(), 3), health=seen, **({"points": points} if points else {}))


def note_points(session: Session) -> None:
    """Keep what the first repository holds, and write the file; of one that cannot be read the last look stays."""
    if is_watched(session):
        with contextlib.suppress(RagopsError):
            _note(session, points=session.repositories().primary.list_cached().count())


def note_drift(session: Session, resources: int) -> None:
    """Keep how many resources were not as provisioned, and write the file."""
    _note(session, drift_time=round(time.time(), 3), drift=resources)


def note_schedule(session: Session, kinds: Mapping[str, bool]) -> None:
    """Keep which runs by the clock are installed, and write the file."""
    before = observations.read(session.project.paths.observations).scheduled
    _note(session, scheduled={**before, **kinds})


def _note(session: Session, **seen: object) -> None:
    """Keep it if the platform is watched; who may only look at the project keeps nothing."""
    paths = session.project.paths
    if not is_watched(session) or not paths.endpoints.parent.is_dir():
        return
    with contextlib.suppress(RagopsError):
        observations.note(paths.observations, **seen)
        write(session)


def text(session: Session) -> str:
    """Return all figures that are known, as Prometheus reads them, each with platform and environment."""
    settings, paths = session.project.settings, session.project.paths
    own = {"platform": settings.name, "environment": paths.environment}
    families: dict[str, tuple[str, list[tuple[Mapping[str, str], float]]]] = {}
    for name, what, labels, value in figures(session):
        if value is not None:
            families.setdefault(name, (what, []))[1].append(({**own, **labels}, float(value)))
    return render(gauge(f"ragops_{name}", what, samples) for name, (what, samples) in families.items())


def figures(session: Session) -> Iterator[Figure]:
    """Yield every figure, from this machine's own records."""
    labels = {"version": __version__, "runtime": session.project.settings.runtime}
    yield "info", "1, with the version of ragops and the runtime.", labels, 1.0
    if session.host.facts.traits.uses_images:
        qdrant = session.project.settings.qdrant
        wanted = qdrant.replication_factor or min(_FEWEST_COPIES, qdrant.nodes)
        yield "qdrant_replication_factor", "Copies that every shard has at least.", {}, wanted
    seen = observations.read(session.project.paths.observations)
    yield from _recovery(session, seen.points)
    yield from _schedule(session, seen.scheduled)
    yield from _seen(seen)
    yield from _credentials(session)
    yield from _unfinished(session)
    for container in session.host.containers():
        named = {"container_id": container.ident, "service": container.service, "container": container.name}
        yield "container_info", "1; names the container of cAdvisor's series.", named, 1.0


def _recovery(session: Session, held: Mapping[str, float]) -> Iterator[Figure]:
    paths, backup = session.project.paths, session.project.settings.backup
    record, proofs = last_backup.read(paths.backup_record), drill_log.read(paths.drills)
    drills = [proof for proof in proofs if proof.how == drill_log.DRILL]
    for name, what, value in outcomes.rows(session, record, drills):
        yield name, what, {}, value
    if record:
        ended = datetime.fromisoformat(record.time).timestamp()
        yield "backup_last_run_timestamp_seconds", "When the last run ended.", {}, ended
    yield "backup_points", "Good recovery points in the first repository.", {}, held.get("points")
    yield "backup_newest_timestamp_seconds", "When the newest of them was taken.", {}, held.get("newest")
    yield "backup_newest_faults", "Files that the newest lacks, newer ones that are damaged.", {}, held.get("faults")
    yield "backup_max_age_seconds", "backup.max_age_hours of ragops.yaml.", {}, backup.max_age_hours * _HOUR
    if drills:
        restore = drills[-1].restore_seconds or None
        yield "drill_restore_duration_seconds", "Duration of the restore in the last drill.", {}, restore
    longest = backup.drill_max_age_days
    yield "drill_max_age_seconds", "backup.drill_max_age_days of ragops.yaml.", {}, longest * _DAY if longest else None
    good = [proof.time.timestamp() for proof in proofs if proof.ok and proof.time]
    yield "proof_last_success_timestamp_seconds", "When a restore was last proven.", {}, max(good, default=None)


def _schedule(session: Session, scheduled: Mapping[str, bool]) -> Iterator[Figure]:
    paths = session.project.paths
    for kind, folder in _KINDS.items():
        labels = {"kind": kind}
        yield "schedule_installed", "Whether the run is installed.", labels, scheduled.get(kind, False)
        run = last_run(files_of(paths, folder).record)
        if run and run.end:
            ended = datetime.fromisoformat(run.end).timestamp()
            yield "schedule_last_run_timestamp_seconds", "When the last run ended.", labels, ended
            yield "schedule_last_run_success", "Whether it went well.", labels, run.exit_code == 0


def _seen(seen: observations.Observations) -> Iterator[Figure]:
    if seen.drift_time:
        yield "drift_last_check_timestamp_seconds", "When drift was last looked for.", {}, seen.drift_time
        yield "drift_resources", "Resources that were not as provisioned.", {}, seen.drift
    if seen.health_time:
        yield "health_last_check_timestamp_seconds", "When all services were last probed.", {}, seen.health_time
    for service, status in seen.health.items():
        yield "health_status", "0 ok, 1 degraded, 2 down.", {"service": service}, _STATUSES.get(status)


def _credentials(session: Session) -> Iterator[Figure]:
    folder = session.project.paths.gateway
    if session.project.settings.gateway.tls and (ends := certificate.find_end(folder)):
        name = "certificate_not_after_timestamp_seconds"
        yield name, "When the gateway's certificate ends.", {}, ends.timestamp()
    for token in _tokens(session):
        labels = {"consumer": token.name, "kid": token.kid}
        yield "token_created_timestamp_seconds", "When a token was issued.", labels, token.created.timestamp()
        yield "token_expires_timestamp_seconds", "When it ends.", labels, token.expires.timestamp()


def _tokens(session: Session) -> list[tokens.Credential]:
    """Return the tokens of consumers; those that ragops makes for itself are renewed by themselves."""
    try:
        found = tokens.load(session.project.paths.gateway)
    except RagopsError:
        return []
    return [token for token in found if not token.name.startswith(_OWN_TOKENS)]


def _unfinished(session: Session) -> Iterator[Figure]:
    """Yield when the changes began that did not come to their end."""
    begun = {
        "cluster": session.cluster_journal().read(),
        "upgrade": session.upgrade_journal().read(),
        "restore": session.restore_journal().read(),
    }
    times = {name: _instant(state.started) for name, state in begun.items() if state}
    with contextlib.suppress(OSError):
        times["recover"] = session.project.paths.recover_journal.stat().st_mtime
    for operation, started in times.items():
        name = "operation_started_timestamp_seconds"
        yield name, "When a change began that did not come to its end.", {"operation": operation}, started


def _instant(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
