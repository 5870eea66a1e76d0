"""Keys as files, and the keys that are trusted."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hivellm_lite.errors import SignatureError
from hivellm_lite.signing import ed25519
from hivellm_lite.signing.keys import (
    make_key_files,
    parse_public_key,
    read_private_key,
    read_public_key,
)
from hivellm_lite.signing.trusted import (
    add_trusted,
    remove_trusted,
    trusted_folder,
    trusted_keys,
)

from ..support.signed_packages import KEY, OTHER_PUBLIC, PUBLIC
from ..support.systems import needs_posix

PRIME = 2**255 - 19
RAW, OTHER_RAW = (bytes.fromhex(key[8:]) for key in (PUBLIC, OTHER_PUBLIC))


class TestFiles:
    @needs_posix("the bits of permissions")
    def test_a_new_key_has_hivellms_form(self, tmp_path: Path) -> None:
        before = os.umask(0)  # nobody else may read it, whatever the umask allows
        try:
            public = make_key_files(tmp_path / "me.pem")
        finally:
            os.umask(before)
        assert {path.name for path in tmp_path.iterdir()} == {"me.pem", "me.pub"}
        private = (tmp_path / "me.pem").read_bytes()
        assert len(private) == 32
        assert stat.S_IMODE((tmp_path / "me.pem").stat().st_mode) == 0o600
        assert (tmp_path / "me.pub").read_text() == f"ed25519:{public.hex()}"
        assert ed25519.public_key_of(read_private_key(tmp_path / "me.pem")) == public
        assert read_public_key(str(tmp_path / "me.pub")) == public

    @pytest.mark.parametrize("there", ["me.pem", "me.pub"])
    def test_nothing_is_overwritten_and_nothing_half_made_stays(
        self, tmp_path: Path, there: str
    ) -> None:
        (tmp_path / there).write_bytes(b"mine")
        with pytest.raises(SignatureError, match=f"{there} is there already"):
            make_key_files(tmp_path / "me.pem")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {there: b"mine"}

    def test_places_where_no_key_can_be(self, tmp_path: Path) -> None:
        with pytest.raises(SignatureError, match="the name of a public key"):
            make_key_files(tmp_path / "me.pub")
        with pytest.raises(SignatureError, match="cannot write"):
            make_key_files(tmp_path / "gone" / "me")

    @needs_posix("the bits of permissions")
    def test_a_key_that_others_may_read_is_told(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        place = tmp_path / "me"
        place.write_bytes(KEY)
        with caplog.at_level(logging.WARNING, "hivellm_lite"):
            place.chmod(0o600)
            assert read_private_key(place) == KEY
            assert caplog.messages == []
            place.chmod(0o640)
            read_private_key(place)
        assert "others on this machine may read the private key" in caplog.text
        assert KEY.hex() not in caplog.text

    @pytest.mark.parametrize("data", [b"", KEY[:31], KEY + b"\n", KEY.hex().encode()])
    def test_what_is_no_private_key_is_refused_and_not_shown(
        self, tmp_path: Path, data: bytes
    ) -> None:
        place = tmp_path / "me"
        place.write_bytes(data)
        place.chmod(0o600)
        with pytest.raises(SignatureError, match="no private key") as caught:
            read_private_key(place)
        assert KEY.hex()[:8] not in str(caught.value)

    def test_public_keys_in_every_form(self, tmp_path: Path) -> None:
        place = tmp_path / "me.pub"
        place.write_bytes(b"\xef\xbb\xbf" + PUBLIC.encode() + b"\r\n")
        for given in (PUBLIC, PUBLIC[8:], PUBLIC[8:].upper(), f" {PUBLIC}\n", str(place)):
            assert read_public_key(given) == RAW
        place.write_bytes(KEY[:20] + b"\xff" * 12)
        for given, what in (
            (str(place), "is it the private key"),
            (str(tmp_path / "gone"), "no key, and no file"),
            ("00" * 32, "small order"),
            ("ed25519:" + "00" * 31, "no key, and no file"),
            (str(tmp_path), "no key, and no file"),
        ):
            with pytest.raises(SignatureError, match=what):
                read_public_key(given)


def test_keys_of_small_order_are_refused_although_cryptography_takes_them() -> None:
    ys = [*ed25519._SMALL_ORDER, PRIME, PRIME + 1]
    keys = [(y | sign << 255).to_bytes(32, "little") for y in ys for sign in (0, 1)]
    assert len(keys) == 14
    taken = 0
    for key in keys:
        with pytest.raises(ValueError, match=r"small order|too large"):
            parse_public_key(key.hex())
        for point in keys:
            signature = point + bytes(32)
            assert not ed25519.fits(key, signature, b"a message")
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(signature, b"a message")
                taken += 1
            except Exception:
                continue
    assert taken, "cryptography refuses them itself: this check can go"


class TestTrust:
    def test_keys_come_and_go_by_name_and_by_value(self) -> None:
        assert trusted_keys().names == {}
        assert add_trusted(RAW, "Ann @ home") == ("Ann @ home", True)
        assert add_trusted(RAW, "Ann @ home") == ("Ann @ home", False)
        assert add_trusted(OTHER_RAW, None) == (OTHER_RAW.hex()[:16], True)
        assert add_trusted(RAW, "zoe")[1]
        assert trusted_keys().names == {PUBLIC: "Ann @ home", OTHER_PUBLIC: OTHER_RAW.hex()[:16]}
        with pytest.raises(SignatureError, match="another key is trusted as 'zoe'"):
            add_trusted(OTHER_RAW, "zoe")
        assert set(remove_trusted(PUBLIC)) == {"Ann @ home", "zoe"}
        assert remove_trusted(OTHER_RAW.hex()[:16]) == (OTHER_RAW.hex()[:16],)
        assert list(trusted_folder().iterdir()) == []
        with pytest.raises(SignatureError, match="no trusted key"):
            remove_trusted("Ann @ home")

    def test_a_key_that_is_removed_by_one_name_is_trusted_under_no_other(self) -> None:
        for key, name in ((RAW, "ann"), (RAW, "zoe"), (OTHER_RAW, "bob")):
            add_trusted(key, name)
        assert remove_trusted("zoe") == ("ann", "zoe")
        assert trusted_keys().names == {OTHER_PUBLIC: "bob"}

    @pytest.mark.parametrize(
        "name", ["", ".", "..", "../x", "a/b", "a\\b", "a\nb", "con", "-x", ".x", "x" * 101, "a:b"]
    )
    def test_names_that_are_no_file_names_are_refused(self, name: str) -> None:
        with pytest.raises(SignatureError):
            add_trusted(RAW, name)
        assert not trusted_folder().exists()

    @needs_posix("named pipes")
    def test_a_damaged_file_is_reported_and_trusts_nothing(self, tmp_path: Path) -> None:
        add_trusted(RAW, "me")
        folder = trusted_folder()
        (folder / "empty.pub").write_bytes(b"")
        (folder / "bytes.pub").write_bytes(bytes(range(128, 160)))
        (folder / "two.pub").write_text(f"{OTHER_PUBLIC}\n{OTHER_PUBLIC}\n")
        (folder / "zeros.pub").write_text("00" * 32)
        (folder / "folder.pub").mkdir()
        (folder / "gone.pub").symlink_to(tmp_path / "gone")
        os.mkfifo(folder / "pipe.pub")
        (folder / "readme.txt").write_text("no key")
        (folder / ".half.pub").write_text("ed25519:")
        found = trusted_keys()
        assert found.names == {PUBLIC: "me"}
        assert [Path(line.partition(":")[0]).name for line in found.problems] == [
            *("bytes.pub", "empty.pub", "folder.pub", "gone.pub", "pipe.pub", "two.pub"),
            "zeros.pub",
        ]
        assert all(line.endswith("it trusts nothing") for line in found.problems)
        assert remove_trusted("zeros") == ("zeros",)

    def test_a_folder_that_cannot_be_read_trusts_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trusted_folder().parent.mkdir(exist_ok=True)
        trusted_folder().write_text("a file")
        found = trusted_keys()
        assert found.names == {}
        assert "cannot use the folder of trusted keys" in found.problems[0]
