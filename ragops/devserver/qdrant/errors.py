"""Failures as Qdrant words them, and what Edge's plain exceptions mean in those words."""

from __future__ import annotations

import errno
import json
import re

_BAD_INPUT = re.compile(
    r"(Vector dimension error: .*|Not existing vector name error: .*|Validation error.*|Bad (?:json path|input).*)"
)
_ELSEWHERE = (
    "is not served here: this is the development engine of ragops (Qdrant Edge on one node), which has only the part "
    "of Qdrant's API that ragops itself needs. Run the platform on a Qdrant server for the rest"
)


class ApiError(Exception):
    """An answer other than 200; `message` becomes `status.error`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bad_input(what: str) -> ApiError:
    """400: well-formed and yet wrong for this collection."""
    return ApiError(400, f"Wrong input: {what}")


def malformed(what: str) -> ApiError:
    """400: the body is not what this path takes."""
    return ApiError(400, f"Format error in JSON body: {what}")


def invalid(where: str, field: str, what: str) -> ApiError:
    """422: a value outside of its bounds; `where` is "JSON body", "path parameters" or "query parameters"."""
    return ApiError(422, f"Validation error in {where}: [{field}: {what}]")


def not_found(what: str) -> ApiError:
    """404."""
    return ApiError(404, f"Not found: {what}")


def no_collection(name: str) -> ApiError:
    """404 in Qdrant's words."""
    return not_found(f"Collection `{name}` doesn't exist!")


def exists(name: str) -> ApiError:
    """409 in Qdrant's words."""
    return ApiError(409, f"Wrong input: Collection `{name}` already exists!")


def internal(what: str) -> ApiError:
    """500."""
    return ApiError(500, f"Service internal error: {what}")


def no_space() -> ApiError:
    """507."""
    return ApiError(507, "Insufficient storage: no space left on the device")


def unsupported(what: str) -> ApiError:
    """501: Qdrant has it, this engine does not."""
    return ApiError(501, f"{what} {_ELSEWHERE}")


def translate(error: Exception) -> ApiError:
    """Return the client's error for an exception of Edge, of the conversion to its types, or of the file system."""
    if isinstance(error, ApiError):
        return error
    text = str(error).strip() or type(error).__name__
    if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or "os error 28" in text:
        return no_space()
    if found := _BAD_INPUT.search(text):
        return bad_input(found[0])
    if isinstance(error, (ValueError, TypeError, OverflowError)):
        return malformed(text.splitlines()[0])
    return internal(text.splitlines()[0])


def quoted(value: object) -> str:
    """Return a value as an error message shows it, cut if it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:100]}…"
