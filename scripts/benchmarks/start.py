"""How long nobody is served: from a start to *ready*, and from the kill of the engine to the next decision, in seconds.

The demo's bundle. `cold` has to compile its programs, `warm` reads them from the cache that the first start filled.
These are seconds of the wall: other work on the machine lengthens them.
"""

import os
import signal
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.service import family, requested, served

KILLS = 3
MOST_SECONDS = 120.0


def run() -> dict[str, float]:
    """Seconds to ready with and without a cache, and the longest of three times to a decision after a kill."""
    figures, body = {}, requested()[0].encode()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
        for name in ("cold", "warm"):
            before = time.monotonic()
            with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (pid, port, key):
                figures[f"{name}_seconds_to_ready"] = time.monotonic() - before
                if name == "warm":
                    figures["seconds_to_decide_after_a_kill"] = max(_killed(pid, port, key, body) for _ in range(KILLS))
    return figures


def _killed(service: int, port: int, key: str, body: bytes) -> float:
    """Seconds from the end of the engine, the youngest process of the service's, to the next decision."""
    _decided(port, key, body)
    os.kill(list(family(service))[-1], signal.SIGKILL)
    before = time.monotonic()
    while not _decided(port, key, body):
        if time.monotonic() - before > MOST_SECONDS:
            raise SystemExit(f"no decision within {MOST_SECONDS:.0f} s of the engine's end")
        time.sleep(0.1)
    return time.monotonic() - before


def _decided(port: int, key: str, body: bytes) -> bool:
    head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/decisions", body, head, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=MOST_SECONDS) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as refused:
        if refused.code != 503:
            raise
        return False
