"""What `auto` loses of adapters of every method, on bases of several types.

::

    python -m benchmarks.losses --base SmolLM2-135M-Instruct.Q4_1.gguf

Each base is the same model at another type, written from the given file, and no float
weights are at hand. The adapters are made of the change that the JSON example expert
learnt, in every third layer: as DoRA with its own magnitudes, with magnitudes that drifted by
5 %, as LoHa that has it among its products, as the nearest LoKr; and an IA³ of 10 %. The
divergence of what `auto` serves, and of the base without the adapter, is from the
adapter's exact change in float32 on that base, over held-out answers.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hivellm_lite.converters.peft.updates import Dora

import hivellm_lite.engine  # noqa: F401 - keeps llama.cpp's log off the terminal
from hivellm_lite import Expert
from hivellm_lite.adapters import read_package_adapter
from hivellm_lite.cache import Cache
from hivellm_lite.expert import loaded_of
from hivellm_lite.package import open_package
from hivellm_lite.verification import compare, log_probabilities
from tests.support.packages import manifest_bytes, manifest_v2, safetensors_bytes, write_package

from .peft_parity import EXPERTS, questions
from .table import show

BASES = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "Q8_0": "MOSTLY_Q8_0", "Q4_0": "MOSTLY_Q4_0"}
"""By llama.cpp's names of files; the given file itself comes last."""

EVERY = 3
TEXTS, PLACES = 3, 32
EXACT: dict[str, Any] = {"adapter_mode": "exact", "variant_type": "f32"}
OPTIONS: dict[str, Any] = {"n_ctx": 1024, "kv_type": "f32", "flash_attention": False}
CONFIGS: dict[str, dict[str, Any]] = {
    "DoRA": {"peft_type": "LORA", "use_dora": True},
    "DoRA, drifted": {"peft_type": "LORA", "use_dora": True},
    "IA³": {"peft_type": "IA3", "feedforward_modules": []},
    "LoHa": {"peft_type": "LOHA"},
    "LoKr": {"peft_type": "LOKR"},
}


def bases(given: Path, folder: Path, wanted: list[str]) -> Iterator[tuple[str, Path]]:
    """The model at the ``wanted`` types of `BASES`, then as it is."""
    import llama_cpp

    for name in wanted:
        path = folder / f"{name}.gguf"
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_{BASES[name]}")
        params.allow_requantize = True
        if llama_cpp.llama_model_quantize(bytes(given), bytes(path), params):
            raise SystemExit(f"llama.cpp cannot write {path}")
        yield name, path
        path.unlink()
    yield given.stem.rsplit(".", 1)[-1], given


def packages(folder: Path) -> Iterator[tuple[str, Path]]:
    """One package for each method."""
    expert = read_package_adapter(open_package(EXPERTS / "json.expert", cache=Cache(folder)))
    learnt = {
        tensor.module: tensor.update
        for tensor in expert.tensors
        if isinstance(tensor.update, Dora) and int(tensor.module.split(".")[2]) % EVERY == 0
    }
    for method, config in CONFIGS.items():
        random = np.random.default_rng(0)
        tensors = {
            f"base_model.model.{module}.{role}": values.astype(np.float32)
            for module, update in learnt.items()
            for role, values in _tensors(method, update, random).items()
        }
        rank = 2 * next(iter(learnt.values())).rank if method == "LoHa" else expert.config.r
        config = {"task_type": "CAUSAL_LM", "r": rank, "alpha": rank, "lora_alpha": rank, **config}
        files = {
            "manifest.json": manifest_bytes(manifest_v2(name="made")),
            "adapter_config.json": json.dumps(config).encode(),
            "adapter_model.safetensors": safetensors_bytes(tensors),
        }
        yield method, write_package(folder / f"package-{method.encode().hex()}", files)


def _tensors(method: str, learnt: Dora, random: np.random.Generator) -> dict[str, Any]:
    """The tensors of one module; their scale is 1."""
    a, b = learnt.a, learnt.b * np.float32(learnt.scale)
    n_out, n_in = learnt.shape
    if method == "IA³":
        return {"ia3_l": 1 + 0.1 * random.standard_normal((n_out, 1))}
    if method == "LoHa":  # the learnt change times ones, and as many ranks of next to nothing
        small = 1e-2 * random.standard_normal((n_out, learnt.rank)) * np.abs(b).mean()
        w2_a, w2_b = np.zeros((n_out, 2 * learnt.rank)), np.zeros((2 * learnt.rank, n_in))
        w2_a[:, 0], w2_b[0] = 1.0, 1.0
        w1_b = np.concatenate([a, a])
        return {
            "hada_w1_a": np.concatenate([b, small], axis=1),
            "hada_w1_b": w1_b,
            "hada_w2_a": w2_a,
            "hada_w2_b": w2_b,
        }
    if method == "LoKr":  # Van Loan and Pitsianis: the nearest product is the largest singular pair
        blocks = (b @ a).reshape(4, n_out // 4, 4, n_in // 4).transpose(0, 2, 1, 3).reshape(16, -1)
        u, *_ = np.linalg.svd(blocks @ blocks.T)
        nearest = u[:, 0] @ blocks
        return {"lokr_w1": u[:, 0].reshape(4, 4), "lokr_w2": nearest.reshape(n_out // 4, n_in // 4)}
    drift = 0.05 * random.standard_normal(n_out) if "drifted" in method else 0.0
    return {
        "lora_A.weight": a,
        "lora_B.weight": b,
        "lora_magnitude_vector": learnt.magnitude * (1 + drift),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--type", action="append", choices=list(BASES), help="only these")
    given = parser.parse_args()
    asked = questions("json")[:TEXTS]
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = list(packages(folder))
        for name, base in bases(given.base, folder, given.type or list(BASES)):
            for method, package in made:
                rows.append((method, name, *measured(package, base, folder / "cache", asked)))
                print(*rows[-1], sep=" | ", flush=True)
    header = ("adapter", "base", "form", "MB", "KL without", "KL served", "lost")
    show("auto, no float weights at hand", header, sorted(rows, key=lambda row: row[0]))


def measured(package: Path, base: Path, cache: Path, asked: list[Any]) -> tuple[str, ...]:
    """Form, size, divergence without the adapter and as served, and their ratio."""
    found = {}
    for mode, options in (("auto", {}), ("exact", EXACT)):
        with Expert.load(package, base=base, cache_dir=cache, **OPTIONS, **options) as expert:
            pairs = [
                (expert.tokenize_prompt(question), expert.session.model.tokenize(text)[:PLACES])
                for question, _, text in asked
            ]
            found[mode] = [log_probabilities(expert.session, expert.applied(), *p) for p in pairs]
            if mode == "auto":
                report = expert.prepared.report
                plain = loaded_of(expert).open_base()
                found["without"] = [log_probabilities(plain, (), *pair) for pair in pairs]
                plain.release()
    form = report.form
    if form == "variant":
        form += f" at {report.quantization}"
    elif form == "low-rank":
        form += f", {report.extra_rank} extra ranks"
    without = compare(found["exact"], found["without"]).kl_mean
    served = compare(found["exact"], found["auto"]).kl_mean
    size = f"{report.bytes / 1e6:.1f}"
    return form, size, f"{without:.1e}", f"{served:.1e}", f"{served / without:.1%}"


if __name__ == "__main__":
    main()
