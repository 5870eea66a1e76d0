"""Compares chat templates with Transformers: the same text, and no text of a user as a tag.

Run by hand in an environment with transformers and jinja2, with a folder of ``.jinja`` files, such
as ``models/templates`` in llama.cpp's sources::

    python -m benchmarks.chat_templates FOLDER [--verbose]

The table has a row for each template: conversations that come out alike; those that differ; those
that Transformers cannot write, which must be refused here, too; and how many times a tag of the
template stood in a text of a stranger and stayed text.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hivellm_lite.chat_templates import ChatTemplate, ChatTemplateError, Rendered
from scripts.chat_conversations import CONVERSATIONS, texts_changed

TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
}

_TAG = re.compile(r"<[^<>\s{}%]{1,48}>|\[/?[A-Z_]{1,30}\]|\]?<\]?[^<>\s{}%]{1,40}\[?>\[?")
BEGIN, END = "\ue000", "\ue001"
_ESCAPED = ("\\ue000", "\\ue001")


def reference(source: str, conversation: dict[str, Any]) -> str | None:
    """What Transformers writes; None if the template refuses the conversation or fails."""
    from transformers.utils.chat_template_utils import render_jinja_template

    told = json.loads(json.dumps(conversation))
    messages = told.pop("messages")
    try:
        texts, _ = render_jinja_template(
            [messages], chat_template=source, **{"add_generation_prompt": True, **TOKENS, **told}
        )
    except Exception:
        return None
    return str(texts[0])


def rendered(template: ChatTemplate, conversation: dict[str, Any]) -> Rendered | str:
    """What we write, or why not."""
    told = {"add_generation_prompt": True, **conversation}
    switches = {name: told.pop(name) for name in ("enable_thinking", "thinking") if name in told}
    try:
        return template.render(**told, thinking=switches.get("thinking", False))
    except ChatTemplateError as error:
        return str(error)


def tags_of(source: str) -> list[str]:
    """The names of control tokens in a template, as far as they can be guessed."""
    return sorted({*_TAG.findall(source), "<|im_end|>", "</s>", "</think>", "<think>"})


def attacked(conversation: dict[str, Any], tags: list[str]) -> dict[str, Any]:
    """The conversation with all ``tags`` in all texts of strangers, each between two marks.

    Templates cut an answer of the past at the end of its thought; so in answers there are no
    tags of thoughts.
    """

    def changed(value: Any) -> Any:
        answers = isinstance(value, dict) and value.get("role") == "assistant"
        some = [tag for tag in tags if not (answers and "think" in tag.lower())]
        attack = "".join(f"{BEGIN}{tag}{END}" for tag in some)
        return texts_changed(value, lambda text: f"{text}{attack}")

    return {
        key: [changed(one) for one in value] if key in ("messages", "tools", "documents") else value
        for key, value in conversation.items()
    }


def escapes(found: Rendered) -> Iterator[str]:
    """Texts of strangers that count as the template's own."""
    origins = [origin for text, origin in found.parts for _ in text]
    for part, origin in found.parts:
        if origin is None and any(sign in part for sign in (BEGIN, END, *_ESCAPED)):
            yield part
    for match in re.finditer(f"{BEGIN}([^{BEGIN}]*?){END}", found.text):
        if None in origins[match.start() : match.end()]:
            yield match[0]


def compare(path: Path, *, verbose: bool) -> tuple[int, int, int, int, int]:
    """Conversations alike, different and refused, tags that stayed text, and tags that did not."""
    source = path.read_text("utf-8")
    template = ChatTemplate(source, tokens=TOKENS, name=path.name)
    alike = different = refused = kept = escaped = 0
    tags = tags_of(source)
    for name, conversation in CONVERSATIONS.items():
        # a switch that is not given is off here
        told = {"enable_thinking": False, "thinking": False, **conversation}
        wanted, found = reference(source, told), rendered(template, told)
        text = found.text if isinstance(found, Rendered) else None
        if text == wanted:
            alike += wanted is not None
            refused += wanted is None
        else:
            different += 1
            if verbose:
                print(f"--- {path.name}: {name}\n{wanted!r}\n{found if text is None else text!r}\n")
        under_attack = rendered(template, attacked(told, tags))
        if isinstance(under_attack, Rendered):
            found_here = list(escapes(under_attack))
            escaped += len(found_here)
            kept += under_attack.text.count(BEGIN)
            if verbose and found_here:
                print(f"--- {path.name}: {name}: ESCAPED {found_here[:2]!r}\n")
            if verbose and under_attack.mixed_in:
                print(f"--- {path.name}: {name}: mixed in {under_attack.mixed_in}")
        elif verbose and text is not None:
            print(f"--- {path.name}: {name}: attacked: {under_attack[:300]}\n")
    return alike, different, refused, kept, escaped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    print(
        "| template | alike | different | refused by both | tags kept as text | tags let through |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    totals = [0] * 5
    paths = sorted(options.folder.glob("*.jinja"))
    for path in paths:
        counts = compare(path, verbose=options.verbose)
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
        print(f"| {path.stem} | " + " | ".join(map(str, counts)) + " |")
    print(f"| **{len(paths)} templates** | " + " | ".join(map(str, totals)) + " |")
    sys.exit(bool(totals[1] or totals[4]))


if __name__ == "__main__":
    main()
