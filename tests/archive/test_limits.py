"""Attacks by size on the unpacker: bombs, endless headers, and counts that lie."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import time
from pathlib import Path

import pytest

from hivellm_lite.archive import Limits, unpack

from ..support.packages import member, tar_bytes
from ..support.refusals import GOOD, refused, zip_bytes

WHO_SAYS_IT = "Python's own check of sizes, which came in 2025, has other words"


class TestSizes:
    def test_a_gzip_bomb_stops_at_the_ratio(self, archive: Path) -> None:
        data = tar_bytes([(member("zeros"), bytes(150_000))])
        assert "decompression bomb" in refused(archive, data)

    def test_a_zip_bomb_stops_at_the_ratio(self, archive: Path) -> None:
        assert "decompression bomb" in refused(archive, zip_bytes(("zeros", bytes(150_000))))

    def test_a_bomb_behind_the_end_of_the_tar_stops_at_the_ratio(self, archive: Path) -> None:
        """Zeros after the end mark are legal padding; gigabytes of them are not."""
        data = gzip.compress(tar_bytes([GOOD], mode="w") + bytes(150_000))
        assert "decompression bomb" in refused(archive, data)

    def test_a_bomb_in_a_member_that_is_skipped_counts_too(self, archive: Path) -> None:
        data = tar_bytes([(member("zeros.bin"), bytes(150_000)), GOOD])
        assert "decompression bomb" in refused(archive, data)

    @pytest.mark.parametrize("kind", ["tar", "gzip", "zip"])
    def test_more_than_the_total_is_refused_however_it_is_packed(
        self, archive: Path, kind: str
    ) -> None:
        noise = bytes(i * i % 251 for i in range(120_000))
        entries = [(member("a"), noise), (member("b"), noise)]
        data = {
            "tar": lambda: tar_bytes(entries, mode="w"),
            "gzip": lambda: tar_bytes(entries),
            "zip": lambda: zip_bytes(("a", noise), ("b", noise), method=0),
        }[kind]()
        assert "more than 0 MB" in refused(archive, data, Limits(total_bytes=200_000))

    @pytest.mark.parametrize("kind", ["gzip", "zip"])
    def test_too_many_members_are_refused(self, archive: Path, kind: str) -> None:
        names = [f"{i}.txt" for i in range(11)]
        data = (
            tar_bytes((member(name), b"") for name in names)
            if kind == "gzip"
            else zip_bytes(*((name, b"") for name in names))
        )
        assert "more than 10 members" in refused(archive, data)

    def test_folders_count_as_members(self, archive: Path) -> None:
        folders = [(member(str(i), type=tarfile.DIRTYPE), b"") for i in range(11)]
        assert "more than 10 members" in refused(archive, tar_bytes(folders))

    def test_a_pax_size_beyond_the_data_is_an_early_end(self, archive: Path) -> None:
        """The pax record overrides the size in the header, so one reader sees
        another file than the next."""
        entry = member("a", pax_headers={"size": "100000"})
        assert "within a file" in refused(archive, tar_bytes([(entry, b"x")], pax=True))

    def test_a_pax_size_that_hides_a_member_is_noticed(self, archive: Path) -> None:
        """A smaller size makes file content look like headers."""
        entry = member("a", pax_headers={"size": "0"})
        assert "damaged" in refused(archive, tar_bytes([(entry, b"x" * 600)], pax=True))

    def test_a_negative_size_is_refused(self, archive: Path) -> None:
        entry = member("a", pax_headers={"size": "-512"})
        message = refused(archive, tar_bytes([(entry, b"x")], pax=True))
        assert "negative size" in message or "a header is damaged" in message, WHO_SAYS_IT

    def test_a_negative_size_is_refused_in_the_middle_too(self, archive: Path) -> None:
        entries = [(member("a"), b"x"), (member("b", pax_headers={"size": "-512"}), b"x")]
        message = refused(archive, tar_bytes([*entries, GOOD], pax=True))
        assert "negative size" in message or "a header is damaged" in message, WHO_SAYS_IT

    def test_a_negative_header_size_cannot_read_backwards(self, archive: Path) -> None:
        """A long-name header of -512 bytes would make tarfile read all there is."""
        header = bytearray(member("././@LongLink", type=b"L").tobuf(tarfile.GNU_FORMAT))
        header[124:136] = b"\xff" * 10 + struct.pack(">h", -512)
        message = refused(archive, gzip.compress(_with_checksum(header)))
        assert "header of" in message or "invalid offset" in message, WHO_SAYS_IT

    def test_a_huge_pax_header_is_not_read_into_memory(self, archive: Path) -> None:
        entry = member("a", pax_headers={"comment": "x" * 40_000})
        assert "header of" in refused(archive, tar_bytes([(entry, b"x")], pax=True))

    def test_a_pax_header_made_for_slow_patterns_ends_in_time(self, archive: Path) -> None:
        """tarfile searches digits with a pattern that takes quadratic time."""
        entry = member("a", pax_headers={"comment": "1" * 15_000})
        started = time.monotonic()
        archive.write_bytes(tar_bytes([(entry, b"x")], pax=True))
        unpack(archive, archive.parent / "out")
        assert time.monotonic() - started < 10

    def test_a_long_chain_of_headers_does_not_exhaust_the_stack(self, archive: Path) -> None:
        """Each long-name header makes tarfile call itself."""
        header = member("x", type=b"L", size=0).tobuf(tarfile.GNU_FORMAT)
        data = gzip.compress(header * 3000)
        assert "header of over" in refused(archive, data, Limits())

    def test_a_map_of_a_sparse_file_is_not_read_into_memory(self, archive: Path) -> None:
        """Each block of 512 bytes becomes 21 pairs of numbers before anybody can refuse it."""
        head = bytearray(member("sparse", type=b"S").tobuf(tarfile.GNU_FORMAT))
        entry = b"00000000001\0" * 2
        head[386:482] = entry * 4
        head[482] = 1
        data = gzip.compress(_with_checksum(head) + (entry * 21 + b"\1" + bytes(7)) * 10_000)
        assert "sparse file" in refused(archive, data, Limits())

    def test_global_records_are_not_collected_without_limit(self, archive: Path) -> None:
        """tarfile copies them for every member."""
        entries = [(member(f"{i}.txt"), b"") for i in range(3)]
        records = {f"key{i}": "" for i in range(500)}
        packed = io.BytesIO()
        with tarfile.open(
            fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=records
        ) as tar:
            for info, _ in entries:
                tar.addfile(info)
        assert "global pax records" in refused(archive, packed.getvalue())

    def test_a_global_record_as_git_writes_one_is_read(self, archive: Path) -> None:
        packed = io.BytesIO()
        with tarfile.open(
            fileobj=packed,
            mode="w:gz",
            format=tarfile.PAX_FORMAT,
            pax_headers={"comment": "c" * 40},
        ) as tar:
            tar.addfile(member("manifest.json", size=2), io.BytesIO(b"{}"))
        archive.write_bytes(packed.getvalue())
        assert unpack(archive, archive.parent / "out").files == {"manifest.json": 2}

    def test_a_gzip_of_a_million_empty_members_is_refused(self, archive: Path) -> None:
        data = gzip.compress(tar_bytes([GOOD], mode="w")) + gzip.compress(b"") * 1_000_000
        assert "gzip members" in refused(archive, data, Limits())

    def test_a_name_of_50_mb_in_a_gzip_header_is_passed_over(self, archive: Path) -> None:
        plain = gzip.compress(tar_bytes([GOOD], mode="w"))
        data = plain[:3] + b"\x08" + plain[4:10] + b"n" * 50_000_000 + b"\0" + plain[10:]
        archive.write_bytes(data)
        assert unpack(archive, archive.parent / "out").files == {"manifest.json": 2}

    def test_a_table_of_contents_of_a_zip_is_not_read_without_limit(self, archive: Path) -> None:
        """The end record says that the table has 3 MB."""
        data = bytearray(zip_bytes(("a", b"x")))
        table = bytes(3 << 20)
        end = data[-22:]
        end[12:20] = struct.pack("<II", len(table), len(data) - 22)
        message = refused(archive, bytes(data[:-22] + table + end), Limits())
        assert "table of contents" in message

    def test_a_zip_entry_that_is_longer_than_it_says_is_damaged(self, archive: Path) -> None:
        data = zip_bytes(("a", b"x" * 100))
        lie = data.replace(struct.pack("<I", 100), struct.pack("<I", 10))
        assert "damaged" in refused(archive, lie)


def _with_checksum(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)
