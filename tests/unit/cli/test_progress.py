"""What is said of steps and of what takes its time, and how often."""

from __future__ import annotations

import pytest

from ragops.adapters.docker.images import PullProgress
from ragops.adapters.progress import Progress
from ragops.adapters.pulumi.events import Action, Phase, Step
from ragops.cli.progress import _Lines
from ragops.runtimes.docker.images.store import _pulling

CONTAINER = "docker:index/container:Container"
READY = "pulumi-python:dynamic/ragops:Ready"


def lines(pause: float, *steps: Step | Progress) -> list[tuple[str, bool]]:
    said: list[tuple[str, bool]] = []
    taker = _Lines(lambda text, final: said.append((text, final)), pause)
    for step in steps:
        taker.take(step)
    return said


def test_without_a_terminal_progress_is_not_repeated_at_once() -> None:
    redis = [Progress("redis:8", f"pulling {percent}%") for percent in range(100)]
    said = lines(3600, *redis, Progress("kong:3", "pulling"), Progress("redis:8", "pulled", final=True))
    assert said == [("redis:8: pulling 0%", False), ("kong:3: pulling", False), ("redis:8: pulled", True)]


def test_on_a_terminal_everything_is_shown() -> None:
    assert len(lines(0, *(Progress("redis:8", f"pulling {percent}%") for percent in range(100)))) == 100


@pytest.mark.parametrize(
    ("kind", "action", "words"),
    [
        (CONTAINER, Action.CREATE, "starting"),
        (CONTAINER, Action.DELETE, "stopping"),
        (READY, Action.CREATE, "waiting until it serves"),
        (READY, Action.UPDATE, "waiting until it serves"),
        ("docker:index/volume:Volume", Action.CREATE, "making"),
        ("docker:index/network:Network", Action.DELETE, "removing"),
        ("pulumi-python:dynamic/ragops:VolumeFiles", Action.UPDATE, "changing"),
        ("pulumi-python:dynamic/ragops:Process", Action.UPDATE, "updating"),
    ],
)
def test_words_fit_what_it_is(kind: str, action: Action, words: str) -> None:
    assert lines(5, Step("redis", kind, action, Phase.STARTED)) == [(f"redis: {words}", False)]


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("docker:index/remoteImage:RemoteImage", Action.CREATE),
        (READY, Action.DELETE),
        ("ragops:service:Redis", Action.CREATE),
        (CONTAINER, Action.REFRESH),
    ],
)
def test_what_is_no_news_is_not_said(kind: str, action: Action) -> None:
    assert lines(5, Step("redis", kind, action, Phase.STARTED), Step("redis", kind, action, Phase.DONE)) == []


def test_a_pull_says_percent_bytes_and_layers() -> None:
    assert _pulling(PullProgress("redis:8", 0, 0, 1, 4)).text == "pulling, 1 of 4 layers"
    done = _pulling(PullProgress("redis:8", 12_300_000, 41_000_000, 1, 4))
    assert done == Progress("redis:8", "pulling 30%, 11.7 MiB of 39.1 MiB, 1 of 4 layers")
