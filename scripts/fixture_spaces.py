"""Records where Transformers puts spaces in front of SentencePiece texts.

The script needs transformers and sentencepiece, and writes ``tests/fixtures/first_spaces.json``: a
list of forms of the tokenizer of ``tiny-mistral``, each with the tokens of a few prompts. Their
control tokens count.

    python scripts/fixture_spaces.py
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"

SPACE = "\u2581"
TEXTS = (
    "<s><|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n",
    "<s>[INST] Be brief.\n\nHi [/INST] Yes </s>[INST]  And now? [/INST]",
    "plain text",
    " one space<|im_end|> one more",
    "  two<|im_end|>  two<|im_end|>\n",
    "\n\nlines<|im_end|>\n\n<|im_end|>\t",
    "<|im_end|><|im_end|>x<|im_start|> <|im_start|>",
    f"{SPACE}low line<|im_end|>{SPACE}{SPACE}x é 東<|im_end|>",
    "<|im_end|>",
)

PREPENDS = {
    "normalizer": {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": SPACE},
            {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        ],
    },
    "pre_tokenizer": None,
}


def metaspace(scheme: str) -> dict[str, Any]:
    step = {"type": "Metaspace", "replacement": SPACE, "split": False, "prepend_scheme": scheme}
    return {"normalizer": None, "pre_tokenizer": step}


def forms() -> Iterator[dict[str, Any]]:
    """``model_type``; ``options``: keys of ``tokenizer_config.json``, None for those to remove;
    ``tokenizer``: keys of ``tokenizer.json``, None for a folder without one.
    """
    steps = (PREPENDS, *(metaspace(scheme) for scheme in ("first", "always", "never")))
    for tokenizer in steps:
        yield {"model_type": "mistral", "options": {}, "tokenizer": tokenizer}
    llamas = {"tokenizer_class": "LlamaTokenizer"}
    for options in (
        {"tokenizer_class": None},
        llamas,
        {**llamas, "legacy": False},
        {**llamas, "legacy": True},
        {**llamas, "legacy": True, "add_prefix_space": False},
        {"tokenizer_class": "LlamaTokenizerFast", "legacy": True},
    ):
        for model_type in ("llama", "mistral"):
            for tokenizer in (PREPENDS, None):
                yield {"model_type": model_type, "options": options, "tokenizer": tokenizer}
    yield {"model_type": "llama", "options": llamas, "tokenizer": metaspace("never")}
    yield {"model_type": "phi3", "options": {**llamas, "legacy": False}, "tokenizer": PREPENDS}


def write_form(form: dict[str, Any], folder: Path) -> None:
    """The tokenizer of ``tiny-mistral`` in this form."""
    shutil.copytree(FIXTURES / "models" / "tiny-mistral", folder, dirs_exist_ok=True)
    for name, changes in (
        ("config.json", {"model_type": form["model_type"]}),
        ("tokenizer_config.json", {"backend": None, **form["options"]}),
        ("tokenizer.json", form["tokenizer"] or {}),
    ):
        path = folder / name
        value = {**json.loads(path.read_text()), **changes}
        if name != "tokenizer.json":
            value = {key: one for key, one in value.items() if one is not None}
        path.write_text(json.dumps(value))
    if form["tokenizer"] is None:
        (folder / "tokenizer.json").unlink()


def main() -> None:
    recorded = []
    for form in forms():
        with tempfile.TemporaryDirectory() as folder:
            write_form(form, Path(folder))
            tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = [tokenizer(text, add_special_tokens=False).input_ids for text in TEXTS]
        recorded.append({**form, "ids": ids})
    path = FIXTURES / "first_spaces.json"
    path.write_text(json.dumps({"texts": TEXTS, "forms": recorded}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
