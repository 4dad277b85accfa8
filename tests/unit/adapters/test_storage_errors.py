"""Which failures of a store are tried again."""

import pytest

from ragops.adapters.storage.errors import is_transient


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (OSError("unexpected EOF"), True),  # rclone's SFTP server, if a file is replaced while it is read
        (OSError("no such thing"), False),
        (ValueError("unexpected EOF"), False),
    ],
)
def test_a_read_that_was_cut_short_is_tried_again(error: Exception, again: bool) -> None:
    assert is_transient(error) is again
