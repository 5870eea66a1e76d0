"""Sources: what users write, what is kept of it, and what is refused."""

from __future__ import annotations

import pytest

from hivellm_lite import PackageError
from hivellm_lite.sources import ArchiveFile, Folder, GitRepository, parse_source

DIGEST = "ab" * 32
COMMIT = "c" * 40


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("owner/repo", "owner/repo"),
        ("owner/repo@v1:a.expert", "owner/repo@v1:a.expert"),
        ("git+https://host/a/b.git", "git+https://host/a/b.git"),
        ("git+https://HOST/a/b.git#feature/x", "git+https://host/a/b.git#feature/x"),
        ("git+https://user:secret@host/a#v1", "git+https://host/a#v1"),
        ("git+ssh://git:secret@host:22/a/b", "git+ssh://git@host:22/a/b"),
        ("git+http://127.0.0.1:80/a", "git+http://127.0.0.1:80/a"),
        (f"https://u:secret@h/a.expert?v=1#sha256={DIGEST.upper()}", f"https://h/a.expert?v=1#sha256={DIGEST}"),
        (f"http://localhost:8/a#sha256=sha256:{DIGEST}", f"http://localhost:8/a#sha256={DIGEST}"),
        ("https://[::1]:8/a.expert", "https://[::1]:8/a.expert"),
    ],
)  # fmt: skip
def test_what_is_kept_names_the_same_and_holds_no_password(text, kept):
    source = parse_source(text)
    assert source.text == kept
    assert parse_source(kept).text == kept
    assert "secret" not in repr(source)


def test_files_and_folders_are_found_in_every_way_to_write_them(tmp_path, monkeypatch):
    file = tmp_path / "ä b.expert"
    file.touch()
    monkeypatch.chdir(tmp_path)
    archive, folder = ArchiveFile(file), Folder(tmp_path)
    for text in ("ä b.expert", "./ä b.expert", file.as_uri(), f"file://localhost{file}"):
        assert parse_source(text) == archive
    assert parse_source("file://./%C3%A4%20b.expert") == archive
    assert parse_source(archive.text) == archive
    assert {parse_source("."), parse_source(tmp_path.as_uri()), parse_source("file://.")} == {
        folder
    }
    assert parse_source("ä b.expert", relative_to=tmp_path) == archive
    assert parse_source(f"git+{tmp_path.as_uri()}#v1") == GitRepository(tmp_path.as_uri(), "v1")
    (tmp_path / "owner" / "repo").mkdir(parents=True)
    assert parse_source("owner/repo") == Folder(tmp_path / "owner" / "repo")
    # what is noted has no "..", and a link at the end may lead elsewhere tomorrow
    link = tmp_path / "owner" / "newest.expert"
    link.symlink_to(file)
    assert parse_source("owner/repo/../../ä b.expert") == archive
    assert parse_source("owner/repo/..") == Folder(tmp_path / "owner")
    assert parse_source("owner/repo/../newest.expert") == ArchiveFile(link)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no such file or folder, and no address"),
        ("nothing", "no such file or folder"),
        ("owner/repo:model.gguf", "no such file or folder"),
        ("git@github.com:owner/repo", "no such file"),
        ("git+ext::sh -c x", r"git\+ext: is not supported, use https, ssh or file"),
        ("git+git://host/a", "not supported"),
        ("ftp://host/a", "ftp: is not supported"),
        ("http://host/a", "http is neither encrypted"),
        ("http://127.0.0.1.evil.org/a", "http is neither encrypted"),
        ("git+http://host/a", "http is neither encrypted"),
        ("https:///a", "no host"),
        ("https://-oProxyCommand=x/a", "no host"),
        ("git+ssh://-oProxyCommand=x/a", "no host"),
        ("git+ssh://-oX@host/a", "begins with '-'"),
        ("git+https://host/", "no repository"),
        ("https://host:port/a", "no address"),
        ("https://ho\\st/a", "cannot stand in an address"),
        ("https://host/a\x1b[2J", r"cannot stand in an address\nWrite it as %1B"),
        ("https://host/a b", "Write it as %20"),
        ("https://host/a#md5=1", "is no digest"),
        (f"https://host/a#sha256={DIGEST[1:]}", "is no digest"),
        ("git+https://host/a#", "cannot be a branch"),
        ("git+https://host/a#--upload-pack=x", "cannot be a branch"),
        ("git+https://host/a#+main", "cannot be a branch"),
        ("git+https://host/a#main:evil", "cannot be a branch"),
        ("git+https://host/a#^main", "cannot be a branch"),
        ("git+https://host/a#a..b", "cannot be a branch"),
        ("git+file:///no/such", "no such folder"),
        ("file:///no/such", "no such file or folder"),
        ("file://other/share", "a file of another machine"),
        ("file:/x", "no such file"),
    ],
)  # fmt: skip
def test_everything_else_is_refused_with_a_reason(text, said):
    with pytest.raises(PackageError, match=said):
        parse_source(text)


def test_an_error_lists_the_forms_and_holds_no_password():
    with pytest.raises(PackageError) as refused:
        parse_source("ftp://user:secret@host/a?token=secret")
    assert "git+https://HOST/PATH[#ref]" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_commit_is_pinned_and_a_branch_is_not():
    assert GitRepository("https://h/a", COMMIT).is_pinned
    assert not GitRepository("https://h/a", COMMIT[1:]).is_pinned
    assert not GitRepository("https://h/a").is_pinned
