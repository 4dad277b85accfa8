"""What the failures of Redis mean."""

from __future__ import annotations

import socket

import pytest
import redis
from pydantic import SecretStr

from ragops.adapters.redis_client import connect, translate, translate_errors
from ragops.errors import ExitCode, UnhealthyError


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (redis.ConnectionError("Connection refused"), "redis_unreachable", ExitCode.UNHEALTHY),
        (redis.TimeoutError("Timeout reading from socket"), "redis_unreachable", ExitCode.UNHEALTHY),
        (redis.AuthenticationError("invalid username-password pair"), "redis_login_refused", ExitCode.FAILED),
        (redis.ResponseError("WRONGPASS invalid"), "redis_login_refused", ExitCode.FAILED),
        (redis.BusyLoadingError("Valkey is loading the dataset"), "redis_loading", ExitCode.UNHEALTHY),
        (redis.ReadOnlyError("You can't write against a read only replica."), "redis_read_only", ExitCode.UNHEALTHY),
        (redis.ResponseError("MISCONF Errors writing to the AOF"), "redis_not_persisting", ExitCode.UNHEALTHY),
        (redis.OutOfMemoryError("command not allowed"), "redis_out_of_memory", ExitCode.UNHEALTHY),
        (redis.ResponseError("NOPERM User rag has no permissions"), "redis_permission_denied", ExitCode.FAILED),
        (redis.ConnectionError("max number of clients reached"), "redis_too_many_clients", ExitCode.UNHEALTHY),
        (redis.ResponseError("ERR unknown"), "redis_error", ExitCode.FAILED),
    ],
)
def test_errors_have_codes(error, code, exit_code):
    found = translate(error, "redis at here")
    assert (found.code, found.exit_code) == (code, exit_code)
    assert "redis at here" in found.message
    assert found.hint


def test_a_server_that_never_answers_is_given_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(UnhealthyError) as caught, translate_errors():
            connect("127.0.0.1", silent.getsockname()[1], "u", SecretStr("secret"), timeout=0.2).ping()
    assert caught.value.code == "redis_unreachable"
    assert "secret" not in str(caught.value)
