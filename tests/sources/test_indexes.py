"""Indexes: what is read of them, what is found, and what a stranger cannot write into them."""

from __future__ import annotations

import json
import os

import pytest

from hivellm_lite import Cache, LoadError, PackageError
from hivellm_lite.sources import parse_source
from hivellm_lite.sources.index import candidates, search
from hivellm_lite.sources.index_entries import FORMAT, parse_index
from hivellm_lite.sources.index_files import read_index, read_indexes
from hivellm_lite.sources.index_making import make_index
from hivellm_lite.sources.settings import Settings

from ..support.hub_server import Answer
from ..support.packages import expert_files, manifest_v2, write_package
from ..support.paths import ROOT
from ..support.web_server import ENDLESS

DIGEST = "ab" * 32
EXAMPLES = ROOT / "examples" / "experts"


def entry(name: str, version: str = "1.0.0", source: str = "o/r", **more: object) -> dict:
    return {"name": name, "version": version, "source": source, **more}


def index_bytes(*entries: object) -> bytes:
    return json.dumps({"format": FORMAT, "experts": entries}).encode()


def experts(*entries: object, place: str = "/here/index.json"):
    index = parse_index(index_bytes(*entries), place)
    assert index.notes == ()
    return index.experts


def test_a_source_is_what_install_takes_wherever_it_runs():
    here = experts(
        entry("a", source="sub/x.expert", sha256=DIGEST.upper()),
        entry("b", source="../x"),
        entry("c", source="/x.expert"),
        entry("d", source="o/r@v1:x.expert"),
        entry("e", source="https://h/x", sha256=DIGEST),
        entry("f", source="git+https://u:secret@h/x#v1", unknown=1, size_bytes=3),
    )
    assert [one.source for one in here] == [
        "/here/sub/x.expert",
        "/here/../x",
        "/x.expert",
        "o/r@v1:x.expert",
        f"https://h/x#sha256={DIGEST}",
        "git+https://h/x#v1",
    ]
    assert here[0].sha256 == DIGEST
    assert (here[5].size_bytes, here[5].index) == (3, "/here/index.json")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "../x"}, r"experts\[0\].name, line 1, column \d+: .*expected a name"),
        ({"name": "x\x1b[2J"}, "expected a name"),
        ({"name": None}, "missing"),
        ({"version": "--force"}, "expected a version"),
        ({"source": 3}, "expected a string"),
        ({"source": ""}, "a path, which an index on the web cannot name"),
        ({"source": "./x.expert"}, "an index on the web cannot name"),
        ({"source": "/etc/passwd"}, "an index on the web cannot name"),
        ({"source": "file:///etc/passwd"}, "an index on the web cannot name"),
        ({"source": "git+FILE:////server/share"}, "an index on the web cannot name"),
        ({"source": "git+ext::sh -c x"}, "not supported"),
        ({"source": "https://h/x"}, "has no digest"),
        ({"source": f"https://h/x#sha256={'0' * 64}", "sha256": DIGEST}, "another digest"),
        ({"sha256": "12"}, "expected 64 hexadecimal digits"),
        ({"size_bytes": -1}, "expected a whole number"),
        ({"publisher_key": "x"}, "expected ed25519"),
        ({"description": "x" * 3000}, "more than a page"),
        ({"capabilities": [1]}, "expected a string"),
    ],
)
def test_an_entry_with_a_problem_is_left_out(wrong, said):
    data = index_bytes({**entry("bad"), **wrong}, entry("good"))
    index = parse_index(data, "https://h/index.json")
    assert [one.name for one in index.experts] == ["good"]
    (note,) = index.notes
    with pytest.raises(LoadError, match=said):
        raise LoadError(note)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "The file is empty"),
        (b"<html>", "not an index: https://h/index.json: line 1"),
        (b"[]", "expected an object"),
        (b"{}", '"format" is null, expected "hivellm-index/1"'),
        (json.dumps({"format": FORMAT}).encode(), 'no list "experts"'),
        (index_bytes(*[{}] * 100_000), "100000 experts; an index may have 10000"),
        (b" " * (8 << 20) + b"{}", "over 8388608 bytes"),
        (b'{"a":' * 100, "Nested over 64 levels"),
    ],
    ids=range(8),
)
def test_what_is_no_index_is_an_error(data, said):
    with pytest.raises(LoadError, match=said):
        parse_index(data, "https://h/index.json")


