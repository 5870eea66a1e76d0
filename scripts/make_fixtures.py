"""Makes the tiny models, adapters and reference logits in ``tests/fixtures``.

Needs torch, transformers, peft and safetensors, none of which the package or
its tests need, so what it makes is committed. Everything is seeded; running it
again changes nothing unless one of those libraries changed.

    python scripts/make_fixtures.py
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from safetensors.torch import load_file, save_file
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
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"

PROMPTS = ("SELECT name, age FROM users WHERE age > 42;", "Él dijo: «¿qué?» 北京 🙂")

QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"|\p{N}| ", r"|\p{N}{1,3}| ")

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


def train_tokenizer(kind: str) -> Tokenizer:
    """A byte-level BPE tokenizer that splits text as SmolLM, Qwen 2 or Llama 3 does."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama-bpe"))
    if kind == "smollm":
        first: Any = pre_tokenizers.Digits(individual_digits=True)
        second = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    else:
        pattern = Regex(QWEN2 if kind == "qwen2" else LLAMA3)
        first = pre_tokenizers.Split(pattern, behavior="isolated")
        second = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([first, second])
    tokenizer.decoder = decoders.ByteLevel()
    if kind == "qwen2":
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
    elif kind == "qwen2":
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def save_tokenizer(kind: str, folder: Path) -> Tokenizer:
    tokenizer = train_tokenizer(kind)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=None if kind == "qwen2" else "<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>" if kind == "smollm" else None,
    )
    wrapped.chat_template = CHATML
    wrapped.save_pretrained(folder)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Weights large enough that attention, gates and logits are far from uniform."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1:
            value = 1 + 0.2 * noise if "norm" in name else 0.3 * noise
        elif "embed" in name or "lm_head" in name:
            value = 0.5 * noise
        else:
            value = noise * 1.5 / math.sqrt(parameter.shape[1])
        parameter.data.copy_(value)


def common(tokenizer: Tokenizer, vocab_size: int) -> dict[str, Any]:
    def token_id(text: str) -> int:
        return int(tokenizer.token_to_id(text))

    return {
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": token_id("<|endoftext|>"),
        "eos_token_id": token_id("<|im_end|>"),
        "dtype": "bfloat16",
        "attn_implementation": "eager",
    }


def make_llama(folder: Path, kind: str) -> None:
    tokenizer = save_tokenizer(kind, folder)
    options = common(tokenizer, tokenizer.get_vocab_size())
    if kind == "llama-bpe":
        options["rope_parameters"] = {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        }
        options |= {"attention_bias": True, "tie_word_embeddings": True}
    else:
        options |= {"rope_theta": 5000.0, "tie_word_embeddings": False}
    # 80 is no multiple of 32: this down projection cannot be Q8_0.
    config = LlamaConfig(intermediate_size=80, **options)
    model = LlamaForCausalLM(config)
    randomise(model, 1)
    model.to(torch.bfloat16).save_pretrained(
        folder, max_shard_size="60KB" if kind != "smollm" else "1GB"
    )


def make_qwen3(folder: Path) -> None:
    tokenizer = save_tokenizer("qwen2", folder)
    options = common(tokenizer, tokenizer.get_vocab_size() + 11)  # unused rows, as in Qwen3
    config = Qwen3Config(intermediate_size=96, head_dim=32, tie_word_embeddings=True, **options)
    model = Qwen3ForCausalLM(config)
    randomise(model, 2)
    model.to(torch.bfloat16).save_pretrained(folder)


def load(folder: Path, **changes: Any) -> torch.nn.Module:
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", **changes
    )
    return model.eval()


def logits_of(model: torch.nn.Module, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

LORA: dict[str, dict[str, Any]] = {
    "plain": {"r": 4, "lora_alpha": 8, "target_modules": ALL},
    "rslora": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "use_rslora": True},
    "patterns": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "k_proj", "o_proj", "up_proj"],
        "rank_pattern": {"q_proj": 2, r"model\.layers\.1\.mlp\..*": 6},
        "alpha_pattern": {"^model.layers.0.self_attn.k_proj": 32, "up_proj": 3},
    },
    "layers": {"r": 2, "lora_alpha": 4, "target_modules": ["o_proj"], "layers_to_transform": [1]},
    "head": {"r": 4, "lora_alpha": 8, "target_modules": ["lm_head", "v_proj"]},
    "embedding": {"r": 4, "lora_alpha": 8, "target_modules": ["embed_tokens", "q_proj"]},
    "bf16": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["k_proj", "gate_proj"],
        "init_lora_weights": "orthogonal",
    },
    "f16": {"r": 3, "lora_alpha": 9, "target_modules": ["q_proj", "down_proj"]},
}

