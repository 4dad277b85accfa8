"""Translation of failures of the Docker engine and its library into RagopsErrors."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ragops.errors import MissingError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_FOUND = 404
_CONFLICT = 409
_LOG = "see Docker's own log, such as `journalctl -u docker`"


class NotFoundError(RagopsError):
    """Docker does not know the container, image or volume that was named (docker_not_found)."""


@contextmanager
def translate_errors(doing: str, url: str = "") -> Iterator[None]:
    """Turn what docker-py raises inside the block into RagopsErrors; `doing` completes "cannot …".

    MissingError (docker_missing, disk_full), NotFoundError (docker_not_found), RagopsError (docker_conflict,
    docker_failed, docker_timeout).
    """
    from docker.errors import DockerException
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (DockerException, RequestException, HTTPError, OSError) as error:
        raise explain(error, doing, url) from error


def explain(error: Exception, doing: str, url: str = "") -> RagopsError:
    """Return the RagopsError of one failure of docker-py."""
    from docker.errors import APIError

    if isinstance(error, APIError):
        return _refused(error.status_code or 0, error.explanation or str(error), doing)
    causes = list(_causes(error))
    if any(isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT) for cause in causes):
        return _disk_full(doing, "free some space, then run it again")
    if any(isinstance(cause, PermissionError) for cause in causes):
        return MissingError(
            "docker_missing",
            f"cannot use the Docker engine at {url or 'its socket'}: this user may not",
            "add the user to the group docker (`sudo usermod -aG docker $USER`), then log in again",
        )
    if any(isinstance(cause, FileNotFoundError | ConnectionRefusedError) for cause in causes):
        return MissingError(
            "docker_missing",
            f"cannot reach a Docker engine: none answers at {url or 'its socket'}",
            "install or start it (`sudo systemctl start docker`); `docker context use` or DOCKER_HOST names another",
        )
    if any(isinstance(cause, TimeoutError) or "timed out" in str(cause).lower() for cause in causes):
        return timeout_error(doing)
    return RagopsError("docker_failed", f"cannot {doing}: Docker: {causes[-1]}", _LOG)


def timeout_error(doing: str, seconds: float = 0) -> RagopsError:
    """Return the error of a wait that exceeded its time-out."""
    within = f"within {seconds:.0f} s" if seconds else "in time"
    return RagopsError(
        "docker_timeout", f"cannot {doing}: Docker did not answer {within}", "is the machine busy, or its disk full?"
    )


def _refused(status: int, reason: str, doing: str) -> RagopsError:
    if "no space left on device" in reason:
        return _disk_full(doing, "free some space where Docker keeps its data, then run it again")
    what = f"cannot {doing}: Docker: {reason.strip()}"
    if status == _NOT_FOUND:
        return NotFoundError("docker_not_found", what, "run `ragops up`, which creates what is missing")
    if status == _CONFLICT:
        return RagopsError("docker_conflict", what, "see `docker ps -a`")
    return RagopsError("docker_failed", what, _LOG)


def _disk_full(doing: str, hint: str) -> MissingError:
    return MissingError("disk_full", f"cannot {doing}: Docker has no space left on the device", hint)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes, those that libraries wrap in their arguments included."""
    seen: set[int] = set()
    todo: list[BaseException] = [error]
    while todo:
        one = todo.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        nested = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        todo += [other for other in nested if isinstance(other, BaseException)]
