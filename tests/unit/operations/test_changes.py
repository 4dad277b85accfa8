"""What the engine's steps come to, in words."""

from __future__ import annotations

from ragops.adapters.pulumi.events import Action, Phase, Step
from ragops.operations.lifecycle.plan_diff import Change, DriftItem, changes, drifted
from ragops.operations.lifecycle.plan_diff import merged as merged_by
from ragops.runtimes.docker.names import describe_resource

CONTAINER = "docker:index/container:Container"


def merged(resources: list[DriftItem], seen: list[tuple[str, str]]) -> tuple[DriftItem, ...]:
    return merged_by(resources, seen, describe_resource)


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


# --- what the plugin's own ways would hide ------------------------------------------------------------------------


def replaced(old: dict[str, object], new: dict[str, object]) -> list[Step]:
    """The steps of a replacement that deletes first, in their order."""
    return [step(Action.REPLACE, old=old), step(Action.REPLACE, old=old, new=new)]


def test_a_replacement_says_what_differs_though_the_old_one_goes_first() -> None:
    assert changes(replaced({"memory": 256}, {"memory": 512})) == (
        Change("redis", Action.REPLACE, ("memory: 256 → 512",)),
    )


def test_what_is_only_stopped_is_started_and_not_replaced() -> None:
    running = {"image": "1", "ports": [{"external": 1}], "mustRun": True}
    stopped = {"image": "1", "ports": [], "mustRun": False}
    assert changes(replaced(stopped, running), {"redis"}, describe_resource) == ()
    assert changes(replaced(stopped, running))[0].action is Action.REPLACE
    (change,) = changes(replaced(stopped, {**running, "image": "2"}), {"redis"}, describe_resource)
    assert "image: 1 → 2" in change.details


def details(old: dict[str, object], new: dict[str, object]) -> tuple[str, ...]:
    return changes([step(Action.UPDATE, old=old, new=new)], describe=describe_resource)[0].details


def test_order_and_the_engines_own_notes_are_no_news() -> None:
    old = {"ports": [{"external": 1}, {"external": 2}], "labels": [{"label": "io.ragops.config", "value": "a"}]}
    new = {
        "ports": [{"__defaults": [], "external": 2}, {"__defaults": [], "external": 1}],
        "labels": [{"label": "io.ragops.config", "value": "b", "__defaults": []}],
        "__defaults": ["x"],
        "container_id": "y",
    }
    assert details(old, new) == ()


def test_of_a_list_only_what_comes_and_goes_is_shown() -> None:
    assert details({"envs": ["A=1", "B=1"]}, {"envs": ["B=2", "A=1"]}) == ("envs: - B=1", "envs: + B=2")
    old, new = [{"label": "team", "value": "a"}], [{"label": "team", "value": "b"}]
    assert details({"labels": old}, {"labels": new}) == ("labels/team: a → b",)


def test_each_thing_has_drifted_once() -> None:
    engine = (DriftItem("redis", "is gone"), DriftItem("redis-ready", "gone"), DriftItem("api-ready", "unhealthy"))
    assert merged(engine, [("redis", "is gone"), ("network", "x is in it")]) == (
        DriftItem("api", "unhealthy"),
        DriftItem("redis", "is gone"),
        DriftItem("network", "x is in it"),
    )
