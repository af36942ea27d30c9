"""The decoder: tokens in, logits out, its layers scanned; llama-like, OPT and GPT-2 checkpoints alike."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from retentionjax.errors import ModelError
from retentionjax.language.decoder import mixed
from retentionjax.language.decoder.config import DecoderConfig
from retentionjax.language.decoder.layer import Delta, KVCache, LayerContext, Layers, run_layer
from retentionjax.language.decoder.parts import Cache, Linear, Norm, rotation, visible

POSITION_OFFSET = {"opt": 2, "gpt2": 0}
"""Rows of the learned position embedding before that of position 0."""


@runtime_checkable
class LowRank(Protocol):
    """What the layers need of a `lora.Adapter`."""

    a: Mapping[str, Any]
    b: Mapping[str, Any]
    scale: float
    first_layer: int
    dropout: float


class Decoder(nnx.Module):
    """A causal language model. Make one with `init`, `hub.load` or `hub.random`."""

    def __init__(self, config: DecoderConfig, parameters: Mapping[str, Array]) -> None:
        """`parameters` as `shapes(config)` names them; int8 kernels bring a `.scale` beside them."""
        _check(config, parameters)
        self.config = config
        self.embedding = nnx.Param(parameters["embedding"])
        self.position_embedding = _optional(parameters.get("position_embedding"))
        self.project_in = _linear(parameters, "project_in")
        self.project_out = _linear(parameters, "project_out")
        self.layers: Layers | nnx.List[Layers] = Layers(
            {name: Linear(*_projection(parameters, f"layers.{name}")) for name in config.projections},
            {name: _norm(config, parameters, f"layers.{name}") for name in layer_norms(config)},
        )
        self.final_norm = _norm(config, parameters, "final_norm") if config.final_norm else None
        self.head = _optional(parameters.get("head"))

    def parameters(self) -> dict[str, Array]:
        """The arrays by the names `__init__` takes them under."""
        found = {"embedding": self.embedding, "position_embedding": self.position_embedding, "head": self.head}
        modules: dict[str, Any] = {
            "project_in": self.project_in,
            "project_out": self.project_out,
            "final_norm": self.final_norm,
        }
        layers = self.layers if isinstance(self.layers, Layers) else _stack(self.layers)
        modules |= {f"layers.{name}": layers.projections[name] for name in self.config.projections}
        modules |= {f"layers.{name}": layers.norms[name] for name in layer_norms(self.config)}
        for name, module in modules.items():
            for field in ("kernel", "bias", "scale"):
                found[f"{name}.{field}"] = getattr(module, field, None)
        return {name: mixed.from_bits(param[...]) for name, param in found.items() if param is not None}

    @property
    def dtype(self) -> Any:
        """Type of the stream from embedding to head: the norms', since matrices may be kept in fewer bits."""
        layers = self.layers if isinstance(self.layers, Layers) else self.layers[0]
        return layers.norms["attention_norm"].scale[...].dtype

    def unrolled(self) -> "Decoder":
        """The same model with its layers one by one instead of scanned: for decoding, on concrete weights.

        XLA on the CPU copies a layer's weights out of the stack before it multiplies by them. For one row that costs
        an eighth of the time on two idle cores (28.4 ms a token against 25.1 for SmolLM2) and half of it where others
        use the memory too; from 8 rows on the scan is as fast. The price is compiling for 4 seconds instead of 1. On
        the CPU the layers are views of the stack, and take no memory of their own.

        Raises:
            ModelError: called inside a jitted function.
        """
        if not isinstance(self.layers, Layers):
            return self
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(self.layers)):
            raise ModelError("unrolled() inside a jitted function; allowed: outside, the result passed in")
        made: Decoder = jax.tree.map(lambda leaf: leaf, self)
        made.layers = nnx.List(
            [jax.tree.map(lambda w, i=i: _layer_of(w, i), self.layers) for i in range(self.config.num_layers)]
        )
        return made

    def __call__(
        self,
        tokens: Int[Array, "batch time"],
        mask: Bool[Array, "batch time"],
        *,
        positions: Int[Array, "batch time"] | None = None,
        until: Int[Array, "batch time"] | None = None,
        adapter: LowRank | None = None,
        dropout_key: PRNGKeyArray | None = None,
        remat: bool = False,
    ) -> Float[Array, "batch time vocabulary"]:
        """Logits after every token, float32. `mask` is False on padding, on either side."""
        positions = default_positions(mask) if positions is None else positions
        x, _ = self.blocks(
            self.embed(tokens, positions),
            positions,
            mask,
            until=until,
            adapter=adapter,
            dropout_key=dropout_key,
            remat=remat,
        )
        return self.logits(self.normed(x))

    def embed(
        self, tokens: Int[Array, "batch time"], positions: Int[Array, "batch time"]
    ) -> Float[Array, "batch time hidden"]:
        """Token embeddings, with learned positions added where the family has them.

        Raises:
            ModelError: more tokens than there are learned positions.
        """
        self._refuse_beyond(tokens.shape[1])
        x = self.embedding[...][tokens].astype(self.dtype)
        if self.project_in is not None:
            x = self.project_in(x)
        if self.position_embedding is not None:
            rows = self.position_embedding[...][positions + POSITION_OFFSET[self.config.family]]
            x = x + rows.astype(self.dtype)
        return x

    def blocks(
        self,
        x: Float[Array, "batch time hidden"],
        positions: Int[Array, "batch time"],
        mask: Bool[Array, "batch slots"],
        *,
        until: Int[Array, "batch time"] | None = None,
        first: int = 0,
        last: int | None = None,
        adapter: LowRank | None = None,
        cache: Cache | None = None,
        dropout_key: PRNGKeyArray | None = None,
        remat: bool = False,
    ) -> tuple[Float[Array, "batch time hidden"], Cache | None]:
        """The layers first … last − 1.

        Args:
            mask: which tokens are real: all `time` of them, or with a cache all its slots (later slots are not seen).
            until: of a packed row, the place from which on each token is not seen by others (`packing.Packed`).
            adapter: applied in its layers, `first_layer` and up; None is the plain model.
            cache: `time` tokens are appended to it. Its length moves on when the last layer of all has run, so that
                a trunk and the layers above it may be run one after the other.
            dropout_key: drops inputs of the adapter; None, no dropout.
            remat: recompute each layer in the backward pass instead of keeping what it computed.

        Raises:
            ModelError: layers that do not exist, or `until` together with a cache.
        """
        config = self.config
        last = config.num_layers if last is None else last
        if not 0 <= first <= last <= config.num_layers:
            raise ModelError(f"layers {first} to {last}; allowed: 0 to {config.num_layers}, in order")
        if cache is not None and until is not None:
            raise ModelError("until with a cache; allowed: one of them, packed rows are not decoded from")
        context = _context(config, positions, mask, until, cache, dropout_key)
        memory = KVCache(None, None) if cache is None else KVCache(cache.k, cache.v)
        turn = last if adapter is None else min(max(adapter.first_layer, first), last)
        for start, end, active in ((first, turn, None), (turn, last, adapter)):
            if start < end:
                x, memory = self._run(x, memory, context, start, end, active, remat=remat)
        if cache is None:
            return x, None
        moved = x.shape[1] if last == config.num_layers else 0
        return x, Cache(memory.k, memory.v, cache.length + moved)

    def normed(self, x: Float[Array, "batch time hidden"]) -> Float[Array, "batch time width"]:
        """The final norm, and OPT-350m's projection: what heads read, `config.embedding_size` wide."""
        x = x if self.final_norm is None else self.final_norm(x)
        return x if self.project_out is None else self.project_out(x)

    def logits(self, normed: Float[Array, "*batch width"]) -> Float[Array, "*batch vocabulary"]:
        """Scores of the next token, float32. A fifth of a small model's work: ask at the positions you need."""
        weights = self.embedding if self.head is None else self.head
        if mixed.applies(normed, weights[...]):
            return mixed.frozen(normed, weights[...], 1)
        table = weights[...].astype(normed.dtype)
        return jnp.einsum("...d,vd->...v", normed, table, preferred_element_type=jnp.float32)

    def init_cache(self, batch: int, length: int, dtype: Any = None) -> Cache:
        """An empty cache for `length` tokens in each of `batch` rows; `dtype` the stream's unless given.

        Raises:
            ModelError: more tokens than there are learned positions.
        """
        self._refuse_beyond(length)
        config = self.config
        heads, size = (config.num_layers, batch, config.num_kv_heads), config.head_dim
        dtype = self.dtype if dtype is None else dtype
        k, v = jnp.zeros((*heads, size, length), dtype), jnp.zeros((*heads, length, size), dtype)
        return Cache(k, v, jnp.zeros((), jnp.int32))

    def _refuse_beyond(self, length: int) -> None:
        if self.position_embedding is not None and length > self.config.max_positions:
            # JAX would clamp the index, and every further token would silently share the last position.
            raise ModelError(f"{length} tokens; allowed: {self.config.max_positions}, the positions the model learned")

    def _run(
        self,
        x: Array,
        memory: KVCache,
        context: LayerContext,
        start: int,
        end: int,
        adapter: LowRank | None,
        *,
        remat: bool,
    ) -> tuple[Array, KVCache]:
        config = self.config
        if not isinstance(self.layers, Layers):
            for index in range(start, end):
                delta = jax.tree.map(lambda w: w[0], _deltas(adapter, index, index + 1))
                run = jax.checkpoint(run_layer, static_argnums=0) if remat else run_layer
                x, memory = run(config, self.layers[index], delta, jnp.asarray(index), x, memory, context)
            return x, memory
        layers = self.layers
        whole = (start, end) == (0, config.num_layers)

        def body(carry: tuple[Array, KVCache], xs: Any) -> tuple[tuple[Array, KVCache], None]:
            index, layer, delta = xs
            if layer is None:
                # Slicing the stack before the scan would copy it; a whole stack is scanned itself, since the
                # gradient of indexing would add up arrays of the full stack.
                layer = jax.tree.map(lambda w: jax.lax.dynamic_index_in_dim(w, index, keepdims=False), layers)
            layer = jax.tree.map(mixed.from_bits, layer)
            return run_layer(config, layer, delta, index, *carry, context), None

        indices = jnp.arange(start, end)
        xs = (indices, layers if whole else None, _deltas(adapter, start, end))
        kept = None if remat else _is_worth_keeping
        return jax.lax.scan(jax.checkpoint(body, policy=kept, prevent_cse=False), (x, memory), xs)[0]


