"""Random damage to Hugging Face folders: other values and types, huge numbers, colliding tokens."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

__all__ = ["copy_damaged"]

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    3,
    31,
    64,
    100,
    511,
    513,
    600,
    65536,
    1 << 24,
    1 << 31,
    1 << 62,
    10**30,
    0.0,
    0.5,
    -1.0,
    1e-30,
    1e-6,
    1e30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "llama",
    [],
    {},
    [1],
    [None],
    {"a": 1},
    "\0",
    "\ud800",
    "\u2581",
    "y" * 100_000,
]
TEXTS = [
    "",
    "\0",
    "a\0b",
    "[PAD100]",
    "<unk>",
    "<s>",
    "</s>",
    "\n",
    " ",
    "\u2581",
    "a",
    "\u0120a",
    "<0x41>",
    "<|im_end|>",
    "[EMPTY_5]",
    "\ud83d",
    "Z" * 5000,
    "\u4f60" * 2000,
]
KEYS = [
    "head_dim",
    "num_key_value_heads",
    "sliding_window",
    "partial_rotary_factor",
    "rope_scaling",
    "attention_bias",
    "mlp_bias",
    "tie_word_embeddings",
    "layer_types",
    "num_experts",
    "query_pre_attn_scalar",
    "sliding_window_pattern",
    "final_logit_softcapping",
    "attn_logit_softcapping",
    "original_max_position_embeddings",
    "quantization_config",
    "rope_theta",
    "use_sliding_window",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
]


def random_place(value: Any, rng: random.Random) -> tuple[Any, Any] | None:
    """A container somewhere in a JSON value and one of its keys or indices."""
    here: tuple[Any, Any] | None = None
    while isinstance(value, (dict, list)) and value:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(keys)
        here = (value, key)
        value = value[key]
        if rng.random() < 0.3:
            break
    return here


def change_config(config: Any, rng: random.Random) -> None:
    action = rng.randrange(4)
    if action == 0:
        config[rng.choice(KEYS)] = rng.choice(VALUES)
    elif action == 1:
        numbers = [key for key, value in config.items() if type(value) is int]
        key = rng.choice(numbers)
        config[key] = rng.choice([config[key] * 2, config[key] // 2, config[key] + 1, 600, 0, 1])
    elif (place := random_place(config, rng)) is not None:
        place[0][place[1]] = rng.choice(VALUES)


def change_tokenizer(tokenizer: Any, rng: random.Random) -> None:
    vocab, action = tokenizer["model"]["vocab"], rng.randrange(7)
    if action == 0:  # another text for a token
        old = rng.choice(list(vocab))
        vocab[rng.choice(TEXTS)] = vocab.pop(old)
    elif action == 1:  # an id twice, or far away
        vocab[rng.choice(list(vocab))] = rng.choice([*vocab.values(), -1, 1 << 40, 100_000])
    elif action == 2:
        entry = {
            "id": rng.choice([0, 5, 100, 481, 10_000, -3, 1 << 70]),
            "content": rng.choice(TEXTS),
            "special": rng.random() < 0.5,
            "normalized": False,
        }
        tokenizer["added_tokens"].append(entry)
    elif action == 3 and tokenizer["added_tokens"]:
        entry = rng.choice(tokenizer["added_tokens"])
        entry[rng.choice(list(entry))] = rng.choice([*VALUES, *TEXTS])
    elif action == 4:
        merges = tokenizer["model"]["merges"]
        rng.shuffle(merges)
        del merges[rng.randrange(len(merges) + 1) :]
    elif action == 5:
        for text in rng.sample(list(vocab), rng.choice([1, 10, 250])):
            del vocab[text]
    elif (place := random_place(tokenizer, rng)) is not None:
        place[0][place[1]] = rng.choice([*VALUES, *TEXTS])


def damage(folder: Path, rng: random.Random) -> str:
    notes = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        name = rng.choice(
            ["config.json"] * 4
            + ["tokenizer.json"] * 5
            + ["tokenizer_config.json"]
            + ["generation_config.json"]
        )
        path = folder / name
        if name == "tokenizer.json" and rng.random() < 0.3:
            (folder / "tokenizer.model").unlink(missing_ok=True)
        values = json.loads(path.read_text())
        try:
            if name == "config.json":
                change_config(values, rng)
            elif name == "tokenizer.json":
                change_tokenizer(values, rng)
            elif (place := random_place(values, rng)) is not None:
                place[0][place[1]] = rng.choice([*VALUES, *TEXTS])
        except (TypeError, KeyError, IndexError, AttributeError, ValueError):
            continue  # an earlier change took the place away
        path.write_text(json.dumps(values))
        notes.append(name)
    return "+".join(notes)


def copy_damaged(model: Path, folder: Path, rng: random.Random) -> str:
    """A damaged copy of a model folder; returns the names of the files that were changed."""
    shutil.copytree(model, folder)
    return damage(folder, rng)
