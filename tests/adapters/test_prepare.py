"""Which form an adapter takes on a base, and why; that it is made once and applied right."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base

from hivellm_lite import ConversionError, Expert
from hivellm_lite.adapters.options import AdapterOptions

from ..support.packages import manifest_bytes, manifest_v2, safetensors_bytes, write_package
from ..support.paths import FIXTURES

MODEL = FIXTURES / "models" / "tiny-llama"
OPTIONS = {"n_ctx": 128, "n_threads": 1, "kv_type": "f32", "flash_attention": False}


def load(package, base=MODEL, **options):
    return Expert.load(package, base=base, **{**OPTIONS, **options})


def answer(expert: Expert) -> list[float]:
    return [score.logprob for score in expert.score("Hello", " world, how are you?")]


@pytest.fixture(scope="session")
def quantised(tmp_path_factory):
    path = tmp_path_factory.mktemp("quantised") / "tiny-llama.Q8_0.gguf"
    convert_base(MODEL, path, quant="q8_0")
    return path


def test_what_is_exactly_low_rank_becomes_a_lora(tiny_package):
    with load(tiny_package()) as expert:
        assert expert.prepared.form == "lora"
        assert expert.prepared.report.why == "it is exactly low rank"
        assert expert.prepared.lora.exists()


@pytest.mark.parametrize("adapter", ["dora", "ia3", "lokr"])
def test_what_is_not_low_rank_enough_becomes_a_variant(tiny_package, adapter):
    with load(tiny_package(adapter=adapter)) as expert:
        report = expert.prepared.report
        assert report.form == "variant"
        assert "larger than the merged tensors" in report.why
        assert report.source == "float weights of tiny-llama"
        assert report.quantization in ("q8_0", "f16", "f16 and f32")
        assert expert.prepared.loss.share <= 0.02


def test_a_small_change_beside_a_coarse_base_becomes_low_rank(tmp_path):
    # DoRA as training leaves it: magnitudes within 0.05 % of the rows' own lengths.
    from hivellm_lite.converters.checkpoints.opening import open_checkpoint

    module = "model.layers.0.self_attn.q_proj"
    with open_checkpoint(MODEL) as tensors:
        weight = tensors[f"{module}.weight"].read_float32(f"{module}.weight")
    random = np.random.default_rng(1)
    n_out, n_in = weight.shape
    a = random.standard_normal((2, n_in)).astype(np.float32) * 0.02
    b = random.standard_normal((n_out, 2)).astype(np.float32) * 0.02
    length = np.linalg.norm(weight + 2 * b @ a, axis=1)
    magnitude = (length * (1 + 0.0005 * random.standard_normal(n_out))).astype(np.float32)
    prefix = f"base_model.model.{module}"
    files = {
        "manifest.json": manifest_bytes(manifest_v2()),
        "adapter_config.json": json.dumps(
            {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_dora": True}
        ).encode(),
        "adapter_model.safetensors": safetensors_bytes(
            {
                f"{prefix}.lora_A.weight": a,
                f"{prefix}.lora_B.weight": b,
                f"{prefix}.lora_magnitude_vector": magnitude,
            }
        ),
    }
    package = write_package(tmp_path / "small.expert", files)
    for base in ("q8_0", "f32"):
        with load(package, quantization=base) as expert:
            report, loss = expert.prepared.report, expert.prepared.loss
            assert report.form == "low-rank", report.why
            assert report.extra_rank == 0
            assert 0 < loss.weights < 0.02
            assert loss.divergence.share == pytest.approx(loss.weights, rel=0.9, abs=0.01)


def test_without_float_weights_the_loss_is_measured_on_the_quantised_ones(tiny_package, quantised):
    with load(tiny_package(adapter="dora"), quantised, adapter_mode="lora", extra_rank=0) as expert:
        report, loss = expert.prepared.report, expert.prepared.loss
        assert report.source == "Q8_0 weights of tiny-llama.Q8_0.gguf"
        assert report.why == "it was asked for"
        assert loss.share == loss.divergence.share > 0.02
        assert loss.worst >= loss.weights == pytest.approx(report.delta_error**2)


def test_without_float_weights_a_variant_is_stored_at_float16(tiny_package, quantised):
    with load(tiny_package(adapter="dora"), quantised, adapter_mode="exact") as expert:
        assert expert.prepared.report.quantization == "f16"
    with pytest.raises(ConversionError, match="would lose most of the adapter"):
        load(tiny_package(adapter="dora"), quantised, adapter_mode="exact", variant_type="q8_0")
    forced = load(
        tiny_package(adapter="dora"),
        quantised,
        adapter_mode="exact",
        variant_type="q8_0",
        force=True,
    )
    assert forced.prepared.report.quantization == "q8_0"
    forced.close()


def test_a_lora_and_its_variant_give_the_same_answers(tiny_package):
    package = tiny_package()
    with load(package, quantization="f32") as expert:
        expected = answer(expert)
    with load(package, quantization="f32", adapter_mode="exact", variant_type="f32") as expert:
        assert expert.prepared.form == "variant"
        assert answer(expert) == pytest.approx(expected, abs=1e-3)
        with pytest.raises(ValueError, match="a variant is merged and has no scale"):
            expert.score("Hello", "x", adapter_scale=0.5)


def test_more_extra_ranks_come_closer_to_the_variant(tiny_package):
    package = tiny_package(adapter="dora")
    with load(package, quantization="f32", variant_type="f32") as expert:
        assert expert.prepared.form == "variant"
        exact = np.array(answer(expert))
    errors = []
    for rank in (0, 8, 64):
        with load(package, quantization="f32", adapter_mode="lora", extra_rank=rank) as expert:
            assert expert.prepared.report.extra_rank == rank
            errors.append(np.abs(np.array(answer(expert)) - exact).max())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3


def test_variants_on_one_base_share_its_parts(tiny_package):
    a = load(tiny_package("a", adapter="dora"))
    b = load(tiny_package("b", adapter="ia3"))
    with a, b:
        shared = set(a.prepared.files) & set(b.prepared.files)
        own = {path.name for path in set(a.prepared.files) - shared}
        assert {"metadata.gguf", "token_embd.gguf"} <= {path.name for path in shared}
        assert "token_embd.gguf" not in own
        assert answer(a) != answer(b)


def test_the_conversion_is_found_again_until_something_changes(tiny_package, tmp_path):
    package = tiny_package(adapter="dora")
    folder = tmp_path / "base"
    shutil.copytree(MODEL, folder)
    load(package, folder).close()
    with load(package, folder) as again:
        assert not again.prepared.converted
    with load(package, folder, variant_type="f16") as other:
        assert other.prepared.converted
    config = folder / "config.json"
    config.write_text(config.read_text().replace("{", '{ "comment": 1,', 1))
    with load(package, folder) as changed:
        assert changed.base.converted


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [("saved-norms", "is a vector"), ("dora-embedding", None)],
)
def test_what_no_lora_can_hold_says_so_when_one_is_asked_for(tiny_package, adapter, reason):
    package = tiny_package(adapter=adapter)
    if reason is None:
        load(package, adapter_mode="lora").close()
        return
    with pytest.raises(ConversionError, match=f"adapter_mode='lora' is not possible.*{reason}"):
        load(package, adapter_mode="lora")
    with load(package) as expert:
        assert expert.prepared.form == "variant"
        assert reason in expert.prepared.report.why


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"mode": "fast"}, "adapter_mode='fast'"),
        ({"extra_rank": -1}, "extra_rank=-1"),
        ({"variant_type": "q4_0"}, "variant_type='q4_0'"),
    ],
)
def test_options_out_of_range_are_refused(options, problem):
    with pytest.raises(ValueError, match=problem):
        AdapterOptions(**options)


def test_an_adapter_of_another_base_leaves_nothing_behind(tiny_package, home):
    other = FIXTURES / "models" / "tiny-qwen3"
    with pytest.raises(ConversionError, match="trained for another base"):
        load(tiny_package(adapter="dora"), other)
    assert not (home / "adapters").exists()
    assert list((home / "tmp").iterdir()) == []
