"""Files that are written whole or not at all."""

from __future__ import annotations

import pytest

from hivellm_lite.errors import CacheError
from hivellm_lite.storage.whole_files import (
    copy_whole,
    temporary_name,
    whole_file,
    write_text_whole,
    write_together,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_file_takes_its_place_when_the_block_ends(tmp_path):
    place = tmp_path / "file"
    place.write_bytes(b"old")
    with whole_file(place) as file:
        file.write(b"new")
        assert place.read_bytes() == b"old"
    assert place.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_after_an_error_nothing_has_changed(tmp_path):
    place = tmp_path / "file"
    place.write_bytes(b"old")

    def fail() -> None:
        with whole_file(place) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert place.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_copy_whole_replaces_at_once_or_not_at_all(tmp_path):
    source = tmp_path / "source"
    source.write_text("new")
    target = tmp_path / "target"
    target.write_text("old")
    copy_whole(source, target)
    assert target.read_text() == "new"
    with pytest.raises(CacheError, match="cannot write"):
        copy_whole(source, tmp_path / "missing" / "target")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_text_is_written_as_it_is(tmp_path):
    write_text_whole("é\n", tmp_path / "text")
    assert (tmp_path / "text").read_bytes() == "é\n".encode()
    with pytest.raises(CacheError, match="cannot write"):
        write_text_whole("", tmp_path / "missing" / "text")


def test_a_temporary_name_is_never_given_twice(tmp_path):
    """What a killed process left, here or on another machine, is in nobody's way."""
    place = tmp_path / "file"
    names_given = {temporary_name(place) for _ in range(100)}
    assert len(names_given) == 100
    assert {name.parent for name in names_given} == {tmp_path}


def test_several_files_are_written_together_or_none_is(tmp_path):
    first, last = tmp_path / "first", tmp_path / "last"
    write_together({first: b"1", last: b"2"})
    assert (first.read_bytes(), last.read_bytes()) == (b"1", b"2")
    with pytest.raises(OSError, match="none"):
        write_together({first: b"3", tmp_path / "none" / "x": b"", last: b"4"})
    assert (first.read_bytes(), last.read_bytes()) == (b"1", b"2")
    assert names(tmp_path) == ["first", "last"]
