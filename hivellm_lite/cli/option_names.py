"""Errors of the library name its arguments; here they become the tool's options."""

from __future__ import annotations

import re

__all__ = ["as_options"]

_FLAGS = {
    "allow_unenforced=True": "--allow-unenforced",
    "force=True": "--force",
    "offline=True": "--offline",
    "thinking=True": "--thinking",
    "verify=False": "--no-verify",
    'signatures="require"': "--require-signature",
    "flash_attention=True": "--flash-attention",
    "flash_attention=False": "--no-flash-attention",
}

_VALUED = (
    *("adapter_mode", "base", "cache_dir", "device", "extra_rank", "float_weights", "grammar"),
    *("json_schema", "kv_type", "max_tokens", "min_p", "n_ctx", "n_threads", "pre_tokenizer"),
    *("quantization", "repetition_penalty", "schema", "seed", "soft_prompt", "stop", "system"),
    *("temperature", "template", "timeout", "top_k", "top_p", "variant_type"),
)
"""Arguments whose option has the same name with hyphens."""

_NAMES = "|".join(_VALUED)
_FLAG = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, _FLAGS))})(?!\w)")
_BOTH = re.compile(rf"(?<![\w.])(?:{_NAMES})=\S+ \((--[a-z-]+ [^\s()]+)\)")
_VALUE = re.compile(
    rf"(?<![\w.])({_NAMES})=(?:'([^'\s]*)'|\"([^\"\s]*)\"|([A-Z]+\b)|(?=[^\w'\"-]|$))"
)
_WORD = re.compile(
    rf"(?<![\w.'\"`/=-])({'|'.join(name for name in _VALUED if '_' in name)})(?![\w'\"`=.(])"
)
_TWICE = re.compile(r"(--[a-z-]+(?: [^\s()]+)?) \(\1\)")


def as_options(message: str) -> str:
    """``message`` with ``--allow-unenforced`` for ``allow_unenforced=True``, and so on.

    A number that was given (``top_p=7.0: must be…``) stays: it is what was found. Bare names
    are replaced where a message says what to do, below its first line.
    """
    text = _BOTH.sub(r"\1", message)
    text = _FLAG.sub(lambda match: _FLAGS[match[1]], text)
    text = _VALUE.sub(_option, text)
    found, *advice = text.split("\n")
    text = "\n".join([found, *(_WORD.sub(lambda match: _named(match[1]), line) for line in advice)])
    return _TWICE.sub(r"\1", text)


def _option(match: re.Match[str]) -> str:
    value = match[2] or match[3] or match[4]
    return f"{_named(match[1])} {value}" if value else _named(match[1])


def _named(argument: str) -> str:
    return "--" + argument.replace("_", "-")
