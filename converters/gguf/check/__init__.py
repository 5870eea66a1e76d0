"""Checks a GGUF model before llama.cpp sees it.

llama.cpp answers many contradictions in a file with an assertion, which ends the process,
or with an exception that its C functions do not hold. Everything of that kind is found
here first, from the header alone, and told by the name of the key or tensor.

Architectures that the converter knows are checked completely: every size, every tensor.
Of the others only what llama.cpp asserts for all of them.

Private: may change in any release.
"""

from __future__ import annotations

from .adapter import check_adapter
from .model import MAX_SHOWN, check_model, find_problems
from .problems import GGUFProblem

__all__ = ["MAX_SHOWN", "GGUFProblem", "check_adapter", "check_model", "find_problems"]
