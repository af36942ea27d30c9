"""The exact constrained optimum of the retention environment, for the customers of a population.

    frontier = Frontier(params)            # params.population: a few dozen customers
    best = frontier.at_budget(2.50)        # best.value, best.shadow_price (the exact shadow price), best.bound

Who is where in the campaign is enumerated (`memory`), each customer's best campaign at a multiplier of money
found by backward recursion (`recursion`), and the multiplier that meets the budget by cutting planes, each campaign
followed forward (`frontier`). Nothing is approximated.
"""

from retentionjax.evaluation.optimum.frontier import Frontier, Optimum, Tangent
from retentionjax.evaluation.optimum.memory import UnsolvableError
from retentionjax.evaluation.optimum.regret import (
    SOLUTIONS,
    Regret,
    measure,
    sample,
    sentences,
    spread,
    unsolved,
    within_time,
)

__all__ = [
    "SOLUTIONS",
    "Frontier",
    "Optimum",
    "Regret",
    "Tangent",
    "UnsolvableError",
    "measure",
    "sample",
    "sentences",
    "spread",
    "unsolved",
    "within_time",
]
