"""Packages on the web: what is downloaded, from whom, and when it is believed."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from huggingface_hub import constants

from hivellm_lite import LoadError, PackageError
from hivellm_lite.sources import WebFile, fetch, web_requests
from hivellm_lite.sources import web as web_room
from hivellm_lite.sources.addresses import parse_address
from hivellm_lite.sources.web import fetch_file

from ..support.hub_server import Answer
from ..support.web_server import ENDLESS

DATA = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(DATA).hexdigest()
PATH = "/a%20b/tiny.expert"


@pytest.fixture
def address(web):
    web.files[PATH] = DATA
    return f"{web.url}{PATH}#sha256={DIGEST}"


def test_a_file_arrives_under_its_name_and_the_hub_s_token_goes_nowhere(
    web, address, bring, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    calls = []
    fetched = bring(address, progress=lambda *call: calls.append(call))
    assert fetched.path.name == "tiny.expert"
    assert fetched.path.read_bytes() == DATA
    assert (fetched.source, fetched.pinned, fetched.revision) == (address, address, None)
    assert calls[-1] == ("Downloading tiny.expert", len(DATA), len(DATA))
    assert "hf_secret" not in str(web.asked)
    # without a digest only if that is asked for, and then the digest is known afterwards
    bare = address.partition("#")[0]
    with pytest.raises(PackageError, match=r"no digest.*\n.*#sha256=DIGEST"):
        bring(bare)
    assert bring(bare, verify=False).pinned == address


def test_a_broken_download_is_resumed(web, address, bring):
    web.misbehave(PATH, Answer(cut_after=300_000), times=2)
    web.misbehave(PATH, Answer(503), times=2)
    assert bring(address).path.read_bytes() == DATA
    ranges = [headers.get("range") for _, headers in web.asked]
    assert ranges == [None, "bytes=300000-", *["bytes=600000-"] * 3]
    # a server that has another file by now sends all of it, and none of the old one stays
    web.misbehave(PATH, Answer(cut_after=300_000, headers={"ETag": '"old"'}), times=1)
    assert bring(address).path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Answer(401), PackageError, r"refuses access \(401\).*\n.*USER:PASSWORD@"),
        (Answer(403), PackageError, r"refuses access \(403\)"),
        (Answer(404), PackageError, r"no such file \(404\)"),
        (Answer(410), PackageError, r"no such file \(410\)"),
        (Answer(429, {"Retry-After": "7"}), LoadError, r"\(429\)\n.*\nTry again in 7 seconds"),
        (Answer(429), LoadError, "in a few minutes"),
        (Answer(500), LoadError, "problem of its own"),
        (Answer(418), LoadError, r"refuses \(HTTP 418\)"),
        (Answer(cut_after=0), LoadError, "connection to 127.0.0.1 failed"),
        (Answer(302, {"Location": "file:///etc/passwd"}), PackageError, "no https address"),
        (Answer(302, {"Location": "http://example.org/"}), PackageError, "no https address"),
        (Answer(302, {"Location": "https:///x"}), PackageError, "no https address"),
        (Answer(302, {"Location": PATH}), PackageError, "redirects over 5 times"),
        (Answer(302), PackageError, "redirects over 5 times"),
    ],
)  # fmt: skip
def test_refusals_say_what_to_do(web, address, bring, answer, kind, said):
    web.misbehave(PATH, answer)
    with pytest.raises(kind, match=said) as refused:
        bring(address)
    assert type(refused.value) is kind


def test_a_redirect_is_followed_and_a_password_goes_to_its_own_server_only(
    web, server, address, bring
):
    web.misbehave("/start", Answer(302, {"Location": f"{server.url}/o/r/resolve/main/x"}))
    web.misbehave("/begin", Answer(307, {"Location": "/a%20b/tiny.expert"}))
    me = web.url.replace("//", "//me:s%40cret@")
    assert bring(f"{me}/begin#sha256={DIGEST}").pinned == f"{web.url}/begin#sha256={DIGEST}"
    assert {headers["authorization"] for _, headers in web.asked} == {"Basic bWU6c0BjcmV0"}
    with pytest.raises(PackageError, match="404") as refused:
        bring(f"{me}/start#sha256={DIGEST}")
    assert "cret" not in str(refused.value)
    assert [asked.authorization for asked in server.asked] == [None]


def test_another_digest_is_refused_and_nothing_stays(web, address, bring, tmp_path):
    web.files[PATH] = DATA[:-1] + b"x"
    with pytest.raises(PackageError, match=rf"not the file of this digest\n.*\n.*{DIGEST}"):
        bring(address)
    assert list((tmp_path / "fetched").iterdir()) == []


def test_a_body_that_never_ends_is_cut_off(web, address, hub, tmp_path):
    web.misbehave(PATH, Answer(body=ENDLESS))
    source = WebFile(address.partition("#")[0], DIGEST)
    with pytest.raises(PackageError, match="over 1 MB, the most that an archive may have"):
        fetch_file(source, tmp_path, hub=hub, progress=None, max_bytes=1_000_000)
    web._rules.clear()
    with pytest.raises(PackageError, match="over 1 MB"):  # as the server announces it
        fetch_file(source, tmp_path, hub=hub, progress=None, max_bytes=1_000_000)
    assert list(tmp_path.glob("*.expert*")) == []


def test_offline_nothing_is_asked(web, address, bring, hub, tmp_path, monkeypatch):
    offline = dataclasses.replace(hub, offline=True)
    with pytest.raises(LoadError, match="was not fetched: offline"):
        fetch(WebFile(address.partition("#")[0], DIGEST), tmp_path, hub=offline)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LoadError, match="HF_HUB_OFFLINE is set"):
        bring(address)
    assert web.asked == []


@pytest.mark.parametrize(
    "path", ["/", "/x.tar.gz", "/con.expert", "/a%2Fb/..%5C.expert", "/%00.expert"]
)
def test_a_name_that_cannot_be_stored_is_not_used(path):
    assert web_room._name(parse_address(f"https://h{path}")) == "package.expert"


@pytest.mark.parametrize(
    ("origin", "location", "allowed"),
    [
        ("https://h/a", "/b", "https://h/b"),
        ("https://h/a", "//g/b", "https://g/b"),
        ("https://h/a", "https://me:secret@g/b c", "https://g/b%20c"),
        ("https://h/a", "http://h/a", None),
        ("https://h/a", "http://127.0.0.1/a", None),
        ("https://h/a", "ftp://h/a", None),
        ("https://h/a", "https://[::1", None),
        ("http://127.0.0.1/a", "https://h/b", "https://h/b"),
        ("http://127.0.0.1/a", "http://[::1]/b", "http://[::1]/b"),
    ],
)
def test_a_redirect_leads_to_https_or_from_this_machine_to_itself(origin, location, allowed):
    address = parse_address(origin)
    if allowed is None:
        with pytest.raises(PackageError, match="no https address"):
            web_requests._redirected(address, address, location)
    else:
        assert web_requests._redirected(address, address, location).url == allowed
