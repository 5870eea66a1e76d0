"""Small lies that a GGUF file can tell, each with the key or tensor that the error must name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .gguf_files import (
    ARRAY,
    BOOL,
    FLOAT32,
    FLOAT64,
    INT32,
    STRING,
    UINT8,
    UINT16,
    UINT32,
    UINT64,
    Document,
    TensorEntry,
    Value,
)

__all__ = ["LIES", "Lie"]

F32, F16, Q8_0, Q8_1, Q8_K, I8, I32, I64, F64, BF16 = 0, 1, 8, 9, 15, 24, 26, 27, 28, 30

Change = Callable[[Document], None]


@dataclass(frozen=True)
class Lie:
    """``model`` is the fixture that ``change`` is made to; ``key`` what the error names."""

    model: str
    name: str
    change: Change
    key: str


LIES: list[Lie] = []


def lie(model: str, name: str, change: Change, key: str) -> None:
    LIES.append(Lie(model, name, change, key))


def put(key: str, value: Value) -> Change:
    def change(document: Document) -> None:
        document.keys[key.encode()] = value

    return change


def number(value: int) -> Value:
    return Value(UINT32, value)


def real(value: float) -> Value:
    return Value(FLOAT32, value)


def text(value: str) -> Value:
    return Value(STRING, value.encode())


def without(key: str) -> Change:
    def change(document: Document) -> None:
        del document.keys[key.encode()]

    return change


def both(*changes: Change) -> Change:
    def change(document: Document) -> None:
        for one in changes:
            one(document)

    return change


def retyped(name: str, code: int, bytes_per_value: float) -> Change:
    def change(document: Document) -> None:
        tensor = document.tensor(name)
        count = 1
        for length in tensor.shape:
            count *= length
        tensor.code, tensor.data = code, bytes(int(count * bytes_per_value))

    return change


def reshaped(name: str, shape: list[int]) -> Change:
    def change(document: Document) -> None:
        document.tensor(name).shape = shape

    return change


def extra(name: str, shape: list[int], code: int = F32, size: int = 4) -> Change:
    def change(document: Document) -> None:
        count = 1
        for length in shape:
            count *= length
        document.tensors.append(TensorEntry(name.encode(), shape, code, bytes(count * size)))

    return change


def dropped(name: str) -> Change:
    def change(document: Document) -> None:
        document.tensors.remove(document.tensor(name))

    return change


def token(place: int, value: bytes) -> Change:
    def change(document: Document) -> None:
        tokens = document.keys[b"tokenizer.ggml.tokens"]
        tokens.value = list(tokens.value)
        tokens.value[place] = value

    return change


def tokens_of(n: int) -> Change:
    def change(document: Document) -> None:
        tokens = document.keys[b"tokenizer.ggml.tokens"]
        tokens.value = tokens.value[:n]

    return change


def array(key: str, element: int, values: list[object]) -> Change:
    return put(key, Value(ARRAY, values, element))


# hyper-parameters
for model, architecture in (
    ("tiny-llama", "llama"),
    ("tiny-qwen2", "qwen2"),
    ("tiny-phi3", "phi3"),
):
    for value in (0, 600, 513, 10_000, (1 << 32) - 1):
        key = f"{architecture}.block_count"
        lie(model, f"{value} layers", put(key, number(value)), key)
    for value in (0, 3, 1 << 20, (1 << 32) - 1):
        key = f"{architecture}.attention.head_count"
        lie(model, f"{value} heads", put(key, number(value)), key)
    for value in (0, 3, 64, (1 << 32) - 1):
        key = f"{architecture}.attention.head_count_kv"
        lie(model, f"{value} key-value heads", put(key, number(value)), key)
    for value in (float("nan"), float("inf"), float("-inf"), -1e-5, 0.0):
        key = f"{architecture}.attention.layer_norm_rms_epsilon"
        lie(model, f"epsilon {value}", put(key, real(value)), key)
    for value in (float("nan"), float("inf"), -1.0, 0.0):
        key = f"{architecture}.rope.freq_base"
        lie(model, f"base frequency {value}", put(key, real(value)), key)
    for name, value in {
        "embedding_length": 0,
        "feed_forward_length": 0,
        "context_length": 0,
    }.items():
        key = f"{architecture}.{name}"
        lie(model, f"{name} {value}", put(key, number(value)), key)
    for name in (
        "embedding_length",
        "feed_forward_length",
        "context_length",
        "block_count",
        "attention.head_count",
        "attention.layer_norm_rms_epsilon",
    ):
        key = f"{architecture}.{name}"
        lie(model, f"no {name}", without(key), key)
        lie(model, f"{name} as text", put(key, text("8")), key)
        lie(model, f"{name} as a float64", put(key, Value(FLOAT64, 1.0)), key)
        lie(model, f"{name} as an array", array(key, UINT32, [1, 2, 3]), key)
    for value in (1, 3, 18, (1 << 32) - 1):
        key = f"{architecture}.rope.dimension_count"
        lie(model, f"{value} rotary dimensions", put(key, number(value)), key)
    for name in ("key_length", "value_length"):
        for value in (0, 1, 8, 1 << 24):
            key = f"{architecture}.attention.{name}"
            lie(model, f"{name} {value}", put(key, number(value)), f"{architecture}.attention")
    for value in (1, 8, 1025, (1 << 32) - 1):
        key = f"{architecture}.expert_count"
        lie(model, f"{value} experts", put(key, number(value)), f"{architecture}.expert")
    key = f"{architecture}.expert_used_count"
    lie(model, "two experts used of none", put(key, number(2)), key)
    key = f"{architecture}.nextn_predict_layers"
    lie(model, "all layers for prediction", put(key, number(2)), key)
    key = f"{architecture}.attention.causal"
    lie(model, "attention to what follows", put(key, Value(BOOL, 0)), key)
    key = f"{architecture}.rope.scaling.type"
    lie(model, "an unknown scaling", put(key, text("spiral")), key)
    key = f"{architecture}.rope.scaling.factor"
    lie(model, "a factor that is no number", put(key, real(float("nan"))), key)

WINDOWED = (("tiny-gemma2", "gemma2"), ("tiny-gemma3", "gemma3"), ("tiny-olmo3", "olmo2"))
for model, architecture in WINDOWED:
    key = f"{architecture}.attention.sliding_window"
    lie(model, "an endless window", put(key, number((1 << 32) - 1)), key)
    for value in (1, 1 << 31):
        pattern = f"{key}_pattern"
        lie(model, f"a period of {value}", put(pattern, number(value)), pattern)
    lie(model, "no layer with a window", array(f"{key}_pattern", BOOL, [0] * 4), f"{key}_pattern")
    lie(
        model,
        "flags of too many layers",
        array(f"{key}_pattern", BOOL, [1] * 513),
        f"{key}_pattern",
    )
lie(
    "tiny-gemma2",
    "no window",
    put("gemma2.attention.sliding_window", number(0)),
    "gemma2.attention.sliding_window",
)
for name in ("attn_logit_softcapping", "final_logit_softcapping"):
    for value in (float("nan"), float("inf"), -30.0):
        lie("tiny-gemma2", f"{name} {value}", put(f"gemma2.{name}", real(value)), f"gemma2.{name}")

# the tensors that only some graphs have
for model, name in (
    ("tiny-olmo2", "output.weight"),
    ("tiny-olmo2", "blk.1.post_ffw_norm.weight"),
    ("tiny-exaone4", "blk.0.attn_k_norm.weight"),
    ("tiny-hunyuan", "blk.0.attn_q_norm.weight"),
    ("tiny-granite4", "blk.1.ffn_up.weight"),
    ("tiny-smollm3", "blk.3.attn_norm.weight"),
    ("tiny-ministral3", "blk.0.attn_output.weight"),
    ("tiny-ernie4_5", "blk.0.ffn_gate.weight"),
    ("tiny-gemma", "output_norm.weight"),
):
    lie(model, f"no {name}", dropped(name), name)
for model, architecture in (("tiny-granite", "granite"), ("tiny-hunyuan", "hunyuan-dense")):
    for value in (1, 3, 18):
        key = f"{architecture}.rope.dimension_count"
        lie(model, f"{value} rotary dimensions", put(key, number(value)), key)
    key = f"{architecture}.attention.value_length"
    lie(model, "values of another length", put(key, number(8)), f"{architecture}.attention")

# vocabularies
TOKENS = "tokenizer.ggml.tokens"
for model in ("tiny-qwen3", "tiny-mistral", "tiny-llama3"):
    lie(model, "two equal tokens", both(token(300, b"same"), token(301, b"same")), TOKENS)
    lie(
        model,
        "an empty token beside its name",
        both(token(300, b""), token(301, b"[EMPTY_300]")),
        TOKENS,
    )
    lie(model, "a token that a NUL cuts", token(300, b"a\0b"), TOKENS)
    lie(model, "a token of NUL alone", token(300, b"\0"), TOKENS)
    lie(model, "a token that is no UTF-8", token(300, b"\xff\xfe"), TOKENS)
    lie(model, "half a character", token(300, b"\xe4\xbd"), TOKENS)
    lie(model, "a token of 200 kB", token(300, b"x" * 200_000), TOKENS)
    lie(model, "no tokens", without(TOKENS), TOKENS)
    lie(model, "an empty list of tokens", array(TOKENS, STRING, []), TOKENS)
    lie(model, "numbers for tokens", array(TOKENS, INT32, [1] * 400), TOKENS)
    lie(model, "a token too few", tokens_of(-1), "token_embd.weight")
    for kind in ("bert", "t5", "rwkv", "no_vocab", "plamo2", "test", "whitespace", "", "x" * 1000):
        key = "tokenizer.ggml.model"
        lie(model, f"tokenizer {kind[:9]!r}", put(key, text(kind)), key)
    for element, values in ((INT32, [1]), (FLOAT32, [1.0] * 600), (STRING, [b"x"] * 600)):
        key = "tokenizer.ggml.token_type"
        lie(model, f"types of {element} and {len(values)}", array(key, element, values), key)
    lie(
        model,
        "types that are no list",
        put("tokenizer.ggml.token_type", number(1)),
        "tokenizer.ggml.token_type",
    )
    lie(
        model,
        "a number for the tokenizer",
        put("tokenizer.ggml.model", number(1)),
        "tokenizer.ggml.model",
    )
    lie(
        model,
        "BOS beyond the vocabulary, to be added",
        both(
            put("tokenizer.ggml.add_bos_token", Value(BOOL, 1)),
            put("tokenizer.ggml.bos_token_id", number(1 << 30)),
        ),
        "tokenizer.ggml.bos_token_id",
    )
    lie(
        model,
        "a name of Phi-3",
        both(
            put("general.name", text("Phi-3 tiny")),
            token(0, b"zero"),
            token(1, b"one"),
            token(2, b"two"),
        ),
        "general.name",
    )
lie("tiny-mistral", "no token for a byte", token(3, b"no byte"), TOKENS)
lie(
    "tiny-mistral",
    "few scores",
    array("tokenizer.ggml.scores", FLOAT32, [0.0]),
    "tokenizer.ggml.scores",
)
lie(
    "tiny-mistral",
    "scores that are no numbers",
    array("tokenizer.ggml.scores", FLOAT32, [float("nan")] * 600),
    "tokenizer.ggml.scores",
)
lie("tiny-qwen3", "a SentencePiece tokenizer", put("tokenizer.ggml.model", text("llama")), TOKENS)
lie("tiny-qwen3", "no merges", without("tokenizer.ggml.merges"), "tokenizer.ggml.merges")
lie(
    "tiny-qwen3",
    "the whitespace pre-tokenizer",
    put("tokenizer.ggml.pre", text("whitespace")),
    "tokenizer.ggml.pre",
)
lie(
    "tiny-qwen3",
    "an unknown pre-tokenizer",
    put("tokenizer.ggml.pre", text("nonesuch")),
    "pre-tokenizer type: 'nonesuch'",
)
lie(
    "tiny-qwen3",
    "tokens that decode to gigabytes",
    both(*(token(place, b"%d" % place + "\u4f60".encode() * 9000) for place in range(300, 340))),
    TOKENS,
)
lie(
    "tiny-mistral",
    "the kind of byte-level BPE",
    put("tokenizer.ggml.model", text("gpt2")),
    "tokenizer.ggml.merges",
)

# tensors
for model in ("tiny-llama", "tiny-qwen3", "tiny-gemma3", "tiny-phi3"):
    for name in ("output_norm.weight", "blk.0.attn_norm.weight", "blk.1.ffn_norm.weight"):
        for kind, code, size in (
            ("I32", I32, 4),
            ("F16", F16, 2),
            ("F64", F64, 8),
            ("BF16", BF16, 2),
            ("I8", I8, 1),
            ("I64", I64, 8),
        ):
            lie(model, f"{name} as {kind}", retyped(name, code, size), name)
    for name in ("token_embd.weight", "blk.0.ffn_down.weight", "blk.1.attn_output.weight"):
        for kind, code, size in (
            ("I32", I32, 4),
            ("F64", F64, 8),
            ("I8", I8, 1),
            ("Q8_1", Q8_1, 36 / 32),
        ):
            lie(model, f"{name} as {kind}", retyped(name, code, size), name)
        lie(model, f"no {name}", dropped(name), name)
        lie(model, f"{name} with another shape", reshaped(name, [32, 2]), name)
        lie(model, f"{name} with nothing in it", reshaped(name, [32, 0]), name)
        lie(model, f"{name} with 2⁶³ rows", reshaped(name, [32, 1 << 63]), name)
        lie(model, f"{name} in five dimensions", reshaped(name, [32, 1, 1, 1, 1]), name)
    lie(model, "a tensor too many", extra("blk.0.nonesuch.weight", [32]), "blk.0.nonesuch.weight")
    lie(model, "a layer too many", extra("blk.9.attn_norm.weight", [64]), "blk.9.attn_norm.weight")
    lie(model, "a tensor twice", extra("output_norm.weight", [64]), "output_norm.weight")
lie("tiny-llama", "a bias of integers", extra("blk.0.attn_q.bias", [64], I32), "blk.0.attn_q.bias")
lie(
    "tiny-llama",
    "a bias in F16",
    extra("blk.0.attn_output.bias", [64], F16, 2),
    "blk.0.attn_output.bias",
)
lie("tiny-llama", "a short bias", extra("blk.0.ffn_up.bias", [1]), "blk.0.ffn_up.bias")
lie(
    "tiny-llama",
    "RoPE divisors of integers",
    extra("rope_freqs.weight", [8], I32),
    "rope_freqs.weight",
)
lie(
    "tiny-llama",
    "RoPE divisors of another head",
    extra("rope_freqs.weight", [7]),
    "rope_freqs.weight",
)
lie(
    "tiny-llama", "a scale of integers", extra("blk.0.attn_q.scale", [1], I32), "blk.0.attn_q.scale"
)
lie("tiny-gemma2", "a head of its own", extra("output.weight", [64, 488]), "output.weight")
lie("tiny-qwen2", "a bias of the head in F16", extra("output.bias", [488], F16, 2), "output.bias")
lie("tiny-qwen3", "a head in Q8_1", extra("output.weight", [64, 488], Q8_1, 1), "output.weight")


# the file itself
def offset(value: int) -> Change:
    def change(document: Document) -> None:
        document.tensors[2].offset = value

    return change


def aligned(key_value: int, alignment: int) -> Change:
    def change(document: Document) -> None:
        document.keys[b"general.alignment"] = number(key_value)
        document.alignment = alignment

    return change


for value in (0, 32, 1 << 40, (1 << 64) - 32):
    lie("tiny-llama", f"a tensor at {value}", offset(value), "output.weight")
lie("tiny-llama", "a tensor at no multiple", offset(33), "multiple of 32")
for value in (0, 3, 48):
    lie("tiny-llama", f"alignment {value}", aligned(value, 32), "general.alignment")
for value in (1, 8, 16):
    lie("tiny-llama", f"alignment {value} held", aligned(value, value), "general.alignment")
lie("tiny-llama", "a key that a NUL cuts", put("llama.block_count\0", number(2)), "NUL")
lie(
    "tiny-llama",
    "an architecture that a NUL cuts",
    put("general.architecture", text("llama\0x")),
    "general.architecture",
)
lie(
    "tiny-llama",
    "an array of arrays",
    array("general.tags", ARRAY, [Value(ARRAY, [Value(ARRAY, [1], UINT8)], ARRAY)]),
    "general.tags",
)
for value in (2, 3, 65535):
    lie(
        "tiny-llama",
        f"{value} parts",
        put("split.count", Value(UINT16, value)),
        f"model in {value}",
    )
lie("tiny-llama", "parts in another type", put("split.count", Value(UINT64, 2)), "model in 2")
lie("tiny-llama", "parts as text", put("split.count", text("2")), "split.count")


def architecture(new: str) -> Change:
    """The same file under another architecture's name, its keys included."""

    def change(document: Document) -> None:
        document.keys = {
            key.replace(b"llama.", new.encode() + b".", 1)
            if key.startswith(b"llama.")
            else key: value
            for key, value in document.keys.items()
        }
        document.keys[b"general.architecture"] = text(new)

    return change


for name, key in (
    ("qwen3", "attn_q_norm"),
    ("gemma2", "post_attention_norm"),
    ("phi3", "attn_qkv"),
    ("gemma3", "attn_q_norm"),
    ("", "general.architecture"),
    ("clip", "CLIP"),
    ("nonesuch", "nonesuch"),
):
    lie("tiny-llama", f"Llama's tensors as {name!r}", architecture(name), key)
lie(
    "tiny-llama",
    "only the name of another architecture",
    put("general.architecture", text("qwen3")),
    "qwen3.block_count",
)
