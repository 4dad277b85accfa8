"""Rendered files in a volume, by the provider that Pulumi uses, on a real Docker engine."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from ragops.errors import decode_error
from ragops.runtimes.docker.containers import files as docker_files
from ragops.runtimes.docker.provision.volume_files import VolumeFilesProvider

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.docker.client import DockerHost

REDIS = "redis:8.0.2"
PROVIDER = VolumeFilesProvider()


@pytest.fixture
def props(image: Callable[[str], str], mine) -> dict[str, Any]:
    return {
        "volume": mine.name("config"),
        "image": image(REDIS),
        "owner": "redis",
        "labels": {**mine.labels, "io.ragops.service": "redis"},
        "files": {"redis.conf": "port 6379\n", "tls/ca.pem": "certificate"},
        "secret_files": {"users.acl": "hunter2"},
    }


def look(docker: DockerHost, props: dict[str, Any], script: str, user: str = "redis") -> list[str]:
    """What a shell in a container with the volume says, run as the service's user."""
    volume = props["volume"]
    done = docker.run_once(
        f"{volume}-test", props["image"], ["sh", "-c", f"cd /etc/ragops; {script}"],
        mounts={volume: "/etc/ragops"}, user=user, capabilities=["DAC_OVERRIDE"] if user == "0" else [],
    )  # fmt: skip
    return done.text.split()


def test_files_belong_to_the_service_and_to_nobody_else(docker: DockerHost, props: dict[str, Any]) -> None:
    PROVIDER.create(props)
    assert look(docker, props, "cat redis.conf tls/ca.pem users.acl") == ["port", "6379", "certificatehunter2"]
    modes = "stat -L -c '%a:%u:%g' redis.conf users.acl tls .data"
    assert look(docker, props, modes) == ["440:999:1000", "400:999:1000", "550:999:1000", "550:999:1000"]
    assert look(docker, props, "ls; cat users.acl", user="33") == ["redis.conf", "tls", "users.acl"]
    assert docker.volume(props["volume"]).labels == props["labels"]
    assert docker.containers({"io.ragops.platform": props["labels"]["io.ragops.platform"]}) == ()


def test_a_second_time_changes_nothing(docker: DockerHost, props: dict[str, Any]) -> None:
    outs = PROVIDER.create(props).outs
    assert not PROVIDER.diff("", outs, props).changes
    assert PROVIDER.create(props).outs == outs
    assert PROVIDER.read("", {**props, **outs}).outs["state"] == "as written"


def test_an_update_takes_the_place_of_all_files(docker: DockerHost, props: dict[str, Any]) -> None:
    outs = PROVIDER.create(props).outs
    news = {**props, "files": {"redis.conf": "port 7000\n"}, "secret_files": {"users.acl": "hunter3"}}
    assert PROVIDER.diff("", outs, news).changes
    outs = PROVIDER.update("", outs, news).outs
    assert look(docker, props, "ls; cat redis.conf users.acl") == ["redis.conf", "users.acl", "port", "7000", "hunter3"]
    assert look(docker, props, "grep -r hunter2 . | wc -l; ls .sets | wc -l", user="0") == ["0", "1"]
    assert PROVIDER.read("", {**news, **outs}).outs["state"] == "as written"


def test_a_change_by_hand_is_seen_and_repaired(docker: DockerHost, props: dict[str, Any]) -> None:
    outs = PROVIDER.create(props).outs
    look(docker, props, "echo more >> .data/redis.conf; rm users.acl", user="0")
    found = PROVIDER.read("", {**props, **outs}).outs
    assert found["state"] == "redis.conf, users.acl changed by hand"
    assert PROVIDER.diff("", found, props).changes
    PROVIDER.update("", found, props)
    assert look(docker, props, "cat redis.conf users.acl") == ["port", "6379", "hunter2"]


def test_a_volume_that_is_gone_is_made_anew(docker: DockerHost, props: dict[str, Any]) -> None:
    outs = PROVIDER.create(props).outs
    docker.remove_volume(props["volume"])
    found = PROVIDER.read("", {**props, **outs}).outs
    assert found["state"] == "gone"
    PROVIDER.update("", found, props)
    assert look(docker, props, "cat users.acl") == ["hunter2"]


def test_what_a_killed_run_left_is_no_obstacle(docker: DockerHost, props: dict[str, Any]) -> None:
    wanted = docker_files.from_props(props)
    binds = {"Binds": [f"{props['volume']}:/files"]}
    docker.create(f"{props['volume']}.files", {"Image": props["image"], "HostConfig": binds})
    half = [f"mkdir -p .sets/{wanted.content_digest()[:16]}", "echo half > .sets/other", "ln -s nowhere .next"]
    look(docker, props, "; ".join(half), user="0")
    PROVIDER.create(props)
    assert look(docker, props, "cat users.acl; echo; ls .sets | wc -l") == ["hunter2", "1"]


def test_a_reader_never_sees_a_mixture(docker: DockerHost, props: dict[str, Any]) -> None:
    sets = [
        {**props, "files": {"a": f"{number}\n", "b": f"{number}\n", "c": f"{number}\n"}, "secret_files": {}}
        for number in range(4)
    ]
    PROVIDER.create(sets[0])
    reader = f"{props['volume']}-reader"
    script = 'while [ ! -e /tmp/stop ]; do d=$(readlink .data) && (cd "$d" && echo $(cat a b c)) || echo gap; done'
    binds = {"Binds": [f"{props['volume']}:/etc/ragops:ro"]}
    body = {"Image": props["image"], "WorkingDir": "/etc/ragops", "Entrypoint": ["sh", "-c", script], "User": "redis"}
    docker.create(reader, {**body, "HostConfig": binds})
    docker.start(reader)
    lines = docker.logs(reader, 1, follow=True)
    seen = {next(lines)}
    for wanted in sets[1:]:
        PROVIDER.update("", {}, wanted)
    docker.exec(reader, ["touch", "/tmp/stop"])
    seen |= set(lines)
    whole = {" ".join([str(number)] * 3) for number in range(4)}
    assert "0 0 0" in seen
    # Between the two steps of the reader itself an old set may be cleared away: that is a gap, never a mixture.
    assert {line for line in seen if len(line.split()) == 3 and "gap" not in line} <= whole


def test_several_volumes_at_once(docker: DockerHost, props: dict[str, Any]) -> None:
    several = [{**props, "volume": f"{props['volume']}-{number}"} for number in range(3)]
    threads = [threading.Thread(target=PROVIDER.create, args=(one,)) for one in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [look(docker, one, "cat users.acl") for one in several] == [["hunter2"]] * 3


def test_deleting_removes_the_volume_unless_it_is_in_use(docker: DockerHost, props: dict[str, Any]) -> None:
    outs = PROVIDER.create(props).outs
    with docker.created(f"{props['volume']}-user", props["image"], mounts={props["volume"]: "/x"}):
        PROVIDER.delete("", outs)
        assert docker.volume(props["volume"]) is not None
    PROVIDER.delete("", outs)
    assert docker.volume(props["volume"]) is None
    PROVIDER.delete("", outs)


def test_an_unknown_user_is_an_error_that_survives_pulumi(docker: DockerHost, props: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError) as raised:
        PROVIDER.create({**props, "owner": "nobody-of-that-name"})
    error = decode_error(str(raised.value))
    assert error is not None
    assert error.code == "user_unknown"
    assert "hunter2" not in str(raised.value)
