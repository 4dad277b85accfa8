"""up, plan, drift and down: from settings to running services and back."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.adapters.postgres import is_password_refused
from ragops.adapters.progress import Progress, ignore_progress
from ragops.adapters.pulumi.engine import NO_STACK
from ragops.adapters.pulumi.events import Action
from ragops.config.secrets import load as load_secrets
from ragops.errors import InterruptedRunError, MissingError, RagopsError
from ragops.operations.cluster.layout_notes import describe_layouts
from ragops.operations.cluster.rolling_update import roll_cluster
from ragops.operations.data.model_changes import describe_changes
from ragops.operations.lifecycle import data_guard, watch_check
from ragops.operations.lifecycle.data_guard import Empty
from ragops.operations.lifecycle.plan_diff import Change, DriftItem, changes, drifted, merged
from ragops.operations.lifecycle.pulumi_state import repair_state
from ragops.operations.lifecycle.stack import fingerprint, open_existing, open_for_preview, open_stack
from ragops.operations.lifecycle.version_changes import planned, refuse, save_before
from ragops.operations.observe.wait_healthy import require_healthy
from ragops.operations.records import figures
from ragops.operations.restore.repair import explaining
from ragops.recovery.local_history import History
from ragops.services import by_name
from ragops.services.secret_names import NEXT
from ragops.services.timescaledb.roles import MAINTENANCE, log_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ragops.adapters.progress import OnProgress
    from ragops.adapters.pulumi.engine import PulumiStack
    from ragops.adapters.pulumi.events import OnStep, Step
    from ragops.adapters.pulumi.state import StateFault
    from ragops.operations.lifecycle.version_changes import VersionChange
    from ragops.operations.observe.health import Health
    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint

_LOGIN_SECONDS = 5.0

_DISTURBING = (Action.REPLACE, Action.DELETE)


@dataclass(frozen=True)
class Plan:
    """What `up` would change; `versions` are the engines that would run another version."""

    changes: tuple[Change, ...]
    versions: tuple[VersionChange, ...] = ()

    @property
    def disturbing(self) -> tuple[Change, ...]:
        """The changes that replace or remove something."""
        return tuple(change for change in self.changes if change.action in _DISTURBING)


@dataclass(frozen=True)
class Drift:
    """Resources that are not as they were provisioned."""

    resources: tuple[DriftItem, ...]


@dataclass(frozen=True)
class UpResult:
    """What `up` changed, how long it took in seconds, and how healthy the platform is after it."""

    changes: tuple[Change, ...]
    endpoints: Mapping[str, Endpoint]
    health: Health
    seconds: float


@dataclass(frozen=True)
class DownResult:
    """What was stopped; `purged` are the folders that were removed, `kept` those that stay."""

    stopped: tuple[str, ...]
    kept: tuple[str, ...]
    purged: tuple[str, ...]


def plan(session: Session) -> Plan:
    """Return what `up` would change, compared with what is there. Raises MissingError (secret_missing), as `up`."""
    session.refuse_lost_secrets()
    for changed in (*describe_changes(session), *describe_layouts(session)):
        session.notice(changed)
    with open_for_preview(session.project, session.secrets()) as stack:
        steps = stack.preview()
    return Plan(changes(steps, session.host.will_restart(), session.host.describe_resource), planned(session))


def drift(session: Session) -> Drift:
    """Return the differences between what runs and what was provisioned. Raises MissingError (not_provisioned)."""
    with open_for_preview(session.project, session.secrets()) as stack:
        resources = drifted(stack.drift())
    seen = [(item.resource, item.now) for item in session.host.drift()]
    found = Drift(merged(resources, seen, session.host.describe_resource))
    figures.note_drift(session, len(found.resources))
    if not found.resources and not session.project.paths.endpoints.exists():
        raise session.not_provisioned()  # what was never provisioned whole cannot be as it was provisioned
    return found


def up(
    session: Session,
    confirm: Callable[[Plan], bool] | None,
    on_step: OnStep | None = None,
    repair: Callable[[StateFault], None] | None = None,
    *,
    empty: Empty = Empty.REFUSE,
) -> UpResult:
    """Make the platform of ragops.yaml and wait until it is healthy.

    `confirm` is asked before anything is replaced or removed; None means yes. `repair` has a Pulumi state that cannot
    be used kept aside, after it was asked. `empty` is what becomes of services whose data are gone. Raises UsageError
    (version_refused) and MissingError (data_gone) before anything starts if it cannot, UnhealthyError if a
    service does not become healthy.
    """
    with session.changing():
        data_guard.guard(session, empty)
        return provision(session, confirm, on_step, repair)


def provision(
    session: Session,
    confirm: Callable[[Plan], bool] | None,
    on_step: OnStep | None = None,
    repair: Callable[[StateFault], None] | None = None,
) -> UpResult:
    """As `up`, inside a command that holds the locks already."""
    started = time.monotonic()
    project = session.project
    with explaining(session):
        refuse(versions := planned(session))
        _check_updates(session)
        session.host.refuse_what_cannot_start()
        secrets = session.make_secrets()
        _refuse_changed_password(session)
        for changed in describe_changes(session):
            session.notice(changed)
        if repair:
            repair_state(session, repair)
        figures.write(session)  # its folder has to be there before a container reads it
        stack = open_stack(project, secrets)
        restarted = session.host.will_restart()
        session.host.prepare_up(on_step or ignore_progress, lambda: {item.id for item in stack.resources()})
        mark = fingerprint(project, secrets)
        is_new = not _already_applied(session, mark)
        if is_new:
            watch_check.refuse_unreadable(project)
        _prepare_updates(session, on_step or ignore_progress)
        rolled: tuple[Step, ...] = ()
        if is_new:
            rolled = _preview_and_confirm(session, stack, versions, confirm, on_step or ignore_progress)
        report = stack.up(on_step)
        made = changes((*rolled, *report.steps), describe=session.host.describe_resource)
        session.host.record_provisioned()
        write_atomic(project.paths.endpoints, json.dumps(report.outputs["endpoints"], indent=2), SECRET_MODE)
        endpoints = session.endpoints()
        for name, endpoint in endpoints.items():
            by_name(name).prepare(endpoint)
        data_guard.note_data(session)
        health = require_healthy(session, changed=bool(restarted or made))
        figures.note_health(session, health)
        write_atomic(project.paths.fingerprint, mark)
        session.upgrade_journal().end()
    return UpResult(made, endpoints, health, time.monotonic() - started)


def _refuse_changed_password(session: Session) -> None:
    """Raise RagopsError (database_login_refused) if PostgreSQL runs and the operator's password is another one.

    The database keeps its passwords itself: a restart with another secrets file would not change them.
    """
    paths = session.project.paths
    if not session.host.is_running("timescaledb") or not paths.endpoints.exists():
        return
    endpoint = session.endpoint("timescaledb")
    try:
        log_in(endpoint, MAINTENANCE, timeout=_LOGIN_SECONDS).close()
    except RagopsError as error:
        if is_password_refused(error):
            login = endpoint.logins["operator"]
            hint = f"put the old value of {login.secret} back into {paths.secrets}: the database keeps its own"
            if login.secret + NEXT in load_secrets(paths.secrets):
                hint = "a rotation was interrupted: `ragops secrets rotate --resume` completes it"
            raise RagopsError(error.code, error.message, hint) from error


def _already_applied(session: Session, mark: str) -> bool:
    """Return whether nothing can be replaced or removed: the sources of the mark are unchanged."""
    path = session.project.paths.fingerprint
    return path.exists() and path.read_text() == mark


def _preview_and_confirm(
    session: Session,
    stack: PulumiStack,
    versions: tuple[VersionChange, ...],
    confirm: Callable[[Plan], bool] | None,
    on_step: OnStep,
) -> tuple[Step, ...]:
    """Ask before anything is replaced or removed, then change a cluster node by node if it can stay available.

    A recovery point of the database comes first if its version changes. Returns what was done to the nodes.
    """
    clusters = [endpoint for endpoint in _provisioned(session) if len(endpoint.nodes) > 1]
    found = Plan(_previewed(session, stack), versions) if confirm or clusters else Plan((), versions)
    if confirm and found.disturbing and not confirm(found):
        raise InterruptedRunError("declined", "nothing was changed", "")
    save_before(session, versions, on_step)
    return tuple(step for one in clusters for step in roll_cluster(session, stack, one, found.changes, on_step))


def _previewed(session: Session, stack: PulumiStack) -> tuple[Change, ...]:
    return changes(stack.preview(), describe=session.host.describe_resource)


def _check_updates(session: Session) -> None:
    """Raise UsageError if a service must not go from what is provisioned to its section of ragops.yaml."""
    for endpoint in _provisioned(session):
        by_name(endpoint.service).check_update(endpoint, session.project.settings.section(endpoint.service))


def _prepare_updates(session: Session, show: OnProgress) -> None:
    """Run what services need before an update, such as making room for nodes that lost their data."""
    for endpoint in _provisioned(session):
        service = endpoint.service
        for note in by_name(service).before_update(endpoint, partial(session.host.data_file, service)):
            show(Progress(service, note, final=True))


def _provisioned(session: Session) -> tuple[Endpoint, ...]:
    """Return the endpoints of the last `up` on this runtime whose services are still asked for; none before it."""
    try:
        endpoints = session.endpoints()
    except RagopsError:
        return ()
    settings = session.project.settings
    found = (endpoint for endpoint in endpoints.values() if endpoint.runtime == settings.runtime)
    return tuple(endpoint for endpoint in found if settings.section(endpoint.service) is not None)


def down(session: Session, *, purge_data: bool, on_step: Callable[[Step], None] | None = None) -> DownResult:
    """Stop and forget every service. Data stay unless `purge_data`."""
    paths = session.project.paths
    with session.changing():
        steps = _destroy(session, on_step)
        remains = session.host.stop_orphans()
        paths.endpoints.unlink(missing_ok=True)
        paths.fingerprint.unlink(missing_ok=True)
        names = session.host.list_data()
        if purge_data:
            session.host.purge_data()
            History(paths.history).record_new_platform()  # their loss is what was asked for
    stopped = [change.resource for change in changes(steps) if change.action is Action.DELETE]
    return DownResult((*stopped, *remains), () if purge_data else names, names if purge_data else ())


def _destroy(session: Session, on_step: Callable[[Step], None] | None) -> tuple[Step, ...]:
    try:
        return open_existing(session.project, session.secrets()).destroy(on_step)
    except MissingError as error:
        if error.code != NO_STACK:
            raise
        return ()  # what an interrupted `up` left running is stopped without it
