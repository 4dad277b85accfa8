"""The skeleton of Pulumi's dynamic providers: one idempotent act makes a resource what it should be.

Creating and updating are that act, so that an interrupted run is repeated. The state holds digests of what was applied
and what was found at the last refresh; a resource changes if either differs.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, ResourceProvider, UpdateResult
from pydantic import TypeAdapter

from ragops.errors import RagopsError, encode_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
_R = TypeVar("_R")


class DigestProvider(ResourceProvider, Generic[T]):
    """Create, update, read, diff and delete of a resource that is described by a `T`.

    `model` is the type that properties are read as, numbers as Pulumi returns them (floats) included. `fine` is the
    state of a resource that is as it was applied. `place` names the property whose change is another resource.
    """

    serialize_as_secret_always = False
    model: ClassVar[Any]
    fine: ClassVar[str] = "running"
    place: ClassVar[str] = ""

    @abstractmethod
    def identify(self, wanted: T) -> str:
        """Return the id of the resource."""

    @abstractmethod
    def apply(self, wanted: T) -> Mapping[str, Any]:
        """Make the resource as `wanted`, and return the outputs besides `expected` and the state.

        Raises RagopsError.
        """

    @abstractmethod
    def expected(self, wanted: T) -> Mapping[str, Any]:
        """Return the outputs that `wanted` comes to, such as its digest."""

    @abstractmethod
    def observe(self, outputs: Mapping[str, Any]) -> str:
        """Return the state of the resource with these outputs: `fine`, or what is wrong. Raises RagopsError."""

    def remove(self, outputs: Mapping[str, Any]) -> None:
        """Remove the resource; unless this is overridden it is only forgotten. Raises RagopsError."""

    def located(self, props: Mapping[str, Any]) -> Any:
        """Return the part of the property `place` whose change is another resource."""
        return props.get(self.place)

    def parse(self, props: Mapping[str, Any]) -> T:
        """Return the properties as a `T`. Raises ValueError or KeyError, for those of another version of ragops too."""
        wanted: T = TypeAdapter(self.model).validate_python(dict(props))
        return wanted

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Apply it."""
        return CreateResult(self.identify(self.parse(props)), self._apply(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Apply it."""
        return UpdateResult(self._apply(news))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Compare the outputs with those that are expected, and the state with `fine`."""
        try:
            expected = self.expected(self.parse(news))
            changed = any(olds.get(name) != value for name, value in expected.items())
        except (KeyError, TypeError, AttributeError, ValueError):
            changed = True  # a refresh compares a state that another version of ragops wrote
        moved = bool(self.place) and self.located(olds) != self.located(news)
        changed = changed or moved or olds.get("state") != self.fine
        return DiffResult(changes=changed, replaces=[self.place] if moved else [], stables=[])

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Observe the resource: the state never claims what is not so."""
        return ReadResult(id_, {**props, "state": _encoding(lambda: self.observe(props))})

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Remove the resource."""
        _encoding(lambda: self.remove(props))

    def _apply(self, props: Mapping[str, Any]) -> dict[str, Any]:
        wanted = self.parse(props)
        outputs = _encoding(lambda: self.apply(wanted))
        return {**outputs, **self.expected(wanted), "state": self.fine}


def _encoding(act: Callable[[], _R]) -> _R:
    """Return what `act` returns; a RagopsError passes the engine as the text that `errors.decode_error` reads."""
    try:
        return act()
    except RagopsError as error:
        raise RuntimeError(encode_error(error)) from error
