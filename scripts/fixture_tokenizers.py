"""Tiny tokenizers of every kind that the converters read, trained on a page of text."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

__all__ = ["BYTE_LEVEL", "HARD_TEXTS", "PROMPTS", "SENTENCEPIECE", "save_tokenizer"]

PROMPTS = ("SELECT name, age FROM users WHERE age > 42;", "Él dijo: «¿qué?» 北京 🙂")

QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"|\p{N}| ", r"|\p{N}{1,3}| ")
GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

QWEN35 = QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(
    r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]"
)
DEEPSEEK = (
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
)

PATTERNS = {
    "qwen2": (QWEN2,),
    "llama-bpe": (LLAMA3,),
    "gpt-4o": (GPT4O,),
    "qwen35": (QWEN35,),
    "deepseek-v3": DEEPSEEK,
}
"""llama.cpp's name → the expressions that split a text before BPE."""

BYTE_LEVEL = ("smollm", *PATTERNS)
SENTENCEPIECE = ("llama", "phi3", "gemma")

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

TEXT = """
SELECT name, age FROM users WHERE age > 42 ORDER BY created_at DESC LIMIT 10;
CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER, total NUMERIC, created_at TIMESTAMP);
MATCH (person:Person)-[:KNOWS]->(friend) WHERE person.name = 'Alice' RETURN friend.name;
{"query": {"match": {"title": "the quick brown fox"}}, "size": 100, "from": 0}
def total(values):
    return sum(value for value in values if value is not None)
She'll say that it's fine, they're here and I've seen what we'd do; DON'T worry.
Él dijo: ¿qué quieres? L'été à la plage, où l'on mange. Straße, Übergröße, naïve, coöperate.
北京欢迎你。東京は日本の首都です。서울은 한국의 수도입니다. Москва слезам не верит.
1234567890 3.14159 2024-01-31 0x1f4a9 100,000 ٣٤٥ ½ ² 🙂🚀 👩‍👩‍👧 e\u0301
The quick brown fox jumps over the lazy dog and then, having jumped, sleeps in the shade.
"""

HARD_TEXTS = (
    "",
    " ",
    "  ",
    "   \n\n \t\t\r\n  x",
    "Hello, world!",
    " leading and trailing ",
    "1 12 123 1234 12345 3.14159 ٣٤٥ ½ ² Ⅷ",
    "it's they're I'VE we'd DON'T 's 'S ''ll",
    "北京欢迎你。東京 서울 Москва",
    "🙂🚀 👩‍👩‍👧 🇩🇪",
    "naïve coöperate Straße İstanbul ﬁ",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "<|im_start|><|im_start|> <|im_end|>x<|endoftext|>",
    "almost <|im_start |> and <|im_end",
    "tabs\tand\x00nul\x7fdel\u200bzero\u00a0nbsp\u3000wide",
    "\ufeffbom \ufffd replacement \U0010ffff last",
    "a" * 70 + " " * 17 + "b" + "\n" * 9,
    '{"a": [1, 2.5e-3, null], "b": {"c": "\\u00e9"}}',
    "SELECT * FROM t WHERE x >= 10 AND y <> 'z''s';--end\r\n\r\n/* c */",
    "def f(x):\n    return x**2 + 3*x - 1  # comment\n\n\n",
)


def train_byte_level(kind: str) -> Tokenizer:
    """A byte-level BPE tokenizer that splits text as ``kind`` says."""
    ignore_merges = kind == "llama-bpe"
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if kind == "smollm":
        first: list[Any] = [pre_tokenizers.Digits(individual_digits=True)]
    else:
        first = [pre_tokenizers.Split(Regex(one), behavior="isolated") for one in PATTERNS[kind]]
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "smollm")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*first, last])
    tokenizer.decoder = decoders.ByteLevel()
    if kind in ("qwen2", "qwen35"):
        tokenizer.normalizer = normalizers.NFC()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special if kind == "smollm" else [],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT.splitlines(keepends=True), trainer)
    if kind != "smollm":
        tokenizer.add_special_tokens(
            [AddedToken(t, special=True, normalized=False) for t in special]
        )
        tokenizer.add_tokens([AddedToken(t, normalized=False) for t in ("<think>", "</think>")])
    if kind == "llama-bpe":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|endoftext|> $A",
            pair="<|endoftext|> $A <|endoftext|>:1 $B:1",
            special_tokens=[("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))],
        )
    elif kind != "smollm":
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


GEMMA_SYMBOLS = ["<start_of_turn>", "<end_of_turn>", "<unused0>", "\n\n", "\n\n\n", "▁▁", "▁▁▁"]
"""Pieces that Gemma's model file defines itself."""


def train_sentencepiece(kind: str) -> bytes:
    """A SentencePiece BPE model with byte fallback, as ``tokenizer.model``."""
    model = io.BytesIO()
    gemma = kind == "gemma"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=480,
        byte_fallback=True,
        character_coverage=0.98,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=not gemma,
        user_defined_symbols=GEMMA_SYMBOLS if gemma else [],
        num_threads=1,
        minloglevel=2,
        **(
            {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "bos_piece": "<bos>"}
            | {"eos_piece": "<eos>", "pad_piece": "<pad>"}
            if gemma
            else {"unk_id": 0, "bos_id": 1, "eos_id": 2}
        ),
    )
    return model.getvalue()


