"""Alerts about a whole platform: what `ragops` itself sees of a fault that is really made, and of its remedy.

A platform on the embedded runtime writes its figures, node_exporter reads them, and a Prometheus with the rules of
ragops reads that and every page that `ragops metrics targets` names. Times of the rules are a sixtieth, and no alert
waits for longer than WAITS seconds.
"""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ragops.config.load import load
from ragops.operations.session import Session
from tests.backup_helpers import folder_of, forge_counts, stored
from tests.command_line import Project
from tests.conftest import write_project
from tests.integration.test_live_alerts import ends_in
from tests.integration.test_schedule import line_of, make_table
from tests.live_prometheus import program, watched
from tests.loaded_platform import redis_of
from tests.ports import free_ports
from tests.small_disk import small_disk
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repositories import Repositories
    from tests.integration.test_schedule import Table
    from tests.live_prometheus import Watched

pytestmark = pytest.mark.campaign(of="live alerts", sample=0)
WAITS, MIB = 15, 1_048_576
UNHEALTHY, DISK_FULL, DRILL_FAILED = 3, 7, 6
LABELS = {"platform": "test", "environment": "default"}


class Platform(Project):
    """A project that is up and watched."""

    def look(self, command: str) -> None:
        """Have it look at the platform, whatever it finds."""
        self.ragops(command, cwd=self.root, timeout=280)

    def change(self, section: str, **keys: Any) -> None:
        """Change keys of ragops.yaml; None takes one out."""
        file = self.root / "ragops.yaml"
        values = yaml.safe_load(file.read_text())
        merged = {**(values.get(section) or {}), **keys}
        values[section] = {key: value for key, value in merged.items() if value is not None}
        file.write_text(yaml.safe_dump(values, sort_keys=False))

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.settings[service]['port']}"

    def repositories(self) -> Repositories:
        return Session(load(self.root / "ragops.yaml", None, {}), "a test", lambda _text: None).repositories()

    def newest(self) -> RecoveryPoint:
        return self.repositories().primary.get("latest")


@pytest.fixture(scope="module")
def table(module_workspace: Path) -> Table:
    """A crontab of nobody."""
    return make_table(module_workspace / "bin")


@pytest.fixture(scope="module")
def platform(module_workspace: Path, ragops: Any) -> Iterator[Platform]:
    for name in ("prometheus", "node_exporter", "alertmanager"):
        program(name)
    made = Platform(write_project(module_workspace / "project", ragops), ragops)
    ports = free_ports(2)
    made.change("observability", port=ports[0], envoy_port=ports[1], program=program("prometheus"))
    try:
        made.run("up", "--yes")
        made.run("migrate", "up")
        with redis_of(made.root, ragops) as client:
            client.set("ballast", os.urandom(4 * MIB))  # a full disk has no room for it
        yield made
    finally:
        ragops("down", "--yes", cwd=made.root)


