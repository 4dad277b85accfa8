"""A gateway to be asked over HTTP, and the echo behind it.

The contract is asked of the real Envoy of the wheel and, where Docker and its image are here, of the real Kong, both
configured by ragops from one policy. Any other gateway: set RAGOPS_TEST_GATEWAY to a JSON file with `url`, `tls_url`
and `certificate` (may be empty), `policy` (a GatewayPolicy; our echo will listen on its upstream's port), `kid` and
`key` (the PEM of a private key whose public half that gateway takes).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ragops.services.gateway.policy import GatewayPolicy
from tests.contract.gateway.asked import Gateway, until_upstream_answers
from tests.contract.gateway.envoy_engine import EnvoyGateway, running_envoy
from tests.contract.gateway.kong_engine import KongGateway, running_kong
from tests.contract.gateway.upstream import Signer, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIGIN = "https://app.example"
ENGINES: dict[str, Any] = {"envoy": running_envoy, "kong": running_kong}
KINDS = ("envoy", pytest.param("kong", marks=pytest.mark.docker))
PATIENT = {"requests": 1, "per": "minute", "burst": 100_000}  # what is used up stays so for the length of a test


def _given(path: Path) -> Gateway:
    values = json.loads(path.read_text())
    policy = GatewayPolicy.model_validate(values["policy"])
    key = load_pem_private_key(values["key"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    signer = Signer(values["kid"], key)
    upstream = Upstream(policy.upstream.port)
    return Gateway(values["url"], values["tls_url"], values["certificate"], policy, signer, upstream)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The contract of every gateway, or of the given one alone."""
    if "gateway" in metafunc.fixturenames:
        engines = ["given"] if os.environ.get("RAGOPS_TEST_GATEWAY") else KINDS
        metafunc.parametrize("gateway", engines, indirect=True, scope="module")


@pytest.fixture(scope="module")
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """One gateway for a whole module of questions."""
    if request.param == "given":
        given = _given(Path(os.environ["RAGOPS_TEST_GATEWAY"]))
        until_upstream_answers(given)
        yield given
        given.upstream.stop()
        return
    limit = {"requests": 100, "per": "second", "burst": 400}
    with ENGINES[request.param](origins=(ORIGIN,), body_limit="64kb", rate_limit=limit) as (_, found):
        yield found


@pytest.fixture(scope="module", params=KINDS)
def shared_engine(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Gateway]]:
    """Our own gateway of each kind for a module, as `engine` leaves it."""
    with ENGINES[request.param](rate_limit=PATIENT) as found:
        yield found


@pytest.fixture
def engine(shared_engine: tuple[Any, Gateway]) -> Iterator[tuple[Any, Gateway]]:
    """Our own gateway of each kind, to be changed while it runs; afterwards it is as it was."""
    yield shared_engine
    shared_engine[0].apply()


@pytest.fixture(params=KINDS)
def own_engine(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Gateway]]:
    """Our own gateway of each kind for one test, to be stopped."""
    with ENGINES[request.param](rate_limit=PATIENT) as found:
        yield found


@pytest.fixture
def envoy_gateway() -> Iterator[tuple[EnvoyGateway, Gateway]]:
    """Our own Envoy, to be changed while it runs."""
    with running_envoy(rate_limit=PATIENT) as found:
        yield found


@pytest.fixture
def kong_gateway() -> Iterator[tuple[KongGateway, Gateway]]:
    """Our own Kong, to be changed while it runs."""
    with running_kong(rate_limit=PATIENT) as found:
        yield found
