"""Downloads: what arrives, what is kept, and what a broken one continues from."""

from __future__ import annotations

import dataclasses
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest
from huggingface_hub import hf_hub_download, snapshot_download, try_to_load_from_cache

from hivellm_lite import BaseNotFoundError, LoadError
from hivellm_lite.hub import parse_reference
from hivellm_lite.hub.cache import RepositoryCache, commit_of

from ..support.hub_server import Answer, digest
from .contents import LARGE, REPOSITORY, SMALL


def in_cache(hub) -> list[str]:
    """Finished blobs and snapshot entries, without folders, locks and partial files."""
    return sorted(
        path.name
        for path in hub.cache.rglob("*")
        if (path.is_file() or path.is_symlink())
        and path.suffix not in (".lock", ".incomplete")
        and path.parent.name != "refs"
    )


def test_files_arrive_as_they_are_and_are_asked_for_once(fetch, repository, server):
    folder = fetch()
    assert (folder / "small.json").read_bytes() == SMALL
    assert (folder / "large.bin").read_bytes() == LARGE
    assert folder.name == repository.commit == commit_of(folder / "small.json")
    before = len(server.downloads())
    assert fetch() == folder
    assert len(server.downloads()) == before


def test_the_client_finds_what_was_fetched(fetch, hub, repository):
    folder = fetch()
    found = try_to_load_from_cache(REPOSITORY, "large.bin", cache_dir=hub.cache)
    assert found == str(folder / "large.bin")
    whole = snapshot_download(REPOSITORY, cache_dir=hub.cache, local_files_only=True)
    assert whole == str(folder)


def test_what_the_client_fetched_is_found(fetch, hub, repository, server, monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
    path = hf_hub_download(REPOSITORY, "small.json", cache_dir=hub.cache, endpoint=server.url)
    before = len(server.downloads())
    assert fetch("small.json") / "small.json" == Path(path)
    assert len(server.downloads()) == before
    reference = parse_reference(REPOSITORY)
    assert RepositoryCache.of(hub, reference).snapshot(reference) == Path(path).parent


def test_a_file_that_another_revision_has_too_is_not_fetched_again(fetch, server, hub):
    first = fetch()
    server.add(REPOSITORY, {"small.json": b"changed", "large.bin": LARGE})
    second = fetch()
    assert first != second
    assert (second / "small.json").read_bytes() == b"changed"
    assert len(server.downloads("large.bin")) == 2  # the Hub, and its storage


def test_a_revision_is_asked_for_by_its_name(fetch, server, repository):
    assert fetch(reference=f"{REPOSITORY}@{repository.commit}").name == repository.commit
    with pytest.raises(BaseNotFoundError, match=r"owner/name has no revision 'v9'\n.*/commits"):
        fetch(reference=f"{REPOSITORY}@v9")


def test_progress_counts_the_bytes_of_all_files(fetch):
    calls = []
    fetch(progress=lambda *report: calls.append(report))
    assert {(label, total) for label, _, total in calls} == {
        ("Downloading owner/name", len(SMALL) + len(LARGE))
    }
    done = [done for _, done, _ in calls]
    assert done == sorted(done)
    assert done[-1] == len(SMALL) + len(LARGE)


def test_without_links_the_file_itself_lies_in_the_snapshot(fetch, hub, monkeypatch):
    def no_links(*_: object, **__: object) -> None:
        raise OSError("a required privilege is not held")

    monkeypatch.setattr(Path, "symlink_to", no_links)
    folder = fetch()
    assert not (folder / "large.bin").is_symlink()
    assert in_cache(hub) == ["large.bin", "small.json"]
    assert fetch() == folder


def test_the_token_goes_to_the_hub_and_not_to_the_storage(fetch, server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch()
    assert {a.authorization for a in server.asked if not a.storage} == {"Bearer hf_secret"}
    assert {a.authorization for a in server.asked if a.storage} == {None}


def test_names_that_lead_out_of_the_cache_are_not_there(hub, server):
    server.add(REPOSITORY, {"../../evil": SMALL, "ok.json": SMALL, "a\\b": SMALL})
    assert hub.list_files(parse_reference(REPOSITORY)).names == ("ok.json",)


def test_a_cut_download_goes_on_where_it_stopped(fetch, server):
    server.misbehave("/stored/", Answer(cut_after=100_000), times=2)
    calls = []
    folder = fetch("large.bin", progress=lambda *report: calls.append(report))
    assert (folder / "large.bin").read_bytes() == LARGE
    ranges = [asked.range for asked in server.asked if asked.storage]
    assert ranges == [None, "bytes=100000-", "bytes=200000-"]
    done = [done for _, done, _ in calls]
    assert done == sorted(done)


def test_a_later_run_goes_on_where_an_earlier_one_stopped(fetch, server, hub):
    server.misbehave("/stored/", Answer(cut_after=100_000), times=1)
    server.misbehave("/stored/", Answer(cut_after=0))
    with pytest.raises(LoadError, match=r"large\.bin of owner/name broke off.*\n.*\n.*is kept"):
        fetch("large.bin")
    assert in_cache(hub) == []
    assert len([asked for asked in server.asked if asked.storage]) == 1 + hub.retries
    server.behave()
    folder = fetch("large.bin")
    assert (folder / "large.bin").read_bytes() == LARGE
    assert server.asked[-1].range == "bytes=100000-"


def test_a_server_without_ranges_sends_everything_again(fetch, server):
    server.misbehave("/stored/", Answer(cut_after=100_000), times=1)
    server.misbehave("/stored/", Answer(ignore_range=True))
    assert (fetch("large.bin") / "large.bin").read_bytes() == LARGE


def test_the_waits_between_tries_grow(fetch, server, hub):
    waits = []
    patient = dataclasses.replace(hub, retries=5, wait=waits.append)
    server.misbehave("/resolve/", Answer(503))
    with pytest.raises(LoadError, match=r"problem of its own \(HTTP 503\)"):
        fetch("small.json", hub=patient)
    assert waits == [1, 2, 4, 8, 8]


def test_a_hub_that_recovers_is_not_an_error(fetch, server):
    server.misbehave("/api/models/", Answer(502), times=2)
    server.misbehave("small.json", Answer(500), times=2)
    assert (fetch("small.json") / "small.json").read_bytes() == SMALL


def test_no_network_is_said_at_once(hub):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    waits = []
    nowhere = dataclasses.replace(hub, endpoint=f"http://127.0.0.1:{port}", wait=waits.append)
    with pytest.raises(LoadError, match=r"cannot reach http://127.* for owner/name.*\n.*network"):
        nowhere.list_files(parse_reference(REPOSITORY))
    assert waits == []


def test_a_name_that_does_not_resolve_is_said(hub, monkeypatch):
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    nowhere = dataclasses.replace(hub, endpoint="http://hub.invalid")
    with pytest.raises(LoadError, match=r"cannot reach http://hub\.invalid"):
        nowhere.list_files(parse_reference(REPOSITORY))


def test_two_that_want_the_same_file_download_it_once(fetch, server):
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: fetch("large.bin"), range(4)))
    assert {(folder / "large.bin").read_bytes() for folder in folders} == {LARGE}
    assert len([asked for asked in server.asked if asked.storage]) == 1


