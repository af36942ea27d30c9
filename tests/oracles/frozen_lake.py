"""FrozenLake as a constrained decision process: Gymnasium's table, a gymnax environment on it, and exact solutions.

The cost is 1 for entering a hole, and limits bound its discounted sum. Optima by linear programming over
occupancy measures (Altman 1999, "Constrained Markov decision processes", ch. 3) and, independently, by bisection
of the Lagrangian's dual.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces
from scipy.optimize import linprog

GAMMA = 0.99
OUTCOMES = 3  # slippery: the wanted direction and its two neighbours, equally likely


@dataclass(frozen=True)
class Table:
    """Transition table of a map; start is state 0."""

    next_state: np.ndarray  # i32[states, actions, outcomes]
    reward: np.ndarray  # f64[states, actions], expected
    cost: np.ndarray  # f64[states, actions], expected
    reached_goal: np.ndarray  # bool[states, actions, outcomes]
    reached_hole: np.ndarray  # bool[states, actions, outcomes]

    @property
    def continuation(self) -> np.ndarray:
        """f64[states, actions, states]: probability of going on from each next state."""
        matrix = np.zeros((*self.reward.shape, self.reward.shape[0]))
        alive = ~(self.reached_goal | self.reached_hole) / OUTCOMES
        for outcome in range(OUTCOMES):
            np.add.at(matrix, (*np.indices(self.reward.shape), self.next_state[..., outcome]), alive[..., outcome])
        return matrix


@dataclass(frozen=True)
class Optimum:
    """Solution of the constrained problem, all discounted from the start state."""

    reward: float
    cost: float
    multiplier: float  # shadow price of the limit, 0 where it does not bind


def read_table(map_name: str) -> Table:
    """Gymnasium's table of "4x4" or "8x8"."""
    env: Any = gymnasium.make("FrozenLake-v1", map_name=map_name, is_slippery=True).unwrapped
    tiles = env.desc.reshape(-1)
    # A finished state lists one outcome, itself: never acted in, repeated only to fill the table.
    outcomes = [[(env.P[s][a] * OUTCOMES)[:OUTCOMES] for a in range(4)] for s in range(tiles.size)]
    next_state = np.array([[[int(o[1]) for o in action] for action in state] for state in outcomes], np.int32)
    entered = next_state != np.arange(tiles.size)[:, None, None]
    goal, hole = entered & (tiles == b"G")[next_state], entered & (tiles == b"H")[next_state]
    return Table(next_state, goal.mean(-1), hole.mean(-1), goal, hole)


def occupancy(table: Table, policy: np.ndarray) -> np.ndarray:
    """Discounted state-action visits f64[states, actions] of a policy f64[states, actions]; linear in mixtures."""
    transition = np.einsum("sa,sat->st", policy, table.continuation)
    start = np.eye(len(policy))[0]
    visits = np.linalg.solve(np.eye(len(policy)) - GAMMA * transition.T, start)
    return np.asarray(visits[:, None] * policy)


def solve_by_linear_program(table: Table, limit: float) -> Optimum:
    """max ρ·r over occupancies ρ ≥ 0 with flow conservation, subject to ρ·c ≤ limit."""
    states, actions = table.reward.shape
    leaving = np.repeat(np.eye(states), actions, axis=1)
    entering = GAMMA * table.continuation.reshape(states * actions, states).T
    bound = {} if np.isinf(limit) else {"A_ub": table.cost.reshape(1, -1), "b_ub": [limit]}
    solution = linprog(
        -table.reward.reshape(-1), A_eq=leaving - entering, b_eq=np.eye(states)[0], method="highs", **bound
    )
    multiplier = 0.0 if np.isinf(limit) else -float(solution.ineqlin.marginals[0])
    return Optimum(-solution.fun, float(solution.x @ table.cost.reshape(-1)), multiplier)


def solve_by_dual_bisection(table: Table, limit: float, ceiling: float = 50.0) -> Optimum:
    """The least λ at which the policy optimal for r − λc keeps the limit; J_r* = min over λ of the dual."""
    low, high = 0.0, ceiling
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _lagrangian(table, middle)[1] > limit else (low, middle)
    return Optimum(_lagrangian(table, high)[0] + high * limit, limit, high)


def _lagrangian(table: Table, multiplier: float) -> tuple[float, float]:
    """Value of the start state under r − λc, by value iteration to rest, and J_c of the greedy policy."""
    gain, value = table.reward - multiplier * table.cost, np.zeros(len(table.reward))
    later = GAMMA * table.continuation
    for _ in range(20_000):
        quality = gain + later @ value
        if np.abs(quality.max(1) - value).max() < 1e-14:
            break
        value = quality.max(1)
    greedy = np.eye(gain.shape[1])[quality.argmax(1)]
    return float(value[0]), float((occupancy(table, greedy) * table.cost).sum())


@struct.dataclass
class State(environment.EnvState):
    position: jax.Array  # i32[]
    time: jax.Array  # i32[]


class FrozenLake(environment.Environment[State, environment.EnvParams]):
    """The map as a gymnax environment: one-hot observation, `info["costs"]` f32[1]."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table = table

    @property
    def default_params(self) -> environment.EnvParams:
        # The exact values have no time limit. γ^500 < 1 % hides one so late, and truncation bootstraps the rest.
        return environment.EnvParams(max_steps_in_episode=500)

    def step_env(
        self, key: jax.Array, state: State, action: Any, params: environment.EnvParams
    ) -> tuple[jax.Array, State, jax.Array, jax.Array, dict[Any, Any]]:
        outcome = jax.random.randint(key, (), 0, OUTCOMES)
        at = (state.position, action, outcome)
        goal, hole = jnp.asarray(self.table.reached_goal)[at], jnp.asarray(self.table.reached_hole)[at]
        state = State(position=jnp.asarray(self.table.next_state)[at], time=state.time + 1)
        costs = hole.astype(jnp.float32)[None]
        return self.get_obs(state), state, goal.astype(jnp.float32), goal | hole, {"costs": costs}

    def reset_env(self, key: jax.Array, params: environment.EnvParams) -> tuple[jax.Array, State]:
        state = State(position=jnp.int32(0), time=jnp.int32(0))
        return self.get_obs(state), state

    def get_obs(self, state: State, params: Any = None, key: Any = None) -> jax.Array:
        return jax.nn.one_hot(state.position, len(self.table.reward))

    def action_space(self, params: environment.EnvParams) -> spaces.Discrete:
        return spaces.Discrete(self.table.reward.shape[1])

    def observation_space(self, params: environment.EnvParams) -> spaces.Box:
        return spaces.Box(0, 1, (len(self.table.reward),), jnp.float32)
