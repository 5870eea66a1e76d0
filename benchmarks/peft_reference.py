"""Log-probabilities of given tokens by transformers and PEFT, in float32.

Run by ``peft_parity.py`` in an environment with torch, transformers and peft:
``python peft_reference.py BASE ADAPTER ROWS.npy < REQUESTS > ANSWERS``, JSON both
ways. A request is ``[prompt ids, completion ids]``, an answer the greedy token ids
that PEFT would write, as many as the completion has. ``ROWS.npy`` receives the
log-probabilities (tokens, vocabulary) behind every token of all completions, in
float32.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(
    sys.argv[1], dtype=torch.float32, attn_implementation="eager"
)
model = PeftModel.from_pretrained(model, sys.argv[2]).eval()
answers, rows = [], []
with torch.inference_mode():
    for prompt, completion in json.load(sys.stdin):
        logits = model(torch.tensor([prompt + completion])).logits[0].double()
        rows.append(torch.log_softmax(logits[len(prompt) - 1 : -1], dim=-1).float().numpy())
        written = model.generate(
            input_ids=torch.tensor([prompt]),
            max_new_tokens=len(completion),
            do_sample=False,
            pad_token_id=0,
        )
        answers.append(written[0, len(prompt) :].tolist())
np.save(sys.argv[3], np.concatenate(rows))
json.dump(answers, sys.stdout)
