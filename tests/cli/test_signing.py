"""keygen, sign, verify and trust; --require-signature of every command that opens packages."""

from __future__ import annotations

import json

import pytest

from ..support.packages import write_package
from ..support.signed_packages import PUBLIC, hivellm_signed, signed, unsigned


def test_from_a_new_key_to_a_trusted_package(tool, tmp_path):
    key, package = tmp_path / "me.key", write_package(tmp_path / "p.expert", unsigned())
    code, out, err = tool("keygen", key)
    assert (code, err) == (0, "")
    public = (tmp_path / "me.pub").read_text()
    assert public in out
    assert key.read_bytes().hex() not in out
    assert tool("keygen", key)[0] == 1

    code, out, _ = tool("verify", package)
    assert code == 1
    assert out == "expert-tiny@0.3.0\nsigned        no\n"
    code, out, err = tool("sign", package, "--key", key, "--publisher", "Ann")
    assert (code, err) == (0, "")
    assert "expert-tiny@0.3.0: signed" in out
    assert public in out
    code, out, _ = tool("verify", package)
    assert code == 1
    assert "a key that is not trusted" in out
    code, _, err = tool("inspect", package, "--require-signature")
    assert code == 1
    assert f"trust add {public}" in err

    assert tool("trust", "add", tmp_path / "me.pub", "--name", "ann")[0] == 0
    assert tool("trust", "list") == (0, f"ann  {public}\n", "")
    code, out, _ = tool("trust", "list", "--json")
    assert json.loads(out) == {"keys": [{"name": "ann", "key": public}], "problems": []}
    code, out, err = tool("verify", package)
    assert (code, err) == (0, "")
    assert "yes: trusted as ann" in out
    assert "every file, manifest.json included" in out
    code, out, _ = tool("verify", package, "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["state"], facts["trusted"], facts["trusted_as"]) == ("signed", True, "ann")
    assert facts["reservations"] == []
    code, out, _ = tool("inspect", package, "--json", "--require-signature")
    assert code == 0
    assert json.loads(out)["signature"] == {
        name: value for name, value in facts.items() if name not in ("name", "version")
    }

    assert tool("trust", "remove", "ann") == (0, "no longer trusted: ann\n", "")
    code, out, err = tool("trust", "list")
    assert (code, out) == (0, "")
    assert "No key is trusted" in err
    assert tool("verify", package)[0] == 1


def test_what_is_said_of_hivellms_signature_and_of_a_broken_one(tool, tmp_path):
    package = write_package(tmp_path / "p.expert", hivellm_signed())
    assert tool("trust", "add", PUBLIC)[0] == 0
    code, out, _ = tool("verify", package)
    assert code == 0
    assert "every other file" in out
    assert "HiveLLM's signature does not cover manifest.json" in out
    code, out, _ = tool("inspect", package)
    assert "HiveLLM's signature does not cover manifest.json" in out
    assert "publisher   'expert-cli'" in out

    write_package(package, {**signed(), "README.md": b"changed"})
    code, out, err = tool("verify", package)
    assert (code, out) == (1, "")
    assert 'changed since it was signed (integrity.files): "README.md"' in err
    code, out, _ = tool("verify", package, "--json")
    assert code == 1
    assert json.loads(out)["state"] == "refused"


@pytest.mark.parametrize(
    "command",
    [
        *("inspect P", "route x P", "estimate P", "convert P", "verify-conversion P", "bench P"),
        *("run P x", "chat P", "serve P", "grammar check P"),
        "batch P IN",
    ],
)
def test_every_command_that_opens_packages_can_require_a_signature(
    tool, tmp_path, command, monkeypatch
):
    package = write_package(tmp_path / "p.expert", unsigned())
    (tmp_path / "in.jsonl").write_text('"x"\n')
    places = {"P": package, "IN": tmp_path / "in.jsonl"}
    words = [places.get(word, word) for word in command.split()]
    refusal = "not signed, and a signature is required"
    code, _, err = tool(*words, "--require-signature")
    assert code == 1
    assert refusal in err
    assert "without --require-signature." in err
    monkeypatch.setenv("HIVELLM_SIGNATURES", "require")
    assert refusal in tool(*words)[2]


@pytest.mark.parametrize("secret", [b"a key of 32 readable characters!", bytes(range(160, 192))])
def test_a_private_key_in_the_wrong_place_is_not_shown(tool, tmp_path, secret):
    key = tmp_path / "me"
    key.write_bytes(secret)
    package = write_package(tmp_path / "p.expert", unsigned())
    (tmp_path / "experts" / "trusted").mkdir(parents=True)
    (tmp_path / "experts" / "trusted" / "me.pub").write_bytes(secret)
    for code, *words in (
        (1, "trust", "add", key),
        (0, "trust", "list"),
        (0, "sign", package, "--key", key),
        (1, "sign", package, "--key", package),
        (1, "sign", package, "--key", tmp_path / "gone"),
    ):
        found, out, err = tool(*words)
        assert found == code
        for shown in (secret.hex(), repr(secret)[2:-1], secret.decode("latin-1")):
            assert shown[:12] not in out + err
        assert found == 0 or len(err.splitlines()) >= 2
