"""The archives that the unpacker has to accept, and what it leaves on disk."""

from __future__ import annotations

import errno
import hashlib
import stat
import tarfile
from pathlib import Path

import pytest

from hivellm_lite.archive import unpack
from hivellm_lite.errors import PackageError

from ..support.packages import expert_files, member, tar_bytes, write_package
from ..support.refusals import GOOD, zip_bytes


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


class TestDigests:
    def test_every_member_counts_whatever_becomes_of_it(self, tmp_path: Path) -> None:
        """What stays in the archive, what desktops add, and the last of two of one name."""
        files = {
            "manifest.json": b"{}",
            "a.pt": b"pickle",
            "tool": b"\x7fELF",
            "x/.DS_Store": b"litter",
            "x/y.txt": b"",
        }
        expected = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        for number, top in enumerate(("", "./", "top/")):
            given = [(f"{top}x/y.txt", b"first"), *((f"{top}{n}", d) for n, d in files.items())]
            data = tar_bytes((member(name), content) for name, content in given)
            (archive := tmp_path / f"{number}.expert").write_bytes(data)
            report = unpack(archive, tmp_path / f"out{number}")
            assert report.digests == expected
            assert report.repeated == ("x/y.txt",)
            assert set(report.skipped) == {"a.pt", "tool"}
            whole = unpack(archive, tmp_path / f"whole{number}", everything=True)
            assert set(whole.files) == set(files) - {"x/.DS_Store"}
            assert whole.skipped == ()

    def test_one_name_inside_the_folder_and_beside_it(self, tmp_path: Path) -> None:
        names = ["top/manifest.json", "__MACOSX/._a", "top/__MACOSX/._a"]
        archive = write_package(tmp_path / "p.expert", dict.fromkeys(names, b"x"))
        with pytest.raises(PackageError, match="inside the folder 'top' and beside it"):
            unpack(archive, tmp_path / "out")