def _is_worth_keeping(primitive: Any, *_: Any, **__: Any) -> bool:
    """What a layer's backward pass keeps of its forward pass: products and the attention's weights. On a CPU writing
    the rest into a stack of all layers, a copy of each layer's own weights among it, takes longer than doing it again.
    """
    return primitive.name in ("dot_general", "name")


def default_positions(mask: Bool[Array, "batch time"]) -> Int[Array, "batch time"]:
    """The first real token has position 0, wherever padding puts it: cumsum(mask) − mask, never below 0."""
    real = mask.astype(jnp.int32)
    return jnp.maximum(jnp.cumsum(real, axis=1) - real, 0)


def layer_norms(config: DecoderConfig) -> tuple[str, ...]:
    """Names of a layer's norms."""
    return ("attention_norm", "mlp_norm", *(("q_norm", "k_norm") if config.qk_norm else ()))


def shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter's name and shape; those of the layers are stacked."""
    c, layers = config, (config.num_layers,)
    found: dict[str, tuple[int, ...]] = {"embedding": (c.vocab_size, c.embedding_size)}
    if c.rope is None:
        found["position_embedding"] = (c.max_positions + POSITION_OFFSET[c.family], c.hidden_size)
    if c.embedding_size != c.hidden_size:
        found["project_in.kernel"] = (c.embedding_size, c.hidden_size)
        found["project_out.kernel"] = (c.hidden_size, c.embedding_size)
    for name, (inputs, outputs) in c.projections.items():
        found[f"layers.{name}.kernel"] = (*layers, inputs, outputs)
        if c.has_bias(name):
            found[f"layers.{name}.bias"] = (*layers, outputs)
    norms = {f"layers.{name}": layers for name in layer_norms(c)} | ({"final_norm": ()} if c.final_norm else {})
    for name, lead in norms.items():
        width = c.head_dim if name.endswith(("q_norm", "k_norm")) else c.hidden_size
        found[f"{name}.scale"] = (*lead, width)
        if c.family != "llama":
            found[f"{name}.bias"] = (*lead, width)
    if not c.tied:
        found["head"] = (c.vocab_size, c.embedding_size)
    return found


