"""What is below a folder of a stranger."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hivellm_lite import Cache, open_package
from hivellm_lite.errors import PackageError
from hivellm_lite.package.walking import MAX_DEPTH, entries_below, files_below

from ..support.packages import expert_files, write_package
from ..support.systems import needs_posix


@needs_posix("named pipes")
def test_files_and_links_are_found_in_order_and_no_link_is_followed(tmp_path: Path):
    root = write_package(tmp_path / "x", {"b": b"", "a/2": b"", "a/1": b"", ".git/c": b""})
    (root / "c").symlink_to(root)
    (root / "d").symlink_to("gone")
    os.mkfifo(root / "e")

    def names(paths: object) -> list[str]:
        return [path.relative_to(root).as_posix() for path in paths]  # type: ignore[attr-defined]

    assert names(entries_below(root, without=(".git",))) == ["b", "c", "d", "e", "a/1", "a/2"]
    assert names(files_below(root)) == ["b", ".git/c", "a/1", "a/2"]
    assert len(list(entries_below(root, most=9))) == 7
    with pytest.raises(PackageError, match="over 8 files"):
        list(entries_below(root, most=8))
    with pytest.raises(FileNotFoundError):
        list(entries_below(root / "none"))


def test_a_folder_that_is_too_deep_is_refused(tmp_path: Path):
    files = expert_files()
    files["package-signature.txt"] = b"signed"
    root = write_package(tmp_path / "x", files)
    root.joinpath(*["d"] * MAX_DEPTH).mkdir(parents=True)
    assert len(list(files_below(root))) == len(files)
    root.joinpath(*["d"] * (MAX_DEPTH + 1)).mkdir()
    deep = f"over {MAX_DEPTH} folders deep"
    with pytest.raises(PackageError, match=deep):
        list(files_below(root))
    with pytest.raises(PackageError, match=deep):
        open_package(root, cache=Cache())
    opened = open_package(root, cache=Cache(), signatures="ignore")
    with pytest.raises(PackageError, match=deep):
        opened.files  # noqa: B018
    (root / "adapter_model.safetensors").unlink()
    with pytest.raises(PackageError, match=deep):
        open_package(root, cache=Cache(), signatures="ignore")
