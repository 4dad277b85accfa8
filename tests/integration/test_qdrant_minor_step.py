"""From one minor version of the real server to the next, node by node, in the order of `ragops up`, under load.

The two servers are what RAGOPS_TEST_QDRANT_BEFORE and RAGOPS_TEST_QDRANT name, as processes; the step from 1.17 to
1.18 is the one that nodes which ask one another for the key would not survive.
"""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ragops.adapters.pulumi.events import Action, Phase, Step
from ragops.operations.cluster import rolling_update
from ragops.operations.lifecycle import provision
from ragops.runtimes.docker.facts import FACTS as DOCKER
from ragops.runtimes.docker.names import describe_resource, resources_of
from ragops.services.qdrant.cluster.cluster import node_versions, wait_all_active
from ragops.services.qdrant.settings import QdrantSettings
from tests.qdrant_processes import BINARY, BINARY_BEFORE, KEY, Cluster, binary, cluster, done, fill

if TYPE_CHECKING:
    from pathlib import Path

HOST = SimpleNamespace(facts=DOCKER, describe_resource=describe_resource, resources_of=resources_of)
pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]
POINTS = 500


def replaced(node: str) -> Step:
    return Step(node, "docker:index/container:Container", Action.REPLACE, Phase.STARTED, {"image": 1}, {"image": 2})


class Stacks:
    """What Pulumi's stacks would do to the nodes, done to processes."""

    def __init__(self, made: Cluster, after: Path) -> None:
        self.made, self.after = made, after
        self.state = {f"qdrant-{number}": ("before", True) for number in made.numbers}
        self.restarts: list[str] = []

    def stack(self, *_arguments: object, mixed: tuple[str, ...] = ()) -> Any:
        nodes_ask = "qdrant" not in mixed
        wanted = ("after", nodes_ask)

        def preview() -> list[Step]:
            return [replaced(node) for node, now in self.state.items() if now != wanted]

        def up(_on_step: object, resources: tuple[str, ...]) -> Any:
            node = resources[0]
            number = int(node.rpartition("-")[2])
            self.made.stop(number)
            self.made.start(number, self.after, SERVICE__ENFORCE_INTERNAL_AUTH=str(nodes_ask).lower())
            self.state[node] = wanted
            self.restarts.append(f"{node} {'asks' if nodes_ask else 'is new'}")
            return SimpleNamespace(steps=[replaced(node)])

        return SimpleNamespace(preview=preview, up=up)


class Load:
    """Searches that go to the next node where one does not answer, as the API's do, and writes."""

    def __init__(self, made: Cluster) -> None:
        self.made, self.over = made, threading.Event()
        self.reads, self.failed, self.written = 0, list[str](), list[int]()
        self.threads = [threading.Thread(target=self.read), threading.Thread(target=self.write)]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(120)

    def _ask(self, method: str, path: str, body: Any, seconds: float) -> str:
        said = ""
        for number in (*self.made.numbers, *self.made.numbers):
            try:
                url = f"{self.made.url(number)}{path}"
                answer = httpx.request(
                    method, url, json=body, headers={"api-key": KEY}, timeout=seconds, trust_env=False
                )
                if answer.status_code == 200:
                    return ""
                said = answer.text
            except httpx.HTTPError as error:
                said = repr(error)
        return said

    def read(self) -> None:
        while not self.over.is_set():
            if said := self._ask("POST", "/collections/docs/points/query", {"query": [1.0] * 8, "limit": 3}, 15):
                self.failed.append(said)
            self.reads += 1

    def write(self) -> None:
        number = 10_000
        while not self.over.is_set():
            number += 1
            points = {"points": [{"id": number, "vector": [1.0] * 8}]}
            if not self._ask("PUT", "/collections/docs/points?wait=true", points, 30):
                self.written.append(number)
            time.sleep(0.05)


@pytest.mark.parametrize("copies", [2, 3])
def test_no_search_fails_and_no_write_is_lost(monkeypatch: pytest.MonkeyPatch, copies: int) -> None:
    before, after = binary(BINARY_BEFORE), binary(BINARY)
    with cluster(3, before) as made:
        with made.http() as api:
            fill(api, "docs", POINTS, shard_number=2, replication_factor=copies)
        stacks = Stacks(made, after)
        monkeypatch.setattr(rolling_update, "open_stack", stacks.stack)
        endpoint = made.endpoint
        settings = SimpleNamespace(section=lambda _service: QdrantSettings(), runtime="docker")
        session: Any = SimpleNamespace(
            project=SimpleNamespace(settings=settings), host=HOST,
            make_secrets=dict, endpoints=lambda: {"qdrant": endpoint},
        )  # fmt: skip
        with Load(made) as load:
            provision._preview_and_confirm(session, stacks.stack(), (), None, lambda _progress: None)
        nodes = [f"qdrant-{number}" for number in made.numbers]
        assert stacks.restarts == [*(f"{node} is new" for node in nodes), *(f"{node} asks" for node in nodes)]
        assert len(set(node_versions(endpoint).values())) == 1
        wait_all_active(endpoint, 60)  # a write that its end caught may have left one to be filled
        assert load.failed == []
        assert load.reads > 50
        with made.http(2) as api:
            body = {"ids": [*range(POINTS), *load.written], "with_payload": False}
            assert len(done(api.post("/collections/docs/points", json=body))) == POINTS + len(load.written)
