"""Build llama-cpp-python for this machine and install it into a virtual environment.

Usage: ``python scripts/install_llama_cpp.py VENV``

``CMAKE_ARGS`` adds to the build's settings, for example ``-DGGML_CUDA=ON``. A CUDA build is for
the GPUs of this machine; ``-DCMAKE_CUDA_ARCHITECTURES=90`` names others.

``-DGGML_NATIVE=OFF`` is for processors other than this machine's.

The build takes 5 to 15 minutes, with CUDA up to an hour on few cores, so the wheel is kept in the
user's cache. Its name holds everything that it depends on: version, compiler flags, processor and
GPUs. One wheel serves every version of Python. pip's cache is not used, because it knows only the
version and would reuse a wheel that was built with other flags.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "0.3.36"

NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
"""Compiler flags that leave AMX out. GCC before 14 drops the AMX tile configuration, so the
first decode of a quantised model would end in an illegal instruction."""


def cmake_arguments() -> str:
    """CMAKE_ARGS for this system; the caller's own settings come last and win."""
    arguments = ["-DLLAVA_BUILD=OFF"]  # the multimodal library: a quarter of the build, unused
    if sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64"):
        arguments += [f"-DCMAKE_C_FLAGS='{NO_AMX}'", f"-DCMAKE_CXX_FLAGS='{NO_AMX}'"]
    return " ".join([*arguments, os.environ.get("CMAKE_ARGS", "")]).strip()


def processor(flags: str) -> str:
    """The facts about this processor that ``-march=native`` depends on, if the build is so."""
    if "GGML_NATIVE=OFF" in flags.upper():
        return platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def graphics(flags: str) -> str:
    """The facts about the GPUs and the compiler that a CUDA build depends on; otherwise empty."""
    if "GGML_CUDA=ON" not in flags.upper():
        return ""
    facts = []
    for command in (
        ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"],
        ["nvcc", "--version"],
    ):
        with contextlib.suppress(OSError):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            facts += sorted(set(done.stdout.splitlines()))
    return "\n".join(facts)


def main() -> None:
    python = Path(sys.argv[1]) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    flags = cmake_arguments()
    facts = [VERSION, flags, processor(flags)]
    if graphic := graphics(flags):
        facts.append(graphic)
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hivellm-wheels"
    folder = cache / f"llama-cpp-python-{VERSION}-{key}"
    if not list(folder.glob("*.whl")):
        patience = "up to an hour" if graphic else "5 to 15 minutes"
        print(f"Building llama-cpp-python {VERSION} ({patience}, once) …", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "CMAKE_ARGS": flags,
            "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
        }
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            built = Path(temporary) / "wheel"
            subprocess.run(
                [
                    *(python, "-m", "pip", "wheel", "--no-cache-dir", "--no-deps", "--quiet"),
                    *("--no-binary", "llama-cpp-python", "--wheel-dir", built),
                    f"llama-cpp-python=={VERSION}",
                ],
                env=environment,
                check=True,
            )
            if not list(folder.glob("*.whl")):
                built.rename(folder)
    (wheel,) = folder.glob("*.whl")
    install = [python, "-m", "pip", "install", "--quiet"]
    # pip would keep a build of the same version that is installed, whatever its flags were
    subprocess.run([*install, "--force-reinstall", "--no-deps", wheel], check=True)
    subprocess.run([*install, wheel], check=True)
    print(f"llama-cpp-python {VERSION} is installed from {wheel.parent.name}", flush=True)


if __name__ == "__main__":
    main()
