"""A gallery of attacks on the unpacker, and the archives that it has to accept."""

from __future__ import annotations

import errno
import gzip
import io
import stat
import struct
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from hivellm_lite.archive import Limits, Refused, member_path, never_unpacked, unpack
from hivellm_lite.errors import PackageError

from .packages import expert_files, member, tar_bytes, write_package

SMALL = Limits(total_bytes=200_000, members=10, ratio=50, ratio_free_bytes=20_000)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "evil.expert"


def refused(archive: Path, data: bytes, limits: Limits = SMALL) -> str:
    """Unpack ``data``; assert that this fails and leaves no trace. Returns the message."""
    archive.write_bytes(data)
    destination = archive.parent / "nested" / "out"
    with pytest.raises(PackageError) as caught:
        unpack(archive, destination, limits=limits)
    assert not destination.exists()
    assert {path.name for path in archive.parent.iterdir()} == {archive.name, "nested"}
    message = str(caught.value)
    assert message.startswith("evil.expert: ")
    assert len(message.splitlines()) >= 2
    return message


def zip_bytes(*entries: tuple[zipfile.ZipInfo | str, bytes], method: int = 8) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data, compress_type=method)
    return buffer.getvalue()


GOOD = (member("manifest.json"), b"{}")


class TestNames:
    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("../escaped", "leaves the package"),
            ("a/../../escaped", "leaves the package"),
            ("./../escaped", "leaves the package"),
            ("/tmp/escaped", "absolute"),
            ("C:/escaped", "absolute"),
            ("c:escaped", "absolute"),
            ("..\\escaped", "backslash"),
            ("\\\\server\\share", "backslash"),
            ("a//b", "empty name"),
            ("a/./b", "empty name"),
            ("line\nbreak", "control character"),
            ("\x1b[2Jclears the screen", "control character"),
            ("txt.\u202enosj.exe", "control character"),
            ("not-utf8-\udcff", "undecodable"),
            ("aux", "Windows"),
            ("folder/NUL.json", "Windows"),
            ("COM1.txt", "Windows"),
            ("dot./x", "Windows"),
            ("blank ", "Windows"),
            ("stream:hidden", "Windows"),
            ("what?", "Windows"),
            ("/".join("d" * 17), "folders deep"),
            ("n" * 241, "240 bytes"),
            ("é" * 121, "240 bytes"),
        ],
    )
    def test_a_name_that_is_unsafe_somewhere_is_refused(
        self, archive: Path, name: str, reason: str
    ) -> None:
        message = refused(archive, tar_bytes([GOOD, (member(name), b"x")]))
        assert reason in message
        assert message.isprintable() or message.replace("\n", "").isprintable()

    def test_a_zip_is_held_to_the_same_names(self, archive: Path) -> None:
        assert "leaves the package" in refused(archive, zip_bytes(("../escaped", b"x")))

    def test_a_zip_name_cannot_hide_its_end_behind_a_nul(self, archive: Path) -> None:
        """Python's zipfile reports "ok.json" for "ok.json\\0.exe"; others see the whole."""
        data = zip_bytes(("ok.jsonX.exe", b"x")).replace(b"ok.jsonX", b"ok.json\0")
        assert "control character" in refused(archive, data)

    def test_the_empty_name_is_refused(self) -> None:
        with pytest.raises(Refused, match="empty name"):
            member_path("")

    def test_names_that_differ_in_case_would_overwrite_each_other(self, archive: Path) -> None:
        """On macOS and Windows the second file replaces the first, checked one."""
        entries = [(member("README.md"), b"a"), (member("Readme.md"), b"b")]
        assert "differ only in case" in refused(archive, tar_bytes(entries))

    def test_names_that_differ_in_unicode_form_would_overwrite_each_other(
        self, archive: Path
    ) -> None:
        entries = [(member("\u00e9.json"), b"a"), (member("e\u0301.json"), b"b")]
        assert "differ only in case" in refused(archive, tar_bytes(entries))

    def test_folders_that_differ_in_case_are_refused(self, archive: Path) -> None:
        entries = [(member("A/x"), b"a"), (member("a/y"), b"b")]
        assert "differ only in case" in refused(archive, tar_bytes(entries))

    @pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("x.bin", "x.bin/y")])
    def test_a_file_cannot_be_a_folder_too(self, archive: Path, names: tuple[str, str]) -> None:
        entries = [(member(name), b"x") for name in names]
        assert "a file and a folder" in refused(archive, tar_bytes(entries))


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
        assert "negative size" in refused(archive, tar_bytes([(entry, b"x")], pax=True))

    def test_a_negative_header_size_cannot_read_backwards(self, archive: Path) -> None:
        """A long-name header of -512 bytes would make tarfile read all there is."""
        header = bytearray(member("././@LongLink", type=b"L").tobuf(tarfile.GNU_FORMAT))
        header[124:136] = b"\xff" * 10 + struct.pack(">h", -512)
        assert "header of" in refused(archive, gzip.compress(_with_checksum(header)))

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
        assert "damaged" in refused(archive, data, Limits())

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


