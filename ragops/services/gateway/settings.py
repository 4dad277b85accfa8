"""Settings of the gateway: the one door to the platform."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ragops.services.gateway.policy import Origin, RateLimit
from ragops.services.image_references import (
    Reference,
    size_bytes,
)
from ragops.services.image_references import Size as Memory

Size = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,3}(kb|mb)$")]


class GatewaySettings(BaseModel):
    """Section `gateway:` of ragops.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(8000, ge=1024, le=65535, description="HTTP port on 127.0.0.1")
    tls: bool = Field(True, description="HTTPS too, with a certificate that ragops makes")
    tls_port: int = Field(8443, ge=1024, le=65535, description="HTTPS port on 127.0.0.1")
    origins: tuple[Origin, ...] = Field((), description="web pages that may call the API, such as https://app.example")
    rate_limit: RateLimit = Field(RateLimit(), description="requests that are taken from each consumer")
    body_limit: Size = Field("10mb", description="largest request body; kb or mb")
    legacy_deprecated: date = Field(date(2026, 11, 23), description="since when paths without a version are deprecated")
    legacy_sunset: date = Field(date(2027, 5, 23), description="when they end")

    image: Reference = Field("", description="another image than the pinned one")
    memory: Memory = Field("512mb", description="most memory of its container; kb, mb or gb, empty: no limit")

    @property
    def body_bytes(self) -> int:
        """`body_limit` in bytes."""
        return size_bytes(self.body_limit)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tls and self.port == self.tls_port:
            raise ValueError(f"port and tls_port are both {self.port}")
        if self.legacy_sunset <= self.legacy_deprecated:
            raise ValueError(f"legacy_sunset {self.legacy_sunset} is not after legacy_deprecated")
        return self
