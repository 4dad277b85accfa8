"""What the engine's start_check says of an RDB file."""

from __future__ import annotations

import pytest

from ragops.errors import ExitCode, IntegrityError
from ragops.services.redis.rdb import counts_in

# As valkey-check-rdb 9.1 and redis-check-rdb 8.0 print it.
GOOD = """[offset 0] Checking RDB file dump.rdb
[offset 26] AUX FIELD redis-ver = '8.0.3'
[offset 93] Selecting DB ID 0
[offset 11052] Selecting DB ID 3
[offset 11123] Checksum OK
[offset 11123] \\o/ RDB looks OK! \\o/
[info] 550 keys read
[info] 50 expires
[info] 3 already expired
"""
BROKEN = """[offset 0] Checking RDB file dump.rdb
--- RDB ERROR DETECTED ---
[offset 11123] RDB CRC error
[additional info] While doing: check-sum
[info] 550 keys read
[info] 50 expires
[info] 0 already expired
"""


def test_keys_and_those_that_expire() -> None:
    assert counts_in(GOOD) == {"keys": 550, "expires": 50}
    assert counts_in(GOOD.replace("550", "0").replace("50 expires", "0 expires")) == {"keys": 0, "expires": 0}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (BROKEN, "RDB CRC error"),
        ("", "no verdict"),
        (GOOD.partition("[info]")[0], "no verdict"),
        (GOOD.replace("[info] 50 expires\n", ""), "no verdict"),
        (GOOD.replace("550 keys read", "many keys read"), "no verdict"),
        ("Cannot open file dump.rdb: Permission denied: error", "Permission denied"),
    ],
)
def test_without_a_verdict_and_both_numbers_it_is_not_read(said: str, words: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        counts_in(said)
    assert caught.value.code == "rdb_unreadable"
    assert words in caught.value.message
    assert caught.value.exit_code is ExitCode.INTEGRITY
