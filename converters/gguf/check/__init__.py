"""Checks a GGUF model before llama.cpp sees it.

Many contradictions in a file make llama.cpp fail an assertion, which ends the process, or throw an
exception that its C functions do not catch. These checks find all of them first, from the header
alone, and report each by the name of its key or tensor.

Models of architectures whose tables say so (``checked_whole``) are checked completely: every size
and every tensor. For others the checks cover only what llama.cpp asserts for all of them.

Private: may change in any release.
"""

from __future__ import annotations

from .adapter import check_adapter
from .model import MAX_SHOWN, check_model, find_problems
from .problems import GGUFProblem

__all__ = ["MAX_SHOWN", "GGUFProblem", "check_adapter", "check_model", "find_problems"]
