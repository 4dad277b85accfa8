"""Answers of Kong's Admin API, as the shell in its container passes them on."""

from __future__ import annotations

import pytest

from ragops.adapters.docker.values import ExecResult
from ragops.errors import RagopsError
from ragops.runtimes.docker.kong import admin

CHUNKED = b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n"


class Shell:
    """A container whose shell answers with these bytes."""

    def __init__(self, answer: bytes, stderr: bytes = b"") -> None:
        self.result = ExecResult(0, answer, stderr)

    def exec(self, *_given: object, **_options: object) -> ExecResult:
        return self.result


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", (201, b"{}")),
        (b"HTTP/1.1 200 OK\r\n\r\nto its end", (200, b"to its end")),
        (CHUNKED + b"3\r\n{\"a\r\n4;x=y\r\n\": 1\r\n1\r\n}\r\n0\r\n\r\n", (400, b'{"a": 1}')),
        (CHUNKED + b"3\r\nall\r\nff\r\ncut", (400, b"all")),
    ],
)  # fmt: skip
def test_an_answer_is_read_in_each_form(answer: bytes, found: tuple[int, bytes]) -> None:
    assert admin.request(Shell(answer), "kong", "GET", "/status") == found


@pytest.mark.parametrize("answer", [b"", b"no HTTP", b"HTTP/1.1 OK\r\n\r\n"])
def test_what_is_no_answer_is_an_error_with_the_shells_words(answer: bytes) -> None:
    with pytest.raises(RagopsError, match=r"cannot ask the Admin API of kong: .*refused") as caught:
        admin.request(Shell(answer, b"connect: Connection refused"), "kong", "GET", "/status")
    assert caught.value.code == "gateway_silent"


def test_a_refusal_quotes_kongs_message() -> None:
    refusal = CHUNKED + b"20\r\n" + b'{"message": "declarative config"}'[:32] + b"\r\n1\r\n}\r\n0\r\n\r\n"
    with pytest.raises(RagopsError, match="declarative config") as caught:
        admin.post_configuration(Shell(refusal), "kong", "{}")
    assert caught.value.code == "gateway_config_invalid"
