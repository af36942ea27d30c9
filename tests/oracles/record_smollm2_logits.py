"""Records logits of SmolLM2 as transformers computes them in torch: python record_smollm2_logits.py FOLDER.

FOLDER is what `retentionjax models fetch smollm2-135m-instruct` prints. Needs torch, which package and tests do not.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import transformers

TEXT = (
    "Dear Maria, thank you for staying with Northwind for 14 months. We can take 10% off your plan for 30 days, and "
    "you may cancel at any time. Reply STOP to opt out. The weather today is fine, and"
)
EVERY = 32  # one logit in so many: a golden of a few kilobytes


def main() -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
    model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
    tokens = tokenizer.encode(TEXT, add_special_tokens=False)
    with torch.no_grad():
        out = model(torch.tensor([tokens]), labels=torch.tensor([tokens]))
    np.savez_compressed(
        Path(__file__).with_name("smollm2_logits.npz"),
        tokens=np.asarray([tokens], np.int32),
        logits=out.logits[:, -8:, ::EVERY].numpy(),
        loss=out.loss.numpy(),
    )


if __name__ == "__main__":
    main()
