"""Which repositories a name of a base model stands for."""

from __future__ import annotations

import pytest

from hivellm_lite import LoadError
from hivellm_lite.bases.names import read_known_bases
from hivellm_lite.hub.reference import parse_reference


@pytest.fixture
def known(home):
    return read_known_bases(home)


@pytest.mark.parametrize(
    "name",
    [
        *("Qwen3-0.6B", "qwen3-0.6b", "Qwen/Qwen3-0.6B", "qwen/qwen3-0.6b"),
        *("F:/Node/hivellm/expert/models/Qwen3-0.6B", "D:\\models\\Qwen3-0.6B\\"),
        *("/home/me/models/Qwen3-0.6B/", "models/Qwen3-0.6B", "Checkpoints/qwen3-0.6b"),
    ],
)
def test_names_of_published_manifests_mean_the_official_repositories(known, name):
    source = known.of_manifest(name)
    assert str(source.weights) == "Qwen/Qwen3-0.6B"
    assert str(source.gguf) == "Qwen/Qwen3-0.6B-GGUF"
    assert source.trusted


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("Qwen2.5-Coder-1.5B-Instruct", "Qwen/Qwen2.5-Coder-1.5B-Instruct"),
        ("Qwen3-8B-Base", "Qwen/Qwen3-8B-Base"),
        ("SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("Llama-3.2-1B", "meta-llama/Llama-3.2-1B"),
        ("gemma-3-1b-it", "google/gemma-3-1b-it"),
        ("Phi-4-mini-instruct", "microsoft/Phi-4-mini-instruct"),
    ],
)
def test_usual_models_are_known(known, name, repository):
    assert str(known.of_manifest(name).weights) == repository


def test_an_owner_and_repository_are_taken_as_they_are(known):
    source = known.of_manifest("unsloth/Qwen3-0.6B:x.gguf")
    assert (str(source.weights), source.gguf, source.trusted) == (
        *("unsloth/Qwen3-0.6B", None, False),
    )


def test_a_revision_that_is_asked_for_has_no_official_gguf(known):
    source = known.of_manifest("Qwen/Qwen3-0.6B@v1")
    assert (str(source.weights), source.gguf) == ("Qwen/Qwen3-0.6B@v1", None)
    source = known.of_reference(parse_reference("Qwen/Qwen3-0.6B@v1"))
    assert (str(source.weights), source.gguf) == ("Qwen/Qwen3-0.6B@v1", None)
    assert known.of_reference(parse_reference("Qwen/Qwen3-0.6B")).gguf is not None


def test_an_unknown_name_is_unknown(known):
    assert known.of_manifest("my-base") is None
    assert known.of_manifest("models/my-base") is None


def test_users_add_names_and_theirs_count_first(home, tmp_path, monkeypatch):
    home.mkdir()
    (home / "bases.json").write_text('{"My-Base": "me/mine@v1", "qwen3-0.6B": "me/a"}')
    more = tmp_path / "more.json"
    more.write_text('{"Qwen3-0.6B": {"gguf": "me/b-GGUF:b.gguf"}}')
    monkeypatch.setenv("HIVELLM_BASES", str(more))
    known = read_known_bases(home)
    assert str(known.of_manifest("/x/my-base").weights) == "me/mine@v1"
    assert str(known.of_manifest("me/mine").weights) == "me/mine@v1"
    assert known.of_manifest("me/mine@v1").trusted
    source = known.of_manifest("Qwen3-0.6B")
    assert (source.weights, str(source.gguf)) == (None, "me/b-GGUF:b.gguf")


@pytest.mark.parametrize(
    "value", ['"no-owner"', "3", "null", "{}", '{"weights": null}', '{"path": "me/x"}', '["me/x"]']
)
def test_a_wrong_entry_is_named_with_its_place(home, value):
    home.mkdir()
    (home / "bases.json").write_text(f'{{\n "good": "me/x",\n "bad": {value}\n}}')
    with pytest.raises(
        LoadError, match=r"bases\.json: \$\.bad, line 3, column 9: found .*expected"
    ):
        read_known_bases(home)


def test_a_file_that_cannot_be_read_is_said(home, tmp_path, monkeypatch):
    monkeypatch.setenv("HIVELLM_BASES", str(tmp_path / "none.json"))
    with pytest.raises(LoadError, match=r"cannot read .*none\.json: No such file.*\nHIVELLM_BASES"):
        read_known_bases(home)
    (tmp_path / "none.json").write_text("{")
    with pytest.raises(LoadError, match=r"none\.json"):
        read_known_bases(home)
