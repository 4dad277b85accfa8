"""The users of Redis as ACL rules: those of ragops itself, and those of `redis.users` in ragops.yaml."""

from __future__ import annotations

import hashlib
import json
import re
import secrets as random
from typing import TYPE_CHECKING, Any, cast

from ragops.render import render
from ragops.services.monitoring import REDIS_SECRET, REDIS_USER
from ragops.services.redis import (
    APPLICATION_SECRET,
    APPLICATION_USER,
    HEALTH_USER,
    OPERATOR_SECRET,
    OPERATOR_USER,
    user_secret,
)
from ragops.services.secret_names import values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import redis

    from ragops.services.redis.settings import RedisSettings, RedisUser

# What the application may do: everything with keys, nothing with the server. FLUSHDB and KEYS are no more than SCAN and
# UNLINK in a loop; CLIENT LIST and FLUSHALL reach what belongs to other users.
APPLICATION_RULES = "+@all -@admin -@dangerous +info +keys +flushdb +sort +sort_ro"

_ROLES = {
    "none": "",
    "read": "+@read +@connection +@pubsub -publish -spublish -@admin -@dangerous",
    "write": APPLICATION_RULES,
    "monitor": (
        "+@connection -@dangerous +info +dbsize +type +scan +client|list +config|get +cluster|info"
        " +slowlog|get +slowlog|len +latency|latest +latency|histogram +memory|stats +memory|usage +xinfo"
    ),
    "admin": "+@all",
}
_MARK = "ragops-acl-"  # begins the name of a user that is off: which file the server has loaded
_CHECK = "ragops-check-"  # begins the name of a user that is there for the moment of a check
_FLAGS = re.compile(r"on|off|nopass|sanitize-payload|skip-sanitize-payload|[#><!].*")


# Of exporters: how the server is, never what is in it.
MONITOR_RULES = (
    "resetkeys resetchannels -@all +ping +client|setname +client|list +info +config|get +slowlog|get +slowlog|len"
    " +latency|latest +latency|histogram"
)


def acl_text(
    settings: RedisSettings, secrets: Mapping[str, str], *, health_user: bool, is_monitored: bool = False
) -> str:
    """Return the file of users, with a mark of its content that shows whether the server has loaded it.

    No client can be the default user, but it has rights: until redis/redis#14545 (valkey #3984) the append-only file is
    read as this user, and what it may not do is left out of every transaction, silently.
    """
    text = render(
        "redis/users.acl.j2",
        operator=OPERATOR_USER,
        operator_passwords=_passwords(secrets, OPERATOR_SECRET),
        application=APPLICATION_USER,
        application_passwords=_passwords(secrets, APPLICATION_SECRET),
        application_rules=APPLICATION_RULES,
        health=HEALTH_USER if health_user else "",
        monitor=REDIS_USER if is_monitored else "",
        monitor_passwords=_passwords(secrets, REDIS_SECRET) if is_monitored else "",
        monitor_rules=MONITOR_RULES,
        users=[
            (name, _passwords(secrets, user_secret(name)), rules(user)) for name, user in sorted(settings.users.items())
        ],
    )
    return f"{text}user {mark(text)} off resetpass -@all\n"


def mark(text: str) -> str:
    """Return the name of the user that stands for a file of users with the content `text`."""
    return f"{_MARK}{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def mark_in(text: str) -> str:
    """Return the same, read from the whole file."""
    return text.rstrip().rpartition("\n")[2].split()[1] if text else ""


def rules(user: RedisUser) -> str:
    """Everything about a user but its passwords, in the order in which the server applies it."""
    keys = [key if key.startswith("%") else f"~{key}" for key in user.keys]
    channels = [f"&{channel}" for channel in user.channels]
    return " ".join(["resetchannels", *keys, *channels, "-@all", _ROLES[user.role], *user.rules]).replace("  ", " ")


def _passwords(secrets: Mapping[str, str], name: str) -> str:
    """All that are valid now, as an ACL file holds them (redis.io, ACL: `#<hash>`)."""
    return " ".join(f"#{hashlib.sha256(value.encode()).hexdigest()}" for value in values(secrets, name))


# --- the live server -------------------------------------------------------------------------------------------------


def load(client: redis.Redis, wanted: str) -> None:
    """Have the server load its file of users if it has another one than `wanted` marks. Raises its errors."""
    if wanted and wanted not in client.acl_users():
        client.acl_load()


def refusal(client: redis.Redis, settings: RedisSettings) -> str:
    """Return the server's objection to the rules of a user of `settings`, empty without one.

    It is asked by a user that cannot log in and is gone at once: a file with such rules would keep it from starting.
    """
    import redis

    name, send = f"{_CHECK}{random.token_hex(6)}", cast("Any", client).execute_command
    for user, rights in settings.users.items():
        try:
            send("ACL", "SETUSER", name, "reset", "off", *_words(rules(rights)))
        except redis.ResponseError as error:
            return f"redis.users.{user}: {error}"
        finally:
            send("ACL", "DELUSER", name)
    return ""


def strangers(listed: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Users of the live server (the lines of ACL LIST) that no file has, each with the YAML that keeps it."""
    expected = {*known, "default"}
    found: dict[str, str] = {}
    for line in listed:
        _, name, *words = _words(line)
        if name not in expected and not name.startswith((_MARK, _CHECK)):
            found[name] = _as_yaml(name, words)
    return found


def _as_yaml(name: str, given: Iterable[str]) -> str:
    """Return a user as one line of YAML; JSON is YAML."""
    user: dict[str, Any] = {"keys": [], "channels": [], "rules": []}
    for word in given:
        if word.startswith(("~", "%")):
            user["keys"].append(word.removeprefix("~"))
        elif word.startswith("&"):
            user["channels"].append(word.removeprefix("&"))
        elif word not in ("resetchannels", "-@all") and not _FLAGS.fullmatch(word):
            user["rules"].append(word)
    values = {key: value for key, value in user.items() if value}
    return f"redis: {{users: {{{json.dumps(name)}: {json.dumps(values)}}}}}"


def _words(rule: str) -> list[str]:
    """Return the words of a rule; what stands in parentheses is one (a selector)."""
    return re.findall(r"\([^)]*\)|\S+", rule)
