"""Grafana with its data source and its dashboards provisioned. Pure values, no Pulumi."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ragops.services.observability import GRAFANA, GRAFANA_SECRET, GRAFANA_USER, PROMETHEUS
from ragops.services.observability.containers import fetch_check
from ragops.services.observability.dashboards import render_dashboards
from ragops.services.observability.prometheus import PORT as PROMETHEUS_PORT
from ragops.services.observability.provisioning import dashboard_provider, data_source
from ragops.services.spec import ConfigFile, ImageSpec, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.observability.settings import ObservabilitySettings
    from ragops.services.spec import Layout

PORT: Final = 3000
_PASSWORD = "admin.password"  # noqa: S105  the name of a file
_HOME = "/usr/share/grafana"
# Grafana takes the password of its file for a new database alone: a secret that was rotated is set at the next start.
_START = (
    'if [ -e "$GF_PATHS_DATA/grafana.db" ]; then'
    f' grafana cli --homepath {_HOME} admin reset-admin-password --password-from-stdin < "$1" > /dev/null; fi;'
    f" exec grafana server --homepath={_HOME}"
)


def image_spec(settings: ObservabilitySettings) -> ImageSpec:
    """Return the image; 472 is its own user."""
    return ImageSpec(settings.images()[GRAFANA], mount="/var/lib/grafana", user="472", writable=("/tmp",))  # noqa: S108


def service_spec(settings: ObservabilitySettings, secrets: Mapping[str, str], layout: Layout) -> ServiceSpec:
    """Return the server as a runtime sees it."""
    password = f"{layout.config_dir}/{_PASSWORD}"
    return ServiceSpec(
        service="observability",
        instance=GRAFANA,
        version=settings.versions()[GRAFANA],
        command=("sh", "-c", _START, "grafana", password),
        files=(ConfigFile(_PASSWORD, secrets[GRAFANA_SECRET] + "\n", secret=True), *_provisioned(layout)),
        ports={"http": PORT},
        health=fetch_check(PORT, "/api/health"),
        environment=_environment(settings, layout, password),
        start_timeout=120.0,
        image=image_spec(settings),
        publish={"http": settings.grafana_port},
        memory=settings.memory_of(GRAFANA),
    )


def _environment(settings: ObservabilitySettings, layout: Layout, password: str) -> dict[str, str]:
    """Return the environment, without the password: everybody who may inspect a container can read it."""
    return {
        "GF_PATHS_DATA": layout.data_dir,
        "GF_PATHS_PROVISIONING": f"{layout.config_dir}/provisioning",
        "GF_SECURITY_ADMIN_USER": GRAFANA_USER,
        "GF_SECURITY_ADMIN_PASSWORD__FILE": password,
        "GF_SECURITY_DISABLE_GRAVATAR": "true",
        "GF_SERVER_HTTP_PORT": str(PORT),
        "GF_SERVER_ROOT_URL": f"http://127.0.0.1:{settings.grafana_port}/",
        "GF_AUTH_ANONYMOUS_ENABLED": "false",
        "GF_USERS_ALLOW_SIGN_UP": "false",
        # It asks no one on the internet.
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        "GF_LOG_MODE": "console",
    }


def _provisioned(layout: Layout) -> tuple[ConfigFile, ...]:
    dashboards = f"{layout.config_dir}/dashboards"
    found = [ConfigFile(f"dashboards/{name}", text) for name, text in render_dashboards().items()]
    return (
        ConfigFile("provisioning/datasources/ragops.yaml", data_source(f"http://{PROMETHEUS}:{PROMETHEUS_PORT}")),
        ConfigFile("provisioning/dashboards/ragops.yaml", dashboard_provider(dashboards)),
        *found,
    )
