"""Packages in git repositories: what is taken out of them, and what they cannot do."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from pathlib import Path

import pytest

from hivellm_lite import Cache, LoadError, PackageError
from hivellm_lite.archive.limits import Limits
from hivellm_lite.package.opening import open_package
from hivellm_lite.sources import GitRepository, fetch, git_files
from hivellm_lite.sources.git import fetch_commit
from hivellm_lite.sources.git_failures import explain_git

from ..support.hub_server import Answer
from ..support.packages import expert_files, manifest_v2
from ..support.systems import needs_posix
from ..support.web_server import HOLD

FILES = expert_files(manifest_v2())


def paths(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def served(web, repository):
    """The address of a repository with a package, over HTTP."""
    folder = repository(FILES)
    web.repositories = folder.parent
    return f"git+{web.url}/git/tiny.git/.git"


def test_a_branch_a_tag_and_a_commit_are_fetched(served, repository, git, bring):
    folder = Path(repository({"README.md": b"one"}))
    first = git(folder, "rev-parse", "HEAD")
    git(folder, "tag", "-a", "v1", "-m", "x")
    repository({"README.md": b"two"})
    second = git(folder, "rev-parse", "HEAD")
    for address in (served, f"git+{folder.as_uri()}"):
        newest = bring(address)
        assert paths(newest.path) == {*FILES, "README.md"}
        assert open_package(newest.path, cache=Cache()).manifest.name == "expert-tiny"
        assert (newest.source, newest.pinned) == (address, f"{address}#{second}")
        assert newest.revision == second
        assert bring(f"{address}#v1").pinned == f"{address}#{first}"
    assert bring(f"{served}#main").revision == second
    assert (bring(f"{served}#{first}").path / "README.md").read_bytes() == b"one"
    with pytest.raises(PackageError, match=r"has no 'v9'\n.*\n.*ls-remote"):
        bring(f"{served}#v9")
    with pytest.raises(PackageError, match="write all 40 digits"):
        bring(f"{served}#{first[:8]}")
    with pytest.raises(PackageError, match="no such commit"):
        bring(f"{served}#{'0' * 40}")
    git(folder, "branch", first, second)  # a name that looks like a commit is none
    assert bring(f"{served}#{first}").revision == first


def test_the_one_packed_package_of_a_repository_is_taken(repository, bring, archive):
    data = archive.read_bytes()
    files = {"out/a.expert": data, "out/a.expert.sha256": b"x", "README.md": b"x"}
    folder = repository(files)
    fetched = bring(f"git+{folder.as_uri()}")
    assert fetched.path.name == "a.expert"
    assert fetched.path.read_bytes() == data
    assert paths(fetched.path.parents[1]) == {"out/a.expert", "out/a.expert.sha256"}
    # an author's repository: the manifest, and the packed package with the weights
    repository({"manifest.json": FILES["manifest.json"]})
    assert bring(f"git+{folder.as_uri()}").path.name == "a.expert"
    repository({"b.expert": data})
    with pytest.raises(PackageError, match=r"several packages:\n  b.expert\n  out/a.expert"):
        bring(f"git+{folder.as_uri()}")


def test_only_the_package_is_taken(repository, git, bring, tmp_path, monkeypatch):
    """Hooks, filters, submodules, programs, links: nothing of them runs, or is there afterwards."""
    mark = tmp_path / "ran"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    filters = f'[filter "evil"]\n\tsmudge = touch {mark}\n[init]\n\ttemplateDir = {tmp_path}/t\n'
    (tmp_path / ".gitconfig").write_text(filters + "[submodule]\n\trecurse = true\n")
    hooks = tmp_path / "t" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("post-checkout", "reference-transaction", "post-merge"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (hooks / name).chmod(0o755)
    folder = repository(
        {
            **FILES,
            ".gitattributes": b"* filter=evil",
            ".gitmodules": b'[submodule "s"]\n\tpath = s\n\turl = ext::sh -c touch% ran',
            "train.py": b"x",
            "training_args.bin": b"x",
            "docs/con.txt": b"x",
        }
    )
    (folder / "docs" / "linked.json").symlink_to("../manifest.json")
    (folder / "docs" / "folder").symlink_to("..")
    git(folder, "add", "-A")
    commit = git(folder, "rev-parse", "HEAD")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{commit},s")
    git(folder, "commit", "-q", "-m", "x")
    fetched = bring(f"git+{folder.as_uri()}")
    assert paths(fetched.path) == {*FILES, "docs/linked.json"}
    linked = fetched.path / "docs" / "linked.json"
    assert linked.read_bytes() == FILES["manifest.json"]
    assert not linked.is_symlink()
    assert not mark.exists()
    (folder / "out").symlink_to("../../etc/passwd")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")
    with pytest.raises(PackageError, match="'out' is a link that leads out of the repository"):
        bring(f"git+{folder.as_uri()}")


def test_names_that_no_archive_may_have_are_refused(repository, git, bring):
    folder = repository(FILES)
    blob = git(folder, "rev-parse", "HEAD:manifest.json")
    tree = git(folder, "ls-tree", "HEAD")

    def committed(*names: str) -> str:
        lines = "".join(
            f"{tree}\n" for tree in [tree, *(f"100644 blob {blob}\t{n}" for n in names)]
        )
        made = git(folder, "mktree", data=lines.encode())
        return git(folder, "commit-tree", made, "-m", "x")

    git(folder, "branch", "case", committed("A.txt", "a.TXT"))
    with pytest.raises(PackageError, match="differ only in case"):
        bring(f"git+{folder.as_uri()}#case")
    git(folder, "branch", "names", committed("..\\x", "a:b", "nul"))
    assert paths(bring(f"git+{folder.as_uri()}#names").path) == set(FILES)


def test_a_repository_cannot_hold_more_than_a_package_may(repository, git, bring, monkeypatch):
    folder = repository(FILES)
    blob = git(folder, "rev-parse", "HEAD:manifest.json")
    lines = git(folder, "ls-tree", "HEAD")

    def branch(name: str, tree: str) -> None:
        made = git(folder, "mktree", data=f"{lines}\n{tree}".encode())
        git(folder, "branch", name, git(folder, "commit-tree", made, "-m", "x"))

    bomb = git(
        folder, "mktree", data="".join(f"100644 blob {blob}\t{n}\n" for n in range(16)).encode()
    )
    for _ in range(9):  # 16 to the power of 10 files
        entries = "".join(f"040000 tree {bomb}\t{n}\n" for n in range(16))
        bomb = git(folder, "mktree", data=entries.encode())
    branch("bomb", f"040000 tree {bomb}\tx\n")
    with pytest.raises(PackageError, match="too many files for a package"):
        bring(f"git+{folder.as_uri()}#bomb")
    branch("many", "".join(f"100644 blob {blob}\t{n}\n" for n in range(5000)))
    with pytest.raises(PackageError, match="5003 files; a package may have 4096"):
        bring(f"git+{folder.as_uri()}#many")
    monkeypatch.setattr(git_files, "LIMITS", Limits(total_bytes=100))
    with pytest.raises(PackageError, match="MB of files; a package may have"):
        bring(f"git+{folder.as_uri()}")


def test_a_soft_prompt_that_the_manifest_lists_is_taken(repository, bring):
    listed = manifest_v2(soft_prompts=[{"name": "a", "path": "soft/a.pt"}])
    files = {**expert_files(listed), "soft/a.pt": b"x", "soft/b.pt": b"x"}
    fetched = bring(f"git+{repository(files).as_uri()}")
    assert paths(fetched.path) == {*expert_files(listed), "soft/a.pt"}


def test_what_is_no_package_is_named(repository, bring):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    folder = repository({"README.md": b"x", "src/a.txt": b"x"})
    with pytest.raises(PackageError, match=r"not an expert package.*\nIt holds README.md, src"):
        bring(f"git+{folder.as_uri()}")
    repository({**FILES, "adapter_model.safetensors": pointer})
    with pytest.raises(PackageError, match=r"adapter_model.safetensors is kept with Git LFS"):
        bring(f"git+{folder.as_uri()}")


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Answer(401), PackageError, "needs a sign-in"),
        (Answer(403), PackageError, "needs a sign-in"),
        (Answer(404), PackageError, "no such repository"),
        (Answer(429), LoadError, r"too many requests \(429\)"),
        (Answer(503), LoadError, r"problem of its own \(HTTP 503\)"),
        (Answer(418), LoadError, "git cannot fetch"),
        (Answer(302, {"Location": "file:///etc/"}), LoadError, "cannot fetch"),
    ],
)
def test_refusals_say_what_to_do(web, served, bring, answer, kind, said):
    web.misbehave("/git/", answer)
    with pytest.raises(kind, match=said) as refused:
        bring(served.replace("http://", "http://me:s3cret@"))
    assert type(refused.value) is kind
    assert "\n  git: " in str(refused.value)
    assert "s3cret" not in str(refused.value)


VAGUE = "fatal: Could not read from remote repository.\n\nand the repository exists.\n"


@pytest.mark.parametrize(
    ("message", "said", "last"),
    [
        (f"git@h: Permission denied (publickey).\n{VAGUE}", "needs a sign-in", "Permission denied"),
        (
            f"ssh: connect to host h port 22: Connection refused\r\n{VAGUE}",
            "reached",
            "ssh: connect",
        ),
        ("fatal: dumb http transport does not support shallow", "only offers files", "dumb http"),
        ("fatal: could not read Username for 'https://me:x@h'", "sign-in", "'https://h'"),
        ("fatal: unable to access: SSL certificate problem", "cannot be reached", "SSL"),
        ("remote: \x1b[2J\nfatal: a\x1b]0;b\x07", "cannot fetch", "fatal: a\\x1b]0;b\\x07"),
        ("", "cannot fetch", "nothing"),
    ],
)
def test_the_words_of_git_and_ssh_are_passed_on(message, said, last):
    text = str(explain_git(message, GitRepository("ssh://git@h/x")))
    assert said in text
    assert last in text.partition("\n  git: ")[2].partition("\n")[0]


def test_a_password_is_used_and_seen_by_nobody(web, served, bring, monkeypatch):
    web.password = "s3cret"
    started = []
    popen = subprocess.Popen

    class Seen(popen):
        def __init__(self, arguments, **options):
            started.append(arguments)
            super().__init__(arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", Seen)
    fetched = bring(served.replace("http://", "http://me:s3cret@"))
    assert fetched.pinned == f"{served}#{fetched.revision}"
    assert started
    assert "s3cret" not in str(started)


def test_a_broken_connection_is_tried_again(web, served, bring, hub, tmp_path):
    web.misbehave("git-upload-pack", Answer(cut_after=40), times=3)
    assert paths(bring(served).path) == set(FILES)
    web.misbehave("git-upload-pack", Answer(cut_after=40))
    with pytest.raises(LoadError, match="the connection broke off"):
        fetch_commit(
            GitRepository(served.removeprefix("git+")),
            tmp_path,
            hub=dataclasses.replace(hub, retries=0),
            progress=None,
        )


def test_too_much_or_nothing_ends_the_fetch(web, served, hub, tmp_path):
    source = GitRepository(served.removeprefix("git+"))
    with pytest.raises(PackageError, match="the most that is fetched"):
        fetch_commit(source, tmp_path, hub=hub, progress=None, max_bytes=100)
    web.misbehave("git-upload-pack", Answer(body=HOLD))
    with pytest.raises(LoadError, match=r"cannot be reached\n.*nothing has arrived for 0 seconds"):
        fetch_commit(source, tmp_path, hub=hub, progress=None, stalled_s=0)
    assert not (tmp_path / "repository.git").exists()


def test_offline_only_what_is_here_is_fetched(served, repository, hub, tmp_path):
    offline = dataclasses.replace(hub, offline=True)
    with pytest.raises(LoadError, match="was not fetched: offline"):
        fetch(GitRepository(served.removeprefix("git+")), tmp_path / "x", hub=offline)
    here = tmp_path / "here"
    here.mkdir()
    fetched = fetch(GitRepository(repository({"README.md": b"x"}).as_uri()), here, hub=offline)
    assert paths(fetched.path) == {*FILES, "README.md"}


def test_without_git_the_error_says_so(repository, bring, monkeypatch):
    address = f"git+{repository(FILES).as_uri()}"
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LoadError, match="git is not installed"):
        bring(address)


@needs_posix("Ctrl-C for one process")
def test_ctrl_c_ends_git_and_its_children(web, served, bring, tmp_path):
    web.misbehave("git-upload-pack", Answer(body=HOLD))
    web.on_hold = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        bring(served)
    assert web.let_go.wait(10)  # the program that git had started has closed its connection
    assert list((tmp_path / "fetched").iterdir()) == []
