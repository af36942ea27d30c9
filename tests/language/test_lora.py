"""Adapters: against PEFT's own logits and merge (tests/oracles), in the layers they were made for, and nowhere else."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import compiled_model
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from safetensors.numpy import load_file, save_file

from retentionjax.errors import ConfigError, ModelError
from retentionjax.language import hub, lora, peft
from retentionjax.language.decoder import Decoder
from retentionjax.language.decoder.parts import low_rank
from retentionjax.language.decoder.weights import to_tensors

ORACLES = Path(__file__).parents[1] / "oracles" / "decoder"
ADAPTERS = ["lora", "lora_upper_rslora"]
INIT = jax.jit(lora.init, static_argnums=0)


@pytest.fixture(scope="module")
def tiny() -> Decoder:
    return hub.random("tiny", jax.random.key(0)).decoder


@pytest.fixture(scope="module")
def tokens() -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).integers(0, 400, (2, 8), np.int32))


def trained(adapter: lora.Adapter) -> lora.Adapter:
    """The adapter with a B that is not zero."""
    random = np.random.default_rng(7)
    b = {name: jnp.asarray(random.normal(0, 0.1, b.shape), jnp.float32) for name, b in adapter.b.items()}
    return adapter.replace(b=b)


def adapted(decoder: Decoder, **settings: object) -> lora.Adapter:
    return trained(INIT(lora.LoraConfig(**{"rank": 4, "alpha": 8.0} | settings), decoder, jax.random.key(3)))


@pytest.mark.parametrize("name", ADAPTERS)
def test_logits_are_those_of_peft(name: str) -> None:
    decoder = hub.load_decoder(ORACLES / "llama")
    expected = np.load(ORACLES / name / "golden.npz")
    adapter = peft.load(ORACLES / name, decoder.config)
    mask = expected["mask"]
    found = compiled_model.logits(decoder, jnp.asarray(expected["tokens"]), jnp.asarray(mask), adapter=adapter)
    assert np.abs(np.asarray(found)[mask] - expected["logits"][mask]).max() <= 1e-4


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_merge_is_that_of_peft(name: str) -> None:
    decoder = hub.load_decoder(ORACLES / "llama")
    merged = lora.merge(decoder, peft.load(ORACLES / name, decoder.config))
    expected = np.load(ORACLES / name / "golden.npz")
    found = dict(to_tensors(merged.config, merged.parameters()))
    changed = [key for key in expected.files if key.startswith("model.layers")]
    assert len(changed) == 27
    for key in changed:
        np.testing.assert_allclose(found[key], expected[key], atol=1e-5)


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_is_saved_as_peft_saves_it(name: str, tmp_path: Path) -> None:
    config = hub.load_decoder(ORACLES / "llama").config
    peft.save(tmp_path / "saved", peft.load(ORACLES / name, config), config, base="llama")
    saved, original = (load_file(folder / peft.WEIGHTS) for folder in (tmp_path / "saved", ORACLES / name))
    assert saved.keys() == original.keys()
    for key, tensor in original.items():
        np.testing.assert_array_equal(saved[key], tensor)
    ours, theirs = (json.loads((folder / peft.CONFIG).read_text()) for folder in (tmp_path / "saved", ORACLES / name))
    assert sorted(ours.pop("target_modules")) == sorted(theirs.pop("target_modules"))
    assert {key: theirs[key] for key in ours} == ours


def test_an_untrained_adapter_changes_nothing(tiny: Decoder, tokens: jax.Array) -> None:
    adapter = INIT(lora.LoraConfig(rank=4), tiny, jax.random.key(3))
    plain = compiled_model.logits(tiny, tokens, tokens >= 0)
    np.testing.assert_array_equal(compiled_model.logits(tiny, tokens, tokens >= 0, adapter=adapter), plain)
    for a in adapter.a.values():
        limit = 1.0 / math.sqrt(a.shape[-1])  # kaiming_uniform(a=√5): √(6 / ((1 + 5) · inputs))
        assert 0.9 * limit < np.abs(a).max() <= limit


@pytest.mark.parametrize("first", [0, 3])
def test_adapted_merged_and_cached_logits_agree(first: int, tiny: Decoder, tokens: jax.Array) -> None:
    everything = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    adapter = adapted(tiny, targets=everything, first_layer=first)
    assert all(a.shape[0] == 4 - first for a in adapter.a.values())
    found = compiled_model.logits(tiny, tokens, tokens >= 0, adapter=adapter)
    np.testing.assert_allclose(found, compiled_model.logits(lora.merge(tiny, adapter), tokens, tokens >= 0), atol=1e-5)
    positions = np.broadcast_to(np.arange(8), (2, 8))
    for model in (tiny, tiny.unrolled()):
        np.testing.assert_allclose(read_into_a_cache(model, tokens, positions, adapter), found, atol=1e-5)


@jax.jit
def read_into_a_cache(model: Decoder, tokens: jax.Array, positions: jax.Array, adapter: lora.Adapter) -> jax.Array:
    cache = model.init_cache(*tokens.shape)
    x, _ = model.blocks(model.embed(tokens, positions), positions, tokens >= 0, adapter=adapter, cache=cache)
    return model.logits(model.normed(x))


def test_the_trunk_below_the_first_layer_is_the_plain_models(tiny: Decoder, tokens: jax.Array) -> None:
    adapter = adapted(tiny, first_layer=2)
    positions = jnp.broadcast_to(jnp.arange(8), (2, 8))
    x = tiny.embed(tokens, positions)
    trunk, _ = compiled_model.blocks(tiny, x, positions, tokens >= 0, last=2)
    with_adapter, _ = compiled_model.blocks(tiny, x, positions, tokens >= 0, last=2, adapter=adapter)
    np.testing.assert_array_equal(with_adapter, trunk)
    upper, _ = compiled_model.blocks(tiny, trunk, positions, tokens >= 0, first=2, adapter=adapter)
    whole, _ = compiled_model.blocks(tiny, x, positions, tokens >= 0, adapter=adapter)
    np.testing.assert_allclose(upper, whole, atol=1e-6)


def test_training_moves_the_adapter_and_no_bit_of_the_base(tiny: Decoder, tokens: jax.Array) -> None:
    before = jax.tree.map(np.array, tiny)
    adapter = INIT(lora.LoraConfig(rank=4, first_layer=1), tiny, jax.random.key(3))
    optimiser = optax.adam(1e-2)

    @jax.jit
    def step(tiny: Decoder, adapter: lora.Adapter, state: optax.OptState) -> tuple:
        def loss(adapter: lora.Adapter) -> jax.Array:
            logits = tiny(tokens, tokens >= 0, adapter=adapter)
            return optax.softmax_cross_entropy_with_integer_labels(logits[:, :-1], tokens[:, 1:]).mean()

        value, gradient = jax.value_and_grad(loss)(adapter)
        updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(adapter, updates), state, value

    state, losses = optimiser.init(adapter), []
    for _ in range(5):
        adapter, state, value = step(tiny, adapter, state)
        losses.append(float(value))
    assert losses[-1] < losses[0]
    jax.tree.map(np.testing.assert_array_equal, before, tiny)


def test_dropout_is_on_only_with_a_key(tiny: Decoder, tokens: jax.Array) -> None:
    adapter = adapted(tiny, dropout=0.5)
    plain = compiled_model.logits(tiny, tokens, tokens >= 0, adapter=adapter)
    one, same, other = (
        compiled_model.logits(tiny, tokens, tokens >= 0, adapter=adapter, dropout_key=jax.random.key(seed))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(compiled_model.logits(tiny, tokens, tokens >= 0, adapter=adapter), plain)
    np.testing.assert_array_equal(one, same)
    assert np.abs(np.asarray(one) - other).max() > 1e-4
    assert np.abs(np.asarray(one) - plain).max() > 1e-4


@pytest.mark.parametrize(
    ("name", "targets", "resolved"),
    [
        ("gpt2", ("c_attn", "c_proj"), ("c_attn", "attn.c_proj", "mlp.c_proj")),
        ("opt_350m", ("fc2", "out_proj"), ("out_proj", "fc2")),
    ],
)
def test_other_families_projections_are_adapted_too(
    name: str, targets: tuple[str, ...], resolved: tuple[str, ...], tmp_path: Path
) -> None:
    decoder = hub.load_decoder(ORACLES / name)
    adapter = trained(lora.init(lora.LoraConfig(rank=4, alpha=8.0, targets=targets), decoder, jax.random.key(3)))
    assert tuple(adapter.a) == resolved  # in the order of the layer, which a compiled program would not keep
    peft.save(tmp_path / "saved", adapter, decoder.config)
    again = peft.load(tmp_path / "saved", decoder.config)
    tokens = np.arange(3, 10)[None]
    found = compiled_model.logits(decoder, tokens, tokens >= 0, adapter=again)
    np.testing.assert_allclose(
        found, compiled_model.logits(lora.merge(decoder, adapter), tokens, tokens >= 0), atol=1e-4
    )


def test_what_cannot_be_adapted_is_refused(tiny: Decoder) -> None:
    key = jax.random.key(0)
    with pytest.raises(ModelError, match=r"target 'c_attn'; allowed: q_proj, k_proj"):
        lora.init(lora.LoraConfig(targets=("c_attn",)), tiny, key)
    with pytest.raises(ModelError, match=r"first_layer is 4; allowed: 0 to 3"):
        lora.init(lora.LoraConfig(first_layer=4), tiny, key)
    for settings, message in (
        ({"rank": 0}, "rank: 0"),
        ({"dropout": 1.0}, "dropout: 1"),
        ({"targets": ()}, "ta"),
    ):
        with pytest.raises(ConfigError, match=message):
            lora.LoraConfig(**settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, r"use_dora is True; allowed: None or False"),
        ({"peft_type": "IA3"}, r"peft_type is 'IA3'; allowed: 'LORA'"),
        ({"use_dora": "yes"}, r"use_dora is 'yes'; allowed: None or ''"),
        ({"alpha_pattern": {"q_proj": 2}}, r"alpha_pattern is"),
        ({"rank_pattern": {"q_proj": 2}}, r"rank_pattern is .*; allowed: None or \{\}"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save is \['lm_head'\]; allowed: None or \[\]"),
        ({"bias": "all"}, r"bias is 'all'; allowed: None or 'none'"),
        ({"task_type": "SEQ_CLS"}, r"task_type is 'SEQ_CLS'; allowed: None or 'CAUSAL_LM'"),
        *(
            ({"init_lora_weights": kind}, rf"init_lora_weights is '{kind}'; allowed: True or False or None or ")
            for kind in ("pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga")
        ),
        ({"of_next_year": 3}, r"of_next_year is 3; allowed: None or 0"),
        ({"use_rslora": "yes"}, r"use_rslora is 'yes'; allowed: true or false"),
        ({"lora_dropout": 1.0}, r"lora_dropout is 1.0; allowed: 0 up to, not including, 1"),
        ({"lora_alpha": "8"}, r"lora_alpha is '8'; allowed: a number"),
        ({"lora_alpha": 10**400}, r"lora_alpha is 1000.*; allowed: a number within ±1e30"),
        ({"r": 0}, r"r is 0; allowed: a whole number, 1 or more"),
        ({"r": None}, r"r is None"),
        ({"r": 5}, r"lora_A of .* is \(3, .*; allowed: \(5, "),
    ],
)
def test_an_adapter_that_computes_otherwise_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    config = hub.load_decoder(ORACLES / "llama").config
    settings = json.loads((ORACLES / "lora" / peft.CONFIG).read_text())
    (tmp_path / peft.CONFIG).write_text(json.dumps(settings | change))
    (tmp_path / peft.WEIGHTS).write_bytes((ORACLES / "lora" / peft.WEIGHTS).read_bytes())
    with pytest.raises(ModelError, match=message):
        peft.load(tmp_path, config)


@pytest.mark.parametrize("kind", [None, "gaussian", "orthogonal", "eva"])
def test_an_adapter_that_began_otherwise_and_left_the_base_alone_is_read(kind: str | None, tmp_path: Path) -> None:
    """All of it is in its tensors, wherever they began."""
    config = hub.load_decoder(ORACLES / "llama").config
    settings = json.loads((ORACLES / "lora" / peft.CONFIG).read_text())
    (tmp_path / peft.CONFIG).write_text(json.dumps(settings | {"init_lora_weights": kind}))
    (tmp_path / peft.WEIGHTS).write_bytes((ORACLES / "lora" / peft.WEIGHTS).read_bytes())
    found, known = peft.load(tmp_path, config), peft.load(ORACLES / "lora", config)
    assert jax.tree.all(jax.tree.map(lambda ours, theirs: bool((ours == theirs).all()), found, known))


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"adapts no projection of this model"):
        peft.load(ORACLES / "lora", hub.load_decoder(ORACLES / "opt").config)
    with pytest.raises(ModelError, match=r"no adapter; allowed: a folder with adapter_config.json"):
        peft.load(tmp_path, hub.TINY)
    (tmp_path / peft.CONFIG).write_text((ORACLES / "lora" / peft.CONFIG).read_text())
    save_file({}, tmp_path / peft.WEIGHTS)
    with pytest.raises(ModelError, match=r"holds no tensors"):
        peft.load(tmp_path, hub.TINY)


def rewritten(folder: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Path:
    """The recorded adapter with its tensors changed."""
    (folder / peft.CONFIG).write_text((ORACLES / "lora" / peft.CONFIG).read_text())
    save_file(change(load_file(ORACLES / "lora" / peft.WEIGHTS)), folder / peft.WEIGHTS)
    return folder


@pytest.mark.parametrize("kind", [jnp.bfloat16, np.float16, np.float64])
def test_an_adapter_is_read_from_whatever_floats_it_is_stored_in(kind: type, tmp_path: Path) -> None:
    config = hub.load_decoder(ORACLES / "llama").config
    folder = rewritten(tmp_path, lambda tensors: {key: tensor.astype(kind) for key, tensor in tensors.items()})
    full, found = peft.load(ORACLES / "lora", config), peft.load(folder, config)
    for name, a in full.a.items():
        np.testing.assert_array_equal(found.a[name], np.asarray(a).astype(kind).astype(np.float32))
        np.testing.assert_array_equal(found.b[name], np.asarray(full.b[name]).astype(kind).astype(np.float32))


def test_an_adapter_of_quantised_steps_or_of_no_numbers_or_of_halves_is_refused(tmp_path: Path) -> None:
    config = hub.load_decoder(ORACLES / "llama").config
    first = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"

    def put(value: float) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
        return lambda tensors: tensors | {first: np.full_like(tensors[first], value)}

    for kind, name in ((ml_dtypes.float8_e4m3fn, "F8_E4M3"), (np.int8, "I8")):
        folder = rewritten(tmp_path, lambda t, kind=kind: {key: tensor.astype(kind) for key, tensor in t.items()})
        with pytest.raises(ModelError, match=rf"lora_\w+.weight is stored as {name}; allowed: F64, F32, F16, BF16"):
            peft.load(folder, config)
    for value in (math.nan, math.inf):
        with pytest.raises(ModelError, match=rf"{first} has 48 of 48 numbers that are not finite"):
            peft.load(rewritten(tmp_path, put(value)), config)
    with pytest.raises(ModelError, match=r"q_proj in layer 0 has lora_B only; allowed: both halves"):
        peft.load(rewritten(tmp_path, lambda t: {key: tensor for key, tensor in t.items() if key != first}), config)


def test_an_update_has_the_gradient_of_its_two_products() -> None:
    random = np.random.default_rng(7)
    x, a, b = (random.normal(size=shape).astype(np.float32) for shape in ((2, 3, 5), (2, 5), (4, 2)))

    def plain(x: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.einsum("...r,or->...o", jnp.einsum("...i,ri->...r", x, a), b)

    @jax.jit
    def both(*given: jax.Array) -> list[tuple[jax.Array, Any]]:
        """Value and gradient of either."""
        losses = {run: lambda *each, run=run: jnp.sin(run(*each)).sum() for run in (low_rank, plain)}
        return [(run(*given), jax.grad(loss, (0, 1, 2))(*given)) for run, loss in losses.items()]

    found, wanted = both(x, a, b)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6), found, wanted)
