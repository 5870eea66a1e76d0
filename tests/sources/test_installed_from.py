"""Installing from every kind of source, and on bad days."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hivellm_lite import LoadError
from hivellm_lite.hub import Hub
from hivellm_lite.installation.home import ExpertHome
from hivellm_lite.installation.installing import install, update, wanted_of_text
from hivellm_lite.installation.records import read_record
from hivellm_lite.installation.wanted import Checks, Wanted
from hivellm_lite.sources.settings import Settings

from ..support.hub_server import Answer, HubServer
from ..support.packages import expert_files, manifest_v2, tar_bytes, write_package
from ..support.packages import member as header
from ..support.web_server import WebServer


def files(version: str = "1.0.0", name: str = "expert-tiny") -> dict[str, bytes]:
    return expert_files(manifest_v2(name=name, version=version))


def archive(version: str = "1.0.0", name: str = "expert-tiny") -> bytes:
    return tar_bytes((header(path), data) for path, data in files(version, name).items())


class Sources:
    """One package, offered by every kind of source; ``offer`` publishes another version."""

    def __init__(
        self,
        tmp_path: Path,
        server: HubServer,
        web: WebServer,
        repository: Callable[..., Path],
    ) -> None:
        self.server, self.web = server, web
        self._repository = repository
        self._folder = tmp_path / "offered"
        self._folder.mkdir()
        web.repositories = repository(files()).parent
        self.offer("1.0.0")

    def offer(self, version: str) -> None:
        data = archive(version)
        self.server.add("me/tiny", {"tiny.expert": data})
        self.web.files["/tiny.expert"] = data
        if version != "1.0.0":
            self._repository(files(version))
        write_package(self._folder / "tiny", files(version))
        (self._folder / "tiny.expert").write_bytes(data)
        self.sha256 = hashlib.sha256(data).hexdigest()

    def texts(self) -> dict[str, str]:
        return {
            "hub": "me/tiny",
            "git": f"git+{self.web.url}/git/tiny.git/.git",
            "web": f"{self.web.url}/tiny.expert#sha256={self.sha256}",
            "file": (self._folder / "tiny.expert").as_uri(),
            "folder": str(self._folder / "tiny"),
        }


@pytest.fixture
def sources(
    tmp_path: Path, server: HubServer, web: WebServer, repository: Callable[..., Path]
) -> Sources:
    return Sources(tmp_path, server, web, repository)


def installed(home: ExpertHome) -> list[str]:
    return [one.identity for one in home.read().versions()]


def test_every_kind_of_source_is_installed_and_updated(tmp_path: Path, sources: Sources, hub: Hub):
    checks = Checks(hub=hub)
    homes = {kind: ExpertHome(tmp_path / "homes" / kind) for kind in sources.texts()}
    pinned = {}
    for kind, text in sources.texts().items():
        install(homes[kind], [Wanted(text)], Settings(), checks=checks)
        (one,) = homes[kind].read().versions()
        record = read_record(one.path)
        assert record is not None
        pinned[kind] = record.pinned
        assert "://127.0.0.1" in one.source or "tiny" in one.source
    commit = sources.server.repositories["me/tiny"].commit
    assert pinned["hub"] == f"me/tiny@{commit}"
    assert pinned["git"] is not None
    assert len(pinned["git"].partition("#")[2]) == 40
    assert pinned["web"] == sources.texts()["web"]
    assert pinned["file"] is pinned["folder"] is None

    sources.offer("1.1.0")
    kinds = {
        kind: update(home, (), Settings(), checks=checks)[0].kind for kind, home in homes.items()
    }
    assert kinds == {kind: "pinned" if kind == "web" else "newer" for kind in kinds}
    assert installed(homes["git"]) == ["expert-tiny@1.1.0"]
    # what was pinned brings the old bytes again, where the source still has them
    other = ExpertHome(tmp_path / "homes" / "other")
    install(other, [Wanted(pinned["git"])], Settings(), checks=checks)
    assert installed(other) == ["expert-tiny@1.0.0"]


BAD_DAYS = {
    "connection": (Answer(cut_after=0), "broke off|connection|cannot reach|early EOF|RPC failed"),
    "401": (Answer(401), "401|private|sign in|sign-in"),
    "404": (Answer(404), "no repository|404|not there|no such|not found|no longer holds"),
    "429": (Answer(429, {"Retry-After": "7"}), "429|too many|7 seconds"),
    "digest": (None, "digest|SHA-256|no such commit|not what the Hub lists"),
}


@pytest.mark.parametrize("day", BAD_DAYS)
def test_on_a_bad_day_nothing_is_installed_and_what_is_there_stays(
    tmp_path: Path, sources: Sources, hub: Hub, day: str
):
    home = ExpertHome()
    there = write_package(tmp_path / "there", files(name="expert-there"))
    checks = Checks(hub=hub)
    install(home, [Wanted(str(there))], Settings(), checks=checks)
    before = home.registry_path.read_bytes()
    answer, said = BAD_DAYS[day]
    texts = {kind: sources.texts()[kind] for kind in ("hub", "git", "web")}
    if answer is None:
        texts["git"] += f"#{'0' * 40}"
        texts["web"] = texts["web"][:-64] + "0" * 64
        data = sources.server.repositories["me/tiny"].files["tiny.expert"]
        sources.server.misbehave("tiny.expert", Answer(body=bytes(len(data))))
    else:
        sources.server.misbehave("tiny.expert", answer)
        sources.web.misbehave("tiny", answer)
    for text in texts.values():
        with pytest.raises(LoadError, match=said):
            install(home, [Wanted(text)], Settings(), checks=checks)
        assert home.registry_path.read_bytes() == before
        assert {path.name for path in (home.root / "experts").iterdir()} == {"expert-there"}


def test_an_expert_is_installed_by_its_name_and_updated_from_the_same_index(
    tmp_path: Path, sources: Sources, hub: Hub
):
    def entry(version: str, **more: Any) -> dict[str, Any]:
        data = archive(version)
        (tmp_path / f"tiny-{version}.expert").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        source = f"tiny-{version}.expert"
        return {"name": "expert-tiny", "version": version, "source": source,
                "sha256": digest, **more}  # fmt: skip

    def publish(name: str, *entries: dict[str, Any]) -> str:
        place = tmp_path / name
        place.write_text(json.dumps({"format": "hivellm-index/1", "experts": entries}))
        return str(place)

    versions = [entry("0.9.0"), entry("1.0.0"), entry("2.0.0-rc.1")]
    settings = Settings(indexes=(publish("index.json", *versions),))
    home, checks = ExpertHome(), Checks(hub=hub)
    install(home, [wanted_of_text("tiny", settings, offline=True)], settings, checks=checks)
    assert installed(home) == ["expert-tiny@1.0.0"], "the newest release"
    wanted = wanted_of_text("expert-tiny@<1", settings, offline=True)
    assert wanted.version == "0.9.0"

    def renewed(*indexes: str) -> tuple[str, str]:
        (one,) = update(home, (), Settings(indexes=indexes), checks=checks)
        return one.kind, one.reason

    assert renewed(*settings.indexes)[0] == "current"
    other = publish("other.json", *versions, entry("3.0.0"))
    assert renewed(settings.indexes[0], other)[0] == "current", "another index is not asked"
    assert renewed(other)[0] == "refused"
    publish("index.json", *versions, entry("1.1.0", sha256="0" * 64))
    kind, reason = renewed(*settings.indexes)
    assert (kind, "SHA-256 of the archive differs" in reason) == ("refused", True)
    publish("index.json", *versions, entry("1.1.0", publisher_key=f"ed25519:{'0' * 64}"))
    kind, reason = renewed(*settings.indexes)
    assert (kind, "its signing key differs" in reason) == ("refused", True)
    publish("index.json", *versions, entry("1.1.0"))
    assert renewed(*settings.indexes)[0] == "newer"
    assert installed(home) == ["expert-tiny@1.1.0"]


def test_what_an_expert_requires_is_found_in_the_indexes_first(tmp_path: Path, hub: Hub):
    (tmp_path / "needed.expert").write_bytes(archive(name="expert-needed"))
    entry = {"name": "expert-needed", "version": "1.0.0", "source": "needed.expert"}
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"format": "hivellm-index/1", "experts": [entry]}))
    manifest = manifest_v2(name="expert-a", constraints={"requires": ["expert-needed@>=1"]})
    source = write_package(tmp_path / "a", expert_files(manifest))
    home = ExpertHome()
    settings = Settings(indexes=(str(index),), requires_url="file:///nowhere/{name}")
    install(home, [Wanted(str(source))], settings, checks=Checks(hub=hub))
    assert installed(home) == ["expert-a@0.3.0", "expert-needed@1.0.0"]
