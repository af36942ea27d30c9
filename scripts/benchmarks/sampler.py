"""Text generation: tokens per second of the sampler against transformers' `generate` on torch, the same checkpoint.

SmolLM2-135M, float32, prompts of 64 tokens, 64 new tokens, the likeliest each time (so that both write the same),
reading the prompts included; batches of 1, 8 and 32, turn by turn. The first run, which compiles, is reported apart.
Torch is no dependency of ours: RETENTIONJAX_TORCH_PYTHON names an interpreter that has torch and transformers. Its
threads wait for each other by spinning, so on a busy machine it all but stops: RETENTIONJAX_BENCH_CORES=1 gives both
one core, where that cannot happen.
"""

import os
import statistics
import sys
from pathlib import Path

from benchmarks.peers.stopwatch import Worker

from retentionjax.language import hub

FOLDER = Path(__file__).parent / "peers"
BASE, PROMPT, NEW = "smollm2-135m-instruct", 64, 64
BATCHES = (1, 8, 32)
TURNS = 5
CORES = int(os.environ.get("RETENTIONJAX_BENCH_CORES", len(os.sched_getaffinity(0))))


def run() -> dict[str, float]:
    """Medians over the turns; a ratio above 1 means that ours is faster, by wall time."""
    peer_python = os.environ.get("RETENTIONJAX_TORCH_PYTHON")
    if not peer_python or not Path(peer_python).exists():
        raise SystemExit(
            "sampler compares with torch: set RETENTIONJAX_TORCH_PYTHON to a Python that has torch and transformers"
        )
    folder = str(hub.fetch(BASE))
    figures: dict[str, float] = {}
    for batch in BATCHES:
        sizes = (folder, str(batch), str(PROMPT), str(NEW))
        ours = Worker(sys.executable, FOLDER / "sampler_ours.py", *sizes, cores=CORES)
        peer = Worker(peer_python, FOLDER / "sampler_torch.py", *sizes, cores=CORES)
        turns = [(ours.turn(), peer.turn()) for _ in range(TURNS)]
        ours.close()
        peer.close()
        key = f"batch_{batch}"
        figures[f"ratio_{key}"] = statistics.median(o["per_second"] / p["per_second"] for o, p in turns)
        figures[f"ratio_cpu_{key}"] = statistics.median(o["per_cpu_second"] / p["per_cpu_second"] for o, p in turns)
        for index, name in enumerate(("retentionjax", "torch")):
            figures[f"{name}_tokens_per_second_{key}"] = statistics.median(turn[index]["per_second"] for turn in turns)
        figures[f"retentionjax_first_run_seconds_{key}"] = ours.first_seconds
    return figures
