"""What goes wrong with servers: wrong keys, nobody there, gone in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ragops.errors import ExitCode, MissingError, RagopsError, StoreMissingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.storage import Store

pytestmark = pytest.mark.servers

MIB = 1 << 20


@pytest.fixture(params=["s3", "sftp"])
def place(request: pytest.FixtureRequest) -> Any:
    """Both kinds of servers in turn."""
    return request.getfixturevalue(request.param)


def put(store: Store, path: str, content: bytes) -> None:
    with store.open_write(path) as stream:
        stream.write(content)


def attempts(store: Store) -> dict[str, Callable[[], object]]:
    return {
        "write": lambda: put(store, "prod/part", b"1"),
        "read": lambda: store.open_read("prod/part").__enter__(),
        "read_all": lambda: store.read_all(["prod/part"]),
        "entries": lambda: store.list_entries(),
        "remove": lambda: store.remove(["prod/part"]),
    }


def failures(store: Store) -> dict[str, RagopsError]:
    found = {}
    for name, call in attempts(store).items():
        with pytest.raises(RagopsError) as caught:
            call()
        found[name] = caught.value
    return found


def test_wrong_credentials(place: Any) -> None:
    put(place.open(), "prod/part", b"1")
    wrong = {"secret": "not-the-secret"} if place.kind == "s3" else {"key_filename": None, "password": "not-the-pass"}
    for error in failures(place.open(**wrong)).values():
        assert (error.code, error.exit_code) == ("repository_login", ExitCode.MISSING)
        assert "not-the" not in error.message + error.hint
        assert "options_file" in error.hint


def test_an_access_key_that_nobody_knows(s3: Any) -> None:
    assert {error.code for error in failures(s3.open(key="AKIAnobody")).values()} == {"repository_login"}


def test_a_password_opens_sftp_too(sftp: Any) -> None:
    put(sftp.open(key_filename=None, password="a-password-of-the-server"), "prod/part", b"1")
    assert [entry.path for entry in sftp.open().list_entries()] == ["prod/part"]


def test_a_host_that_is_not_known_is_not_trusted(sftp: Any, tmp_path: Any) -> None:
    (tmp_path / "known_hosts").touch()
    for error in failures(sftp.open(known_hosts=str(tmp_path / "known_hosts"))).values():
        assert error.code == "repository_host_key"
        assert "ssh-keyscan" in error.hint
    put(sftp.open(known_hosts="", host_key_policy="auto_add"), "prod/part", b"1")


def test_a_bucket_that_does_not_exist(s3: Any) -> None:
    s3.url = "s3://no-such-bucket/prod"
    for error in failures(s3.open()).values():
        assert (error.code, error.exit_code) == ("repository_missing", ExitCode.MISSING)
        assert "create the bucket" in error.hint


def test_nobody_listens(place: Any, free_port: Callable[[], int]) -> None:
    port = free_port()
    place.url = place.url.replace(f":{place.server.port}/", f":{port}/")
    changes = {"endpoint_url": f"http://127.0.0.1:{port}"} if place.kind == "s3" else {}
    with pytest.raises(MissingError) as caught:
        place.open(**changes).list_entries()
    assert caught.value.code == "repository_unreachable"
    with pytest.raises(MissingError) as caught:
        put(place.open(**changes), "prod/part", b"1")
    assert caught.value.code == "repository_unreachable"


@pytest.mark.fault
def test_a_server_that_goes_in_the_middle_of_a_write(place: Any) -> None:
    put(place.open(), "prod/part", b"before")
    store = place.open()
    try:
        with pytest.raises(MissingError) as caught, store.open_write("prod/part") as stream:
            stream.write(b"x" * 20 * MIB)
            place.server.kill()
            stream.write(b"x" * 20 * MIB)
        with pytest.raises(MissingError) as new, store.open_write("prod/new") as stream:
            stream.write(b"x")
    finally:
        place.server.start()
    assert (caught.value.code, new.value.code) == ("repository_unreachable",) * 2
    assert [(entry.path, entry.size) for entry in place.open().list_entries()] == [("prod/part", 6)]
    put(store, "prod/part", b"afterwards")  # the same store goes on
    assert store.read_all(["prod/part"]) == {"prod/part": b"afterwards"}


@pytest.mark.fault
def test_a_server_that_goes_in_the_middle_of_a_read(place: Any) -> None:
    size, read = 40 * MIB, 0
    put(place.open(), "prod/part", b"x" * size)
    failure = ""
    try:
        with place.open().open_read("prod/part") as stream:
            read += len(stream.read(1000))
            place.server.kill()
            read += len(stream.read())
    except MissingError as error:
        failure = error.code
    finally:
        place.server.start()
    # What was asked for ahead may all have come before it went; a part of it is never taken for the whole.
    assert (failure, read) in {("repository_unreachable", 1000), ("", size)}


@pytest.mark.fault
def test_a_connection_that_was_lost_between_two_calls_is_made_again(place: Any) -> None:
    store = place.open()
    put(store, "prod/part", b"1")
    place.server.kill()
    place.server.start()
    assert [entry.path for entry in store.list_entries()] == ["prod/part"]
    assert store.read_all(["prod/part"]) == {"prod/part": b"1"}


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_while_it_writes_leaves_nothing_to_be_seen(
    place: Any, wait_until: Callable[..., None], number: int
) -> None:
    code = (
        "import sys; from ragops.adapters.storage.objects import ObjectStore\n"
        f"with ObjectStore({place.url!r}, {place.options!r}).open_write('prod/part') as stream:\n"
        "    stream.write(b'x' * (20 << 20)); print('begun', flush=True)\n"
        "    while True: stream.write(b'x' * (1 << 20))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdout.readline() == b"begun\n"
        os.kill(writer.pid, number)
        _, error = writer.communicate(timeout=240)  # a cut-off SFTP request has a minute
    assert writer.returncode != 0, error
    assert place.open().list_entries() == []
    place.open().clear_leftovers()
    if place.kind == "sftp":
        folder = place.server.data / place.url.rpartition("/")[2]
        wait_until(lambda: not list(folder.rglob(".partial-*")))


@pytest.mark.fault
def test_a_disk_that_is_full_behind_the_server(place: Any) -> None:
    folder = place.server.data / "backups" if place.kind == "s3" else place.server.data
    small = folder / "small"
    small.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], capture_output=True, check=False, text=True
    )
    if done.returncode:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    try:
        base = place.url.rpartition("/")[0]
        place.url = f"{base}/small"
        with pytest.raises(RagopsError) as caught:
            put(place.open(), "prod/part", b"x" * 20 * MIB)
        assert caught.value.code == "repository_error"  # neither protocol has a word for it
        assert "is its disk full?" in caught.value.hint
        assert place.open().list_entries() == []
    finally:
        place.server.kill()
        subprocess.run(["umount", small], check=True)
        place.server.start()


def test_a_protocol_that_nobody_knows_and_one_that_is_not_installed(s3: Any) -> None:
    s3.url = "nonsense://bucket/prod"
    with pytest.raises(UsageError) as caught:
        s3.open().list_entries()
    assert caught.value.code == "repository_protocol"


def test_an_option_that_nobody_knows(place: Any) -> None:
    with pytest.raises(RagopsError) as caught:
        place.open(no_such_option=True).list_entries()
    assert (caught.value.code, caught.value.exit_code) == ("repository_options", ExitCode.USAGE)


def test_a_folder_is_no_file(place: Any) -> None:
    store = place.open()
    put(store, "prod/part", b"1")
    with pytest.raises((StoreMissingError, RagopsError)), store.open_read("prod") as stream:
        assert stream.read() is None
