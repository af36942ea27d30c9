"""Writes gae_rlax.json: advantages by rlax, of random trajectories with terminations, truncations and survival.

Run where rlax is installed: `.venv/peers/bin/python tests/oracles/make_gae_rlax.py` (bench.py --peers makes that).
rlax knows no truncation, so a trajectory is cut there and each piece is given to it with the value it was cut at.
"""

import json
from pathlib import Path

import numpy as np
import rlax

GAMMA, DECAY, STEPS, TRAJECTORIES = 0.97, 0.9, 16, 6


def pieces(truncated: np.ndarray) -> list[slice]:
    """The runs of steps between truncations."""
    ends = [*(np.flatnonzero(truncated[:-1]) + 1).tolist(), len(truncated)]
    return [slice(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


def trajectory(random: np.random.Generator) -> dict[str, list[float]]:
    reward, value, following = random.normal(size=(3, STEPS)).astype(np.float32)
    survival = random.uniform(0.8, 1.0, STEPS).astype(np.float32)
    terminated = random.random(STEPS) < 0.15
    truncated = (random.random(STEPS) < 0.15) & ~terminated
    # Within an episode the value reached is the next step's own value.
    inside = ~(terminated | truncated)[:-1]
    following[:-1] = np.where(inside, value[1:], following[:-1])
    discount = GAMMA * survival * ~terminated
    advantage = np.concatenate(
        [
            rlax.truncated_generalized_advantage_estimation(
                reward[piece], discount[piece], DECAY, np.append(value[piece], following[piece][-1])
            )
            for piece in pieces(truncated)
        ]
    )
    columns = {
        "reward": reward,
        "discount": discount,
        "value": value,
        "next_value": following,
        "continues": (~(terminated | truncated)).astype(np.float32),
        "advantage": advantage,
    }
    return {name: [float(number) for number in column] for name, column in columns.items()}


def main() -> None:
    random = np.random.default_rng(42)
    golden = {
        "rlax": rlax.__version__,
        "decay": DECAY,
        "trajectories": [trajectory(random) for _ in range(TRAJECTORIES)],
    }
    Path(__file__).with_name("gae_rlax.json").write_text(json.dumps(golden, indent=1) + "\n")


main()
