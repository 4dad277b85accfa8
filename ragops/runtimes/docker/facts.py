"""Facts about the docker runtime."""

from __future__ import annotations

from ragops.runtimes.facts import RuntimeFacts
from ragops.services.spec import Distribution, GatewayEngine, RuntimeTraits

TRAITS = RuntimeTraits(
    distribution=Distribution.IMAGE, shares_filesystem=False, gateway_engine=GatewayEngine.KONG
)  # fmt: skip

FACTS = RuntimeFacts(
    name="docker",
    instances="containers",
    id_title="CONTAINER",
    traits=TRAITS,
    ignored_settings={
        "data_dir": "the data lie in Docker's volumes",
        "run_as": "each image has a user of its own",
        "observability.program": "Prometheus is an image",
        "observability.envoy_port": "Kong's statistics are read inside its network",
    },
    manager="the Docker engine",
    boot_hint="`systemctl enable docker`",
)
