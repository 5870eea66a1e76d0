"""Schemas with values that satisfy them, values that do not, and valid ones left out.

Every keyword is in some case. ``valid`` and ``invalid`` are what a validator says. ``narrowed``
satisfies the schema but is not written, as the documentation says of it.
"""

from __future__ import annotations

from .apis import APIS
from .case import Case
from .combined import COMBINED, REFERENCES
from .containers import ARRAYS, OBJECTS
from .languages import DENIED, LANGUAGES
from .scalars import NUMBERS, STRINGS, TYPES

__all__ = ["CASES", "Case"]

CASES = [
    *TYPES,
    *NUMBERS,
    *STRINGS,
    *ARRAYS,
    *OBJECTS,
    *COMBINED,
    *REFERENCES,
    *LANGUAGES,
    *DENIED,
    *APIS,
]