def test_the_most_entries_are_read_and_problems_are_counted():
    index = parse_index(index_bytes(*[entry("x", str(n)) for n in range(10_000)]), "/i.json")
    assert len(index.experts) == 10_000
    index = parse_index(index_bytes(*[{}] * 50), "/i.json")
    assert len(index.notes) == 21
    assert index.notes[-1] == "/i.json: 130 more problems"


def test_every_word_must_fit_and_names_count_most():
    first = parse_index(
        index_bytes(
            entry("expert-docs", description="about SQL tables"),
            entry("expert-query", capabilities=["database:sql"], description="tables"),
            entry("mysql-notes", "1.0.0-rc.1"),
            entry("expert-sql", "0.9.0", source="o/old"),
            entry("expert-sql", "0.10.0", source="o/first"),
        ),
        "/a.json",
    )
    second = parse_index(
        index_bytes(entry("expert-sql", "0.10.0", source="o/second"), entry("other")), "/b.json"
    )
    found = search(["SQL"], [first, second])
    assert [one.name for one in found] == [
        "expert-sql",
        "mysql-notes",
        "expert-query",
        "expert-docs",
    ]
    assert (found[0].version, found[0].source) == ("0.10.0", "o/first")
    assert [one.name for one in search(["sql tables"], [first])] == ["expert-query", "expert-docs"]
    assert search(["sql", "nowhere"], [first]) == ()


def test_candidates_are_the_newest_first_and_a_broken_index_is_a_warning(tmp_path, caplog):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_bytes(
        index_bytes(
            entry("x", "0.9.0"),
            entry("x", "2.0.0-rc.1"),
            entry("x", "odd"),
            entry("x", "0.10.0"),
            {},
        )
    )
    bad.write_bytes(b"{")
    settings = Settings((str(bad), str(good), str(tmp_path / "none.json")))
    found = candidates(["x"], settings, offline=True)
    assert [one.version for one in found] == ["0.10.0", "0.9.0", "2.0.0-rc.1", "odd"]
    assert "bad.json" in caplog.text
    assert "cannot read the index" in caplog.text
    assert "left out" in caplog.text


@pytest.fixture
def kept(web, home):
    """Reads the index of the web server; the copy in the cache is old each time."""
    web.files["/index.json"] = index_bytes(entry("x"))

    def read(*, offline: bool = False, old: bool = True):
        for path in (home / "indexes").glob("*.json"):
            if old:
                os.utime(path, (0, 0))
        return read_index(f"{web.url}/index.json?key=secret", offline=offline)

    return read


def test_an_index_on_the_web_is_kept_and_asked_for_anew(web, kept, home):
    assert [one.name for one in kept().experts] == ["x"]
    kept(old=False)
    assert len(web.asked) == 1  # within a minute
    kept()
    assert web.asked[1][1]["if-none-match"].startswith('"')
    web.files["/index.json"] = index_bytes(entry("y"))
    assert [one.name for one in kept().experts] == ["y"]
    for answer in (Answer(503), Answer(429), Answer(body=b"<html>")):
        web.misbehave("/index.json", answer, times=1)
        index = kept()
        assert [one.name for one in index.experts] == ["y"]
        assert "using the copy of" in index.notes[0]
        assert "secret" not in str(index)
    web.asked.clear()
    assert kept(offline=True).notes[0].startswith("offline; using the copy of")
    (copy,) = (home / "indexes").iterdir()
    copy.write_bytes(b"damaged")
    with pytest.raises(LoadError, match="offline, and there is no copy"):
        kept(offline=True)
    assert web.asked == []
    assert [one.name for one in kept(old=False).experts] == ["y"]
    Cache().clear()
    assert list((home / "indexes").iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(401), "refuses access"),
        (Answer(404), "no such file"),
        (Answer(429, {"Retry-After": "9"}), "in 9 seconds"),
        (Answer(302, {"Location": "file:///etc/passwd"}), "no https address"),
        (Answer(body=b"{}"), "not an index"),
        (Answer(304), "not an index"),
        (Answer(cut_after=3), "connection to"),
        (Answer(body=ENDLESS), "over 8388608 bytes"),
    ],
)
def test_an_index_that_cannot_be_had_is_no_end(web, kept, tmp_path, answer, said):
    web.misbehave("/index.json", answer)
    (tmp_path / "i.json").write_bytes(index_bytes(entry("z")))
    places = [f"{web.url}/index.json", "http://h/i.json", "https://", str(tmp_path / "i.json")]
    indexes, warnings = read_indexes(places, offline=False)
    assert [one.name for index in indexes for one in index.experts] == ["z"]
    assert said in warnings[0]
    assert "no https address" in warnings[1]
    assert "no host" in warnings[2]


