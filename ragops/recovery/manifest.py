"""What a recovery point says about itself: the manifest that is written last and read first."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ragops.errors import IntegrityError, MissingError

FORMAT = 1
FILE_NAME = "manifest.json"

# Names become paths below the recovery point's folder: nothing that could lead out of it.
_FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$")]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PointId = Annotated[str, StringConstraints(pattern=r"^\d{8}T\d{6}Z-[0-9a-f]{6}$")]
_STRICT = ConfigDict(frozen=True, extra="forbid")


class Kind(StrEnum):
    """Why a recovery point was taken: asked for, or by a restore to be able to go back."""

    BACKUP = "backup"
    SAFETY = "safety"


class ManifestPart(BaseModel):
    """One file of the recovery point: `<service>/<name>`, `size` in bytes, `counts` true of the file at `instant`."""

    model_config = _STRICT

    service: _FileName
    name: _FileName
    size: int = Field(ge=0)
    sha256: _Sha256
    counts: dict[str, int]
    instant: AwareDatetime
    versions: dict[str, str]

    @property
    def path(self) -> str:
        """Where the file lies below the recovery point's folder."""
        return f"{self.service}/{self.name}"


class Manifest(BaseModel):
    """A whole recovery point; `duration` is the seconds that taking it took."""

    model_config = _STRICT

    format: int
    id: PointId
    kind: Kind
    created: AwareDatetime
    platform: str
    environment: str
    runtime: str
    ragops: str
    duration: float = Field(ge=0)
    parts: tuple[ManifestPart, ...]

    def of(self, service: str) -> tuple[ManifestPart, ...]:
        """The parts of one service."""
        return tuple(part for part in self.parts if part.service == service)


def parse(text: str, where: str) -> Manifest:
    """Read a manifest's text; `where` names it in errors.

    Raises IntegrityError (manifest_invalid), MissingError (manifest_newer) where a newer ragops wrote it.
    """
    try:
        values = json.loads(text)
        written = values["format"]
        if isinstance(written, int) and written > FORMAT:
            what = f"{where} has format {written}, this ragops reads up to {FORMAT}: a newer ragops wrote it"
            raise MissingError("manifest_newer", what, "upgrade ragops: `pip install -U ragops`")
        return Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise _invalid(f"{where}: {key}: {first['msg']}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _invalid(f"{where} is not a manifest: {type(error).__name__}") from error


def _invalid(message: str) -> IntegrityError:
    return IntegrityError("manifest_invalid", message, "use another recovery point: `ragops backup list`")
