"""The skeleton of dynamic providers: what is applied, what counts as a change, how errors pass the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.pulumi.provider import DigestProvider
from ragops.errors import MissingError, decode_error

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Shelf:
    room: str
    boards: int
    books: tuple[str, ...] = ()


class ShelfProvider(DigestProvider[Shelf]):
    model = Shelf
    fine = "tidy"
    place = "room"
    found = "tidy"
    broken = False

    def identify(self, wanted: Shelf) -> str:
        return f"shelf@{wanted.room}"

    def expected(self, wanted: Shelf) -> Mapping[str, Any]:
        return {"digest": f"{wanted.boards} {' '.join(wanted.books)}"}

    def apply(self, wanted: Shelf) -> Mapping[str, Any]:
        self._refuse()
        return {"room": wanted.room}

    def observe(self, outputs: Mapping[str, Any]) -> str:
        self._refuse()
        return self.found

    def remove(self, outputs: Mapping[str, Any]) -> None:
        self._refuse()

    def _refuse(self) -> None:
        if self.broken:
            raise MissingError("no_wood", "cannot build a shelf: there is no wood", "buy some")


PROPS = {"room": "hall", "boards": 3.0, "books": ["a"], "state": None}  # as Pulumi passes them
OUTPUTS = {"room": "hall", "digest": "3 a", "state": "tidy"}


def test_creating_and_updating_are_one_act() -> None:
    provider = ShelfProvider()
    made = provider.create(PROPS)
    assert (made.id, made.outs) == ("shelf@hall", OUTPUTS)
    assert provider.update("shelf@hall", {}, PROPS).outs == OUTPUTS


@pytest.mark.parametrize(
    ("outputs", "props", "changes", "replaces"),
    [
        ({}, {}, False, []),
        ({}, {"boards": 4.0}, True, []),
        ({"state": "burnt"}, {}, True, []),
        ({}, {"room": "attic"}, True, ["room"]),
        ({"digest": "of another version"}, {}, True, []),
        ({}, {"boards": "of another version"}, True, []),
    ],
)
def test_what_is_a_change(outputs: dict[str, Any], props: dict[str, Any], changes: bool, replaces: list[str]) -> None:
    found = ShelfProvider().diff("id", {**OUTPUTS, **outputs}, {**PROPS, **props})
    assert (found.changes, found.replaces) == (changes, replaces)


def test_a_refresh_keeps_all_but_the_state() -> None:
    provider = ShelfProvider()
    provider.found = "burnt"
    assert provider.read("id", {**OUTPUTS, "of": "another version"}).outs == {
        **OUTPUTS, "of": "another version", "state": "burnt",
    }  # fmt: skip


def test_errors_pass_the_engine() -> None:
    provider = ShelfProvider()
    provider.broken = True
    for act in (
        lambda: provider.create(PROPS), lambda: provider.update("id", {}, PROPS),
        lambda: provider.read("id", OUTPUTS), lambda: provider.delete("id", OUTPUTS),
    ):  # fmt: skip
        with pytest.raises(RuntimeError) as failure:
            act()
        error = decode_error(str(failure.value))
        assert error is not None
        assert (error.code, error.hint) == ("no_wood", "buy some")
