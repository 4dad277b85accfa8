"""From settings to api.json and the service's specification. Pure values, no Pulumi."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ragops.embedding.spec import HASHING_DIMENSIONS, STATIC_DIMENSIONS, ModelSpec
from ragops.errors import UsageError
from ragops.services.api import IMAGE, INGEST_SECRET, INGEST_SERVICE, OPERATOR_SECRET, OPERATOR_SERVICE, VERSION
from ragops.services.api.settings import ServerSettings
from ragops.services.image_references import size_bytes
from ragops.services.secret_names import UNTIL, values
from ragops.services.spec import ConfigFile, Distribution, ExecCheck, HttpCheck, ImageSpec, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ragops.services.api.settings import ApiSettings, EmbedderSettings
    from ragops.services.contract import Endpoint
    from ragops.services.spec import Layout

INNER_PORT = 8080
KEYS_FILE = "jwks.json"  # of the hot files: a token that is issued or revoked restarts nothing
_USER = "10001:10001"  # as images/api/Dockerfile makes it
_ALIVE = "/healthz"
QDRANT_FILE, REDIS_FILE, DATABASE_FILE = "qdrant.key", "redis.password", "database.password"
TOKENS_FILE = "service_tokens.json"
_FAR = "9999-12-31T00:00:00+00:00"  # until the rotation sets another time
_TOKENS = {OPERATOR_SERVICE: OPERATOR_SECRET, INGEST_SERVICE: INGEST_SECRET}


def embedder(settings: EmbedderSettings, distribution: Distribution, ollama: str = "") -> ModelSpec:
    """Return the embedder of questions and documents; `ollama` is the URL of the platform's own server, if any.

    Raises UsageError (embedder_missing) if services run from images and no model is named: an embedder without a
    server of models has to be chosen there.
    """
    match settings.kind:
        case "hashing":
            return _local(ModelSpec(kind="hashing", dimensions=settings.dimensions))
        case "static":
            return _local(ModelSpec(kind="static"))
        case "openai":
            return _served(settings, "openai", settings.url, settings.model)
    url = settings.server or ollama
    if url:
        return _served(settings, "ollama", url, settings.model)
    if distribution is not Distribution.WHEEL:
        hint = (
            "add a section `ollama: {models: [nomic-embed-text]}`, name a server in `api: {embedder: {ollama_url: …}}`,"
            " or choose `kind: static`, which needs no server"
        )
        raise UsageError(
            "embedder_missing", "cannot start the API: a platform from container images needs an embedding model", hint
        )
    # Its weights come as wheels for some machines only.
    has_weights = find_spec("wordllama") is not None and not settings.dimensions
    return _local(ModelSpec(kind="static" if has_weights else "hashing", dimensions=settings.dimensions))


def without_model(settings: ApiSettings) -> ApiSettings:
    """Return the settings of an API that searches by words alone: whatever its embedder is, nothing asks it."""
    return settings.model_copy(update={"embedder": settings.embedder.model_copy(update={"kind": "hashing"})})


def known_models(
    settings: ApiSettings, distribution: Distribution, ollama: str = "", own: Sequence[str] = ()
) -> dict[str, ModelSpec]:
    """Return the embedders that collections may name, by name; the first is the platform's own.

    `own` are the models of the platform's own server. Those without a server (`embedding.spec.local_spec`) are known
    besides. Raises UsageError as `embedder` does.
    """
    default = embedder(settings.embedder, distribution, ollama)
    found = {default.space: default}
    for name, model in settings.models.items():
        url = model.url or (settings.ollama_url or ollama if model.kind == "ollama" else settings.embedder.url)
        if name in found:
            what = f"cannot name a model {name}: it is the name of the platform's own embedder"
            raise UsageError("model_named_twice", what, "give it another name, or take it out")
        found[name] = _served(model, model.kind, url, model.model or name, name)
    if ollama:
        for name in own:
            found.setdefault(name, ModelSpec(kind="ollama", url=ollama, model=name))
    return found


def vector_settings(spec: ModelSpec) -> dict[str, Any]:
    """Return what the vectors of passages depend on: other values make others of them."""
    return {"model": spec.model, "dimensions": spec.dimensions, "passage_prefix": spec.prefixes[1]}


def _local(spec: ModelSpec) -> ModelSpec:
    dimensions = STATIC_DIMENSIONS if spec.kind == "static" else spec.dimensions or HASHING_DIMENSIONS
    return spec.model_copy(update={"model": spec.space, "dimensions": dimensions})


def _served(settings: ServerSettings, kind: str, url: str, model: str, name: str = "") -> ModelSpec:
    shared = {field: getattr(settings, field) for field in ServerSettings.model_fields}
    return ModelSpec.model_validate({**shared, "kind": kind, "url": url, "model": model, "name": name})


@dataclass(frozen=True)
class ApiInputs:
    """What the API is made from: its settings, and where the other services are.

    `jwks_file` is the path of the public keys on this machine, `keys` their content; `secrets` by name.
    `ollama` is the URL of the platform's own server of models as the API reaches it, empty without one, and
    `ollama_models` are its models. `model_keys` are the contents of the settings' key files, by their names there.
    `search` is the section of ragops.yaml.
    """

    settings: ApiSettings
    platform: str
    qdrant: Endpoint
    redis: Endpoint
    database: Endpoint
    jwks_file: str
    secrets: Mapping[str, str]
    keys: Mapping[str, Any] = field(default_factory=dict)
    ollama: str = ""
    search: Mapping[str, Any] = field(default_factory=dict)
    ollama_models: Sequence[str] = ()
    model_keys: Mapping[str, str] = field(default_factory=dict)


def image_spec(settings: ApiSettings) -> ImageSpec:
    """Return the image and what is known of its inside; it keeps no data."""
    return ImageSpec(
        reference=settings.image or IMAGE,
        mount="",
        user=_USER,
        writable=("/tmp",),  # noqa: S108 - the container's own
        hot_dir="/etc/ragops-hot",
    )


def service_spec(inputs: ApiInputs, layout: Layout) -> ServiceSpec:
    """Return the service as a runtime sees it; raises UsageError as `embedder` does."""
    settings, secrets = inputs.settings, inputs.secrets
    port = layout.port(settings.port, INNER_PORT)
    config = api_config(inputs, layout)
    keys = ConfigFile(KEYS_FILE, json.dumps(inputs.keys, indent=2) + "\n")
    own, hot = layout.split(*_secret_files(inputs, secrets), *(() if layout.shares_filesystem else (keys,)))
    return ServiceSpec(
        service="api",
        version=VERSION,
        command=("python", "-m", "ragops.api", f"{layout.config_dir}/api.json"),
        files=(
            ConfigFile("api.json", json.dumps(config, indent=2) + "\n"),
            *own,
        ),
        ports={"api": port},
        # Not /readyz: a dependency that is away must not have the API taken for dead.
        health=_asked_inside(port) if layout.internal_host else HttpCheck(port, _ALIVE),
        stop_grace=20.0,
        start_timeout=60.0,
        image=image_spec(settings),
        publish={"api": settings.port},
        memory=size_bytes(settings.memory),
        hot=hot,
    )


def _secret_files(inputs: ApiInputs, secrets: Mapping[str, str]) -> tuple[ConfigFile, ...]:
    """Return the API's credentials, which it reads again when they change: a rotation restarts nothing here."""
    stores = {QDRANT_FILE: inputs.qdrant, REDIS_FILE: inputs.redis, DATABASE_FILE: inputs.database}
    files = {name: "".join(f"{one}\n" for one in values(secrets, _secret(store))) for name, store in stores.items()}
    files[TOKENS_FILE] = _service_tokens(secrets)
    files |= {_key_file(name): content for name, content in inputs.model_keys.items()}
    return tuple(ConfigFile(name, content, secret=True) for name, content in files.items())


