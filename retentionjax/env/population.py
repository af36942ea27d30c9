"""Who the customers are: charges, churn risks and acceptance propensities, one row a customer.

Rows of different data sets are different people. `match` pairs churn risks of one set with acceptance
propensities of another by a stated rank correlation and says which row went where; `build` takes a table in which
they already belong together.
"""

from dataclasses import asdict, dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from retentionjax.env.types import Population
from retentionjax.errors import DataError

Values = npt.ArrayLike
MIN_PROBABILITY = 1e-4  # keeps hazards and log-odds finite where isotonic calibration says 0 or 1


@dataclass(frozen=True)
class Matching:
    """How acceptance propensities were given to customers of another data set."""

    rank_correlation: float  # of churn probability and acceptance, asked for
    seed: int
    rows: npt.NDArray[np.int64]  # (N,) row of the acceptance table given to customer i

    def record(self) -> dict[str, Any]:
        """What a report and a bundle say about it."""
        described = asdict(self) | {
            "method": "gaussian copula on ranks" if self.rank_correlation else "independent draw"
        }
        described.pop("rows")
        return described


def build(
    monthly_charge: Values,
    churn_probability: Values,
    accept_probability: Values,
    *,
    rank_correlation: float | None = None,
    seed: int = 0,
) -> Population:
    """Population of N customers from three columns of N rows that belong together.

    With `rank_correlation` the acceptance column comes from other people and is matched first (see `match`).
    Raises DataError for a wrong shape, a charge that is not positive, a probability outside [0, 1], or a
    non-finite number, naming the column, row and value.
    """
    charge = _column("monthly_charge", monthly_charge, low=0.0, low_open=True)
    churn = _column("churn_probability", churn_probability, high=1.0)
    accept = _column("accept_probability", accept_probability, high=1.0)
    if rank_correlation is not None:
        accept = accept[match(churn, accept, rank_correlation=rank_correlation, seed=seed).rows]
    lengths = {"monthly_charge": len(charge), "churn_probability": len(churn), "accept_probability": len(accept)}
    if len(set(lengths.values())) > 1:
        raise DataError(f"population columns differ in length: {lengths}; each needs one value a customer")
    low, high = MIN_PROBABILITY, 1 - MIN_PROBABILITY
    return Population(
        monthly_charge=jnp.asarray(charge, jnp.float32),
        churn_probability=jnp.asarray(churn.clip(low, high), jnp.float32),
        accept_probability=jnp.asarray(accept.clip(low, high), jnp.float32),
    )


def match(churn_probability: Values, accept_probability: Values, *, rank_correlation: float, seed: int) -> Matching:
    """Matches each of N customers with a row of an acceptance table of M rows, at a given Spearman correlation.

    Each acceptance row is used ⌊N/M⌋ or ⌈N/M⌉ times. Gaussian copula: normal scores of the churn ranks, mixed with
    noise at Pearson 2·sin(πr/6), ordered, and paired with the ordered acceptance draws. 0 is an independent draw.
    """
    if not -1 <= rank_correlation <= 1:
        raise DataError(f"rank_correlation is {rank_correlation}; allowed: −1 to 1")
    churn = _column("churn_probability", churn_probability, high=1.0)
    accept = _column("accept_probability", accept_probability, high=1.0)
    random = np.random.default_rng(seed)
    n, m = len(churn), len(accept)
    drawn = np.concatenate([random.permutation(m) for _ in range(-(-n // m))])[:n]
    pearson = 2 * np.sin(np.pi * rank_correlation / 6)
    scores = np.empty(n)
    scores[np.lexsort((random.random(n), churn))] = np.sort(random.standard_normal(n))
    mixed = pearson * scores + np.sqrt(max(0.0, 1 - pearson**2)) * random.standard_normal(n)
    rows = np.empty(n, np.int64)
    rows[np.argsort(mixed)] = drawn[np.lexsort((random.random(n), accept[drawn]))]
    return Matching(rank_correlation=rank_correlation, seed=seed, rows=rows)


def _column(
    name: str, values: Values, *, low: float = 0.0, low_open: bool = False, high: float = np.inf
) -> npt.NDArray[np.float64]:
    try:
        given = np.asarray(values)
        column = np.asarray(given, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"population column {name} holds a value that is no number: {error}") from error
    if given.dtype.kind in "mM":  # days since 1970, they would pass for charges
        raise DataError(f"population column {name} holds dates or times; allowed: numbers")
    if column.ndim != 1 or column.size == 0:
        raise DataError(
            f"population column {name} has shape {column.shape}; allowed: one value a customer, at least one"
        )
    with np.errstate(over="ignore"):
        kept = column.astype(np.float32)  # what the environment computes with: 1e39 is infinite there, 1e-46 is 0
    too_low = kept <= low if low_open else column < low
    bad = ~np.isfinite(kept) | too_low | (column > high)
    if bad.any():
        row = int(np.argmax(bad))
        allowed = f"{'above' if low_open else 'from'} {low:g}" + (f" to {high:g}" if np.isfinite(high) else "")
        raise DataError(f"population column {name}, row {row}: {column[row]}; allowed: a finite float32 {allowed}")
    return column
