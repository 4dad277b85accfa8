"""Data sets, each with one thing that real ones have: how it is made on an empty server, and what is there by content.

Clients are binary: a key is bytes, whatever they spell.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from collections.abc import Callable

    Open = Callable[[int], redis.Redis]  # a client of a database by its number

DATABASES = 16
_YEAR = 365 * 24 * 3600


class NotHereError(Exception):
    """The engine lacks what the data set needs; says what."""


def empty(open_: Open) -> None:
    """No key."""


def strings(open_: Open) -> None:
    client = open_(0)
    for length in (0, 1, 43, 44, 45, 4095, 65_536):
        client.set(f"length:{length}", "x" * length)
    for number in (0, -1, 2**31, 2**63 - 1, -(2**63), 9999, 10_000):
        client.set(f"number:{number}", number)
    client.set("float", "3.14e-10")
    client.append("appended", "a")
    client.append("appended", "b" * 50)
    client.set("noise", os.urandom(300_000))


def one_large_value(open_: Open) -> None:
    block = random.Random(1).randbytes(1 << 20)
    for number in range(100):
        open_(0).append("large", block[number:] + block[:number])


def list_borders(open_: Open) -> None:
    client = open_(0)
    for length in (1, 127, 128, 129, 511, 512, 513, 5000):
        client.rpush(f"list:{length}", *range(length))
    client.rpush("wide", *("x" * size for size in (0, 63, 64, 65, 4096, 8192, 8193, 100_000)))
    client.rpush("binary", b"\x00", b"\xff\xfe", b"\r\n", b"")


def listpack_numbers(open_: Open) -> None:
    """Every width that a listpack has for a number, and what only looks like one."""
    edges = [0, 127, 128, -1, -4096, 4095, 4096, 32767, -32768, 2**23 - 1, -(2**23), 2**31 - 1, -(2**31), 2**63 - 1]
    client = open_(0)
    client.rpush("list", *edges, "007", "+1", "1.0", " 1", "-0", "99999999999999999999")
    client.hset("hash", mapping={str(number): number for number in edges})
    client.sadd("set", *edges)


def hash_borders(open_: Open) -> None:
    client = open_(0)
    for length in (1, 127, 128, 129, 511, 512, 513, 2000):
        client.hset(f"hash:{length}", mapping={f"field:{number}": number for number in range(length)})
    for size in (63, 64, 65, 10_000):
        client.hset(f"wide:{size}", mapping={"field": "x" * size, "y" * size: "value"})
    client.hset("binary", mapping={b"\x00\xff": b"\xfe\x00", b"": b""})


def set_borders(open_: Open) -> None:
    client = open_(0)
    for length in (1, 127, 128, 129, 511, 512, 513, 3000):
        client.sadd(f"numbers:{length}", *range(length))
        client.sadd(f"words:{length}", *(f"word {number}" for number in range(length)))
    client.sadd("mixed", 1, 2, "three", b"\xff", 2**40)
    client.sadd("shrunk", *range(2000))
    client.srem("shrunk", *range(3, 2000))


def sorted_set_borders(open_: Open) -> None:
    client = open_(0)
    for length in (1, 127, 128, 129, 1000):
        client.zadd(f"zset:{length}", {f"member {number}": number / 7 for number in range(length)})
    scores = [float("inf"), float("-inf"), 0.0, -0.0, 1e308, 5e-324, 0.1, 2**53 + 1.0, -1e-300]
    client.zadd("scores", {f"member {place}": score for place, score in enumerate(scores)})
    client.zadd("equal", {f"m{number}": 1 for number in range(50)})
    client.zadd("binary", {b"\x00": 1, b"\xff\r\n": 2, b"": 3, b"y" * 100: 4})


def hyperloglogs(open_: Open) -> None:
    client = open_(0)
    client.pfadd("none")
    client.pfadd("sparse", *range(10))
    client.pfadd("dense", *range(50_000))
    client.pfmerge("merged", "sparse", "dense")


def places(open_: Open) -> None:
    client = open_(0)
    spread = random.Random(2)
    for number in range(300):
        client.geoadd("places", (spread.uniform(-180, 180), spread.uniform(-85, 85), f"place {number}"))


def bitmaps(open_: Open) -> None:
    client = open_(0)
    for place in (0, 7, 8, 1_000_003):
        client.setbit("bits", place, 1)
    client.execute_command(
        "BITFIELD", "fields", "SET", "u8", "0", "255", "SET", "i16", "#3", "-300", "SET", "i5", "64", "7"
    )
    client.setrange("hole", 200_000, "end")


def streams(open_: Open) -> None:
    client = open_(0)
    for number in range(1, 301):
        client.xadd("stream", {"number": number, "blob": b"\x00\xff" * 20}, id=f"{number}-1")
    client.xadd("other fields", {"a": 1}, id="1-1")
    client.xadd("other fields", {"b": 2, "c": 3}, id="1-2")
    client.xdel("stream", "5-1", "300-1")
    client.xtrim("stream", maxlen=250, approximate=False)
    client.execute_command("XSETID", "stream", "400-7", "ENTRIESADDED", "1000", "MAXDELETEDID", "300-1")


def consumer_groups(open_: Open) -> None:
    """Pending entries, delivered again and again, consumers without any, a group that has read nothing."""
    client = open_(0)
    for number in range(1, 101):
        client.xadd("jobs", {"job": number}, id=f"{number}-0")
    client.xgroup_create("jobs", "workers", id="0")
    client.xgroup_create("jobs", "late", id="$")
    client.xreadgroup("workers", "ann", {"jobs": ">"}, count=30)
    client.xreadgroup("workers", "bob", {"jobs": ">"}, count=20)
    client.xack("jobs", "workers", *(f"{number}-0" for number in range(1, 10)))
    client.xclaim("jobs", "workers", "bob", 0, ["12-0", "13-0"], retrycount=7, idle=5000)
    client.xgroup_createconsumer("jobs", "workers", "idle one")
    client.xdel("jobs", "20-0")
    client.xgroup_create("empty", "group", id="0", mkstream=True)


def expiring_keys(open_: Open) -> None:
    client = open_(0)
    now = int(time.time())
    for number in range(200):
        client.set(f"later:{number}", number, exat=now + 3600 + number)
    client.set("far", 1, pxat=(now + 200 * _YEAR) * 1000 + 123)
    client.set("stays", 1)
    client.set("persisted", 1, ex=3600)
    client.persist("persisted")
    client.rpush("list", 1, 2)
    client.pexpireat("list", (now + 7200) * 1000 + 7)
    client.set("gone", 1, px=1)
    time.sleep(0.05)


def expiring_fields(open_: Open) -> None:
    """HEXPIRE: fields of a hash with a time of their own."""
    client, now = open_(0), int(time.time())
    client.hset("small", mapping={"a": 1, "b": 2, "c": 3})
    client.hset("large", mapping={f"field:{number}": number for number in range(600)})
    try:
        client.execute_command("HEXPIREAT", "small", now + 3600, "FIELDS", 2, "a", "b")
    except redis.ResponseError as error:
        raise NotHereError("HEXPIREAT (hash fields with a time to live)") from error
    for number in range(0, 600, 3):
        client.execute_command("HPEXPIREAT", "large", (now + 4000 + number) * 1000 + 5, "FIELDS", 1, f"field:{number}")
    client.execute_command("HPERSIST", "small", "FIELDS", 1, "b")
    client.hset("both", mapping={"x": 1})
    client.execute_command("HEXPIREAT", "both", now + 5000, "FIELDS", 1, "x")
    client.expireat("both", now + 6000)


def several_databases(open_: Open) -> None:
    for number in (0, 1, 7, DATABASES - 1):
        client = open_(number)
        client.set("same name", f"of {number}")
        client.set(f"only in {number}", 1, exat=int(time.time()) + 5000 + number)
        client.sadd("set", number)
    open_(1).swapdb(7, 3)


def binary_keys(open_: Open) -> None:
    client = open_(0)
    for key in (
        b"",
        b"\x00",
        b"\xff\xfe\xfd",
        b"new\r\nline",
        "ключ €".encode(),
        b" space ",
        b'"quoted"',
        b"k" * 65_000,
    ):
        client.set(key, b"value of " + key)
    client.set("*pattern?[a-z]", 1)


def hash_tags(open_: Open) -> None:
    client = open_(0)
    for number in range(100):
        client.set(f"{{user:{number % 7}}}:field:{number}", number)
    client.set("{}", 1)
    client.set("a{b}{c}", 1)


def functions(open_: Open) -> None:
    client = open_(0)
    for name in ("one", "two"):
        code = (
            f"#!lua name={name}\n"
            f"redis.register_function('{name}_set',"
            " function(keys, args) return redis.call('SET', keys[1], args[1]) end)\n"
            f"redis.register_function{{function_name='{name}_get', flags={{'no-writes'}},"
            " callback=function(keys) return redis.call('GET', keys[1]) end}\n"
        )
        client.execute_command("FUNCTION", "LOAD", code)
        client.execute_command("FCALL", f"{name}_set", 1, f"by {name}", "a function")


def scripts(open_: Open) -> None:
    """What scripts and transactions have written; the cached scripts themselves are nobody's data."""
    client = open_(0)
    client.eval("for i = 1, 100 do redis.call('RPUSH', KEYS[1], i * ARGV[1]) end", 1, "by a script", 3)
    with client.pipeline(transaction=True) as batch:
        batch.set("in a transaction", 1).incr("counter").incrbyfloat("float", 0.1).hincrby("hash", "f", 5)
        batch.execute()


