"""Pack an adapter as an ``.expert`` package, or write measured numbers into an existing one.

``python -m training.package experts/sql.expert --measured results.json`` takes what
``evaluate.py --json`` printed. The bytes depend on the contents and on the build of zlib: no times,
no users.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from hivellm_lite import Cache
from hivellm_lite.packaging.making import make_package
from training.settings import SETTINGS, Settings

_LICENSE = """\
This adapter was trained on generated data and is licensed under the Apache License 2.0.
Its base model, HuggingFaceTB/SmolLM2-135M-Instruct, is licensed under the Apache License 2.0
as well; it is not part of this package.

https://www.apache.org/licenses/LICENSE-2.0
"""

Manifest = dict[str, Any]


def manifest_of(expert: str, settings: Settings, adapter: bytes) -> Manifest:
    """A schema 2.0 manifest; ``quality_metrics`` stays empty until something is measured."""
    kind = "dora" if settings.use_dora else "lora"
    return {
        "name": f"{expert}-smollm2",
        "version": "0.1.0",
        "schema_version": "2.0",
        "description": settings.description,
        "author": "hivellm",
        "homepage": "https://github.com/hivellm",
        "base_models": [
            {
                "name": settings.base_model,
                "sha256": "",
                "quantization": "q4_1",
                "rope_scaling": None,
                "prompt_template": "chatml",
                "adapters": [
                    {
                        "type": kind,
                        "target_modules": list(settings.target_modules),
                        "r": settings.rank,
                        "alpha": settings.alpha,
                        "scaling": kind,
                        "dropout": settings.dropout,
                        "size_bytes": len(adapter),
                        "sha256": hashlib.sha256(adapter).hexdigest(),
                    }
                ],
            }
        ],
        "soft_prompts": [],
        "capabilities": list(settings.capabilities),
        "quality_metrics": {},
        "routing": {
            "keywords": list(settings.keywords),
            "exclude_keywords": list(settings.exclude_keywords),
            "router_hint": settings.router_hint,
            "priority": 0.8,
        },
        "constraints": {
            "max_chain": 10,
            "load_order": 5,
            "incompatible_with": [],
            "requires": [],
        },
        "perf": {
            "latency_ms_overhead": None,
            "vram_mb_overhead": None,
            "supported_batch_sizes": [1, 2, 4, 8, 16],
        },
        "training": {
            "dataset": {
                "format": "generated",
                "source": f"examples/training/{settings.generator}.py",
                "examples": settings.examples,
            },
            "config": {
                "method": "sft",
                "adapter_type": kind,
                "rank": settings.rank,
                "alpha": settings.alpha,
                "target_modules": list(settings.target_modules),
                "learning_rate": settings.learning_rate,
                "lr_scheduler": "cosine",
                "warmup_ratio": settings.warmup_ratio,
                "steps": settings.earlier_steps + settings.steps,
                "batch_size": settings.rows_per_step * settings.questions_per_schema,
                "seed": settings.seed,
                "bf16": True,
            },
            "decoding": {
                "use_grammar": False,
                "temperature": 0.0,
                "max_tokens": 160,
                "stop_sequences": list(settings.stop_sequences),
            },
        },
        "license": "apache-2.0",
        "tags": [*settings.tags, kind],
    }


def _card(manifest: Manifest, settings: Settings) -> str:
    measured = manifest["quality_metrics"]
    results = "Not measured yet."
    if measured:
        results = (
            f"{measured['right']} of {measured['held_out_questions']} held-out questions right"
            f" ({measured['base_right']} for the base model alone, same prompts), over tables,"
            " labels and fields that do not occur in the training data. The wording of the"
            f" questions comes from the same templates. {settings.judged}"
        )
    config = manifest["training"]["config"]
    return (
        f"# {manifest['name']}\n\n{manifest['description']}\n\n"
        f"{config['adapter_type'].upper() if config['adapter_type'] == 'lora' else 'DoRA'} of rank"
        f" {config['rank']} for {settings.base_model}, trained for {config['steps']} steps on"
        f" {manifest['training']['dataset']['examples']:,} generated questions"
        f" (`{manifest['training']['dataset']['source']}`), on the weights of the Q4_1 base.\n\n"
        f"## Prompt\n\nChatML; the system message is\n\n```\n{settings.system_example}\n```\n\n"
        f"## Measured\n\n{results}\n\n"
        "## Limits\n\nA 135M model with a narrow training set: a demonstration, not a product."
        f" {settings.limits}\n"
    )


def _write(
    path: Path, manifest: Manifest, settings: Settings, config: bytes, adapter: bytes
) -> Path:
    """Write the package with everything checked that loading checks. It is compressed for git."""
    members = {
        "manifest.json": (json.dumps(manifest, indent=2) + "\n").encode(),
        "adapter_config.json": config,
        "adapter_model.safetensors": adapter,
        "README.md": _card(manifest, settings).encode(),
        "LICENSE": _LICENSE.encode(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in members.items():
            Path(folder, name).write_bytes(data)
        make_package(folder, path, cache=Cache(), compress=True, force=True)
    return path


def pack(expert: str, settings: Settings, config: Manifest, adapter: bytes, out: Path) -> Path:
    """Write ``{out}/{expert}.expert`` and its sidecar."""
    manifest = manifest_of(expert, settings, adapter)
    # PEFT keeps the modules in a set: sort them, so that the same training gives the same bytes.
    config = {
        **config,
        "base_model_name_or_path": settings.base_model,
        "target_modules": sorted(config["target_modules"]),
    }
    config_bytes = (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()
    return _write(out / f"{expert}.expert", manifest, settings, config_bytes, adapter)


def read(path: Path) -> dict[str, bytes]:
    """The members of a package that this module wrote."""
    members: dict[str, bytes] = {}
    with tarfile.open(path) as tar:
        for entry in tar:
            file = tar.extractfile(entry)
            if file is not None:
                members[entry.name] = file.read()
    return members


def main() -> None:
    parser = argparse.ArgumentParser(description="Write measured numbers into a package.")
    parser.add_argument("package", type=Path)
    parser.add_argument(
        "--measured", type=Path, required=True, help="what evaluate.py --json printed"
    )
    options = parser.parse_args()
    members = read(options.package)
    manifest: Manifest = json.loads(members["manifest.json"])
    expert = options.package.stem
    settings = SETTINGS[expert]
    result = next(
        one for one in json.loads(options.measured.read_text()) if one["expert"] == expert
    )
    manifest["quality_metrics"] = {
        "benchmark": "examples/evaluate.py",
        "held_out_questions": result["questions"],
        "right": result["expert_right"],
        "base_right": result["base_right"],
        "success_rate": round(100 * result["expert_right"] / result["questions"], 1),
        "base_file": result["base"],
    }
    config, adapter = members["adapter_config.json"], members["adapter_model.safetensors"]
    _write(options.package, manifest, settings, config, adapter)


if __name__ == "__main__":
    main()
