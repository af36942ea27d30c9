"""Made-up customers and contact responses for where no real data can be had, labelled synthetic wherever they show.

The generator knows the real sets by figures only (`synthetic_figures.json`, fitted once to the official files, which
never change): the share of each category, quantiles of each number, a correlation matrix, the weights of a logistic
regression and a few rules. Features come from a Gaussian copula: correlated normals z ~ N(0, R), each cut into its
variable's levels, or read off its variable's quantiles. What follows from other columns (the monthly charge from the
services, the economy from the date) is computed from them, and the label is drawn with the regression's probability.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retentionjax.data.public_sets import BANK, TELCO
from retentionjax.data.schema import Provenance, Table, typed
from retentionjax.errors import DataError

NAMES = ("telco", "bank")
"""The sets that have a synthetic form."""
_FEWEST = 20
_FIGURES = Path(__file__).with_name("synthetic_figures.json")


@dataclass(frozen=True)
class Draw:
    """Rows before they become columns."""

    text: Mapping[str, np.ndarray]
    """Categorical variable to str[rows]."""
    numbers: Mapping[str, np.ndarray]
    """Numeric variable to float64[rows]."""
    label: np.ndarray
    """int8[rows]."""


def generate(name: str, *, rows: int | None = None, seed: int = 0) -> Table:
    """A synthetic `telco` or `bank` table with the schema of the real one, as long as the real one if `rows` is None.

    The same seed gives the same rows. Raises DataError for a set without synthetic form or fewer than 20 rows.
    """
    if name not in NAMES:
        raise DataError(f"the data set {name!r} has no synthetic form; allowed: {', '.join(NAMES)}")
    figures = read_figures()[name]
    count = figures["rows"] if rows is None else rows
    if count < _FEWEST:
        raise DataError(f"{count} synthetic rows would say nothing; allowed: {_FEWEST} or more")
    rng = np.random.default_rng(seed)
    drawn = draw(figures, count, rng)
    if name == "telco":
        schema, columns = TELCO, telco_columns(drawn, figures["rules"], rng)
    else:
        schema, columns = BANK, bank_columns(drawn, figures["rules"], rng)
    source = f"retentionjax.data.synthetic, seed {seed}: made up after figures of the real {name} set"
    provenance = Provenance("synthetic", source, figures_sha256(), "made up; no licence needed", count)
    return Table(name, typed(schema, columns), schema, provenance)


@functools.cache
def read_figures() -> dict[str, Any]:
    """The figures of the real sets, by set."""
    figures: dict[str, Any] = json.loads(_FIGURES.read_text(encoding="utf-8"))
    return figures


def figures_sha256() -> str:
    """Hash by which two synthetic tables of the same seed can be told apart."""
    return hashlib.sha256(_FIGURES.read_bytes()).hexdigest()


def draw(figures: Mapping[str, Any], rows: int, rng: np.random.Generator) -> Draw:
    """`rows` rows of the copula of `figures`, with labels drawn from its regression."""
    z = rng.standard_normal((rows, len(figures["variables"]))) @ np.linalg.cholesky(np.array(figures["correlation"])).T
    text: dict[str, np.ndarray] = {}
    numbers: dict[str, np.ndarray] = {}
    for index, name in enumerate(figures["variables"]):
        if name in figures["cuts"]:
            text[name] = np.array(figures["levels"][name])[np.searchsorted(figures["cuts"][name], z[:, index])]
        else:
            numbers[name] = np.round(np.interp(z[:, index], figures["z"], figures["quantiles"][name]))
    for name, (gate, off, value) in figures["only_with"].items():
        text[name] = np.where(text[gate] == off, value, text[name])
    return Draw(text, numbers, _draw_labels(_logits(figures["response"], text, numbers), rng))


def telco_columns(drawn: Draw, rules: Mapping[str, Any], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The columns of TELCO: the charge is the price list plus noise, the total what was billed so far."""
    rows = len(drawn.label)
    text = {name: values for name, values in drawn.text.items() if name in TELCO.categorical}
    price = np.full(rows, rules["base_price"])
    for name, prices in rules["prices"].items():
        price += np.array([prices.get(value, 0.0) for value in text[name].tolist()])
    monthly = np.maximum(rules["lowest_price"], price + rules["price_sd"] * rng.standard_normal(rows))
    monthly = np.round(monthly * 20) / 20  # prices end in 0 or 5 cents
    tenure = drawn.numbers["tenure"]
    drift = rules["total_sd"] * monthly * np.sqrt(tenure) * rng.standard_normal(rows)
    total = np.where(tenure > 1, np.maximum(monthly, np.round(tenure * monthly + drift, 2)), monthly)
    return {
        **text,
        "PhoneService": np.where(text["MultipleLines"] == "No phone service", "No", "Yes"),
        "customerID": np.array([f"SYNTHETIC-{number:06d}" for number in range(rows)]),
        "tenure": tenure,
        "MonthlyCharges": monthly,
        "TotalCharges": np.where(tenure == 0, np.nan, total),
        "Churn": drawn.label,
    }


def bank_columns(drawn: Draw, rules: Mapping[str, Any], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The columns of BANK in order of time; the economy is that of the row's month."""
    period = drawn.text["period"].astype(np.int64)
    economy = {key: np.array(values)[period] for key, values in rules["periods"].items()}
    low, high, sd = (economy.pop(f"euribor3m_{figure}") for figure in ("low", "high", "sd"))
    rate = economy["euribor3m"] + sd * rng.standard_normal(len(period))
    previous = np.zeros(len(period))
    pdays = np.full(len(period), np.nan)
    for outcome, past in rules["past"].items():
        mine = drawn.text["poutcome"] == outcome
        count = int(mine.sum())
        previous[mine] = 1 + _choose(past["previous"], count, rng)
        pdays[mine] = np.where(rng.random(count) < past["pdays_known"], _choose(past["pdays"], count, rng), np.nan)
    columns = {
        **{name: values for name, values in drawn.text.items() if name in BANK.categorical},
        **drawn.numbers,
        **economy,
        "euribor3m": np.round(np.clip(rate, low, high), 3),
        "previous": previous,
        "pdays": pdays,
        "y": drawn.label,
    }
    order = np.argsort(period, kind="stable")
    return {name: values[order] for name, values in columns.items()}


def _logits(
    response: Mapping[str, Any], text: Mapping[str, np.ndarray], numbers: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Log-odds of the label: a weight a category and, for a number, one a knot with straight lines between them."""
    logits = np.full(len(next(iter(text.values()))), response["intercept"])
    for name, weights in response["categories"].items():
        logits += np.array([weights[value] for value in text[name].tolist()])
    for name, line in response["numbers"].items():
        logits += np.interp(numbers[name], line["knots"], line["weights"])
    return logits


def _draw_labels(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int8[rows], each 1 with its own probability; their number is the expected one, rounded up or down."""
    steps = np.cumsum(1 / (1 + np.exp(-logits))) + rng.random()
    return np.diff(np.floor(steps), prepend=0.0).astype(np.int8)


def _choose(shares: list[float], count: int, rng: np.random.Generator) -> np.ndarray:
    """float64[count] of 0, 1, … with the given shares."""
    return np.searchsorted(np.cumsum(shares), rng.random(count) * sum(shares)).astype(np.float64)