def many_keys(open_: Open) -> None:
    for first in range(0, 20_000, 5000):
        with open_(0).pipeline(transaction=False) as batch:
            for number in range(first, first + 5000):
                batch.set(f"key:{number}", f"value {number}")
            batch.execute()


def long_collections(open_: Open) -> None:
    client = open_(0)
    for first in range(0, 30_000, 3000):
        numbers = range(first, first + 3000)
        client.rpush("list", *numbers)
        client.sadd("set", *(f"member {number}" for number in numbers))
        client.zadd("zset", {f"member {number}": number for number in numbers})
        client.hset("hash", mapping={f"field {number}": number for number in numbers})


def changed_again_and_again(open_: Open) -> None:
    client = open_(0)
    client.set("type", "string")
    client.delete("type")
    client.rpush("type", 1)
    client.set("old name", 1, ex=4000)
    client.rename("old name", "new name")
    client.copy("new name", "copy")
    client.hset("hash", mapping={f"f{number}": "x" * 100 for number in range(300)})
    client.hdel("hash", *(f"f{number}" for number in range(1, 300)))
    client.lpush("emptied", 1)
    client.lpop("emptied")
    client.restore("restored", 4_000_000, client.dump("type"))


def expired_between(open_: Open) -> None:
    """Keys of every database that end about when the server is saved and read: none of them comes back to life."""
    for number in range(4):
        with open_(number).pipeline(transaction=False) as batch:
            for key in range(100):
                batch.set(f"soon:{key}", 1, px=200 + 20 * key)
                batch.set(f"stays:{key}", 1)
            batch.execute()


