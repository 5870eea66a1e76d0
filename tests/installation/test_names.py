"""Which installed expert a name means."""

from __future__ import annotations

from pathlib import Path

import pytest

from hivellm_lite.errors import RegistryError
from hivellm_lite.installation.asked import asked_name
from hivellm_lite.installation.home import ExpertHome
from hivellm_lite.installation.names import find_installed, installed_folder

from .test_registry import entry


@pytest.fixture
def installed(tmp_path: Path) -> ExpertHome:
    home = ExpertHome()
    with home.changing() as change:
        for name, version in (
            *(("expert-sql", "0.2.0"), ("expert-sql", "0.3.0"), ("expert-sql", "0.4.0-rc.1")),
            *(("sql-tiny", "1.0"), ("Cypher", "1.0"), ("expert-cypher", "2.0")),
            *(("expert-json", "dev"), ("json", "1.0"), ("gone", "1.0")),
        ):
            path = tmp_path / "files" / name / version
            if name != "gone":
                path.mkdir(parents=True)
            change.registry = change.registry.with_version(name, entry(version, path=str(path)))
    return home


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("sql", "expert-sql@0.3.0"),
        ("expert-sql", "expert-sql@0.3.0"),
        ("SQL", "expert-sql@0.3.0"),
        ("sql@0.2.0", "expert-sql@0.2.0"),
        ("sql@0.2", "expert-sql@0.2.0"),
        ("expert-sql@>=0.2,<1", "expert-sql@0.3.0"),
        ("sql<0.3", "expert-sql@0.2.0"),
        ("sql@0.4.0-rc.1", "expert-sql@0.4.0-rc.1"),
        ("sql@^0.2", "expert-sql@0.2.0"),
        (" sql @ 0.3.0 ", "expert-sql@0.3.0"),
        ("sql-tiny", "sql-tiny@1.0"),
        ("cypher", "Cypher@1.0"),
        ("json", "json@1.0"),
        ("expert-json", "expert-json@dev"),
    ],
)
def test_a_name_means_the_newest_version_that_fits(installed: ExpertHome, text: str, identity: str):
    assert find_installed(text).identity == identity


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sql@>=1", "Installed: expert-sql@"),
        ("none", "Installed: Cypher@1.0"),
        ("sql@rubbish!", "no installed expert"),
        ("expert-json@1.0", "Installed: expert-json@dev"),
        ("", "no installed expert"),
    ],
)
def test_what_is_not_installed_is_an_error_that_says_what_is(
    installed: ExpertHome, text: str, says: str
):
    with pytest.raises(RegistryError) as error:
        find_installed(text)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        *("./sql", "owner/sql", "C:\\sql", "~sql", "sql.expert", "SQL.EXPERT", ".", "-sql"),
        *("https://example.org/x", "x.tar", "model.gz", Path("sql"), ""),
    ],
)
def test_a_path_or_an_address_is_never_the_name_of_an_installed_expert(
    installed: ExpertHome, text: str | Path
):
    assert asked_name(text) is None
    assert installed_folder(text) is None


def test_a_name_that_is_no_requirement_stands_for_itself(tmp_path: Path):
    names = [
        ("a@b", "1"),
        ("a=b", "1"),
        ("SQL expert", "1"),
        ("a@1", "1.0"),
        ("expert-v", "latest"),
    ]
    with ExpertHome().changing() as change:
        for name, version in names:
            change.registry = change.registry.with_version(name, entry(version, path=str(tmp_path)))
    for text in ("a@b", "a=b", "SQL expert", "a@1", "a@1@1.0", "expert-v@latest", "v@latest"):
        assert installed_folder(text) == tmp_path, text
    assert installed_folder("sql@main") is None
    with ExpertHome().changing() as change:
        change.registry = change.registry.with_version("a", entry("1.2", path=str(tmp_path)))
    assert find_installed("a@1").identity == "a@1.2"


def test_the_folder_of_an_installed_expert(installed: ExpertHome, tmp_path: Path):
    assert installed_folder("sql") == tmp_path / "files" / "expert-sql" / "0.3.0"
    assert installed_folder("unknown") is None
    with pytest.raises(RegistryError, match="is gone\nInstall it again"):
        installed_folder("gone")
    with pytest.raises(RegistryError, match="no such version"):
        installed_folder("sql@9")
