"""Bases on the Hub."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from hivellm_lite import BaseNotFoundError, ConversionError, LoadError
from hivellm_lite.bases import find_base, find_float_weights
from hivellm_lite.cache import Cache

from ..support.hub_server import Answer, digest
from ..support.paths import MODELS
from .contents import GGUF, MODEL, SHARDED, files_of

NAMES = ["Qwen3-0.6B", "Qwen/Qwen3-0.6B", "F:/Node/hivellm/models/Qwen3-0.6B", "C:\\m\\qwen3-0.6b"]


@pytest.mark.parametrize("name", NAMES)
def test_the_official_gguf_of_a_known_name_is_fetched_once(on, cache, hub, server, qwen, name):
    package = on(name, sha256=digest(GGUF))
    found = find_base(package, given=None, cache=cache, hub=hub)
    commit = server.repositories["Qwen/Qwen3-0.6B-GGUF"].commit
    assert found.path.read_bytes() == GGUF
    assert (found.converted, found.revision) == (False, commit)
    assert found.origin == f"Qwen/Qwen3-0.6B-GGUF@{commit}:Qwen3-0.6B-Q8_0.gguf"
    assert found.has_digest(package.manifest.base.sha256) is True
    assert found.has_digest("0" * 64) is False
    server.asked.clear()
    assert find_base(package, given=None, cache=cache, hub=hub) == found
    assert server.asked == []


def test_without_a_gguf_of_this_kind_the_safetensors_are_converted(on, cache, hub, server, qwen):
    package, calls = on("Qwen3-0.6B"), []
    found = find_base(
        *(package,),
        given=None,
        cache=cache,
        quantization="f32",
        hub=hub,
        progress=lambda *report: calls.append(report),
    )
    commit = server.repositories["Qwen/Qwen3-0.6B"].commit
    assert (found.converted, found.revision) == (True, commit)
    assert found.origin == f"Qwen/Qwen3-0.6B@{commit}"
    labels = list(dict.fromkeys(label for label, _, _ in calls))
    assert labels == ["Downloading Qwen/Qwen3-0.6B", "Converting the base"]
    fetched = {asked.path.rpartition("/")[2] for asked in server.downloads()}
    assert fetched == {path.name for path in MODEL.iterdir()}  # and no pickle
    entry = next(entry for entry in cache.entries() if entry.kind == "bases")
    assert entry.info["name"] == "Qwen3-0.6B"
    assert (entry.info["repository"], entry.info["revision"]) == ("Qwen/Qwen3-0.6B", commit)
    weights = digest((MODEL / "model.safetensors").read_bytes())
    assert entry.info["digests"]["model.safetensors"] == weights
    assert found.has_digest(weights)
    again = find_base(package, given=None, cache=cache, quantization="f32", hub=hub)
    assert (again.path, again.converted, again.revision) == (found.path, False, commit)


def test_a_gguf_repository_that_went_away_is_no_obstacle(on, cache, hub, server, qwen):
    del server.repositories["Qwen/Qwen3-0.6B-GGUF"]
    assert find_base(on("Qwen3-0.6B"), given=None, cache=cache, hub=hub).converted


def test_shards_are_fetched_as_the_index_lists_them(on, cache, hub, server):
    server.add("me/sharded", {**files_of(SHARDED), "consolidated.safetensors": b"twice"})
    assert find_base(on("me/sharded"), given=None, cache=cache, hub=hub).converted
    assert server.downloads("consolidated.safetensors") == []
    del server.repositories["me/sharded"].files["model-00002-of-00003.safetensors"]
    server.repositories["me/sharded"].commit = "1" * 40
    with pytest.raises(BaseNotFoundError, match=r"lists model-00002.* which is not there"):
        find_base(
            on("x"), given="me/sharded@main", cache=Cache(cache.root / "b"), hub=hub_at(hub, "b")
        )
    server.add("me/sharded", {**files_of(SHARDED), "model.safetensors.index.json": b"{}"})
    with pytest.raises(BaseNotFoundError, match="lists no files"):
        find_base(on("x"), given="me/sharded", cache=Cache(cache.root / "c"), hub=hub_at(hub, "c"))


def test_an_index_beside_a_single_file_is_left_over(on, cache, hub, server):
    index = b'{"weight_map": {"a": "gone.safetensors"}}'
    server.add("me/single", {**files_of(MODEL), "model.safetensors.index.json": index})
    assert find_base(on("me/single"), given=None, cache=cache, hub=hub).converted
    server.asked.clear()
    offline = dataclasses.replace(hub, offline=True)
    fresh = Cache(cache.root / "fresh")
    assert find_base(on("me/single"), given=None, cache=fresh, hub=offline).converted


def test_a_tokenizer_that_is_only_a_sentencepiece_model_is_fetched(on, cache, hub, server):
    files = files_of(MODELS / "tiny-mistral")
    del files["tokenizer.json"]
    server.add("me/mistral", files)
    assert find_base(on("me/mistral"), given=None, cache=cache, hub=hub).converted
    assert find_float_weights(on("me/mistral"), given=None, cache=cache, hub=hub) is not None


def hub_at(hub, name):
    """The same Hub with another cache."""
    return dataclasses.replace(hub, cache=hub.cache.with_name(name))


def test_a_gguf_that_only_a_manifest_names_is_not_loaded(on, cache, hub, server):
    """The package could bring a hostile GGUF so; what the user names is their own choice."""
    server.add("me/mine", {**files_of(MODEL), "mine-Q8_0.gguf": GGUF})
    package = on("me/mine")
    assert find_base(package, given=None, cache=cache, hub=hub).converted
    assert server.downloads(".gguf") == []
    given = find_base(package, given="me/mine:mine-Q8_0.gguf", cache=cache, hub=hub)
    assert given.path.read_bytes() == GGUF
    server.add("me/only", {"only-Q8_0.gguf": GGUF})
    with pytest.raises(
        BaseNotFoundError, match=r"no config\.json with safetensors\n.*--base\):\n  me/only:only"
    ):
        find_base(on("me/only"), given=None, cache=cache, hub=hub)


@pytest.mark.parametrize("given", ["me/x", "me/x@main", "me/x:x-Q4_K_M.gguf"])
def test_a_repository_may_be_given(package, cache, hub, server, given):
    commit = server.add("me/x", {"x-Q4_K_M.gguf": GGUF}).commit
    found = find_base(package, given=given, cache=cache, hub=hub)
    assert (found.path.name, found.revision) == ("x-Q4_K_M.gguf", commit)
    offline = dataclasses.replace(hub, offline=True)
    assert find_base(package, given=given, cache=cache, hub=offline) == found


def test_a_given_repository_that_was_converted_is_not_asked_for_again(package, cache, hub, server):
    commit = server.add("me/x", files_of(MODEL)).commit
    first = find_base(package, given="me/x", cache=cache, hub=hub)
    shutil.rmtree(hub.cache)
    server.asked.clear()
    for given in ("me/x", f"me/x@{commit}"):
        assert find_base(package, given=given, cache=cache, hub=hub).path == first.path
    assert server.asked == []
    with pytest.raises(BaseNotFoundError, match="no revision 'v2'"):
        find_base(package, given="me/x@v2", cache=cache, hub=hub)


def test_a_given_repository_that_lacks_what_is_wanted_lists_what_it_has(
    package, cache, hub, server
):
    server.add("me/x", {"x-Q4_K_M.gguf": GGUF, "x-Q5_K_M.gguf": GGUF})
    with pytest.raises(BaseNotFoundError, match=r"(?s)me/x:x-Q4_K_M\.gguf\n  me/x:x-Q5_K_M\.gguf"):
        find_base(package, given="me/x", cache=cache, hub=hub)
    with pytest.raises(BaseNotFoundError, match=r"holds no file y\.gguf"):
        find_base(package, given="me/x:y.gguf", cache=cache, hub=hub)
    with pytest.raises(
        BaseNotFoundError, match=r"(?s)nor/here: no such file.*no repository nor/here"
    ):
        find_base(package, given="nor/here", cache=cache, hub=hub)


def test_what_another_program_downloaded_is_used(on, cache, hub, server, qwen, monkeypatch):
    from huggingface_hub import constants, snapshot_download

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    folder = snapshot_download(
        "Qwen/Qwen3-0.6B-GGUF", cache_dir=hub.cache, endpoint=server.url, allow_patterns="*.gguf"
    )
    server.asked.clear()
    found = find_base(on("Qwen3-0.6B"), given=None, cache=cache, hub=hub)
    assert str(found.path.parent) == folder
    assert server.asked == []


def test_a_model_that_cannot_be_converted_is_refused_before_its_weights(on, cache, hub, server):
    config = b'{"architectures": ["MambaForCausalLM"]}'
    server.add("me/mamba", {**files_of(MODEL), "config.json": config})
    with pytest.raises(ConversionError, match="MambaForCausalLM"):
        find_base(on("me/mamba"), given=None, cache=cache, hub=hub)
    assert server.downloads(".safetensors") == []


def test_a_quantisation_that_is_not_read_is_refused_before_its_weights(on, cache, hub, server):
    files = files_of(MODEL)
    config = json.loads(files["config.json"]) | {"quantization_config": {"quant_method": "hqq"}}
    server.add("me/hqq", {**files, "config.json": json.dumps(config).encode()})
    with pytest.raises(ConversionError, match=r"quantised \(hqq\)"):
        find_base(on("me/hqq"), given=None, cache=cache, hub=hub)
    assert server.downloads(".safetensors") == []


def test_offline_every_place_is_listed(on, cache, hub, server, qwen):
    offline = dataclasses.replace(hub, offline=True)
    package = on("Qwen3-0.6B")
    with pytest.raises(BaseNotFoundError) as caught:
        find_base(package, given=None, cache=cache, hub=offline)
    said = str(caught.value)
    first = f"{package.manifest.identity} needs the base model 'Qwen3-0.6B', which was not found"
    assert said.startswith(f"{first}\n")
    for place in (cache.root / "models", cache.root / "bases", hub.cache):
        assert str(place) in said
    assert "Qwen/Qwen3-0.6B-GGUF, Qwen/Qwen3-0.6B\n" in said
    assert "offline" in said
    assert "--base" in said
    assert server.asked == []


def test_a_name_that_nobody_knows_says_how_to_make_it_known(package, cache, hub, server):
    with pytest.raises(
        BaseNotFoundError, match=r"no repository is known by this name; .*bases\.json"
    ):
        find_base(package, given=None, cache=cache, hub=hub)
    server.add("me/mine", files_of(MODEL))
    cache.root.mkdir(exist_ok=True)
    (cache.root / "bases.json").write_text('{"Tiny-Base": "me/mine"}')
    assert find_base(package, given=None, cache=cache, hub=hub).converted


def test_a_failed_download_is_said_as_it_is(on, cache, hub, server, qwen):
    server.misbehave("/stored/", Answer(cut_after=0))
    with pytest.raises(
        LoadError, match=r"Qwen3-0\.6B-Q8_0\.gguf of Qwen/Qwen3-0\.6B-GGUF broke off"
    ):
        find_base(on("Qwen3-0.6B"), given=None, cache=cache, hub=hub)


def test_a_name_with_only_a_gguf_repository(on, cache, hub, server, home):
    server.add("me/x-GGUF", {"a-Q4_K_M.gguf": GGUF, "b-Q5_K_M.gguf": GGUF})
    home.mkdir(exist_ok=True)
    (home / "bases.json").write_text('{"x": {"gguf": "me/x-GGUF"}, "y": {"gguf": "me/none"}}')
    with pytest.raises(
        BaseNotFoundError, match=r"me/x-GGUF has no \.gguf file of quantisation q8_0"
    ):
        find_base(on("x"), given=None, cache=cache, hub=hub)
    assert find_float_weights(on("x"), cache=cache, download=True, hub=hub) is None
    with pytest.raises(BaseNotFoundError, match="no repository me/none"):
        find_base(on("y"), given=None, cache=cache, hub=hub)
    server.add("me/x-GGUF", {"a-Q4_K_M.gguf": GGUF})
    assert find_base(on("x"), given=None, cache=cache, hub=hub).path.name == "a-Q4_K_M.gguf"
