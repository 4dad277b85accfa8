"""The files of a host process as they were rendered, in its run folder, and the record of what they are."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, make_dir, write_atomic
from ragops.config.paths import PASSAGE_MODE
from ragops.runtimes.embedded.processes.state import SPEC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.runtimes.embedded.processes.spec import ProcessSpec
    from ragops.services.spec import ConfigFile


def own(path: Path, user: str) -> None:
    """Give `path` to `user`; nothing to do if that is empty."""
    if user:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def write_all(spec: ProcessSpec) -> None:
    """Render all folders: files that are no longer part of them go away. Raises OSError."""
    make_dir(Path(spec.run_dir), PASSAGE_MODE)
    _write_folder(spec.config_dir, spec.files, spec.user)
    write_hot(spec)


def write_hot(spec: ProcessSpec) -> None:
    """Write the files that the process takes over while it runs, and the record of all. Raises OSError."""
    if spec.hot or spec.hot_dir.exists():
        _write_folder(spec.hot_dir, spec.hot, spec.user)
    _write_record(spec)


def _write_folder(folder: Path, files: Sequence[ConfigFile], user: str) -> None:
    make_dir(folder, PASSAGE_MODE)
    wanted = {file.name for file in files}
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink()
    for file in files:
        write_atomic(folder / file.name, file.content, SECRET_MODE)
        own(folder / file.name, user)


def _write_record(spec: ProcessSpec) -> None:
    props = {**spec.to_props(), "files": {}, "secret_files": {}, "hot": {}, "digests": spec.file_digests()}
    write_atomic(Path(spec.run_dir) / SPEC, json.dumps(props), SECRET_MODE)
