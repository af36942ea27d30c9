"""What is not known of the effects: one world a draw of them, while everybody is shown what is believed.

`EnvParams.worlds` holds the constants that differ from world to world, each with a leading axis of worlds; an episode
draws one as it draws its customer, and its days run by it. The constants themselves stay what is believed (the mean):
by them predictions are made, prices computed and the running offer's days counted, for nobody is told which world it
is. Without `worlds` there is one, and it is as believed.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from retentionjax.env.types import NO_OFFER, EnvParams, EnvState

EFFECTS = (
    "appeal", "hazard_multiplier", "effect_days", "contact_effect", "fatigue_hazard", "accept_fatigue", "accept_risk",
    "risk_onset", "risk_recovery", "risk_ratio",
)  # fmt: skip
"""Constants of `EnvParams` that may differ from world to world."""


def believing(params: EnvParams, drawn: EnvParams) -> EnvParams:
    """`params` with uncertain effects: the worlds are those of `drawn`, and what is believed is their mean.

    Effects in `drawn` have a leading axis of worlds. One that has none, or is the same in all worlds, stays as it is
    in `params`.
    """
    found = {}
    for name in EFFECTS:
        leaf = np.asarray(getattr(drawn, name))
        if leaf.ndim > np.ndim(getattr(params, name)) and np.ptp(leaf, axis=0).max() > 0:
            found[name] = leaf
    means = {name: leaf.mean(axis=0, dtype=np.float64) for name, leaf in found.items()}
    if "effect_days" in means:
        means["effect_days"] = np.rint(means["effect_days"])
    means = {name: jnp.asarray(mean, found[name].dtype) for name, mean in means.items()}
    worlds = {name: jnp.asarray(leaf) for name, leaf in found.items()} or None
    believed: EnvParams = params.replace(worlds=worlds, **means)  # type: ignore[attr-defined]
    return believed


def of_world(world: EnvParams, believed: EnvParams) -> EnvParams:
    """The environment in which `world` is the only world, while everybody is shown what `believed` says."""
    rows = {name: jnp.asarray(getattr(world, name))[None] for name in EFFECTS}
    shown = {name: getattr(believed, name) for name in EFFECTS}
    only: EnvParams = world.replace(worlds=rows, **shown)  # type: ignore[attr-defined]
    return only


def rows(params: EnvParams, which: Any) -> EnvParams:
    """`params` with only the worlds `which`, an index or slice that keeps the axis; unchanged without worlds."""
    if params.worlds is None:
        return params
    some: EnvParams = params.replace(  # type: ignore[attr-defined]
        worlds={name: jnp.asarray(leaf)[which] for name, leaf in params.worlds.items()}
    )
    return some


def count(params: EnvParams) -> int:
    """Number of worlds; 1 where there is no doubt."""
    return 1 if params.worlds is None else int(next(iter(params.worlds.values())).shape[0])


def as_believed(params: EnvParams) -> EnvParams:
    """`params` without uncertainty: the only world is as believed."""
    believed: EnvParams = params.replace(worlds=None)  # type: ignore[attr-defined]
    return believed


def in_force(params: EnvParams, world: Int[Array, "*batch"] | None) -> EnvParams:
    """The constants of row `world`, or of each of a batch of rows; `params` itself where there are no worlds."""
    if params.worlds is None:
        return params
    row = {name: leaf[world] for name, leaf in params.worlds.items()}
    constants: EnvParams = params.replace(worlds=None, **row)  # type: ignore[attr-defined]
    return constants


def extra_days(state: EnvState, world: EnvParams, params: EnvParams) -> Int[Array, ""]:
    """Days by which the running offer works longer than is believed, or less; 0 without one."""
    more = (jnp.asarray(world.effect_days) - jnp.asarray(params.effect_days))[jnp.maximum(state.offer, 0)]
    return jnp.where(state.offer == NO_OFFER, 0, more)


def seen(state: EnvState, params: EnvParams) -> EnvState:
    """The state as whoever decides knows it: an offer that is believed to have ended is over, whatever it still does.

    One state or a batch. Without worlds nothing is hidden.
    """
    if params.worlds is None:
        return state
    is_over = state.protection_days_left <= 0
    known: EnvState = state.replace(  # type: ignore[attr-defined]
        offer=jnp.where(is_over, NO_OFFER, state.offer),
        protection_days_left=jnp.maximum(0, state.protection_days_left),
        world=None,
    )
    return known


def drawn(uniform: jax.Array, params: EnvParams) -> Int[Array, "*batch"]:
    """Rows of worlds from uniform numbers."""
    worlds = count(params)
    return jnp.minimum((uniform * worlds).astype(jnp.int32), worlds - 1)  # float32 can round up to the number
