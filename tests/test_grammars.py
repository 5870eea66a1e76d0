"""The grammars that come with the package: llama.cpp takes them, and they hold their language."""

from __future__ import annotations

import ctypes
from pathlib import Path

import hivellm_lite.grammars
import llama_cpp
import pytest

from hivellm_lite.engine import Model

FOLDER = Path(hivellm_lite.grammars.__path__[0])


def accepts(model: Model, grammar: str, text: str) -> bool:
    """Whether ``text`` and then the end is a sentence of the grammar, token by token."""
    sampler = llama_cpp.llama_sampler_init_grammar(model._vocab, grammar.encode(), b"root")
    assert sampler, "llama.cpp refuses the grammar"
    end = model.special_token("<|im_end|>")
    try:
        for token in [*model.tokenize(text), end]:
            data = (llama_cpp.llama_token_data * 1)((token, 0.0, 0.0))
            array = llama_cpp.llama_token_data_array(data, 1, -1, False)
            llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
            if data[0].logit == float("-inf"):
                return False
            llama_cpp.llama_sampler_accept(sampler, token)
        return True
    finally:
        llama_cpp.llama_sampler_free(sampler)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("{}", True),
        ("[]", True),
        ('{"a": [1, -2.5e3, true, null], "b": {"c": "x\\n\\u00e9"}}', True),
        ('"text"', True),
        ("0", True),
        ("", False),
        ("{", False),
        ("{'a': 1}", False),
        ('{"a": 1,}', False),
        ("01", False),
        ('"tab\there"', False),
        ('"\\x"', False),
        ("nul", False),
        ("1 2", False),
    ],
)
def test_json(tiny_base, text, valid):
    model = Model(tiny_base)
    assert accepts(model, (FOLDER / "json.gbnf").read_text(), text) == valid
    model.close()


def test_every_grammar_is_known_here():
    assert [path.name for path in FOLDER.glob("*.gbnf")] == ["json.gbnf"]
