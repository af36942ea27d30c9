"""Low-rank adapters (Hu et al. 2021): a small trainable part beside a frozen decoder.

Adapter off is the reference model, so policy, reference, reward and value share one copy of the weights. An adapter
may begin above the bottom: the layers below `first_layer` are then a frozen trunk that all of them share.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import PRNGKeyArray

from retentionjax.checked import Checked, Count, Positive, Within
from retentionjax.errors import ModelError
from retentionjax.language.decoder import Decoder, DecoderConfig


@dataclass(frozen=True)
class LoraConfig(Checked):
    """Which projections get an update, and how large it is."""

    rank: Count = 16
    alpha: Positive = 32.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    """Names of projections as the checkpoint has them; `c_proj` means both of GPT-2's, as in PEFT."""
    first_layer: Annotated[int, Within()] = 0
    """Layers first_layer … L − 1 are adapted."""
    rslora: bool = False
    """Scale α / √r instead of α / r (Kalajdzievski 2023)."""
    dropout: float = 0.0
    """Dropout of the adapter's input, where a dropout key is given: in SFT only."""

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: no projection, and a dropout outside [0, 1)."""
        faults = [] if 0 <= self.dropout < 1 else [("dropout", f"{self.dropout:g}; allowed: 0 up to, not including, 1")]
        return faults if self.targets else [*faults, ("targets", "is empty; allowed: projections, such as q_proj")]

    @property
    def scale(self) -> float:
        """What B A x is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


@struct.dataclass
class Adapter:
    """Updates of the layers first_layer … L − 1, stacked: n of them."""

    a: Mapping[str, Any]
    """Matrix A by projection, [n, r, inputs]."""
    b: Mapping[str, Any]
    """Matrix B by projection, [n, outputs, r]."""
    scale: float = struct.field(pytree_node=False)
    first_layer: int = struct.field(pytree_node=False)
    dropout: float = struct.field(pytree_node=False, default=0.0)
    rslora: bool = struct.field(pytree_node=False, default=False)
    """Whether `scale` is α / √r; it only matters for what `peft.save` calls α."""

    @property
    def rank(self) -> int:
        """r."""
        return int(next(iter(self.a.values())).shape[-2])

    @property
    def size(self) -> int:
        """Trainable numbers."""
        return sum(leaf.size for leaf in jax.tree.leaves((self.a, self.b)))


def resolve_targets(config: DecoderConfig, targets: tuple[str, ...]) -> tuple[str, ...]:
    """The projections that `targets` name, in the model's order, by PEFT's rule: the name, or its last part.

    Raises:
        ModelError: a target the model does not have.
    """
    for target in targets:
        if not any(_names(target, name) for name in config.projections):
            raise ModelError(f"target {target!r}; allowed: {', '.join(config.projections)}")
    return tuple(name for name in config.projections if any(_names(target, name) for target in targets))


def init(config: LoraConfig, decoder: Decoder, key: PRNGKeyArray) -> Adapter:
    """A new adapter, float32: A kaiming-uniform with a = √5, that is U(−1/√inputs, 1/√inputs); B zeros.

    The update is therefore zero at first (Hu et al. 2021, section 4.1; PEFT's `reset_lora_parameters`).

    Raises:
        ModelError: a target the model does not have, or a first layer beyond the last.
    """
    layers = decoder.config.num_layers - config.first_layer
    if not 0 <= config.first_layer < decoder.config.num_layers:
        raise ModelError(f"first_layer is {config.first_layer}; allowed: 0 to {decoder.config.num_layers - 1}")
    a, b = {}, {}
    for index, name in enumerate(resolve_targets(decoder.config, config.targets)):
        inputs, outputs = decoder.config.projections[name]
        limit = 1.0 / math.sqrt(inputs)
        own = jax.random.fold_in(key, index)
        a[name] = jax.random.uniform(own, (layers, config.rank, inputs), jnp.float32, -limit, limit)
        b[name] = jnp.zeros((layers, outputs, config.rank), jnp.float32)
    return Adapter(
        a=a,
        b=b,
        scale=config.scale,
        first_layer=config.first_layer,
        dropout=config.dropout,
        rslora=config.rslora,
    )


def merge(decoder: Decoder, adapter: Adapter) -> Decoder:
    """A decoder whose weights hold the update, W + scale · (B A)ᵀ; the one given is left as it is.

    Raises:
        ModelError: the weights are int8, which cannot hold it.
    """
    parameters = decoder.parameters()
    for name, a in adapter.a.items():
        key = f"layers.{name}.kernel"
        kernel = parameters[key]
        if not jnp.issubdtype(kernel.dtype, jnp.floating):
            raise ModelError(f"{name} is {kernel.dtype}; allowed: merging into floating-point weights")
        update = jnp.einsum("nor,nri->nio", adapter.b[name], a) * adapter.scale
        changed = kernel[adapter.first_layer :].astype(jnp.float32) + update
        parameters[key] = kernel.at[adapter.first_layer :].set(changed.astype(kernel.dtype))
    return Decoder(decoder.config, parameters)


def _names(target: str, projection: str) -> bool:
    return projection == target or projection.endswith(f".{target}")
