"""Model folders inside a package that lie or ask for too much, drawn at random."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

from ..support.paths import FIXTURES
from .adapters import framed
from .values import odd_json, odd_value, wide_json

__all__ = ["BASES"]

_MODELS = ("tiny-llama", "tiny-qwen3", "tiny-mistral", "tiny-phi3", "tiny-gemma3")

Files = dict[str, bytes]


def real(random: Random, name: str | None = None) -> Files:
    folder = FIXTURES / "models" / (name or random.choice(_MODELS))
    return {f"base/{path.name}": path.read_bytes() for path in folder.iterdir()}


def odd_file(random: Random) -> Files:
    files = real(random)
    name = random.choice([name for name in files if name.endswith(".json")])
    files[name] = odd_json(random, json.loads(files[name]))
    return files


def odd_config(random: Random) -> Files:
    files = real(random)
    options = json.loads(files["base/config.json"])
    for _ in range(random.randint(1, 2)):
        key = random.choice(sorted(options))
        values = [0, 1, 2, 3, -1, 512, 10**6, 2**24, 2**31, 1e300, 1e-300, True, None, [], "x"]
        options[key] = random.choice(values)
    files["base/config.json"] = json.dumps(options).encode()
    return files


def odd_rope(random: Random) -> Files:
    files = real(random, "tiny-llama")
    options = json.loads(files["base/config.json"])
    kind = random.choice(["linear", "dynamic", "yarn", "llama3", "longrope", "ntk", ""])
    numbers = [0, 1, -1, 1.0, 1e308, 1e-308, 512, 10**30, None, [1.0] * 8, "x"]
    names = ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
    more = ("beta_fast", "beta_slow", "attention_factor", "mscale", "short_factor", "long_factor")
    scaling = {key: random.choice(numbers) for key in names + more if random.random() < 0.7}
    key = random.choice(["rope_scaling", "rope_parameters"])
    options[key] = {"rope_type": kind, "rope_theta": random.choice([1e4, *numbers]), **scaling}
    files["base/config.json"] = json.dumps(options).encode()
    return files


def wide_tokenizer(random: Random) -> Files:
    files = real(random)
    tokenizer = json.loads(files["base/tokenizer.json"])
    text = json.dumps(tokenizer)
    inside = wide_json(random, random.choice([100_000, 4_000_000, 40_000_000]))
    key = random.choice(["x", "added_tokens", "post_processor", "normalizer"])
    files["base/tokenizer.json"] = f'{text[:-1]}, "{key}": {inside}}}'.encode()
    return files


def many_added_tokens(random: Random) -> Files:
    files = real(random)
    n = random.choice([500, 50_000])
    entry = {"content": "x", "special": random.random() < 0.5, "lstrip": True}
    tokenizer = json.loads(files["base/tokenizer.json"])
    ids = random.choice([range(500, 500 + n), range(n), [2**31] * n, range(-n, 0)])
    if random.random() < 0.7:
        tokenizer["added_tokens"] = [{**entry, "id": i, "content": f"<{i}>"} for i in ids]
        files["base/tokenizer.json"] = json.dumps(tokenizer).encode()
    options = {"added_tokens_decoder": {str(i): {**entry, "content": f"<{i}>"} for i in ids}}
    files["base/tokenizer_config.json"] = json.dumps(options).encode()
    return files


def odd_tokens(random: Random) -> Files:
    files = real(random)
    tokenizer = json.loads(files["base/tokenizer.json"])
    vocab = tokenizer["model"].get("vocab")
    odd = ["", "\0", "\n", " ", "<0x00>", "[PAD5]", "<s>", "\u2581", "a" * 100_000, "\ud800", "😀"]
    for _ in range(random.randint(1, 5)):
        text = random.choice(odd)
        if isinstance(vocab, dict):
            old = random.choice(sorted(vocab))
            vocab[text] = vocab.pop(old) if random.random() < 0.7 else random.choice([0, -1, 10**9])
        elif isinstance(vocab, list):
            vocab[random.randrange(len(vocab))] = [text, random.choice([0.0, -1e300, "x"])]
    files["base/tokenizer.json"] = json.dumps(tokenizer).encode("utf-8", "surrogatepass")
    return files


def odd_merges(random: Random) -> Files:
    files = real(random, random.choice(["tiny-llama", "tiny-qwen3"]))
    tokenizer = json.loads(files["base/tokenizer.json"])
    n = random.choice([1, 100_000])
    odd = [["a", "b"], "a b", "ab", ["a"], [], 5, ["", ""], "  ", ["a" * 9_999, "b"]]
    tokenizer["model"]["merges"] = random.choices(odd, k=n)
    files["base/tokenizer.json"] = json.dumps(tokenizer).encode()
    return files


def sentencepiece(random: Random) -> Files:
    files = real(random, "tiny-mistral")
    del files["base/tokenizer.json"]
    piece = b"\x0a" + bytes([random.randrange(256)]) + random.randbytes(random.randrange(200))
    data = random.choice(
        [
            b"",
            piece * random.choice([1, 20_000]),
            b"\xff" * random.randint(1, 100_000),
            b"\x0a\x00" * random.choice([500, 500_000]),
            random.randbytes(5_000),
            b"\x0a\x07\x0a\x01a\x15\x00\x00\x80\x7f" * 500,
        ]
    )
    files["base/tokenizer.model"] = data
    return files


def odd_index(random: Random) -> Files:
    files = real(random, "tiny-llama")
    weights = files.pop("base/model.safetensors")
    shard = random.choice(["../x", "/etc/passwd", "a/b", "", ".", "con", "a.safetensors", "\0"])
    header = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])
    names = {name: shard for name in header if name != "__metadata__"}
    if random.random() < 0.3:
        names |= {f"t{i}": f"s{i}.safetensors" for i in range(random.choice([10, 30_000]))}
    index = odd_json(random, {"weight_map": names}) if random.random() < 0.3 else None
    files["base/model.safetensors.index.json"] = index or json.dumps({"weight_map": names}).encode()
    files["base/a.safetensors"] = weights
    return files


def odd_weights(random: Random) -> Files:
    files = real(random)
    raw = files.get("base/model.safetensors")
    if raw is None:
        return odd_file(random)
    n = int.from_bytes(raw[:8], "little")
    if random.random() < 0.5:
        data = bytearray(raw)
        for _ in range(random.randint(1, 60)):
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        files["base/model.safetensors"] = bytes(data)
    else:
        files["base/model.safetensors"] = framed(odd_json(random, json.loads(raw[8 : 8 + n])))
    return files


def large_vocabulary(random: Random) -> Files:
    """A size that nobody has tokens for, on an embedding of zeros that packs into nothing."""
    size = random.choice([100_000, 2_000_000, 16_000_000])
    header = {
        "model.embed_tokens.weight": {
            "dtype": "F16", "shape": [size, 2], "data_offsets": [0, 4 * size],
        }
    }  # fmt: skip
    files = real(random, "tiny-llama")
    options = json.loads(files["base/config.json"])
    options |= {"vocab_size": size, "hidden_size": 2, "num_attention_heads": 1, "head_dim": 2}
    options |= {"num_key_value_heads": 1, "tie_word_embeddings": True, "num_hidden_layers": 1}
    files["base/config.json"] = json.dumps(options).encode()
    files["base/model.safetensors"] = framed(json.dumps(header), bytes(min(4 * size, 1 << 25)))
    return files


def odd_template(random: Random) -> Files:
    files = real(random)
    odd = [
        "{%" * 50_000,
        "{{ 9**9**9 }}",
        "x" * 2_000_000,
        "\0",
        "{% for i in range(10**9) %}a{% endfor %}",
    ]
    text = random.choice(odd)
    if random.random() < 0.5:
        files["base/chat_template.jinja"] = text.encode()
    else:
        options = f'{{"chat_template": {random.choice([json.dumps(text), odd_value(random)])}}}'
        files["base/tokenizer_config.json"] = options.encode("utf-8", "surrogatepass")
        files.pop("base/chat_template.jinja", None)
    return files


BASES: dict[str, Callable[[Random], Files]] = {
    "an odd file of a base": odd_file,
    "an odd config of a base": odd_config,
    "odd rope": odd_rope,
    "a tokenizer of many values": wide_tokenizer,
    "many added tokens": many_added_tokens,
    "odd tokens": odd_tokens,
    "odd merges": odd_merges,
    "an odd tokenizer.model": sentencepiece,
    "an odd index": odd_index,
    "odd weights of a base": odd_weights,
    "a large vocabulary": large_vocabulary,
    "an odd chat template": odd_template,
}
"""The files of a model folder, in ``base/``."""
