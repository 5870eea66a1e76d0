"""Attacks by kind and damage: links, devices, sparse files, and bytes that lie."""

from __future__ import annotations

import gzip
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from hivellm_lite.archive import unpack
from hivellm_lite.errors import PackageError

from ..support.packages import member, tar_bytes
from ..support.refusals import GOOD, SMALL, refused, zip_bytes


class TestKinds:
    @pytest.mark.parametrize(
        ("kind", "word"),
        [
            (tarfile.SYMTYPE, "symbolic link"),
            (tarfile.LNKTYPE, "hard link"),
            (tarfile.FIFOTYPE, "pipe"),
            (tarfile.CHRTYPE, "device"),
            (tarfile.BLKTYPE, "device"),
            (b"V", "unknown kind"),
        ],
    )
    def test_what_is_no_regular_file_is_refused_by_name(
        self, archive: Path, kind: bytes, word: str
    ) -> None:
        odd = member("odd", type=kind, linkname="/etc/passwd")
        message = refused(archive, tar_bytes([GOOD, (odd, b"")]))
        assert word in message
        assert "'odd'" in message

    def test_a_file_cannot_be_written_through_a_link(self, archive: Path) -> None:
        """First a link out of the folder, then a file "inside" it."""
        link = member("door", type=tarfile.SYMTYPE, linkname=str(archive.parent))
        message = refused(archive, tar_bytes([(link, b""), (member("door/escaped"), b"x")]))
        assert "symbolic link" in message

    def test_a_link_in_a_zip_is_refused(self, archive: Path) -> None:
        link = zipfile.ZipInfo("door")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        assert "link or device" in refused(archive, zip_bytes((link, b"/etc/passwd")))

    def test_an_old_gnu_sparse_file_is_refused(self, archive: Path) -> None:
        """A few bytes that stand for gigabytes of zeros."""
        sparse = member("sparse", type=tarfile.GNUTYPE_SPARSE)
        assert "sparse" in refused(archive, tar_bytes([(sparse, b"x" * 512)]))

    @pytest.mark.parametrize(
        "headers",
        [
            {"GNU.sparse.map": "0,1"},
            {"GNU.sparse.size": "99999999999"},
            # No map, so tarfile sees a plain file whose size is a lie.
            {"GNU.sparse.realsize": "99999999999"},
        ],
    )
    def test_a_pax_sparse_file_is_refused(self, archive: Path, headers: dict[str, str]) -> None:
        entry = member("sparse", pax_headers=headers)
        assert "sparse" in refused(archive, tar_bytes([(entry, b"x")], pax=True))


class TestDamage:
    @pytest.mark.parametrize("kept", [2, 9, 100, 200, -1, -8])
    def test_a_truncated_gzip_says_download_again(self, archive: Path, kept: int) -> None:
        noise = bytes(i * i % 251 for i in range(2000))
        message = refused(archive, tar_bytes([GOOD, (member("a"), noise)])[:kept])
        assert "damaged or incomplete" in message
        assert "Download it again" in message

    def test_a_flipped_bit_in_a_gzip_is_noticed(self, archive: Path) -> None:
        data = bytearray(tar_bytes([GOOD]))
        data[-6] ^= 1
        assert "damaged" in refused(archive, bytes(data))

    def test_a_gzip_of_several_members_with_padding_is_read(self, archive: Path) -> None:
        """As bgzip writes it, and as tapes are padded."""
        tar = tar_bytes([GOOD, (member("a"), b"text")], mode="w")
        parts = [gzip.compress(tar[i : i + 700]) for i in range(0, len(tar), 700)]
        archive.write_bytes(b"".join(parts) + bytes(100_000))
        assert unpack(archive, archive.parent / "out").files == {"manifest.json": 2, "a": 4}

    def test_what_follows_a_gzip_and_is_none_is_damage(self, archive: Path) -> None:
        assert "damaged" in refused(archive, tar_bytes([GOOD]) + b"\0\0more")

    def test_a_tar_without_its_end_is_incomplete(self, archive: Path) -> None:
        """Cut exactly between two members; tarfile would say nothing."""
        assert "no end mark" in refused(archive, tar_bytes([GOOD, GOOD], mode="w")[:1024])

    def test_a_damaged_header_is_not_taken_for_the_end(self, archive: Path) -> None:
        data = bytearray(tar_bytes([GOOD, (member("second"), b"x")], mode="w"))
        data[1024] ^= 0xFF
        assert "header is damaged" in refused(archive, bytes(data))

    def test_data_behind_the_end_are_refused(self, archive: Path) -> None:
        """Two tars in one: which of them a program sees depends on the program."""
        data = tar_bytes([GOOD], mode="w")
        assert "data follow the end" in refused(archive, data + data)

    @pytest.mark.parametrize("kept", [10, 60, -1, -10, -30])
    def test_a_truncated_zip_says_download_again(self, archive: Path, kept: int) -> None:
        data = zip_bytes(("manifest.json", b"{}" * 50), ("b", b"text"))
        assert "Download it again" in refused(archive, data[:kept])

    def test_a_zip_with_a_wrong_checksum_is_damaged(self, archive: Path) -> None:
        data = zip_bytes(("a", b"some text"), method=0).replace(b"some text", b"same text")
        assert "CRC" in refused(archive, data)

    def test_a_zip_that_points_outside_itself_is_damaged(self, archive: Path) -> None:
        data = bytearray(zip_bytes(("a", b"x")))
        data[-10:-6] = struct.pack("<I", len(data) * 2)
        assert "damaged" in refused(archive, bytes(data))

    def test_an_encrypted_zip_is_refused(self, archive: Path) -> None:
        data = bytearray(zip_bytes(("a", b"x")))
        data[data.index(b"PK\x01\x02") + 8] |= 1
        assert "encrypted" in refused(archive, bytes(data))

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_a_zip_with_unbounded_decompressors_is_refused(
        self, archive: Path, method: int
    ) -> None:
        assert "other than deflate" in refused(archive, zip_bytes(("a", b"x"), method=method))

    @pytest.mark.parametrize(
        ("data", "found"),
        [
            (b"", "empty file"),
            (b"\n<!DOCTYPE html><html>", "web page"),
            (b"<HTML>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
            (b' {"error": "not found"}', "JSON"),
            (b"GGUF\x03\0\0\0", "GGUF"),
            (b"\x40\0\0\0\0\0\0\0{}", "safetensors"),
            (b"\xfd7zXZ\0", "another kind"),
            (b"\x28\xb5\x2f\xfd\0", "another kind"),
            (b"random bytes", "something else"),
        ],
    )
    def test_what_is_no_archive_is_named(self, archive: Path, data: bytes, found: str) -> None:
        assert f"not a package archive but {found}" in refused(archive, data).replace(
            "but an ", "but "
        ).replace("but a ", "but ").replace("archive of another", "another")

    def test_every_cut_and_every_flip_is_an_error_or_harmless(self, tmp_path: Path) -> None:
        """A small fuzz over both formats: only PackageError may come out."""
        source = tmp_path / "fuzzed.expert"
        entries = [GOOD, (member("x" * 120, pax_headers={"comment": "c"}), b"text" * 9)]
        plain = tar_bytes(entries, mode="w", pax=True)[:4096]
        for number, base in enumerate((plain, zip_bytes(("manifest.json", b"{}"), ("b", b"t")))):
            for position in range(0, len(base), 7):
                changed = bytearray(base)
                changed[position] ^= 0x15 + number
                source.write_bytes(changed)
                out = tmp_path / f"{number}-{position}"
                try:
                    unpack(source, out, limits=SMALL)
                except PackageError:
                    assert not out.exists()
