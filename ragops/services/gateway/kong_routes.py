"""Kong's routes in its expression language: each with its priority, whole segments, nothing by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.gateway.policy import CONFIGURATION_HEADER, READY_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ragops.services.gateway.policy import GatewayPolicy, Json, Route

# The highest that matches is taken.
_DENIED, _READY, _FORWARD, _METHOD, _NOTHING = 50, 40, 30, 20, 10


def forward(policy: GatewayPolicy, *, authenticate: bool) -> list[Json]:
    """Return the routes that go to the API, those that ask for a token or those that do not."""
    wanted = (route for route in policy.routes if route.authenticate is authenticate)
    return [_forward(route, path, index) for route in wanted for index, path in enumerate(_paths(route))]


def answer(policy: GatewayPolicy) -> list[Json]:
    """Return the routes that the gateway answers by itself but the ready path: inner paths, other methods, the rest."""
    return [
        *(_refusal(f"denied{path.replace('/', '-')}", _below_any_case(path), _DENIED, 404) for path in policy.denied),
        *(entry for route in policy.routes for entry in _other_methods(policy, route)),
        _refusal("nothing", 'http.path ^= "/"', _NOTHING, 404),
    ]


def ready(live: str) -> Json:
    """Return the path that reports which configuration is in force."""
    body = {"status_code": 200, "content_type": "application/json", "body": '{"status": "ready"}\n'}
    headers = [f"{CONFIGURATION_HEADER}:{live}", "cache-control:no-store"]
    plugins = [_terminate(body), _add_headers(headers)]
    return _route("ready", f'http.path == "{READY_PATH}"', _READY, plugins)


def cors(policy: GatewayPolicy) -> list[Json]:
    """Return the plugin for web pages; none if no page may call.

    Origins are patterns: Kong sends a single plain one to everybody who asks.
    """
    rules = policy.cors
    if not rules.origins:
        return []
    config = {
        "origins": ["*" if origin == "*" else f"^{origin.replace('.', '[.]')}$" for origin in rules.origins],
        "methods": list(rules.methods),
        "headers": list(rules.headers),
        "exposed_headers": list(rules.exposed),
        "credentials": rules.credentials,
        "max_age": rules.max_age,
        "preflight_continue": False,
    }
    return [{"name": "cors", "config": config}]


def _forward(route: Route, path: str, index: int) -> Json:
    methods = " || ".join(f'http.method == "{method}"' for method in route.methods)
    expression = f"({methods}) && ({_matches(route, path)})"
    stated = route.deprecation.headers(path) if route.deprecation else {}
    plugins = [_add_headers(map(":".join, stated.items()))] if stated else []
    return _route(f"{route.name}-{index}", expression, _FORWARD, plugins)


def _other_methods(policy: GatewayPolicy, route: Route) -> Iterator[Json]:
    """Yield the same paths with any other method: a page's preflight is answered, all else is 405."""
    for index, path in enumerate(_paths(route)):
        refusal = _refusal(f"{route.name}-{index}-method", _matches(route, path), _METHOD, 405)
        refusal["plugins"] += [_add_headers([f"allow:{', '.join(route.methods)}"]), *cors(policy)]
        yield refusal


def _paths(route: Route) -> tuple[str, ...]:
    return (*route.prefixes, *route.paths)


def _matches(route: Route, path: str) -> str:
    below = f'http.path == "{path}" || http.path ^= "{path}/"'
    return below if path in route.prefixes else f'http.path == "{path}"'


def _below_any_case(path: str) -> str:
    return f'lower(http.path) == "{path.lower()}" || lower(http.path) ^= "{path.lower()}/"'


def _refusal(name: str, expression: str, priority: int, status: int) -> Json:
    words = {404: "not found", 405: "method not allowed"}
    return _route(name, expression, priority, [_terminate({"status_code": status, "message": words[status]})])


def _route(name: str, expression: str, priority: int, plugins: list[Json]) -> Json:
    return {
        "name": name,
        "protocols": ["http", "https"],
        "expression": expression,
        "priority": priority,
        "strip_path": False,
        "preserve_host": True,
        "plugins": plugins,
    }


def _terminate(config: Json) -> Json:
    return {"name": "request-termination", "config": config}


def _add_headers(headers: Iterable[str]) -> Json:
    """Headers of the answer, unless the upstream sets them itself."""
    return {"name": "response-transformer", "config": {"add": {"headers": list(headers)}}}
