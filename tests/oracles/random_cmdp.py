"""Random constrained decision processes as tables: one gymnax environment for all of them, and their exact solutions.

Optima by linear programming over occupancy measures (Altman 1999, "Constrained Markov decision processes", ch. 3).
Rewards and costs are discounted; episodes are cut off after `STEPS`, when little is left of either.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces
from scipy.optimize import linprog

GAMMA = 0.97
STEPS = 200  # γ^200 is a quarter of a per cent
STATES, ACTIONS, COSTS = 20, 4, 3  # at most; smaller ones are filled up, so that one program runs all


@struct.dataclass
class Table(environment.EnvParams):
    """One process. States beyond its own are never reached; a cost that it does not have is 0 and unlimited."""

    transition: Any = None  # f32[STATES, ACTIONS, STATES]
    reward: Any = None  # f32[STATES, ACTIONS]
    costs: Any = None  # f32[STATES, ACTIONS, COSTS]
    start: Any = None  # f32[STATES]
    limits: Any = None  # f32[COSTS], of the discounted sums
    max_steps_in_episode: Any = STEPS


@dataclass(frozen=True)
class Value:
    """Value of a policy, discounted."""

    reward: float
    costs: np.ndarray  # f64[COSTS]


def draw(seed: int) -> tuple[Table, Value]:
    """A process of 10 to 20 states with 2 or 3 costs, and its constrained optimum.

    Each limit lies between the least that is possible and what the best policy without limits costs, where together
    they can be kept.
    """
    random = np.random.default_rng(seed)
    states, costs = int(random.integers(10, STATES + 1)), int(random.integers(2, COSTS + 1))
    transition = np.zeros((STATES, ACTIONS, STATES))
    transition[:, :, :states] = random.dirichlet(np.full(states, 0.3), (STATES, ACTIONS))
    reward = random.uniform(size=(STATES, ACTIONS))
    cost = np.zeros((STATES, ACTIONS, COSTS))
    cost[..., :costs] = random.uniform(size=(STATES, ACTIONS, costs)) * (
        random.uniform(size=(STATES, ACTIONS, costs)) < 0.5
    )
    start = np.zeros(STATES)
    start[:states] = random.dirichlet(np.ones(states))
    free = Table(transition=transition, reward=reward, costs=cost, start=start, limits=np.full(COSTS, np.inf))
    dearest = _optimum(free)
    assert dearest is not None
    for share in (0.4, 0.6, 0.8, 0.95):
        limits = np.full(COSTS, np.inf)
        for k in range(costs):
            least = _optimum(free.replace(reward=-cost[..., k]))  # type: ignore[attr-defined]
            assert least is not None
            limits[k] = share * dearest.costs[k] + (1 - share) * least.costs[k]
        table = free.replace(limits=limits)  # type: ignore[attr-defined]
        if (best := _optimum(table)) is not None:
            return table, best
    return table, dearest


def value(table: Table, policy: np.ndarray) -> Value:
    """Exact values of a policy f64[states, actions]."""
    visits = np.linalg.solve(
        np.eye(STATES) - GAMMA * np.einsum("sa,sat->st", policy, table.transition).T, np.asarray(table.start)
    )
    return _worth(table, visits[:, None] * policy)


def _optimum(table: Table) -> Value | None:
    """max ρ·r over occupancies ρ ≥ 0 with flow conservation, subject to ρ·c ≤ limits; None where nothing keeps them."""
    leaving = np.repeat(np.eye(STATES), ACTIONS, axis=1)
    entering = GAMMA * table.transition.reshape(-1, STATES).T
    kept = np.isfinite(table.limits)
    bounds = {"A_ub": table.costs.reshape(-1, COSTS).T[kept], "b_ub": table.limits[kept]} if kept.any() else {}
    solution = linprog(-table.reward.reshape(-1), A_eq=leaving - entering, b_eq=table.start, method="highs", **bounds)
    return _worth(table, solution.x.reshape(STATES, ACTIONS)) if solution.status == 0 else None


def _worth(table: Table, occupancy: np.ndarray) -> Value:
    return Value(float((occupancy * table.reward).sum()), np.einsum("sa,sak->k", occupancy, table.costs))


@struct.dataclass
class State(environment.EnvState):
    position: jax.Array  # i32[]
    time: jax.Array  # i32[]


class RandomCMDP(environment.Environment[State, Table]):
    """The table in `params`: one-hot observation, `info["costs"]` f32[COSTS]."""

    @property
    def default_params(self) -> Table:
        return Table()

    def step_env(
        self, key: jax.Array, state: State, action: Any, params: Table
    ) -> tuple[jax.Array, State, jax.Array, jax.Array, dict[Any, Any]]:
        at = (state.position, action)
        following = State(position=_pick(key, params.transition[at]), time=state.time + 1)
        return self.get_obs(following), following, params.reward[at], jnp.asarray(False), {"costs": params.costs[at]}

    def reset_env(self, key: jax.Array, params: Table) -> tuple[jax.Array, State]:
        state = State(position=_pick(key, params.start), time=jnp.int32(0))
        return self.get_obs(state), state

    def get_obs(self, state: State, params: Any = None, key: Any = None) -> jax.Array:
        return jax.nn.one_hot(state.position, STATES)

    def action_space(self, params: Table) -> spaces.Discrete:
        return spaces.Discrete(ACTIONS)

    def observation_space(self, params: Table) -> spaces.Box:
        return spaces.Box(0, 1, (STATES,), jnp.float32)


def _pick(key: jax.Array, probabilities: jax.Array) -> jax.Array:
    return jnp.searchsorted(jnp.cumsum(probabilities), jax.random.uniform(key, maxval=0.9999)).astype(jnp.int32)
