"""The file of a fleet."""

from __future__ import annotations

from pathlib import Path

import pytest

from hivellm_lite.cluster.config import read_fleet
from hivellm_lite.cluster.options import ClusterOptions, Fleet
from hivellm_lite.server.options import ServerOptions

PACKAGES = '[packages]\nsql = "expert-sql"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "fleet.toml"
    path.write_text(text)
    return path


def test_options_of_serve_and_of_the_cluster_stand_in_one_file(tmp_path):
    (tmp_path / "keys").write_text("ann a-key-of-sixteen-characters\n")
    fleet = read_fleet(
        written(
            tmp_path,
            f"""
            base = "owner/model"
            port = 9000
            queue = 7
            max-body = "1MiB"
            own-context-bytes = "2GiB"
            cors = ["https://example.org"]
            api-key-file = "{tmp_path / "keys"}"
            n-ctx = 512
            no-verify = true
            require-signature = true
            max-loaded-experts = 3
            max-memory = "4GB"
            [packages]
            sql = "expert-sql@0.3.0"
            [cluster]
            replicas = 2
            max-replicas = 5
            gpus = 0.5
            """,
        )
    )
    assert fleet == Fleet(
        {"sql": "expert-sql@0.3.0"},
        server=ServerOptions(
            port=9000, queue=7, max_body=1 << 20, cors=("https://example.org",),
            keys=fleet.server.keys,
        ),
        cluster=ClusterOptions(replicas=2, max_replicas=5, gpus=0.5),
        load={"base": "owner/model", "own_context_bytes": 2 << 30, "n_ctx": 512, "verify": False,
              "signatures": "require"},
        max_loaded_experts=3,
        max_memory="4GB",
    )  # fmt: skip
    assert [key.name for key in fleet.server.keys] == ["ann"]


def test_paths_are_those_of_this_folder_for_every_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sql.expert").write_bytes(b"")
    (tmp_path / "model.gguf").write_bytes(b"")
    text = 'base = "model.gguf"\ncache-dir = "new"\n[packages]\nsql = "sql.expert"\nx = "hub/x"\n'
    fleet = read_fleet(written(tmp_path, text))
    assert fleet.packages == {"sql": str(tmp_path / "sql.expert"), "x": "hub/x"}
    assert fleet.load == {"base": str(tmp_path / "model.gguf"), "cache_dir": str(tmp_path / "new")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "name at least one package"),
        ("[packages]\n", "name at least one package"),
        ('packages = ["a.expert"]', r"packages: write it as a table: \[packages\]"),
        (f"cluster = 3\n{PACKAGES}", r"cluster: write it as a table"),
        (f"sevrer = 3\n{PACKAGES}", "no option 'sevrer'; there are adapter_mode"),
        (f"{PACKAGES}[cluster]\nreplica = 3\n", r"no option in \[cluster\] 'replica'; there are"),
        (f"{PACKAGES}[cluster]\nreplicas = 0\n", "replicas=0: must be 1 or more"),
        (f'{PACKAGES}[cluster]\nreplicas = "two"\n', "replicas='two': must be a whole number"),
        (f"{PACKAGES}[cluster]\nreplicas = true\n", "replicas=True: must be a whole number"),
        (f"{PACKAGES}[cluster]\nongoing = 1.5\n", "ongoing=1.5: must be a whole number"),
        (f"{PACKAGES}[cluster]\ncpus = nan\n", "cpus=nan: must be 0 or more"),
        (f'{PACKAGES}[cluster]\ngpus = "one"\n', "gpus='one': must be a number"),
        (f"{PACKAGES}[cluster]\ncpus = inf\n", "cpus=inf: must be 0 or more, and finite"),
        (f"{PACKAGES}[cluster]\ngpus = 1.5\n", "gpus=1.5: parts are possible of one GPU only"),
        (f"n-ctx = -5\n{PACKAGES}", "n_ctx=-5: must be from 1"),
        (f'adapter-mode = "best"\n{PACKAGES}', "best"),
        (f"max-streams = 0\n{PACKAGES}", "max_streams=0"),
        (f"max-loaded-experts = 0\n{PACKAGES}", "max_loaded_experts=0: must be 1 or more"),
        (f'max-memory = "big"\n{PACKAGES}', "'big' is no amount of memory"),
        (f"{PACKAGES}[cluster]\nreplicas = 4\nmax-replicas = 3\n", "must be replicas=4 or more"),
        (f'{PACKAGES}[cluster]\nname = ""\n', "name: must not be empty"),
        (f"port = 70000\n{PACKAGES}", "port=70000: must be from 0 to 65535"),
        (f'port = "http"\n{PACKAGES}', "port='http': must be a whole number"),
        (f'host = "0.0.0.0"\n{PACKAGES}', "no API key is set"),
        (f'allow-loading = "."\n{PACKAGES}', "a fleet's experts are those of its configuration"),
        (f'max-body = "big"\n{PACKAGES}', "big"),
        (f'api-key-file = "nowhere"\n{PACKAGES}', "nowhere"),
        ("[packages]\nsql = 7\n", "sql=7: must be a text"),
        ("[packages]\nauto = 'x'\n", "'auto' cannot be an expert's name"),
        (
            f'cors = "https://example.org"\n{PACKAGES}',
            "cors='https://example.org': must be a list of texts",
        ),
        (f"cors = [7]\n{PACKAGES}", r"cors=\[7\]: must be a list of texts"),
        (f"n-ctx = 1.5\n{PACKAGES}", "n_ctx=1.5: must be a whole number"),
        (f'cors = ["a"\n{PACKAGES}', "fleet.toml"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_file(tmp_path, text, told):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=told) as raised:
        read_fleet(path)
    assert str(raised.value).startswith(f"{path}: ")


def test_a_file_that_is_not_there_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_fleet(tmp_path / "no.toml")


def test_a_home_is_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "sql.expert").write_bytes(b"")
    text = 'cache-dir = "~/cache"\n[packages]\nsql = "~/sql.expert"\n'
    fleet = read_fleet(written(tmp_path, text))
    assert fleet.packages == {"sql": str(tmp_path / "sql.expert")}
    assert fleet.load == {"cache_dir": str(tmp_path / "cache")}
