"""What a plan says, from the engine's steps: readable, and never a secret."""

from __future__ import annotations

from typing import Any

import pytest

from ragops.adapters.pulumi.events import Action, Phase, Step
from ragops.operations.lifecycle.plan_diff import Change, DriftItem, changes, drifted

CONF = "bind 127.0.0.1\nport 6379\n-- a comment\nmaxmemory 256mb\nmaxmemory-policy allkeys-lru\n"
# How the engine shows a secret inside an object: a marker, and the ciphertext masked.
SEALED = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}


def step(action: Action, phase: Phase = Phase.STARTED, kind: str = "pulumi-python:dynamic/ragops:Process", **more: Any):
    return Step("redis", kind, action, phase, **more)


def update(old: dict[str, Any], new: dict[str, Any], **more: Any) -> tuple[str, ...]:
    (change,) = changes([step(Action.UPDATE, old=old, new=new, **more)])
    return change.details


def test_each_resource_is_one_change_however_many_events_it_has() -> None:
    steps = [step(Action.CREATE), step(Action.CREATE, Phase.DONE), step(Action.CREATE, Phase.FAILED)]
    assert changes(steps) == (Change("redis", Action.CREATE),)


def test_components_and_refreshes_are_no_changes() -> None:
    assert changes([step(Action.REFRESH), step(Action.CREATE, kind="ragops:service:Redis")]) == ()


def test_a_changed_line_is_shown_with_its_neighbours() -> None:
    details = update({"files": {"redis.conf": CONF}}, {"files": {"redis.conf": CONF.replace("256mb", "1gb")}})
    assert details == (
        "files/redis.conf",
        "   -- a comment",
        "  -maxmemory 256mb",
        "  +maxmemory 1gb",
        "   maxmemory-policy allkeys-lru",
    )


@pytest.mark.parametrize(("line", "sign"), [("-- a comment", "-"), ("++ twice", "+")])
def test_lines_that_look_like_a_diffs_own_are_shown(line: str, sign: str) -> None:
    with_it, without = f"a\n{line}\nb\n", "a\nb\n"
    before, after = (with_it, without) if sign == "-" else (without, with_it)
    assert f"  {sign}{line}" in update({"files": {"x.sql": before}}, {"files": {"x.sql": after}})


def test_a_long_text_is_cut() -> None:
    details = update({"files": {"x": "a\n"}}, {"files": {"x": "".join(f"{i}\n" for i in range(30))}})
    assert len(details) == 22
    assert details[-1] == "  … 11 more lines"


def test_single_values_are_shown_both_ways() -> None:
    assert update({"version": "1", "stop_grace": 10.0}, {"version": "2", "stop_grace": 30.0, "user": "nobody"}) == (
        "stop_grace: 10 → 30",
        "user: (none) → nobody",
        "version: 1 → 2",
    )


def test_ports_are_whole_numbers() -> None:
    assert update({"ports": {"redis": 6379.0}}, {"ports": {"redis": 6380.0}}) == ("ports/redis: 6379 → 6380",)


def test_a_new_and_a_vanished_file_are_shown() -> None:
    details = update({"files": {"old.conf": "a\n"}}, {"files": {"new.conf": "b\n"}})
    assert details == ("files/new.conf", "  +b", "files/old.conf", "  -a")


@pytest.mark.parametrize(
    ("before", "after"),
    [("[secret]", SEALED), (SEALED, "[secret]"), (None, "[secret]"), ({"users.acl": "hunter2\n"}, "[secret]"),
     (SEALED, {"users.acl": "hunter2\n"}), ("hunter2", SEALED)],
)  # fmt: skip
def test_a_secret_changes_without_a_word_of_it(before: Any, after: Any) -> None:
    details = update({"secret_files": before}, {"secret_files": after})
    assert details == ("secret_files: secret values change",)


def test_a_secret_among_files_is_hidden_and_the_others_are_not() -> None:
    old = {"files": {"a.conf": "x = 1\n", "key": "[secret]"}}
    new = {"files": {"a.conf": "x = 2\n", "key": SEALED}}
    assert update(old, new) == ("files/a.conf", "  -x = 1", "  +x = 2", "files/key: secret values change")


def test_what_ragops_keeps_for_itself_is_no_news() -> None:
    assert update({"digest": "a", "__provider": "x", "id": "1"}, {"digest": "b", "__provider": "y", "id": "2"}) == ()


def test_a_stopped_process_says_why_it_is_touched() -> None:
    (detail,) = update({}, {}, old_outputs={"state": "stopped"})
    assert "is stopped" in detail
    assert update({}, {}, old_outputs={"state": "running"}) == ()


# --- drift ---------------------------------------------------------------------------------------------------------


def refreshed(before: str, after: str) -> Step:
    return step(Action.REFRESH, Phase.DONE, old_outputs={"state": before}, new_outputs={"state": after})


def test_what_the_refresh_found_otherwise_is_drift() -> None:
    assert drifted([refreshed("running", "stopped")]) == (DriftItem("redis", "stopped"),)


def test_what_is_as_it_was_is_none() -> None:
    assert drifted([refreshed("running", "running"), step(Action.REFRESH)]) == ()


def test_a_resource_is_named_once() -> None:
    started = step(Action.REFRESH, old_outputs={"state": "running"}, new_outputs={"state": "stopped"})
    assert len(drifted([started, refreshed("running", "stopped")])) == 1


def test_what_the_engine_would_forget_is_gone() -> None:
    steps = [step(Action.DELETE), step(Action.DELETE, kind="ragops:service:Redis")]
    assert drifted(steps) == (DriftItem("redis", "is gone"),)