def from_sentencepiece(kind: str, model: bytes) -> Tokenizer:
    """The ``tokenizer.json`` form, as Transformers makes it from the model file."""
    source = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [source.IdToPiece(i) for i in range(source.GetPieceSize())]
    scores = [source.GetScore(i) for i in range(len(pieces))]
    ids = {piece: i for i, piece in enumerate(pieces)}
    pairs = [
        (scores[i], (piece[:cut], piece[cut:]))
        for i, piece in enumerate(pieces)
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    pairs.sort(key=lambda pair: (-pair[0], ids[pair[1][0]], ids[pair[1][1]]))
    tokenizer = Tokenizer(
        models.BPE(ids, [p for _, p in pairs], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    to_piece = normalizers.Replace(" ", "▁")
    if kind == "gemma":
        tokenizer.normalizer = to_piece
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    elif kind == "phi3":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), to_piece])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    steps: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(
        steps if kind == "gemma" else [*steps, decoders.Strip(content=" ", left=1)]
    )
    special = [p for i, p in enumerate(pieces) if source.IsControl(i) or source.IsUnknown(i)]
    symbols = GEMMA_SYMBOLS if kind == "gemma" else []
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in (*special, *symbols[:2])]
    )
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in symbols[2:]])
    if kind == "gemma":
        tokenizer.add_special_tokens([AddedToken("<image_soft_token>", special=True)])
    else:
        # Phi-3's own tokens swallow the spaces that follow.
        tokenizer.add_special_tokens(
            [
                AddedToken(text, normalized=False, rstrip=kind == "phi3", special=True)
                for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
            ]
        )
    first = "<bos>" if kind == "gemma" else "<s>"
    if kind != "phi3":
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A",
            pair=f"{first} $A {first}:1 $B:1",
            special_tokens=[(first, ids[first])],
        )
    return tokenizer


def repeated_added_tokens(folder: Path, kind: str) -> dict[str, Any]:
    """Added tokens in the place where Transformers 4 writes them; llama.cpp's converter reads
    only that place.
    """
    added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    decoder = {str(token.pop("id")): token for token in added}
    return {"added_tokens_decoder": decoder, "add_bos_token": kind != "phi3"}


def change_options(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer_config.json"
    options = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(options, indent=2, sort_keys=True) + "\n")


def save_tokenizer(kind: str, folder: Path) -> Tokenizer:
    """Write all of the tokenizer's files; returns it as read back from them."""
    if kind in SENTENCEPIECE:
        model = train_sentencepiece(kind)
        tokenizer = from_sentencepiece(kind, model)
        gemma = kind == "gemma"
        roles = {
            "bos_token": "<bos>" if gemma else "<s>",
            "eos_token": "<eos>" if gemma else "</s>",
            "pad_token": "<pad>" if gemma else "</s>",
            "unk_token": "<unk>",
        }
    else:
        tokenizer = train_byte_level(kind)
        roles = {
            "bos_token": None if kind in ("qwen2", "qwen35") else "<|endoftext|>",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>" if kind == "smollm" else None,
        }
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles)
    wrapped.chat_template = CHATML
    wrapped.save_pretrained(folder)
    if kind in SENTENCEPIECE:
        (folder / "tokenizer.model").write_bytes(model)
        change_options(folder, **repeated_added_tokens(folder, kind))
    elif kind == "gpt-4o":
        # llama.cpp's converter tells Phi-4 from Phi-3 by this.
        change_options(folder, tokenizer_class="GPT2Tokenizer")
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
