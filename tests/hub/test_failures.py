"""What the Hub refuses, and what the message says about it."""

from __future__ import annotations

import errno
import shutil

import pytest

from hivellm_lite import BaseNotFoundError, LoadError
from hivellm_lite.hub import Hub, parse_reference

from ..support.hub_server import Answer
from .contents import REPOSITORY


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
