"""Packages on the Hub."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from hivellm_lite import Expert, LoadError, PackageError
from hivellm_lite.cache import Cache
from hivellm_lite.hub import fetch_package, locate_package, parse_reference
from hivellm_lite.package import open_package

from ..support.hub_server import Answer, digest


def test_an_expert_file_is_fetched_with_its_digest_file(hub, server, tiny_package):
    data = tiny_package().read_bytes()
    sidecar = f"{digest(data)}  tiny.expert\n".encode()
    server.add("me/tiny", {"tiny.expert": data, "tiny.expert.sha256": sidecar, "x.md": b"x"})
    path = locate_package("me/tiny", hub=hub)
    assert path.read_bytes() == data
    assert open_package(path, cache=Cache()).manifest.name == "tiny"
    assert {asked.path.rpartition("/")[2] for asked in server.downloads()} == {
        *("tiny.expert", "tiny.expert.sha256"),
    }
    server.add("me/tiny", {"tiny.expert": data, "tiny.expert.sha256": b"0" * 64})
    with pytest.raises(PackageError, match="does not have the digest"):
        open_package(locate_package("me/tiny", hub=hub), cache=Cache())


def test_a_repository_may_be_the_package_itself(hub, server, tiny_package, tmp_path):
    files = open_package(tiny_package(), cache=Cache()).root
    contents = {path.name: path.read_bytes() for path in files.iterdir()}
    server.add("me/tiny", {**contents, "training_args.bin": b"pickle", "m-q8_0.gguf": b"g"})
    path = locate_package("me/tiny", hub=hub)
    assert open_package(path, cache=Cache()).manifest.name == "tiny"
    assert sorted(entry.name for entry in path.iterdir()) == sorted(contents)


def test_of_several_packages_one_has_to_be_named(hub, server):
    server.add("me/some", {"a.expert": b"a", "sub/b.expert": b"b"})
    with pytest.raises(PackageError, match=r"several.*\n  me/some:a\.expert\n  me/some:sub/b"):
        locate_package("me/some", hub=hub)
    assert locate_package("me/some:sub/b.expert", hub=hub).read_bytes() == b"b"
    with pytest.raises(PackageError, match=r"no file c\.expert\nIts \.expert files: a\.expert"):
        locate_package("me/some:c.expert", hub=hub)


def test_a_repository_that_is_no_package_is_said(hub, server):
    server.add("me/other", {"config.json": b"{}"})
    with pytest.raises(PackageError, match=r"(?s)no such file.*is not an expert package.*config"):
        locate_package("me/other", hub=hub)
    with pytest.raises(PackageError, match=r"(?s)me/none: no such file .* here.*no repository"):
        locate_package("me/none", hub=hub)
    server.add("me/gone", {"a.expert": b"a"})
    server.misbehave("a.expert", Answer(404, {"X-Error-Code": "EntryNotFound"}))
    with pytest.raises(PackageError, match="no longer holds"):
        locate_package("me/gone", hub=hub)


def test_the_newest_package_is_asked_for_unless_that_cannot_be(hub, server):
    server.add("me/x", {"x.expert": b"old"})
    offline = dataclasses.replace(hub, offline=True)
    with pytest.raises(PackageError, match="offline"):
        locate_package("me/x", hub=offline)
    commit = locate_package("me/x", hub=hub).parent.name
    server.add("me/x", {"x.expert": b"new"})
    assert locate_package("me/x", hub=offline).read_bytes() == b"old"
    assert locate_package("me/x:x.expert", hub=offline).read_bytes() == b"old"
    assert locate_package(f"me/x@{commit}", hub=hub).read_bytes() == b"old"
    assert locate_package("me/x", hub=hub).read_bytes() == b"new"
    server.misbehave("/api/", Answer(429))
    assert locate_package("me/x", hub=hub).read_bytes() == b"new"
    with pytest.raises(LoadError, match="429"):
        fetch_package(parse_reference("me/y"), hub=hub)


def test_what_exists_here_is_never_looked_for_elsewhere(hub, server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "x").mkdir(parents=True)
    assert locate_package("me/x", hub=hub) == Path("me/x")
    assert locate_package(Path("me/y"), hub=hub) == Path("me/y")
    assert server.asked == []


def test_an_expert_is_loaded_from_the_hub(server, tiny_package, tiny_base):
    server.add("me/tiny", {"tiny.expert": tiny_package().read_bytes()})
    with Expert.load("me/tiny", base=tiny_base, n_ctx=64, n_threads=1) as expert:
        assert expert.name == "tiny"
    asked = len(server.asked)
    with Expert.load("me/tiny", base=tiny_base, n_ctx=64, n_threads=1, offline=True) as expert:
        assert expert.name == "tiny"
    assert len(server.asked) == asked


def test_local_work_does_not_import_the_client(tiny_package, tiny_base):
    import subprocess

    code = (
        "import sys; from hivellm_lite.hub import Hub, locate_package;"
        "from hivellm_lite.cache import Cache; from hivellm_lite.package import open_package;"
        "from hivellm_lite.bases import find_base;"
        f"p = open_package(locate_package({str(tiny_package())!r}, hub=Hub.from_environment()), "
        f"cache=Cache()); find_base(p, given={str(tiny_base)!r}, cache=Cache());"
        "assert 'huggingface_hub' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
