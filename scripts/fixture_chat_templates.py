"""Records the prompts that Transformers writes with the chat templates of the tests.

``tests/fixtures/chat_templates/`` has a small template of our own for each family of models, with
the traits of that family. This script gives tiny tokenizers the control tokens of the families and
writes ``tests/fixtures/chat_templates.json``: conversations, and for each family the tokens of
those that it can write. It needs transformers.

    python scripts/fixture_chat_templates.py
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from chat_conversations import CONVERSATIONS
from transformers import AutoTokenizer

FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"
TEMPLATES = FIXTURES / "chat_templates"

RECORDED = (
    *("turns", "system, turns", "edges", "edges without system", "thinking on", "thinking off"),
    *("thought", "tools, system", "call, answered", "two calls", "thought, call"),
    *("documents", "documents, system"),
)
"""Conversations that end with the beginning of an answer, and have no tags in their texts."""

_LLAMA = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_MISTRAL = (
    *("[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    *("[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
)
_PHI = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")

VOCABULARIES: dict[str, dict[str, Any]] = {
    "bytes": {
        "model": "tiny-qwen3",
        "tags": [
            *_LLAMA,
            *_MISTRAL,
            *("<|im_sep|>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
            *("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>", "<|tool_call|>"),
            *("<BOS_TOKEN>", "<EOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
            *("<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"),
            *("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
            *("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>"),
            *("<｜tool▁call▁end｜>", "<｜tool▁sep｜>", "<｜tool▁outputs▁begin｜>"),
            *("<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"),
            *("[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]"),
            *("<｜hy_begin▁of▁sentence｜>", "<｜hy_place▁holder▁no▁3｜>", "<｜hy_User｜>"),
            *("<｜hy_Assistant｜>", "<｜hy_place▁holder▁no▁2｜>"),
            *("<|startoftext|>", "<|tool_list_start|>", "<|tool_list_end|>", "<|tool_call_start|>"),
            *("<|tool_call_end|>", "<|tool_response_start|>", "<|tool_response_end|>"),
            *("[gMASK]", "<sop>", *_PHI, "<|observation|>"),
            *("<|start|>", "<|channel|>", "<|message|>", "<|call|>", "<|return|>"),
            *("<|im_user|>", "<|im_middle|>", "<|im_assistant|>", "<|im_system|>"),
            *("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
            *("<|tool_call_begin|>", "<|tool_call_argument_begin|>"),
        ],
    },
    "pieces": {
        "model": "tiny-mistral",
        "tags": [*_MISTRAL, "<|begin_of_sentence|>", "<|end_of_sentence|>"],
    },
    # white space after these tags is swallowed
    "phi": {"model": "tiny-phi3", "tags": [], "rstrip": list(_PHI)},
    "gemma": {"model": "tiny-gemma2", "tags": []},
}

_PIECES = ("pieces", "<s>", "</s>")
FAMILIES = {
    "command-r": ("bytes", "<BOS_TOKEN>", "<EOS_TOKEN>"),
    "deepseek-r1": ("bytes", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "ernie4.5": _PIECES,
    "exaone3.5": ("bytes", "[BOS]", "[|endofturn|]"),
    "falcon3": ("bytes", None, "<|endoftext|>"),
    "gemma2": ("gemma", "<bos>", "<eos>"),
    "gemma3": ("gemma", "<bos>", "<eos>"),
    "glm4": ("bytes", None, "<|endoftext|>"),
    "granite3": ("bytes", "<|end_of_text|>", "<|end_of_text|>"),
    "harmony": ("bytes", "<|startoftext|>", "<|return|>"),
    "hunyuan": ("bytes", "<｜hy_begin▁of▁sentence｜>", "<｜hy_place▁holder▁no▁2｜>"),
    "kimi": ("bytes", None, "<|im_end|>"),
    "lfm2": ("bytes", "<|startoftext|>", "<|im_end|>"),
    "llama2": _PIECES,
    "llama3": ("bytes", "<|begin_of_text|>", "<|eot_id|>"),
    "llama3.1": ("bytes", "<|begin_of_text|>", "<|eot_id|>"),
    "minicpm": _PIECES,
    "mistral-nemo": ("bytes", "<s>", "</s>"),
    "mistral-v0.3": _PIECES,
    "nemotron": ("bytes", "<|begin_of_text|>", "<|eot_id|>"),
    "olmo2": ("bytes", "<|endoftext|>", "<|endoftext|>"),
    "phi3": ("phi", "<s>", "<|endoftext|>"),
    "phi4": ("bytes", None, "<|im_end|>"),
    "qwen2.5": ("bytes", None, "<|im_end|>"),
    "qwen3": ("bytes", None, "<|im_end|>"),
    "smollm2": ("bytes", None, "<|im_end|>"),
    "smollm3": ("bytes", None, "<|im_end|>"),
    "zephyr": _PIECES,
}
"""Vocabulary, and the tokens that begin and end a text."""


def write_tokenizer(vocabulary: dict[str, Any], folder: Path) -> None:
    """A tiny model's tokenizer with more control tokens."""
    shutil.copytree(FIXTURES / "models" / vocabulary["model"], folder, dirs_exist_ok=True)
    path = folder / "tokenizer.json"
    value = json.loads(path.read_text())
    known = {token["content"] for token in value["added_tokens"]}
    size = len(value["model"]["vocab"].keys() | known)
    rstrips = vocabulary.get("rstrip", [])
    for tag in [*vocabulary["tags"], *rstrips]:
        if tag not in known:
            value["added_tokens"].append(
                {
                    **dict.fromkeys(("single_word", "lstrip", "normalized"), False),
                    "id": size,
                    "content": tag,
                    "rstrip": tag in rstrips,
                    "special": True,
                }
            )
            size += 1
    path.write_text(json.dumps(value))


