"""The picture of the platform: which services there are and what they are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from ragops.services.api.component import Api, ApiArgs
from ragops.services.api.configuration import ApiInputs
from ragops.services.gateway.component import Gateway, GatewayArgs
from ragops.services.ollama.component import Ollama, OllamaArgs
from ragops.services.qdrant.component import Qdrant, QdrantArgs
from ragops.services.redis.component import Redis, RedisArgs
from ragops.services.timescaledb.component import Timescale, TimescaleArgs

if TYPE_CHECKING:
    from ragops.operations.lifecycle.stack import PlatformInputs


def program(inputs: PlatformInputs) -> None:
    """Declare every service and export how to reach it."""
    settings, secrets, runtime = inputs.settings, inputs.secrets, inputs.runtime

    timescale = Timescale(TimescaleArgs(settings.timescaledb, secrets, runtime))
    redis = Redis(RedisArgs(settings.redis, secrets, runtime))
    qdrant = Qdrant(QdrantArgs(settings.qdrant, secrets, runtime, inputs.nodes_ask))

    ollama = (Ollama(OllamaArgs(settings.ollama, runtime)),) if settings.ollama else ()

    before = (timescale, redis, qdrant, *ollama)
    api_inputs = ApiInputs(
        settings=settings.api,
        platform=settings.name,
        qdrant=qdrant.endpoint,
        redis=redis.endpoint,
        database=timescale.endpoint,
        jwks_file=inputs.jwks_file,
        secrets=secrets,
        keys=inputs.door.keys,
        ollama="".join("http://{}:{}".format(*one.endpoint.inner) for one in ollama),
    )
    api = Api(ApiArgs(api_inputs, runtime), pulumi.ResourceOptions(depends_on=list(before)))
    door = inputs.door.behind(api.endpoint.inner)
    gateway = Gateway(GatewayArgs(door, runtime), pulumi.ResourceOptions(depends_on=[api]))

    services = (*before, api, gateway)
    pulumi.export("endpoints", {service.endpoint.service: service.endpoint.to_dict() for service in services})