def _asked_inside(port: int) -> ExecCheck:
    """Return the same question from inside the image, which has no program for it but Python."""
    ask = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{port}{_ALIVE}', timeout=4)"
    return ExecCheck(("python", "-I", "-c", ask))


def api_config(inputs: ApiInputs, layout: Layout) -> dict[str, Any]:
    """Return the content of api.json (ragops.api.config.ApiConfig); it holds no secret."""
    settings, redis, database = inputs.settings, inputs.redis, inputs.database
    hot = f"{layout.hot_dir}/" if layout.hot_dir else ""
    specs = known_models(settings, layout.distribution, inputs.ollama, inputs.ollama_models)
    (redis_host, redis_port), (database_host, database_port) = redis.internal_address, database.internal_address
    return {
        "listen": {"host": layout.listen, "port": layout.port(settings.port, INNER_PORT)},
        "platform": inputs.platform,
        "issuer": f"ragops/{inputs.platform}",
        "jwks_file": inputs.jwks_file if layout.shares_filesystem else f"{hot}{KEYS_FILE}",
        "service_tokens_file": f"{hot}{TOKENS_FILE}",
        "qdrant": {**_urls(inputs.qdrant), "api_key_file": f"{hot}{QDRANT_FILE}"},
        "redis": {
            "host": redis_host,
            "port": redis_port,
            "user": redis.logins["application"].user,
            "password_file": f"{hot}{REDIS_FILE}",
        },
        "database": {
            "host": database_host,
            "port": database_port,
            "dbname": database.options["database"],
            "user": database.logins["application"].user,
            "password_file": f"{hot}{DATABASE_FILE}",
        },
        "embedder": _model(specs.pop(next(iter(specs))), hot),
        "models": {name: _model(spec, hot) for name, spec in specs.items()},
        "chat": _chat(settings, inputs.ollama, hot),
        "breakers": settings.breakers.model_dump(),
        "legacy": settings.legacy.model_dump(mode="json"),
        "privacy": settings.privacy.model_dump(),
        "search": dict(inputs.search),
        "cache": {"seconds": settings.cache_seconds},
        "workers": settings.workers,
        **({"tracing": settings.tracing.model_dump()} if settings.tracing.endpoint else {}),
    }


