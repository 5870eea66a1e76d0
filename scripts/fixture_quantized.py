"""Makes the quantised checkpoints of the tests, with the weights that their own tools read.

Each folder of ``tests/fixtures/quantized/`` has a ``config.json`` with the quantisation alone,
``model.safetensors`` with one module, and ``expected.npz`` with its weight in float32. The folder
``tiny-llama-nf4`` is a whole model, with logits.

It needs torch, transformers, bitsandbytes and compressed-tensors, and a folder with the sources of
two packages that no longer install: ``auto_gptq`` (AutoGPTQ 0.7.1) and ``awq`` (AutoAWQ 0.2.9)::

    python scripts/fixture_quantized.py SOURCES
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"
OUT = FIXTURES / "quantized"
N_OUT, N_IN = 64, 128


def weight(seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(N_OUT, N_IN, generator=generator) * 0.1).to(dtype)


def write(
    name: str, tensors: Mapping[str, torch.Tensor], expected: torch.Tensor, **config: Any
) -> None:
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {f"m.{key}": t.contiguous() for key, t in tensors.items()}, folder / "model.safetensors"
    )
    (folder / "config.json").write_text(json.dumps({"quantization_config": config}) + "\n")
    np.savez_compressed(folder / "expected.npz", weight=expected.float().numpy())


# --- bitsandbytes --------------------------------------------------------------------


def four_bit(packed: torch.Tensor, state: Any) -> torch.Tensor:
    """A weight of four bits, but not by the kernel for CPUs.

    That goes wrong where a block of 64 ends inside a row.
    """
    from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
    from bitsandbytes.functional import dequantize_blockwise

    maxima = state.absmax
    if state.nested:
        maxima = dequantize_blockwise(maxima, state.state2) + state.offset
    codes = packed.view(torch.uint8).reshape(-1)
    table = state.code.to(torch.float32)
    return _dequantize_4bit_compute(
        codes, maxima.float(), table, state.blocksize, state.shape, state.dtype
    )


def bitsandbytes() -> None:
    import bitsandbytes as bnb

    for name, kind, double, dtype, storage in (
        ("nf4-double", "nf4", True, torch.bfloat16, torch.uint8),
        ("nf4-stored-as-bf16", "nf4", False, torch.float16, torch.bfloat16),
        ("fp4", "fp4", False, torch.float32, torch.uint8),
    ):
        packed, state = bnb.functional.quantize_4bit(
            weight(1, dtype), quant_type=kind, compress_statistics=double, quant_storage=storage
        )
        expected = four_bit(packed, state)
        tensors = {"weight": packed}
        tensors |= {f"weight.{key}": t for key, t in state.as_dict(packed=True).items()}
        write(name, tensors, expected, quant_method="bitsandbytes", load_in_4bit=True)
    values, scales, _ = bnb.functional.int8_vectorwise_quant(weight(2, torch.float16))
    expected = bnb.functional.int8_vectorwise_dequant(values, scales)
    tensors = {"weight": values, "SCB": scales, "weight_format": torch.tensor(0, dtype=torch.uint8)}
    write("bnb-int8", tensors, expected, quant_method="bitsandbytes", load_in_8bit=True)


# --- GPTQ and AWQ --------------------------------------------------------------------


def bare(name: str, folder: Path) -> None:
    """Let modules of a package be imported without the package's own ``__init__``."""
    package = ModuleType(name)
    package.__path__ = [str(folder.joinpath(*name.split(".")))]
    sys.modules[name] = package


