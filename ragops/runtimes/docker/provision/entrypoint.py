"""How a container starts its service: the data folder made ready, then the program in the shell's place."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ragops.services.spec import InitStep

# Words for a container's log; as an exit code 78 says that its configuration is at fault (sysexits.h).
_FOREIGN = "has files but no {marker}: move it away, or restore it from a recovery point"


def start_script(data_dir: str, init: InitStep | None = None, lock_files: Sequence[str] = (), guard: str = "") -> str:
    """Return a POSIX shell script that ends as the program in its arguments; `data_dir` is empty if there are no data.

    New data that a restore left waiting take their place, an empty folder is initialised next to it. A start that was
    killed is simply repeated.
    """
    return "\n".join(("set -eu", "umask 077", *_data(data_dir, init, lock_files, guard), 'exec "$@"'))


def _data(data_dir: str, init: InitStep | None, lock_files: Sequence[str], guard: str) -> Iterator[str]:
    if not data_dir:
        return
    data = shlex.quote(data_dir)
    yield f"data={data}"
    yield '[ -e "$data" ] || [ ! -e "$data.ready" ] || mv "$data.ready" "$data"'
    yield from _initialised(data_dir, init) if init else ('mkdir -p "$data"',)
    if guard:
        yield f'(cd "$data" && sh -c {shlex.quote(guard)}) >&2 || exit 78'
    for name in lock_files:
        yield f'rm -f "$data"/{shlex.quote(name)}'


def _initialised(data_dir: str, init: InitStep) -> Iterator[str]:
    fresh = f"{data_dir}.init-new"
    command = shlex.join(part.replace("{data}", fresh) for part in init.command)
    foreign = shlex.quote(f"{data_dir} {_FOREIGN.format(marker=init.marker)}")
    yield f'if [ ! -e "$data"/{shlex.quote(init.marker)} ]; then'
    yield f'  [ -z "$(ls -A "$data" 2>/dev/null)" ] || {{ echo {foreign} >&2; exit 78; }}'
    yield '  rm -rf "$data".init-*'
    yield f"  {command}"
    yield '  [ ! -e "$data" ] || rmdir "$data"'
    yield f'  sync; mv {shlex.quote(fresh)} "$data"'
    yield "fi"
