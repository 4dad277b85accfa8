"""Ports of this machine: which are free on all of its addresses."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from ragops.adapters.ports import is_free, port_owner
from ragops.operations.lifecycle.init import free_ports


@contextmanager
def listening(family: socket.AddressFamily, address: str) -> Iterator[int]:
    try:
        server = socket.socket(family)
        server.bind((address, 0))
    except OSError as error:
        pytest.skip(f"no address {address} here to listen on: {error}")
    with closing(server):
        server.listen()
        yield server.getsockname()[1]


ADDRESSES = [
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET, "127.0.0.2"),
    (socket.AF_INET, "0.0.0.0"),
    (socket.AF_INET6, "::1"),
    (socket.AF_INET6, "::"),
]


@pytest.mark.parametrize(("family", "address"), ADDRESSES)
def test_a_listener_on_any_address_takes_the_port(family: socket.AddressFamily, address: str) -> None:
    with listening(family, address) as port:
        assert not is_free(port)
        owner = port_owner(port)
        assert owner is not None
        assert (owner.port, owner.pid) == (port, os.getpid())


@pytest.mark.parametrize(("family", "address"), ADDRESSES)
def test_a_new_project_gets_no_port_that_is_taken_on_another_address(
    family: socket.AddressFamily, address: str
) -> None:
    with listening(family, address) as port:
        chosen = free_ports({"runtime": "embedded"}, first=lambda _usual: port)
        assert port not in chosen.values()


def test_a_port_is_free_again_after_its_listener() -> None:
    with listening(socket.AF_INET, "127.0.0.2") as port:
        assert not is_free(port)
    assert is_free(port)
    assert port_owner(port) is None
