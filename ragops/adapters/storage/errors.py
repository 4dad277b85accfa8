"""Translation of failures of the libraries behind object stores into RagopsErrors.

Classes are matched by their names: the libraries are heavy, and most of them are not installed.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from ragops.errors import ExitCode, MissingError, RagopsError, StoreRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOGIN_CODES = {
    "AccessDenied", "AccountProblem", "AllAccessDisabled", "ExpiredToken", "Forbidden", "InvalidAccessKeyId",
    "InvalidToken", "NotSignedUp", "SignatureDoesNotMatch", "Unauthorized", "UnauthorizedAccess", "401", "403",
}  # fmt: skip
_FULL_CODES = {"InsufficientStorage", "QuotaExceeded", "StorageFull", "XMinioStorageFull", "507"}
_BUSY_CODES = {"RequestTimeout", "ServiceUnavailable", "SlowDown", "502", "503", "504"}
_PASSING_CODES = _BUSY_CODES | {"InternalError", "500"}  # what a full disk of the server is called, among others
_LOGIN_CLASSES = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError",
    "ProfileNotFound", "AuthenticationException", "PasswordRequiredException", "DefaultCredentialsError",
    "RefreshError",
}  # fmt: skip
_HOST_KEY_CLASSES = {"BadHostKeyException", "UnknownHostKeyError"}
# The families that each library derives its faults of connections from.
_CONNECTION_CLASSES = {
    "ConnectionError", "HTTPClientError", "TimeoutError", "SSHException", "NoValidConnectionsError", "EOFError",
    "gaierror", "ClientConnectionError", "ClientPayloadError", "FSTimeoutError", "IncompleteRead", "TransportError",
}  # fmt: skip
_CONNECTION_ERRNOS = {
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.EHOSTUNREACH, errno.ENETUNREACH,
    errno.ENETDOWN, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.ENOTCONN,
}  # fmt: skip
_MESSAGE_LENGTH = 300


def explain(error: Exception, doing: str, place: str, secrets: frozenset[str] = frozenset()) -> RagopsError:
    """Return the RagopsError of a file system's error; `doing` is the attempt, `place` its store, without secrets."""
    if isinstance(error, RagopsError):
        return error
    codes = codes_of(error)
    if "NoSuchBucket" in codes:
        return MissingError(
            "repository_missing", f"cannot {doing}: {place} names a bucket that does not exist",
            "create the bucket, or correct the url; ragops makes none: its region and rights are yours to choose",
        )  # fmt: skip
    known = _login(error, codes, doing, place) or _room(error, codes, doing, place) or _connection(error, codes, place)
    return known or _other(error, doing, place, secrets)


def is_missing(error: BaseException) -> bool:
    """Return whether a file is missing; a missing bucket is another failure."""
    return isinstance(error, FileNotFoundError) and all(_code(link) != "NoSuchBucket" for link in _chain(error))


def is_transient(error: BaseException) -> bool:
    """Return whether the same request may succeed a moment later."""
    if not isinstance(error, Exception) or _named(error, _LOGIN_CLASSES | _HOST_KEY_CLASSES):
        return False
    codes = {_code(link) for link in _chain(error)}
    return bool(codes & _PASSING_CODES) or _is_connection(error) or _is_cut_short(error)


def _is_cut_short(error: BaseException) -> bool:
    """Return whether a server stopped in the middle of a file: rclone's SFTP server does if the file is replaced."""
    return any(type(link) is OSError and "unexpected EOF" in str(link) for link in _chain(error))


def codes_of(error: BaseException) -> set[str]:
    """Return the codes that servers sent, of the error and of its causes."""
    return {code for link in _chain(error) if (code := _code(link))}


def errnos_of(error: BaseException) -> set[int | None]:
    """Return the numbers of the system's errors, of the error and of its causes."""
    return {link.errno for link in _chain(error) if isinstance(link, OSError)}


