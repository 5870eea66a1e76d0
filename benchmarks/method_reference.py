"""Makes a random adapter of one method with PEFT, and the log-probabilities of PEFT with it.

`method_parity` runs this with a Python that has torch, transformers and peft::

    python method_reference.py BASE METHOD FOLDER POSITIONS < texts.json

``FOLDER`` gets the adapter, ``ids.json`` with the first ``POSITIONS`` + 1 tokens of each text,
``rows.npy`` with the log-probabilities after all of them but the last, and ``base.npy`` with those
of the base without the adapter.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"]

CONFIGS: dict[str, tuple[Any, float]] = {
    "LoRA": (peft.LoraConfig(r=8, lora_alpha=16), 0.02),
    "DoRA": (peft.LoraConfig(r=8, lora_alpha=16, use_dora=True), 0.02),
    "PiSSA": (peft.LoraConfig(r=8, lora_alpha=16, init_lora_weights="pissa"), 0.004),
    "OLoRA": (peft.LoraConfig(r=8, lora_alpha=16, init_lora_weights="olora"), 0.004),
    "AdaLoRA": (peft.AdaLoraConfig(init_r=8, target_r=4, total_step=10, lora_alpha=16), 0.2),
    "VeRA": (peft.VeraConfig(r=64, save_projection=False), 0.1),
    "VB-LoRA": (peft.VBLoRAConfig(r=4, num_vectors=64, vector_length=64), 0.1),
    "RandLoRA": (peft.RandLoraConfig(r=32), 0.003),
    "OFT": (peft.OFTConfig(oft_block_size=32), 0.01),
    "BOFT": (peft.BOFTConfig(boft_block_size=32), 0.02),
    "HRA": (peft.HRAConfig(r=8), 0.003),
    "FourierFT": (peft.FourierFTConfig(n_frequency=1000), 5.0),
    "C3A": (peft.C3AConfig(block_size=64), 0.5),
    "MiSS": (peft.MissConfig(r=16), 0.005),
    "SHiRA": (peft.ShiraConfig(r=4), 0.05),
    "RoAd": (peft.RoadConfig(group_size=64), 0.05),
    "IA³": (peft.IA3Config(feedforward_modules=["down_proj"]), 0.1),
    "LoHa": (peft.LoHaConfig(r=8, alpha=8), 0.1),
    "LoKr": (peft.LoKrConfig(r=8, alpha=8), 0.05),
    "LN tuning": (peft.LNTuningConfig(), 0.05),
}
"""The configuration of each method, and the size of the noise that stands for training."""


def make(base: Path, method: str) -> torch.nn.Module:
    """The base with a random adapter, in float32."""
    config, noise = CONFIGS[method]
    norms = ["input_layernorm", "post_attention_layernorm", "norm"]
    config.target_modules = norms if method == "LN tuning" else MODULES
    if method == "IA³":
        config.target_modules = ["k_proj", "v_proj", "down_proj"]
    config.task_type = "CAUSAL_LM"
    torch.manual_seed(0)
    model = peft.get_peft_model(load(base), config).eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += noise * torch.randn_like(parameter)
    return model


def load(base: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()


def rows(model: torch.nn.Module, texts: list[list[int]]) -> np.ndarray:
    found = []
    with torch.no_grad():
        for ids in texts:
            logits = model(torch.tensor([ids[:-1]])).logits[0].double()
            found.append(torch.log_softmax(logits, -1).numpy())
    return np.concatenate(found)


def main() -> None:
    base, method, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    tokenizer, n = AutoTokenizer.from_pretrained(base), int(sys.argv[4]) + 1
    texts = [tokenizer.encode(text)[:n] for text in json.load(sys.stdin)]
    make(base, method).save_pretrained(folder)
    (folder / "ids.json").write_text(json.dumps(texts))
    # What is compared is what PEFT loads from the files.
    loaded = peft.PeftModel.from_pretrained(load(base), folder).eval()
    np.save(folder / "rows.npy", rows(loaded, texts))
    np.save(folder / "base.npy", rows(load(base), texts))


if __name__ == "__main__":
    main()
