"""The command that makes the key of encrypted recovery points."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragops.cli.state import state


def keygen(context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")]) -> None:
    """Make the key that opens encrypted recovery points.

    Keep the file away from this machine: writing recovery points needs only the recipient in ragops.yaml, and without
    the file no one can read them.

    Example: ragops backup keygen rag-identity.txt
    """
    from ragops.cli.views import jsonable
    from ragops.errors import UsageError
    from ragops.operations.backup.keygen import keygen as operation

    current = state(context)
    try:
        verify_key = current.session().vault().signing_key().public
    except UsageError as error:
        if error.code != "config_not_found" or current.config or current.environment:
            raise
        verify_key = ""
    made = operation(file, verify_key)
    if current.console.as_json:
        current.console.document(jsonable(made))
        return
    current.console.text(made.recipient)
    current.console.message(f"wrote {made.file} (0600): keep it safe and elsewhere, nothing else opens them")
    current.console.message(f"then in ragops.yaml, under backup: `recipients: [{made.recipient}]`")
