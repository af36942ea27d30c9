"""Training speed: environment steps per CPU-second of PPO on CartPole, end to end without compilation, against rejax.

Both: MLP 64 × 64 tanh, 4 epochs, 16 minibatches, 512 environments × 32 steps, about a million steps; turn by turn.
"""

import statistics
import sys
from pathlib import Path

from benchmarks.peers.stopwatch import Worker

FOLDER = Path(__file__).parent / "peers"
PEER_PYTHON = FOLDER.parents[2] / ".venv" / "peers" / "bin" / "python"
SIZES = ("512", "32", "16", "62")  # environments, steps, minibatches, iterations
TURNS = 5


def run() -> dict[str, float]:
    """Medians over the turns; the ratio is the median of each turn's ratio."""
    if not PEER_PYTHON.exists():
        raise SystemExit("cartpole_ppo compares with rejax: run `python scripts/bench.py --peers cartpole_ppo` once")
    ours = Worker(sys.executable, FOLDER / "cartpole_ours.py", *SIZES)
    peer = Worker(PEER_PYTHON, FOLDER / "cartpole_rejax.py", *SIZES)
    turns = [(ours.turn(), peer.turn()) for _ in range(TURNS)]
    ours.close()
    peer.close()
    figures = {"ratio_to_rejax": statistics.median(o["per_cpu_second"] / p["per_cpu_second"] for o, p in turns)}
    for index, name in enumerate(("retentionjax", "rejax")):
        for key in ("per_cpu_second", "per_second"):
            figures[f"{name}_steps_{key}"] = statistics.median(turn[index][key] for turn in turns)
    return figures
