"""Alertmanager: who hears of alerts, by which way. Pure values, no Pulumi."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from ragops.services.observability import ALERTMANAGER
from ragops.services.observability.containers import fetch_check
from ragops.services.observability.prometheus import ALERTMANAGER_PORT, secret_names
from ragops.services.spec import ConfigFile, ImageSpec, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.observability.settings import ObservabilitySettings, Receiver
    from ragops.services.spec import Layout

CONFIG: Final = "alertmanager.yml"
_NONE = "none"  # a receiver that sends nothing: alerts are shown on its page
_LABELS = ["alertname", "platform", "environment", "service"]
_SECRETS = "secrets"
# What ntfy's own template for Alertmanager makes of a webhook (ntfy 2.14 and later).
_NTFY = "template=alertmanager"


def image_spec(settings: ObservabilitySettings) -> ImageSpec:
    """Return the image: its folder for silences and what was sent belongs to its user."""
    return ImageSpec(settings.images()[ALERTMANAGER], mount="/alertmanager", user="nobody")


def service_spec(settings: ObservabilitySettings, contents: Mapping[str, str], layout: Layout) -> ServiceSpec:
    """Return the server as a runtime sees it; `contents` are the files with secrets of ragops.yaml, by name."""
    return ServiceSpec(
        service="observability",
        instance=ALERTMANAGER,
        version=settings.versions()[ALERTMANAGER],
        command=(
            "alertmanager",
            f"--config.file={layout.config_dir}/{CONFIG}",
            f"--storage.path={layout.data_dir}",
            f"--web.listen-address={layout.listen}:{ALERTMANAGER_PORT}",
            f"--web.external-url=http://127.0.0.1:{settings.alertmanager_port}/",
            "--cluster.listen-address=",  # there is one of it
        ),
        files=_files(settings, contents, layout),
        ports={"http": ALERTMANAGER_PORT},
        health=fetch_check(ALERTMANAGER_PORT, "/-/ready"),
        image=image_spec(settings),
        publish={"http": settings.alertmanager_port},
        memory=settings.memory_of(ALERTMANAGER),
    )


def _files(settings: ObservabilitySettings, contents: Mapping[str, str], layout: Layout) -> tuple[ConfigFile, ...]:
    text = yaml.safe_dump(configuration(settings, layout), sort_keys=False, width=120)
    named = secret_names(settings)
    read = [name for one in settings.notify for name in (one.url_file, one.token_file, one.password_file) if name]
    secrets = [ConfigFile(f"{_SECRETS}/{named[name]}", contents[name], secret=True) for name in dict.fromkeys(read)]
    return (ConfigFile(CONFIG, text), *secrets)


def configuration(settings: ObservabilitySettings, layout: Layout) -> dict[str, Any]:
    """Return the values of alertmanager.yml: every receiver gets the alerts of its severities."""
    paths = {name: f"{layout.config_dir}/{_SECRETS}/{chosen}" for name, chosen in secret_names(settings).items()}
    names = [f"{one.type}-{number}" for number, one in enumerate(settings.notify, start=1)]
    repeat = settings.alertmanager.repeat if settings.alertmanager else "4h"
    route: dict[str, Any] = {
        "receiver": _NONE,
        "group_by": _LABELS,
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": repeat,
    }
    if routes := [_route(name, one) for name, one in zip(names, settings.notify, strict=True)]:
        route["routes"] = routes
    receivers = [{"name": name, **_receiver(one, paths)} for name, one in zip(names, settings.notify, strict=True)]
    return {
        "route": route,
        "receivers": [{"name": _NONE}, *receivers],
        # Of one thing that is wrong in two degrees, the worse one is sent.
        "inhibit_rules": [
            {
                "source_matchers": ['severity="critical"'],
                "target_matchers": ['severity=~"warning|info"'],
                "equal": [*_LABELS, "instance"],
            }
        ],
    }


def _route(name: str, receiver: Receiver) -> dict[str, Any]:
    chosen = "|".join(receiver.severities)
    matchers = {"matchers": [f'severity=~"{chosen}"']} if chosen else {}
    return {"receiver": name, "continue": True, **matchers}


def _receiver(receiver: Receiver, paths: Mapping[str, str]) -> dict[str, Any]:
    make = {"email": _email, "webhook": _webhook, "ntfy": _ntfy, "slack": _slack}[receiver.type]
    kind, values = make(receiver, paths)
    return {f"{kind}_configs": [{"send_resolved": receiver.resolved, **values}]}


def _email(receiver: Receiver, paths: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {
        "to": receiver.to,
        "from": receiver.sender,
        "smarthost": receiver.smarthost,
        "require_tls": receiver.require_tls,
    }
    if receiver.username:
        values |= {"auth_username": receiver.username, "auth_password_file": paths[receiver.password_file]}
    return "email", values


def _webhook(receiver: Receiver, paths: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    where = {"url_file": paths[receiver.url_file]} if receiver.url_file else {"url": receiver.url}
    return "webhook", {**where, **_token(receiver, paths)}


def _ntfy(receiver: Receiver, paths: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    glue = "&" if "?" in receiver.url else "?"
    return "webhook", {"url": f"{receiver.url}{glue}{_NTFY}", **_token(receiver, paths)}


def _slack(receiver: Receiver, paths: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    channel = {"channel": receiver.channel} if receiver.channel else {}
    return "slack", {"api_url_file": paths[receiver.url_file], **channel}


def _token(receiver: Receiver, paths: Mapping[str, str]) -> dict[str, Any]:
    if not receiver.token_file:
        return {}
    return {"http_config": {"authorization": {"credentials_file": paths[receiver.token_file]}}}
