"""Settings of the observability service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from ragops.services.image_references import Reference, Size, size_bytes, tag_version
from ragops.services.observability import (
    ALERTMANAGER,
    CADVISOR,
    GRAFANA,
    IMAGES,
    NODE_EXPORTER,
    POSTGRES_EXPORTER,
    PROMETHEUS,
    REDIS_EXPORTER,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Without user and password: those would be in logs and messages. Secrets are in files.
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@\"]+(/[^\s#\"]*)?$")]
OptionalUrl = Annotated[str, StringConstraints(pattern=r"^(https?://[^\s/?#@\"]+(/[^\s#\"]*)?)?$")]
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$")]
Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(s|m|h|d|w|y)$")]
DataSize = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(MB|GB|TB)$")]
Severity = Literal["critical", "warning", "info"]


def _switch(value: object) -> object:
    """`on` and `off` (which YAML reads as booleans) are the defaults, and none of it."""
    return {True: {}, False: None}.get(value, value) if isinstance(value, bool) else value


class Section(BaseModel):
    """Frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ContainerSettings(Section):
    """One more container: another image than the pinned one, and the most memory that it may use."""

    image: Reference = Field("", description="another image than the pinned one")
    memory: Size = Field("64mb", description="most memory of the container; kb, mb or gb, empty: no limit")


class AlertmanagerSettings(ContainerSettings):
    """Alertmanager."""

    memory: Size = Field("128mb", description="most memory of the container; kb, mb or gb, empty: no limit")
    repeat: Duration = Field("4h", description="how long until an alert that still fires is sent again")


class GrafanaSettings(ContainerSettings):
    """Grafana."""

    memory: Size = Field("512mb", description="most memory of the container; kb, mb or gb, empty: no limit")


class CadvisorSettings(ContainerSettings):
    """cAdvisor."""

    memory: Size = Field("256mb", description="most memory of the container; kb, mb or gb, empty: no limit")


class Receiver(Section):
    """Who hears of alerts, by which way."""

    type: Literal["email", "webhook", "ntfy", "slack"] = Field(description="the way: email, webhook, ntfy or slack")
    severities: tuple[Severity, ...] = Field(
        (), description="severities that are sent; empty: all of critical, warning and info"
    )
    resolved: bool = Field(True, description="send when an alert is over, too")
    url: OptionalUrl = Field("", description="webhook, ntfy: the address; of ntfy with the topic")
    url_file: Line = Field("", description="webhook, slack: file (0600) with the address, if that is itself a secret")
    token_file: Line = Field("", description="webhook, ntfy: file (0600) with a bearer token")
    channel: Line = Field("", description="slack: channel, if the address has none")
    to: Line = Field("", description="email: recipients, separated by commas")
    sender: Line = Field("", alias="from", description="email: sender")
    smarthost: Line = Field("", description="email: host:port of the mail server")
    username: Line = Field("", description="email: login at the mail server")
    password_file: Line = Field("", description="email: file (0600) with its password")
    require_tls: bool = Field(True, description="email: refuse a server without STARTTLS")

    @model_validator(mode="after")
    def _is_whole(self) -> Receiver:
        needed = {"email": ("to", "from", "smarthost"), "ntfy": ("url",), "slack": ("url_file",), "webhook": ()}
        values = {**self.model_dump(), "from": self.sender}
        if lacking := [key for key in needed[self.type] if not values[key]]:
            raise ValueError(f"{self.type} needs {' and '.join(lacking)}")
        if self.type == "webhook" and bool(self.url) == bool(self.url_file):
            raise ValueError("webhook needs one of url and url_file")
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username and password_file belong together")
        return self


class RemoteWrite(Section):
    """A server that gets every sample as well."""

    url: Url = Field(description="address that takes remote writes")
    username: Line = Field("", description="login")
    password_file: Line = Field("", description="file (0600) with its password")
    token_file: Line = Field("", description="file (0600) with a bearer token, instead of a login")

    @model_validator(mode="after")
    def _is_whole(self) -> RemoteWrite:
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username and password_file belong together")
        if self.username and self.token_file:
            raise ValueError("has a login and a token: give one of them")
        return self


class ExternalSettings(Section):
    """What the team has already."""

    remote_write: tuple[RemoteWrite, ...] = Field((), description="servers that get every sample as well")
    alertmanager: OptionalUrl = Field("", description="an Alertmanager that gets the alerts; none is started then")
    alertmanager_token_file: Line = Field("", description="file (0600) with its bearer token")
    grafana: OptionalUrl = Field(
        "", description="a Grafana that shows the dashboards (`ragops metrics export`); none is started then"
    )


