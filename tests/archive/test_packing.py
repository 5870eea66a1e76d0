"""The archive writer: the same bytes everywhere, readable by everybody, within all limits."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from hivellm_lite.archive.packing import pack
from hivellm_lite.archive.unpack import unpack
from hivellm_lite.errors import PackageError

LONG = "folder/" * 12 + "a-file-with-a-name-that-takes-some-room.json"
LONGER = "x" * 120 + ".json"
FILES: dict[str, Path | bytes] = {
    "b.txt": b"",
    "manifest.json": b"{}",
    "B.md": b"x" * 70_000,
    "docs/é.md": b"accent",
    LONG: b"in two fields",
    LONGER: b"in an extended header",
}
DIGEST = "f1d6c45ccb0dd20ae221445967d9eb1a133172484455d84bc4b34ddabfc4698f"
"""Of `FILES`, on every machine: if it changes, packages made before get other digests."""


def test_one_digest_on_every_machine(tmp_path: Path) -> None:
    place = tmp_path / "x.expert"
    digest = pack(FILES, place)
    assert digest == DIGEST
    assert hashlib.sha256(place.read_bytes()).hexdigest() == digest
    (tmp_path / "readme").write_bytes(b"x" * 70_000)
    others = {name: FILES[name] for name in reversed(FILES)} | {"B.md": tmp_path / "readme"}
    assert pack(others, tmp_path / "y.expert") == digest, "order and source do not count"


@pytest.mark.parametrize("compress", [False, True])
def test_every_reader_reads_it(tmp_path: Path, compress: bool) -> None:
    place = tmp_path / "x.expert"
    pack(FILES, place, compress=compress)
    names = ["manifest.json", "B.md", "b.txt", "docs/é.md", LONG, LONGER]
    with tarfile.open(place) as tar:
        assert tar.getnames() == names
        for info in tar:
            file = tar.extractfile(info)
            assert file is not None
            assert file.read() == FILES[info.name]
            assert (info.mode, info.uid, info.gid, info.mtime) == (0o644, 0, 0, 0)
            assert (info.uname, info.gname) == ("", "")
    assert len(gzip.decompress(place.read_bytes())) % 512 == 0
    listed = subprocess.run(
        ["tar", "tzf", place],
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert [line for line in listed.stdout.decode().splitlines() if line.isascii()] == [
        name for name in names if name.isascii()
    ]
    assert listed.stderr == b""
    report = unpack(place, tmp_path / "unpacked")
    assert list(report.files) == names
    assert (tmp_path / "unpacked" / LONGER).read_bytes() == FILES[LONGER]


def test_a_large_file_is_streamed(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(3 * (1 << 20) + 17)
    digest = pack({"manifest.json": b"{}", "a.safetensors": large}, tmp_path / "x.expert")
    whole = {"manifest.json": b"{}", "a.safetensors": large.read_bytes()}
    assert pack(whole, tmp_path / "y.expert") == digest


def test_what_cannot_be_packed_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "out" / "x.expert"
    place.parent.mkdir()
    place.write_bytes(b"what was there before")
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(1 << 30)
    growing = Path("/proc/self/status")  # its size is said to be 0
    refused: list[tuple[dict[str, Path | bytes], str]] = [
        ({}, "no manifest.json"),
        ({"../x": b""}, "leaves the package"),
        ({"a\nb": b""}, "control character"),
        ({"a": b"", "./a": b""}, "two names"),
        ({"a": b"", "A": b""}, "differ only in case"),
        ({"a": b"", "a/b": b""}, "a file and a folder"),
        ({str(n): b"" for n in range(4096)}, "4097 files"),
        ({"a": tmp_path / "missing"}, "No such file"),
        ({"a": tmp_path}, "no regular file"),
        ({"a.safetensors": sparse}, "largest file is a.safetensors with 1074 MB"),
    ]
    if growing.exists():
        refused.append(({"a": growing}, "changed while"))
    for files, reason in refused:
        manifest = {} if "no manifest.json" in reason else {"manifest.json": b"{}"}
        with pytest.raises(PackageError, match=reason):
            pack(manifest | files, place)
    with pytest.raises(PackageError, match="cannot write"):
        pack({"manifest.json": b"{}"}, tmp_path / "missing" / "x.expert")
    assert place.read_bytes() == b"what was there before"
    assert list(place.parent.iterdir()) == [place]
