"""Models that contradict themselves are errors by the key's name; none ends the process."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.gguf.check import check_model, find_problems
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.gguf.split import split_gguf

from hivellm_lite.errors import LoadError

from ...support.folder_mutations import copy_damaged
from ...support.gguf_files import FLOAT32, STRING, UINT32, Document, TensorEntry, Value
from ...support.gguf_mutations import write_damaged
from ...support.model_lies import LIES, Lie
from ...support.model_trials import Verdict, try_models
from ...support.packages import adapter_files, manifest_bytes, manifest_v2, write_package
from ...support.paths import FIXTURES

MODELS = sorted((FIXTURES / "models").iterdir())

N_DAMAGED = 250
"""Random models of each kind; ``scripts/fuzz_gguf.py`` tries thousands."""


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    """The tiny models of the fixtures as Q8_0 GGUF files."""
    folder = tmp_path_factory.mktemp("bases")
    found = {}
    for model in MODELS:
        path = folder / f"{model.name}.gguf"
        convert_base(model, path, quant="q8_0", threads=1)
        found[model.name] = Document.read(path)
    return found


@pytest.fixture(scope="module")
def verdicts(
    documents: dict[str, Document], tmp_path_factory: pytest.TempPathFactory
) -> dict[int, Verdict]:
    """What became of each lie, by its place in the list. Tried in as few processes as live."""
    folder = tmp_path_factory.mktemp("lies")
    paths = []
    for place, lie in enumerate(LIES):
        document = documents[lie.model].clone()
        lie.change(document)
        paths.append(document.write(folder / f"{place}.gguf"))
    return dict(enumerate(try_models(paths)))


@pytest.mark.parametrize(
    ("place", "lie"), list(enumerate(LIES)), ids=[f"{lie.model}: {lie.name}" for lie in LIES]
)
def test_a_lie_is_an_error_that_names_the_key(place: int, lie: Lie, verdicts: dict[int, Verdict]):
    verdict = verdicts[place]
    assert verdict.kind in ("LoadError", "ConversionError"), verdict.message
    assert lie.key in verdict.message
    assert len(verdict.message) < 1500


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.name)
@pytest.mark.parametrize("quant", ["f32", "q4_k_m"])
def test_the_models_that_the_converter_writes_have_no_problems(
    model: Path, quant: str, tmp_path: Path
):
    path = tmp_path / "model.gguf"
    convert_base(model, path, quant=quant, threads=1)
    assert find_problems([read_gguf_header(path)]) == []


def test_an_embedding_of_another_size_than_the_tokenizer_is_said_so(
    documents: dict[str, Document], tmp_path: Path
):
    document = documents["tiny-qwen3"].clone()
    tensor = document.tensor("token_embd.weight")
    rows = tensor.shape[1]
    tensor.data = tensor.data[: len(tensor.data) // rows * (rows - 4)]
    tensor.shape[1] -= 4
    with pytest.raises(LoadError, match=rf"\[{rows - 4}, 64\], .*: the tokenizer has {rows} tok"):
        check_model([document.write(tmp_path / "model.gguf")])


def test_a_real_model_has_no_problems(real_base: Path):
    assert find_problems([read_gguf_header(real_base)]) == []


def give_experts(document: Document) -> None:
    """Two experts in each layer, as Mixtral has, both with the weights that were there."""
    document.keys[b"llama.expert_count"] = Value(UINT32, 2)
    document.keys[b"llama.expert_used_count"] = Value(UINT32, 1)
    for tensor in list(document.tensors):
        block, _, name = tensor.name.decode().rpartition(".ffn_")
        if name in ("gate.weight", "up.weight", "down.weight"):
            kind = name.removesuffix(".weight")
            tensor.name = f"{block}.ffn_{kind}_exps.weight".encode()
            tensor.shape, tensor.data = [*tensor.shape, 2], tensor.data * 2
        elif name == "norm.weight":
            router = TensorEntry(f"{block}.ffn_gate_inp.weight".encode(), [64, 2], 0, bytes(512))
            document.tensors.append(router)


def fuse(document: Document) -> None:
    """Queries, keys and values of each layer in one matrix."""
    for layer in range(2):
        q, k, v = (document.tensor(f"blk.{layer}.attn_{part}.weight") for part in "qkv")
        q.name = f"blk.{layer}.attn_qkv.weight".encode()
        q.shape = [q.shape[0], q.shape[1] + k.shape[1] + v.shape[1]]
        q.data = q.data + k.data + v.data
        document.tensors = [t for t in document.tensors if t is not k and t is not v]


HARMLESS = {
    "a mixture of experts": give_experts,
    "one matrix for queries, keys and values": fuse,
    "RoPE divisors": lambda document: document.tensors.append(
        TensorEntry(b"rope_freqs.weight", [8], 0, struct.pack("<8f", *[1.0] * 8))
    ),
    "a scale of a matrix": lambda document: document.tensors.append(
        TensorEntry(b"blk.0.ffn_up.scale", [1], 0, struct.pack("<f", 1.0))
    ),
    "heads as an array of equal numbers": lambda document: document.keys.__setitem__(
        b"llama.attention.head_count", Value(9, [4] * 2, UINT32)
    ),
    "experts, none": lambda document: document.keys.__setitem__(
        b"llama.expert_count", Value(UINT32, 0)
    ),
    "a padding token beyond the vocabulary": lambda document: document.keys.__setitem__(
        b"tokenizer.ggml.padding_token_id", Value(UINT32, (1 << 32) - 1)
    ),
    "a bias": lambda document: document.tensors.append(
        TensorEntry(b"blk.0.attn_q.bias", [64], 0, bytes(256))
    ),
    "an empty token": lambda document: document.keys[b"tokenizer.ggml.tokens"].value.__setitem__(
        300, b""
    ),
    "a window that Llama's graph does not know": lambda document: document.keys.__setitem__(
        b"llama.attention.sliding_window", Value(UINT32, 0)
    ),
    "keys that llama.cpp does not know": lambda document: document.keys.update(
        {b"llama.nonesuch": Value(FLOAT32, float("nan")), b"x": Value(STRING, b"\0")}
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_llama_cpp_computes_with_is_not_refused(
    name: str, documents: dict[str, Document], tmp_path: Path
):
    document = documents["tiny-llama"].clone()
    HARMLESS[name](document)
    (verdict,) = try_models([document.write(tmp_path / "model.gguf")])
    assert verdict.kind == "loaded", verdict.message


def test_weights_that_are_no_numbers_do_not_end_the_process(
    documents: dict[str, Document], tmp_path: Path
):
    paths = []
    for model, document in documents.items():
        changed = document.clone()
        for tensor in changed.tensors:
            tensor.data = b"\xff" * len(tensor.data)
        paths.append(changed.write(tmp_path / f"{model}.gguf"))
    assert {verdict.kind for verdict in try_models(paths)} == {"loaded"}


def test_random_damage_to_a_gguf_never_ends_the_process(
    documents: dict[str, Document], tmp_path: Path
):
    paths, notes = [], []
    for number in range(N_DAMAGED):
        rng, path = random.Random(f"gguf/{number}"), tmp_path / f"{number}.gguf"
        model = rng.choice(sorted(documents))
        notes.append(f"{number} {model} {write_damaged(documents[model], path, rng)}")
        paths.append(path)
    verdicts = dict(zip(notes, try_models(paths), strict=True))
    assert {note: v for note, v in verdicts.items() if not v.is_orderly} == {}


@pytest.mark.parametrize(("model", "adapter"), [("tiny-qwen3", "dora"), ("tiny-llama", "plain")])
def test_random_damage_to_the_base_of_an_expert_never_ends_the_process(
    model: str, adapter: str, documents: dict[str, Document], tmp_path: Path
):
    files = adapter_files(model, adapter) | {"manifest.json": manifest_bytes(manifest_v2())}
    write_package(tmp_path / "tiny.expert", files)
    paths, notes = [], []
    for number in range(N_DAMAGED // 5):
        rng, path = random.Random(f"expert/{number}"), tmp_path / f"{10**number}.gguf"
        notes.append(f"{number} {write_damaged(documents[model], path, rng)}")
        paths.append(path)
    verdicts = dict(zip(notes, try_models(paths, "expert"), strict=True))
    assert {note: v for note, v in verdicts.items() if not v.is_orderly} == {}


def test_random_damage_to_a_folder_never_ends_the_process(tmp_path: Path):
    paths, notes = [], []
    for number in range(N_DAMAGED):
        rng, path = random.Random(f"folder/{number}"), tmp_path / str(number)
        model = rng.choice(MODELS)
        notes.append(f"{number} {model.name} {copy_damaged(model, path, rng)}")
        paths.append(path)
    verdicts = dict(zip(notes, try_models(paths, "folder"), strict=True))
    assert {note: v for note, v in verdicts.items() if not v.is_orderly} == {}


def renamed(document: Document, architecture: bytes) -> Document:
    """The tiny Llama under another architecture's name."""
    changed = document.clone()
    changed.keys = {
        key.replace(b"llama.", architecture + b".", 1) if key.startswith(b"llama.") else key: value
        for key, value in document.keys.items()
    }
    changed.keys[b"general.architecture"] = Value(STRING, architecture)
    return changed


