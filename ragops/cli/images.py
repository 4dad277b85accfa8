"""Commands on container images: images list, images pull, images build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli.help import Application
from ragops.cli.state import state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.cli.console import Console
    from ragops.runtimes.contract import ImageState

group = Application(help="The container images of the services.")


@group.command("list")
def list_(context: typer.Context) -> None:
    """List the pinned images and whether they are here.

    Example: ragops images list
    """
    from ragops.operations.lifecycle.images import list_images

    current = state(context)
    _show(current.console, list_images(current.project()))


@group.command()
def pull(
    context: typer.Context,
    renew: Annotated[bool, typer.Option("--renew", help="Ask the registry for those that are here, too.")] = False,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Then write all of them into one tar file.")] = None,
    load: Annotated[
        Path | None, typer.Option(metavar="FILE", help="First read a tar file from a machine with a network.")
    ] = None,
) -> None:
    """Fetch the images that are missing.

    From then on the platform uses what the names mean now; the next `ragops plan` shows what that changes. For a
    machine without a network: --save on another one, then --load here.

    Example: ragops images pull
    """
    from ragops.cli.progress import steps
    from ragops.operations.lifecycle.images import load_images, pull_images, save_images

    current = state(context)
    session = current.session()
    if load:
        load_images(session, load)
    with steps(current.console, "pull") as on_progress:
        found = pull_images(session, on_progress, renew=renew)
    if save:
        save_images(session.project, save)
        current.console.message(f"wrote {save}")
    _show(current.console, found)


@group.command()
def build(context: typer.Context) -> None:
    """Build the image of the RAG API from this very ragops.

    There is nothing to do if it is already made from it.

    Example: ragops images build
    """
    from ragops.cli.progress import steps
    from ragops.operations.lifecycle.images import build_image

    current = state(context)
    with steps(current.console, "build") as on_progress:
        # Without a project, too: the image is the same for all.
        found = build_image(current.session() if current.names_project() else None, on_progress)
    _show(current.console, found)


def _show(console: Console, images: Sequence[ImageState]) -> None:
    from ragops.units import size

    console.document(images)
    if not images:
        console.message("this runtime uses no images")
        return
    rows = [
        (
            item.service,
            item.reference,
            item.state,
            item.id.removeprefix("sha256:")[:12] or "-",
            item.digest.rpartition("@sha256:")[2][:12] or "-",
            size(item.size) if item.size else "-",
        )
        for item in images
    ]
    console.table(("SERVICE", "IMAGE", "STATE", "ID", "DIGEST", "SIZE"), rows, optional=("DIGEST", "ID", "SIZE"))
