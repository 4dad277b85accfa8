"""Libraries by protocol, and their settings: no caches, bounded waits and memory, own retries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragops.adapters.installation import install_command
from ragops.errors import MissingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK = 8 << 20
S3, GCS, SFTP = ("s3", "s3a"), ("gs", "gcs"), ("sftp", "ssh")
# What is uploaded there is seen when it is complete, and not before; and their libraries try each request again.
ATOMIC = (*S3, *GCS)
_EXTRAS = {**dict.fromkeys(S3, "s3"), **dict.fromkeys(GCS, "gcs"), **dict.fromkeys(SFTP, "sftp")}
_UNCACHED = {"use_listings_cache": False, "skip_instance_cache": True}
# Five tries with jitter take about ten seconds: a server that restarts is waited for, one that is gone is not.
_S3_CONFIG = {
    "connect_timeout": 10,
    "read_timeout": 60,
    "retries": {"total_max_attempts": 5, "mode": "standard"},
    "request_checksum_calculation": "when_required",  # others than AWS refuse the newer kinds of checksums
    "response_checksum_validation": "when_required",
}
_S3_READS_AGAIN = 2  # s3fs's own tries, around botocore's: for answers that break off


def connect(protocol: str, url: str, options: Mapping[str, Any]) -> Any:
    """Return a file system of fsspec for `url`.

    Raises MissingError (repository_driver_missing), UsageError (repository_protocol) and what the library raises.
    """
    kind = _driver(protocol)
    found = {**kind._get_kwargs_from_urls(url), **options}
    if protocol in SFTP:
        return kind(**found, skip_instance_cache=True)
    if protocol in S3:
        found = {"max_concurrency": 1, **found, "config_kwargs": {**_S3_CONFIG, **found.get("config_kwargs", {})}}
    files = kind(**{**found, **_UNCACHED})
    if protocol in S3:
        files.retries = _S3_READS_AGAIN
        files.connect()  # sends nothing; before several threads would do it at once
    return files


def _driver(protocol: str) -> Any:
    try:
        if protocol in SFTP:
            from ragops.adapters.storage.sftp import Sftp

            return Sftp
        from fsspec import get_filesystem_class

        return get_filesystem_class(protocol)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        hint = f"run `{install_command(extra)}`" if extra else f"install what fsspec needs for {protocol}://"
        what = f"cannot use {protocol}://: its driver is not installed: {error}"
        raise MissingError("repository_driver_missing", what, hint) from error
    except ValueError as error:
        what = f"cannot use {protocol}:// for a repository: that protocol is not known"
        raise UsageError("repository_protocol", what, "use a folder, s3://, gs:// or sftp://") from error
