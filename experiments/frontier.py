"""Every budget at once: a grid of budgets and seeds trained in one call, and one policy that is told the multiplier.

Optional, beside the pipeline: `python -m experiments.frontier demo` after it. Writes frontier.png, frontier.json and
a bundle that also serves other budgets: `retentionjax decide --bundle … --budget 1.50 …`.

`frontier.json`: `exact`, `trained` and `curves` by policy are lists of {hyperparameter, spend, uplift} in $ a
customer and campaign on the same held-out customers, the hyperparameter being multiplier, budget, or the rule's own;
`multipliers` is the bundle's table (of the training customers); `limit` and `customers`.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import bundle as deciding
from experiments import companies
from experiments import customers as people
from experiments import policy as training
from experiments.stage import Context, Stage
from retentionjax import bundle as bundles
from retentionjax import storage
from retentionjax.bundle.program import DecideAtMultiplier
from retentionjax.checked import Checked, Count, NotNegative, Positive, Seed, Within
from retentionjax.env import constraints
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams, MultiplierTable
from retentionjax.env.value import with_potential
from retentionjax.evaluation import frontier, optimum
from retentionjax.evaluation.frontier import ConditionedNetwork, Point
from retentionjax.evaluation.rollout import Policy
from retentionjax.rl import Gains, PPOConfig, ppo
from retentionjax.rl.conditioned import ConditionedEnv, ConditionedParams
from retentionjax.tracking import progress

ENV = RetentionEnv(expected_churn=True, shaping=True)
CHUNK = 10  # iterations a call
IDLE = 0.05  # share of its budget below which a policy counts as one that never contacts


@dataclass(frozen=True)
class FrontierConfig(Checked):
    seed: Seed = 42
    budgets: tuple[float, ...] = (1.0, 1.75, 2.5, 4.0)
    """$ a customer and campaign, one policy each and seed."""
    seeds: Count = 1
    grid: PPOConfig = field(
        default_factory=lambda: training.campaign_settings(
            num_iterations=80, gains=Gains(proportional=0.2, integral=0.01, initial=1.0)
        )
    )
    """PPO for each cell of the grid: short runs, whose multiplier has less time to settle."""
    ppo: PPOConfig = field(default_factory=training.campaign_settings)
    """PPO for the policy that is told the multiplier."""
    lowest_multiplier: Positive = 0.2
    """$ of value for a $ of spend; the policy is trained on multipliers from here …"""
    highest_multiplier: Positive = 5.0
    """… to here."""
    multipliers: Annotated[int, Within(2)] = 16
    """Rows of the table that finds a budget's multiplier."""
    tuning_replicates: Count = 2
    """Episodes a training customer behind each row."""
    customers: Count = 32
    """Held-out ones, on whom all is compared with the exact frontier."""
    replicates: Count = 500
    """Episodes of each of them and policy."""
    exact_tolerance: NotNegative = 0.01
    """Share of a budget within which the exact frontier is found there."""

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: multipliers in the wrong order, no budget or one of 0, and runs of too few iterations."""
        faults = []
        if not self.lowest_multiplier < self.highest_multiplier:
            faults.append(("lowest_multiplier", f"allowed: below highest_multiplier, {self.highest_multiplier:g}"))
        if not self.budgets or not all(budget > 0 for budget in self.budgets):
            faults.append(("budgets", f"{self.budgets}; allowed: one or more, each above 0"))
        counts = {name: getattr(self, name).num_iterations for name in ("grid", "ppo")}
        few = [name for name, count in counts.items() if count < CHUNK]
        return faults + [(f"{name}.num_iterations", f"{counts[name]}; allowed: {CHUNK} or more") for name in few]


def run(config: FrontierConfig, context: Context) -> dict[str, float]:
    """Grid → policy for any budget → exact frontier and rules on the same customers → bundle. See Stage."""
    folder = context.inputs["policy"] / "artifacts"
    _, train = people.load(folder, "train")
    _, held_out = people.load(folder, "held_out")
    limit = people.budget(folder)
    cells = train_grid(config, train)
    network = train_conditioned(config, with_potential(train))
    multipliers = multiplier_table(config, network, train)

    sample = optimum.sample(held_out, config.customers, config.seed)
    scene = frontier.scene_of(sample, jax.random.key(config.seed + 3), config.replicates)
    trained = [frontier.point(scene, each, budget) for budget, each in cells]
    curves = compare(scene, network, multipliers)
    exact = exact_frontier(config, sample, trained, curves["any_budget"])
    points = sorted(Point(t.multiplier, t.mean.spend, t.mean.value - exact.never.mean.value) for t in exact.tangents())
    frontier.picture(points, curves, trained, limit, companies.of(context.inputs).currency, context.artifacts)
    plain = {
        "exact": _plain(points),
        "trained": _plain(trained),
        "curves": {name: _plain(each) for name, each in curves.items()},
        "multipliers": asdict(multipliers),
        "limit": limit if np.isfinite(limit) else None,
        "customers": sample.population.size,
    }
    storage.write_json(context.artifacts / "frontier.json", plain)
    write_bundle(context, network, multipliers)
    return summary(config, exact, trained, curves["any_budget"])


# --- training -------------------------------------------------------------------------------------------------


def train_grid(config: FrontierConfig, train: EnvParams) -> list[tuple[float, Policy]]:
    """(budget, policy) of every cell, all trained by the same calls and each made ready as the stage `policy` does."""
    params = with_potential(train)
    budgets = [budget for budget in config.budgets for _ in range(config.seeds)]
    each = {budget: training.at_budget(cell(config, budget), params) for budget in config.budgets}
    settings = each[budgets[0]]
    limits = jnp.array([each[budget].limits for budget in budgets], jnp.float32)
    biases = jnp.array([each[budget].null_action_bias for budget in budgets], jnp.float32)
    keys = jax.random.split(jax.random.key(config.seed), len(budgets))

    def start(limits: jax.Array, bias: jax.Array, key: jax.Array) -> ppo.TrainState:
        return ppo.init(ENV, params, replace(settings, limits=limits, null_action_bias=bias), key)

    def iterate(limits: jax.Array, state: ppo.TrainState) -> tuple[ppo.TrainState, ppo.IterationMetrics]:
        return ppo.train_iterations(ENV, params, replace(settings, limits=limits), state, CHUNK)

    state, together = jax.jit(over_cells(start))(limits, biases, keys), jax.jit(over_cells(iterate))
    chunks = config.grid.num_iterations // CHUNK
    with progress(f"{len(budgets)} budgets and seeds at once", chunks * CHUNK, "iterations") as bar:
        for _ in range(chunks):
            state, metrics = together(limits, state)
            ppo.require_sound(metrics)
            bar.advance(CHUNK, spend=_each(metrics.cost[:, -1, 0]), multiplier=_each(metrics.multipliers[:, -1, 0]))
    states = [jax.tree.map(lambda x, cell=cell: x[cell], state) for cell in range(len(budgets))]
    return [(budget, ready(config, budget, own, train)) for budget, own in zip(budgets, states, strict=True)]


def cell(config: FrontierConfig, budget: float) -> training.PolicyConfig:
    """Settings of the stage `policy` for a cell of this budget."""
    return training.PolicyConfig(ppo=config.grid, seed=config.seed, limits={training.BUDGET: budget})


def ready(config: FrontierConfig, budget: float, state: ppo.TrainState, train: EnvParams) -> Policy:
    """A cell's policy as it would be deployed: sharper, and its spend set on the training customers."""
    own = cell(config, budget)
    return training.set_spend(own, training.deployed(own, state), train, float(state.multipliers.value[0]))[0]


