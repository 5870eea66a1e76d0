"""Asks a server whatever its OpenAPI document allows, and what it does not allow.

``make fuzz-server`` does so for ten minutes, and the suite for some seconds.
No answer may be a 500, leave the document, or take long; in the end nothing may be left computing.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from hivellm_lite import ExpertManager
from hivellm_lite.server.application import create_server
from hivellm_lite.server.openapi.document import openapi_document
from hivellm_lite.server.options import ServerOptions

from ..support.paths import FIXTURES
from ..support.waiting import wait_until
from .running import serving

MODELS = ["sql", "style", "auto", "base", "sql:0.5+style"]
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    "response_schema_conformance",
)
PER_REQUEST = 30.0
"""Seconds that one request may take: an answer has a few tokens."""


def fuzz(manager: ExpertManager, folder: Path, seconds: int, seed: int) -> str:
    """Run schemathesis against a server; returns what it printed. Raises AssertionError for a
    defect.
    """
    options = ServerOptions(
        max_tokens=4, queue=32, timeout=PER_REQUEST, allow_loading=folder, max_body=1 << 20
    )
    app = create_server(manager, options)
    document = copy.deepcopy(openapi_document())
    for name, schema in document["components"]["schemas"].items():
        if name.endswith("Request") and "model" in schema["properties"]:
            schema["properties"]["model"] = {"type": "string", "enum": MODELS}
        if "stream" in schema.get("properties", {}):
            schema["required"].append("stream")  # or else it is seldom true
    written = folder / "openapi.json"
    written.write_text(json.dumps(document))
    with serving(app) as address:
        command = [sys.executable, "-m", "schemathesis.cli", "run", str(written)]
        command += [
            "--url",
            address,
            "--checks",
            ",".join(CHECKS),
            "--phases",
            "examples,coverage,fuzzing",
        ]
        command += ["--max-time", str(seconds), "--request-timeout", str(PER_REQUEST)]
        command += ["--seed", str(seed), "--mode", "all", "--no-color"]
        command += ["--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + 300, cwd=folder
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        assert httpx.get(f"{address}/health").status_code == 200
        wait_until(lambda: httpx.get(f"{address}/ready").json()["answers"] == 0)
        wait_until(lambda: all(n == 0 for n in _running(manager)))
    return done.stdout


def _running(manager: ExpertManager) -> list[int]:
    requests = [base["requests"] for base in manager.stats()["bases"]]
    return [one[name] for one in requests for name in ("active", "queued")]


def main() -> None:
    from hivellm_lite.converters.base import convert_base

    from ..support.packages import adapter_files, manifest_bytes, manifest_v2, write_package

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="fuzzing-"))
    try:
        base = place / "tiny-llama.gguf"
        convert_base(FIXTURES / "models" / "tiny-llama", base, quant="f32")
        with ExpertManager(base=base, cache_dir=place / "cache", n_ctx=1024) as manager:
            for name, adapter in (("sql", "plain"), ("style", "rslora")):
                files = adapter_files("tiny-llama", adapter)
                files["manifest.json"] = manifest_bytes(manifest_v2(name=name))
                manager.load_expert(name, write_package(place / f"{name}.expert", files))
            (place / "packages").mkdir()
            print(fuzz(manager, place / "packages", given.seconds, given.seed))
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
