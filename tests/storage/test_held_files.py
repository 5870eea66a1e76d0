"""Files that another process holds, which Windows refuses to rename, and opens again soon."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hivellm_lite.storage.held_files import delete_tree, rename, replace, when_free
from hivellm_lite.storage.whole_files import whole_file

needs_windows = pytest.mark.skipif(os.name != "nt", reason="other systems rename what is open")

READER = """
import sys, time
with open(sys.argv[1], "rb") as file:
    print("open", flush=True)
    sys.stdin.read(1)
    time.sleep(0.3)
"""


class Busy:
    """Refuses ``times`` times, as Windows does."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise PermissionError(13, "The process cannot access the file")
        return "done"


def test_a_refusal_is_asked_about_again():
    busy = Busy(3)
    assert when_free(busy, patience_s=60) == "done"
    assert busy.left == 0


def test_a_refusal_that_lasts_is_raised():
    with pytest.raises(PermissionError, match="cannot access"):
        when_free(Busy(1_000_000), patience_s=0.05)


def test_without_patience_the_first_refusal_is_raised():
    busy = Busy(2)
    with pytest.raises(PermissionError):
        when_free(busy, patience_s=0)
    assert busy.left == 1


def test_another_error_is_raised_at_once():
    calls = []

    def missing() -> None:
        calls.append(1)
        raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        when_free(missing, patience_s=60)
    assert calls == [1]


def test_a_file_is_renamed_over_another_and_a_folder_to_a_free_name(tmp_path: Path):
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")
    assert replace(tmp_path / "new", tmp_path / "old").read_bytes() == b"new"
    (tmp_path / "folder").mkdir()
    assert rename(tmp_path / "folder", tmp_path / "moved").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved", "old"]


def test_a_tree_is_deleted_with_its_read_only_files(tmp_path: Path):
    place = tmp_path / "repository" / "objects" / "pack"
    place.mkdir(parents=True)
    (place / "pack-1.pack").write_bytes(b"x")
    (place / "pack-1.pack").chmod(stat.S_IREAD)
    delete_tree(tmp_path / "repository")
    assert list(tmp_path.iterdir()) == []
    delete_tree(tmp_path / "repository")  # nothing happens


@needs_windows
def test_a_file_that_another_process_reads_is_replaced_once_it_is_closed(tmp_path: Path):
    place = tmp_path / "registry.json"
    place.write_bytes(b"old")
    with subprocess.Popen(
        [sys.executable, "-c", READER, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdin is not None
        assert reader.stdout.readline().strip() == b"open"
        reader.stdin.write(b"x")
        reader.stdin.flush()
        with whole_file(place) as file:
            file.write(b"new")
        assert place.read_bytes() == b"new"
