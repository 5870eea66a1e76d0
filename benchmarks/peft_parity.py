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
import tempfile
from pathlib import Path

import numpy as np

from hivellm_lite import Expert
from hivellm_lite.verification import greedy, log_probabilities

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
    parser.add_argument("--expert", action="append", help="only this one; may be repeated")
    given = parser.parse_args()
    names = given.expert or sorted(path.stem for path in EXPERTS.glob("*.expert"))
    rows = [compare_one(name, given.hugging_face, given.peft_python) for name in names]
    show(
        f"Against PEFT in float32, {COUNT} held-out answers each",
        ("expert", "form", "tokens", "log-probability", "mean KL", "top token", "greedy texts"),
        rows,
    )


def compare_one(name: str, hugging_face: Path, peft_python: Path) -> tuple[str, ...]:
    """One row: largest difference, mean divergence, share of same top tokens and texts."""
    expert = Expert.load(
        EXPERTS / f"{name}.expert",
        base=hugging_face,
        quantization="f32",
        variant_type="f32",
        kv_type="f32",
        flash_attention=False,
    )
    session = expert.session
    assert session is not None
    requests, ours, texts = [], [], []
    for question, schema, answer in questions(name):
        prompt = expert.tokenize_prompt(question, schema=schema)
        completion = [score.token for score in expert.score(question, answer, schema=schema)]
        requests.append([prompt, completion])
        ours.append(log_probabilities(session, expert.applied(), prompt, completion))
        texts.append(greedy(session, prompt, len(completion), expert.applied()))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "rows.npy"
        done = subprocess.run(
            [peft_python, REFERENCE, hugging_face, expert.package.root, place],
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            check=True,
        )
        p = np.load(place).astype(np.float64)
    q = np.concatenate(ours)
    chosen = np.concatenate([completion for _, completion in requests])
    at = np.arange(len(p))
    same = [mine == theirs for mine, theirs in zip(texts, json.loads(done.stdout), strict=True)]
    expert.close()
    return (
        expert.name,
        expert.prepared.form,
        str(len(p)),
        f"{np.abs(p[at, chosen] - q[at, chosen]).max():.1e} apart",
        f"{(np.exp(p) * (p - q)).sum(axis=1).mean():.1e}",
        f"{(p.argmax(axis=1) == q.argmax(axis=1)).mean():.1%} same",
        f"{sum(same)} of {len(same)} same",
    )


if __name__ == "__main__":
    main()
