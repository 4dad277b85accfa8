"""An `up` that cannot go through: it says why and how to go on, and loses nothing."""

from __future__ import annotations

import socket
from typing import Any

import pytest

pytestmark = pytest.mark.engine

# Wherever the image has it, and behind a link.
WITHOUT_SERVER = "RUN rm -f $(command -v redis-server) /usr/bin/redis-server"


def _failed(whole: Any, code: int) -> dict[str, str]:
    """The error of an `up` that ends with `code`."""
    error = whole.run("--json", "up", "--yes", code=code).error
    assert error["hint"]
    return error


def test_a_port_of_somebody_else(whole: Any, kept: Any) -> None:
    was, running = whole.settings["redis"]["port"], whole.container("redis").id
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        whole.configure(redis={"port": taken.getsockname()[1]})
        try:
            error = _failed(whole, 7)
            assert error["code"] == "port_taken"
            assert str(taken.getsockname()[1]) in error["message"] + error["hint"]
        finally:
            whole.configure(redis={"port": was})
    assert whole.container("redis").id == running
    assert whole.up() == {}


def test_an_image_that_nobody_has(whole: Any, kept: Any) -> None:
    running = whole.container("redis").id
    whole.configure(redis={"image": "localhost:1/nobody/redis:8.0.3"})
    try:
        error = _failed(whole, 7)
        assert error["code"] == "image_missing"
        assert "localhost:1/nobody/redis:8.0.3" in error["message"] + error["hint"]
    finally:
        whole.configure(redis={"image": None})
    assert whole.container("redis").id == running
    assert whole.up() == {}


def test_an_image_whose_server_dies(whole: Any, kept: Any, image_from: Any) -> None:
    """The end of its log is in the error, and the old image brings the data back."""
    with image_from("redis:8.0.2", "redis:8.0.3", WITHOUT_SERVER) as reference:
        whole.configure(redis={"image": reference})
        try:
            error = _failed(whole, 1)
            assert error["code"] == "service_failed"
            assert "redis" in error["message"]
            assert "redis-server" in error["hint"]
            assert whole.drift()
            assert whole.names.data_volume("redis") in whole.ours()["volumes"]
        finally:
            whole.configure(redis={"image": None})
            whole.up()
    whole.settled()


def test_a_first_up_that_fails_is_repeated_once_the_cause_is_gone(fresh: Any, image_from: Any) -> None:
    with image_from("redis:8.0.2", "redis:8.0.3", WITHOUT_SERVER) as reference:
        fresh.configure(redis={"image": reference})
        assert _failed(fresh, 1)["code"] == "service_failed"
        left = fresh.ours()["volumes"]
        fresh.configure(redis={"image": None})
        fresh.up()
    assert set(left) <= set(fresh.ours()["volumes"])
    fresh.assert_nothing_but_the_platform()
    assert fresh.drift() == {}


def test_a_platform_of_the_same_name_elsewhere_is_not_touched(whole: Any, fresh: Any) -> None:
    text = (fresh.root / "ragops.yaml").read_text()
    own = fresh.settings["name"]
    (fresh.root / "ragops.yaml").write_text(text.replace(f"name: {own}", f"name: {whole.settings['name']}"))
    before = whole.ours()
    try:
        error = _failed(fresh, 2)
        assert error["code"] == "name_taken"
        fresh.run("down", "--purge-data", "--yes", code=None)
        assert whole.ours() == before
    finally:
        (fresh.root / "ragops.yaml").write_text(text)
    assert whole.drift() == {}
