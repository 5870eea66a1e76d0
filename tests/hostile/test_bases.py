"""A base inside a package ends no process, whatever its files say; damaged weights are told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hivellm_lite import Expert
from hivellm_lite.errors import InferenceError

from ..support.gguf_files import Document
from ..support.model_trials import Verdict, try_models
from ..support.packages import adapter_files, manifest_bytes, manifest_v2, write_package
from ..support.paths import FIXTURES

MODELS = FIXTURES / "models"
SECONDS = 60
"""For a whole process on a busy machine; each takes about one second of computing."""


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: change_json(folder / "config.json", lambda values: values.update(changes))


def change_json(path: Path, change: Callable[[Any], object]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def tokenizer(change: Callable[[Any], object]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        (folder / "tokenizer.model").unlink(missing_ok=True)
        change_json(folder / "tokenizer.json", change)

    return changed


def added(*contents: str) -> Callable[[Path], None]:
    """Added tokens with these texts, at ids that have none yet."""

    def change(values: Any) -> None:
        taken = set(values["model"]["vocab"].values()) | {e["id"] for e in values["added_tokens"]}
        free = iter(set(range(600)) - taken)
        values["added_tokens"] += [
            {"id": next(free), "content": text, "special": False} for text in contents
        ]

    return tokenizer(change)


def renamed(text: str) -> Callable[[Path], None]:
    """The text of the token 300 becomes ``text``."""

    def change(values: Any) -> None:
        vocab = values["model"]["vocab"]
        old = next(key for key, token in vocab.items() if token == 300)
        values["model"]["merges"] = [
            merge for merge in values["model"]["merges"] if "".join(merge) != old
        ]
        vocab[text] = vocab.pop(old)

    return tokenizer(change)


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


REFUSED = {
    "600 layers": ("tiny-qwen2", config(num_hidden_layers=600), "600 layers"),
    "no layers": ("tiny-llama", config(num_hidden_layers=0), "num_hidden_layers"),
    "heads that do not divide": ("tiny-llama", config(num_key_value_heads=3), "key-value heads"),
    "no epsilon": ("tiny-gemma3", config(rms_norm_eps=0), "rms_norm_eps"),
    "an epsilon that float32 cannot hold": (
        "tiny-llama",
        config(rms_norm_eps=1e-300),
        "rms_norm_eps is 1e-300",
    ),
    "an empty text beside its name": (
        "tiny-qwen3",
        both(renamed(""), added("[EMPTY_300]")),
        "texts that differ",
    ),
    "two added tokens of one text": ("tiny-qwen3", added("<twice>", "<twice>"), "<twice>"),
    "texts that become equal": ("tiny-qwen3", added("a\u2581b", "a b"), "texts that differ"),
    "a text with a NUL": ("tiny-llama", renamed("a\0b"), "NUL"),
    "an added text of a NUL": ("tiny-qwen3", added("\0"), "NUL"),
    "a rotation of no value": (
        "tiny-phi3",
        config(rope_parameters={"rope_theta": 1e4, "partial_rotary_factor": 0.01}),
        "partial_rotary_factor",
    ),
}

RUNS = {
    "a token of the padding's name": renamed("[PAD505]"),
    "an added token of the padding's name": added("[PAD507]"),
    "an empty text": renamed(""),
}


def changed(model: str, change: Callable[[Path], None], folder: Path) -> Path:
    """A copy of a model folder with the change."""
    shutil.copytree(MODELS / model, folder)
    change(folder)
    return folder


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """What became of each changed folder: converted, loaded, one decode."""
    root = tmp_path_factory.mktemp("folders")
    cases = {name: (model, change) for name, (model, change, _) in REFUSED.items()}
    cases |= {name: ("tiny-qwen3", change) for name, change in RUNS.items()}
    paths = [changed(*case, root / str(place)) for place, case in enumerate(cases.values())]
    return dict(zip(cases, try_models(paths, "folder"), strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_a_base_that_llama_cpp_would_die_of_is_an_error(name: str, verdicts: dict[str, Verdict]):
    assert verdicts[name].kind == "ConversionError", verdicts[name].message
    assert REFUSED[name][2] in verdicts[name].message


@pytest.mark.parametrize("name", RUNS)
def test_a_base_with_odd_texts_loads(name: str, verdicts: dict[str, Verdict]):
    assert verdicts[name].kind == "loaded", verdicts[name].message


def run(change: Callable[[Path], None], folder: Path) -> subprocess.CompletedProcess[str]:
    """Ask an expert whose package has the changed tiny Qwen 3 in ``base/``."""
    base = changed("tiny-qwen3", change, folder / "base")
    files = adapter_files("tiny-qwen3", "plain")
    files |= {"manifest.json": manifest_bytes(manifest_v2())}
    files |= {f"base/{path.name}": path.read_bytes() for path in base.iterdir()}
    package = write_package(folder / "hostile.expert", files)
    return subprocess.run(
        [sys.executable, "-m", "hivellm_lite", "run", str(package), "hi", "--max-tokens", "2"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
    )


def test_a_package_with_such_a_base_ends_in_a_message(tmp_path: Path):
    _, change, words = REFUSED["two added tokens of one text"]
    done = run(change, tmp_path)
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert not list(tmp_path.rglob("home/bases/*/model.gguf"))


def test_a_package_whose_base_has_a_token_of_the_paddings_name_answers(tmp_path: Path):
    done = run(RUNS["a token of the padding's name"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.fixture
def damaged_base(tiny_base: Path, tmp_path: Path) -> Path:
    """The tiny Llama with NaN in the weights of one norm."""
    document = Document.read(tiny_base)
    tensor = document.tensor("blk.1.attn_norm.weight")
    tensor.data = np.full(tensor.shape[0], np.nan, np.float32).tobytes()
    return document.write(tmp_path / "damaged.gguf")


ASKED: dict[str, Callable[[Expert], object]] = {
    "the best token": lambda expert: expert.generate("hi", max_tokens=3),
    "a random token": lambda expert: expert.generate("hi", temperature=0.7, seed=1),
    "a random one of few": lambda expert: expert.generate("hi", temperature=0.7, seed=1, top_k=3),
    "a stream": lambda expert: list(expert.generate_stream("hi", max_tokens=3)),
    "an object": lambda expert: expert.generate("hi", json_schema={"type": "integer"}),
    "scores": lambda expert: expert.score("hi", "there"),
}


@pytest.mark.parametrize("name", ASKED)
def test_logits_that_are_no_numbers_are_an_error_and_no_answer(
    name: str, damaged_base: Path, tiny_package: Callable[..., Path]
):
    with (
        Expert.load(tiny_package(), base=damaged_base) as expert,
        pytest.raises(InferenceError, match="logits are not numbers"),
    ):
        ASKED[name](expert)