def init(config: DecoderConfig, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Decoder:
    """A decoder with random weights: N(0, 0.02) matrices, norms 1, biases 0, as the families were initialised."""
    parameters = {}
    for index, (name, shape) in enumerate(shapes(config).items()):
        if name.endswith(".scale"):
            parameters[name] = jnp.ones(shape, dtype)
        elif name.endswith(".bias"):
            parameters[name] = jnp.zeros(shape, dtype)
        else:
            parameters[name] = 0.02 * jax.random.normal(jax.random.fold_in(key, index), shape, dtype)
    return Decoder(config, parameters)


def _context(
    config: DecoderConfig,
    positions: Array,
    mask: Array,
    until: Array | None,
    cache: Cache | None,
    dropout_key: PRNGKeyArray | None,
) -> LayerContext:
    time, slots = positions.shape[1], mask.shape[1]
    wanted = time if cache is None else cache.k.shape[-1]
    if slots != wanted:
        what = "tokens" if cache is None else "slots of the cache"
        raise ModelError(f"the mask covers {slots} places; allowed: {wanted}, the {what}")
    start: Array | int = 0 if cache is None else cache.length
    distance = None
    if config.windows is not None:
        # In a row that texts share, what lies between two tokens may be of another text.
        near = start + jnp.arange(time)[:, None] - jnp.arange(slots)
        distance = near if until is None else positions[:, :, None] - positions[:, None, :]
    turned = None if config.rope is None else rotation(config.rope, config.head_dim, positions)
    return LayerContext(visible(mask, time, start, until), distance, turned, start, dropout_key)


def _deltas(adapter: LowRank | None, start: int, end: int) -> Delta | None:
    """The adapter's part for layers start … end − 1."""
    if adapter is None:
        return None
    rows = slice(start - adapter.first_layer, end - adapter.first_layer)
    return Delta(
        {name: a[rows] for name, a in adapter.a.items()},
        {name: b[rows] for name, b in adapter.b.items()},
        adapter.scale,
        adapter.dropout,
    )


def _layer_of(stack: Array, index: int) -> Array:
    """One layer's part of a stack: on a single CPU device the very bytes (device_put aliases them), else a copy.

    Committed to the device only where the stack is: all that came of it would be, and every program that learns from
    a rollout would be compiled once for parameters that are not yet and once for those that are.
    """
    devices = stack.devices()
    if len(devices) == 1 and next(iter(devices)).platform == "cpu":
        bits = np.asarray(stack)[index]
        weights = bits.view(mixed.HALF) if bits.dtype == np.uint16 else bits
        return jax.device_put(weights, next(iter(devices)) if stack.committed else None)
    return mixed.from_bits(stack[index])


def _stack(layers: Sequence[Layers]) -> Layers:
    stacked: Layers = jax.tree.map(lambda *each: jnp.stack(each), *layers)
    return stacked


def _check(config: DecoderConfig, parameters: Mapping[str, Array]) -> None:
    wanted = shapes(config)
    found = {name for name in parameters if name in wanted or not name.endswith(".scale")}
    if missing := sorted(wanted.keys() - found):
        raise ModelError(f"weights are missing: {', '.join(missing)}")
    if unknown := sorted(found - wanted.keys()):
        raise ModelError(f"weights that this model has no place for: {', '.join(unknown)}")
    for name, shape in wanted.items():
        if tuple(parameters[name].shape) != shape:
            raise ModelError(f"{name} has the shape {tuple(parameters[name].shape)}; allowed: {shape}")


def _optional(array: Array | None) -> nnx.Param[Array] | None:
    return None if array is None else nnx.Param(array)


def _projection(parameters: Mapping[str, Array], name: str) -> tuple[Array, Array | None, Array | None]:
    return parameters[f"{name}.kernel"], parameters.get(f"{name}.bias"), parameters.get(f"{name}.scale")


def _linear(parameters: Mapping[str, Array], name: str) -> Linear | None:
    return Linear(*_projection(parameters, name)) if f"{name}.kernel" in parameters else None


def _norm(config: DecoderConfig, parameters: Mapping[str, Array], name: str) -> Norm:
    return Norm(parameters[f"{name}.scale"], parameters.get(f"{name}.bias"), config.norm_eps)
