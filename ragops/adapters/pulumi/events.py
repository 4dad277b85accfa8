"""The engine's events as ragops's own small values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pulumi.automation import EngineEvent
    from pulumi.automation.events import StepEventMetadata

    from ragops.adapters.progress import Progress

SECRET_TEXT = "[secret]"  # noqa: S105  what the engine shows in a secret's place
_STACK_TYPE = "pulumi:pulumi:Stack"
_OWN_TYPES = "pulumi:"  # the stack itself and its providers: nothing a user declared


class Action(StrEnum):
    """The operation on a resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    REFRESH = "refresh"


class Phase(StrEnum):
    """The phase of a step."""

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"


_ACTIONS = {
    "create": Action.CREATE, "update": Action.UPDATE, "delete": Action.DELETE, "refresh": Action.REFRESH,
    # "replace" itself does nothing: it stands between the two steps that do.
    "create-replacement": Action.REPLACE, "delete-replaced": Action.REPLACE,
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One event in the life of a resource; `old` and `new` are its properties, secrets masked by the engine.

    `resource` is the last part of its URN, `type` its type.
    """

    resource: str
    type: str
    action: Action
    phase: Phase
    old: Mapping[str, Any] = field(default_factory=dict)
    new: Mapping[str, Any] = field(default_factory=dict)
    old_outputs: Mapping[str, Any] = field(default_factory=dict)
    new_outputs: Mapping[str, Any] = field(default_factory=dict)
    urn: str = ""


OnStep: TypeAlias = "Callable[[Step | Progress], None]"


@dataclass
class EventRecorder:
    """Collects steps and messages of one run, and passes each step on as it happens."""

    on_step: Callable[[Step], None] | None = None
    steps: list[Step] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    outputs: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, event: EngineEvent) -> None:
        """Record an event: the callback `on_event` of the Automation API."""
        if event.diagnostic_event and event.diagnostic_event.severity == "error":
            self.messages.append(event.diagnostic_event.message)
        done = event.res_outputs_event
        if done and done.metadata.type == _STACK_TYPE and done.metadata.new:
            self.outputs = done.metadata.new.outputs or {}
        for phase, happened in (
            (Phase.STARTED, event.resource_pre_event),
            (Phase.DONE, done),
            (Phase.FAILED, event.res_op_failed_event),
        ):
            step = _step(happened.metadata, phase) if happened else None
            if step:
                self.steps.append(step)
                if self.on_step:
                    self.on_step(step)


def _step(metadata: StepEventMetadata, phase: Phase) -> Step | None:
    action = _ACTIONS.get(str(getattr(metadata.op, "value", metadata.op)))
    if action is None or metadata.type.startswith(_OWN_TYPES):
        return None
    old, new = metadata.old, metadata.new
    return Step(
        resource=metadata.urn.rpartition("::")[2],
        type=metadata.type,
        action=action,
        phase=phase,
        old=(old and old.inputs) or {},
        new=(new and new.inputs) or {},
        old_outputs=(old and old.outputs) or {},
        new_outputs=(new and new.outputs) or {},
        urn=metadata.urn,
    )
