"""Loads thousands of damaged models and reports how many ended the process. None should.

    python -m scripts.fuzz_gguf --count 1000 [--seed 1] [--keep FOLDER]

Each model is a tiny model of the fixtures, with metadata, tensors or bytes changed at random. A
child process loads it and runs one decode (`tests.support.model_trials`). With ``--folders`` each
model is a Hugging Face folder with changed JSON files, which is converted first.
"""

from __future__ import annotations

import argparse
import collections
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hivellm_lite.converters.base import convert_base

from tests.support.folder_mutations import copy_damaged
from tests.support.gguf_files import Document
from tests.support.gguf_mutations import write_damaged
from tests.support.model_trials import try_models

MODELS = sorted((Path(__file__).parents[1] / "tests" / "fixtures" / "models").iterdir())
BATCH = 200

Maker = Callable[[Path, random.Random], str]
"""Writes a damaged model to a path, and says what was changed."""


def gguf_maker(folder: Path) -> Maker:
    documents = []
    for model in MODELS:
        path = folder / f"{model.name}.gguf"
        convert_base(model, path, quant="q8_0", threads=1)
        documents.append((model.name, Document.read(path)))

    def make(path: Path, rng: random.Random) -> str:
        name, document = rng.choice(documents)
        return f"{name} {write_damaged(document, path, rng)}"

    return make


def make_folder(path: Path, rng: random.Random) -> str:
    model = rng.choice(MODELS)
    return f"{model.name} {copy_damaged(model, path, rng)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folders", action="store_true", help="Hugging Face folders, converted")
    parser.add_argument("--keep", type=Path, help="folder for what ended a process")
    arguments = parser.parse_args()
    kinds: collections.Counter[str] = collections.Counter()
    worst = 0.0
    with tempfile.TemporaryDirectory() as bases:
        make = make_folder if arguments.folders else gguf_maker(Path(bases))
        for start in range(0, arguments.count, BATCH):
            with tempfile.TemporaryDirectory() as name:
                paths, notes = [], []
                for number in range(start, min(start + BATCH, arguments.count)):
                    paths.append(Path(name) / str(number))
                    notes.append(make(paths[-1], random.Random(f"{arguments.seed}/{number}")))
                trial = "folder" if arguments.folders else "gguf"
                for path, note, verdict in zip(paths, notes, try_models(paths, trial), strict=True):
                    kinds[verdict.kind] += 1
                    worst = max(worst, verdict.seconds)
                    if verdict.is_orderly:
                        continue
                    print(f"{path.name} {note}: {verdict.kind} {verdict.message}", flush=True)
                    if arguments.keep:
                        arguments.keep.mkdir(parents=True, exist_ok=True)
                        copy = shutil.copytree if path.is_dir() else shutil.copy
                        copy(path, arguments.keep / path.name)
    print(f"{arguments.count} models: {dict(kinds)}; the slowest took {worst:.1f} s")


if __name__ == "__main__":
    main()
