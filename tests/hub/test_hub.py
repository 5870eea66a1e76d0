"""Listing and downloading from the Hub: what arrives, what is kept, what is said."""

from __future__ import annotations

import dataclasses
import errno
import shutil
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest
from huggingface_hub import hf_hub_download, snapshot_download, try_to_load_from_cache

from hivellm_lite import BaseNotFoundError, Expert, LoadError, PackageError
from hivellm_lite.cache import Cache
from hivellm_lite.hub import Hub, fetch_package, locate_package, parse_reference
from hivellm_lite.hub.cache import RepositoryCache, commit_of
from hivellm_lite.hub.download import fetch_files
from hivellm_lite.hub.models import choose_gguf
from hivellm_lite.package import open_package

from ..support.hub_server import Answer, digest

REPOSITORY = "owner/name"
SMALL, LARGE = b"small\n", bytes(range(256)) * 2000


@pytest.fixture
def repository(server):
    return server.add(REPOSITORY, {"small.json": SMALL, "large.bin": LARGE})


@pytest.fixture
def fetch(hub, repository):
    """Download from the repository; returns the snapshot's folder."""

    def run(*names: str, reference: str = REPOSITORY, progress=None, hub=hub) -> Path:
        listing = hub.list_files(parse_reference(reference))
        return fetch_files(hub, listing, names or listing.names, progress)

    return run


def in_cache(hub) -> list[str]:
    """Finished blobs and snapshot entries, without folders, locks and partial files."""
    return sorted(
        path.name
        for path in hub.cache.rglob("*")
        if (path.is_file() or path.is_symlink())
        and path.suffix not in (".lock", ".incomplete")
        and path.parent.name != "refs"
    )


# --- references ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "repository", "revision", "file"),
    [
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", None, None),
        ("a/b@v1.0", "a/b", "v1.0", None),
        ("a/b@refs/pr/3", "a/b", "refs/pr/3", None),
        ("a/b:x-Q8_0.gguf", "a/b", None, "x-Q8_0.gguf"),
        ("a/b@main:sub/x.expert", "a/b", "main", "sub/x.expert"),
    ],
)
def test_a_reference_has_a_repository_a_revision_and_a_file(text, repository, revision, file):
    reference = parse_reference(text)
    assert (reference.repository, reference.revision, reference.file) == (
        *(repository, revision, file),
    )
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        *("name", "a/b/c", "/a/b", "./a", "../a", "~/a", "C:/a", "a\\b", "a/b:", "a/b@"),
        *("a/b:../x.gguf", "a/b:/etc/passwd", "a/b@../../x", "a/..b", "a/b:c:d"),
        *("models/x.gguf", "packages/x.expert", "a/model.safetensors", ""),
    ],
)
def test_paths_and_traps_are_no_references(text):
    assert parse_reference(text) is None


# --- what is fetched -----------------------------------------------------------------


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


# --- broken connections --------------------------------------------------------------


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


# --- several at once -----------------------------------------------------------------


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


# --- wrong contents ------------------------------------------------------------------


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


# --- refusals ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_says_how_to_get_in(fetch, server, monkeypatch, status):
    server.misbehave("small.json", Answer(status, {"X-Error-Code": "GatedRepo"}))
    gated = (
        r"is gated: its owner asks for a licence to be accepted\nAccept it at http.*/owner/name; "
    )
    with pytest.raises(
        LoadError, match=gated + r"then sign in with 'hf auth login', or set HF_TOKEN"
    ):
        fetch("small.json")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(
        LoadError, match=gated + "the account of the token in use has not"
    ) as caught:
        fetch("small.json")
    assert not isinstance(caught.value, BaseNotFoundError)
    assert "hf_secret" not in str(caught.value)


@pytest.mark.parametrize("answer", [Answer(401), Answer(404, {"X-Error-Code": "RepoNotFound"})])
def test_a_repository_that_is_missing_or_private(hub, server, monkeypatch, answer):
    server.misbehave("/api/", answer)
    with pytest.raises(
        BaseNotFoundError, match=r"no repository owner/name.* private\n.*hf auth login"
    ):
        hub.list_files(parse_reference(REPOSITORY))
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(BaseNotFoundError, match="the token in use does not give access"):
        hub.list_files(parse_reference(REPOSITORY))


def test_a_file_that_went_away_between_listing_and_download(fetch, server):
    server.misbehave("small.json", Answer(404, {"X-Error-Code": "EntryNotFound"}))
    with pytest.raises(BaseNotFoundError, match=r"no longer holds small\.json"):
        fetch("small.json")


