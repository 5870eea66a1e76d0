"""Turns a Hugging Face tokenizer into the vocabulary part of a GGUF file.

It reads two kinds: byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM, Phi-4), and SentencePiece with
byte fallback (Llama 2, Mistral, Gemma, Phi-3). A tokenizer that GGUF cannot express exactly is
refused; ``notes`` list differences in corner cases.

Source: ``get_vocab_base`` in conversion/base.py and ``SpecialVocab`` in
gguf-py of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConversionError
from ...tokenization.rules import NORMALIZER_KEY, SPACE_PREFIX_KEY, STRIPS_KEYS, UNNAMED_KEY
from ..gguf.check.vocabulary import text_problem
from ..json_file import read_tokenizer_json
from .added_tokens import (
    AddedToken,
    looks_special,
    read_added_tokens,
    single_word_notes,
    stripping_tokens,
)
from .byte_level_model import byte_level_model, normalizer_of, spelled_merges
from .chat_template import TOOL_USE, FoundTemplates, find_chat_templates
from .pre_tokenizer_names import checked_pre_tokenizer
from .pre_tokenizers import IGNORE_MERGES, recognise
from .sentencepiece_model import Piece
from .sentencepiece_vocabulary import UNMERGED_SCORE, is_sentencepiece, pieces_of
from .special_tokens import SpecialTokens, read_special_tokens, read_tokenizer_options

if TYPE_CHECKING:
    from gguf import GGUFWriter

__all__ = ["Vocabulary", "read_vocabulary", "write_vocabulary"]

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Values of ``llama_token_type``."""

PADDING_SCORE = -10000.0


@dataclass(frozen=True)
class Vocabulary:
    """Everything that a GGUF file holds under ``tokenizer.*``.

    ``model`` is ``gpt2`` or ``llama`` (SentencePiece). ``tokens`` and ``types`` have one entry
    for each id of the model's vocabulary. ``merges`` are pairs joined by a space, best first;
    SentencePiece has ``scores`` instead and merges the highest first. ``chat_templates`` are
    Jinja sources, kept as data.

    Our runtime reads three more: ``space_prefix``, of which llama.cpp's ``add_space_prefix``
    can express less; ``normalizer``, ``nfc`` or ``none``; and ``strips``, the ids of control and
    added tokens that swallow white space on their ``left`` or ``right``.
    """

    model: str
    pre_tokenizer: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    scores: tuple[float, ...]
    merges: tuple[str, ...]
    special: SpecialTokens
    chat_templates: FoundTemplates | None
    add_space_prefix: bool | None
    space_prefix: str
    normalizer: str
    strips: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...]


def read_vocabulary(
    folder: Path,
    *,
    size: int,
    token_ids: Mapping[str, int],
    architecture: str,
    pre_tokenizer: str | None = None,
) -> Vocabulary:
    """Read ``tokenizer.json`` or ``tokenizer.model`` and their companions in ``folder``.

    The model's configuration gives three facts: its vocabulary has ``size`` entries,
    ``token_ids`` are its special tokens by kind, and ``architecture`` is its name in GGUF.
    ``pre_tokenizer`` sets ``tokenizer.ggml.pre``, one of `PRE_TOKENIZERS`. Raises
    ConversionError if the tokenizer is of another kind, malformed, or larger than the model.
    """
    path, protobuf = folder / "tokenizer.json", folder / "tokenizer.model"
    if not path.is_file() and not protobuf.is_file():
        raise ConversionError(
            f"{folder} has no tokenizer.json and no tokenizer.model\n"
            "From other files, such as vocab.json and merges.txt, Transformers makes a "
            "tokenizer.json: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)."
        )
    facts = _Model(size, token_ids, reads_prefix=architecture == "llama")
    tokenizer = read_tokenizer_json(path) if path.is_file() else None
    options = read_tokenizer_options(folder)
    if tokenizer is None or is_sentencepiece(tokenizer):
        if pre_tokenizer is not None:
            raise ConversionError(
                f"{folder} has a SentencePiece tokenizer, which has no pre-tokenizer\n"
                f"Leave out pre_tokenizer={pre_tokenizer!r:.80}."
            )
        return _sentencepiece(folder, facts, tokenizer, options)
    return _byte_level(folder, facts, tokenizer, options, pre_tokenizer)


