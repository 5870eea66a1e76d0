"""What a GGUF file says about turning text into tokens, apart from the vocabulary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .expressions import EXPRESSIONS, SPLIT_SAFELY

__all__ = ["NORMALIZER_KEY", "SPACE_PREFIX_KEY", "UNNAMED_KEY", "TextRules", "read_text_rules"]

SPACE_PREFIX_KEY = "tokenizer.hivellm.space_prefix"
"""Written by our converter: one of `SPACE_PREFIXES`."""

NORMALIZER_KEY = "tokenizer.hivellm.normalizer"
"""Written by our converter: ``nfc`` or ``none``."""

STRIPS_KEYS = {side: f"tokenizer.hivellm.strips_{side}" for side in ("left", "right")}
"""Written by our converter: ids of the tokens that swallow white space on that side,
separated by spaces."""

UNNAMED_KEY = "tokenizer.hivellm.unnamed"
"""Written by our converter: kinds of special tokens, such as ``bos``, that chat templates do not
know, separated by spaces."""

SPACE_PREFIXES = ("never", "first", "always", "prepend")
"""Where SentencePiece adds a leading space. ``first``: to a text that does not begin with a
space. ``always``: also to text after a control token. ``prepend``: even to text that begins
with a space."""

_PIECES_AS_GIVEN = "sarvam-moe"
"""A pre-tokenizer of llama.cpp that splits only at line ends and does not change characters:
it merges a piece in byte-level spelling as one."""

_NFC = frozenset({"qwen2"})
"""Pre-tokenizers whose published tokenizers compose characters (Unicode NFC) first."""

_ADD_BOS = frozenset({"tekken"})
"""Pre-tokenizers that we split for, and for which llama.cpp adds BOS by default."""


@dataclass(frozen=True)
class TextRules:
    """How a vocabulary turns text into tokens.

    ``model`` is ``tokenizer.ggml.model``, and ``pre`` the pre-tokenizer of a byte-level
    model. ``space_prefix`` is one of `SPACE_PREFIXES`. ``nfc``: whether characters are composed
    first. ``strips``: the tokens that swallow white space on their ``left`` or ``right``.
    ``overrides`` are metadata values that keep llama.cpp from doing what we do here.
    """

    model: str
    pre: str
    space_prefix: str
    nfc: bool
    strips: Mapping[str, frozenset[int]]
    overrides: Mapping[str, str | bool]

    @property
    def splits(self) -> bool:
        """Whether texts are split here and not by llama.cpp."""
        return self.model == "gpt2" and self.pre in EXPRESSIONS

    @property
    def recurses(self) -> bool:
        """Whether llama.cpp splits by an expression that recurses with the length of a word."""
        byte_level = self.model in ("gpt2", "whitespace", "hybriddna")
        return byte_level and not self.splits and self.pre not in SPLIT_SAFELY


def read_text_rules(metadata: Mapping[str, object]) -> TextRules:
    """The rules in the scalar metadata of a GGUF file."""
    model = str(metadata.get("tokenizer.ggml.model", ""))
    pre = str(metadata.get("tokenizer.ggml.pre") or "default")
    adds_space = metadata.get("tokenizer.ggml.add_space_prefix", True) is True
    prefix = str(metadata.get(SPACE_PREFIX_KEY, "prepend" if adds_space else "never"))
    if model != "llama" or prefix not in SPACE_PREFIXES:
        prefix = "never"
    normalizer = metadata.get(NORMALIZER_KEY)
    nfc = normalizer == "nfc" if normalizer is not None else pre in _NFC
    overrides: dict[str, str | bool] = {}
    if model == "llama":
        overrides["tokenizer.ggml.add_space_prefix"] = False
    elif model == "gpt2" and pre in EXPRESSIONS:
        overrides["tokenizer.ggml.pre"] = _PIECES_AS_GIVEN
        if "tokenizer.ggml.add_bos_token" not in metadata and pre in _ADD_BOS:
            overrides["tokenizer.ggml.add_bos_token"] = True
    strips = {side: _ids(metadata.get(key)) for side, key in STRIPS_KEYS.items()}
    return TextRules(model, pre, prefix, nfc, strips, overrides)


def _ids(text: object) -> frozenset[int]:
    words = text.split() if isinstance(text, str) else []
    return frozenset(int(word) for word in words if re.fullmatch("[0-9]{1,9}", word))
