"""Whether the installed llama.cpp works on this machine.

A library that was built for another processor crashes Python with an illegal instruction. So
everything that touches llama.cpp runs in child processes:
``python -m hivellm_lite.doctor facts`` and ``… decode FILE``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._version import __version__
from .cache.folder import default_root
from .hardware import physical_cores
from .process.exit_status import describe_exit
from .process.memory_limits import available_memory

__all__ = ["Report", "examine"]

_TIMEOUT_S = 120
"""A probe takes a second; a spinning library on a busy machine can take many."""

_REBUILD = (
    "Rebuild it for this machine, without AMX (compilers before GCC 14 break it):\n"
    "    CMAKE_ARGS=\"-DCMAKE_C_FLAGS='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16' "
    "-DCMAKE_CXX_FLAGS='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16'\" \\\n"
    "    pip install --force-reinstall --no-cache-dir --no-binary llama-cpp-python "
    "llama-cpp-python"
)


@dataclass
class Report:
    """What was found. ``healthy``: experts can run here; ``advice``: what to do."""

    hivellm_lite: str = __version__
    llama_cpp_python: str = "not found"
    library: str = ""
    cpu_features: str = ""
    devices: list[dict[str, Any]] = field(default_factory=list)
    threads: int = 0
    memory_available: str = ""
    cache_folder: str = ""
    decode: str = "not tried"
    decode_with_extra_buffers: str = "not tried"
    healthy: bool = False
    advice: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def examine(base: str | os.PathLike[str] | None = None) -> Report:
    """Probe the library in child processes.

    ``base``: the GGUF to decode with. By default a tiny quantised model is made for the purpose.
    """
    report = Report(threads=physical_cores())
    memory = available_memory()
    report.memory_available = f"{memory / 1e9:.1f} GB" if memory is not None else "unknown"
    report.cache_folder = _cache_folder(report.advice)
    facts, problem = _child(["facts"])
    if problem:
        report.decode = problem
        report.advice.append(f"llama.cpp cannot be loaded: {problem}.\n{_REBUILD}")
        return report
    report.llama_cpp_python = facts["version"]
    report.library = facts["library"]
    report.cpu_features = facts["system_info"]
    report.devices = facts["devices"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(base) if base is not None else write_probe_model(Path(folder) / "probe.gguf")
        result, problem = _child(["decode", str(path)])
        report.decode = problem or result["summary"]
        if problem:
            report.advice.append(f"A decode fails: {problem}.\n{_REBUILD}")
        elif "AMX_INT8 = 1" in report.cpu_features:
            _, problem = _child(["decode", str(path)], HIVELLM_EXTRA_BUFFERS="1")
            report.decode_with_extra_buffers = problem or "works"
            report.advice.append(
                "This build uses AMX and fails with it, so hivellm-lite switches its extra "
                f"buffers off. That is safe, and slower.\n{_REBUILD}"
                if problem
                else "This build uses AMX, which hivellm-lite switches off because many builds "
                "fail with it. Here it works: set HIVELLM_EXTRA_BUFFERS=1."
            )
    report.healthy = report.decode.startswith("works") and "not writable" not in report.cache_folder
    return report


def _cache_folder(advice: list[str]) -> str:
    root = place = default_root().absolute()
    try:
        while not place.exists():
            place = place.parent
    except OSError as error:
        advice.append(f"{place}: {error.strerror}: set HIVELLM_HOME to another folder.")
        return f"{root} (not writable)"
    if os.access(place, os.W_OK):
        return str(root)
    advice.append(f"{place} cannot be written: set HIVELLM_HOME to another folder.")
    return f"{root} (not writable)"


def _child(arguments: Sequence[str], **environment: str) -> tuple[dict[str, Any], str]:
    """Run this module in a child process: its JSON answer, or what went wrong."""
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "hivellm_lite.doctor", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            env={**os.environ, **environment},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}, f"no answer within {_TIMEOUT_S} s"
    except OSError as error:
        return {}, f"no process can be started: {error.strerror or error}"
    if done.returncode == 0:
        try:
            answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            return {}, "the probe gave no answer"
        return answer, ""
    return {}, describe_exit(done.returncode, done.stderr)


def write_probe_model(path: Path) -> Path:
    """A one-layer Llama with random Q8_0 weights and a vocabulary of bytes: 0.6 MB.

    The weights are quantised because the kernels that crash are those for quantised weights.
    """
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    n_vocab, n_embd, n_ff, n_head = 512, 256, 512, 4
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(n_embd)
    writer.add_block_count(1)
    writer.add_feed_forward_length(n_ff)
    writer.add_head_count(n_head)
    writer.add_layer_norm_rms_eps(1e-5)
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    unused = n_vocab - len(texts)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*texts, *(f"[PAD{token}]" for token in range(unused))])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [5] * unused)
    writer.add_token_scores([0.0] * n_vocab)
    random = np.random.default_rng(0)
    shapes = {
        "token_embd": (n_vocab, n_embd),
        "output": (n_vocab, n_embd),
        "blk.0.attn_q": (n_embd, n_embd),
        "blk.0.attn_k": (n_embd, n_embd),
        "blk.0.attn_v": (n_embd, n_embd),
        "blk.0.attn_output": (n_embd, n_embd),
        "blk.0.ffn_gate": (n_ff, n_embd),
        "blk.0.ffn_up": (n_ff, n_embd),
        "blk.0.ffn_down": (n_embd, n_ff),
    }
    kind = GGMLQuantizationType.Q8_0
    for name, shape in shapes.items():
        weights = random.normal(0, 0.05, shape).astype(np.float32)
        writer.add_tensor(f"{name}.weight", quantize(weights, kind), raw_dtype=kind)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(n_embd, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _facts() -> dict[str, Any]:
    from . import engine

    return {
        "version": engine.library_version(),
        "library": str(engine.library_file()),
        "system_info": engine.system_info(),
        "devices": [
            {
                "name": device.name,
                "description": device.description,
                "memory_free": device.memory_free,
                "memory_total": device.memory_total,
            }
            for device in engine.devices()
        ],
    }


def _decode(path: str) -> dict[str, Any]:
    import numpy as np

    from .engine import Context, ContextOptions, Model, Row

    model = Model(Path(path))
    context = Context(model, ContextOptions(n_ctx=64))
    started = time.perf_counter()
    context.decode([Row(0, 0, range(1, 33))])
    context.decode([Row(0, 32, [1])])
    seconds = time.perf_counter() - started
    if not np.isfinite(context.logits()).all():
        raise ArithmeticError("the logits are not numbers")
    return {"summary": f"works (33 tokens in {seconds * 1000:.0f} ms)"}


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    print(json.dumps(_facts() if command == "facts" else _decode(*rest)))
