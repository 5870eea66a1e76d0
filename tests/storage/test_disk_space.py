"""The room that a disk has."""

from __future__ import annotations

import errno
import shutil

import pytest

from hivellm_lite.errors import LoadError
from hivellm_lite.storage.disk_space import free_bytes, is_disk_full, require_space


@pytest.fixture(autouse=True)
def _ten_megabytes_are_free(monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def test_a_folder_that_does_not_exist_yet_has_the_room_of_its_disk(tmp_path):
    assert free_bytes(tmp_path / "a" / "b") == 10_000_000


def test_what_does_not_fit_is_refused_with_its_size_and_advice(tmp_path):
    require_space(tmp_path, 10_000_000, "the download", "Make room.")
    with pytest.raises(LoadError) as caught:
        require_space(tmp_path, 12_000_000, "the download", "Make room.")
    found = f"the download needs 12 MB in {tmp_path}; 10 MB are free"
    assert str(caught.value) == f"{found}\nMake room."


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_known_by_the_errors_number(number):
    assert is_disk_full(OSError(number, "no room"))


def test_a_full_disk_is_known_by_numpys_words():
    assert is_disk_full(OSError("1000 requested and 12 written"))
    assert not is_disk_full(OSError("something else"))
    assert not is_disk_full(OSError(errno.EACCES, "no right"))
