"""The proof of a conversion measures what it says."""

from __future__ import annotations

import json

import pytest

from hivellm_lite import Expert
from hivellm_lite.cli import main
from hivellm_lite.verification import verify_conversion

from .support.paths import FIXTURES

MODEL = FIXTURES / "models" / "tiny-llama"
OPTIONS = {"n_ctx": 128, "n_threads": 1, "kv_type": "f32", "flash_attention": False}
PROMPTS = ("Hello", "one two three")


def load(package, base=MODEL, **options):
    return Expert.load(package, base=base, **{**OPTIONS, **options})


@pytest.mark.parametrize("adapter", ["plain", "dora", "ia3", "lokr", "saved-norms"])
def test_an_exact_form_on_a_float_base_has_no_error(tiny_package, adapter):
    package = tiny_package(adapter=adapter)
    with load(package, quantization="f32", variant_type="f32") as expert:
        result = verify_conversion(expert, PROMPTS, max_tokens=8)
    assert result.tensors
    assert max(tensor.served for tensor in result.tensors) < 1e-6
    assert max(tensor.base for tensor in result.tensors) == 0.0
    assert result.served.kl_mean < 1e-6
    assert result.served.top1 == 1.0
    assert result.base_only.kl_mean == pytest.approx(0.0, abs=1e-6)
    assert 2 <= result.served.positions <= 16


@pytest.mark.parametrize(
    ("model", "adapter"),
    [
        ("tiny-granite", "plain"),  # modules that Granite 4 calls otherwise
        ("tiny-granite4", "dora"),  # one module that is two tensors
        ("tiny-granite4-hybrid", "plain"),
        ("tiny-qwen3_5-whole", "dora"),  # rows and columns in another order
        ("tiny-falcon-h1", "dora"),  # weights that are multiplied
        ("tiny-qwen3-moe", "plain"),  # experts in one tensor
        ("tiny-gemma4", "dora"),
    ],
)
def test_what_tensors_become_on_the_way_is_no_error(tiny_package, model, adapter):
    package = tiny_package(adapter=adapter, model=model)
    base = FIXTURES / "models" / model
    with load(package, base, quantization="f32", variant_type="f32") as expert:
        result = verify_conversion(expert, PROMPTS[:1], max_tokens=4)
    assert max(tensor.served for tensor in result.tensors) < 1e-6
    assert max(tensor.base for tensor in result.tensors) < 1e-6
    assert result.served.kl_mean < 1e-6
    assert result.served.top1 == 1.0


def test_the_base_s_quantisation_is_told_apart_from_the_adapter_s_error(tiny_package):
    with load(tiny_package()) as expert:
        result = verify_conversion(expert, PROMPTS, max_tokens=8)
    assert max(tensor.delta for tensor in result.tensors) < 1e-5
    quantised = [tensor for tensor in result.tensors if "ffn_down" not in tensor.name]
    for tensor in quantised:  # rows of ffn_down are too short for Q8_0
        assert 0.003 < tensor.base < 0.01
    assert result.base_only.kl_mean > 1e-7


def test_a_truncated_low_rank_form_shows_its_error(tiny_package):
    package = tiny_package(adapter="dora")
    found = []
    for rank in (0, 8):
        with load(package, quantization="f32", adapter_mode="lora", extra_rank=rank) as expert:
            result = verify_conversion(expert, PROMPTS, max_tokens=8)
            measured = expert.prepared.report.delta_error
        assert max(t.delta for t in result.tensors) >= measured
        assert measured > 0.05
        found.append((result.served.kl_mean, measured))
    assert found[0] > found[1]
    assert found[0][0] > 1e-4


def test_a_variant_in_a_quantised_grid_shows_what_it_lost(tiny_package, tmp_path):
    from hivellm_lite.converters.base import convert_base

    base = tmp_path / "q8.gguf"
    convert_base(MODEL, base, quant="q8_0")
    package = tiny_package()
    options = {"adapter_mode": "exact", "force": True}
    with load(package, base, **options, variant_type="q8_0") as coarse:
        lost = verify_conversion(coarse)
    with load(package, base, **options, variant_type="f16") as fine:
        kept = verify_conversion(fine)
    assert lost.served is None
    pairs = zip(kept.tensors, lost.tensors, strict=True)
    assert all(fine.delta <= coarse.delta for fine, coarse in pairs)
    assert sum(t.delta for t in kept.tensors) < sum(t.delta for t in lost.tensors)


def test_the_result_is_kept_with_the_adapter(tiny_package, home, tmp_path, capsys):
    package = tiny_package(adapter="dora")
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("Hello\n\nwhat now?\n")
    arguments = ["verify-conversion", str(package), "--base", str(MODEL), "--max-tokens", "4"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--prompts", str(prompts)])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert "a variant" in out
    assert "KL mean" in out
    assert "base alone" in out
    with pytest.raises(SystemExit):
        main([*arguments, "--json"])
    shown = json.loads(capsys.readouterr().out)
    entries = [json.loads(path.read_text()) for path in home.glob("adapters/*/entry.json")]
    assert entries[0]["verification"] == shown