def _model(spec: ModelSpec, hot: str) -> dict[str, Any]:
    """Return an embedder for api.json, with the name that its key has there."""
    return _with_key(spec.model_dump(exclude_defaults=True), hot)


def _with_key(values: dict[str, Any], hot: str) -> dict[str, Any]:
    return {**values, "key_file": f"{hot}{_key_file(values['key_file'])}"} if values.get("key_file") else values


def _key_file(name: str) -> str:
    """Return the name that the key file of ragops.yaml has next to api.json."""
    return f"model-{hashlib.sha256(name.encode()).hexdigest()[:12]}.key"


def _chat(settings: ApiSettings, ollama: str, hot: str) -> dict[str, Any] | None:
    chat = settings.chat
    if not chat.model:
        return None
    url = chat.url or (chat.ollama_url or settings.ollama_url or ollama if chat.kind == "ollama" else "")
    return _with_key({**chat.model_dump(exclude={"ollama_url", "url"}, exclude_defaults=True), "url": url}, hot)


def _urls(qdrant: Endpoint) -> dict[str, list[str]]:
    """Return the URLs of every node as the API reaches it, those of gRPC if they have it."""
    host, port = qdrant.internal_address
    urls = [node.internal_url or node.url for node in qdrant.nodes] or [f"http://{host}:{port}"]
    grpc = [node.internal_grpc_url if node.internal_url else node.grpc_url for node in qdrant.nodes]
    return {"urls": urls, "grpc_urls": [url for url in grpc if url]}


def _secret(endpoint: Endpoint) -> str:
    return endpoint.logins["application"].secret


def _service_tokens(secrets: Mapping[str, str]) -> str:
    tokens = [_token(secrets, service, name) for service, name in _TOKENS.items()]
    return json.dumps({"tokens": tokens}, indent=2) + "\n"


def _token(secrets: Mapping[str, str], service: str, name: str) -> dict[str, str]:
    """Return a service's token, and the other one that is taken until a time during a rotation."""
    current, *others = values(secrets, name)
    token = {"service": service, "current": current}
    if others:
        token |= {"previous": others[0], "previous_until": secrets.get(name + UNTIL, _FAR)}
    return token