def over_cells(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` for every cell in one program: side by side on an accelerator, in turn on CPU.

    On two cores an iteration of four cells took 1.8 times as long side by side as by four calls one after another; in
    turn within one call it takes no longer than those.
    """
    if jax.default_backend() == "cpu":
        return lambda *cells: jax.lax.map(lambda cell: function(*cell), cells)
    return jax.vmap(function)


def _each(cells: jax.Array) -> str:
    """A figure of every cell, as a line of progress shows it."""
    return " ".join(f"{float(cell):.2f}" for cell in cells)


def train_conditioned(config: FrontierConfig, params: EnvParams) -> ConditionedNetwork:
    """The policy that is told the multiplier: no limits, the multiplier of spend is charged in the reward."""
    env = ConditionedEnv(ENV)
    world = ConditionedParams(params, config.lowest_multiplier, config.highest_multiplier)
    settings = training.PolicyConfig(ppo=config.ppo, seed=config.seed).training
    settings = replace(settings, limits=(float("inf"),) * len(constraints.NAMES))
    state = jax.jit(lambda key: ppo.init(env, world, settings, key))(jax.random.key(config.seed + 1))
    iterate = jax.jit(lambda world, state: ppo.train_iterations(env, world, settings, state, CHUNK))
    with progress("policy for every budget", config.ppo.num_iterations // CHUNK * CHUNK, "iterations") as bar:
        for _ in range(config.ppo.num_iterations // CHUNK):
            state, metrics = iterate(world, state)
            bar.advance(CHUNK, spend=ppo.summarise(metrics)["episode_cost_0"])
    return ConditionedNetwork(
        policy=training.sharper(training.PolicyConfig(), ppo.policy(settings, state, averaged=True)),
        critic=ppo.critic(state, averaged=True),
        low=config.lowest_multiplier,
        high=config.highest_multiplier,
    )


# --- comparing ------------------------------------------------------------------------------------------------


def multiplier_table(config: FrontierConfig, network: ConditionedNetwork, train: EnvParams) -> MultiplierTable:
    """What the policy spends on the training customers at each multiplier."""
    with progress("what each multiplier spends", config.multipliers, "multipliers") as bar:
        return frontier.tabulate(
            network,
            train,
            jax.random.key(config.seed + 2),
            multipliers=config.multipliers,
            replicates=config.tuning_replicates,
            advance=bar.advance,
        )


def compare(scene: frontier.Scene, network: ConditionedNetwork, multipliers: MultiplierTable) -> dict[str, list[Point]]:
    """The curve of each rule, and of the policy for any budget at the multipliers of its table."""
    curves = {"any_budget": (frontier.at_multiplier(network, 1.0), multipliers.multiplier), **frontier.RULES}
    with progress("curves", sum(len(hyperparameters) for _, hyperparameters in curves.values()), "points") as bar:
        return {
            name: frontier.curve(scene, policy, hyperparameters, bar.advance)
            for name, (policy, hyperparameters) in curves.items()
        }


def exact_frontier(
    config: FrontierConfig, sample: EnvParams, trained: list[Point], told: list[Point]
) -> optimum.Frontier:
    """The exact frontier, found where the policies are."""
    spends = [each.spend for each in trained] + list(np.quantile([each.spend for each in told], [0.1, 0.5, 0.9]))
    with progress("exact frontier", 4 * len(spends) * config.customers, "campaigns") as bar:
        found = optimum.Frontier(sample, bar.advance)
        for spend in sorted(spends):
            found.at_budget(spend, tolerance=config.exact_tolerance)
    return found


def summary(
    config: FrontierConfig, exact: optimum.Frontier, trained: list[Point], told: list[Point]
) -> dict[str, float]:
    """Shares of the attainable gain at each budget.

    Of several seeds the share and spend are means; `cells_without_contact` counts the cells that gave up contact.
    """
    flat: dict[str, float] = {}
    for budget in config.budgets:
        own = [each for each in trained if each.hyperparameter == budget]
        flat[f"share_trained_{budget:g}"] = float(np.mean([_share(exact, each) for each in own]))
        flat[f"spend_trained_{budget:g}"] = float(np.mean([each.spend for each in own]))
    flat["cells_without_contact"] = float(sum(each.spend < IDLE * each.hyperparameter for each in trained))
    order = sorted(told, key=lambda each: each.spend)
    columns = np.array([each[1:] for each in order]).T
    for budget in config.budgets:
        gain = float(np.interp(budget, *columns))
        flat[f"share_any_budget_{budget:g}"] = _share(exact, Point(0.0, budget, gain))
    return flat


def _share(exact: optimum.Frontier, point: Point) -> float:
    """Uplift over the most that any policy gains at that spend."""
    return point.uplift / max(1e-9, exact.gain_bound(point.spend))


def _plain(points: list[Point]) -> list[dict[str, float]]:
    return [each._asdict() for each in points]


# --- the bundle -----------------------------------------------------------------------------------------------


def write_bundle(context: Context, network: ConditionedNetwork, multipliers: MultiplierTable) -> None:
    """The pipeline's bundle with the policy for other budgets beside its own, in `artifacts/bundle`.

    One that always waits (see `experiments.bundle`) does so at every budget.
    """
    trained, gate = deciding.shipped(context.inputs["evaluate"] / "artifacts/bundle")
    contents = deciding.contents(trained, gate, context)
    contents = replace(contents, any_budget=None if gate["waits"] else (served(network), multipliers))
    bundles.write(context.artifacts / "bundle", contents, replace=True)


def served(network: ConditionedNetwork) -> DecideAtMultiplier:
    """(observations, masks, multipliers) → (propensities, values), as `bundle.program` takes it."""

    def decide(observations: jax.Array, masks: jax.Array, multiplier: jax.Array) -> tuple[jax.Array, jax.Array]:
        propensities = jax.nn.softmax(network.logits(observations, masks, multiplier))
        return propensities, jax.vmap(network.values)(observations, multiplier)

    return decide


STAGE = Stage("frontier", FrontierConfig, run, needs=("data", "churn", "acceptance", "effects", "policy", "evaluate"))

if __name__ == "__main__":
    STAGE.main()
