"""Commands that look at recovery points: backup list, show, verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragops.cli import completion
from ragops.cli.state import state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.cli.console import Console
    from ragops.cli.state import State
    from ragops.operations.backup.list_points import Line, Overview
    from ragops.operations.backup.verify import VerifyResult
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repository import Repository

Reference = Annotated[
    str, typer.Argument(metavar="ID", autocompletion=completion.points, help="Its id, the start of it, or latest.")
]
From = Annotated[
    str | None, typer.Option("--repository", metavar="NAME", help="Of this repository: its URL, folder, or number.")
]
Identity = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The age identity that opens it; `backup.identity_file` if not given."),
]


def list_points(context: typer.Context, repository: From = None) -> None:
    """List the recovery points of all repositories, newest first.

    COPIES states in how many of them each is whole.

    Example: ragops backup list
    """
    from ragops.operations.backup.list_points import overview

    current = state(context)
    found = overview(current.session().repositories(), repository)
    current.console.document(_listed(found))
    rows = [_row(line, len(found.unreachable)) for line in found.lines]
    current.console.table(
        ("ID", "CREATED (UTC)", "KIND", "SIZE", "COPIES", "NOTES"),
        rows,
        optional=("KIND", "COPIES", "SIZE", "CREATED (UTC)"),
        empty="" if found.unreadable else "there are no recovery points yet: `ragops backup run` takes one",
    )
    for ident, error in found.unreadable:
        current.console.message(f"unreadable: {error.message}")
        current.console.message(
            f"  → `ragops backup copy {ident}` if it is whole elsewhere, or `ragops backup delete {ident}`"
        )
    for name, error in found.unreachable:
        current.console.message(f"out of reach, so not counted as whole: {name}: {error.message}")
        current.console.message(f"  → {error.hint}")


def _row(line: Line, unreachable: int) -> tuple[str, ...]:
    from ragops.units import size

    point = line.point
    whole = sum(1 for state in line.whole.values() if state)
    return (
        point.id,
        f"{point.manifest.created:%Y-%m-%d %H:%M}",
        point.manifest.kind.value,
        size(point.size),
        f"{whole}/{len(line.whole) + unreachable}",
        ", ".join(_notes(line)) or "-",
    )


def _notes(line: Line) -> list[str]:
    damaged = [name for name, whole in line.whole.items() if whole is False]
    notes = [f"damaged in {name}" for name in damaged]
    if not line.signer_known:
        notes.append("unknown signer")
    if line.point.manifest.unhealthy:
        notes.append("platform was down: never latest")
    if line.point.is_pinned:
        notes.append("kept")
    return [*notes, *(["encrypted"] if line.point.manifest.is_encrypted else [])]


def _listed(found: Overview) -> dict[str, Any]:
    lines = [
        {**values(line.point), "copies": dict(line.whole), "signer_known": line.signer_known} for line in found.lines
    ]
    return {
        "points": lines,
        "unreadable": [
            {"id": ident, "code": error.code, "message": error.message} for ident, error in found.unreadable
        ],
        "unreachable": [{"repository": name, "message": error.message} for name, error in found.unreachable],
    }


def say_newer(console: Console, repository: Repository) -> None:
    """Messages on marked points that are newer than the `latest` that was taken."""
    for newer in repository.list_cached().newer_unhealthy():
        console.message(f"{newer.id} is newer and passed over: {newer.manifest.unhealthy[0]}")


def show(context: typer.Context, point: Reference = "latest", repository: From = None) -> None:
    """Show what a recovery point holds.

    Example: ragops backup show latest
    """
    from ragops.units import duration, size

    console = state(context).console
    repos = state(context).session().repositories()
    chosen, found = repos.find(point, repository)
    if point == "latest":
        say_newer(console, chosen)
    console.document(values(found))
    manifest = found.manifest
    console.text(f"{found.id} ({manifest.kind.value}) of {manifest.platform}, {manifest.runtime}: {found.location}")
    taken = f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC in {duration(manifest.duration)}"
    console.text(f"taken {taken} by ragops {manifest.ragops}, number {manifest.sequence}")
    known = "trusted" if found.signed.signature.key in repos.trusted_keys() else "NOT trusted here"
    console.text(f"signed by {found.signed.signature.key} ({known})")
    for recipient in manifest.recipients:
        console.text(f"encrypted to {recipient}")
    for fault in manifest.unhealthy:
        console.text(f"the platform was down, so it is never latest: {fault}")
    if manifest.quiesced:
        console.text(f"all of one instant: {manifest.quiesced:%Y-%m-%d %H:%M:%S.%f} UTC")
    rows = [
        (part.path, size(part.stored.size), f"{part.instant:%H:%M:%S}", _pairs(part.counts), _pairs(part.versions))
        for part in manifest.parts
    ]
    console.table(("PART", "SIZE", "INSTANT", "HOLDS", "VERSIONS"), rows, optional=("VERSIONS", "INSTANT"))


def verify(
    context: typer.Context,
    point: Reference = "latest",
    deep: Annotated[bool, typer.Option("--deep", help="Have the engines restore it, away from the live data.")] = False,
    budget: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="With --deep: for each service; 0 means no limit.")
    ] = 0.0,
    every: Annotated[bool, typer.Option("--all", help="All recovery points of all repositories.")] = False,
    repository: From = None,
    identity: Identity = None,
) -> None:
    """Check signature, sizes and checksums of a recovery point.

    Needs no identity and no engine, unless --deep asks for both: then each engine restores its parts into a place of
    their own, compares the counts and removes them; what was not restored is reported. Exits with 6 if it is damaged.

    Example: ragops backup verify latest --deep
    """
    from ragops.cli.progress import bars
    from ragops.operations.backup.verify import verify_point

    current = state(context)
    if every:
        _verify_all(current, repository, deep=deep or point != "latest")
        return
    with bars(current.console) as on_progress:
        result = verify_point(
            current.session(),
            point,
            deep=deep,
            budget=budget,
            repository=repository,
            identity=identity,
            on_progress=on_progress,
        )
    current.console.document({**values(result.point), **_checked(result)})
    for one in result.proofs:
        current.console.text(f"{one.service}: {one.proof.extent.value}: {one.proof.detail}")
        for note in one.proof.notes:
            current.console.message(f"{one.service}: {note}")
    current.console.text(f"{result.point.id}: {_verdict(result)}")
    for name in result.extra_files:
        current.console.message(f"not part of it, never read: {name}")


def _verdict(result: VerifyResult) -> str:
    if not result.deep:
        return "whole: signature, sizes and checksums hold; that it restores was not tried (--deep)"
    if result.restores:
        return "whole, and it restores: every engine has restored all of its parts, away from the live data"
    return "whole; not all of it was restored, see above: `ragops backup drill` restores all of it"


def _checked(result: VerifyResult) -> dict[str, Any]:

    return {
        "verified": True,
        "deep": result.deep,
        "restores": result.restores,
        "proofs": result.proofs,
        "repository": result.repository,
        "extra_files": list(result.extra_files),
    }


def _verify_all(current: State, repository: str | None, *, deep: bool) -> None:
    """Verify all; raise IntegrityError if one is not whole, after all of them are shown."""
    from ragops.cli.progress import bars
    from ragops.errors import IntegrityError, UsageError
    from ragops.operations.backup.verify import verify_all

    if deep:
        raise UsageError("usage", "--all goes with no ID and not with --deep", "see `ragops backup verify --help`")
    with bars(current.console) as on_progress:
        found = verify_all(current.session().repositories(), repository, on_progress=on_progress)
    faults = [item for item in found if item.error]
    if faults and faults[0].error:
        rows = "".join(f"\n  {item.repository}: {item.error.message}" for item in faults if item.error)
        what = f"{len(faults)} of {len(found)} recovery points do not hold:{rows}"
        raise IntegrityError("recovery_point_damaged", what, faults[0].error.hint)
    current.console.document([{"id": item.point, "repository": item.repository} for item in found])
    current.console.text(f"whole: all {len(found)} that there are, copies counted")


def _pairs(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items())


def values(point: RecoveryPoint) -> dict[str, Any]:
    """Return a recovery point as JSON values."""
    found: dict[str, Any] = point.manifest.model_dump(mode="json")
    more = {"size": point.size, "plain_size": point.plain_size, "place": point.location, "kept": point.is_pinned}
    return {**found, **more, "signer": point.signed.signature.key}
