"""Facts about the embedded runtime."""

from __future__ import annotations

from ragops.runtimes.facts import RuntimeFacts
from ragops.services.spec import RuntimeTraits

FACTS = RuntimeFacts(
    name="embedded",
    instances="processes",
    id_title="PID",
    traits=RuntimeTraits(),
    ignored_settings={"expose": "", "qdrant.nodes": "the engine is a single node"},
)