def can_be_written(source: str, conversation: dict[str, Any]) -> bool:
    """Whether a template reads everything that the conversation has."""
    calls = any("tool_calls" in message for message in conversation["messages"])
    needed = [name for name in ("tools", "documents") if name in conversation]
    return all(name in source for name in needed + ["tool_calls"] * calls)


def main() -> None:
    families: dict[str, Any] = {}
    tokenizers = {}
    for name, vocabulary in VOCABULARIES.items():
        with tempfile.TemporaryDirectory() as folder:
            write_tokenizer(vocabulary, Path(folder))
            tokenizers[name] = AutoTokenizer.from_pretrained(folder)
    for name, (vocabulary, begin, end) in FAMILIES.items():
        source = (TEMPLATES / f"{name}.jinja").read_text()
        tokenizer = tokenizers[vocabulary]
        named = {"bos_token": begin, "eos_token": end}
        tokens = {kind: text for kind, text in named.items() if text is not None}
        ids: dict[str, list[int]] = {}
        for title in RECORDED:
            told = json.loads(json.dumps(CONVERSATIONS[title]))
            if not can_be_written(source, told):
                continue
            told = {"enable_thinking": False, "thinking": False, "chat_template": source, **told}
            try:
                text = tokenizer.apply_chat_template(
                    told.pop("messages"),
                    tokenize=False,
                    add_generation_prompt=True,
                    **tokens,
                    **told,
                )
            except Exception as error:
                print(f"{name}, {title}: {type(error).__name__}: {error}")
                continue
            ids[title] = tokenizer(text, add_special_tokens=False).input_ids
        families[name] = {"vocabulary": vocabulary, "tokens": tokens, "ids": ids}
    result = {
        "conversations": {title: CONVERSATIONS[title] for title in RECORDED},
        "vocabularies": VOCABULARIES,
        "families": families,
    }
    path = FIXTURES / "chat_templates.json"
    path.write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
