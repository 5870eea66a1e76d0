"""``push``: what arrives at the Hub, what is said, and what a Hub on a bad day is told."""

from __future__ import annotations

import json
import re

import pytest

from ..support.hub_server import Answer

TOKEN = "hf_right"


@pytest.fixture
def hub(server, monkeypatch):
    """The Hub of a signed-in user who may write what is below ``me/``."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)  # read at its import
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.uploads.tokens[TOKEN] = ("me",)
    return server


@pytest.fixture
def package(tiny_package):
    return tiny_package("sql", license="My own")


def files_of(hub, name="me/sql") -> dict[str, bytes]:
    return hub.repositories[name].files


def test_what_is_pushed_is_what_inspect_finds_there(tool, hub, package):
    code, out, err = tool("push", package, "me/sql", "--private", "--message", "First")
    assert code == 0, err
    digest = json.loads(tool("inspect", package, "--json")[1])["digest"]
    files = files_of(hub)
    assert hub.uploads.commits == ["First"]
    assert hub.repositories["me/sql"].private
    assert files["sql.expert"] == package.read_bytes()
    assert files["sql.expert.sha256"] == f"{digest}  sql.expert\n".encode()
    assert b"# sql 0.3.0" in files["README.md"]
    assert b"hivellm-lite run me/sql --schema" in files["README.md"]
    assert f"{hub.url}/me/sql/commit/" in out
    assert TOKEN not in out + err

    there = json.loads(tool("inspect", "me/sql", "--json")[1])
    assert there["digest"] == digest

    code, out, _ = tool("push", package, "me/sql")
    assert code == 0
    assert f"me/sql has this package already ({digest}); nothing was uploaded" in out
    assert hub.uploads.commits == ["First"]


def test_a_package_beside_another_is_named_with_its_file(tool, hub, package, tiny_package):
    tool("push", tiny_package("old"), "me/sql")
    code, out, err = tool("push", package, "me/sql")
    assert code == 0, err
    assert "Its name is me/sql:sql.expert;" in out
    assert b"run me/sql:sql.expert" in files_of(hub)["README.md"]
    assert hub.uploads.commits == ["old@0.3.0: package", "sql@0.3.0: package"]
    assert "old.expert" in files_of(hub)


def test_only_the_marked_part_of_a_readme_is_rewritten(tool, hub, package, tiny_package):
    tool("push", package, "me/sql")
    readme = files_of(hub)["README.md"].decode()
    head, _, rest = readme.partition("---\n\n")
    assert "hivellm-lite push rewrites this block" in head
    edited = f"---\nlicense: mit\n---\n\nMy words.\n{rest}My last words.\n"
    hub.repositories["me/sql"].files["README.md"] = edited.encode()
    hub.repositories["me/sql"].commit = "1" * 40
    tiny_package("sql", version="0.4.0")
    assert tool("push", package, "me/sql")[0] == 0
    written = files_of(hub)["README.md"].decode()
    assert written.startswith("---\nlicense: mit\n---\n\nMy words.\n<!-- hivellm-lite push")
    assert written.endswith("-->\nMy last words.\n")
    assert "# sql 0.4.0" in written
    assert "0.3.0" not in written


def test_a_readme_of_somebody_else_is_kept_unless_forced(tool, hub, package):
    hub.add("me/sql", {"README.md": b"# Mine\n"})
    code, out, err = tool("push", package, "me/sql")
    assert code == 0, err
    assert "Uploaded sql.expert, sql.expert.sha256:" in out
    assert "README.md of the repository is kept" in err
    assert files_of(hub)["README.md"] == b"# Mine\n"
    assert tool("push", package, "me/sql", "--force")[0] == 0
    assert b"# sql 0.3.0" in files_of(hub)["README.md"]
    assert hub.uploads.commits == ["sql@0.3.0: package", "sql@0.3.0: model card"]


def test_a_pull_request_proposes_and_a_branch_must_exist(tool, hub, package):
    repository = hub.add("other/sql", {"config.json": b"{}"}, branches=("main", "next"))
    code, out, err = tool("push", package, "other/sql", "--create-pr", "--revision", "next")
    assert code == 0, err
    assert "/other/sql/discussions/1" in out
    assert list(repository.files) == ["config.json"]
    assert repository.pulls["refs/pr/1"].files["sql.expert"] == package.read_bytes()
    code, _, err = tool("push", package, "other/sql", "--create-pr", "--revision", "none")
    assert code == 1
    assert "other/sql has no revision 'none'" in err


def test_a_dry_run_shows_the_card_and_asks_nobody(tool, server, package, tmp_path):
    code, out, err = tool("push", package, "me/sql", "--dry-run")
    assert code == 0
    assert out.startswith("---\n# hivellm-lite push")
    assert 'license: "other"\nlicense_name: "my-own"\n' in out
    assert "Would upload sql.expert.sha256 to me/sql" in err
    assert server.asked == []
    assert "- **Signature:** none" in out

    key = tmp_path / "me.key"
    assert tool("keygen", key)[0] == tool("sign", package, "--key", key)[0] == 0
    out = tool("push", package, "me/sql", "--dry-run")[1]
    signed = (
        r"- \*\*Signature:\*\* ed25519:[0-9a-f]{64}, over all files\. Check it with `.* me/sql`"
    )
    assert re.search(signed, out)


@pytest.mark.parametrize(
    ("part", "answer", "said"),
    [
        ("/commit/", Answer(429, {"Retry-After": "30"}), "requests (429)\nPush again in 30 sec"),
        ("/commit/", Answer(503, body=b"<html>"), "problem of its own (HTTP 503)"),
        ("/validate-yaml", Answer(200, body=b"<html>"), "something that is not the Hub's"),
        ("/validate-yaml", Answer(cut_after=0), "broke off"),
        ("/preupload/", Answer(404, {"X-Error-Code": "RepoNotFound"}), "does not show it (404)"),
        ("/upload/", Answer(500), "problem of its own (HTTP 500)"),
        ("/upload/", Answer(cut_after=10), "the upload to me/sql broke off"),
        ("/commit/", Answer(cut_after=10), "the upload to me/sql broke off"),
        ("/commit/", Answer(409, body=b'{"error": "busy hf_right"}'), "by somebody else meanwhile"),
        ("/commit/", Answer(418, body=b'{"error": "\\u001b[2Jno"}'), "(HTTP 418)"),
    ],
)
def test_a_hub_on_a_bad_day_leaves_the_repository_as_it_was(tool, hub, package, part, answer, said):
    before = dict(hub.add("me/sql", {"notes.txt": b"mine"}).files)
    hub.misbehave(part, answer)
    code, out, err = tool("push", package, "me/sql")
    assert (code, out) == (1, "")
    assert said in err
    assert TOKEN not in err
    assert "\x1b" not in err
    assert files_of(hub) == before
    assert hub.uploads.commits == []


def test_tokens_that_do_not_do(tool, hub, package, monkeypatch):
    hub.add("other/sql", {})
    code, _, err = tool("push", package, "other/sql")
    assert code == 1
    assert "the token in HF_TOKEN may not write to other/sql (403)" in err
    assert "--create-pr" in err
    code, _, err = tool("push", package, "nobody/sql")
    assert code == 1
    assert "You don't have the rights to create a model under nobody" in err
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    code, _, err = tool("push", package, "me/sql")
    assert code == 1
    assert "the Hub does not accept the token in HF_TOKEN (401)" in err
    assert "/settings/tokens" in err
    assert "hf_wrong" not in err
    monkeypatch.delenv("HF_TOKEN")
    asked = len(hub.asked)
    code, _, err = tool("push", package, "me/sql")
    assert code == 1
    assert "there is no token" in err
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, err = tool("push", package, "me/sql")
    assert code == 1
    assert "nothing was uploaded to me/sql: offline" in err
    assert len(hub.asked) == asked


def test_a_branch_that_moves_meanwhile_and_a_gitignore(tool, hub, package):
    hub.add("me/sql", {".gitignore": b"*.expert\n"})
    code, _, err = tool("push", package, "me/sql")
    assert code == 1
    assert "does not have sql.expert after the commit" in err
    assert ".gitignore" in err
    hub.add("me/sql", {"other.txt": b""})
    moved = hub.repositories["me/sql"]
    listing = json.dumps({"sha": "2" * 40, "siblings": []}).encode()
    hub.misbehave("/revision/main", Answer(200, body=listing), times=1)
    code, _, err = tool("push", package, "me/sql")
    assert code == 1
    assert "me/sql was changed by somebody else meanwhile (412)" in err
    assert list(moved.files) == ["other.txt"]


def test_only_a_checked_expert_file_is_published(tool, server, package, tmp_path):
    def refused(path, *arguments) -> str:
        code, _, err = tool("push", path, "me/sql", "--dry-run", *arguments)
        assert code in (1, 2)
        return err

    assert "not the name of an installed expert" in refused("sql")
    assert "is a folder, and an .expert file" in refused(_unpacked(package, tmp_path / "folder"))
    strange = package.rename(tmp_path / "s$(id).expert")
    assert "cannot be published under this name" in refused(strange)
    package = strange.rename(tmp_path / "sql.expert")
    package.with_name("sql.expert.sha256").write_text("0" * 64)
    assert "does not have the digest" in refused(package)
    assert "expected the name of a branch" in refused(package, "--revision", "a" * 40)
    code, _, err = tool("push", package, "me/sql@main")
    assert code == 2
    assert "is not owner/repository" in err
    assert server.asked == []


def _unpacked(package, folder):
    import tarfile

    with tarfile.open(package) as archive:
        archive.extractall(folder, filter="data")
    return folder
