"""`Expert.score` against PEFT: the same adapter, prompts and tokens, everything in float32.

::

    python -m benchmarks.peft_parity --hugging-face FOLDER --peft-python PYTHON

``FOLDER`` is the base as a Hugging Face folder, ``PYTHON`` one with torch,
transformers and peft (``make train`` sets one up in ``.training-venv``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from hivellm_lite import Expert

from .table import show

ROOT = Path(__file__).parents[1]
EXPERTS = ROOT / "examples" / "experts"
REFERENCE = Path(__file__).parent / "peft_reference.py"
COUNT = 20


def questions(name: str) -> list[tuple[str, str, str]]:
    """(question, schema, expected answer) of held-out examples."""
    sys.path.insert(0, str(ROOT / "examples"))
    from training.generators import held_out

    return [(one.question, one.schema, one.answer) for one in held_out(name, COUNT)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hugging-face", type=Path, required=True)
    parser.add_argument("--peft-python", type=Path, required=True)
    given = parser.parse_args()
    rows = []
    for package in sorted(EXPERTS.glob("*.expert")):
        expert = Expert.load(
            package,
            base=given.hugging_face,
            quantization="f32",
            variant_type="f32",
            kv_type="f32",
            flash_attention=False,
        )
        requests, ours = [], []
        for question, schema, answer in questions(package.stem):
            scores = expert.score(question, answer, schema=schema)
            prompt = expert.tokenize_prompt(question, schema=schema)
            requests.append([prompt, [score.token for score in scores]])
            ours.append([[score.logprob, score.top_token] for score in scores])
        done = subprocess.run(
            [given.peft_python, REFERENCE, given.hugging_face, expert.package.root],
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            check=True,
        )
        theirs = json.loads(done.stdout.splitlines()[-1])
        pairs = [
            (a, b)
            for mine, other in zip(ours, theirs, strict=True)
            for a, b in zip(mine, other, strict=True)
        ]
        worst = max(abs(a[0] - b[0]) for a, b in pairs)
        same = sum(a[1] == b[1] for a, b in pairs) / len(pairs)
        rows.append((expert.name, expert.prepared.form, len(pairs), f"{worst:.1e}", f"{same:.1%}"))
        expert.close()
    show(
        f"Log-probabilities against PEFT, {COUNT} held-out answers each, float32",
        ("expert", "form", "tokens", "largest difference", "same top token"),
        rows,
    )


if __name__ == "__main__":
    main()
