"""Tar streams as Docker takes and gives them, and the users of an image."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.docker.archive import ArchiveEntry, User, find_user, pack_tar
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from pathlib import Path

PASSWD = """root:x:0:0:root:/root:/bin/bash
redis:x:999:1000::/data:/usr/sbin/nologin
broken line
postgres:x:70:70::/var/lib/postgresql:/bin/sh
"""


def test_an_archive_has_owners_modes_and_contents(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 9000)
    entries = [
        ArchiveEntry("conf", 0o550, 999, 1000),
        ArchiveEntry("conf/a", 0o440, 999, 1000, b"text"),
        ArchiveEntry("conf/empty", 0o400, 0, 0, b""),
        ArchiveEntry("big", 0o400, 70, 70, big),
        ArchiveEntry("link", 0o777, 0, 0, link="conf/a"),
        ArchiveEntry("x" * 150, 0o400, 0, 0, b"long name"),
    ]
    data = b"".join(pack_tar(entries))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {info.name: (info.mode, info.uid, info.gid, info.size) for info in archive}
        assert archive.extractfile("conf/a").read() == b"text"
        assert archive.extractfile("big").read() == big.read_bytes()
        assert archive.getmember("link").linkname == "conf/a"
        assert archive.getmember("conf").isdir()
    assert found["conf"] == (0o550, 999, 1000, 0)
    assert found["conf/a"] == (0o440, 999, 1000, 4)
    assert found["conf/empty"] == (0o400, 0, 0, 0)
    assert found["big"] == (0o400, 70, 70, big.stat().st_size)
    assert found["x" * 150][3] == 9


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RagopsError, match="gone"):
        list(pack_tar([ArchiveEntry("f", 0o400, 0, 0, tmp_path / "gone")]))


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ("redis", User("redis", 999, 1000)),
        ("999", User("redis", 999, 1000)),
        ("redis:33", User("redis", 999, 33)),
        ("1234", User("", 1234, 1234)),
        ("1234:5", User("", 1234, 5)),
        ("", User("root", 0, 0)),
        ("root", User("root", 0, 0)),
        ("nobody", None),
    ],
)
def test_a_user_of_an_image(user: str, found: User | None) -> None:
    assert find_user(PASSWD, user) == found


def test_root_and_numbers_need_no_passwd_file() -> None:
    assert find_user("", "root") == User("root", 0, 0)
    assert find_user("", "10001") == User("", 10001, 10001)
