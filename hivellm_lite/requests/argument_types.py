"""The types of what callers pass, checked where a wrong one would be taken for something else.

A text is a sequence of texts, True is an integer, and a number's text compares with nothing; each
gave an answer to another question, or an error from deep inside.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .options import BatchPrompt

__all__ = ["check_prompts", "check_types", "refuse_unknown"]

_NUMBERS = {
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "min_p": float,
    "repetition_penalty": float,
    "frequency_penalty": float,
    "presence_penalty": float,
    "logprobs": int,
    "seed": int,
    "max_tokens": int,
    "timeout": float,
    "adapter_scale": float,
}
_TEXTS = ("prompt", "schema", "system", "tool_form", "completion")
_LISTS = {
    "messages": "dicts with role and content",
    "tools": "dicts, as OpenAI's API writes functions",
    "documents": "dicts with title and text",
}
_FLAGS = ("thinking", "allow_unenforced")


def refuse_unknown(given: Iterable[str], known: Iterable[str], *, caller: str) -> None:
    """Raises TypeError for the first name in ``given`` that is not ``known``, with the nearest."""
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            listed = ", ".join(sorted(known))
            advice = f"Did you mean {close[0]!r}?" if close else f"Options are {listed}."
            raise TypeError(f"{caller}() got an unexpected keyword argument {name!r}\n{advice}")


def check_types(given: Mapping[str, object]) -> None:
    """Raises TypeError, naming the argument, for a value of a wrong type, and ValueError for a
    number that is not whole where one must be. None is "not given".
    """
    for name in _TEXTS:
        _check(name, given.get(name), str, "a text")
    template = given.get("template")
    if template is not None and not isinstance(template, (str, os.PathLike)):
        raise TypeError(
            f"template={_shown(template)}: must be a text or a Path, not {_kind(template)}"
        )
    for name in _FLAGS:
        _check(name, given.get(name), bool, "True or False")
    for name, kind in _NUMBERS.items():
        _check_number(name, given.get(name), kind)
    stop = given.get("stop")
    if stop is not None and not isinstance(stop, str):
        _check_list("stop", stop, str, "a text or a list of texts")
    bias = given.get("logit_bias")
    _check("logit_bias", bias, Mapping, "a dict of token ids and numbers")
    if isinstance(bias, Mapping):
        for token, value in bias.items():
            _check_number("logit_bias", token, int)
            _check_number(f"logit_bias[{token}]", value, float)
    for name, expected in _LISTS.items():
        if given.get(name) is not None:
            _check_list(name, given[name], Mapping, f"a list of {expected}")
    variables = given.get("chat_template_kwargs")
    _check("chat_template_kwargs", variables, Mapping, "a dict of names and values")


def check_prompts(prompts: Iterable[str | BatchPrompt]) -> list[str | BatchPrompt]:
    """The prompts of a batch as a list. Raises TypeError for a single text or dict: iterating it
    would ask for every letter, or every key.
    """
    if isinstance(prompts, (str, bytes, Mapping)) or not isinstance(prompts, Iterable):
        raise TypeError(
            f"prompts={_shown(prompts)}: must be a list of texts or dicts, not "
            f"{_kind(prompts)}\nPut a single prompt into a list, or use generate."
        )
    listed = list(prompts)
    for index, one in enumerate(listed):
        if not isinstance(one, (str, Mapping)):
            raise TypeError(
                f"prompts[{index}]={_shown(one)}: must be a text or a dict with a prompt, "
                f"not {_kind(one)}"
            )
    return listed


def _check(name: str, value: object, kind: type, expected: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name}={_shown(value)}: must be {expected}, not {_kind(value)}")


def _check_number(name: str, value: Any, kind: type) -> None:
    if value is None:
        return
    expected = "a whole number" if kind is int else "a number"
    if isinstance(value, bool) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"{name}={_shown(value)}: must be {expected}, not {_kind(value)}")
    if kind is int and not hasattr(value, "__index__"):  # numpy's integers are welcome
        raise ValueError(f"{name}={_shown(value)}: must be {expected}")


def _check_list(name: str, value: Any, kind: type, expected: str) -> None:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        raise TypeError(f"{name}={_shown(value)}: must be {expected}, not {_kind(value)}")
    for index, one in enumerate(value):
        if not isinstance(one, kind):
            raise TypeError(f"{name}[{index}]={_shown(one)}: must be {expected}, not {_kind(one)}")


def _kind(value: object) -> str:
    return f"the type {type(value).__name__}"


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "…"