@pytest.mark.parametrize(
    ("headers", "when"),
    [
        ({"Retry-After": "30"}, "in 30 seconds"),
        ({"RateLimit": '"api";r=0;t=55'}, "in 55 seconds"),
        ({}, "in a few minutes"),
    ],
)
def test_a_rate_limit_says_when_to_come_back(hub, server, headers, when):
    server.misbehave("/api/", Answer(429, headers))
    with pytest.raises(
        LoadError, match=rf"too many requests \(429\)\nTry again {when}\. Signed-in"
    ):
        hub.list_files(parse_reference(REPOSITORY))
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "said"), [(403, r"is refused \(403\)"), (418, r"HTTP 418"), (503, "status.hugging")]
)
def test_every_other_refusal_has_words_too(fetch, server, status, said):
    server.misbehave("small.json", Answer(status, body=b'{"error": "no"}'))
    with pytest.raises(LoadError, match=said):
        fetch("small.json")


# --- offline, and the disk -----------------------------------------------------------


@pytest.mark.parametrize("value", ["1", "ON", "yes", "True"])
def test_offline_nothing_is_asked(server, repository, monkeypatch, value):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(BaseNotFoundError, match="the Hub was not asked for owner/name: offline"):
        Hub.from_environment().list_files(parse_reference(REPOSITORY))
    assert server.asked == []


def test_a_client_that_was_told_offline_before_is_believed(hub, repository, monkeypatch, server):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BaseNotFoundError, match="HF_HUB_OFFLINE is set"):
        hub.list_files(parse_reference(REPOSITORY))
    assert server.asked == []


def test_the_cache_is_where_the_client_has_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", "$PLACE/home")
    monkeypatch.setenv("PLACE", str(tmp_path))
    assert Hub.from_environment().cache == tmp_path / "home" / "hub"
    monkeypatch.setenv("HUGGINGFACE_HUB_CACHE", str(tmp_path / "old"))
    assert Hub.from_environment().cache == tmp_path / "old"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "new"))
    assert Hub.from_environment().cache == tmp_path / "new"
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Hub.from_environment().cache == tmp_path / "xdg" / "huggingface" / "hub"


def test_a_disk_that_is_too_small_is_said_before_downloading(fetch, server, hub, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(LoadError, match=r"needs 1 MB in .*0 MB are free\n.*HF_HOME"):
        fetch("large.bin")
    assert server.downloads() == []


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, r"is full\n.*HF_HOME.*is kept"), (errno.EACCES, "cannot write to the Hugging")],
)
def test_a_disk_that_refuses_is_said(fetch, monkeypatch, number, said):
    def refuse(*_: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr("hivellm_lite.hub.download._append", refuse)
    with pytest.raises(LoadError, match=said):
        fetch("large.bin")


# --- which .gguf ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "quantization", "chosen"),
    [
        (["Qwen3-0.6B-Q8_0.gguf", "Qwen3-0.6B-Q4_K_M.gguf"], "q8_0", "Qwen3-0.6B-Q8_0.gguf"),
        (["m-fp16.gguf", "m.BF16.gguf"], "f16", "m-fp16.gguf"),
        (["m-fp16.gguf", "m.BF16.gguf"], "bf16", "m.BF16.gguf"),
        (["m-long-q8_0.gguf", "m-q8_0.gguf"], "q8_0", "m-q8_0.gguf"),
        (["m-q8_0-00001-of-00003.gguf", "mmproj-m-Q8_0.gguf", "sub/m-q8_0.gguf"], "q8_0", None),
        (["m-iq8_0.gguf", "m-q8_0.bin"], "q8_0", None),
    ],
)
def test_the_gguf_is_chosen_by_its_quantization(names, quantization, chosen):
    assert choose_gguf(names, quantization) == chosen


def test_the_only_gguf_is_taken_where_that_is_allowed():
    assert choose_gguf(["m-Q4_K_M.gguf"], "q8_0") is None
    assert choose_gguf(["m-Q4_K_M.gguf", "README.md"], "q8_0", any_single=True) == "m-Q4_K_M.gguf"
    assert choose_gguf(["a.gguf", "b.gguf"], "q8_0", any_single=True) is None
    assert choose_gguf(["a.gguf", "model.safetensors"], "q8_0", any_single=True) is None


# --- packages ------------------------------------------------------------------------


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
