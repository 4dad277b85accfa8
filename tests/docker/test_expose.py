"""Ports on two addresses, IPv6 among them: published on both, and no reason to make the container anew."""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING, Any

import pulumi_docker
import pytest

from ragops.adapters.pulumi import install
from ragops.adapters.pulumi.engine import PulumiStack
from ragops.adapters.pulumi.events import Action
from ragops.adapters.pulumi.options import StackOptions
from ragops.runtimes.docker.provision.args import _ports, addresses
from ragops.services.redis import IMAGE
from ragops.services.spec import ServiceSpec, TcpCheck

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost

pytestmark = pytest.mark.engine


def test_ports_on_an_ipv6_address_stay_as_they_are(docker: DockerHost, tmp_path: Path) -> None:
    engine = install.find()
    if engine is None or docker.image(IMAGE) is None:
        pytest.skip("there is no Pulumi engine, or no image of Redis: no port was published on IPv6")
    with socket.create_server(("::", 0), family=socket.AF_INET6) as probe:
        port = probe.getsockname()[1]
    name = f"ragopst-expose-{secrets.token_hex(4)}"
    spec = ServiceSpec("redis", "1", (), (), {"redis": 6379}, TcpCheck(1), publish={"redis": port})

    def program() -> None:
        ports: Any = _ports(spec, addresses("::"), docker.published(name))
        pulumi_docker.Container(
            "c", name=name, image=IMAGE, entrypoints=["sleep"], command=["300"], must_run=True, ports=ports
        )

    options = StackOptions("expose", "default", tmp_path / "w", tmp_path / "passphrase")
    stack = PulumiStack(engine, options, program)
    try:
        stack.up()
        assert sorted(docker.published(name)[6379]) == ["127.0.0.1", "::"]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port), timeout=10).close()
        assert {step.action for step in stack.preview()} <= {Action.REFRESH}
    finally:
        stack.destroy()
