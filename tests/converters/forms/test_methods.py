"""Every method of PEFT that changes weights gives PEFT's own logits, as a variant and as a LoRA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters import Adapter, read_adapter
from hivellm_lite.converters.forms.fitting import find_targets
from hivellm_lite.converters.forms.lora import convert_lora
from hivellm_lite.converters.forms.variant import convert_variant
from hivellm_lite.converters.forms.variant_files import loading_order
from hivellm_lite.converters.forms.weights import checkpoint_weights
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.peft.config import OTHERS

from ...support import llama
from ...support.paths import FIXTURES, MODELS, ROOT
from ...support.split_models import split_logits

METHODS = FIXTURES / "methods"
REFERENCE = np.load(FIXTURES / "methods.npz")
BASES = np.load(FIXTURES / "reference.npz")
COVERED = sorted(REFERENCE.files)
LOW_RANK = [
    name
    for name in COVERED
    if name.split("/")[1].split("-")[0] in ("adalora", "delora", "miss", "vblora", "vera")
]
TOLERANCE = 1e-3
SOFT_PROMPTS = ("prompt tuning", "P-tuning", "context-aware prompt tuning")


def saved(name: str) -> Adapter:
    folder = METHODS / name
    return read_adapter(folder / "adapter_model.safetensors", folder / "adapter_config.json")


def assert_same(found: np.ndarray, name: str) -> None:
    base = name.split("/")[0]
    # The adapters change the logits a great deal, so this tests them and not the base.
    assert np.abs(REFERENCE[name] - BASES[f"{base}/logits/0"]).max() > 0.5
    assert np.abs(found - REFERENCE[name]).max() < TOLERANCE
    np.testing.assert_array_equal(found.argmax(1), REFERENCE[name].argmax(1))


@pytest.mark.parametrize("name", COVERED)
def test_a_variant_has_the_logits_of_peft(
    name: str, split_base: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    base = name.split("/")[0]
    parts = split_base(base)
    header = read_gguf_header(parts[0].with_name("whole.gguf"))
    with checkpoint_weights(MODELS / base) as source:
        report = convert_variant(
            find_targets(saved(name), header),
            header,
            [part.name for part in parts],
            source,
            tmp_path,
            quantization="f32",
        )
    order = loading_order(parts, tmp_path)
    found = split_logits(order, BASES[f"{base}/ids/0"], report.n_tensors)
    assert_same(found, name)


@pytest.mark.parametrize("name", LOW_RANK)
def test_a_method_that_is_low_rank_is_an_exact_lora(
    name: str, split_base: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    base = name.split("/")[0]
    whole = split_base(base)[0].with_name("whole.gguf")
    adapter = saved(name)
    assert adapter.is_lora
    convert_lora(adapter, read_gguf_header(whole), tmp_path / "adapter.gguf")
    assert_same(llama.logits(whole, BASES[f"{base}/ids/0"], tmp_path / "adapter.gguf"), name)


def test_only_these_methods_are_taken_for_low_rank() -> None:
    assert [name for name in COVERED if saved(name).is_lora] == LOW_RANK


@pytest.mark.parametrize("values", ["check", "skip"])
@pytest.mark.parametrize("name", COVERED)
def test_an_adapter_without_numbers_fits_where_the_whole_one_does(name: str, values: str) -> None:
    folder = METHODS / name
    files = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    outline = read_adapter(*files, values=values)  # type: ignore[arg-type]
    whole = read_adapter(*files)
    assert outline.methods == whole.methods
    assert [(t.module, t.suffix) for t in outline.tensors] == [
        (t.module, t.suffix) for t in whole.tensors
    ]


def test_the_page_of_methods_names_every_method_of_the_fixtures() -> None:
    page = (ROOT / "docs" / "methods.md").read_text()
    for name in COVERED:
        assert f"| {' + '.join(saved(name).methods)} |" in page
    for title, _ in OTHERS.values():
        assert title in page or title in SOFT_PROMPTS
