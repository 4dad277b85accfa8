"""A repository that takes new files only: what it refuses with, and what ragops says of that."""

from __future__ import annotations

import errno

from ragops.adapters.storage.errors import codes_of, errnos_of
from ragops.errors import StoreRefusedError

# Object lock says it in many words; of wrong keys some of these are said too, so look whether the file is there.
_CODES = {
    "AccessDenied", "AllAccessDisabled", "Forbidden", "403", "MethodNotAllowed", "405", "InvalidRequest",
    "ObjectLocked", "ObjectLockedByBucketPolicy", "PreconditionFailed", "412", "RetentionPolicyNotMet",
}  # fmt: skip
_ERRNOS = {errno.EACCES, errno.EPERM}
_HINT = (
    "run it if the key, or the user, may remove files there; a copy that only takes new files is pruned from"
    " elsewhere: `append_only: true` of its repository in ragops.yaml says so"
)


def is_refusal(error: BaseException) -> bool:
    """Return whether it may mean that a file must not be replaced or removed."""
    return bool(codes_of(error) & _CODES or errnos_of(error) & _ERRNOS)


def refusal_error(doing: str, place: str) -> StoreRefusedError:
    """Return the error of an attempt to remove or replace; the same text for all stores."""
    what = f"cannot {doing}: {place} lets nothing be removed or replaced"
    return StoreRefusedError("repository_append_only", what, _HINT)
