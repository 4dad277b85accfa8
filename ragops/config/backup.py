"""Section `backup:` of ragops.yaml: where recovery points go, who can read them, how long they stay."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints

_STRICT = ConfigDict(frozen=True, extra="forbid")
_Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$")]
_Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\x00-\x20\x7f]+$|^$")]
_SECRET_OPTIONS = ("key", "secret", "token", "password", "passphrase", "client_kwargs")


def _no_secrets(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for name in options:
        if name in _SECRET_OPTIONS:
            raise ValueError(f"{name} may hold a secret: put it into options_file, a YAML file that is 0600")
    return options


def _is_recipient(text: str) -> str:
    import pyrage

    try:
        pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise ValueError("is not an age recipient (age1…): `ragops backup keygen FILE` makes one") from error
    return text


def _is_key(text: str) -> str:
    if not re.fullmatch(r"ed25519:[A-Za-z0-9+/]{43}=", text):
        raise ValueError(
            "is not a verification key (ed25519:…): `ragops backup keygen FILE` and `ragops init` write one"
        )
    return text


class PlaceSettings(BaseModel):
    """One repository: a folder, or a URL with options of fsspec's file system for it."""

    model_config = _STRICT

    url: _Line = Field(
        min_length=1, description="folder, or URL such as s3://bucket/prefix, gs://…, sftp://host/folder"
    )
    options: Annotated[dict[str, JsonValue], AfterValidator(_no_secrets)] = Field(
        {}, description="options of the file system, such as endpoint_url; nothing secret"
    )
    options_file: _Line = Field("", description="YAML file (0600) with more of them: keys and passwords")
    append_only: bool = Field(
        False, strict=True, description="nothing may be removed there with these keys: `prune` is run elsewhere"
    )


def _as_place(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


Place = Annotated[PlaceSettings, BeforeValidator(_as_place)]


class KeepSettings(BaseModel):
    """The recovery points that `prune` keeps: the newest of each of so many days, weeks and months that have one."""

    model_config = _STRICT

    daily: int = Field(7, ge=0, strict=True, description="newest of each of so many days")
    weekly: int = Field(0, ge=0, strict=True, description="newest of each of so many weeks")
    monthly: int = Field(0, ge=0, strict=True, description="newest of each of so many months")


class PingSettings(BaseModel):
    """URLs that are asked when a scheduled backup starts and ends."""

    model_config = _STRICT

    start: _Url = Field("", description="asked when it starts")
    success: _Url = Field("", description="asked when it went well")
    failure: _Url = Field("", description="asked when it did not")


class BackupSettings(BaseModel):
    """The whole section."""

    model_config = _STRICT

    repository: Place = Field(PlaceSettings(url="backups"), description="where recovery points are written")
    copies: tuple[Place, ...] = Field((), description="further repositories, each of which gets a copy")
    recipients: tuple[Annotated[str, AfterValidator(_is_recipient)], ...] = Field(
        (), description="age recipients that can read recovery points; none: they are not encrypted"
    )
    identity_file: _Line = Field("", description="file of the age identity that opens them, where it may lie here")
    verify_keys: tuple[Annotated[str, AfterValidator(_is_key)], ...] = Field(
        (), description="keys of those whose recovery points are trusted, besides this project's own"
    )
    keep: KeepSettings = KeepSettings()
    jobs: int = Field(2, ge=1, le=32, strict=True, description="parts that are worked on at once")
    staging: _Line = Field(
        "",
        description="folder for parts on their way, one of its own in it for each environment; empty: .ragops/staging",
    )
    max_age_hours: float = Field(
        26, gt=0, strict=True, allow_inf_nan=False, description="health warns when the newest one is older"
    )
    drill_max_age_days: float | None = Field(
        None, gt=0, strict=True, allow_inf_nan=False, description="health warns when the last good drill is older"
    )
    metrics_file: _Line = Field("", description="Prometheus text file that backups and drills write")
    ping: PingSettings = PingSettings()
