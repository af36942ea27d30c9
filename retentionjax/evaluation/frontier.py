"""Value against spend: what each policy gains at every budget, under the exact frontier that none can pass; and the one
policy for every budget, conditioned on the multiplier of spend, with the table by which a budget finds its multiplier.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import struct
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams, MultiplierTable
from retentionjax.evaluation import baselines, plots
from retentionjax.evaluation.rollout import Policy, PolicyInput, for_each, play
from retentionjax.rl import networks
from retentionjax.rl.conditioned import ConditionedParams, append

RULES: Mapping[str, tuple[Policy, Sequence[float]]] = {
    "threshold": (baselines.threshold(), tuple(np.linspace(0.35, 0.95, 9))),
    "greedy": (baselines.greedy(), tuple(np.geomspace(0.1, 6.0, 9))),
    "greedy_fatigue": (baselines.greedy_fatigue(), tuple(np.geomspace(0.1, 6.0, 9))),
}
"""The baselines that look at the customer, with the hyperparameters at which they are played."""
_COLOURS = (plots.GREEN, plots.ORANGE, plots.GREY)


class Point(NamedTuple):
    """A policy at one setting; $ a customer and campaign, means over the customers."""

    hyperparameter: float  # what it was set to: a rule's hyperparameter, a multiplier, a budget
    spend: float
    uplift: float  # over never contacting


class Scene(NamedTuple):
    """Customers and random numbers, the same for every policy; expected churn, so that few episodes say much."""

    params: EnvParams
    key: jax.Array
    replicates: int
    never: np.ndarray  # value of never contacting, (customers, replicates)


def scene_of(params: EnvParams, key: jax.Array, replicates: int) -> Scene:
    """The customers of `params.population`, each in `replicates` episodes."""
    never = play(RetentionEnv(expected_churn=True), params, baselines.never(), key, replicates=replicates)
    return Scene(params, key, replicates, np.asarray(never.value, np.float64))


def curve(
    scene: Scene,
    policy: Policy,
    hyperparameters: Sequence[float],
    advance: Callable[[int], object] = lambda points: None,
) -> list[Point]:
    """The policy at each of its hyperparameters."""
    points = []
    for hyperparameter in hyperparameters:
        points.append(point(scene, policy.replace(hyperparameter=float(hyperparameter)), float(hyperparameter)))  # type: ignore[attr-defined]
        advance(1)
    return points


def point(scene: Scene, policy: Policy, hyperparameter: float) -> Point:
    """The policy as it is; `hyperparameter` is only noted."""
    env = RetentionEnv(expected_churn=True)
    played = play(env, scene.params, policy, scene.key, replicates=scene.replicates)
    gain = np.asarray(played.value, np.float64) - scene.never
    return Point(hyperparameter, float(np.mean(played.spend)), float(gain.mean()))


# --- one policy for every budget ------------------------------------------------------------------------------


@struct.dataclass
class ConditionedNetwork:
    """The networks, and the multipliers they were trained on."""

    policy: networks.PolicyNetwork  # observation and the multiplier's place → logits
    critic: networks.MLP  # likewise → [net uplift to come / (1 + multiplier), each cost to come]
    low: Any
    high: Any

    def logits(self, observation: jax.Array, mask: jax.Array, multiplier: jax.Array) -> jax.Array:
        """f32[..., actions], very low where the mask forbids."""
        return networks.policy_logits(self.policy, self._see(observation, multiplier), mask)

    def values(self, observation: jax.Array, multiplier: jax.Array) -> jax.Array:
        """f32[..., 1 + costs]: uplift to come in $, then each cost to come."""
        heads = networks.apply_mlp(self.critic, self._see(observation, multiplier), self.policy.activation)
        uplift = heads[..., 0] * (1 + multiplier) + multiplier * heads[..., 1]
        return jnp.concatenate([uplift[..., None], heads[..., 1:]], -1)

    def _see(self, observation: jax.Array, multiplier: jax.Array) -> jax.Array:
        return append(observation, multiplier, ConditionedParams(None, self.low, self.high))


def at_multiplier(network: ConditionedNetwork, multiplier: float) -> Policy:
    """The policy at one multiplier, to be played; the hyperparameter is the multiplier, so `baselines.spend_exactly`
    can set it."""
    return Policy("any_budget", _act, hyperparameter=multiplier, parameters=network)


@for_each
def _act(policy: Policy, situation: PolicyInput, key: jax.Array) -> jax.Array:
    multiplier = jnp.asarray(policy.hyperparameter, jnp.float32)
    return jax.random.categorical(key, policy.parameters.logits(situation.observation, situation.mask, multiplier))


def tabulate(
    network: ConditionedNetwork,
    params: EnvParams,
    key: jax.Array,
    *,
    multipliers: int,
    replicates: int,
    advance: Callable[[int], object] = lambda rows: None,
) -> MultiplierTable:
    """Plays the policy on the customers of `params` at multipliers spread over its range, with expected churn.

    Under common random numbers at every multiplier. Where noise would have spend rise with the multiplier, it is held.
    """
    grid = np.geomspace(float(network.low), float(network.high), multipliers).tolist()
    points = curve(scene_of(params, key, replicates), at_multiplier(network, grid[0]), grid, advance)
    held = np.minimum.accumulate([each.spend for each in points])
    return MultiplierTable(tuple(grid), tuple(held.tolist()), tuple(each.uplift for each in points))


# --- the picture ----------------------------------------------------------------------------------------------


def picture(
    exact: Sequence[Point],
    curves: Mapping[str, Sequence[Point]],
    trained: Sequence[Point],
    limit: float,
    currency: str,
    folder: epath.Path,
) -> None:
    """`frontier.png`.

    Args:
        exact: of the exact frontier, by spend.
        curves: by policy; "any_budget" is the one policy for every budget.
        trained: a policy each, trained for one budget.
    """
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    limits = [limit] if np.isfinite(limit) else []
    widest = 1.15 * max(*limits, *(each.spend for each in [*trained, *curves["any_budget"]]))
    corner = Point(0.0, 0.0, 0.0)
    _line(axes, [corner, *exact], "exact optimum", widest, color="black", linewidth=1.2, linestyle="--")
    rules = {name: points for name, points in curves.items() if name != "any_budget"}
    for (name, points), colour in zip(rules.items(), _COLOURS, strict=False):
        _line(axes, points, name, widest, color=colour, linewidth=1, marker=".", markersize=4)
    _line(axes, curves["any_budget"], "one policy for every budget", widest, color=plots.BLUE, linewidth=2)
    spends, uplifts = [each.spend for each in trained], [each.uplift for each in trained]
    axes.plot(spends, uplifts, "o", color=plots.BLUE, markerfacecolor="white", label="trained for one budget each")
    for each in limits:
        axes.axvline(each, color=plots.GREY, linewidth=0.8, linestyle=":")
        axes.annotate("budget", (each, 0.02), xycoords=("data", "axes fraction"), ha="right", color=plots.GREY)
    axes.set(xlim=(0, widest), ylim=(min(0.0, *(each.uplift for each in trained)), None))
    axes.set(xlabel=f"spend [{currency} a customer and campaign]", ylabel=f"uplift over never contacting [{currency}]")
    axes.set(title="What a budget is worth: held-out customers, the same for every policy")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    plots.write(figure, folder / "frontier.png")


def _line(axes: Axes, points: Sequence[Point], label: str, widest: float, **style: Any) -> None:
    shown = sorted(each[1:] for each in points if each.spend <= widest)
    if shown:
        axes.plot(*zip(*shown, strict=True), label=label, **style)
