"""Every kind of adapter that PEFT saves gives PEFT's own logits: merged, and as low rank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.forms.decomposition import low_rank_form, truncated_svd
from hivellm_lite.converters.forms.fitting import find_targets
from hivellm_lite.converters.forms.low_rank import measure_low_rank, write_low_rank
from hivellm_lite.converters.forms.storage_types import allowed_types, plan_types
from hivellm_lite.converters.forms.variant import convert_variant
from hivellm_lite.converters.forms.variant_files import loading_order
from hivellm_lite.converters.forms.weights import checkpoint_weights, gguf_weights
from hivellm_lite.converters.gguf.header import GGUFHeader, read_gguf_header
from hivellm_lite.converters.gguf.split import kind_of, split_gguf
from hivellm_lite.converters.peft.adapter import Adapter
from hivellm_lite.converters.peft.updates import Dora, Hadamard, Kronecker, LowRank, Scaled

from hivellm_lite.errors import ConversionError

from ...support import llama
from ...support.model_files import saved_adapter
from ...support.paths import FIXTURES, MODELS
from ...support.split_models import split_logits

REFERENCE = np.load(FIXTURES / "reference.npz")
FIRST = ("tiny-gemma2", "tiny-gemma3", "tiny-llama", "tiny-llama3", "tiny-phi3")
FIRST += ("tiny-qwen2", "tiny-qwen3")
COVERED = sorted(
    name
    for name in REFERENCE.files
    if "/adapter/" in name and (name.split("/")[0] in FIRST or not name.endswith("/plain"))
)
"""All but the plain LoRAs of the later architectures, which test_lora.py covers."""

TOLERANCE = 1e-3

NOT_FOR_LORA = {
    "dora-embedding": "embedding is also its head",
    "saved-embedding": "is also its head|tied|vector",
    "saved-norms": "is a vector, which a LoRA cannot change",
    "lora-bias": "is a vector",
    "ia3": "is a vector",
    "bias-all": "is a vector",
    "bias-lora-only": "is a vector",
    "head": "head is tied",
    "embedding": "embedding is also its head",
}
"""Forms that no LoRA can hold, at least on some of the bases, and what the error says."""


def assert_same(found: npt.NDArray[np.float32], name: str) -> None:
    expected = REFERENCE[name]
    assert np.abs(found - expected).max() < TOLERANCE
    np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


def is_for_lora(adapter: Adapter, header: GGUFHeader) -> bool:
    """Whether every changed tensor is a matrix of its own."""
    tied = "output.weight" not in header.tensors
    ends = {"model.embed_tokens", "lm_head"}
    return all(
        len(target.shape) == 2 and not (tied and target.hf_name.removesuffix(".weight") in ends)
        for target, _ in find_targets(adapter, header)
    )


@pytest.mark.parametrize("model", sorted({name.split("/")[0] for name in COVERED}))
def test_a_base_in_parts_gives_the_same_bits(
    model: str, split_base: Callable[[str], list[Path]]
) -> None:
    parts = split_base(model)
    tokens = REFERENCE[f"{model}/ids/0"]
    whole = parts[0].with_name("whole.gguf")
    np.testing.assert_array_equal(split_logits(parts, tokens), split_logits([whole], tokens))


@pytest.mark.parametrize("name", COVERED)
def test_a_variant_has_the_logits_of_peft(
    name: str, split_base: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    base, _, form = name.split("/")
    parts = split_base(base)
    tokens = REFERENCE[f"{base}/ids/0"]
    header = read_gguf_header(parts[0].with_name("whole.gguf"))
    updates = find_targets(saved_adapter(base, form), header)
    with checkpoint_weights(MODELS / base) as source:
        report = convert_variant(
            updates, header, [p.name for p in parts], source, tmp_path, quantization="f32"
        )
    # The adapters change the logits a great deal, so this tests them and not the base.
    assert np.abs(REFERENCE[name] - REFERENCE[f"{base}/logits/0"]).max() > 0.5
    assert_same(split_logits(loading_order(parts, tmp_path), tokens, report.n_tensors), name)


@pytest.mark.parametrize("name", COVERED)
def test_the_low_rank_form_of_full_rank_has_the_logits_of_peft(
    name: str, split_base: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    base, _, form = name.split("/")
    whole = split_base(base)[0].with_name("whole.gguf")
    header, adapter = read_gguf_header(whole), saved_adapter(base, form)
    if not is_for_lora(adapter, header):
        with pytest.raises(ConversionError, match=NOT_FOR_LORA[form]):
            find_targets(adapter, header, for_lora=True)
        return
    updates = find_targets(adapter, header, for_lora=True)
    with checkpoint_weights(MODELS / base) as source:
        measured = measure_low_rank(updates, source, max_extra_rank=128)
    assert measured.error(128) < 1e-3
    write_low_rank(measured, 128, header, tmp_path / "adapter.gguf")
    assert_same(llama.logits(whole, REFERENCE[f"{base}/ids/0"], tmp_path / "adapter.gguf"), name)


def test_weights_of_the_gguf_and_of_the_folder_are_the_same(
    split_base: Callable[[str], list[Path]],
) -> None:
    for model, form in (("tiny-llama", "plain"), ("tiny-qwen3", "plain")):
        whole = split_base(model)[0].with_name("whole.gguf")
        updates = find_targets(saved_adapter(model, form), read_gguf_header(whole))
        with checkpoint_weights(MODELS / model) as folder, gguf_weights(whole) as file:
            assert folder.is_float
            assert file.is_float
            for target, _ in updates:
                np.testing.assert_array_equal(folder.read(target), file.read(target))
    for model in ("tiny-qwen3_5", "tiny-granite4", "tiny-falcon-h1"):
        whole = split_base(model)[0].with_name("whole.gguf")
        updates = find_targets(saved_adapter(model, "dora"), read_gguf_header(whole))
        with checkpoint_weights(MODELS / model) as folder, gguf_weights(whole) as file:
            for target, _ in updates:
                np.testing.assert_allclose(folder.read(target), file.read(target), rtol=1e-6)


def test_parts_hold_the_source_byte_for_byte(split_base: Callable[[str], list[Path]]) -> None:
    parts = split_base("tiny-llama")
    whole = parts[0].with_name("whole.gguf")
    header, data = read_gguf_header(whole), whole.read_bytes()
    seen = set()
    for part in parts[1:]:
        inner, content = read_gguf_header(part, part=True), part.read_bytes()
        for tensor in inner.tensors.values():
            origin = header.tensors[tensor.name]
            start, offset = header.data_offset + origin.offset, inner.data_offset + tensor.offset
            assert content[offset : offset + tensor.n_bytes] == data[start : start + origin.n_bytes]
            assert kind_of(tensor.name) == part.stem
            seen.add(tensor.name)
    assert seen == set(header.tensors)


def test_a_split_model_is_not_split_again(
    split_base: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match="one part of a split model"):
        split_gguf(split_base("tiny-llama")[0], tmp_path)


def test_a_quantised_base_allows_float16_and_more_only_by_force(
    tmp_path: Path,
) -> None:
    quantised, whole = tmp_path / "q8.gguf", tmp_path / "f32.gguf"
    convert_base(MODELS / "tiny-llama", quantised, quant="q8_0")
    convert_base(MODELS / "tiny-llama", whole, quant="f32")
    with gguf_weights(quantised) as source:
        assert not source.is_float
        assert "Q8_0 weights of q8.gguf" in source.origin
        assert allowed_types(source, source, None) == ("f16", "f32")
        assert allowed_types(source, source, "f32") == ("f32",)
        for coarse in ("q8_0", "bf16"):
            with pytest.raises(ConversionError, match="would lose most of the adapter"):
                allowed_types(source, source, coarse)
        assert allowed_types(source, source, "q8_0", force=True) == ("q8_0",)
        with checkpoint_weights(MODELS / "tiny-llama") as floats, gguf_weights(whole) as base:
            assert allowed_types(floats, source, None) == ("q8_0", "f16", "f32")
            assert allowed_types(floats, base, None) == ("f16", "f32")
            assert allowed_types(base, base, None) == ("f16", "f32")


@pytest.mark.parametrize(("change", "stored"), [(0.3, "q8_0"), (0.01, "f16"), (0.0005, "f32")])
def test_a_tensor_is_stored_at_the_smallest_type_that_keeps_its_change(
    change: float, stored: str, split_base: Callable[[str], list[Path]]
) -> None:
    header = read_gguf_header(split_base("tiny-llama")[0].with_name("whole.gguf"))
    updates = find_targets(saved_adapter("tiny-llama", "plain"), header)
    target, update = next(pair for pair in updates if pair[0].module == "self_attn.q_proj")
    with checkpoint_weights(MODELS / "tiny-llama") as source:
        size = np.linalg.norm(source.read(target)) / np.linalg.norm(update.delta())
        scaled = LowRank(update.a, update.b, update.scale * change * size)
        plan = plan_types([(target, scaled)], source, ("q8_0", "f16", "f32"))
        assert plan.types == {target.gguf_name: stored}
        assert plan.loss.share <= 0.02
        coarser = plan_types([(target, scaled)], source, ("q8_0",))
    assert coarser.loss.share == pytest.approx((0.0054 / change) ** 2, rel=0.2)


RANDOM = np.random.default_rng(3)


def normal(*shape: int) -> npt.NDArray[np.float32]:
    return RANDOM.standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize(
    "update",
    [
        LowRank(normal(4, 48), normal(32, 4), 0.5),
        Dora(normal(4, 48), normal(32, 4), 0.5, False, np.abs(normal(32)) + 1),
        Scaled(normal(32), 0),
        Scaled(normal(48), 1),
        Hadamard(normal(32, 3), normal(3, 48), normal(32, 3), normal(3, 48), 0.25),
        Kronecker(normal(8, 4), normal(4, 12), 0.25),
    ],
    ids=lambda update: type(update).__name__,
)
def test_the_measured_error_of_a_low_rank_form_is_its_error(update) -> None:
    weight = normal(32, 48)
    exact = update.apply(weight.copy())
    form = low_rank_form(update, weight, 32)
    assert form.delta_squared == pytest.approx(np.sum((exact - weight) ** 2), rel=1e-4)
    previous = np.inf
    for extra in (0, 1, 5, 16, 32):
        a, b = form.truncated(min(extra, len(form.values)))
        missing = np.sum(np.square(exact - weight - b @ a, dtype=np.float64))
        assert form.error_squared(extra) == pytest.approx(missing, rel=1e-3, abs=1e-3)
        assert missing <= previous * 1.001 + 1e-6
        previous = missing
    assert previous < 1e-3


def test_the_truncated_decomposition_is_the_best_one_and_repeats() -> None:
    matrix = normal(60, 40) * np.geomspace(1, 1e-3, 40, dtype=np.float32)
    u, values, v = truncated_svd(matrix, 8)
    np.testing.assert_allclose(values, np.linalg.svd(matrix, compute_uv=False)[:8], rtol=1e-3)
    best = np.sqrt(np.sum(np.linalg.svd(matrix, compute_uv=False)[8:] ** 2))
    assert np.linalg.norm(matrix - (u * values) @ v) == pytest.approx(best, rel=1e-2)
    for again, first in zip(truncated_svd(matrix, 8), (u, values, v), strict=True):
        np.testing.assert_array_equal(again, first)


def test_dora_on_a_row_of_zeros_is_refused() -> None:
    update = Dora(np.zeros((2, 4), np.float32), normal(3, 2), 1.0, False, np.ones(3, np.float32))
    with pytest.raises(ConversionError, match="length of a row that is all zero"):
        update.apply(np.zeros((3, 4), np.float32))


def test_merged_weights_that_are_not_finite_are_refused(
    split_base: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    parts = split_base("tiny-llama")
    header = read_gguf_header(parts[0].with_name("whole.gguf"))
    (target, update), *_ = find_targets(saved_adapter("tiny-llama", "plain"), header)
    huge = LowRank(update.a, np.full_like(update.b, 3e38), 3e38)
    names = [path.name for path in parts]
    with (
        checkpoint_weights(MODELS / "tiny-llama") as source,
        pytest.raises(ConversionError, match="NaN or infinite"),
    ):
        convert_variant([(target, huge)], header, names, source, tmp_path, quantization="f32")


@pytest.mark.filterwarnings("error")
def test_values_that_cannot_be_decomposed_are_refused(
    split_base: Callable[[str], list[Path]],
) -> None:
    header = read_gguf_header(split_base("tiny-llama")[0].with_name("whole.gguf"))
    (target, _), *_ = find_targets(saved_adapter("tiny-llama", "plain"), header)
    huge = Scaled(np.full(target.shape[0], 3e38, np.float32), 0)
    with (
        checkpoint_weights(MODELS / "tiny-llama") as source,
        pytest.raises(ConversionError, match="too large to decompose"),
    ):
        measure_low_rank([(target, huge)], source, max_extra_rank=8)