@pytest.fixture(scope="module")
def live(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder, figures = tmp_path_factory.mktemp("live"), platform.root / ".ragops" / "metrics" / "default"
    with watched(folder, labels=LABELS, textfiles=figures, longest=WAITS) as made:
        made.node_exporter()
        made.alertmanager()
        pages = platform.run("metrics", "targets").json()
        made.discover(pages, {"qdrant": platform.secrets["qdrant_api_key"]})
        made.start()
        yield made


@pytest.fixture
def well(platform: Platform, live: Watched, table: Table) -> None:
    """A platform on which no alert fires: it has a recovery point, a proof of it, and a nightly run."""
    if not (platform.root / "backups").exists():
        platform.run("schedule", "install", "--with", "cron", env=table.env)
        platform.run("backup", "run")
        platform.run("backup", "drill")
    ends_in(live, seconds=60)


def test_what_a_new_platform_lacks_is_said_until_it_has_it(platform: Platform, live: Watched, table: Table) -> None:
    ends_in(live, "BackupNeverTaken", "ScheduleNotInstalled")
    platform.run("schedule", "install", "--with", "cron", env=table.env)
    ends_in(live, "BackupNeverTaken")
    platform.run("backup", "run")
    ends_in(live, "DrillNeverDone")
    platform.run("backup", "drill")
    ends_in(live)


# --- recovery points -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("well")
def test_every_recovery_point_is_removed(platform: Platform, live: Watched) -> None:
    shutil.rmtree(platform.root / "backups")
    platform.run("health", code=UNHEALTHY)
    ends_in(live, "BackupLost")
    platform.run("backup", "run")
    ends_in(live)


@pytest.mark.usefixtures("well")
def test_a_part_of_the_newest_recovery_point_is_removed(platform: Platform, live: Watched) -> None:
    stored(platform.newest(), "timescaledb/rag.dump").unlink()
    platform.run("health", code=UNHEALTHY)
    ends_in(live, "BackupDamaged")
    platform.run("backup", "run")
    ends_in(live)


@pytest.mark.usefixtures("well")
def test_no_one_takes_recovery_points_any_more(platform: Platform, live: Watched) -> None:
    platform.change("backup", max_age_hours=0.02)  # 72 s
    try:
        platform.look("health")
        ends_in(live, "BackupTooOld", seconds=100)
        platform.run("backup", "run")
        ends_in(live, seconds=20)
    finally:
        platform.change("backup", max_age_hours=None)
        platform.look("health")


@pytest.mark.usefixtures("well")
def test_a_recovery_point_does_not_restore_to_what_it_says(platform: Platform, live: Watched) -> None:
    platform.run("backup", "run")
    point = platform.newest()
    forge_counts(platform.repositories(), point, "timescaledb/rag.dump", **{"rag.chunks": 7})
    platform.run("backup", "drill", code=DRILL_FAILED)
    ends_in(live, "DrillFailed")
    shutil.rmtree(folder_of(point))
    platform.run("backup", "run")
    platform.run("backup", "drill")
    ends_in(live)


@pytest.mark.usefixtures("well")
def test_the_nightly_run_cannot_reach_the_repository(platform: Platform, live: Watched, table: Table) -> None:
    def nightly() -> int:
        command = ["/bin/sh", "-c", line_of(table.file.read_text())]
        return subprocess.run(command, cwd="/", capture_output=True, timeout=200, check=False).returncode

    repository = platform.root / "backups"
    aside = repository.rename(repository.with_name("aside"))
    repository.write_text("no folder")
    try:
        assert nightly() != 0
        ends_in(live, "BackupFailed", "BackupLost", "ScheduleRunFailed")
    finally:
        repository.unlink()
        aside.rename(repository)
    assert nightly() == 0
    ends_in(live)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
@pytest.mark.usefixtures("well")
def test_the_disk_of_the_repository_is_full(platform: Platform, live: Watched, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with small_disk(tmp_path, 64) as disk:
        where = f'{{mountpoint="{disk}"}}'
        wait_until(lambda: live.query(f"node_filesystem_size_bytes{where}"), 30, "a disk that is seen")
        platform.change("backup", repository=str(disk))
        try:
            platform.run("backup", "run")
            fill(disk / "filler")
            platform.run("backup", "run", code=DISK_FULL)
            ends_in(live, "BackupFailed", "DiskFull")
            assert {one["metric"]["mountpoint"] for one in live.query('ALERTS{alertname="DiskFull"}')} == {str(disk)}
            (disk / "filler").unlink()
            platform.run("backup", "run")
            ends_in(live)
        finally:
            platform.change("backup", repository="backups")
            platform.look("health")


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(MIB // 16))


# --- credentials -----------------------------------------------------------------------------------------------------


def certificate_of_ones_own(folder: Path, valid: timedelta) -> datetime:
    """Put a certificate that no one here made into the folder; returns when it ends."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(tz=UTC).replace(microsecond=0)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rag.example.org")])
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + valid)
    made = built.add_extension(x509.SubjectAlternativeName([x509.DNSName("rag.example.org")]), critical=False)
    pem = serialization.Encoding.PEM
    (folder / "tls.crt").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tls.key").write_bytes(private)
    return now + valid


def served_until(platform: Platform) -> datetime:
    """When the certificate ends that a client of the gateway is shown."""
    text = ssl.get_server_certificate(("127.0.0.1", platform.settings["gateway"]["tls_port"]), timeout=10)
    return x509.load_pem_x509_certificate(text.encode()).not_valid_after_utc


@pytest.mark.usefixtures("well")
def test_the_certificate_ends_in_two_days(platform: Platform, live: Watched) -> None:
    folder = platform.root / ".ragops" / "gateway" / "default"
    before = {name: (folder / name).read_bytes() for name in ("tls.crt", "tls.key")}
    ends = certificate_of_ones_own(folder, timedelta(days=2))
    platform.run("up", "--yes")
    assert served_until(platform) == ends
    ends_in(live, "CertificateEnds", "CertificateEndsSoon")
    certificate_of_ones_own(folder, timedelta(days=10))
    platform.run("up", "--yes")
    ends_in(live, "CertificateEndsSoon")
    for name, content in before.items():
        (folder / name).write_bytes(content)
    platform.run("up", "--yes")
    ends_in(live)


@pytest.mark.usefixtures("well")
def test_the_token_of_a_consumer_ends_in_three_days(platform: Platform, live: Watched) -> None:
    platform.run("token", "issue", "guest", "--days", "3")
    ends_in(live, "TokenEnds")
    platform.run("token", "issue", "guest", "--days", "90")
    old = min(platform.run("token", "list", "--json").json()["tokens"], key=lambda token: token["expires"])
    platform.run("token", "revoke", old["kid"])
    ends_in(live)


@pytest.mark.usefixtures("well")
def test_somebody_guesses_tokens_at_the_gateway(platform: Platform, live: Watched) -> None:
    good = platform.run("token", "issue", "visitor", "--days", "90").out.strip()
    with asking(f"{platform.url('gateway')}/api/v1/collections", forged(good)) as codes:
        ends_in(live, "TokensRefused")
    assert set(codes) == {401}
    ends_in(live, seconds=60)


@pytest.mark.usefixtures("well")
def test_a_forged_token_comes_past_the_gateway(platform: Platform, live: Watched) -> None:
    good = platform.run("token", "issue", "visitor", "--days", "90").out.strip()
    headers = {"Authorization": f"Bearer {forged(good)}"}
    address = f"{platform.url('api')}/api/v1/collections"
    assert httpx.get(address, headers=headers, timeout=5, trust_env=False).status_code == 401
    ends_in(live, "ForgedTokens")
    ends_in(live, seconds=60)


@pytest.mark.usefixtures("well")
def test_a_service_calls_with_a_token_of_its_own_making(platform: Platform, live: Watched) -> None:
    address, headers = f"{platform.url('api')}/internal/breakers", {"X-Service-Token": "0" * 43}
    assert httpx.get(address, headers=headers, timeout=5, trust_env=False).status_code == 403
    ends_in(live, "UnauthorizedServiceCall")
    ends_in(live, seconds=120)


def forged(token: str) -> str:
    """The token with the signature of nobody."""
    return f"{token.rpartition('.')[0]}.{'A' * 86}"


@contextmanager
def asking(address: str, token: str) -> Iterator[list[int]]:
    """Ask all the time until the block ends; the statuses of the answers."""
    over, codes = threading.Event(), list[int]()

    def ask() -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=10, trust_env=False) as client:
            while not over.wait(0.2):
                codes.append(client.get(address).status_code)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield codes
    finally:
        over.set()
        asker.join(30)


# --- what runs -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("well")
def test_a_service_is_killed_and_seen_by_health_and_drift(platform: Platform, live: Watched) -> None:
    os.kill(platform.pids()["redis"], signal.SIGKILL)
    platform.run("health", code=UNHEALTHY)
    platform.look("drift")
    ends_in(live, "HealthDown", "DriftFound")
    platform.run("up", "--yes")
    platform.run("drift")
    ends_in(live)
