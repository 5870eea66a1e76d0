"""Log-probabilities of given tokens by transformers and PEFT, in float32.

Run by ``peft_parity.py`` in an environment with torch, transformers and peft:
``python peft_reference.py BASE ADAPTER < REQUESTS > ANSWERS``, JSON both ways. A
request is ``[prompt ids, completion ids]``, an answer a list of
``[log-probability, most probable id]``, one for each token of the completion.
"""

from __future__ import annotations

import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(
    sys.argv[1], dtype=torch.float32, attn_implementation="eager"
)
model = PeftModel.from_pretrained(model, sys.argv[2]).eval()
answers = []
with torch.inference_mode():
    for prompt, completion in json.load(sys.stdin):
        logits = model(torch.tensor([prompt + completion])).logits[0].double()
        rows = torch.log_softmax(logits[len(prompt) - 1 : -1], dim=-1)
        answers.append(
            [
                [row[token].item(), int(row.argmax())]
                for row, token in zip(rows, completion, strict=True)
            ]
        )
json.dump(answers, sys.stdout)
