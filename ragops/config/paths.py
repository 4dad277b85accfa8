"""The paths of a project: all files of an environment lie under .ragops/."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_ENVIRONMENT = "default"
PASSAGE_MODE = 0o711  # other users may pass through and list nothing: an engine may run as one of them


@dataclass(frozen=True)
class ProjectPaths:
    """Folders and files of one environment of the project at `root`."""

    root: Path
    environment: str
    data_override: str = ""

    @property
    def state(self) -> Path:
        """The project's own folder, shared by all environments."""
        return self.root / ".ragops"

    @property
    def pulumi(self) -> Path:
        """The lasting work directory of the Pulumi engine."""
        return self.state / "pulumi" / self.environment

    @property
    def passphrase(self) -> Path:
        """The generated passphrase of the Pulumi state (0600)."""
        return self.pulumi / "passphrase"

    @property
    def secrets(self) -> Path:
        """The generated passwords (0600)."""
        return self.state / "secrets" / f"{self.environment}.json"

    @property
    def runs(self) -> Path:
        """The run folders of all environments."""
        return self.state / "run"

    @property
    def endpoints(self) -> Path:
        """The stack's outputs as they were after the last `up`."""
        return self.state / "run" / self.environment / "endpoints.json"

    @property
    def fingerprint(self) -> Path:
        """Return the file with the fingerprint of the last successful `up`."""
        return self.state / "run" / self.environment / "applied"

    @property
    def locks(self) -> Path:
        """The lock files of the environment."""
        return self.state / "locks" / self.environment

    @property
    def gateway(self) -> Path:
        """Credentials of issued tokens, public keys, certificate."""
        return self.state / "gateway" / self.environment

    @property
    def operator_token(self) -> Path:
        """Return the short-lived token of the operator on this machine (0600)."""
        return self.state / "run" / self.environment / "operator-token"

    @property
    def staging(self) -> Path:
        """Parts of recovery points on their way, and notes of runs that were killed."""
        return self.state / "staging" / self.environment

    @property
    def signing_key(self) -> Path:
        """Return the key that signs recovery points (PEM, 0600); one for all environments."""
        return self.state / "secrets" / "signing.pem"

    @property
    def restore_journal(self) -> Path:
        """Return the journal of an unfinished restore."""
        return self.state / "run" / self.environment / "restore.json"

    @property
    def history(self) -> Path:
        """The number of the last recovery point that was taken here."""
        return self.state / "run" / self.environment / "recovery-points.json"

    @property
    def cache(self) -> Path:
        """Return the folder of caches that can be deleted."""
        return self.state / "cache"

    @property
    def drills(self) -> Path:
        """Return the log with one line for every restore drill."""
        return self.state / "drills" / f"{self.environment}.jsonl"

    @property
    def drill_projects(self) -> Path:
        """A folder for each drill that is under way: a whole project of its own."""
        return self.state / "drills" / self.environment

    @property
    def backup_record(self) -> Path:
        """Return the record of the last backup run."""
        return self.state / "run" / self.environment / "backup.json"

    @property
    def recover_journal(self) -> Path:
        """Return the journal of an unfinished recovery onto a new machine."""
        return self.state / "run" / self.environment / "recover.json"

    @property
    def audit(self) -> Path:
        """Return the audit log with one line for every change."""
        return self.state / "audit.jsonl"

    def run_dir(self, service: str) -> Path:
        """Return the folder for configuration, process record and log of a service."""
        return self.state / "run" / self.environment / service

    @property
    def all_data(self) -> Path:
        """Data of all services of the environment, and what restores set aside."""
        base = self.root / self.data_override if self.data_override else self.state / "data"
        return base / self.environment

    def data_dir(self, service: str) -> Path:
        """Return the data folder of a service."""
        return self.all_data / service
