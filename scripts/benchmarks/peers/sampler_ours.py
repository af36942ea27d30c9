"""Our sampler, in the project's environment."""

import sys

import jax
import numpy as np
from stopwatch import answer

from retentionjax.language import hub, sampler, stepwise
from retentionjax.language.sampler import SamplingConfig

FOLDER, BATCH, PROMPT, NEW = sys.argv[1], *map(int, sys.argv[2:])


def main() -> None:
    model = stepwise.take_apart(hub.load_decoder(FOLDER), BATCH)
    tokens = np.random.default_rng(0).integers(100, 40_000, (BATCH, PROMPT), np.int32)
    mask, keys = np.ones(tokens.shape, bool), sampler.keys_of(np.arange(BATCH))
    config = SamplingConfig(max_new_tokens=NEW, temperature=0.0, eos=None)

    def generate() -> None:
        jax.block_until_ready(sampler.sample(model, None, tokens, mask, keys, config=config))

    answer(generate, BATCH * NEW)


main()
