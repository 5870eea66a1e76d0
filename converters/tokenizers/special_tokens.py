"""Reads the special tokens of a tokenizer: beginning, end, padding.

Source: ``SpecialVocab`` in gguf-py of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConversionError
from ..json_file import read_json

__all__ = [
    "SpecialTokens",
    "read_older_added_tokens",
    "read_special_tokens",
    "read_tokenizer_options",
]

_GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""Classes of Transformers without special tokens of their own."""

KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True)
class SpecialTokens:
    """Token ids by kind, such as ``bos``, and whether ``bos`` and ``eos`` are added to a text.

    ``unnamed``: kinds that the model has and its tokenizer does not, so that chat templates have no
    ``bos_token`` and the like.
    """

    ids: Mapping[str, int]
    add: Mapping[str, bool]
    unnamed: frozenset[str] = frozenset()


def read_special_tokens(
    tokenizer: Mapping[str, Any],
    options: Mapping[str, Any],
    fallback: Mapping[str, int],
    added: Mapping[str, int],
    n_vocab: int,
    *,
    bos_by_default: bool,
    source: object,
) -> SpecialTokens:
    """The special tokens of ``tokenizer.json`` and ``tokenizer_config.json``.

    ``fallback`` has the ids of ``config.json``. ``added`` maps added tokens to ids. Raises
    ConversionError for an id beyond ``n_vocab``, and for a post-processor that adds anything but
    BOS and EOS.
    """
    texts = {kind: _content(options.get(f"{kind}_token")) for kind in KINDS}
    first, last, add = _post_processor(tokenizer.get("post_processor"), source)
    for kind, text in (("bos", first), ("eos", last)):
        if text:
            # A template may add BOS even if the config names no BOS token.
            texts[kind] = texts[kind] or text
            if texts[kind] != text:
                raise ConversionError(
                    f"{source}: the post-processor adds {text!r}, "
                    f"but {kind}_token is {texts[kind]!r}: llama.cpp cannot do that"
                )
    for kind in ("bos", "eos"):
        flag = options.get(f"add_{kind}_token")
        if isinstance(flag, bool):
            add.setdefault(kind, flag)
    if bos_by_default:
        # llama.cpp adds BOS for these tokenizers unless told otherwise.
        add.setdefault("bos", False)
    ids: dict[str, int] = {}
    for kind in KINDS:
        token_id = added.get(texts[kind] or "", fallback.get(kind))
        if token_id is None:
            continue
        if token_id >= n_vocab:
            raise ConversionError(
                f"{source}: the {kind} token has the id {token_id}, "
                f"but the vocabulary has {n_vocab} entries"
            )
        ids[kind] = token_id
    generic = options.get("tokenizer_class") in _GENERIC
    unnamed = (
        kind
        for kind in ids
        if _content(options.get(f"{kind}_token")) is None
        and (generic or f"{kind}_token" in options)
    )
    return SpecialTokens(ids, add, frozenset(unnamed))


def read_tokenizer_options(folder: Path) -> dict[str, Any]:
    """``tokenizer_config.json``, with ``special_tokens_map.json`` where that counts.

    Transformers before 4.34 kept the roles of tokens there. As in Transformers, they come before
    those of a ``tokenizer_config.json`` that has no ``added_tokens_decoder``.
    """
    path, roles = folder / "tokenizer_config.json", folder / "special_tokens_map.json"
    options = read_json(path) if path.is_file() else {}
    if "added_tokens_decoder" in options or not roles.is_file():
        return options
    return {**options, **read_json(roles)}


def read_older_added_tokens(folder: Path, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``added_tokens.json``, which Transformers before 4.34 wrote, in the form of its successor.

    A token is special if ``options``, as `read_tokenizer_options` reads them, name it.
    """
    path = folder / "added_tokens.json"
    if not path.is_file():
        return {}
    named = [options.get(f"{kind}_token") for kind in KINDS]
    for key in ("additional_special_tokens", "extra_special_tokens"):
        others = options.get(key)
        named += others if isinstance(others, list) else []
    special = {text for token in named if (text := _content(token)) is not None}
    return {
        str(token_id): {"content": text, "special": text in special}
        for text, token_id in read_json(path).items()
        if type(token_id) is int
    }


def _content(token: object) -> str | None:
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _post_processor(processor: object, source: object) -> tuple[str, str, dict[str, bool]]:
    """The tokens that a text begins and ends with, and whether BOS and EOS are added."""
    if processor is None:
        return "", "", {}
    kind = processor.get("type") if isinstance(processor, dict) else None
    if isinstance(processor, dict) and kind == "Sequence":
        members = processor.get("processors")
        first, last, add = "", "", dict[str, bool]()
        for member in members if isinstance(members, list) else []:
            found = _post_processor(member, source)
            first, last = first or found[0], last or found[1]
            add |= {key: value or add.get(key, False) for key, value in found[2].items()}
        return first, last, add
    if kind == "ByteLevel":  # it changes offsets, not tokens
        return "", "", {"bos": False, "eos": False}
    if isinstance(processor, dict) and kind == "TemplateProcessing":
        return _template(processor.get("single"), source)
    raise ConversionError(f"{source}: the post-processor {kind!r} is not supported")


def _template(pieces: object, source: object) -> tuple[str, str, dict[str, bool]]:
    """Read a template of the form ``[BOS] text [EOS]``. GGUF cannot express any other."""
    names: list[str | None] = []
    for piece in pieces if isinstance(pieces, list) else []:
        special = piece.get("SpecialToken") if isinstance(piece, dict) else None
        names.append(str(special.get("id")) if isinstance(special, dict) else None)
    if names.count(None) != 1 or len(names) > 3:
        raise ConversionError(
            f"{source}: the post-processor's template {pieces!r} is not supported"
        )
    place = names.index(None)
    before, after = names[:place], names[place + 1 :]
    if len(before) > 1 or len(after) > 1:
        raise ConversionError(
            f"{source}: the post-processor's template {pieces!r} is not supported"
        )
    first, last = (before or [""])[0] or "", (after or [""])[0] or ""
    add = {kind: True for kind, text in (("bos", first), ("eos", last)) if text}
    return first, last, add
