"""Measures every method of PEFT on the tiny models, and writes ``docs/methods.md``.

::

    python scripts/measure_methods.py

Each adapter of the fixtures is applied as a variant and, where it is exactly low rank, as a LoRA,
everything in float32. The page says how far the logits are from PEFT's own.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from hivellm_lite.converters import read_adapter, read_gguf_header, split_gguf
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.forms.fitting import find_targets
from hivellm_lite.converters.forms.lora import convert_lora
from hivellm_lite.converters.forms.variant import convert_variant
from hivellm_lite.converters.forms.variant_files import loading_order
from hivellm_lite.converters.forms.weights import checkpoint_weights
from hivellm_lite.converters.peft.config import OTHERS, REFUSED_OPTIONS

from hivellm_lite.errors import ConversionError

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from tests.support import llama  # noqa: E402
from tests.support.split_models import split_logits  # noqa: E402

FIXTURES = ROOT / "tests" / "fixtures"
PAGE = ROOT / "docs" / "methods.md"

HEAD = """\
# Methods of PEFT

`python scripts/measure_methods.py` writes this page from the adapters in the tests' fixtures.

An adapter runs if its method is in the first table. The numbers are the largest differences from
PEFT's own logits, everything in float32, on tiny models. The adapters are random and change the
logits by at least 0.5, most of them by 10 and more. A method that is exactly low rank runs as a
GGUF LoRA, too. The others become a low-rank form with a measured loss, or a variant
([which one](adapters.md#which-form-is-chosen)).

| method | adapters | variant | LoRA |
|---|---|---|---|
"""

OPTIONS = """
PiSSA and OLoRA run in both forms that PEFT saves: converted to plain LoRA
(`path_initial_model_for_weight_conversion`), or as they are. In the second form the part of the
weight that they began with is computed again and taken out, as PEFT does when it loads them.
CorDA, LoftQ, LoRA-GA and `pissa_niter_16` run in the first form only, because their initial part
cannot be computed from the base alone. RandLoRA needs `save_projection=True`, because its random
bases depend on the machine of the training; VeRA does not.

[Soft prompts](adapters.md#soft-prompts) change no weight and run beside all of these.

## On a real model

SmolLM2-135M in float32, random adapters on all linear modules but `gate_proj`, 400 positions of
four texts. The effect is the divergence of the base without the adapter, in nats for each token.
Measured on 2026-11-28; every adapter was a variant in float32. Command:

```
python -m benchmarks.method_parity --hugging-face FOLDER --peft-python PYTHON
```

| method | effect (KL) | KL from PEFT | largest difference of log-probabilities | same top token |
|---|---|---|---|---|
| DoRA | 1.5e-02 | 1.3e-11 | 3.1e-05 | 100.0% |
| PiSSA | 2.6e-02 | 2.6e-10 | 2.0e-04 | 100.0% |
| AdaLoRA | 7.4e+00 | 4.7e-11 | 5.0e-05 | 100.0% |
| VeRA | 6.7e-04 | 1.2e-11 | 3.5e-05 | 100.0% |
| VB-LoRA | 1.9e-01 | 1.8e-11 | 2.6e-05 | 100.0% |
| OFT | 7.6e-01 | 2.0e-11 | 5.1e-05 | 100.0% |
| BOFT | 2.3e+00 | 6.2e-11 | 7.6e-05 | 100.0% |
| HRA | 3.6e-04 | 1.4e-11 | 4.0e-05 | 100.0% |
| FourierFT | 1.4e+01 | 1.9e-10 | 9.5e-05 | 100.0% |
| C3A | 5.5e-04 | 1.3e-11 | 2.7e-05 | 100.0% |
| MiSS | 2.9e-02 | 1.3e-11 | 2.7e-05 | 100.0% |

## Refused by name

| method or option | way out |
|---|---|
"""


def measure() -> dict[str, dict[str, float]]:
    """The errors by method and form, and the number of adapters of each method."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: {"adapters": 0, "variant": 0.0})
    references = {
        "adapters": dict(np.load(FIXTURES / "reference.npz")),
        "methods": dict(np.load(FIXTURES / "methods.npz")),
    }
    with tempfile.TemporaryDirectory() as place:
        bases: dict[str, list[Path]] = {}
        for kind, rows in references.items():
            for name, wanted in rows.items():
                base, *middle, form = name.split("/")
                if kind == "adapters" and middle != ["adapter"]:
                    continue
                if base not in bases:
                    folder = Path(place) / base
                    folder.mkdir()
                    convert_base(FIXTURES / "models" / base, folder / "whole.gguf", quant="f32")
                    names = split_gguf(folder / "whole.gguf", folder)
                    bases[base] = [folder / part for part in names]
                tokens = references["adapters"][f"{base}/ids/0"]
                saved = FIXTURES / kind / base / form
                for method, errors in one(bases[base], saved, tokens, wanted).items():
                    known = found[method]
                    known["adapters"] += 1
                    for key, error in errors.items():
                        known[key] = max(known.get(key, 0.0), error)
    return found


def one(
    parts: list[Path], saved: Path, tokens: np.ndarray, wanted: np.ndarray
) -> dict[str, dict[str, float]]:
    """The errors of one adapter, under the names of its methods."""
    adapter = read_adapter(saved / "adapter_model.safetensors", saved / "adapter_config.json")
    whole = parts[0].with_name("whole.gguf")
    header = read_gguf_header(whole)
    model = FIXTURES / "models" / parts[0].parent.name
    with tempfile.TemporaryDirectory() as place, checkpoint_weights(model) as source:
        folder = Path(place)
        names = [part.name for part in parts]
        updates = find_targets(adapter, header)
        report = convert_variant(updates, header, names, source, folder, quantization="f32")
        rows = split_logits(loading_order(parts, folder), tokens, report.n_tensors)
        errors = {"variant": float(np.abs(rows - wanted).max())}
        if adapter.is_lora:
            try:
                convert_lora(adapter, header, folder / "adapter.gguf")
            except ConversionError:
                pass  # on a tied head or embedding
            else:
                rows = llama.logits(whole, tokens, folder / "adapter.gguf")
                errors["LoRA"] = float(np.abs(rows - wanted).max())
    return {" + ".join(adapter.methods): errors}


def main() -> None:
    lines = []
    for method, known in sorted(measure().items(), key=lambda item: item[0].lower()):
        as_lora = f"{known['LoRA']:.0e}" if "LoRA" in known else "—"
        lines.append(f"| {method} | {known['adapters']:.0f} | {known['variant']:.0e} | {as_lora} |")
    others = [
        f"| {name} | {way.replace(chr(10), ' ')} |"
        for name, way in OTHERS.values()
        if "soft prompt" not in way
    ]
    others += [
        f"| `{option}`: {meaning} | {way.replace(chr(10), ' ')} |"
        for option, (meaning, way) in REFUSED_OPTIONS.items()
    ]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n" + OPTIONS + "\n".join(others) + "\n")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