def test_the_example_is_what_the_command_makes(tool, tmp_path, monkeypatch):
    made = tmp_path / "index.json"
    monkeypatch.chdir(EXAMPLES)
    code, out, _ = tool("index", *sorted(EXAMPLES.glob("*.expert"), reverse=True), "-o", made)
    assert (code, out) == (0, f"{made}: 3 experts\n")
    text = made.read_text().replace(os.path.relpath(EXAMPLES, tmp_path), ".")
    assert text == (EXAMPLES / "index.json").read_text()
    code, out, _ = tool("search", "SQL", "task", "--index", EXAMPLES / "index.json")
    assert (code, out.splitlines()[0]) == (0, "sql-smollm2 0.1.0")
    assert f"  hivellm-lite install {EXAMPLES / 'sql.expert'}\n" in out
    code, out, _ = tool("search", "sql", "--json", "--index", EXAMPLES / "index.json")
    (found,) = json.loads(out)
    assert parse_source(found["source"]).path == EXAMPLES / "sql.expert"


def test_an_index_for_the_web_names_addresses_and_digests(archive, tmp_path):
    made = make_index([archive], cache=Cache(), place=tmp_path / "i.json", url="https://h/a?x#y")
    (one,) = parse_index(made.encode(), "https://h/i.json").experts
    assert one.source == f"https://h/a/tiny.expert#sha256={one.sha256}"
    assert one.size_bytes == archive.stat().st_size
    with pytest.raises(LoadError, match="no https address"):
        make_index([archive], cache=Cache(), place=tmp_path / "i.json", url="http://h/a")
    twin = archive.with_name("twin.expert")
    twin.write_bytes(archive.read_bytes())
    with pytest.raises(PackageError, match="is in two of the files"):
        make_index([archive, twin], cache=Cache(), place=tmp_path / "i.json")
    with pytest.raises(PackageError, match="no such file"):
        make_index([tmp_path], cache=Cache(), place=tmp_path / "i.json")


def test_search_shows_strangers_texts_harmlessly(tool, tmp_path, monkeypatch):
    index = tmp_path / "index.json"
    index.write_bytes(
        index_bytes(
            entry(
                "x", source="https://h/$(sh)", sha256=DIGEST, description="a\x1b]0;b\x07\nc\u202e"
            )
        )
    )
    monkeypatch.setenv("HIVELLM_INDEXES", f"{tmp_path}/none.json {index}")
    code, out, err = tool("search", "x")
    assert code == 0
    assert "a\\x1b]0;b\\x07\\nc\\u202e" in out
    assert f"install 'https://h/$(sh)#sha256={DIGEST}'" in out
    assert "Warning: cannot read the index" in err
    code, out, err = tool("search", "nothing")
    assert (code, out) == (0, "")
    assert "None of 1 indexed experts fits nothing." in err
    monkeypatch.setenv("HIVELLM_INDEXES", "")
    assert "no index is configured" in tool("search", "x")[2]


def test_an_index_on_the_web_promises_a_digest(tool, web, tmp_path, monkeypatch):
    packages = []
    for name, requires in (("expert-a", ["expert-b@>=0.3"]), ("expert-b", [])):
        manifest = manifest_v2(name=name, constraints={"requires": requires})
        path = write_package(tmp_path / f"{name}.expert", expert_files(manifest))
        packages.append(path)
        web.files[f"/{path.name}"] = path.read_bytes()
    index = make_index(packages, cache=Cache(), place=tmp_path / "i.json", url=web.url)
    web.files["/index.json"] = index.encode()
    monkeypatch.setenv("HIVELLM_INDEXES", f"{web.url}/index.json")
    assert tool("search", "a", "tiny")[1] == ""
    assert tool("search", "expert-a")[1].startswith("expert-a 0.3.0\n")
    code, out, err = tool("install", "a")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["expert-b@0.3.0", "expert-a@0.3.0"]
    # the index promises a digest
    web.files["/expert-b.expert"] += b"x"
    tool("uninstall", "--force", "expert-b")
    code, _, err = tool("install", "b@0.3")
    assert code == 1
    assert "not the file of this digest" in err
