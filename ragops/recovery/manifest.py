"""The signed manifest of a recovery point: written last, read first.

The file holds two JSON documents: the manifest, and on its last line the signature of all bytes before that line. One
file, so that a recovery point is there or is not in one step.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ragops.adapters.installation import upgrade_command
from ragops.errors import IntegrityError, MissingError
from ragops.hints import OTHER_POINT
from ragops.recovery.signing import Signature, parse_signature, sign

if TYPE_CHECKING:
    from ragops.recovery.signing import SigningKey

FORMAT = 3  # 3: notes, roles next to the dump, marks of platforms that were down; readers of 2 refuse those by name
_READ = (2, 3)
FILE_NAME = "manifest.json"
PLATFORM = "platform"  # the parts that belong to no service

# Names become paths below the recovery point's folder: nothing that could lead out of it.
_FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$")]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PointId = Annotated[str, StringConstraints(pattern=r"^\d{8}T\d{6}Z-[0-9a-f]{6}$")]
_STRICT = ConfigDict(frozen=True, extra="forbid")


def is_point_id(name: str) -> bool:
    """Return whether it is the id of a recovery point."""
    return re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", name) is not None


class Kind(StrEnum):
    """Why a recovery point was taken: as a backup, or as the safety point of a restore."""

    BACKUP = "backup"
    SAFETY = "safety"


class StoredFile(BaseModel):
    """The stored file of a part: `<service>/<file>`, its bytes compressed and perhaps encrypted."""

    model_config = _STRICT

    file: _FileName
    size: int = Field(ge=0)
    sha256: _Sha256


class ManifestPart(BaseModel):
    """One file of the recovery point as its engine wrote it: `size` in bytes, `counts` true of it at `instant`.

    `notes` are the engine's words on it; those that older versions wrote have none.
    """

    model_config = _STRICT

    service: _FileName
    name: _FileName
    size: int = Field(ge=0)
    sha256: _Sha256
    stored: StoredFile
    counts: dict[str, int]
    instant: AwareDatetime
    versions: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Return service and name."""
        return f"{self.service}/{self.name}"

    @property
    def stored_path(self) -> str:
        """Return its path below the recovery point's folder."""
        return f"{self.service}/{self.stored.file}"


class Manifest(BaseModel):
    """A whole recovery point.

    `sequence` grows by one with each recovery point of the repository: the order in which they were taken, whatever
    the clock showed. `images` are the digests or ids of the images behind the services, `recipients` the age recipients
    that its parts are encrypted to, `quiesced` the one instant that all of it is of. `duration` is in seconds.
    `unhealthy` states what was down or lost when it was taken: such a one is never `latest`. `schema_digest` is the
    SHA-256 of the database's catalogue: two that differ need a proof each.
    """

    model_config = _STRICT

    format: Literal[2, 3]
    id: PointId
    sequence: int = Field(ge=0)
    kind: Kind
    created: AwareDatetime
    platform: str
    environment: str
    runtime: str
    ragops: str
    duration: float = Field(ge=0)
    quiesced: AwareDatetime | None = None
    recipients: tuple[str, ...] = ()
    images: dict[str, str] = {}
    unhealthy: tuple[str, ...] = ()
    schema_digest: str = ""
    parts: tuple[ManifestPart, ...]

    def parts_of(self, service: str) -> tuple[ManifestPart, ...]:
        """Return the parts of one service."""
        return tuple(part for part in self.parts if part.service == service)

    @property
    def is_good(self) -> bool:
        """Return whether it can be `latest` and fills a day of retention: a backup of a platform that was not down."""
        return self.kind is Kind.BACKUP and not self.unhealthy

    @property
    def is_encrypted(self) -> bool:
        """Return whether an identity is needed to read it."""
        return bool(self.recipients)


@dataclass(frozen=True)
class SignedManifest:
    """A manifest and who signed it; the signature held when it was read."""

    manifest: Manifest
    signature: Signature


def sign_manifest(manifest: Manifest, key: SigningKey) -> bytes:
    """Sign a manifest and return its file."""
    body = (manifest.model_dump_json(indent=2) + "\n").encode()
    return body + (json.dumps(sign(key, body).to_dict()) + "\n").encode()


def parse(content: bytes, where: str) -> SignedManifest:
    """Read a manifest's file; `where` names it in errors.

    Raises IntegrityError (manifest_invalid, signature_invalid), MissingError (manifest_newer) if a newer ragops
    wrote it.
    """
    body, _, last = content.rstrip(b"\n").rpartition(b"\n")
    try:
        signature = parse_signature(json.loads(last))
        manifest = Manifest.model_validate_json(body)
    except ValidationError as error:
        _refuse_newer(content, where)
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        invalid = _invalid(f"{where}: {key}: {first['msg']}")
        if first["type"] == "extra_forbidden":
            invalid.hint = f"if a newer ragops wrote it: `{upgrade_command()}`; else {OTHER_POINT}"
        raise invalid from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        _refuse_newer(content, where)
        raise _invalid(f"{where} is not a signed manifest: {type(error).__name__}") from error
    if not signature.is_valid(body + b"\n"):
        what = f"{where} was changed after it was signed: its signature does not hold"
        raise IntegrityError("signature_invalid", what, OTHER_POINT)
    return SignedManifest(manifest, signature)


def _refuse_newer(content: bytes, where: str) -> None:
    """Raise if the format is newer; it may have another shape, so only the format number is read here."""
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        values, _ = json.JSONDecoder().raw_decode(content.decode())
        written = values["format"]
        if not isinstance(written, int) or written in _READ:
            return
        if written < _READ[0]:
            raise _invalid(f"{where} has format {written}, which a version before the first release wrote")
        raise _newer(f"{where} has format {written}, this ragops reads up to {FORMAT}")


def _newer(what: str) -> MissingError:
    return MissingError("manifest_newer", f"{what}: a newer ragops wrote it", f"upgrade ragops: `{upgrade_command()}`")


def _invalid(message: str) -> IntegrityError:
    return IntegrityError("manifest_invalid", message, OTHER_POINT)
