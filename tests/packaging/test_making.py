"""``package``: the same bytes everywhere, nothing that loading refuses, nothing private."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hivellm_lite import Cache, Expert, open_package
from hivellm_lite.errors import ExpertError, PackageError
from hivellm_lite.packaging.making import MadePackage, make_package

from ..support.packages import (
    adapter_files,
    manifest_bytes,
    manifest_v1,
    manifest_v2,
    safetensors_bytes,
    write_package,
)
from ..support.paths import MODELS
from ..support.systems import needs_posix

WEIGHTS = "adapter_model.safetensors"
GRAMMAR = b'root ::= "yes" | "no"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which somebody trained."""
    return write_package(
        tmp_path / "trained",
        {
            **adapter_files(),
            "manifest.json": manifest_bytes({"$schema": "./s.json", **manifest_v2(), "_note": 1}),
            "README.md": b"# Tiny",
            "tests/questions.json": b"[]",
            "training_args.bin": b"pickle",
            "optimizer.pt": b"pickle",
            "run.sh": b"rm",
            "LICENSE": b"\x7fELF",
            "model.gguf": b"GGUF",
            "model.safetensors": b"{}",
            "old.expert": b"",
            "old.expert.sha256": b"",
            "manifest.schema.json": b"{}",
            "trainer_state.json": b"{}",
            "signature.sig": b"00",
            "What?.md": b"",
            ".git/config": b"secret",
            ".env": b"SECRET=1",
            "__pycache__/x.pyc": b"",
            "runs/host/events.out.tfevents.1": b"host",
            "checkpoint-10/adapter_model.safetensors": b"",
            "docs/._a.md": b"",
        },
    )


@pytest.fixture
def make(tmp_path: Path, cache: Cache) -> Callable[..., MadePackage]:
    return lambda folder, **options: make_package(
        folder, tmp_path / "x.expert", cache=cache, **{"force": True, **options}
    )


def members(made: MadePackage) -> dict[str, bytes]:
    with tarfile.open(made.path) as tar:
        files = {info.name: tar.extractfile(info) for info in tar}
        return {name: file.read() for name, file in files.items() if file is not None}


def manifest_of(made: MadePackage) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(members(made)["manifest.json"])
    return manifest


