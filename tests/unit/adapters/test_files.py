"""Files that are whole or not there, private from their first byte."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ragops.adapters.files import SECRET_MODE, explain_os_error, make_dir, write_atomic
from ragops.errors import ExitCode, RagopsError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_has_its_content_and_mode(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b" / "file", "ü\n", SECRET_MODE)
    assert (tmp_path / "a" / "b" / "file").read_bytes() == "ü\n".encode()
    assert mode(tmp_path / "a" / "b" / "file") == 0o600


def test_an_open_umask_does_not_open_a_secret_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_atomic(tmp_path / "secret", "x", SECRET_MODE)
    finally:
        os.umask(before)
    assert mode(tmp_path / "secret") == 0o600


def test_a_strict_umask_does_not_close_a_public_file(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_atomic(tmp_path / "new" / "public", "x")
        make_dir(tmp_path / "passage", 0o711)
    finally:
        os.umask(before)
    assert mode(tmp_path / "new" / "public") == 0o644
    assert mode(tmp_path / "new") == 0o755
    assert mode(tmp_path / "passage") == 0o711


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    make_dir(tmp_path / "private" / "inner", 0o755)
    assert mode(tmp_path / "private") == 0o700


def test_a_replaced_file_gets_the_new_mode(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o666)
    write_atomic(tmp_path / "file", b"new", SECRET_MODE)
    assert (tmp_path / "file").read_text() == "new"
    assert mode(tmp_path / "file") == 0o600


def test_a_reader_sees_the_old_or_the_new_whole(tmp_path: Path) -> None:
    """A writer in another process replaces the file all the time: no read may find a part of it."""
    target = tmp_path / "file"
    write_atomic(target, "a" * 100_000)
    program = (
        "import sys; from pathlib import Path; from ragops.adapters.files import write_atomic\n"
        "for letter in 'abcdefghij' * 10: write_atomic(Path(sys.argv[1]), letter * 100_000)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, str(target)])
    reads = 0
    while writer.poll() is None or reads == 0:
        text = target.read_text()
        assert len(text) == 100_000
        assert len(set(text)) == 1
        reads += 1
    assert writer.returncode == 0


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "inside").touch()
    with pytest.raises(RagopsError) as caught:
        write_atomic(target, "x")
    assert str(target) in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_where_a_folder_belongs_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RagopsError) as caught:
        write_atomic(tmp_path / "file" / "inner", "x")
    assert caught.value.code == "file_error"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_what_the_kernel_calls_it() -> None:
    with pytest.raises(OSError) as full, Path("/dev/full").open("wb", buffering=0) as stream:
        stream.write(b"x")
    found = explain_os_error(full.value, "write x")
    assert (found.code, found.exit_code) == ("disk_full", ExitCode.MISSING)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_refusal_names_what_was_attempted(number: int) -> None:
    found = explain_os_error(OSError(number, os.strerror(number)), "write /x/y")
    assert found.code == "not_permitted"
    assert "write /x/y" in found.message
    assert found.hint
