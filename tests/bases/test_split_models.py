"""Bases in several files, ``NAME-00001-of-00003.gguf`` and so on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hivellm_lite.converters.forms.weights import gguf_weights
from hivellm_lite.converters.gguf.header import read_gguf_header

from hivellm_lite import BaseNotFoundError, Expert, LoadError
from hivellm_lite.bases import find_base
from hivellm_lite.verification import verify_conversion

from ..support import llama
from ..support.hub_server import digest
from ..support.published_models import split_model


@pytest.fixture
def parts(tiny_base, tmp_path):
    folder = tmp_path / "split"
    folder.mkdir()
    return split_model(tiny_base, folder / "tiny-q8_0")


def test_a_model_in_parts_is_found_by_any_part_its_folder_and_its_name(package, cache, parts):
    folder = parts[0].parent
    for given in (*parts, folder, folder / "tiny-q8_0", folder / "tiny-q8_0.gguf"):
        found = find_base(package, given=str(given), cache=cache)
        assert (found.path, found.files) == (parts[0], tuple(parts))


def test_missing_parts_are_named(package, cache, parts):
    parts[1].unlink()
    for given in (parts[0], parts[2], parts[0].parent, parts[0].with_name("tiny-q8_0")):
        with pytest.raises(LoadError, match=r"tiny-q8_0-00002-of-00003\.gguf is missing.*3 files"):
            find_base(package, given=given, cache=cache)
    parts[0].unlink()
    with pytest.raises(LoadError, match=r"-00001-of-00003\.gguf, .*-00002-of-.* are missing"):
        find_base(package, given=parts[2], cache=cache)


def test_an_image_encoder_beside_a_model_is_no_base(package, cache, parts):
    shutil.copy(parts[1], parts[0].with_name("mmproj-F16.gguf"))
    assert find_base(package, given=parts[0].parent, cache=cache).path == parts[0]


def test_two_models_in_a_folder_are_two(package, cache, parts, tiny_base):
    split_model(tiny_base, parts[0].with_name("other"), 2)
    with pytest.raises(BaseNotFoundError, match=r"found other-00001-of-00002\.gguf, tiny"):
        find_base(package, given=parts[0].parent, cache=cache)


def test_the_header_is_that_of_the_whole_model(parts, tiny_base):
    whole = read_gguf_header(tiny_base)
    for path in parts:
        header = read_gguf_header(path)
        assert header.layout_digest == whole.layout_digest
        assert header.tensors.keys() == whole.tensors.keys()
    with gguf_weights(parts[0]) as found, gguf_weights(tiny_base) as expected:
        for tensor in whole.tensors.values():
            np.testing.assert_array_equal(
                found.read_tensor(found.header.tensors[tensor.name]), expected.read_tensor(tensor)
            )


@pytest.mark.parametrize("empty_first", [False, True])
@pytest.mark.parametrize(
    ("adapter", "form"), [("plain", "lora"), ("dora", "low-rank"), ("dora", "variant")]
)
def test_experts_answer_as_on_one_file(
    adapter, form, empty_first, tiny_package, tiny_base, tmp_path
):
    parts = split_model(tiny_base, tmp_path / "split", 4, empty_first=empty_first)
    mode = {"lora": "auto", "low-rank": "lora", "variant": "exact"}[form]
    options = {"adapter_mode": mode, "kv_type": "f32", "n_threads": 1}
    scores = []
    for base in (tiny_base, parts[0]):
        with Expert.load(tiny_package(adapter=adapter), base=base, **options) as expert:
            assert expert.prepared.form == form
            tokens = expert.score("a b", "c d e", template="raw")
            scores.append([token.logprob for token in tokens])
            if form != "lora":
                assert verify_conversion(expert).loss == expert.prepared.loss
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_commands_take_a_model_in_parts(tool, tiny_package, parts, tiny_base):
    path = tiny_package()
    code, out, _ = tool("estimate", path, "--base", parts[1], "--json")
    whole = json.loads(tool("estimate", path, "--base", tiny_base, "--json")[1])
    assert json.loads(out)["total"] == whole["total"]
    assert code == 0
    facts = json.loads(tool("convert", path, "--base", parts[0].parent, "--json")[1])
    assert facts["base"] == str(parts[0])


def test_a_changed_part_is_another_base(tiny_package, parts):
    path = tiny_package(adapter="dora")
    options = {"base": parts[0], "adapter_mode": "exact"}
    with Expert.load(path, **options) as expert:
        assert expert.load_times.adapter_converted
    data = bytearray(parts[2].read_bytes())
    data[-200] ^= 1
    parts[2].write_bytes(data)
    with Expert.load(path, **options) as expert:
        assert expert.load_times.adapter_converted


def test_a_tensor_in_two_parts_is_refused(parts, tiny_package):
    shutil.copy(parts[2], parts[1])
    with pytest.raises(LoadError, match=r"is also in|contradicts itself"):
        Expert.load(tiny_package(), base=parts[0])


@pytest.mark.parametrize(
    "file", [None, "tiny-q8_0-00001-of-00003.gguf", "tiny-q8_0-00002-of-00003.gguf", "tiny-q8_0"]
)
def test_the_hub_gives_all_parts(file, package, cache, hub, server, parts):
    contents = {part.name: part.read_bytes() for part in parts}
    server.add("me/tiny-GGUF", {**contents, "README.md": b"x"})
    given = f"me/tiny-GGUF:{file}" if file else "me/tiny-GGUF"
    found = find_base(package, given=given, cache=cache, hub=hub)
    assert [part.read_bytes() for part in found.files] == list(contents.values())
    assert found.digests == tuple(map(digest, contents.values()))
    server.asked.clear()
    assert find_base(package, given=given, cache=cache, hub=hub).path == found.path
    assert server.asked == []
    llama.logits(found.path, [1, 2, 3])


def test_a_repository_without_all_parts_is_refused(package, cache, hub, server, parts):
    server.add("me/tiny-GGUF", {part.name: part.read_bytes() for part in parts[1:]})
    with pytest.raises(BaseNotFoundError, match=r"-00001-of-00003\.gguf is not there, and the"):
        find_base(package, given="me/tiny-GGUF", cache=cache, hub=hub)


@pytest.mark.parametrize("name", ["Q8_0/tiny-q8_0-00003-of-00003.gguf", "Q8_0/tiny-q8_0"])
def test_parts_in_a_folder_of_a_repository_are_asked_for_by_name(
    name, package, cache, hub, server, parts
):
    server.add("me/tiny-GGUF", {f"Q8_0/{part.name}": part.read_bytes() for part in parts})
    found = find_base(package, given=f"me/tiny-GGUF:{name}", cache=cache, hub=hub)
    assert [part.read_bytes() for part in found.files] == [part.read_bytes() for part in parts]
    server.asked.clear()
    assert find_base(package, given=f"me/tiny-GGUF:{name}", cache=cache, hub=hub) == found
    assert server.asked == []
