"""Values of an object that are computed when they are first asked for.

Before Python 3.12 ``functools.cached_property`` holds one lock over all objects of a class while it
computes: a thread waits for another's object, and a process forked meanwhile waits for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

__all__ = ["lazy"]

_T = TypeVar("_T")


class lazy(Generic[_T]):  # noqa: N801 - used as a decorator, as `property` is
    """Compute once and keep in the object. Two threads that ask at once may both compute."""

    def __init__(self, compute: Callable[[Any], _T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, owner: None, kind: type | None = None) -> lazy[_T]: ...

    @overload
    def __get__(self, owner: object, kind: type | None = None) -> _T: ...

    def __get__(self, owner: object | None, kind: type | None = None) -> lazy[_T] | _T:
        if owner is None:
            return self
        return vars(owner).setdefault(self._name, self._compute(owner))  # type: ignore[no-any-return]
