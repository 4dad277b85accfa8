"""Attributes that are imported at their first use, so that `ragops --help` imports no engine."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Generic, Self, TypeVar, overload

T_co = TypeVar("T_co", covariant=True)


class Lazy(Generic[T_co]):
    """A class attribute that stands for an object of another module, named `module:object`; reading it imports that.

    A module that begins with a dot is one of the package of the class. Without a target the attribute is `default`.
    """

    def __init__(self, target: str = "", default: T_co | None = None) -> None:
        self._target, self._default = target, default

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T_co: ...

    def __get__(self, instance: object, owner: type) -> Self | T_co | None:
        if instance is None:
            return self
        if not self._target:
            return self._default
        module, _, name = self._target.partition(":")
        found: T_co = getattr(importlib.import_module(module, sys.modules[owner.__module__].__package__), name)
        return found


def lazy(target: str) -> Any:
    """Return a `Lazy` of the type that the base class states: `backup = lazy(".backup:RedisBackup")`."""
    return Lazy(target)
