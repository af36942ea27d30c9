"""AdamW behind a clip of the global norm, with the schedules of text training; and what an optimiser step changes."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float

from retentionjax.checked import Checked, NotNegative, Positive, Share, Within
from retentionjax.rl.leaves import Leaf


@dataclass(frozen=True)
class OptimiserConfig(Checked):
    """Loshchilov and Hutter 2019 (AdamW)."""

    learning_rate: Positive = 2e-4
    """Learning rate at the end of the warm-up."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How it falls from there to `final_share` of it after the last step."""
    warmup_steps: Annotated[int, Within()] = 0
    final_share: Share = 0.0
    weight_decay: NotNegative = 0.0
    max_grad_norm: Positive = 1.0
    """Largest global norm of the gradient, over all parameters; a larger one is scaled down to it."""
    b1: Share = 0.9
    b2: Share = 0.999
    eps: Positive = 1e-8

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: decay rates of 1, which take nothing in; Adam divides by 1 − bᵗ."""
        shares = {"b1": self.b1, "b2": self.b2}
        return [
            (name, f"{share:g}; allowed: 0 up to, not including, 1") for name, share in shares.items() if share == 1
        ]


@struct.dataclass
class LearnerState:
    """What learning changes, and all that a run needs to go on exactly where it stopped."""

    params: Any
    opt_state: Any
    step: Leaf  # i32[], optimiser steps taken


def learning_rate(config: OptimiserConfig, steps: int, step: Array | int) -> Float[Array, ""]:
    """The rate of step `step` (from 0) of `steps`; linear warm-up, then the schedule."""
    step = jnp.asarray(step, jnp.float32)
    warm = jnp.minimum(1.0, (step + 1.0) / max(1, config.warmup_steps))
    progress = jnp.clip((step - config.warmup_steps) / max(1, steps - config.warmup_steps), 0.0, 1.0)
    left = {"cosine": 0.5 * (1.0 + jnp.cos(jnp.pi * progress)), "linear": 1.0 - progress, "constant": jnp.ones(())}
    share = config.final_share + (1.0 - config.final_share) * left[config.schedule]
    return config.learning_rate * warm * share


def init_learner(config: OptimiserConfig, params: Any) -> LearnerState:
    """Parameters nothing has been learned with yet."""
    return LearnerState(params=params, opt_state=_adam(config).init(params), step=jnp.int32(0))


@partial(jax.jit, static_argnames=("config", "steps"))
def apply_gradient(
    config: OptimiserConfig, steps: int, learner: LearnerState, gradient: Any, rate: Array | float | None = None
) -> tuple[LearnerState, Float[Array, ""]]:
    """One step of `steps`, and the gradient's norm before it was clipped. `rate` replaces the schedule's."""
    norm = optax.tree.norm(gradient)
    updates, opt_state = _adam(config).update(gradient, learner.opt_state, learner.params)
    size = learning_rate(config, steps, learner.step) if rate is None else rate
    params = jax.tree.map(lambda p, u: (p - size * u).astype(p.dtype), learner.params, updates)
    return LearnerState(params=params, opt_state=opt_state, step=learner.step + 1), norm


def _adam(config: OptimiserConfig) -> optax.GradientTransformation:
    """Adam without its rate, which depends on the step and is applied outside."""
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        optax.scale_by_adam(config.b1, config.b2, config.eps),
        optax.add_decayed_weights(config.weight_decay),
    )
