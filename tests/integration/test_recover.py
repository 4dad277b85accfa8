"""A platform made anew from its repository and the key alone, as after the loss of a machine."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops.recovery import signing
from tests.backup_helpers import forge_part
from tests.loaded_platform import counts, outputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.loaded_platform import Loaded

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Lost:
    """What is left of a machine: repository and identity; `loaded` is the machine as it was."""

    loaded: Loaded
    repository: Path
    identity: Path
    counts: dict[str, int]
    outputs: dict[str, str]


@pytest.fixture(scope="module")
def lost(loaded: Loaded, module_workspace: Path) -> Lost:
    loaded.take()
    repository = module_workspace / "kept"
    shutil.copytree(loaded.root / "backups", repository)
    return Lost(
        loaded, repository, loaded.identity, counts(loaded.root, loaded.ragops), outputs(loaded.root, loaded.ragops)
    )


@pytest.fixture
def stopped(loaded: Loaded) -> Iterator[None]:
    """The old machine does not run: its ports are the new one's."""
    loaded.run("down", "--yes")
    yield
    loaded.run("up", "--yes")


@pytest.fixture
def place(workspace: Path) -> Path:
    """The new machine's folder."""
    folder = workspace / "anew"
    folder.mkdir()
    return folder


def recover(lost: Lost, place: Path, *options: str, code: int = 0) -> Any:
    return lost.loaded.run("recover", str(lost.repository), "--json", *options, code=code, cwd=place)


def with_identity(lost: Lost) -> tuple[str, str]:
    return "--identity", str(lost.identity)


# --- refused before anything is there --------------------------------------------------------------------------------


def test_without_the_right_identity_nothing_begins(lost: Lost, place: Path) -> None:
    assert recover(lost, place, "--yes", code=7).error["code"] == "identity_missing"
    assert list(place.iterdir()) == []
    lost.loaded.run("backup", "keygen", "other.txt", cwd=place)
    error = recover(lost, place, "--identity", "other.txt", "--yes", code=2).error
    assert error["code"] == "identity_wrong"
    assert "--identity" in error["hint"]
    assert not (place / "ragops.yaml").exists()


def test_a_signer_whom_nobody_named_is_refused(lost: Lost, place: Path, workspace: Path) -> None:
    other = signing.load_or_create(workspace / "other.pem").public
    error = recover(lost, place, *with_identity(lost), "--verify-key", other, code=6).error
    assert error["code"] == "signer_unknown"
    assert other in error["message"]
    bare = workspace / "bare.txt"
    bare.write_text("".join(f"{line}\n" for line in lost.identity.read_text().splitlines() if "#" not in line))
    error = recover(lost, place, "--identity", str(bare), code=2).error
    assert error["code"] == "confirmation_needed"
    assert lost.loaded.point().signed.signature.key in error["message"], "the key that is asked about"
    assert list(place.iterdir()) == []


def test_it_takes_no_folder_of_another_project(lost: Lost, place: Path) -> None:
    (place / "ragops.yaml").write_text("name: mine\n")
    assert recover(lost, place, *with_identity(lost), code=2).error["code"] == "already_initialised"
    assert (place / "ragops.yaml").read_text() == "name: mine\n"


def test_another_environment_is_named(lost: Lost, place: Path) -> None:
    error = recover(lost, place, *with_identity(lost), "--env", "staging", code=7).error
    assert error["code"] == "no_recovery_point"
    assert "default" in error["hint"]


@pytest.mark.parametrize("hostile", ["../../escaped", "/tmp/ragops-escaped", "gateway/../../escaped", "link", "device"])
def test_a_hostile_archive_is_refused_whoever_signed_it(lost: Lost, place: Path, hostile: str) -> None:
    point = lost.loaded.point()
    before = {path: path.read_bytes() for path in (lost.loaded.root / "backups").rglob("*") if path.is_file()}
    forge_part(lost.loaded.repositories(), point, "platform/sealed.tar", archive(hostile))
    try:
        repository = str(lost.loaded.root / "backups")
        options = ("--json", *with_identity(lost), "--point", point.id)
        done = lost.loaded.run("recover", repository, *options, code=6, cwd=place)
        assert done.error["code"] == "sealed_part_invalid"
        assert not (place / "ragops.yaml").exists()
        assert not (place / ".ragops" / "secrets").exists()
        assert not list(place.parent.rglob("escaped"))
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def archive(hostile: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        good = tarfile.TarInfo("secrets.json")
        good.size = 2
        tar.addfile(good, io.BytesIO(b"{}"))
        bad = tarfile.TarInfo("signing.pem" if hostile in ("link", "device") else hostile)
        bad.type = {"link": tarfile.SYMTYPE, "device": tarfile.CHRTYPE}.get(hostile, tarfile.REGTYPE)
        bad.linkname = "/etc/passwd" if hostile == "link" else ""
        tar.addfile(bad, io.BytesIO())
    return stream.getvalue()


# --- the whole way ---------------------------------------------------------------------------------------------------


@pytest.mark.fault
@pytest.mark.campaign(sample=0)
@pytest.mark.usefixtures("stopped")
def test_killed_in_the_middle_and_run_again_it_is_all_back(lost: Lost, place: Path, wait_until: Any) -> None:
    cli, arguments = lost.loaded.ragops, ("recover", str(lost.repository), *with_identity(lost))
    try:
        run = place / ".ragops" / "run" / "default"
        for reached in (run / "qdrant" / "process.json", run / "restore.json"):
            process = cli.start(*arguments, cwd=place)
            wait_until(lambda: reached.exists() or process.poll() is not None, 120, str(reached))  # noqa: B023
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
            assert process.returncode == -signal.SIGKILL
            assert json.loads((run / "recover.json").read_text())["settled"]
        config = place / "ragops.yaml"
        config.write_text(f"{config.read_text()}\n# edited in between\n")

        done = lost.loaded.run(*arguments, "--json", cwd=place).json()
        assert done["health"] == "ok"
        assert done["vouched"], "the identity's file names the key"
        assert "edited in between" in config.read_text()
        assert counts(place, cli) == lost.counts
        here, there = outputs(place, cli), lost.outputs
        certificates = [Path(found["GATEWAY_CERTIFICATE"]).read_bytes() for found in (here, there)]
        assert certificates[0] == certificates[1]
        assert here | {"GATEWAY_CERTIFICATE": ""} == there | {"GATEWAY_CERTIFICATE": ""}, "the same passwords"
        asked = cli("query", "rotating the secret", "--json", cwd=place, env={"RAGOPS_TOKEN": lost.loaded.token})
        assert asked.code == 0, "the same tokens"
        notes = "\n".join(done["notes"])
        assert "ragops token list" in notes
        assert "is kept" not in notes, "the database that `up` made was empty"
        assert f"repository: {lost.repository}" in notes
        assert not (run / "recover.json").exists()
        modes = {name: (place / ".ragops" / name).stat().st_mode & 0o777 for name in PRIVATE}
        assert modes == PRIVATE
        again = lost.loaded.run(*arguments, "--json", code=2, cwd=place)
        assert again.error["code"] == "already_initialised"
    finally:
        cli("down", "--yes", cwd=place)


PRIVATE = {
    "secrets/default.json": 0o600,
    "secrets/signing.pem": 0o600,
    "secrets": 0o711,
    "gateway/default/credentials.json": 0o600,
    "gateway/default/tls.key": 0o600,
    "gateway/default": 0o711,
    "staging": 0o700,
}
