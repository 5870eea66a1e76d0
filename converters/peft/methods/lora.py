"""LoRA with all its variants that a weight can hold, DoRA, and AdaLoRA; mlx-lm's LoRA and DoRA.

Source: ``tuners/lora/layer.py``, ``tuners/lora/dora.py`` and ``tuners/adalora`` of PEFT 0.21;
``tuner/lora.py`` and ``tuner/dora.py`` of mlx-lm 0.28.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...safetensors import Float32Array
from ..updates import AddedBias, Chained, Dora, LowRank, Update
from .reader import BIAS, WEIGHT, Change, Reader
from .residual import initial_part

__all__ = ["adalora", "lora", "mlx_lora"]


def lora(reader: Reader) -> Iterator[Change]:
    """``W + scale · B · A``; with a magnitude vector DoRA."""
    is_embedding = any(role.startswith("lora_embedding") for role in reader.roles)
    prefix = "lora_embedding_" if is_embedding else "lora_"
    if not {f"{prefix}A", f"{prefix}B"} & reader.roles.keys():
        name = next(iter(reader.roles.values()))
        raise reader.fail(f"{name!r} has no lora_A and lora_B beside it")
    a, b = reader.take_pair(f"{prefix}A", f"{prefix}B")
    magnitude = reader.take_vector("lora_magnitude_vector")
    yield from _scaled_product(reader, a, b, magnitude, is_embedding)


def mlx_lora(reader: Reader) -> Iterator[Change]:
    """The same from mlx-lm, which stores A and B transposed."""
    a, b = reader.take_pair("lora_a", "lora_b")
    is_embedding = reader.module.rsplit(".", 1)[-1] == "embed_tokens"
    yield from _scaled_product(reader, a.T, b.T, reader.take_vector("m"), is_embedding)


def _scaled_product(
    reader: Reader,
    a: Float32Array,
    b: Float32Array,
    magnitude: Float32Array | None,
    is_embedding: bool,
) -> Iterator[Change]:
    if a.shape[0] != b.shape[1]:
        raise reader.fail(
            f"lora_A {list(a.shape)} has rank {a.shape[0]}, lora_B {list(b.shape)} has {b.shape[1]}"
        )
    reader.check_rank(a.shape[0])
    scale = reader.scale
    update: Update
    if magnitude is None:
        if reader.config.use_dora:
            raise reader.fail(f"{reader.config.source} says use_dora, but it has no magnitude")
        update, method = LowRank(a, b, scale, is_embedding), "LoRA"
    else:
        if len(magnitude) != b.shape[0]:
            raise reader.fail(
                f"the magnitude has {len(magnitude)} values, lora_B {b.shape[0]} rows"
            )
        update, method = Dora(a, b, scale, is_embedding, magnitude), "DoRA"
    init = str(reader.config.options.get("init_lora_weights", True)).lower()
    initial = None if is_embedding else initial_part(init, a.shape[0], scale)
    if initial is not None:
        update, method = Chained(initial, update), initial.method
    yield Change(WEIGHT, update, method)
    bias = reader.take_vector("lora_B.bias")
    if bias is not None:
        if len(bias) != b.shape[0]:
            raise reader.fail(f"the bias has {len(bias)} values, lora_B {b.shape[0]} rows")
        yield Change(BIAS, AddedBias(bias, scale), "a bias on lora_B")


def adalora(reader: Reader) -> Iterator[Change]:
    """``W + scale · B · (E ∘ A)``, where E is one factor for each rank that was kept.

    PEFT divides by the rank before pruning, which is the config's ``init_r``, plus 1e-5.
    """
    options = reader.config.options
    if "lora_E" in reader.roles and reader.shape_of("lora_E")[:1] == (0,):
        reader.roles.clear()  # every rank was pruned: this module is not changed
        return
    e = reader.take("lora_E")
    a, b = reader.take_pair("lora_A", "lora_B")
    reader.check_shape("lora_E", e, (a.shape[0], 1))
    if b.shape[1] != a.shape[0]:
        raise reader.fail(f"lora_A has rank {a.shape[0]}, lora_B {b.shape[1]}")
    initial = options.rank("init_r", 12)
    alpha = options.number("lora_alpha", 8)
    scale = (alpha if alpha > 0 else float(initial)) / (initial + 1e-5)
    yield Change(WEIGHT, LowRank(a * e, b, scale), "AdaLoRA")
