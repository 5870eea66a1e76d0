"""The settings file: what it may say, and what is said about the rest."""

from __future__ import annotations

import pytest

from hivellm_lite import LoadError
from hivellm_lite.expert_home import expert_home
from hivellm_lite.sources.settings import Settings, read_settings


@pytest.fixture
def write():
    def write(text: str) -> None:
        expert_home().mkdir(exist_ok=True)
        (expert_home() / "config.toml").write_bytes(text.encode("latin-1"))

    return write


def test_defaults_the_file_and_the_variable(write, monkeypatch):
    assert read_settings() == Settings()
    write('indexes = ["i.json", "/a/b.json", "https://h/i.json"]\nrequires_url = "o/{name}"')
    here = str(expert_home() / "i.json")
    assert read_settings() == Settings((here, "/a/b.json", "https://h/i.json"), "o/{name}")
    monkeypatch.setenv("HIVELLM_INDEXES", " x.json  https://h/y ")
    assert read_settings() == Settings(("x.json", "https://h/y"), "o/{name}")
    monkeypatch.setenv("HIVELLM_INDEXES", "")
    assert read_settings().indexes == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("index = []", r"unknown setting 'index'\nKnown settings: indexes, requires_url"),
        ('indexes = "x"', "indexes is no list of texts"),
        ("indexes = [1]", "indexes is no list of texts"),
        ('requires_url = "https://h"', "requires_url has no {name}"),
        ("requires_url = 1", "requires_url has no {name}"),
        ("x = [", "is no TOML"),
        ('x = "\xff"', "is no TOML"),
        ("#" * (1 << 16) + "\n", "over 65536 bytes"),
    ],
    ids=range(8),
)
def test_what_is_wrong_is_named(write, text, said):
    write(text)
    with pytest.raises(LoadError, match=said):
        read_settings()


def test_a_file_that_cannot_be_read_is_an_error():
    (expert_home() / "config.toml").mkdir(parents=True)
    with pytest.raises(LoadError, match="cannot read"):
        read_settings()
