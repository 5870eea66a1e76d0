"""``hivellm-lite inspect``: the example of a prompt, with control tokens marked."""

from __future__ import annotations

import json
import sys

import pytest

from ..support.packages import adapter_files, manifest_bytes, manifest_v2, write_package
from ..support.paths import MODELS

TURNS = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role + '\n' + m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN3 = MODELS / "tiny-qwen3"

EXAMPLE = """\
  ⟦<|im_start|>⟧system↵
  Dialect: sql⟦<|im_end|>⟧↵
  ⟦<|im_start|>⟧user↵
  How many users are there?⟦<|im_end|>⟧↵
  ⟦<|im_start|>⟧assistant↵
"""


@pytest.fixture
def inspected(tool, tmp_path):
    """Inspect a package with these files, whose manifest names this template."""

    def run(*arguments: object, named: str | None = None, **files: str):
        manifest = manifest_v2(name="tiny", capabilities=["database:sql"])
        manifest["base_models"][0]["prompt_template"] = named
        named_files = {name.replace("__", "."): text.encode() for name, text in files.items()}
        content = {**adapter_files(), "manifest.json": manifest_bytes(manifest), **named_files}
        package = write_package(tmp_path / "tiny.expert", content)
        code, out, err = tool("inspect", package, *arguments)
        assert code == 0, err
        return out, err

    return run


def prompt_of(out: str) -> str:
    return out[out.index("\nprompt") + 1 :]


def test_the_tokens_of_a_base_that_is_a_folder_are_marked(inspected):
    out, _ = inspected("--base", QWEN3)
    assert "template      the base's chat template (chat_template.jinja)" in out
    first, _, rest = prompt_of(out).partition("\n")
    assert first.startswith("prompt        for example, with control tokens marked (the base's, ")
    assert rest == EXAMPLE


def test_the_tokens_of_a_gguf_file_are_marked(inspected, tiny_base):
    out, _ = inspected("--base", tiny_base)
    assert "template      the base's chat template (tokenizer.chat_template)" in out
    assert prompt_of(out).endswith(EXAMPLE)


def test_a_base_that_is_found_by_its_name_is_used(inspected, monkeypatch, tmp_path, tiny_base):
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("HIVELLM_MODELS", str(tmp_path / "models"))
    name = manifest_v2()["base_models"][0]["name"].rsplit("/", 1)[-1]
    (tmp_path / "models" / f"{name}.gguf").write_bytes(tiny_base.read_bytes())
    out, _ = inspected()
    assert prompt_of(out).endswith(EXAMPLE)


def test_without_a_base_the_package_says_which_tokens_there_are(inspected):
    added = {"5": {"content": "<|im_end|>", "special": True}}
    config = json.dumps({"chat_template": TURNS, "added_tokens_decoder": added})
    out, _ = inspected(tokenizer_config__json=config)
    assert "template      the package's chat template (tokenizer_config.json)" in out
    assert "with control tokens marked (the package's):" in out
    assert "  ⟦<|im_start|>⟧system↵\n  Dialect: sql⟦<|im_end|>⟧↵\n" in out


@pytest.mark.parametrize("folder", ["chat_templates", "additional_chat_templates"])
def test_a_template_in_a_folder_of_the_package_is_found(inspected, folder):
    out, _ = inspected("--base", QWEN3, **{f"{folder}/default.jinja": TURNS})
    assert f"template      the package's chat template ({folder}/default.jinja)" in out
    assert prompt_of(out).endswith(EXAMPLE)


def test_a_named_format_needs_no_base(inspected):
    out, _ = inspected(named="qwen3")
    assert prompt_of(out).endswith(EXAMPLE)
    assert "control tokens marked (ChatML's)" in out


def test_tags_that_a_base_does_not_have_are_not_marked(inspected):
    out, err = inspected("--base", MODELS / "tiny-gemma2", named="hivellm-tags")
    assert "⟦<bos>⟧<|system|>↵\n  Dialect: sql↵\n  <|end|>↵\n" in out
    out, err = inspected("--base", MODELS / "tiny-gemma2", named="chatml")
    assert "⟦<|im_start|>⟧" not in out
    assert "the tags of chatml are no tokens of this base" in err


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (None, "the base is needed (--base)"),
        ("{% if", "the package's chat template cannot be read: line 1"),
        ("{{ raise_exception('no') }}", "refuses this conversation: no"),
        ("{{ messages[-1].content * 1000 }}", "a short prompt has 39,000 characters"),
        ("{{ 'a' * 10 ** 9 }}", "was stopped"),
    ],
)
def test_where_there_is_no_example_it_is_said_why(inspected, template, problem):
    files = {} if template is None else {"chat_template__jinja": template}
    out, _ = inspected(**files)
    assert "prompt        no example: " in out
    assert problem in prompt_of(out)
    as_json = json.loads(inspected("--json", **files)[0])
    assert problem in as_json["prompt_example"]["problem"]
    assert as_json["prompt_example"]["parts"] == []


def test_a_base_that_is_not_there_is_an_error(tool, tiny_package, tmp_path):
    code, _, err = tool("inspect", tiny_package(), "--base", tmp_path / "none.gguf")
    assert code == 1
    assert "no base model at" in err


@pytest.mark.parametrize("content", [b"", b"GGUF" + bytes(60), None])
def test_a_damaged_base_is_no_reason_to_show_nothing(inspected, tmp_path, monkeypatch, content):
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("HIVELLM_MODELS", str(tmp_path / "models"))
    name = manifest_v2()["base_models"][0]["name"].rsplit("/", 1)[-1]
    path = tmp_path / "models" / f"{name}.gguf"
    if content is None:
        path.symlink_to(path)
    else:
        path.write_bytes(content)
    out, _ = inspected()
    assert "prompt        no example: " in out


@pytest.mark.parametrize("name", ["tokenizer.json", "added_tokens.json", "config.json"])
def test_a_link_that_leads_out_of_a_package_is_not_followed(tool, tmp_path, name):
    (tmp_path / "secret").write_text('{"added_tokens": [{"content": "<secret>"}]}')
    folder = tmp_path / "tiny"
    folder.mkdir()
    for path, content in {
        **adapter_files(),
        "manifest.json": manifest_bytes(manifest_v2()),
    }.items():
        (folder / path).write_bytes(content)
    (folder / name).symlink_to(tmp_path / "secret")
    _, out, err = tool("inspect", folder)
    assert "secret" not in out + err
    assert "⟦" not in out


def test_the_parts_are_in_the_json(inspected):
    facts = json.loads(inspected("--json", "--base", QWEN3)[0])
    assert facts["template"] == "the base's chat template (chat_template.jinja)"
    example = facts["prompt_example"]
    assert example["problem"] is None
    assert str(QWEN3) in example["control_tokens"]
    assert example["parts"][:3] == [
        {"text": "<|im_start|>", "control": True},
        {"text": "system\nDialect: sql", "control": False},
        {"text": "<|im_end|>", "control": True},
    ]


def test_nothing_in_it_reaches_a_terminal_as_a_command(inspected, monkeypatch):
    source = "{{ '\\x1b[2J\\u202e\\r' ~ messages[-1].content }}\nsigned        yes"
    out, _ = inspected(chat_template__jinja=source)
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\nsigned        yes" not in prompt_of(out)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out, _ = inspected("--base", QWEN3)
    assert "\x1b[7m<|im_start|>\x1b[0msystem↵\n" in out
