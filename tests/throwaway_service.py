"""`python -m tests.throwaway_service …` is ragops with one service more: notes, which Python's own HTTP server shows.

The service is defined here and registered in SERVICES. No other file knows it.
"""

from __future__ import annotations

import io
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pulumi
from pydantic import BaseModel, ConfigDict, Field

import ragops.services
from ragops.errors import IntegrityError
from ragops.services.contract import (
    Check,
    Declaration,
    Endpoint,
    Extent,
    Lazy,
    Part,
    ProbeResult,
    Program,
    Proof,
    Service,
    Status,
    VersionStep,
)
from ragops.services.spec import ConfigFile, HttpCheck, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ragops.services.contract import PartWriter
    from ragops.services.control import Control
    from ragops.services.spec import RuntimeTraits

NAME = "notes"
_NOTE = "note.txt"
_HERE = "tests.throwaway_service"


class NotesSettings(BaseModel):
    """Section `notes:`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(7999, ge=1024, le=65535)
    text: str = "nothing yet"


class Notes(pulumi.ComponentResource):
    """The server of the notes, started after the API."""

    def __init__(self, declaration: Declaration, options: pulumi.ResourceOptions) -> None:
        super().__init__("ragops:service:Notes", NAME, None, options)
        settings, runtime = declaration.settings, declaration.runtime
        layout = runtime.layout(NAME)
        assert declaration.before["api"].service == "api"
        runtime.run(_spec(settings, layout.config_dir), self)
        self.endpoint = Endpoint(
            service=NAME, engine=NAME, version="1.0", runtime=runtime.name, host="127.0.0.1", port=settings.port,
            runtime_id=runtime.runtime_id(NAME), capabilities=runtime.capabilities,
        )  # fmt: skip
        self.register_outputs({"endpoint": self.endpoint.to_dict()})


def _spec(settings: NotesSettings, folder: str) -> ServiceSpec:
    command = ("python", "-m", "http.server", str(settings.port), "--bind", "127.0.0.1", "--directory", folder)
    return ServiceSpec(
        service=NAME, version="1.0", command=command, files=(ConfigFile(_NOTE, settings.text),),
        ports={NAME: settings.port}, health=HttpCheck(settings.port, f"/{_NOTE}"),
    )  # fmt: skip


def step(_before: str, after: str) -> VersionStep:
    return VersionStep(True, f"notes restart as {after}")


def _read(endpoint: Endpoint, timeout: float = 5.0) -> str:
    url = f"http://{endpoint.host}:{endpoint.port}/{_NOTE}"
    return httpx.get(url, timeout=timeout, trust_env=False).raise_for_status().text


def probe(endpoint: Endpoint, timeout: float) -> ProbeResult:
    started = time.monotonic()
    try:
        check = Check("readable", Status.OK, f"{len(_read(endpoint, timeout))} characters")
    except httpx.HTTPError as error:
        check = Check("readable", Status.DOWN, f"cannot read the note: {error}")
    return ProbeResult(NAME, (check,), time.monotonic() - started, "1.0")


class NotesBackup:
    """By a copy of the note."""

    def dump(self, endpoint: Endpoint, control: Control, writer: PartWriter) -> None:
        del control

        def dump() -> None:
            text = _read(endpoint)
            writer.snapshot_fixed()
            part = Part(_NOTE, datetime.now(tz=UTC), {"characters": len(text)}, {NAME: "1.0"})
            writer.store(_NOTE, io.BytesIO(text.encode()), lambda: part)

        writer.run_all([dump])

    def verify(self, folder: Path, part: Part, control: Control) -> None:
        del control
        if len((folder / part.name).read_text()) != part.counts["characters"]:
            raise IntegrityError("counts_differ", "the note has another length")

    def prove(self, *_: Any) -> Proof:
        return Proof(Extent.READ, "a note is only read")

    def preflight(self, *_: Any) -> None:
        return

    def restore(self, *_: Any) -> tuple[str, ...]:
        return ()

    def counts(self, endpoint: Endpoint) -> Mapping[str, int]:
        return {"characters": len(_read(endpoint))}


class NotesService(Service):
    """Notes behind the service contract."""

    name = NAME
    titles = {NAME: "Notes"}  # noqa: RUF012  read only
    programs = (Program("python", "http"),)
    needs = ("api",)
    exposable = "the notes"

    settings: Lazy[type[BaseModel]] = Lazy(f"{_HERE}:NotesSettings")
    step: Lazy[Callable[[str, str], VersionStep]] = Lazy(f"{_HERE}:step")
    declare: Lazy[Callable[[Declaration, Any], Notes]] = Lazy(f"{_HERE}:Notes")
    probe: Lazy[Callable[[Endpoint, float], ProbeResult]] = Lazy(f"{_HERE}:probe")
    backup: Lazy[type[NotesBackup]] = Lazy(f"{_HERE}:NotesBackup")

    def secrets(self) -> tuple[str, ...]:
        return ("notes_reader",)

    def version(self, settings: NotesSettings, traits: RuntimeTraits) -> str:
        return "1.0"

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:
        return {"NOTES_URL": f"http://{endpoint.host}:{endpoint.port}/{_NOTE}"}


def main(arguments: Sequence[str]) -> None:
    """Register the service before anything reads the list, and run the command line."""
    ragops.services.SERVICES = (*ragops.services.SERVICES, NotesService())
    sys.modules[_HERE] = sys.modules[__name__]
    sys.argv = ["ragops", *arguments]
    from ragops.cli.main import main as run

    run()


if __name__ == "__main__":
    main(sys.argv[1:])