def users_made_by_hand(open_: Open) -> None:
    client = open_(0)
    client.execute_command("ACL", "SETUSER", "by-hand", "on", ">its-own-word", "~*", "+get")
    client.set("key", 1)


def vector_sets(open_: Open) -> None:
    """Of Redis 8."""
    client = open_(0)
    try:
        for number in range(50):
            client.execute_command("VADD", "vectors", "VALUES", 3, number, 1, -number, f"element {number}")
    except redis.ResponseError as error:
        raise NotHereError("VADD (vector sets, of Redis 8)") from error


def modules(open_: Open) -> None:
    """Data of the modules that the official image of Redis 8 brings."""
    client = open_(0)
    try:
        client.execute_command("JSON.SET", "document", "$", '{"a": [1, 2, {"b": null}]}')
        client.execute_command("BF.ADD", "filter", "member")
        client.execute_command("TS.ADD", "series", 1000, 1.5)
        client.execute_command("FT.CREATE", "index", "SCHEMA", "title", "TEXT")
    except redis.ResponseError as error:
        raise NotHereError("the modules of the official image (JSON, search, time series, Bloom)") from error


DATA_SETS: dict[str, Callable[[Open], None]] = {
    made.__name__: made
    for made in (
        empty, strings, one_large_value, list_borders, listpack_numbers, hash_borders, set_borders, sorted_set_borders,
        hyperloglogs, places, bitmaps, streams, consumer_groups, expiring_keys, expiring_fields, several_databases,
        binary_keys, hash_tags, functions, scripts, many_keys, long_collections, changed_again_and_again,
        expired_between, users_made_by_hand, vector_sets, modules,
    )
}  # fmt: skip


