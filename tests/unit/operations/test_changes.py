"""What the engine's steps come to, in words."""

from __future__ import annotations

from ragops.adapters.pulumi_events import Action, Phase, Step
from ragops.operations.changes import changes, drifted

CONTAINER = "docker:index/container:Container"


def step(
    action: Action, phase: Phase = Phase.STARTED, name: str = "redis", kind: str = CONTAINER, **values: object
) -> Step:
    return Step(name, kind, action, phase, **values)  # type: ignore[arg-type]


def test_a_replacement_is_one_change_with_what_differs() -> None:
    old, new = {"memory": 256, "name": "rag-redis"}, {"memory": 512, "name": "rag-redis"}
    steps = [step(Action.REPLACE, phase, old=old, new=new) for phase in (Phase.STARTED, Phase.DONE) for _ in range(3)]
    (found,) = changes(steps)
    assert (found.resource, found.action, found.details) == ("redis", Action.REPLACE, ("memory: 256 → 512",))


def test_components_and_refreshes_are_no_changes() -> None:
    assert changes([step(Action.CREATE, kind="ragops:service:Redis"), step(Action.REFRESH)]) == ()


def test_what_is_gone_has_drifted() -> None:
    (found,) = drifted([step(Action.DELETE)])
    assert (found.resource, found.detail) == ("redis", "is gone")