def test_what_is_packed_and_what_is_left_out(folder, make, cache):
    (folder / "link.md").symlink_to("/etc/hostname")
    made = make(folder)
    assert list(members(made)) == [
        *("manifest.json", "README.md", "adapter_config.json", WEIGHTS, "tests/questions.json"),
    ]
    assert sorted(path for path, _ in made.left_out) == sorted(
        [
            *("training_args.bin", "optimizer.pt", "run.sh", "LICENSE", "model.gguf"),
            *("model.safetensors", "old.expert", "old.expert.sha256", "manifest.schema.json"),
            *("trainer_state.json", "signature.sig", "What?.md", ".git/", ".env", "__pycache__/"),
            *("runs/", "checkpoint-10/", "docs/._a.md", "link.md"),
        ]
    )
    assert "the signature was left out, as it would not fit: sign the new package" in made.notes
    manifest, data = manifest_of(made), (folder / WEIGHTS).read_bytes()
    entry = manifest["base_models"][0]["adapters"][0]
    assert (entry["sha256"], entry["size_bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert "$schema" not in manifest
    assert manifest["_note"] == 1
    assert hashlib.sha256(made.path.read_bytes()).hexdigest() == made.digest
    assert made.sidecar.read_text() == f"{made.digest}  x.expert\n"
    assert open_package(made.path, cache=cache).digest == made.digest
    assert json.loads((folder / "manifest.json").read_bytes())["$schema"] == "./s.json"


@needs_posix("a umask")
def test_one_digest_on_two_machines(folder, make, tmp_path):
    digests = {make(folder).digest}
    program = (
        "import sys; from hivellm_lite.packaging.making import make_package;"
        "from hivellm_lite import Cache;"
        "print(make_package(sys.argv[1], sys.argv[2], cache=Cache(sys.argv[3])).digest)"
    )
    machines = [
        (0o077, {"LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONUTF8": "0"}, 1),
        (0o002, {"LC_ALL": "C.UTF-8", "TZ": "America/Lima"}, -1),
    ]
    for number, (umask, environment, order) in enumerate(machines):
        here = tmp_path / str(number)
        before = os.umask(umask)
        try:
            for file in sorted(folder.rglob("*"))[::order]:
                place = here / "trained" / file.relative_to(folder)
                if file.is_file():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(file.read_bytes())
                    os.utime(place, (number * 1000, number * 1000))
            done = subprocess.run(
                [sys.executable, "-c", program, here / "trained", here / "y.expert", here / "home"],
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                check=True,
            )
        finally:
            os.umask(before)
        digests.add(done.stdout.strip())
    assert len(digests) == 1


def test_a_compressed_package_holds_the_same(folder, make):
    plain, small = members(make(folder)), make(folder, compress=True)
    assert members(small) == plain
    assert small.size < 0.9 * sum(map(len, plain.values()))


def test_schema_1_becomes_2_and_keeps_what_it_had(make, tmp_path):
    adapter = {"type": "lora", "r": 4, "alpha": 8, "path": "weights/x/adapter", "sha256": "hash"}
    old = manifest_v1(adapters=[adapter], unknown={"kept": [1]}, perf=None, integrity={"files": {}})
    files = {f"adapter/{name}": data for name, data in adapter_files().items()}
    folder = write_package(tmp_path / "old", {**files, "manifest.json": manifest_bytes(old)})
    made = make(folder)
    manifest = manifest_of(made)
    assert list(manifest) == [
        *("name", "version", "schema_version", "base_models", "capabilities", "unknown"),
    ]
    (base,) = manifest["base_models"]
    assert {key: base[key] for key in ("name", "rope_scaling")} == {
        "name": "org/tiny-base",
        "rope_scaling": "yarn-128k",
    }
    assert base["adapters"][0]["path"] == "adapter"
    assert base["adapters"][0]["sha256"] == hashlib.sha256(files[f"adapter/{WEIGHTS}"]).hexdigest()
    assert "the manifest was converted from schema 1.0 to 2.0" in made.notes
    assert any("'weights/x/adapter', where no adapter is" in note for note in made.notes)
    assert any("sign the new package" in note for note in made.notes)


def test_a_base_is_brought_along_and_compared(folder, make, cache, tmp_path):
    base = tmp_path / "hf"
    shutil.copytree(MODELS / "tiny-llama", base)
    (base / "pytorch_model.bin").write_bytes(b"pickle")
    made = make(folder, base_folder=base)
    inside = {name for name in members(made) if name.startswith("base/")}
    assert {"base/config.json", "base/model.safetensors", "base/tokenizer.json"} <= inside
    assert "base/pytorch_model.bin" not in inside
    assert "the adapter fits the base in the package" in made.notes
    again = write_package(tmp_path / "again", members(made))
    (again / "base" / "notes.txt").write_bytes(b"")
    assert dict(make(again).left_out) == {"base/notes.txt": "no conversion of a base needs it"}
    with pytest.raises(ExpertError, match="does not fit") as caught:
        make(folder, base_folder=MODELS / "tiny-qwen3")
    assert str(folder / WEIGHTS) in str(caught.value)
    assert "hivellm-package" not in str(caught.value)
    with pytest.raises(PackageError, match=r"has no config\.json"):
        make(folder, base_folder=tmp_path)


def broken(**fields: Any) -> bytes:
    return manifest_bytes(manifest_v2(**fields))


_FACTOR = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
NAN = {
    _FACTOR.format("A"): np.full((4, 64), np.nan, "f4"),
    _FACTOR.format("B"): np.zeros((64, 4), "f4"),
}

REFUSED: dict[str, tuple[dict[str, bytes | None], str]] = {
    "no manifest": ({"manifest.json": None}, "hivellm-lite init"),
    "a manifest that cannot be read": ({"manifest.json": b"{"}, "line 1"),
    "no adapter": ({WEIGHTS: None}, "no adapter_model.safetensors"),
    "a damaged adapter": ({WEIGHTS: b"\0" * 99}, WEIGHTS),
    "numbers that are none": ({WEIGHTS: safetensors_bytes(NAN)}, "NaN"),
    "an unknown method": ({"adapter_config.json": b'{"peft_type": "XLORA"}'}, "X-LoRA"),
    "another digest": (
        {"manifest.json": broken(base_models=[{"name": "a", "adapters": [{"sha256": "ab" * 32}]}])},
        "packing fills in the true ones",
    ),
    "constraints": ({"manifest.json": broken(constraints={"requires": ["a@@1"]})}, "requires"),
    "a version that is none": ({"manifest.json": broken(version="latest")}, "semantic version"),
    "a grammar that is none": ({"grammar.gbnf": b"root ::= ("}, "grammar.gbnf"),
    "a grammar without an end": ({"grammar.gbnf": b'root ::= "a" root\n'}, "grammar.gbnf"),
    "a grammar that is not there": (
        {"manifest.json": broken(training={"decoding": {"use_grammar": True}})},
        "brings no grammar",
    ),
    "a chat template that is none": ({"chat_template.jinja": b"{% if %}"}, "chat template"),
    "a soft prompt that is none": (
        {
            "manifest.json": broken(soft_prompts=[{"name": "x", "path": "x.pt"}]),
            "x.pt": b"no zip",
        },
        "x.pt",
    ),
}


def test_what_loading_refuses_is_not_packed(make, tmp_path):
    out = tmp_path / "x.expert"
    for what, (changes, reason) in REFUSED.items():
        files = {**adapter_files(), "manifest.json": broken(), **changes}
        kept = {name: data for name, data in files.items() if data is not None}
        folder = write_package(tmp_path / what.replace(" ", "-"), kept)
        with pytest.raises(ExpertError) as caught:
            make(folder)
        assert reason in str(caught.value), what
        assert not out.exists(), what
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_names_of_the_archive_are_checked_first(folder, make, tmp_path):
    out = tmp_path / "x.expert"
    out.write_bytes(b"mine")
    for output, reason in (
        (out, "is there already"),
        (tmp_path / "x.zip", r"ends in \.expert"),
        (tmp_path / "none" / "x.expert", "no such folder"),
    ):
        with pytest.raises(PackageError, match=reason):
            make_package(folder, output, cache=Cache(tmp_path / "c"))
    assert out.read_bytes() == b"mine"
    with pytest.raises(PackageError, match="is no folder"):
        make(out)


def test_paths_of_one_machine_are_told(make, tmp_path):
    config = json.loads(adapter_files()["adapter_config.json"])
    files = {
        **adapter_files(),
        "adapter_config.json": json.dumps(
            {**config, "base_model_name_or_path": "/home/somebody/models/tiny"}
        ).encode(),
        "manifest.json": broken(),
    }
    notes = make(write_package(tmp_path / "f", files)).notes
    assert [note for note in notes if "by a path of one machine" in note] == [
        "manifest.json names the base by a path of one machine: 'D:/models/tiny-base'",
        "adapter_config.json names the base by a path of one machine: '/home/somebody/models/tiny'",
    ]


def test_what_others_could_not_install_is_told(make, tmp_path):
    files = {**adapter_files(), "manifest.json": manifest_bytes(manifest_v2(name="con"))}
    assert "cannot be the name of a folder" in " ".join(
        make(write_package(tmp_path / "x", files)).notes
    )


def test_the_tool_goes_from_an_adapter_to_answers(tool, tmp_path, tiny_base, monkeypatch):
    models = tmp_path / "models"
    models.mkdir()
    (models / "tiny.gguf").symlink_to(tiny_base)
    monkeypatch.setenv("HIVELLM_MODELS", str(models))
    folder = write_package(tmp_path / "tiny-yes-no", {**adapter_files(), "notes.bin": b""})
    rules = tmp_path / "rules.gbnf"
    rules.write_bytes(GRAMMAR)
    code, out, err = tool("init", folder, "--yes", "--grammar", rules, "--max-tokens", 4)
    assert code == 0, err
    archive = tmp_path / "yes-no.expert"
    code, out, err = tool("package", folder, "-o", archive)
    assert code == 0, err
    assert "Left out: notes.bin (a pickle: it would never be unpacked)\n" in err
    assert f"Note: the adapter fits {models / 'tiny.gguf'}\n" in err
    assert f"  package  {archive}\n  sha256   " in out
    code, out, _ = tool("package", folder, "-o", archive)
    assert (code, out) == (1, "")
    code, out, _ = tool("package", folder, "-o", archive, "--force", "--json")
    assert json.loads(out)["expert"] == "tiny-yes-no@0.1.0"
    with Expert.load(archive, base=tiny_base, n_ctx=256, n_threads=1) as expert:
        assert expert.generate("Well?", temperature=0).text in ("yes", "no")
