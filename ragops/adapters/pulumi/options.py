"""Which stack, where its state lies, and what the engine finds in its environment."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ragops.adapters.files import make_dir, write_atomic
from ragops.adapters.pulumi.state import local_state, passphrase_variables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.adapters.pulumi.state import LocalState

_PRIVATE = 0o700


@dataclass(frozen=True)
class StackOptions:
    """The stack, the URL of its state (`backend`), the encryption of its secrets, the variables of its providers."""

    project: str
    stack: str
    work_dir: Path
    passphrase_file: Path
    backend: str = ""
    secrets_provider: str = "passphrase"
    variables: Mapping[str, str] = field(default_factory=dict)

    def worked_in(self, folder: Path) -> StackOptions:
        """Return a copy with its settings in `folder`, and a new passphrase there if there is none."""
        there = self.passphrase_file.exists()
        return replace(
            self,
            work_dir=folder / "work",
            passphrase_file=self.passphrase_file if there else folder / "passphrase",
        )

    def with_state_in(self, folder: Path) -> StackOptions:
        """Return the options of a stack of that name with all its files in `folder`."""
        backend = make_dir(folder / "state", _PRIVATE).as_uri()
        return replace(
            self,
            work_dir=folder / "work",
            passphrase_file=folder / "passphrase",
            backend=backend,
            secrets_provider="passphrase",
            # Set in the shell it would go before the backend of the project's settings.
            variables={**self.variables, "PULUMI_BACKEND_URL": backend},
        )

    @property
    def is_own(self) -> bool:
        """Return whether the state lies in the work directory, which has nothing else."""
        return not self.backend and not os.environ.get("PULUMI_BACKEND_URL")

    def local(self) -> LocalState | None:
        """Return the files of the state; None if it is in no folder of this machine."""
        own = (self.work_dir / "state").absolute().as_uri()
        backend = self.backend or os.environ.get("PULUMI_BACKEND_URL") or own
        return local_state(backend, self.work_dir, self.project, self.stack)


def backend_url(options: StackOptions) -> str:
    """Return the state's URL: of ragops.yaml, else of the environment, else a folder in the work directory."""
    if not options.is_own:
        return options.backend
    return make_dir(options.work_dir / "state", _PRIVATE).as_uri()


def environment(options: StackOptions) -> dict[str, str]:
    """Return the engine's variables: the file of the passphrase and the host of our dynamic providers."""
    variables = {
        **options.variables,
        "PATH": f"{_provider_host(options.work_dir)}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if options.secrets_provider == "passphrase":
        local = options.local()
        variables |= passphrase_variables(options.passphrase_file, in_use=bool(local and local.is_encrypted))
    return variables


def _provider_host(work_dir: Path) -> Path:
    """Return a folder with the executable that the engine starts for dynamic providers, with this very Python."""
    host = work_dir / "bin" / "pulumi-resource-pulumi-python"
    # The engine's own files are for this user alone; those of services are not: they get the mask of this process.
    script = (
        f'#!/bin/sh\numask {_umask():04o}\nexec "{sys.executable}" -u -m ragops.adapters.pulumi.provider_host "$@"\n'
    )
    if not host.exists() or host.read_text() != script:
        write_atomic(host, script, 0o700)
    return host.parent


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