def test_a_lock_that_nobody_gives_back_is_named(fetch, hub, monkeypatch):
    monkeypatch.setattr("hivellm_lite.hub.download._LOCK_TIMEOUT_S", 0.01)
    listing = hub.list_files(parse_reference(REPOSITORY))
    lock = RepositoryCache.of(hub, listing.reference).lock(listing.files[0])
    lock.parent.mkdir(parents=True)
    with (
        filelock.FileLock(lock),
        pytest.raises(LoadError, match=r"another process.*\n.*delete .*lock"),
    ):
        fetch(listing.files[0].name)


@pytest.mark.parametrize(
    ("name", "body", "found"),
    [
        ("large.bin", LARGE[:-1] + b"!", "found SHA-256"),
        ("small.json", b"smell\n", "found git SHA-1"),
        ("large.bin", LARGE[:-1], f"found {len(LARGE) - 1} bytes"),
        ("large.bin", LARGE + b"!", f"found over {len(LARGE)} bytes"),
    ],
)
def test_a_file_that_differs_from_the_listing_is_removed(fetch, server, hub, name, body, found):
    server.misbehave(f"/resolve/{server.repositories[REPOSITORY].commit}/{name}", Answer(body=body))
    with pytest.raises(LoadError, match=f"{name} of owner/name is not what.*\n  {found}"):
        fetch(name)
    assert list(hub.cache.rglob("*.incomplete")) == []
    assert in_cache(hub) == []
    server.behave()
    assert (fetch(name) / name).is_file()


@pytest.mark.parametrize("junk", [b"x" * 1000, b"x" * len(LARGE), b"x" * (len(LARGE) + 1)])
def test_junk_of_an_earlier_run_is_fetched_anew(fetch, server, hub, junk):
    listing = hub.list_files(parse_reference(REPOSITORY))
    cache = RepositoryCache.of(hub, listing.reference)
    partial = cache.partial(next(file for file in listing.files if file.name == "large.bin"))
    partial.parent.mkdir(parents=True)
    partial.write_bytes(junk)
    assert (fetch("large.bin") / "large.bin").read_bytes() == LARGE


def test_a_digest_that_is_none_hides_the_file(hub, server, monkeypatch):
    server.add(REPOSITORY, {"a.json": SMALL, "b.json": b"b"})
    monkeypatch.setattr(
        "tests.support.hub_server.digest", lambda data: "../x" if data == SMALL else digest(data)
    )
    assert hub.list_files(parse_reference(REPOSITORY)).names == ("b.json",)


@pytest.mark.parametrize(
    "body", [b"<html>Sign in</html>", b"[]", b"{}", b'{"sha": "../..", "siblings": []}']
)
def test_an_answer_that_is_not_the_hubs_is_said(hub, server, body):
    server.misbehave("/api/", Answer(body=body))
    with pytest.raises(
        LoadError, match=r"not the Hub's about owner/name\n.*\n.*HF_ENDPOINT.*proxy"
    ):
        hub.list_files(parse_reference(REPOSITORY))
