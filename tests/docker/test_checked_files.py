"""Files that a program of an image judges in a container of its own: its words, no trace of it, and Prometheus' own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ragops.runtimes.docker.containers.checked_files import check_files
from ragops.runtimes.docker.names import DockerNames
from ragops.services.observability import IMAGES
from ragops.services.observability.files_check import FilesCheck, fault_in, files_checks
from ragops.services.observability.settings import ObservabilitySettings
from ragops.services.spec import ConfigFile, Distribution, GatewayEngine, RuntimeTraits
from tests.docker.conftest import NOT_HERE
from tests.docker.platform.test_observability import find_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.docker.client import DockerHost
    from ragops.runtimes.contract import Judgement

IMAGE = "debian:trixie-slim"
NAMES = DockerNames("ragops-test-check", "default")
FILES = (ConfigFile("main.txt", "first\n"), ConfigFile("below/it/second.txt", "second\n", secret=True))
TRAITS = RuntimeTraits(distribution=Distribution.IMAGE, shares_filesystem=False, gateway_engine=GatewayEngine.KONG)


@pytest.mark.parametrize(("code", "good"), [(0, True), (3, False)])
def test_the_program_gets_the_files_and_its_verdict_counts(
    docker: DockerHost, image: Callable[[str], str], code: int, good: bool
) -> None:
    script = f'cd "$(dirname "$0")" && pwd && cat main.txt below/it/second.txt && echo "in $0" >&2; exit {code}'
    found = check_files(docker, NAMES, image(IMAGE), ("sh", "-c", script), FILES)
    assert found is not None
    assert (found.good, found.lines) == (good, ("/ragops-check", "first", "second", "in main.txt"))
    assert docker.container(f"{NAMES.network}.check") is None


def test_without_the_image_nothing_is_judged(docker: DockerHost) -> None:
    assert check_files(docker, NAMES, "ragops-test/none:1", ("true",), FILES) is None


def judge(docker: DockerHost, section: dict[str, Any], title: str) -> tuple[FilesCheck, Judgement]:
    images = {name: find_image(docker, IMAGES[name]) for name in ("prometheus", "alertmanager")}
    if lacking := [IMAGES[name] for name, tag in images.items() if not tag]:
        pytest.skip(f"{NOT_HERE}the image {lacking[0]} (docker pull it, or see tests/docker/images)")
    own = {"image": images["prometheus"], "alertmanager": {"image": images["alertmanager"]}}
    settings = ObservabilitySettings.model_validate({**own, **section})
    labels, secrets = {"platform": "rag", "environment": "default"}, dict.fromkeys(settings.secret_files(), "hunter2")
    (one,) = [check for check in files_checks(settings, labels, secrets, TRAITS) if check.title == title]
    found = check_files(docker, NAMES, str(docker.image_id(one.image)), one.command, one.files)
    assert found is not None
    return one, found


EMAIL = {"type": "email", "to": "a@b.example", "from": "c@b.example", "username": "c", "password_file": "mail.password"}


@pytest.mark.parametrize(("smarthost", "fault"), [("mail.example:587", ""), ("mail.example", "missing port")])
def test_alertmanager_judges_who_hears_of_alerts(docker: DockerHost, smarthost: str, fault: str) -> None:
    _, found = judge(docker, {"notify": [{**EMAIL, "smarthost": smarthost}]}, "Alertmanager")
    assert found.good is not bool(fault), found.lines
    assert found.good or fault in fault_in(found.lines)


@pytest.mark.parametrize(("interval", "fault"), [("15s", ""), ("999999999y", "duration")])
def test_prometheus_judges_configuration_and_rules(docker: DockerHost, interval: str, fault: str) -> None:
    one, found = judge(docker, {"scrape_interval": interval}, "Prometheus")
    assert found.good is not bool(fault), found.lines
    assert found.good or fault in fault_in(found.lines)
    rules = [file for file in one.files if file.name.startswith("rules/")]
    assert not found.good or f"  SUCCESS: {len(rules)} rule files found" in found.lines, found.lines
