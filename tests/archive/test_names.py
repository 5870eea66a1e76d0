"""Attacks by name on the unpacker: paths that leave, collide, or hide what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from hivellm_lite.archive.limits import Refused
from hivellm_lite.archive.names import member_path, never_unpacked

from ..support.packages import member, tar_bytes
from ..support.refusals import GOOD, refused, zip_bytes


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
            ("com\u00b9", "Windows"),
            ("CONIN$", "Windows"),
            ("nul .json", "Windows"),
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


class TestNeverUnpacked:
    def test_never_unpacked_ignores_case(self) -> None:
        assert never_unpacked("A/MODEL.BIN")
        assert not never_unpacked("binary.json")
