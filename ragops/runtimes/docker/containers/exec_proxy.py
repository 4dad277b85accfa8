"""Runs a program inside a container with the standard streams of this process: `python -P -m … CONTAINER PROGRAM …`.

It stands for the program: what is given to it the program reads, what the program prints it prints, and it ends as the
program does. Docker leaves a program running when its starter is gone; here it is ended then, so that a ragops
that was killed leaves no pg_dump that holds locks.
"""

from __future__ import annotations

import os
import stat
import sys

from ragops.adapters.docker.client import DockerHost
from ragops.adapters.docker.stream import OpenStdin
from ragops.errors import RagopsError

LIMIT = 24 * 3600.0  # seconds; the starter has limits of its own

# Ends the program when its input, which stays empty, is closed. Every process that is started is waited for: an
# orphan would fall to the container's first process, and PostgreSQL takes the death of an unknown child for a crash of
# one of its own, ends all sessions and recovers.
_WATCHED = (
    'exec 3<&0 </dev/null; "$@" 3<&- & tool=$!; { while read -r line <&3; do :; done; kill $tool; } >/dev/null 2>&1 &'
    " watch=$!; wait $tool; code=$?; kill $watch 2>/dev/null; wait $watch 2>/dev/null; exit $code"
)
_CANNOT = 125  # what `docker run` ends with where Docker itself fails


def arguments(container: str, program: str) -> tuple[str, ...]:
    """Return the command line of this module; the program's own arguments follow."""
    return (sys.executable, "-P", "-m", __name__, container, program)


def wrapped(command: list[str]) -> list[str]:
    """Return `command` as it is run if there is no input for it."""
    return ["sh", "-c", _WATCHED, "sh", *command]


def main(container: str, *command: str) -> int:
    """Run the command to its end; returns its exit code."""
    has_input = not stat.S_ISCHR(os.fstat(0).st_mode)
    host = DockerHost()
    try:
        done = host.exec_stream(
            container,
            list(command) if has_input else wrapped(list(command)),
            source=sys.stdin.buffer if has_input else OpenStdin(),
            target=sys.stdout.buffer,
            limit=LIMIT,
        )
        sys.stdout.buffer.flush()
    except RagopsError as error:
        sys.stderr.write(f"{error.message}\n")
        return _CANNOT
    sys.stderr.buffer.write(done.stderr)
    return done.code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
