"""Settings: what ragops.yaml says, composed from the services' own settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ragops.services.redis.settings import RedisSettings
from ragops.services.timescaledb.settings import TimescaleSettings

# Part of folder names, resource names, container names and SQL: nothing that any of them would have to quote.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]


class PulumiSettings(BaseModel):
    """Section `pulumi:`: where the state lives and what encrypts its secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str = Field("", description="state backend URL; empty: a folder under .ragops/")
    secrets_provider: str = Field("passphrase", description="`passphrase` or the URL of a KMS key")


class BackupSettings(BaseModel):
    """Section `backup:`: where recovery points go and how long they stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str = Field("backups", min_length=1, description="folder of the recovery points")
    max_age_hours: float = Field(26, gt=0, description="health warns when the newest one is older")


class Settings(BaseModel):
    """The whole of ragops.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field(description="name of the platform")
    runtime: Literal["embedded"] = Field("embedded", description="what runs the services")
    data_dir: str = Field("", description="folder of the services' data; empty: .ragops/data")
    run_as: str = Field("", description="user for engines that refuse root; empty: postgres, else nobody")
    pulumi: PulumiSettings = PulumiSettings()
    backup: BackupSettings = BackupSettings()
    redis: RedisSettings = RedisSettings()
    timescaledb: TimescaleSettings = TimescaleSettings()

    @model_validator(mode="after")
    def _ports_differ(self) -> Settings:
        seen: dict[int, str] = {}
        for service, port in self.ports().items():
            if port in seen:
                raise ValueError(f"{service}.port and {seen[port]}.port are both {port}; each service needs its own")
            seen[port] = service
        return self

    def ports(self) -> dict[str, int]:
        """The host port of every service."""
        return {"redis": self.redis.port, "timescaledb": self.timescaledb.port}
