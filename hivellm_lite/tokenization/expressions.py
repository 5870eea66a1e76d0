"""The expressions that split a text before byte-level BPE, under llama.cpp's names.

llama.cpp splits with functions of its own for some names, and with ``std::regex`` for the
rest. ``std::regex`` recurses once for every character of a word: some ten thousand letters
overflow the stack and end the process. This module lists only the expressions for
``std::regex``. Where llama.cpp simplifies an expression of ``tokenizer.json`` (``gpt-4o``,
``tekken`` and similar: no combining marks, no case outside ASCII), the original is listed.

Source: ``llm_tokenizer_bpe`` in src/llama-vocab.cpp of llama.cpp, which quotes the
originals beside its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from .character_classes import LONG_S

__all__ = ["EXPRESSIONS", "GROUPS_OF_DIGITS", "IGNORE_MERGES", "SPLIT_SAFELY"]

GROUPS_OF_DIGITS = "groups of three digits, counted from the right"
"""A name for an expression whose look-ahead takes quadratic time."""

_CONTRACTION = rf"(?:'[sS{LONG_S}]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
"""``(?i:'s|'t|'re|'ve|'m|'ll|'d)``"""
_SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_SYMBOLS = r"| ?[^\s\p{L}\p{N}]+"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ENDING"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*ENDING"
)
"""Words that end where a capital letter follows a small one."""

_TEKKEN = _CASED.replace("ENDING", "") + r"|\p{N}" + _SYMBOLS + r"[\r\n/]*" + _SPACES
_WITH_CONTRACTION = _CASED.replace("ENDING", f"{_CONTRACTION}?")
_GPT_4O = _WITH_CONTRACTION + r"|\p{N}{1,3}" + _SYMBOLS + r"[\r\n/]*" + _SPACES
_YOUTU = _WITH_CONTRACTION + r"|\p{N}" + _SYMBOLS + r"[\r\n/]*" + _SPACES
_PUNCTUATED = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+"
)
_HAN_AND_KANA = r"[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_DEEPSEEK_V3 = (r"\p{N}{1,3}", _HAN_AND_KANA, _PUNCTUATED + r"[\r\n]*" + _SPACES)
_HAN_AND_HANGUL = r"[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_DEEPSEEK_LETTERS = (
    r"A-Za-z\xb5\xc0-\xd6\xd8-\xf6\xf8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    r"\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1"
    r"\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5"
    r"\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
    r"\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    r"\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3"
    r"\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115"
    r"\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f"
    r"\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"
    r"\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf"
    r"\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f"
    r"\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    r"\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_BLOOM = r" ?[^(\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
_FEWER_SPACES = r"|\s*[\r\n]+" + "".join(
    rf"|\s{{{n}}}(?!\S)" for n in ("512", "256", "128", "64", "32", "16", "8", "4", "1,2")
)
_BAILING = (
    rf"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|{_WORD}|\p{{N}}{_SYMBOLS}[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)

EXPRESSIONS: Mapping[str, tuple[str, ...]] = {
    "afmoe": (
        GROUPS_OF_DIGITS,
        r"[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf"
        r"\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af"
        r"\u1100-\u11ff]+",
        _PUNCTUATED + r"[\r\n]*" + _SPACES,
    ),
    "bailingmoe": (_BAILING,),
    "bailingmoe2": (_BAILING,),
    "bloom": (_BLOOM,),
    "cohere2moe": (GROUPS_OF_DIGITS, _GPT_4O),
    "deepseek-coder": (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _HAN_AND_HANGUL, r"\p{N}"),
    "deepseek-llm": (
        r"[\r\n]",
        rf"\s?[{_DEEPSEEK_LETTERS}]+",
        r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
        r"\s+$",
        _HAN_AND_HANGUL,
        r"\p{N}+",
    ),
    "deepseek-v3": _DEEPSEEK_V3,
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT_2, r"\p{N}+", "[0-9][0-9][0-9]"),
    "exaone-moe": (
        rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}(?:[\p{{L}}\p{{M}}]+| \p{{L}})*|\p{{N}}"
        rf"{_SYMBOLS}[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
    ),
    "falcon": (r"[\p{P}\$\+<=>\^~\|`]+", _GPT_2, "[0-9][0-9][0-9]"),
    "gpt-4o": (_GPT_4O,),
    "gpt3-finnish": (_BLOOM,),
    "granite-embed-multi-97m": (_GPT_4O,),
    "hunyuan-dense": _DEEPSEEK_V3,
    "hy_v4": _DEEPSEEK_V3,
    "jais-2": (rf"{_CONTRACTION}|{_WORD}|\p{{N}}{{1,3}}{_SYMBOLS}[\r\n]*{_FEWER_SPACES}|\s",),
    "joyai-llm": _DEEPSEEK_V3,
    "kanana2": (_GPT_4O,),
    "llada-moe": (_BAILING,),
    "llama4": (_GPT_4O,),
    "minicpm5": (
        r"\p{N}{1,3}",
        rf"{_CONTRACTION}|{_WORD}|\p{{N}}+{_SYMBOLS}[\r\n]*{_SPACES}",
    ),
    "minimax-m2": (_GPT_4O,),
    "poro-chat": (_BLOOM,),
    "seed-coder": (rf"{_CONTRACTION}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+{_SPACES}",),
    "spark2_5": (
        r"\p{N}{1,3}",
        _HAN_AND_KANA,
        _PUNCTUATED + r"|[\r\n]|\s+(?!\S)|\s+",
        r"\p{N}",
    ),
    "talkie": (_GPT_4O,),
    "tekken": (_TEKKEN,),
    "tiny_aya": (GROUPS_OF_DIGITS, _GPT_4O),
    "ufakzeka": (rf"{_WORD}|\p{{N}}{_SYMBOLS}[\r\n]*{_SPACES}",),
    "viking": (_BLOOM, r"\p{N}"),
    "youtu": (
        r"[\uac00-\ud7a3\u3131-\u318e]+"
        r"|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+"
        r"|[\u3105-\u312f]+|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        _YOUTU,
    ),
}
"""Applied in turn; each expression splits the pieces that the one before it has made."""

IGNORE_MERGES = frozenset({"granite-embed-multi-97m", "minicpm5", "tekken", "youtu"})
"""Names for which a piece that is a token stays that token, whatever the merges say."""

SPLIT_SAFELY = frozenset(
    {
        *("a.x-4.0", "chatglm-bpe", "codeshell", "command-r", "dbrx", "deepseek-r1-qwen", "exaone"),
        *("exaone4", "f2llmv2", "falcon-h1", "falcon3", "gemma4", "gigachat", "glm4", "glm5"),
        *("gpt-2", "granite-docling", "granite-embed-multi-311m", "grok-2", "hunyuan", "jais"),
        *("jina-de", "jina-es", "jina-v1-en", "jina-v2-code", "jina-v2-de", "jina-v2-es"),
        *("jina-v5-nano", "kimi-k2", "kormo", "laguna", "lfm2", "llama-bpe", "llama-v3", "llama3"),
        *("megrez", "mellum", "mellum2", "midm-2.0", "minerva-7b", "modern-bert", "mpt", "olmo"),
        *("phi-2", "pixtral", "qwen2", "qwen35", "refact", "roberta-bpe", "sarvam-moe"),
        *("smaug-bpe", "smollm", "solar-open", "stablelm2", "starcoder", "trillion"),
    }
)
"""Names for which llama.cpp has its own functions, which never recurse."""
