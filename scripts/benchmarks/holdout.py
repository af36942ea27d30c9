"""What a hold-out and a pilot add to the CPU of a decision: the same service with both, and with neither.

Both are asked in turns, as in `service`; CPU is that of the server's process and of its engine's. A contact costs
several times what a wait does, and is what a pilot is there for; to compare like with like, this pilot leaves
98 in 100 of its customers alone. The shares of contacts are told beside.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.service import load, requested, served

TURNS = 9
HOLDOUT, PILOT = 0.05, 0.05


def run() -> dict[str, float]:
    """Medians over the turns; the ratio is the median of the turns' ratios."""
    from retentionjax.decide.draws import Pilot

    pilot = Pilot(PILOT, (("none", 0.98), ("hello", 0.02)), time.time() + 30 * 86_400.0, budget_share=0.1)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        bodies = Path(one) / "bodies.json"
        bodies.write_text(json.dumps(requested()))
        with served(Path(one)) as plain, served(Path(other), holdout=HOLDOUT, pilot=pilot) as drawn:
            turns = [[load(pid, port, bodies, key) for pid, port, key in (plain, drawn)] for _ in range(TURNS)]
    figures = {"cpu_ratio_to_neither": statistics.median(after["cpu_us"] / before["cpu_us"] for before, after in turns)}
    for number, name in enumerate(("neither", "both")):
        figures[f"{name}_cpu_us_a_decision"] = statistics.median(turn[number]["cpu_us"] for turn in turns)
        figures[f"{name}_contacts_share"] = statistics.median(turn[number]["contacts"] for turn in turns)
    return figures
