"""What comes out of the archive of secrets in a recovery point, and what never does."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from ragops.config.paths import ProjectPaths
from ragops.errors import IntegrityError
from ragops.operations.restore.project_files import ProjectFiles, write_secrets, write_settings

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {
    "secrets.json": (".ragops/secrets/default.json", 0o600),
    "signing.pem": (".ragops/secrets/signing.pem", 0o600),
    "gateway/credentials.json": (".ragops/gateway/default/credentials.json", 0o600),
    "gateway/jwks.json": (".ragops/gateway/default/jwks.json", 0o644),
    "gateway/tls.crt": (".ragops/gateway/default/tls.crt", 0o644),
    "gateway/tls.key": (".ragops/gateway/default/tls.key", 0o600),
}


@pytest.fixture
def paths(tmp_path: Path) -> ProjectPaths:
    (tmp_path / "anew").mkdir()
    return ProjectPaths(tmp_path / "anew", "default")


def archive(folder: Path, *names: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644) -> Path:
    """All that is good, and then `names`."""
    path = folder / "sealed.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("gateway", "pulumi"):
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
        for name in (*GOOD, "pulumi/state/stack.json"):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(name), 0o777
            tar.addfile(member, io.BytesIO(name.encode()))
        for name in names:
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.linkname = kind, mode, "secrets.json"
            tar.addfile(member)
    return path


def test_each_file_goes_to_its_place_with_the_mode_it_was_made_with(paths: ProjectPaths, tmp_path: Path) -> None:
    assert write_secrets(paths, archive(tmp_path)) == ()
    for name, (place, mode) in GOOD.items():
        assert (paths.root / place).read_text() == name
        assert (paths.root / place).stat().st_mode & 0o777 == mode
    for folder in (paths.secrets.parent, paths.gateway, paths.state):
        assert folder.stat().st_mode & 0o777 == 0o711
    assert not paths.pulumi.exists(), "this machine has none of those resources"


def test_what_nobody_knows_is_left_out_and_said(paths: ProjectPaths, tmp_path: Path) -> None:
    assert write_secrets(paths, archive(tmp_path, "gateway/.tls.key.x1", "later.json")) == (
        "gateway/.tls.key.x1",
        "later.json",
    )
    assert len([path for path in paths.root.rglob("*") if path.is_file()]) == len(GOOD)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "gateway/../../x", "pulumi/../../x", "pulumi//x", "gateway/.."])
def test_a_way_out_refuses_all_of_it(paths: ProjectPaths, tmp_path: Path, name: str) -> None:
    refused(paths, archive(tmp_path, name))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("name", ["signing.pem", "gateway/tls.key", "gateway", "other"])
def test_what_is_no_file_refuses_all_of_it(paths: ProjectPaths, tmp_path: Path, kind: bytes, name: str) -> None:
    refused(paths, archive(tmp_path, name, kind=kind))


def test_one_that_is_no_archive_or_ends_early(paths: ProjectPaths, tmp_path: Path) -> None:
    whole = archive(tmp_path)
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[:700])
    refused(paths, cut)
    cut.write_bytes(b"no archive")
    refused(paths, cut)


def refused(paths: ProjectPaths, sealed: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        write_secrets(paths, sealed)
    assert caught.value.code == "sealed_part_invalid"
    assert not list(paths.root.iterdir()), "nothing was written"


def test_settings_are_called_as_they_are_found_again(paths: ProjectPaths, tmp_path: Path) -> None:
    config, overlay = tmp_path / "prod.yaml", tmp_path / "prod.staging.yaml"
    config.write_text("name: rag\n")
    overlay.write_text("redis: {}\n")
    staging = ProjectPaths(paths.root, "staging")
    write_settings(staging, ProjectFiles(config, overlay))
    assert sorted(path.name for path in paths.root.iterdir()) == ["ragops.staging.yaml", "ragops.yaml"]
    assert (paths.root / "ragops.yaml").read_text() == "name: rag\n"


def test_keys_of_repositories_go_where_ragops_yaml_looks_for_them(paths: ProjectPaths, tmp_path: Path) -> None:
    (paths.root / "mine.yaml").write_text("mine")
    sealed = archive(tmp_path, "options/s3.yaml", "options/keys/nas.yaml", "options/mine.yaml")
    assert write_secrets(paths, sealed) == ()
    for name in ("s3.yaml", "keys/nas.yaml"):
        assert (paths.root / name).stat().st_mode & 0o777 == 0o600
    assert (paths.root / "mine.yaml").read_text() == "mine", "what somebody put there is theirs"


@pytest.mark.parametrize("name", ["options/.ragops/secrets/default.json", "options/ragops.yaml", "options/.hidden/x"])
def test_no_other_file_of_the_project_comes_as_keys(paths: ProjectPaths, tmp_path: Path, name: str) -> None:
    assert write_secrets(paths, archive(tmp_path, name)) == (name,)
    assert not (paths.root / name.partition("/")[2]).is_symlink()
    if name != "options/.ragops/secrets/default.json":
        assert not (paths.root / name.partition("/")[2]).exists()
