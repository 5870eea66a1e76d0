"""Makes adapters of every method whose change is as small as training leaves it.

Usage::

    weights = {"model.layers.0.self_attn.q_proj": array, …}
    files = made_adapter("LoKr", weights, change=0.01)     # ‖ΔW‖ is 1 % of ‖W‖ everywhere
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .packages import safetensors_bytes

METHODS = ("LoRA", "DoRA", "DoRA, drifted", "IA³", "LoHa", "LoKr")

RANK = 4

Matrix = npt.NDArray[np.float32]


def made_adapter(
    method: str, weights: Mapping[str, Matrix], *, change: float, seed: int = 0
) -> dict[str, bytes]:
    """``adapter_config.json`` and ``adapter_model.safetensors`` for modules with these weights.

    DoRA's magnitudes leave the rows' lengths by a twentieth of ``change``, drifted ones
    by five times ``change``; of every other method the whole change has that size.
    """
    random = np.random.default_rng(seed)
    config: dict[str, object] = {"task_type": "CAUSAL_LM", "r": RANK, "target_modules": []}
    config |= _CONFIG[method.split(",")[0]]
    tensors: dict[str, Matrix] = {}
    for module, weight in weights.items():
        made = _tensors(method, weight, change, random)
        tensors |= {f"base_model.model.{module}.{role}": one for role, one in made.items()}
    return {
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": safetensors_bytes(
            {name: one.astype(np.float32) for name, one in tensors.items()}
        ),
    }


_CONFIG: dict[str, dict[str, object]] = {
    "LoRA": {"peft_type": "LORA", "lora_alpha": RANK},
    "DoRA": {"peft_type": "LORA", "lora_alpha": RANK, "use_dora": True},
    "IA³": {"peft_type": "IA3", "feedforward_modules": []},
    "LoHa": {"peft_type": "LOHA", "alpha": RANK},
    "LoKr": {"peft_type": "LOKR", "alpha": RANK},
}
"""Without ``target_modules``, which nothing reads; the scale is 1 everywhere."""


def _tensors(
    method: str, weight: Matrix, change: float, random: np.random.Generator
) -> dict[str, Matrix]:
    n_out, n_in = weight.shape
    size = float(np.linalg.norm(weight)) * change

    def normal(*shape: int) -> Matrix:
        return random.standard_normal(shape).astype(np.float32)

    if method == "IA³":
        return {"ia3_l": 1 + normal(n_out, 1) * change}
    if method == "LoHa":
        first, second = (
            (normal(n_out, RANK), normal(RANK, n_in)),
            (
                normal(n_out, RANK),
                normal(RANK, n_in),
            ),
        )
        scale = size / np.linalg.norm((first[0] @ first[1]) * (second[0] @ second[1]))
        return {
            "hada_w1_a": first[0] * np.float32(scale),
            "hada_w1_b": first[1],
            "hada_w2_a": second[0],
            "hada_w2_b": second[1],
        }
    if method == "LoKr":
        w1, w2 = normal(4, 4), normal(n_out // 4, n_in // 4)
        scale = size / (np.linalg.norm(w1) * np.linalg.norm(w2))
        return {"lokr_w1": w1 * np.float32(scale), "lokr_w2": w2}
    a, b = normal(RANK, n_in), normal(n_out, RANK)
    b *= np.float32(size / np.linalg.norm(b @ a))
    found = {"lora_A.weight": a, "lora_B.weight": b}
    if method.startswith("DoRA"):
        drift = change * (5 if "drifted" in method else 0.05)
        lengths = np.linalg.norm(weight + b @ a, axis=1)
        found["lora_magnitude_vector"] = lengths * (1 + drift * normal(n_out))
    return found