class TestAccepted:
    @pytest.mark.parametrize("suffix", [".expert", ".zip"])
    def test_both_formats_give_the_same_files(self, tmp_path: Path, suffix: str) -> None:
        files = expert_files(adapter="weights/adapter/")
        report = unpack(write_package(tmp_path / f"p{suffix}", files), tmp_path / "out")
        assert report.files == {name: len(data) for name, data in files.items()}
        assert report.skipped == ()
        for name, data in files.items():
            assert (tmp_path / "out" / name).read_bytes() == data

    def test_an_uncompressed_tar_is_accepted(self, archive: Path) -> None:
        archive.write_bytes(tar_bytes([GOOD], mode="w"))
        assert unpack(archive, archive.parent / "out").files == {"manifest.json": 2}

    def test_of_the_same_name_twice_the_last_wins(self, archive: Path) -> None:
        archive.write_bytes(
            tar_bytes([(member("README.md"), b"first"), (member("README.md"), b"2")])
        )
        report = unpack(archive, archive.parent / "out")
        assert report.files == {"README.md": 1}
        assert (archive.parent / "out" / "README.md").read_bytes() == b"2"

    def test_a_program_that_replaces_a_file_takes_its_name_away(self, archive: Path) -> None:
        archive.write_bytes(tar_bytes([(member("a.md"), b"text"), (member("a.md"), b"\x7fELF..")]))
        report = unpack(archive, archive.parent / "out")
        assert (report.files, report.skipped) == ({}, ("a.md",))
        assert not (archive.parent / "out" / "a.md").exists()

    def test_dot_slash_and_folders_are_passed_over(self, archive: Path) -> None:
        entries = [
            (member("./", type=tarfile.DIRTYPE), b""),
            (member("./weights", type=tarfile.DIRTYPE), b""),
            (member("./manifest.json"), b"{}"),
        ]
        archive.write_bytes(tar_bytes(entries))
        assert unpack(archive, archive.parent / "out").files == {"manifest.json": 2}

    def test_folders_in_a_zip_are_passed_over(self, archive: Path) -> None:
        archive.write_bytes(zip_bytes(("weights/", b""), ("manifest.json", b"{}")))
        assert unpack(archive, archive.parent / "out").files == {"manifest.json": 2}

    def test_a_folder_around_everything_is_removed(self, archive: Path) -> None:
        """Its content may have the folder's own name, or that of the detour."""
        names = ["x/manifest.json", "x/x/a.txt", "x/0/b.txt", "x/c.bin"]
        archive.write_bytes(tar_bytes((member(name), b"1") for name in names))
        report = unpack(archive, archive.parent / "out")
        assert set(report.files) == {"manifest.json", "x/a.txt", "0/b.txt"}
        assert report.skipped == ("c.bin",)
        assert sorted(path.name for path in (archive.parent / "out").iterdir()) == [
            *("0", "manifest.json", "x"),
        ]

    def test_a_folder_without_a_manifest_stays(self, archive: Path) -> None:
        archive.write_bytes(tar_bytes([(member("x/other.json"), b"{}")]))
        assert set(unpack(archive, archive.parent / "out").files) == {"x/other.json"}

    def test_desktop_litter_is_ignored(self, archive: Path) -> None:
        names = ["__MACOSX/x/._m", "x/manifest.json", "x/._manifest.json", "x/.DS_Store"]
        archive.write_bytes(tar_bytes((member(name), b"1") for name in names))
        assert unpack(archive, archive.parent / "out").files == {"manifest.json": 1}

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("training_args.bin", b"PK"),
            ("soft/prompt.PT", b"x"),
            ("run.sh", b"#!"),
            ("model.gguf", b"GGUF"),
            ("innocent.txt", b"MZ\x90"),
            ("innocent.md", b"\x7fELF\x02"),
            ("innocent", b"\xcf\xfa\xed\xfe"),
            ("innocent.dat", b"GGUF\x03"),
        ],
    )
    @pytest.mark.parametrize("suffix", [".expert", ".zip"])
    def test_pickles_and_programs_stay_in_the_archive(
        self, tmp_path: Path, suffix: str, name: str, data: bytes
    ) -> None:
        source = write_package(tmp_path / f"p{suffix}", {"manifest.json": b"{}", name: data})
        report = unpack(source, tmp_path / "out")
        assert report.skipped == (name,)
        assert not (tmp_path / "out" / name).exists()

    def test_weights_whose_length_spells_mz_are_no_program(self, tmp_path: Path) -> None:
        source = write_package(tmp_path / "p.expert", {"a.safetensors": b"MZ\0\0\0\0\0\0{}"})
        assert unpack(source, tmp_path / "out").skipped == ()

    def test_never_unpacked_ignores_case(self) -> None:
        assert never_unpacked("A/MODEL.BIN")
        assert not never_unpacked("binary.json")

    def test_files_are_not_executable(self, archive: Path) -> None:
        archive.write_bytes(tar_bytes([(member("a.txt", mode=0o6777), b"x")]))
        unpack(archive, archive.parent / "out")
        assert stat.S_IMODE((archive.parent / "out" / "a.txt").stat().st_mode) == 0o644

    def test_zeros_below_the_free_amount_are_no_bomb(self, archive: Path) -> None:
        """An adapter that was never trained is all zeros."""
        archive.write_bytes(tar_bytes([(member("a.safetensors"), bytes(5_000_000))]))
        assert unpack(archive, archive.parent / "out").files == {"a.safetensors": 5_000_000}


