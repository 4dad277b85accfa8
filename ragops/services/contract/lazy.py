"""Attributes that are imported at their first use, so that `ragops --help` imports no engine."""

from __future__ import annotations

import importlib
from typing import Generic, Self, TypeVar, cast, overload

T_co = TypeVar("T_co", covariant=True)


class Lazy(Generic[T_co]):
    """A class attribute that stands for an object of another module, named `module:object`.

    Reading it from an instance imports the module: `probe: Lazy[Probe] = Lazy("ragops.services.redis.health:probe")`.
    """

    def __init__(self, target: str) -> None:
        self._target = target

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T_co: ...

    def __get__(self, instance: object, owner: type) -> Self | T_co:
        if instance is None:
            return self
        module, _, name = self._target.partition(":")
        return cast("T_co", getattr(importlib.import_module(module), name))
