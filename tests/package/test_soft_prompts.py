"""The soft prompts that a manifest lists, in archives and in folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hivellm_lite import Cache, PackageError
from hivellm_lite.package import open_package

from ..support.packages import expert_files, manifest_v2, write_package


def package(path: Path, listed: list[dict[str, Any]], **files: bytes) -> Path:
    contents = expert_files(manifest_v2(soft_prompts=listed))
    contents |= {name.replace("__", "/").replace("_", "."): data for name, data in files.items()}
    return write_package(path, contents)


@pytest.mark.parametrize("form", ["x.expert", "x.zip", "x"])
def test_a_listed_pickle_is_at_hand_and_others_are_not(form: str, tmp_path: Path, cache: Cache):
    path = package(tmp_path / form, [{"path": "soft/in.pt"}], soft__in_pt=b"1", args_bin=b"2")
    opened = open_package(path, cache=cache)
    (found,) = opened.soft_prompts
    assert (found.name, found.config) == ("in", None)
    assert found.weights.read_bytes() == b"1"
    if form != "x":
        assert opened.skipped == ("args.bin",)
        assert not list(opened.root.rglob("args.bin"))


def test_a_folder_around_everything_does_not_hide_it(tmp_path: Path, cache: Cache):
    files = expert_files(manifest_v2(soft_prompts=[{"path": "in.pt", "name": "first"}]))
    files = {f"outer/{name}": data for name, data in {**files, "in.pt": b"1"}.items()}
    opened = open_package(write_package(tmp_path / "x.expert", files), cache=cache)
    assert [one.name for one in opened.soft_prompts] == ["first"]


def test_a_folder_of_peft_has_a_config(tmp_path: Path, cache: Cache):
    inside = {f"soft/{name}": data for name, data in expert_files().items()}
    files = {**expert_files(manifest_v2(soft_prompts=[{"path": "soft/"}])), **inside}
    (found,) = open_package(write_package(tmp_path / "x.expert", files), cache=cache).soft_prompts
    assert found.weights.name == "adapter_model.safetensors"
    assert found.config is not None


def test_the_digest_of_a_folder_covers_its_soft_prompts(tmp_path: Path, cache: Cache):
    path = package(tmp_path / "x", [{"path": "in.pt"}], in_pt=b"1")
    before = open_package(path, cache=cache).digest
    (path / "in.pt").write_bytes(b"2")
    assert open_package(path, cache=cache).digest != before


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"name": "a"}, "its path None is no path"),
        ({"path": "/etc/passwd"}, "is no path in the package"),
        ({"path": "../x.pt"}, "is no path in the package"),
        ({"path": "C:\\x.pt"}, "is no path in the package"),
        ({"path": "gone.pt"}, "'gone.pt' is not in the package"),
        ({"path": "in.txt"}, "is none of .safetensors"),
        ({"path": "ok.pt"}, "another one has this name"),
        ({"name": "\x1b[2J", "path": "gone.pt"}, r"'\x1b[2J'"),
    ],
)
def test_entries_that_cannot_be_opened_are_noted(
    entry: dict[str, str], why: str, tmp_path: Path, cache: Cache
):
    path = package(tmp_path / "x", [{"path": "ok.pt"}, entry], ok_pt=b"1", in_txt=b"2")
    opened = open_package(path, cache=cache)
    assert [one.name for one in opened.soft_prompts] == ["ok"]
    (note,) = opened.notes
    assert "is left out" in note
    assert why in note


def test_a_link_out_of_the_package_is_refused(tmp_path: Path, cache: Cache):
    (tmp_path / "secret.pt").write_bytes(b"1")
    path = package(tmp_path / "x", [{"path": "in.pt"}])
    (path / "in.pt").symlink_to(tmp_path / "secret.pt")
    with pytest.raises(PackageError, match="leads out of the package"):
        open_package(path, cache=cache)


def test_thousands_of_entries_are_not_looked_at(tmp_path: Path, cache: Cache):
    path = package(tmp_path / "x", [{"path": f"{i}.pt"} for i in range(5000)])
    notes = open_package(path, cache=cache).notes
    assert len(notes) == 17
    assert "4984 more" in notes[-1]


def test_a_soft_prompt_beside_no_adapter_is_the_adapter(tmp_path: Path, cache: Cache):
    manifest = manifest_v2(soft_prompts=[{"path": "in.pt"}], base_models=[{"name": "tiny"}])
    files = {"manifest.json": expert_files(manifest)["manifest.json"], "in.pt": b"1"}
    opened = open_package(write_package(tmp_path / "x.expert", files), cache=cache)
    assert opened.adapter.weights == opened.soft_prompts[0].weights


def test_a_missing_adapter_is_still_missed_beside_a_soft_prompt(tmp_path: Path, cache: Cache):
    files = expert_files(manifest_v2(soft_prompts=[{"path": "in.pt"}]))
    files = {"manifest.json": files["manifest.json"], "in.pt": b"1"}
    with pytest.raises(PackageError, match=r"no adapter_model\.safetensors"):
        open_package(write_package(tmp_path / "x.expert", files), cache=cache)


def test_an_adapter_that_is_listed_as_a_soft_prompt_stays_the_adapter(tmp_path: Path, cache: Cache):
    listed = [{"path": "adapter_model.safetensors"}]
    opened = open_package(package(tmp_path / "x.expert", listed), cache=cache)
    assert opened.adapter.config is not None
    assert opened.soft_prompts == ()
