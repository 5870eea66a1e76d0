"""What is computed or imported when it is first asked for.

`lazy` is a value of an object. ``functools.cached_property`` will not do: before Python 3.12 it
holds one lock over all objects of a class while it computes, so a thread waits for another's
object, and a process forked meanwhile waits for ever.

`lazy_names` are the public names of a package whose modules load something heavy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar, overload

__all__ = ["lazy", "lazy_names"]

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


def lazy_names(
    package: str, homes: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package (PEP 562).

    ``homes``: names by the module of the package that defines them. ``dir()`` lists ``__all__``.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if (module := home_of.get(name)) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f".{module}", package), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(sys.modules[package].__all__)
