"""Packages on the Hub, as sources: what is fetched, and which commit is remembered."""

from __future__ import annotations

import pytest

from hivellm_lite import LoadError, PackageError
from hivellm_lite.sources import ArchiveFile, Folder

from ..support.hub_server import Answer
from ..support.packages import expert_files, manifest_v2

FILES = expert_files(manifest_v2())


def test_a_commit_is_remembered_in_place_of_a_branch(server, bring, archive):
    data = archive.read_bytes()
    commit = server.add("o/packed", {"a.expert": data, "b.expert": data}).commit
    fetched = bring("o/packed@main:a.expert")
    assert fetched.path.read_bytes() == data
    assert fetched.source == "o/packed@main:a.expert"
    assert fetched.pinned == f"o/packed@{commit}:a.expert"
    assert fetched.revision == commit
    commit = server.add("o/folder", FILES).commit
    fetched = bring("o/folder")
    assert (fetched.pinned, fetched.revision) == (f"o/folder@{commit}", commit)
    assert (fetched.path / "manifest.json").read_bytes() == FILES["manifest.json"]
    assert bring(fetched.pinned).pinned == fetched.pinned


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Answer(401), PackageError, "no repository o/r"),
        (Answer(404), PackageError, "no repository o/r"),
        (Answer(429, {"Retry-After": "3"}), LoadError, "in 3 seconds"),
        (Answer(body=b"{"), LoadError, "answered something that is not the Hub's"),
    ],
)
def test_refusals_are_those_of_the_hub(server, bring, answer, kind, said):
    server.add("o/r", FILES)
    server.misbehave("/api/models/", answer)
    with pytest.raises(kind, match=said):
        bring("o/r")


def test_a_broken_download_is_resumed_and_a_changed_file_refused(server, bring, archive):
    server.add("o/r", {"a.expert": archive.read_bytes() + b"x" * 5000})
    server.misbehave("/stored/", Answer(cut_after=2000), times=2)
    assert bring("o/r").path.stat().st_size == archive.stat().st_size + 5000
    server.add("o/other", {"a.expert": b"y" * 5000})
    server.misbehave("/stored/", Answer(body=b"z" * 5000))
    with pytest.raises(LoadError, match="not what the Hub lists"):
        bring("o/other")


def test_what_is_here_is_not_copied_and_never_pinned(bring, archive):
    for kind, path in ((ArchiveFile, archive), (Folder, archive.parent)):
        fetched = bring(path)
        assert (fetched.path, fetched.source) == (path, str(path))
        assert (fetched.pinned, fetched.revision) == (None, None)
        assert kind(path).text == str(path)