@dataclass(frozen=True)
class _Model:
    """What the model's configuration says about its tokens.

    ``reads_prefix``: llama.cpp's converter honours ``add_prefix_space`` for this architecture.
    """

    size: int
    token_ids: Mapping[str, int]
    reads_prefix: bool


def _byte_level(
    folder: Path,
    facts: _Model,
    tokenizer: Mapping[str, Any],
    options: Mapping[str, Any],
    pre_tokenizer: str | None,
) -> Vocabulary:
    path, size = folder / "tokenizer.json", facts.size
    model = byte_level_model(tokenizer, path)
    normalizer = normalizer_of(tokenizer, path)
    added, beyond = read_added_tokens(folder, tokenizer, options, model["vocab"], size)
    pieces = dict[int, Piece]()
    for text, token_id in model["vocab"].items():
        if not 0 <= token_id < size:
            raise ConversionError(
                f"{path}: token {text!r} has the id {token_id}, "
                f"but the model's vocabulary has {size} entries\n"
                "The tokenizer is another model's, or it has grown and the embedding has not."
            )
        if token_id in pieces:
            raise ConversionError(
                f"{path}: {pieces[token_id].text!r} and {text!r} are both {token_id}"
            )
        pieces[token_id] = Piece(text, 0.0, NORMAL)
    tokens, types, _ = _tokens(pieces, added, size, path)
    by_hand: tuple[str, ...] = ()
    if pre_tokenizer is None:
        pre = recognise(tokenizer, path)
    else:
        pre = checked_pre_tokenizer(pre_tokenizer)
        by_hand = (f"text is split as {pre}, which was given by hand (pre_tokenizer)",)
    special = read_special_tokens(
        tokenizer,
        options,
        facts.token_ids,
        {token.text: token_id for token_id, token in added.items()},
        len(tokens),
        bos_by_default=pre in IGNORE_MERGES or pre_tokenizer is not None,
        source=path,
    )
    prefix = options.get("add_prefix_space") if facts.reads_prefix else None
    return Vocabulary(
        model="gpt2",
        pre_tokenizer=pre,
        tokens=tokens,
        types=types,
        scores=(),
        merges=spelled_merges(model, path),
        special=special,
        chat_templates=find_chat_templates(folder, options),
        add_space_prefix=prefix if isinstance(prefix, bool) else None,
        space_prefix="never",
        normalizer=normalizer,
        strips=stripping_tokens(added),
        notes=by_hand + beyond + single_word_notes(added),
    )


