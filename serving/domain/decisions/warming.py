"""The first explanation compiles for seconds; here somebody else than a caller waits for it."""

import time

import structlog

from serving.domain.decisions.schemas import FactValue, SimulationIn
from serving.domain.decisions.simulating import simulate
from serving.engine.slots import Served, settle

_log = structlog.get_logger("serving.decisions")


def warm(served: Served) -> None:
    """Simulates one made-up customer, so that what explains her is compiled."""
    schema, started = served.bundle.schema, time.perf_counter()
    names = dict.fromkeys((*schema.features, str(schema.charge)))
    facts: dict[str, FactValue] = {
        name: schema.categorical[name][0] if name in schema.categorical else 1 for name in names
    }
    simulate(SimulationIn(facts), served)
    settle()
    _log.info("explanations are compiled", seconds=round(time.perf_counter() - started, 1))
