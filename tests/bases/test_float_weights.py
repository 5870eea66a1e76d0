"""The float weights of a base."""

from __future__ import annotations

import json
import shutil

import pytest

from hivellm_lite.bases import find_base, find_float_weights
from hivellm_lite.cli import main
from hivellm_lite.package import open_package

from ..support.packages import expert_files, write_package
from .contents import GGUF, MODEL, files_of


def test_float_weights_are_where_the_base_is(on, package, cache, hub, server, qwen, tmp_path):
    known = on("Qwen3-0.6B")
    assert find_float_weights(package, cache=cache, hub=hub) is None
    assert find_float_weights(known, cache=cache, hub=hub) is None
    assert server.asked == []
    fetched = find_float_weights(known, cache=cache, download=True, hub=hub)
    assert (fetched / "model.safetensors").is_file()
    assert find_float_weights(known, cache=cache, hub=hub) == fetched
    given = find_float_weights(package, given="Qwen/Qwen3-0.6B", cache=cache, hub=hub)
    assert given == fetched
    assert find_float_weights(package, given=MODEL, cache=cache, hub=hub) == MODEL
    assert find_float_weights(package, given=tmp_path / "no.gguf", cache=cache, hub=hub) is None


def test_float_weights_of_a_base_in_the_package_or_a_folder(package, cache, hub, tmp_path, server):
    files = expert_files() | {f"base/{name}": data for name, data in files_of(MODEL).items()}
    inside = open_package(write_package(tmp_path / "y.expert", files), cache=cache)
    assert find_float_weights(inside, cache=cache, hub=hub) == inside.base_folder
    folder = cache.root / "models" / "Tiny-Base"
    shutil.copytree(MODEL, folder)
    (cache.root / "models" / "tiny-base.gguf").write_bytes(GGUF)
    assert find_float_weights(package, cache=cache, hub=hub) == folder
    (folder / "model.safetensors").unlink()
    assert find_float_weights(package, cache=cache, hub=hub) is None


def test_float_weights_of_a_converted_base_are_what_it_was_made_of(package, cache, hub, tmp_path):
    folder = tmp_path / "tiny-base"
    shutil.copytree(MODEL, folder)
    find_base(package, given=folder, cache=cache, hub=hub)
    assert find_float_weights(package, cache=cache, hub=hub) == folder
    shutil.rmtree(folder)
    assert find_float_weights(package, cache=cache, hub=hub) is None


def test_convert_tells_the_revision_of_the_base(server, tiny_package, capsys):
    commit = server.add("me/tiny-base", files_of(MODEL)).commit
    arguments = ["convert", str(tiny_package()), "--base", "me/tiny-base", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    facts = json.loads(capsys.readouterr().out)
    assert (ended.value.code, facts["base_revision"]) == (0, commit)
    assert facts["base_origin"] == f"me/tiny-base@{commit}"
    assert facts["base_sha256_matches"] is None
    asked = len(server.asked)
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(tiny_package()), "--offline", "--base", "me/none"])
    assert ended.value.code == 1
    assert "Traceback" not in (err := capsys.readouterr().err)
    assert "offline" in err
    assert len(server.asked) == asked