def _sentencepiece(
    folder: Path,
    facts: _Model,
    tokenizer: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> Vocabulary:
    size = facts.size
    path = folder / ("tokenizer.model" if tokenizer is None else "tokenizer.json")
    pieces, splitting, notes = pieces_of(folder, tokenizer, options, size)
    vocab = {piece.text: token_id for token_id, piece in pieces.items()}
    added, beyond = read_added_tokens(folder, tokenizer or {}, options, vocab, size)
    tokens, types, scores = _tokens(pieces, added, size, path)
    controls = {p.text: i for i, p in pieces.items() if p.type == CONTROL}
    special = read_special_tokens(
        tokenizer or {},
        options,
        facts.token_ids,
        controls | {token.text: token_id for token_id, token in added.items()},
        size,
        # llama.cpp adds BOS by default, and without tokenizer.json so does Transformers.
        bos_by_default=tokenizer is not None,
        source=path,
    )
    # llama.cpp adds the space by default.
    given = facts.reads_prefix and isinstance(options.get("add_prefix_space"), bool)
    return Vocabulary(
        model="llama",
        pre_tokenizer="default",
        tokens=tokens,
        types=types,
        scores=scores,
        merges=(),
        special=special,
        chat_templates=find_chat_templates(folder, options),
        add_space_prefix=splitting.adds_space if given or not splitting.adds_space else None,
        space_prefix=splitting.space_prefix,
        normalizer="none",
        strips=stripping_tokens(added),
        notes=notes + beyond + single_word_notes(added),
    )


def write_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    """Add ``vocabulary`` to the metadata of a GGUF file."""
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre_tokenizer)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    for kind, token_id in vocabulary.special.ids.items():
        getattr(writer, f"add_{kind}_token_id")(token_id)
    if vocabulary.special.unnamed:
        writer.add_string(UNNAMED_KEY, " ".join(sorted(vocabulary.special.unnamed)))
    for kind, value in vocabulary.special.add.items():
        getattr(writer, f"add_add_{kind}_token")(value)
    if vocabulary.add_space_prefix is not None:
        writer.add_add_space_prefix(vocabulary.add_space_prefix)
    writer.add_string(NORMALIZER_KEY, vocabulary.normalizer)
    if vocabulary.model == "llama":
        writer.add_string(SPACE_PREFIX_KEY, vocabulary.space_prefix)
    for side, token_ids in vocabulary.strips.items():
        if token_ids:
            writer.add_string(STRIPS_KEYS[side], " ".join(map(str, token_ids)))
    if vocabulary.chat_templates is not None:
        _write_templates(writer, vocabulary.chat_templates)


def _write_templates(writer: GGUFWriter, found: FoundTemplates) -> None:
    """The templates that are ever chosen: for conversations, and for conversations with tools."""
    if found.default is not None:
        writer.add_chat_template(found.default)
    if TOOL_USE in found.named:
        writer.add_array("tokenizer.chat_templates", [TOOL_USE])
        writer.add_string(f"tokenizer.chat_template.{TOOL_USE}", found.named[TOOL_USE])


def _tokens(
    pieces: Mapping[int, Piece],
    added: Mapping[int, AddedToken],
    size: int,
    path: Path,
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[float, ...]]:
    """Texts, types and scores by id. Ids without a token become unused padding."""
    taken = {p.text for p in pieces.values()} | {token.text for token in added.values()}
    tokens = [_padding(i, taken) for i in range(size)]
    types = [UNUSED] * size
    scores = [PADDING_SCORE] * size
    for token_id, piece in pieces.items():
        tokens[token_id], types[token_id] = piece.text, piece.type
        scores[token_id] = piece.score
    for token_id, token in added.items():
        text = token.text
        if token_id < 0:
            raise ConversionError(f"{path}: token {text!r} has the id {token_id}")
        if types[token_id] != UNUSED and tokens[token_id] != text:
            raise ConversionError(f"{path}: {tokens[token_id]!r} and {text!r} are both {token_id}")
        control = token.special or looks_special(text)
        # llama.cpp compares user-defined tokens with plain text.
        tokens[token_id] = text if control else text.replace("\u2581", " ")
        types[token_id] = CONTROL if control else USER_DEFINED
        scores[token_id] = UNMERGED_SCORE
    try:
        "".join(tokens).encode()
    except UnicodeEncodeError as error:
        text = error.object[error.start : error.start + 1]
        raise ConversionError(f"{path}: a token with {text!r} is not valid Unicode") from error
    if (problem := text_problem([text.encode() for text in tokens])) is not None:
        found, expected = problem
        raise ConversionError(f"{path}: the vocabulary has {found}; llama.cpp needs {expected}")
    return tuple(tokens), tuple(types), tuple(scores)


def _padding(token_id: int, taken: Collection[str]) -> str:
    """``[PAD7]``, as in llama.cpp's converter, or a longer name if a token has this one."""
    name = f"[PAD{token_id}]"
    while name in taken:
        name = f"[PAD{name}]"
    return name
