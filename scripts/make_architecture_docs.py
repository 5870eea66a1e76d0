"""Writes the table in ``docs/architectures.md``: what converts, and how exactly it computes.

Every tiny model of ``tests/fixtures/models`` is converted to F32 and compared with the logits that
Transformers computed, and its adapter ``plain`` with those of PEFT.

    python -m scripts.make_architecture_docs
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hivellm_lite.converters import read_adapter
from hivellm_lite.converters.architectures import ARCHITECTURES
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.forms.lora import convert_lora
from hivellm_lite.converters.gguf.header import read_gguf_header

from tests.support import llama
from tests.support.gemma3n_model import write_gemma3n
from tests.support.model_files import safetensors, saved_adapter
from tests.support.paths import ADAPTERS, FIXTURES, MODELS

PAGE = Path(__file__).parents[1] / "docs" / "architectures.md"
START, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def log_probabilities(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def difference(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    return float(np.abs(log_probabilities(found) - log_probabilities(expected)).max())


def gemma3n(folder: Path) -> tuple[str, float, float]:
    """llama.cpp's name for the model that is made anew, and its differences."""
    saved = FIXTURES / "gemma3n"
    reference = np.load(saved / "reference.npz")
    model = write_gemma3n(folder / "gemma3n", safetensors)
    report = convert_base(model, folder / "gemma3n.gguf", quant="f32")
    logits = llama.logits(report.path, reference["ids"])
    adapter = read_adapter(saved / "adapter_model.safetensors", saved / "adapter_config.json")
    convert_lora(adapter, read_gguf_header(report.path), folder / "gemma3n-lora.gguf")
    adapted = llama.logits(report.path, reference["ids"], folder / "gemma3n-lora.gguf")
    return (
        report.architecture,
        difference(logits, reference["logits"]),
        difference(adapted, reference["adapted"]),
    )


def rows() -> list[tuple[str, str, str, str]]:
    """The class, llama.cpp's name, and the differences of the model and of its LoRA."""
    reference = np.load(FIXTURES / "reference.npz")
    order = {architecture.name: i for i, architecture in enumerate(ARCHITECTURES)}
    found: dict[tuple[int, str], tuple[str, list[float], list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        base, lora = Path(folder) / "base.gguf", Path(folder) / "lora.gguf"
        for model in sorted(path.name for path in MODELS.iterdir()):
            config = json.loads((MODELS / model / "config.json").read_text())
            name = convert_base(MODELS / model, base, quant="f32").architecture
            key = (order[name], config["architectures"][0])
            _, unadapted, adapted = found.setdefault(key, (name, [], []))
            for prompt in (0, 1):
                logits = llama.logits(base, reference[f"{model}/ids/{prompt}"])
                unadapted.append(difference(logits, reference[f"{model}/logits/{prompt}"]))
            if (ADAPTERS / model / "plain").is_dir():
                convert_lora(saved_adapter(model, "plain"), read_gguf_header(base), lora)
                logits = llama.logits(base, reference[f"{model}/ids/0"], lora)
                adapted.append(difference(logits, reference[f"{model}/adapter/plain"]))
        architecture, alone, adapted_too = gemma3n(Path(folder))
        key = (order[architecture], "Gemma3nForCausalLM")
        found[key] = (architecture, [alone], [adapted_too])
    return [
        (hf, name, f"{max(unadapted):.0e}", f"{max(adapted):.0e}" if adapted else "")
        for (_, hf), (name, unadapted, adapted) in sorted(found.items())
    ]


def table() -> str:
    lines = ["| class in `config.json` | in llama.cpp | model | LoRA |", "|---|---|---|---|"]
    lines += [f"| `{hf}` | `{name}` | {alone} | {lora} |" for hf, name, alone, lora in rows()]
    return "\n".join(lines) + "\n"


def main() -> None:
    text = PAGE.read_text()
    before, rest = text.split(START)
    _, after = rest.split(END)
    PAGE.write_text(before + START + "\n" + table() + "\n" + END + after)


if __name__ == "__main__":
    main()
