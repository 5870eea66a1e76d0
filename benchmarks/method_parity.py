"""Every method of PEFT on a real model: our log-probabilities against PEFT's, all in float32.

::

    python -m benchmarks.method_parity --hugging-face FOLDER --peft-python PYTHON

``FOLDER`` is the base as a Hugging Face folder, ``PYTHON`` one with torch, transformers and peft
(``make train`` sets one up in ``.training-venv``). The adapters are random and change the answers
about as much as trained ones do; the same texts are scored with and without them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hivellm_lite import Expert
from hivellm_lite.verification import log_probabilities

from .table import show

REFERENCE = Path(__file__).parent / "method_reference.py"

TEXTS = (
    "The harbour was quiet in the early morning, and the fishermen mended their nets while the "
    "gulls waited. Nobody spoke much. A ferry came in from the islands with three passengers, two "
    "bicycles and a crate of oranges, and left again before the church bell rang for the second "
    "time. By noon the market had filled the square, and the smell of bread reached the pier.",
    "SELECT c.name, COUNT(o.id) AS orders, SUM(o.total) AS revenue FROM customers AS c JOIN "
    "orders AS o ON o.customer_id = c.id WHERE o.created_at >= '2024-01-01' AND o.status = "
    "'paid' GROUP BY c.name HAVING COUNT(o.id) > 3 ORDER BY revenue DESC LIMIT 10;",
    'def merge(left, right):\n    """Merge two sorted lists."""\n    result = []\n    while left '
    "and right:\n        result.append(left.pop(0) if left[0] <= right[0] else right.pop(0))\n"
    "    return result + left + right\n\n\nprint(merge([1, 4, 9], [2, 3, 10, 12]))\n",
    '{"id": 4711, "customer": {"name": "Ada Lovelace", "email": "ada@example.org"}, "items": '
    '[{"sku": "A-1", "count": 2, "price": 9.5}, {"sku": "B-7", "count": 1, "price": 120.0}], '
    '"paid": true, "note": null, "address": {"street": "12 St James Square", "city": "London"}}',
)
POSITIONS = 100
"""Positions of each text that are compared: 400 together."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hugging-face", type=Path, required=True)
    parser.add_argument("--peft-python", type=Path, required=True)
    parser.add_argument("--method", action="append", help="only this one; may be repeated")
    given = parser.parse_args()
    listed = subprocess.run(
        [given.peft_python, "-c", "import method_reference as m; print('\\n'.join(m.CONFIGS))"],
        cwd=REFERENCE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = []
    with tempfile.TemporaryDirectory() as cache:  # the base is converted once
        for method in given.method or listed.stdout.split("\n")[:-1]:
            rows.append(compare(method, given.hugging_face, given.peft_python, Path(cache)))
            print(*rows[-1], sep="  ", file=sys.stderr)
    show(
        f"Against PEFT in float32, {POSITIONS * len(TEXTS)} positions",
        ("method", "form", "effect (KL)", "KL from PEFT", "log-probability", "top token"),
        rows,
    )


def compare(method: str, base: Path, peft_python: Path, cache: Path) -> tuple[str, ...]:
    """One row: what the adapter changes, and how far our result is from PEFT's."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "package"
        folder.mkdir()
        subprocess.run(
            [peft_python, REFERENCE, base, method, folder, str(POSITIONS)],
            input=json.dumps(TEXTS),
            capture_output=True,
            text=True,
            check=True,
        )
        ids = json.loads((folder / "ids.json").read_text())
        theirs, without = np.load(folder / "rows.npy"), np.load(folder / "base.npy")
        manifest = {"name": "method", "version": "0.1.0", "base_model": {"name": base.name}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with Expert.load(
            folder,
            base=base,
            quantization="f32",
            adapter_mode="exact",
            variant_type="f32",
            kv_type="f32",
            flash_attention=False,
            cache_dir=cache,
            n_ctx=512,
        ) as expert:
            ours = np.concatenate(
                [
                    log_probabilities(expert.session, expert.applied(), one[:1], one[1:])
                    for one in ids
                ]
            )
            form = expert.prepared.form
    at, chosen = np.arange(len(theirs)), np.concatenate([one[1:] for one in ids])
    return (
        method,
        form,
        f"{divergence(theirs, without):.1e}",
        f"{divergence(theirs, ours):.1e}",
        f"{np.abs(theirs[at, chosen] - ours[at, chosen]).max():.1e} apart",
        f"{(theirs.argmax(axis=1) == ours.argmax(axis=1)).mean():.1%} same",
    )


def divergence(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    """Mean Kullback-Leibler divergence of rows of log-probabilities, in nats."""
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


if __name__ == "__main__":
    main()
