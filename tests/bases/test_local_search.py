"""Bases on this machine: files, folders, packages and names."""

from __future__ import annotations

import os
import shutil

import pytest

from hivellm_lite import BaseNotFoundError, ConversionError, LoadError
from hivellm_lite.bases import find_base
from hivellm_lite.package import open_package

from ..support.packages import expert_files, write_package
from .contents import MODEL


def test_a_gguf_is_taken_as_it_is(package, cache, tiny_base):
    found = find_base(package, given=tiny_base, cache=cache)
    assert (found.path, found.converted) == (tiny_base, False)


def test_a_folder_with_one_gguf_is_that_gguf(package, cache, tiny_base, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(tiny_base, folder / "a.gguf")
    assert find_base(package, given=folder, cache=cache).path == folder / "a.gguf"
    shutil.copy(tiny_base, folder / "b.gguf")
    with pytest.raises(BaseNotFoundError, match=r"found a\.gguf, b\.gguf"):
        find_base(package, given=folder, cache=cache)


def test_a_hugging_face_folder_is_converted_once(package, cache):
    calls = []
    first = find_base(
        package, given=MODEL, cache=cache, progress=lambda *report: calls.append(report)
    )
    assert first.converted
    assert calls[-1][0] == "Converting the base"
    assert calls[-1][1] == calls[-1][2] > 0
    again = find_base(package, given=MODEL, cache=cache)
    assert (again.path, again.converted) == (first.path, False)
    other = find_base(package, given=MODEL, cache=cache, quantization="f32")
    assert other.converted
    assert other.path != first.path


def test_a_changed_folder_is_converted_again(package, cache, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(MODEL, folder)
    first = find_base(package, given=folder, cache=cache)
    config = folder / "config.json"
    config.write_text(config.read_text().replace("{", '{ "comment": 1,', 1))
    second = find_base(package, given=folder, cache=cache)
    assert second.converted
    assert second.path != first.path
    os.utime(folder / "config.json")  # touched, not changed: found by its digest
    assert find_base(package, given=folder, cache=cache).path == second.path


def test_what_an_older_version_converted_is_converted_again(package, cache, tmp_path, monkeypatch):
    from hivellm_lite.bases import conversion

    folder = tmp_path / "tiny-base"
    shutil.copytree(MODEL, folder)
    with monkeypatch.context() as older:
        older.setattr(conversion, "FORMAT_VERSION", conversion.FORMAT_VERSION - 1)
        first = find_base(package, given=folder, cache=cache)
        assert find_base(package, given=None, cache=cache).path == first.path
    for given in (folder, None):
        now = find_base(package, given=given, cache=cache)
        assert now.path != first.path
        assert now.converted == (given is not None)
    with monkeypatch.context() as newer:
        newer.setattr(conversion, "FORMAT_VERSION", conversion.FORMAT_VERSION + 1)
        assert find_base(package, given=None, cache=cache).converted
        newer.setattr(conversion, "FORMAT_VERSION", conversion.FORMAT_VERSION + 1)
        shutil.rmtree(folder)
        with pytest.raises(BaseNotFoundError, match="which an older version converted: it is gone"):
            find_base(package, given=None, cache=cache)


def test_the_base_inside_a_package_is_used(cache, tmp_path):
    files = expert_files()
    files |= {f"base/{path.name}": path.read_bytes() for path in MODEL.iterdir()}
    package = open_package(write_package(tmp_path / "x.expert", files), cache=cache)
    assert find_base(package, given=None, cache=cache).converted


@pytest.mark.parametrize("name", ["tiny-base.gguf", "Tiny-Base.Q4_1.gguf"])
@pytest.mark.parametrize("place", ["HIVELLM_MODELS", "cache"])
def test_a_base_is_found_by_its_name(package, cache, tiny_base, tmp_path, monkeypatch, name, place):
    folder = cache.root / "models"
    if place == "HIVELLM_MODELS":
        folder = tmp_path / "mine"
        monkeypatch.setenv("HIVELLM_MODELS", os.pathsep.join([str(tmp_path / "none"), str(folder)]))
    folder.mkdir(parents=True)
    shutil.copy(tiny_base, folder / name)
    assert find_base(package, given=None, cache=cache).path == folder / name


def test_a_base_that_was_converted_before_is_found_by_its_name(package, cache, tmp_path):
    folder = tmp_path / "tiny-base"
    shutil.copytree(MODEL, folder)
    converted = find_base(package, given=folder, cache=cache)
    assert find_base(package, given=None, cache=cache).path == converted.path
    with pytest.raises(BaseNotFoundError):
        find_base(package, given=None, cache=cache, quantization="f16")


def test_a_place_that_is_not_there_is_named(package, cache, tmp_path):
    with pytest.raises(BaseNotFoundError, match=r"no base model at .*nowhere"):
        find_base(package, given=tmp_path / "nowhere", cache=cache)
    with pytest.raises(BaseNotFoundError, match=r"neither config\.json nor"):
        find_base(package, given=tmp_path, cache=cache)


def test_an_unknown_quantization_lists_the_known_ones(package, cache, tiny_base):
    with pytest.raises(LoadError, match="q8_0, f16, bf16, f32"):
        find_base(package, given=tiny_base, cache=cache, quantization="q9")


def test_a_folder_that_cannot_be_converted_leaves_nothing(package, cache, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(MODEL, folder)
    (folder / "config.json").write_text('{"architectures": ["MambaForCausalLM"]}')
    with pytest.raises(ConversionError, match="MambaForCausalLM"):
        find_base(package, given=folder, cache=cache)
    assert [entry.kind for entry in cache.entries()] == ["packages"]


def test_a_disk_that_is_too_small_is_said_before_converting(package, cache, monkeypatch):
    usage = shutil.disk_usage(cache.root)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(LoadError, match=r"needs \d+ MB .*\n.*HIVELLM_HOME|0 MB are free"):
        find_base(package, given=MODEL, cache=cache)
