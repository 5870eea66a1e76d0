"""Lock files: written so that they read back, and read with suspicion."""

from __future__ import annotations

import re

import pytest

from hivellm_lite.errors import LoadError
from hivellm_lite.installation.lock_file import LockedExpert, parse_lock, write_lock

FILES = "0123456789abcdef" * 4
SQL = LockedExpert("expert-sql", "0.3.0", "owner/sql@" + "a" * 40, FILES, sha256=FILES)
ODD = LockedExpert('a"b\\c', "1", "./sp ace/é.expert", FILES, base="o/r@1", key="ed25519:" + FILES)

ENTRY = f'[[expert]]\nname = "a"\nversion = "1"\nsource = "x"\nfiles = "{FILES}"\n'


def test_what_is_written_reads_back_and_does_not_depend_on_the_order():
    text = write_lock([SQL, ODD])
    assert text == write_lock([ODD, SQL])
    assert parse_lock(text.encode(), source="x.toml") == (ODD, SQL)
    assert parse_lock(write_lock([]).encode(), source="x.toml") == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version = 1\n[[expert]\n", "not TOML"),
        ("\xff", "not TOML"),
        (ENTRY, "found version null, expected 1"),
        ("version = 2\n" + ENTRY, "A newer hivellm-lite"),
        ("version = 1\nexpert = 3\n", "tables"),
        ("version = 1\nexpert = [3]\n", "expert 1: found 3"),
        ("version = 1\n" + ENTRY + ENTRY.replace("name", "nme"), 'expert 2: unknown key "nme"'),
        ("version = 1\n" + ENTRY.replace('"1"', "1"), "found version 1, expected text"),
        ("version = 1\n" + ENTRY.replace('"x"', '""'), 'found source ""'),
        ("version = 1\n" + ENTRY.replace('"x"', '"\\u001b[2J"'), "found source"),
        ("version = 1\n" + ENTRY.replace(FILES, FILES.upper()), "expected 64 hex digits"),
        ("version = 1\n" + re.sub("files.*", "", ENTRY), "found files null, expected text"),
        ("x = " + "[" * 10_000, "not TOML"),
    ],
)
def test_a_file_that_is_no_lock_file_is_an_error_that_says_where(text: str, says: str):
    with pytest.raises(LoadError, match=r"team\.toml") as error:
        parse_lock(text.encode("latin-1"), source="team.toml")
    assert says in str(error.value)
    assert "\x1b" not in str(error.value)