def test_an_architecture_without_tables_runs_where_llama_cpp_can(
    documents: dict[str, Document], tmp_path: Path
):
    document = renamed(documents["tiny-mistral"], b"smollm3")
    (verdict,) = try_models([document.write(tmp_path / "model.gguf")])
    assert verdict.kind == "loaded", verdict.message


def test_an_architecture_without_tables_that_ends_the_process_is_an_error(
    documents: dict[str, Document], tmp_path: Path
):
    # llama.cpp asserts that PaddleOCR has sections of its rotary positions.
    document = renamed(documents["tiny-mistral"], b"paddleocr")
    (verdict,) = try_models([document.write(tmp_path / "model.gguf")])
    assert verdict.kind == "LoadError"
    assert "SIGABRT" in verdict.message
    assert "sections" in verdict.message


def test_random_damage_to_a_part_never_ends_the_process(
    documents: dict[str, Document], tmp_path: Path
):
    names = split_gguf(documents["tiny-qwen2"].write(tmp_path / "whole.gguf"), tmp_path)
    folders, notes = [], []
    for number in range(N_DAMAGED // 3):
        rng, folder = random.Random(f"part/{number}"), tmp_path / str(number)
        folder.mkdir()
        paths = [folder / f"{place:02}.gguf" for place in range(len(names))]
        for name, path in zip(names, paths, strict=True):
            path.symlink_to(tmp_path / name)
        damaged = rng.choice(paths)
        document = Document.read(damaged)
        damaged.unlink()
        notes.append(f"{number} {damaged.name} {write_damaged(document, damaged, rng)}")
        folders.append(folder)
    verdicts = dict(zip(notes, try_models(folders), strict=True))
    assert {note: v for note, v in verdicts.items() if not v.is_orderly} == {}
    assert len({v.kind for v in verdicts.values()}) > 1


def split(document: Document, folder: Path) -> list[Path]:
    """The model in two files with llama.cpp's names: metadata and half of the tensors, the rest."""
    first, second = document.clone(), Document(tensors=document.clone().tensors[5:])
    del first.tensors[5:]
    for number, part in enumerate((first, second)):
        part.keys[b"split.no"] = Value(2, number)
        part.keys[b"split.count"] = Value(2, 2)
        part.keys[b"split.tensors.count"] = Value(5, len(document.tensors))
    return [
        part.write(folder / f"model-{number:05}-of-00002.gguf")
        for number, part in enumerate((first, second), start=1)
    ]


def test_a_split_model_is_checked_in_all_its_parts(documents: dict[str, Document], tmp_path: Path):
    first, second = split(documents["tiny-llama"], tmp_path)
    assert [v.kind for v in try_models([first])] == ["loaded"]
    part = Document.read(second)
    part.keys[b"split.no"] = Value(UINT32, 1)
    part.write(second)
    (verdict,) = try_models([first])
    assert verdict.kind == "LoadError"
    assert "split.no" in verdict.message
    second.unlink()
    with pytest.raises(LoadError, match=r"00002-of-00002\.gguf is missing"):
        check_model([first])


def test_a_file_is_checked_again_after_it_has_changed(
    documents: dict[str, Document], tmp_path: Path
):
    path = documents["tiny-llama"].write(tmp_path / "model.gguf")
    check_model([path])
    document = documents["tiny-llama"].clone()
    document.keys[b"llama.block_count"] = Value(UINT32, 600)
    document.write(path)
    with pytest.raises(LoadError, match="block_count is 600, expected an integer from 1 to 512"):
        check_model([path])


def test_a_vocabulary_of_millions_is_refused_before_it_is_read(tmp_path: Path):
    n = 5_000_000
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    key = b"tokenizer.ggml.tokens"
    head += struct.pack("<Q", len(key)) + key + struct.pack("<IIQ", 9, STRING, n)
    path = tmp_path / "model.gguf"
    path.write_bytes(head + bytes(8 * n))
    with pytest.raises(LoadError, match=f"claims {n} strings"):
        check_model([path])


def test_a_message_lists_a_few_of_many_problems(documents: dict[str, Document], tmp_path: Path):
    document = documents["tiny-llama"].clone()
    document.tensors = document.tensors[:2]
    with pytest.raises(LoadError, match=r"(?s)contradicts itself.* is missing, .*and \d+ more\n"):
        check_model([document.write(tmp_path / "model.gguf")])