REFUSED: dict[str, Any] = {
    "dora": peft.LoraConfig(r=2, target_modules=["q_proj"], use_dora=True),
    "modules-to-save": peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["norm"]),
    "trainable-tokens": peft.LoraConfig(
        r=2, target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [1, 2]}
    ),
    "lora-bias": peft.LoraConfig(r=2, target_modules=["q_proj"], lora_bias=True),
    "pissa": peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="pissa"),
    "olora": peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="olora"),
    "replication": peft.LoraConfig(
        r=2, target_modules=["q_proj"], layer_replication=[(0, 2), (1, 2)]
    ),
    "alora": peft.LoraConfig(r=2, target_modules=["q_proj"], alora_invocation_tokens=[1, 2]),
    "ia3": peft.IA3Config(
        target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    "loha": peft.LoHaConfig(r=2, target_modules=["q_proj"]),
    "lokr": peft.LoKrConfig(r=2, target_modules=["q_proj"]),
    "adalora": peft.AdaLoraConfig(r=2, target_modules=["q_proj"], total_step=10),
    "oft": peft.OFTConfig(oft_block_size=32, target_modules=["q_proj"]),
    "vera": peft.VeraConfig(r=2, target_modules=["q_proj"], save_projection=True),
    "prompt": peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2),
}


def make_adapter(
    base: Path, folder: Path, name: str, options: dict[str, Any], seed: int
) -> np.ndarray:
    """Save a random adapter; returns the logits of PEFT's own model for the first prompt."""
    config = peft.LoraConfig(task_type="CAUSAL_LM", **options)
    model = peft.get_peft_model(load(base), config)
    generator = torch.Generator().manual_seed(seed)
    for parameter_name, parameter in model.named_parameters():
        if "lora_" in parameter_name:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(0.3 * noise)
    kinds = {"bf16": torch.bfloat16, "f16": torch.float16}
    if name in kinds:
        for parameter_name, parameter in model.named_parameters():
            if "lora_" in parameter_name:
                parameter.data = parameter.data.to(kinds[name]).float()
    model.save_pretrained(folder)
    weights = folder / "adapter_model.safetensors"
    if name in kinds:
        save_file({k: v.to(kinds[name]) for k, v in load_file(weights).items()}, weights)
    clean(folder)
    return logits_of(peft.PeftModel.from_pretrained(load(base), folder).eval(), prompt_ids(base)[0])


def clean(folder: Path) -> None:
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = "tiny"
    for name in ("target_modules", "feedforward_modules"):  # PEFT writes sets in any order
        if isinstance(config.get(name), list):
            config[name].sort()
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def prompt_ids(base: Path) -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in PROMPTS]


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    shutil.rmtree(FIXTURES / "models", ignore_errors=True)
    shutil.rmtree(FIXTURES / "adapters", ignore_errors=True)
    bases = {
        name: FIXTURES / "models" / name for name in ("tiny-llama", "tiny-llama3", "tiny-qwen3")
    }
    make_llama(bases["tiny-llama"], "smollm")
    make_llama(bases["tiny-llama3"], "llama-bpe")
    make_qwen3(bases["tiny-qwen3"])
    reference: dict[str, np.ndarray] = {}
    tokens: dict[str, Any] = {"texts": HARD_TEXTS}
    for name, folder in bases.items():
        model = load(folder)
        for i, ids in enumerate(prompt_ids(folder)):
            reference[f"{name}/ids/{i}"] = np.array(ids, np.int32)
            reference[f"{name}/logits/{i}"] = logits_of(model, ids)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokens[name] = [tokenizer.encode(t, add_special_tokens=False).ids for t in HARD_TEXTS]
    linear = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5000.0}
    model = load(bases["tiny-llama"], rope_parameters=linear)
    reference["tiny-llama/linear"] = logits_of(model, prompt_ids(bases["tiny-llama"])[0])
    for base in ("tiny-llama", "tiny-qwen3"):
        for seed, (name, options) in enumerate(LORA.items()):
            if base == "tiny-qwen3" and name not in ("plain", "patterns", "head", "embedding"):
                continue
            folder = FIXTURES / "adapters" / base / name
            logits = make_adapter(bases[base], folder, name, options, 100 + seed)
            if base == "tiny-llama" or name in ("plain", "patterns"):
                reference[f"{base}/adapter/{name}"] = logits
    for name, config in REFUSED.items():
        folder = FIXTURES / "adapters" / "refused" / name
        peft.get_peft_model(load(bases["tiny-llama"]), config).save_pretrained(folder)
        clean(folder)
    np.savez_compressed(FIXTURES / "reference.npz", **reference)
    (FIXTURES / "tokens.json").write_text(json.dumps(tokens, indent=None) + "\n")


if __name__ == "__main__":
    main()