def grid(bits: int, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales and zero points, (out, groups), for `weight`."""
    grouped = weight(3).reshape(N_OUT, -1, group)
    low, high = grouped.amin(2).clamp(max=0), grouped.amax(2).clamp(min=0)
    scales = ((high - low) / (2**bits - 1)).half().float()
    return scales, torch.round(-low / scales).clamp(1, 2**bits - 1)


def gptq(folder: Path) -> None:
    for package in ("auto_gptq", "auto_gptq.nn_modules", "auto_gptq.nn_modules.qlinear"):
        bare(package, folder)
    module = importlib.import_module("auto_gptq.nn_modules.qlinear.qlinear_cuda")
    for name, bits, order, second in (
        ("gptq-4", 4, False, False),
        ("gptq-3", 3, False, False),
        ("gptq-8-ordered", 8, True, False),
        ("gptq-4-v2", 4, False, True),
    ):
        scales, zeros = grid(bits, 32)
        groups = torch.arange(N_IN, dtype=torch.int32) // 32
        if order:
            groups = groups[torch.randperm(N_IN, generator=torch.Generator().manual_seed(4))]
        linear = torch.nn.Linear(N_IN, N_OUT, bias=False)
        linear.weight.data = weight(3)
        packed = module.QuantLinear(bits, 32, N_IN, N_OUT, False, weight_dtype=torch.float16)
        packed.pack(linear, scales, zeros.clone(), groups)
        packed.scales = packed.scales.half()
        expected = packed(torch.eye(N_IN, dtype=torch.float16)).T
        tensors = {key: getattr(packed, key) for key in ("qweight", "qzeros", "scales", "g_idx")}
        config = {"quant_method": "gptq", "bits": bits, "group_size": 32, "desc_act": order}
        if second:
            tensors["qzeros"] = tensors["qzeros"] + 0x11111111
            config["checkpoint_format"] = "gptq_v2"
        write(name, tensors, expected, **config)


def awq(folder: Path) -> None:
    for package in ("awq", "awq.utils", "awq.modules", "awq.modules.linear"):
        bare(package, folder)
    extension = ModuleType("awq.utils.module")
    extension.try_import = lambda _name: (None, "")  # type: ignore[attr-defined]
    device = ModuleType("awq.utils.utils")
    device.get_best_device = lambda: "cpu"  # type: ignore[attr-defined]
    sys.modules |= {"awq.utils.module": extension, "awq.utils.utils": device}
    gemm = importlib.import_module("awq.modules.linear.gemm")
    packing = importlib.import_module("awq.utils.packing_utils")
    scales, zeros = grid(4, 32)
    linear = torch.nn.Linear(N_IN, N_OUT, bias=False)
    linear.weight.data = weight(3)
    packed = gemm.WQLinear_GEMM.from_linear(
        linear, 4, 32, scales=scales.T.contiguous(), zeros=zeros.T.contiguous()
    )
    expected = packing.dequantize_gemm(packed.qweight, packed.qzeros, packed.scales, 4, 32).T
    tensors = {key: getattr(packed, key) for key in ("qweight", "qzeros", "scales")}
    write("awq", tensors, expected, quant_method="awq", bits=4, group_size=32, version="gemm")


# --- FP8 and MXFP4 as Transformers reads them ------------------------------------------


def fp8() -> None:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    read = Fp8Dequantize(None)._dequantize_one
    for name, block, kind in (
        ("fp8-blocks", (32, 64), torch.float32),
        ("fp8-whole", (N_OUT, N_IN), torch.bfloat16),
        ("fp8-powers", (1, 32), torch.uint8),
    ):
        values = weight(5)
        tiles = values.reshape(N_OUT // block[0], block[0], N_IN // block[1], block[1])
        scales = tiles.abs().amax((1, 3)) / 448
        if kind == torch.uint8:
            scales = torch.exp2(torch.ceil(torch.log2(scales)))
        stored = (tiles / scales[:, None, :, None]).reshape(N_OUT, N_IN).to(torch.float8_e4m3fn)
        kept = (torch.log2(scales) + 127).to(kind) if kind == torch.uint8 else scales.to(kind)
        dtype = torch.bfloat16 if kind == torch.bfloat16 else torch.float32
        expected = read(stored, kept, dtype)
        kept = kept.reshape(()) if name == "fp8-whole" else kept
        config: dict[str, Any] = {"quant_method": "fp8", "activation_scheme": "dynamic"}
        if name == "fp8-blocks":
            config["weight_block_size"] = list(block)
        write(name, {"weight": stored, "weight_scale_inv": kept}, expected, **config)


def mxfp4() -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    generator = torch.Generator().manual_seed(6)
    blocks = torch.randint(0, 256, (2, 24, 2, 16), dtype=torch.uint8, generator=generator)
    scales = torch.randint(118, 126, (2, 24, 2), dtype=torch.uint8, generator=generator)
    expected = convert_moe_packed_tensors(blocks, scales)
    tensors = {"weight_blocks": blocks, "weight_scales": scales}
    write("mxfp4-experts", tensors, expected, quant_method="mxfp4")


# --- compressed-tensors --------------------------------------------------------------


def compressed() -> None:
    from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
    from compressed_tensors.compressors.naive_quantized.base import NaiveQuantizationCompressor
    from compressed_tensors.compressors.nvfp4.base import NVFP4PackedCompressor
    from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    for name, packing, compressor, options in (
        ("ct-int4", "pack-quantized", PackedQuantizationCompressor,
         {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True}),
        ("ct-int4-zeros", "pack-quantized", PackedQuantizationCompressor,
         {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": False}),
        ("ct-int8", "int-quantized", NaiveQuantizationCompressor,
         {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}),
        ("ct-fp8", "float-quantized", NaiveQuantizationCompressor,
         {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}),
        ("ct-nvfp4", "nvfp4-pack-quantized", NVFP4PackedCompressor,
         {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16,
          "symmetric": True, "scale_dtype": torch.float8_e4m3fn}),
        ("ct-mxfp4", "mxfp4-pack-quantized", MXFP4PackedCompressor,
         {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32,
          "symmetric": True, "scale_dtype": torch.uint8}),
    ):  # fmt: skip
        arguments = QuantizationArgs(**options)
        scheme = QuantizationScheme(targets=["Linear"], weights=arguments)
        values = weight(7, torch.bfloat16)
        group = options.get("group_size") or N_IN
        grouped = values.float().reshape(N_OUT, -1, group)
        state: dict[str, torch.Tensor] = {"weight": values}
        if not options["symmetric"]:
            low, high = grouped.amin(2), grouped.amax(2)
            scales = (high - low) / 15
            state["weight_zero_point"] = torch.round(-8 - low / scales).clamp(-8, 7).to(torch.int8)
        else:
            most = {("int", 4): 7, ("int", 8): 127, ("float", 8): 448, ("float", 4): 6}
            scales = grouped.abs().amax(2) / most[options["type"], options["num_bits"]]
        if name == "ct-nvfp4":
            state["weight_global_scale"] = (448 / scales.amax()).reshape(1)
            scales = (scales * state["weight_global_scale"]).to(torch.float8_e4m3fn).float()
        if name == "ct-mxfp4":
            scales = torch.exp2(torch.ceil(torch.log2(scales)))
        state["weight_scale"] = scales.to(torch.bfloat16)
        packed = compressor.compress(state, scheme)
        expected = compressor.decompress(dict(packed), scheme)["weight"]
        listed = {k: v for k, v in options.items() if k != "scale_dtype"}
        write(
            name, packed, expected, quant_method="compressed-tensors", format=packing,
            config_groups={"group_0": {"targets": ["Linear"], "weights": listed}},
        )  # fmt: skip


# --- a whole model -------------------------------------------------------------------


def whole_model() -> None:
    """tiny-qwen3 in NF4, and what it answers with the dequantised weights in float32.

    Alone, and with a DoRA adapter.
    """
    import bitsandbytes as bnb
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    source, folder = FIXTURES / "models" / "tiny-qwen3", OUT / "tiny-qwen3-nf4"
    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(
        source, quantization_config=config, device_map={"": "cpu"}, dtype=torch.bfloat16
    )
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    plain = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    for name, module in model.named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            weight = four_bit(module.weight.data, module.weight.quant_state)
            plain.get_submodule(name).weight.data = weight.float()
    ids, found = torch.arange(3, 27)[None], {}
    with torch.no_grad():
        found["logits"] = plain(ids).logits[0].numpy()
        adapter = PeftModel.from_pretrained(plain, FIXTURES / "adapters" / "tiny-qwen3" / "dora")
        found["dora"] = adapter(ids).logits[0].numpy()
    np.savez_compressed(folder / "expected.npz", ids=ids[0].numpy(), **found)


def main(sources: Path) -> None:
    OUT.mkdir(exist_ok=True)
    bitsandbytes()
    gptq(sources)
    awq(sources)
    fp8()
    mxfp4()
    compressed()
    whole_model()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