def _login(error: Exception, codes: set[str], doing: str, place: str) -> RagopsError | None:
    if _named(error, _HOST_KEY_CLASSES):
        return MissingError(
            "repository_host_key", f"cannot {doing}: the host key of {place} is not the one that is known here",
            "compare its fingerprint, then add it to known_hosts: `ssh-keyscan -p PORT HOST >> ~/.ssh/known_hosts`",
        )  # fmt: skip
    if "RequestTimeTooSkewed" in codes:
        return RagopsError(
            "repository_error", f"cannot {doing}: {place} refuses the clock of this machine", "set the clock"
        )
    if codes & _LOGIN_CODES or _named(error, _LOGIN_CLASSES) or "No authentication methods" in str(error):
        return MissingError(
            "repository_login", f"cannot {doing}: {place} refuses these credentials, or there are none",
            "check the keys or password in options_file, and that they may list, read and write",
        )  # fmt: skip
    return None


def _room(error: Exception, codes: set[str], doing: str, place: str) -> RagopsError | None:
    text = " ".join(str(link).lower() for link in _chain(error))
    full = "no space left" in text or "quota exceeded" in text or errnos_of(error) & {errno.ENOSPC, errno.EDQUOT}
    if full or codes & _FULL_CODES:
        return MissingError("disk_full", f"cannot {doing}: no space left in {place}", "free some space there")
    if errno.EROFS in errnos_of(error):
        return MissingError("repository_read_only", f"cannot write to {place}", "make it writable on its server")
    if errnos_of(error) & {errno.EACCES, errno.EPERM}:
        return RagopsError(
            "not_permitted", f"cannot {doing}: {place} does not permit it", "check owner and mode on its server"
        )
    return None


def _connection(error: Exception, codes: set[str], place: str) -> RagopsError | None:
    if codes & _BUSY_CODES or _is_connection(error):
        return MissingError(
            "repository_unreachable", f"{place} does not answer, or stopped answering",
            "check its address, its server and the network, then run the command again",
        )  # fmt: skip
    return None


def _other(error: Exception, doing: str, place: str, secrets: frozenset[str]) -> RagopsError:
    if isinstance(error, (TypeError, ValueError)) or _named(error, {"ParamValidationError", "ConfigParseError"}):
        code, hint, ending = "repository_options", "check url, options and options_file", ExitCode.USAGE
    else:
        code, hint, ending = "repository_error", "look at its server: is it healthy, is its disk full?", ExitCode.FAILED
    text = f"cannot {doing} in {place}: {_text(error, secrets)}"
    return RagopsError(code, text, hint, exit_code=ending)


def _text(error: Exception, secrets: frozenset[str]) -> str:
    text = " ".join(str(error).split())[:_MESSAGE_LENGTH] or type(error).__name__
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(10):
        if link is None:
            return
        yield link
        link = link.__cause__


def _code(error: BaseException) -> str:
    """Return the code of an S3 error (botocore) or of an HTTP one (gcsfs)."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    code: Any = getattr(error, "code", None)
    return str(code) if isinstance(code, int) else ""


def _named(error: BaseException, names: set[str]) -> bool:
    return any(kind.__name__ in names for link in _chain(error) for kind in type(link).__mro__)


def _is_connection(error: BaseException) -> bool:
    closed = str(error) == "Socket is closed"  # paramiko's, an OSError without a number
    return closed or _named(error, _CONNECTION_CLASSES) or bool(errnos_of(error) & _CONNECTION_ERRNOS)


# Object lock has many texts for it; of wrong keys some of these are reported too, so look whether the file is there.
_CODES = {
    "AccessDenied", "AllAccessDisabled", "Forbidden", "403", "MethodNotAllowed", "405", "InvalidRequest",
    "ObjectLocked", "ObjectLockedByBucketPolicy", "PreconditionFailed", "412", "RetentionPolicyNotMet",
}  # fmt: skip
_ERRNOS = {errno.EACCES, errno.EPERM}
_HINT = (
    "run it if the key, or the user, may remove files there; a copy that only takes new files is pruned from"
    " elsewhere: `append_only: true` of its repository in ragops.yaml declares it"
)


def is_refusal(error: BaseException) -> bool:
    """Return whether it may mean that a file must not be replaced or removed."""
    return bool(codes_of(error) & _CODES or errnos_of(error) & _ERRNOS)


def refusal_error(doing: str, place: str) -> StoreRefusedError:
    """Return the error of an attempt to remove or replace; the same text for all stores."""
    what = f"cannot {doing}: {place} lets nothing be removed or replaced"
    return StoreRefusedError("repository_append_only", what, _HINT)