class ObservabilitySettings(Section):
    """Section `observability:` of ragops.yaml; `off` instead of a section: nothing of it."""

    port: int = Field(9090, ge=1024, le=65535, description="port of Prometheus on 127.0.0.1")
    alertmanager_port: int = Field(9093, ge=1024, le=65535, description="port of Alertmanager on 127.0.0.1")
    grafana_port: int = Field(3000, ge=1024, le=65535, description="port of Grafana on 127.0.0.1")
    scrape_interval: Duration = Field("15s", description="how often every page of metrics is read")
    retention: Duration = Field("15d", description="how long figures are kept")
    retention_size: DataSize = Field("5GB", description="most disk space for figures; the oldest go first")
    image: Reference = Field("", description="another image of Prometheus than the pinned one")
    memory: Size = Field("1gb", description="most memory of Prometheus; kb, mb or gb, empty: no limit")
    program: Line = Field("", description="embedded runtime: path of Prometheus; empty: `prometheus` on PATH")
    envoy_port: int = Field(
        9901, ge=1024, le=65535, description="embedded runtime: port of Envoy's statistics on 127.0.0.1"
    )
    alertmanager: Annotated[AlertmanagerSettings | None, BeforeValidator(_switch)] = Field(
        AlertmanagerSettings(), description="Alertmanager, or `off`"
    )
    grafana: Annotated[GrafanaSettings | None, BeforeValidator(_switch)] = Field(
        GrafanaSettings(), description="Grafana, or `off`"
    )
    postgres_exporter: Annotated[ContainerSettings | None, BeforeValidator(_switch)] = Field(
        ContainerSettings(), description="figures of the database, or `off`"
    )
    redis_exporter: Annotated[ContainerSettings | None, BeforeValidator(_switch)] = Field(
        ContainerSettings(), description="figures of the cache, or `off`"
    )
    node_exporter: Annotated[ContainerSettings | None, BeforeValidator(_switch)] = Field(
        ContainerSettings(), description="figures of the machine and ragops's own, or `off`"
    )
    cadvisor: Annotated[CadvisorSettings | None, BeforeValidator(_switch)] = Field(
        CadvisorSettings(), description="figures of each container, or `off`"
    )
    notify: tuple[Receiver, ...] = Field((), description="who hears of alerts; none: they are shown, not sent")
    external: ExternalSettings = ExternalSettings()

    @model_validator(mode="after")
    def _has_receivers_a_sender(self) -> ObservabilitySettings:
        if self.notify and not self.runs_alertmanager:
            raise ValueError("notify needs Alertmanager: leave out `alertmanager: off` and external.alertmanager")
        return self

    @property
    def runs_alertmanager(self) -> bool:
        """Return whether the platform has an Alertmanager of its own."""
        return self.alertmanager is not None and not self.external.alertmanager

    @property
    def runs_grafana(self) -> bool:
        """Return whether the platform has a Grafana of its own."""
        return self.grafana is not None and not self.external.grafana

    def containers(self) -> Mapping[str, ContainerSettings]:
        """Return the settings of every container, by instance, Prometheus's first."""
        prometheus = ContainerSettings(image=self.image, memory=self.memory)
        wanted = {
            PROMETHEUS: prometheus,
            ALERTMANAGER: self.alertmanager if self.runs_alertmanager else None,
            POSTGRES_EXPORTER: self.postgres_exporter,
            REDIS_EXPORTER: self.redis_exporter,
            NODE_EXPORTER: self.node_exporter,
            CADVISOR: self.cadvisor,
            GRAFANA: self.grafana if self.runs_grafana else None,
        }
        return {name: chosen for name, chosen in wanted.items() if chosen is not None}

    def images(self) -> Mapping[str, str]:
        """Return the image of every container, by instance."""
        return {name: chosen.image or IMAGES[name] for name, chosen in self.containers().items()}

    def versions(self) -> Mapping[str, str]:
        """Return the version of every container's image by its tag, by instance."""
        return {name: tag_version(image) for name, image in self.images().items()}

    def memory_of(self, instance: str) -> int:
        """Return the limit of a container's memory in bytes, 0 without one."""
        return size_bytes(self.containers()[instance].memory)

    def secret_files(self) -> tuple[str, ...]:
        """Return the files with secrets that the section names, each once."""
        return tuple(dict.fromkeys(name for name in self._named_files() if name))

    def _named_files(self) -> Iterator[str]:
        for receiver in self.notify:
            yield from (receiver.url_file, receiver.token_file, receiver.password_file)
        for server in self.external.remote_write:
            yield from (server.password_file, server.token_file)
        yield self.external.alertmanager_token_file
