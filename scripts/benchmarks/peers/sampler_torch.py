"""transformers' `generate` on torch, in an environment that has them."""

import sys

import numpy as np
import torch
from stopwatch import answer
from transformers import AutoModelForCausalLM

FOLDER, BATCH, PROMPT, NEW = sys.argv[1], *map(int, sys.argv[2:])


def main() -> None:
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokens = torch.from_numpy(np.random.default_rng(0).integers(100, 40_000, (BATCH, PROMPT), np.int64))
    mask = torch.ones_like(tokens)

    def generate() -> None:
        with torch.inference_mode():
            model.generate(
                input_ids=tokens,
                attention_mask=mask,
                do_sample=False,
                min_new_tokens=NEW,
                max_new_tokens=NEW,
                pad_token_id=0,
            )

    answer(generate, BATCH * NEW)


main()
