"""``unevaluatedProperties: false``: no keys but those that some schema describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..problems import Problems
from ..shapes import Object, Shape, Shapes, Values

__all__ = ["without_unevaluated_keys"]


def without_unevaluated_keys(
    shapes: Shapes, pointer: str, schema: Mapping[str, Any], problems: Problems
) -> Shapes:
    """The same shapes, with closed objects if the schema at ``pointer`` forbids other keys.

    A value of the keyword that cannot be enforced is reported to ``problems``.
    """
    if "unevaluatedProperties" not in schema or schema["unevaluatedProperties"] is True:
        return shapes
    if schema["unevaluatedProperties"] is not False:
        problems.add("unevaluatedProperties", pointer, "only true and false can be enforced")
        return shapes
    closed: list[Shape] = []
    for shape in shapes:
        if isinstance(shape, Values) and any(isinstance(v, dict) for v in shape.values):
            problems.add(
                "unevaluatedProperties",
                pointer,
                "cannot be enforced next to an 'enum' of objects",
            )
        closed.append(replace(shape, open=False) if isinstance(shape, Object) else shape)
    return tuple(closed)
