"""The paths of a project: all files of an environment lie under .ragops/."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_ENVIRONMENT = "default"
PASSAGE_MODE = 0o711  # other users may pass through and list nothing: an engine may run as one of them


class ProjectPaths:
    """Folders and files of one environment of the project at `root`; `data_override` is another folder for the data."""

    def __init__(self, root: Path, environment: str, data_override: str = "") -> None:
        self.root, self.environment, self.data_override = root, environment, data_override
        # Shared by all environments.
        self.state = root / ".ragops"
        self.runs = self.state / "run"
        self.signing_key = self.state / "secrets" / "signing.pem"  # signs recovery points (PEM, 0600)
        self.cache = self.state / "cache"  # can be deleted
        self.audit = self.state / "audit.jsonl"  # a line for every change
        # Of the environment.
        self.pulumi = self.state / "pulumi" / environment  # the lasting work directory of the engine
        self.passphrase = self.pulumi / "passphrase"  # of the Pulumi state (0600)
        self.secrets = self.state / "secrets" / f"{environment}.json"  # the generated passwords (0600)
        self.locks = self.state / "locks" / environment
        self.gateway = self.state / "gateway" / environment  # credentials of tokens, public keys, certificate
        self.staging = self.state / "staging" / environment  # parts of recovery points on their way
        self.drills = self.state / "drills" / f"{environment}.jsonl"  # a line for every restore drill
        self.drill_projects = self.state / "drills" / environment  # a whole project for each drill that is under way
        self.all_data = (root / data_override if data_override else self.state / "data") / environment
        self.metrics = self.state / "metrics" / environment  # ragops.prom, for node_exporter's textfile collector
        # Of its last `up`, and of runs on this machine.
        self._run = self.runs / environment
        self.endpoints = self._run / "endpoints.json"  # the stack's outputs
        self.fingerprint = self._run / "applied"  # of the last `up` that went through
        self.operator_token = self._run / "operator-token"  # short-lived (0600)
        self.backup_record = self._run / "backup.json"  # the last backup run
        self.observations = self._run / "observations.json"  # health and drift as they were last seen, for metrics
        self.history = self._run / "recovery-points.json"  # the number of the last recovery point that was taken here
        self.restore_journal = self._run / "restore.json"  # an unfinished restore
        self.cluster_journal = self._run / "cluster.json"  # an unfinished change of the Qdrant cluster
        self.upgrade_journal = self._run / "upgrade.json"  # an unfinished upgrade of Qdrant
        self.recover_journal = self._run / "recover.json"  # an unfinished recovery onto a new machine

    def run_dir(self, service: str) -> Path:
        """Return the folder for configuration, process record and log of a service."""
        return self._run / service

    def data_dir(self, service: str) -> Path:
        """Return the data folder of a service; next to it lies what restores set aside."""
        return self.all_data / service
