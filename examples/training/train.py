"""Train one of the example experts and pack it: ``cd examples; python -m training.train --help``.

The base is the quantised GGUF itself, dequantised: the adapter learns on the weights it will run
on. A 135M model takes about ten minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load, load_file, save
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

from training import branches, prompt
from training.example import Example
from training.generators import GENERATORS, held_out
from training.judge import is_right
from training.package import pack, read
from training.settings import SETTINGS, Settings


def load_base(path: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase]:
    """The dequantised model, in bfloat16, and its tokenizer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        read = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32
        )
    # A model read from a GGUF remembers that it was quantised and refuses to be saved.
    plain = read.config.to_dict()
    plain.pop("quantization_config", None)
    model = LlamaForCausalLM(type(read.config).from_dict(plain))
    model.load_state_dict(read.state_dict())
    return model.to(torch.bfloat16), tokenizer


def loss_of(model: PeftModel, batch: branches.Batch) -> torch.Tensor:
    """Mean cross entropy over the answers' tokens."""
    causal = model.base_model.model
    hidden = causal.model(
        input_ids=batch.tokens,
        attention_mask=batch.mask,
        position_ids=batch.positions,
        use_cache=False,
    ).last_hidden_state
    # The vocabulary is the widest matrix: multiply only where there is something to learn.
    learnt = batch.targets >= 0
    logits = causal.lm_head(hidden[learnt])
    return torch.nn.functional.cross_entropy(logits.float(), batch.targets[learnt])


def rows_for(
    expert: str, tokenizer: PreTrainedTokenizerBase, settings: Settings, steps: int
) -> list[list[branches.Row]]:
    """The rows of every step, rows of similar length together."""
    # A few more than needed: rows that are too long are left out.
    wanted = round(1.15 * steps * settings.rows_per_step)
    examples = GENERATORS[expert](
        "train",
        wanted * settings.questions_per_schema,
        settings.seed,
        per_schema=settings.questions_per_schema,
    )
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.schema, []).append(example)
    made = [branches.row(tokenizer, expert, group) for group in groups.values()]
    made = [one for one in made if len(one.tokens) <= settings.max_tokens]
    # Sorting within a window keeps steps diverse over time and short on padding.
    window = settings.rows_per_step * 16
    ordered: list[list[branches.Row]] = []
    generator = torch.Generator().manual_seed(settings.seed)
    for start in range(0, len(made), window):
        part = sorted(made[start : start + window], key=lambda one: len(one.tokens))
        chunks = [
            part[i : i + settings.rows_per_step]
            for i in range(0, len(part), settings.rows_per_step)
        ]
        ordered += [chunks[i] for i in torch.randperm(len(chunks), generator=generator).tolist()]
    return ordered[:steps]


def train(model: PeftModel, steps: list[list[branches.Row]], settings: Settings) -> float:
    """Run the steps; returns the seconds per step."""
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0)
    warmup = max(1, round(len(steps) * settings.warmup_ratio))

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, len(steps) - warmup)
        return 0.5 * (1 + math.cos(math.pi * progress)) * 0.97 + 0.03

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    began = time.perf_counter()
    recent: list[float] = []
    for number, rows in enumerate(steps, start=1):
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, branches.batch(rows))
        loss.backward()
        recent = [*recent[-9:], loss.item()]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if number % 10 == 0 or number == 1:
            pace = (time.perf_counter() - began) / number
            print(
                f"step {number}/{len(steps)} loss {sum(recent) / len(recent):.4f}"
                f" {pace:.2f} s/step",
                flush=True,
            )
    return (time.perf_counter() - began) / len(steps)


@torch.inference_mode()
def answer(
    model: PeftModel, tokenizer: PreTrainedTokenizerBase, expert: str, asked: list[Example]
) -> list[str]:
    """Greedy answers to a batch of questions."""
    model.eval()
    tokenizer.padding_side = "left"
    texts = [
        prompt.before_question(expert, one.schema) + prompt.question_turn(one.question)
        for one in asked
    ]
    inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    end = tokenizer.convert_tokens_to_ids(prompt.END)
    with torch.autocast("cpu", torch.bfloat16):
        out = model.generate(
            **inputs, max_new_tokens=160, do_sample=False, eos_token_id=end, pad_token_id=end
        )
    width = inputs["input_ids"].shape[1]
    return [
        text.strip() for text in tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)
    ]


def accuracy(
    model: PeftModel, tokenizer: PreTrainedTokenizerBase, expert: str, count: int
) -> float:
    """The share of right answers to held-out questions; wrong ones are printed."""
    asked = held_out(expert, count)
    right = 0
    for start in range(0, count, 16):
        some = asked[start : start + 16]
        for one, text in zip(some, answer(model, tokenizer, expert, some), strict=True):
            if is_right(expert, one, text):
                right += 1
            else:
                print(f"wrong [{one.kind}] {one.question}\n  want {one.answer}\n  got  {text}")
    return right / count


def saved(model: PeftModel) -> tuple[dict[str, Any], bytes]:
    """PEFT's config, and its tensors rounded to bfloat16."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        config = json.loads((Path(folder) / "adapter_config.json").read_text())
        tensors = load_file(Path(folder) / "adapter_model.safetensors")
    small = {name: tensor.to(torch.bfloat16) for name, tensor in sorted(tensors.items())}
    return config, save(small, metadata={"format": "pt"})


def main() -> int:
    parser = argparse.ArgumentParser(description="Train an example expert and pack it.")
    parser.add_argument("--expert", choices=sorted(GENERATORS), required=True)
    parser.add_argument(
        "--base-gguf", type=Path, required=True, help="SmolLM2-135M-Instruct as GGUF"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "experts")
    parser.add_argument("--steps", type=int, help="default: the expert's own setting")
    parser.add_argument("--seed", type=int, help="another seed, so other questions")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="PACKAGE",
        help="continue from the adapter of this package",
    )
    parser.add_argument("--dora", action="store_true", help="train DoRA instead of LoRA")
    parser.add_argument(
        "--check",
        type=int,
        default=48,
        metavar="N",
        help="held-out questions to ask after training (default 48)",
    )
    options = parser.parse_args()

    settings = SETTINGS[options.expert].changed(
        steps=options.steps,
        use_dora=options.dora,
        seed=options.seed,
        learning_rate=options.learning_rate,
    )
    torch.manual_seed(settings.seed)
    base, tokenizer = load_base(options.base_gguf)
    model = get_peft_model(
        base,
        LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=list(settings.target_modules),
            use_dora=settings.use_dora,
            task_type="CAUSAL_LM",
            base_model_name_or_path=settings.base_model,
        ),
    )
    if options.start_from:
        members = read(options.start_from)
        before = json.loads(members["manifest.json"])["training"]
        settings = replace(
            settings,
            earlier_steps=before["config"]["steps"],
            earlier_examples=before["dataset"]["examples"],
        )
        tensors = load(members["adapter_model.safetensors"])
        set_peft_model_state_dict(model, {k: v.float() for k, v in tensors.items()})
    model.print_trainable_parameters()
    pace = train(model, rows_for(options.expert, tokenizer, settings, settings.steps), settings)
    path = pack(options.expert, settings, *saved(model), options.out)
    print(f"{path}: {path.stat().st_size} bytes, {pace:.2f} s a step", flush=True)
    if options.check:
        share = accuracy(model, tokenizer, options.expert, options.check)
        print(json.dumps({"expert": options.expert, "held_out": options.check, "right": share}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