# --- what is there ---------------------------------------------------------------------------------------------------


def content(open_: Open) -> dict[str, Any]:
    """Every key of every database by its value and its time, and the functions; what expires within a minute apart."""
    found: dict[str, Any] = {}
    for number in range(DATABASES):
        client = open_(number)
        keys = list(client.scan_iter(count=5000))
        for first in range(0, len(keys), 5000):
            some = keys[first : first + 5000]
            for key, when, kind in _times_and_types(client, some):
                if when != -2 and not 0 < when < (time.time() + 60) * 1000:
                    found[f"{number} {key!r}"] = (when, _value(client, key, kind))
    found["functions"] = _sorted(open_(0).execute_command("FUNCTION", "LIST", "WITHCODE"))
    return found


def _sorted(value: Any) -> Any:
    """The engine lists libraries and their functions in whatever order it has them in memory."""
    return sorted((_sorted(item) for item in value), key=repr) if isinstance(value, list) else value


def _times_and_types(client: redis.Redis, keys: list[bytes]) -> list[tuple[bytes, int, str]]:
    with client.pipeline(transaction=False) as batch:
        for key in keys:
            batch.pexpiretime(key)  # type: ignore[arg-type]  # any key is bytes
            batch.type(key)
        answers = batch.execute()
    return [(key, answers[2 * place], answers[2 * place + 1].decode()) for place, key in enumerate(keys)]


def _value(client: redis.Redis, key: bytes, kind: str) -> Any:
    readers: dict[str, Callable[[], Any]] = {
        "string": lambda: client.get(key),
        "list": lambda: client.lrange(key, 0, -1),
        "set": lambda: sorted(client.smembers(key)),
        "zset": lambda: client.execute_command("ZRANGE", key, 0, -1, "WITHSCORES"),
        "hash": lambda: _fields(client, key),
        "stream": lambda: _stream(client, key),
    }
    return kind, readers.get(kind, lambda: client.dump(key))()


def _fields(client: redis.Redis, key: bytes) -> Any:
    values = sorted(client.hgetall(key).items())
    try:
        times = client.execute_command("HPEXPIRETIME", key, "FIELDS", len(values), *(name for name, _ in values))
    except redis.ResponseError:
        times = []
    return values, times


def _stream(client: redis.Redis, key: bytes) -> Any:
    state = _plain(client.execute_command("XINFO", "STREAM", key, "FULL", "COUNT", 0))
    return client.xrange(key), state


def _plain(value: Any) -> Any:
    """Without how the engine lays it out in memory, which is not content."""
    if isinstance(value, dict):
        layout = ("radix-tree-keys", "radix-tree-nodes")
        return {_text(name): _plain(item) for name, item in value.items() if _text(name) not in layout}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
