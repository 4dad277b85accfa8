"""The start of every operation: a loaded project, its locks, its audit trail, its endpoints and the opened platform."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ragops.adapters import audit, locks
from ragops.config import secrets
from ragops.errors import MissingError, RagopsError
from ragops.operations.backup.project_archive import OPTIONS
from ragops.operations.records.cluster_journal import ClusterJournal
from ragops.operations.records.restore_journal import RestoreJournal
from ragops.operations.records.upgrade_journal import UpgradeJournal
from ragops.operations.repositories import open_repositories, options_files
from ragops.recovery.repository import LockRequest
from ragops.runtimes.registry import host_of
from ragops.services import SERVICES, refuse_unknown
from ragops.services.contract import Endpoint
from ragops.services.secret_names import drop_expired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ragops.config.load import Project
    from ragops.config.model import Settings
    from ragops.recovery.repositories import Repositories
    from ragops.runtimes.contract import RuntimeHost
    from ragops.services.contract import Service
    from ragops.services.control import Control


@dataclass(frozen=True)
class Platform:
    """Its name, environment and runtime, and how to reach and control its services by name.

    `files` are those of the project that a recovery point holds, by name; `sealed` are folders and files with secrets,
    which only an encrypted one holds. `images` are the ids of the images behind the services.
    """

    name: str
    runtime: str
    endpoints: Mapping[str, Endpoint]
    control_of: Callable[[Endpoint], Control]
    files: Mapping[str, Path] = field(default_factory=dict)
    sealed: Mapping[str, Path] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)

    def endpoint(self, service: str) -> Endpoint:
        """Return the endpoint of `service`. Raises MissingError (not_provisioned)."""
        if service not in self.endpoints:
            raise MissingError("not_provisioned", f"{service} is not provisioned here", "run `ragops up` first")
        return self.endpoints[service]

    def control(self, service: str) -> Control:
        """Return what may be done to `service`. Raises MissingError (not_provisioned)."""
        return self.control_of(self.endpoint(service))

    def services(self) -> tuple[Service, ...]:
        """Return the provisioned services in the order that keeps references whole: metadata first."""
        found = (service for service in SERVICES if service.name in self.endpoints)
        return tuple(service for service in found if service.backup() is not None)


EXCLUSIVE = locks.KINDS


@dataclass(frozen=True)
class Session:
    """One command on one environment. `notice` takes messages for the user, `lock_wait` is in seconds."""

    project: Project
    command: str
    notice: Callable[[str], None]
    lock_wait: float = 0.0

    @cached_property
    def host(self) -> RuntimeHost:
        """The runtime of the environment on this machine."""
        return host_of(self.project)

    def secrets(self) -> dict[str, str]:
        """All secrets of the environment, made up if they are missing; nothing is written."""
        found = secrets.preview(self.project.paths.secrets, secret_names(self.project.settings))
        return drop_expired(found, datetime.now(tz=UTC))

    def make_secrets(self) -> dict[str, str]:
        """All secrets, generated and kept if they are missing. Raises MissingError (secret_missing)."""
        self.refuse_lost_secrets()
        path = self.project.paths.secrets
        found = secrets.ensure(path, secret_names(self.project.settings))
        valid = drop_expired(found, datetime.now(tz=UTC))
        if valid.keys() != found.keys():
            secrets.save(path, valid)
        return valid

    def refuse_lost_secrets(self) -> None:
        """Raise MissingError (secret_missing) if data are there and the secret that opens them is not."""
        paths = self.project.paths
        known = secrets.load(paths.secrets)
        for service in SERVICES:
            lost = [name for name in service.secrets() if name not in known]
            if lost and service.backup() and self.host.has_data(service.name):
                what = f"the data of {service.name} are locked with a password that is gone: {lost[0]}"
                raise MissingError("secret_missing", what, _restore_hint(paths.secrets))

    def endpoints(self, services: Sequence[str] = ()) -> dict[str, Endpoint]:
        """Endpoints by service, in order of dependence; only those of `services` if any are named.

        Raises UsageError (unknown_service), MissingError (not_provisioned) before the first `up`.
        """
        known_services = [service.name for service in SERVICES]
        refuse_unknown(services)
        path = self.project.paths.endpoints
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise self.not_provisioned() from error
        except (OSError, ValueError) as error:
            raise RagopsError("endpoints_unreadable", f"cannot read {path}", "run `ragops up`") from error
        known = _Secrets(self.project.paths.secrets)
        wanted = services or known_services
        try:
            return {name: Endpoint.from_dict(values[name], known) for name in wanted if name in values}
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            what = f"cannot use {path}: it is damaged, or another version of ragops wrote it"
            raise RagopsError("endpoints_unreadable", what, "run `ragops up`, which writes it again") from error

    def not_provisioned(self) -> MissingError:
        """Return the error before the first `up` went through; names what an interrupted one left running."""
        paths = self.project.paths
        running = [service.name for service in SERVICES if self.host.is_running(service.name)]
        what = f"environment {paths.environment!r} is not up"
        if running:
            what += f": an `up` was interrupted, or its files were removed; {', '.join(running)} already run"
        return MissingError("not_provisioned", what, "run `ragops up`")

    def endpoint(self, service: str) -> Endpoint:
        """Return the endpoint of one service. Raises as `endpoints`, MissingError (not_provisioned) if it has none."""
        found = self.endpoints([service])
        if service not in found:
            raise MissingError("not_provisioned", f"{service} is not provisioned here", "run `ragops up`")
        return found[service]

    def platform(self) -> Platform:
        """Return the opened platform as backups and restores see it."""
        project, paths = self.project, self.project.paths
        return Platform(
            name=project.settings.name,
            runtime=project.settings.runtime,
            endpoints=self.endpoints(),
            control_of=self.host.control,
            files={path.name: path for path in project.files},
            sealed={
                "secrets.json": paths.secrets,
                "signing.pem": paths.signing_key,
                "gateway": paths.gateway,
                "pulumi": paths.pulumi,
                **{f"{OPTIONS}/{name}": path for name, path in options_files(project).items()},
            },
            images=self.host.image_pins(),
        )

    def repositories(self, identity: Path | None = None) -> Repositories:
        """Return repositories and keys of the environment; `identity` opens recovery points, else the configured one.

        Raises UsageError, MissingError if a repository's options cannot be read.
        """
        return open_repositories(self.project, identity)

    def restore_journal(self) -> RestoreJournal:
        """Return the journal of an interrupted restore."""
        return RestoreJournal(self.project.paths.restore_journal)

    def cluster_journal(self) -> ClusterJournal:
        """Return the journal of an interrupted change of the Qdrant cluster."""
        return ClusterJournal(self.project.paths.cluster_journal)

    def upgrade_journal(self) -> UpgradeJournal:
        """Return the journal of an interrupted upgrade of Qdrant."""
        return UpgradeJournal(self.project.paths.upgrade_journal)

    def locker(self) -> LockRequest:
        """Return this command as the holder of a repository's lock."""
        return LockRequest(self.command, self.lock_wait, self.notice)

    def rotate_logs(self) -> None:
        """Bound the services' logs; cron's backup does it every night."""
        self.host.rotate_logs()

    @contextlib.contextmanager
    def changing(self, kinds: Sequence[str] = EXCLUSIVE) -> Iterator[None]:
        """Hold the locks of `kinds` and leave an audit line, whatever the outcome."""
        started = time.monotonic()
        with locks.hold_locks(self.project.paths.locks, kinds, self.command, self.lock_wait, self.notice):
            try:
                yield
            except BaseException as error:
                self._write_figures()
                with contextlib.suppress(RagopsError):  # a full disk must not hide why the change failed
                    self._audit(_outcome(error), started)
                raise
            self._write_figures()
            try:
                self._audit("done", started)
            except RagopsError as error:  # the change is done; failing now would have it taken for undone
                self.notice(f"the audit trail could not be written: {error.message}")

    def _write_figures(self) -> None:
        """Write ragops's own figures, which any change may have changed; those of a platform that is up."""
        from ragops.operations.records import figures

        if self.project.paths.endpoints.exists():
            figures.write(self)

    def _audit(self, outcome: str, started: float) -> None:
        audit.append(
            self.project.paths.audit,
            environment=self.project.paths.environment,
            command=self.command,
            outcome=outcome,
            seconds=round(time.monotonic() - started, 3),
        )


class _Secrets(dict[str, str]):
    """The secrets of an environment; one that is missing raises MissingError (secret_missing)."""

    def __init__(self, path: Path) -> None:
        super().__init__(secrets.load(path))
        self._path = path

    def __missing__(self, name: str) -> str:
        what = f"the secret {name!r} is missing from {self._path}"
        raise MissingError("secret_missing", what, _restore_hint(self._path))


def secret_names(settings: Settings) -> list[str]:
    """Every secret that the environment needs."""
    own = [name for service in SERVICES for name in service.secrets()]
    asked = ((service, settings.section(service.name)) for service in SERVICES)
    return own + [name for service, section in asked if section is not None for name in service.more_secrets(section)]


def _restore_hint(path: Path) -> str:
    return f"restore {path} from your copy; to start again without the data: `ragops down --purge-data`"


def _outcome(error: BaseException) -> str:
    if isinstance(error, RagopsError):
        return error.code
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
