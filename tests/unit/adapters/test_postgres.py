"""What PostgreSQL's failures mean to people and to scripts. Failed logins: tests/integration/timescaledb."""

from __future__ import annotations

import psycopg
import pytest

from ragops.adapters.postgres import is_password_refused, translate, translate_errors
from ragops.errors import ExitCode, RagopsError


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (psycopg.errors.DiskFull("no space"), "disk_full", ExitCode.MISSING),
        (psycopg.errors.LockNotAvailable("x"), "database_locked", ExitCode.LOCKED),
        (psycopg.errors.QueryCanceled("x"), "database_timeout", ExitCode.FAILED),
        (psycopg.errors.InsufficientPrivilege("x"), "database_permission_denied", ExitCode.FAILED),
        (psycopg.errors.TooManyConnections("x"), "database_overloaded", ExitCode.UNHEALTHY),
        (psycopg.errors.AdminShutdown("x"), "database_connection_lost", ExitCode.UNHEALTHY),
        (psycopg.errors.CrashShutdown("x"), "database_connection_lost", ExitCode.UNHEALTHY),
        (psycopg.errors.UniqueViolation("x"), "database_error", ExitCode.FAILED),
        (psycopg.OperationalError("the connection is closed"), "database_connection_lost", ExitCode.UNHEALTHY),
        (psycopg.OperationalError("consuming input failed: x"), "database_connection_lost", ExitCode.UNHEALTHY),
        (psycopg.OperationalError("connection failed: Connection refused"), "database_unreachable", ExitCode.UNHEALTHY),
        (psycopg.OperationalError("connection timeout expired"), "database_unreachable", ExitCode.UNHEALTHY),
        (psycopg.OperationalError("[Errno -2] Name or service not known"), "database_unreachable", ExitCode.UNHEALTHY),
        (psycopg.ProgrammingError("the query has 1 placeholder"), "database_error", ExitCode.FAILED),
    ],
)
def test_failures_have_a_code_and_an_exit(error, code, exit_code):
    result = translate(error, "database rag")
    assert (result.code, result.exit_code) == (code, exit_code)
    assert "database rag" in result.message


@pytest.mark.parametrize(
    "error", [psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName]
)
def test_what_is_gone_from_the_database_leads_to_the_check_that_names_it(error):
    result = translate(error('relation "rag.chunks" does not exist'), "rows of the ingestion")
    assert result.code == "database_object_missing"
    assert "`ragops health timescaledb`" in result.hint


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        ('password authentication failed for user "a role of mine"', "database_login_refused", ExitCode.FAILED),
        ('role "x" does not exist', "database_login_refused", ExitCode.FAILED),
        ('role "x" is not permitted to log in', "database_login_refused", ExitCode.FAILED),
        ('no pg_hba.conf entry for host "1", user "x", database "y"', "database_login_refused", ExitCode.FAILED),
        ('permission denied for database "y"', "database_login_refused", ExitCode.FAILED),
        ('database "y" does not exist', "database_missing", ExitCode.MISSING),
        ("sorry, too many clients already", "database_too_many_connections", ExitCode.UNHEALTHY),
        ('too many connections for database "y"', "database_too_many_connections", ExitCode.UNHEALTHY),
        ("remaining connection slots are reserved", "database_too_many_connections", ExitCode.UNHEALTHY),
        ("the database system is starting up", "database_not_ready", ExitCode.UNHEALTHY),
        ("something new", "database_refused", ExitCode.UNHEALTHY),
    ],
)
def test_refused_logins_are_told_apart_by_what_the_server_says(words, code, exit_code):
    said = f'connection failed: connection to server at "127.0.0.1", port 5432 failed: FATAL:  {words}'
    result = translate(psycopg.OperationalError(said))
    assert (result.code, result.exit_code) == (code, exit_code)
    assert words in result.message
    assert result.hint


def test_a_refused_password_is_a_kind_of_error_of_its_own():
    def refused(words):
        return translate(psycopg.OperationalError(f"connection failed: FATAL:  {words}"))

    assert is_password_refused(refused('password authentication failed for user "a"'))
    assert not is_password_refused(refused('role "a" is not permitted to log in'))
    assert not is_password_refused(RagopsError("database_login_refused", "password authentication failed"))


def test_words_of_the_client_are_one_line():
    said = "connection failed: Connection refused\n\tIs the server running on that host?\n"
    result = translate(psycopg.OperationalError(said), "database rag")
    assert result.message.endswith("connection failed: Connection refused Is the server running on that host?")
    assert "ragops health" not in result.hint, "that is where it is read"


def test_no_password_at_all_is_a_refused_login():
    error = psycopg.OperationalError("connection failed: fe_sendauth: no password supplied")
    assert translate(error).code == "database_login_refused"


def test_other_errors_pass_untouched():
    with pytest.raises(ZeroDivisionError), translate_errors():
        raise ZeroDivisionError
    with pytest.raises(RagopsError) as caught, translate_errors():
        raise RagopsError("mine", "as it is")
    assert caught.value.code == "mine"
