"""Build llama-server of llama.cpp from the sources that llama-cpp-python carries.

Usage: ``python scripts/build_llama_server.py FOLDER``

Only the benchmark of the server needs it, to compare. It takes 5 to 15 minutes, once. The
processor's flags are those of `install_llama_cpp`, so both run the same kernels.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

from install_llama_cpp import VERSION, cmake_arguments

OFF = ("LLAMA_CURL", "LLAMA_BUILD_TESTS", "LLAMA_BUILD_EXAMPLES", "LLAMA_BUILD_UI", "LLAMA_OPENSSL")
ON = ("LLAMA_BUILD_COMMON", "LLAMA_BUILD_TOOLS", "LLAMA_BUILD_SERVER", "GGML_NATIVE")


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    program = folder / "build" / "bin" / "llama-server"
    if program.exists():
        print(program)
        return
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"llama_cpp_python-{VERSION}" / "vendor" / "llama.cpp"
    if not source.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        named = ["--no-binary", "llama-cpp-python", f"llama-cpp-python=={VERSION}"]
        subprocess.run([*pip, *named, "--dest", str(folder)], check=True)
        with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
    flags = [one for one in shlex.split(cmake_arguments()) if "LLAVA" not in one]
    switches = [*(f"-D{name}=OFF" for name in OFF), *(f"-D{name}=ON" for name in ON)]
    kind = "-DCMAKE_BUILD_TYPE=Release"
    place = ["-S", str(source), "-B", str(folder / "build")]
    subprocess.run(["cmake", *place, kind, *switches, *flags], check=True)
    jobs = str(os.cpu_count() or 1)
    build = ["cmake", "--build", str(folder / "build"), "--target", "llama-server", "-j", jobs]
    subprocess.run(build, check=True)
    print(program)


if __name__ == "__main__":
    main()
