"""The RAG API as a Pulumi component."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pulumi

from ragops.adapters.qdrant.sparse import LANGUAGE
from ragops.services.api import (
    INGEST_SECRET,
    INGEST_SERVICE,
    OPERATOR_SECRET,
    OPERATOR_SERVICE,
    VERSION,
)
from ragops.services.api.configuration import (
    INNER_PORT,
    ApiInputs,
    image_spec,
    known_models,
    service_spec,
    vector_settings,
    without_model,
)
from ragops.services.contract import Endpoint, Login
from ragops.services.spec import local_endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ragops.services.contract import Declaration
    from ragops.services.spec import Layout, Runtime


class Api(pulumi.ComponentResource):
    """The RAG service; the options `embedder` and `models` of its `endpoint` are what it embeds with."""

    def __init__(self, inputs: ApiInputs, runtime: Runtime, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ragops:service:Api", "api", None, opts)
        layout = runtime.layout("api", image_spec(inputs.settings))
        self.process = runtime.run(service_spec(inputs, layout), self)
        self.endpoint = _endpoint(inputs, runtime, layout)
        self.register_outputs({"endpoint": self.endpoint.to_dict()})


def _endpoint(inputs: ApiInputs, runtime: Runtime, layout: Layout) -> Endpoint:
    settings = inputs.settings
    models = known_models(settings, layout.distribution, inputs.ollama, inputs.ollama_models)
    # Search by words alone asks no model, whatever made the vectors that are there.
    asked = {} if inputs.search.get("mode") == "sparse" else models
    return local_endpoint(
        "api",
        runtime,
        layout,
        engine="ragops",
        version=VERSION,
        port=settings.port,
        inner_port=INNER_PORT,
        options={
            "embedder": next(iter(models)),
            "models": json.dumps({name: vector_settings(spec) for name, spec in asked.items()}) if asked else "",
            "workers": str(settings.workers),
            **_language(inputs.search),
        },
        logins={
            "operator": Login(OPERATOR_SERVICE, OPERATOR_SECRET),
            "application": Login(INGEST_SERVICE, INGEST_SECRET),
        },
    )


def declare(declaration: Declaration, options: pulumi.ResourceOptions | None = None) -> Api:
    """Declare the component on the platform's stack; it reads the public keys of the tokens (`jwks_file`, `keys`)."""
    before = declaration.before
    ollama, search = before.get("ollama"), declaration.own["search"]
    inputs = ApiInputs(
        settings=without_model(declaration.settings) if search.get("mode") == "sparse" else declaration.settings,
        platform=declaration.platform,
        qdrant=before["qdrant"],
        redis=before["redis"],
        database=before["timescaledb"],
        jwks_file=declaration.own["jwks_file"],
        secrets=declaration.secrets,
        keys=declaration.own["keys"],
        search=search,
        ollama="http://{}:{}".format(*ollama.internal_address) if ollama else "",
        ollama_models=ollama.options["models"].split(",") if ollama else (),
        model_keys=declaration.own["model_keys"],
    )
    return Api(inputs, declaration.runtime, options)


def _language(search: Mapping[str, Any]) -> dict[str, str]:
    """Return the option that names the language of words if it is not the default."""
    language = search.get("language", LANGUAGE)
    return {} if language == LANGUAGE else {"language": language}
