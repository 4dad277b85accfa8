"""What settings, help and tables depend on about a runtime; light, so that they need not import what runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.spec import RuntimeTraits


@dataclass(frozen=True)
class RuntimeFacts:
    """The facts about one runtime.

    `instances` are what it runs services as, for help. `ignored_settings` are dotted keys of ragops.yaml without effect
    (a section stands for all of its keys), each with the reason, which may be empty. `id_title` heads the column of ids
    in `ragops status`. `manager` is the program that keeps instances running and starts them at boot, empty if there is
    none; `boot_hint` then is how to have that program started at boot.
    """

    name: str
    instances: str
    id_title: str
    traits: RuntimeTraits
    ignored_settings: Mapping[str, str] = field(default_factory=dict)
    manager: str = ""
    boot_hint: str = ""