class TestDestination:
    def test_a_folder_that_was_there_is_emptied_but_kept(self, archive: Path) -> None:
        archive.write_bytes(tar_bytes([GOOD, (member("../x"), b"")]))
        out = archive.parent / "out"
        out.mkdir()
        with pytest.raises(PackageError):
            unpack(archive, out)
        assert list(out.iterdir()) == []

    def test_a_folder_with_files_is_not_touched(self, archive: Path) -> None:
        archive.write_bytes(tar_bytes([GOOD]))
        (archive.parent / "out").mkdir()
        (archive.parent / "out" / "mine").touch()
        with pytest.raises(FileExistsError):
            unpack(archive, archive.parent / "out")
        assert (archive.parent / "out" / "mine").exists()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_disk_is_an_os_error(
        self, archive: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Files are opened on /dev/full, which has no space left."""
        archive.write_bytes(tar_bytes([(member("a.txt"), b"x" * 20_000)]))
        real_open = Path.open

        def open_full(self: Path, mode: str = "r") -> object:
            return real_open(Path("/dev/full") if mode == "xb" else self, mode.replace("x", "w"))

        monkeypatch.setattr(Path, "open", open_full)
        with pytest.raises(OSError, match="No space") as caught:
            unpack(archive, archive.parent / "out")
        assert caught.value.errno == errno.ENOSPC
        assert not (archive.parent / "out").exists()
