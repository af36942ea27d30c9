"""Measures the real Telco and Bank sets and writes the figures from which the synthetic ones are generated.

    RETENTIONJAX_DATA=… python scripts/fit_synthetic.py        # writes retentionjax/data/synthetic_figures.json

Only figures leave this script: shares, quantiles, correlations, a price list, the economy by month. What each
means stands in retentionjax/data/synthetic.py, which draws from them.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from retentionjax import storage
from retentionjax.data import sources

OUTPUT = Path(__file__).parents[1] / "retentionjax/data/synthetic_figures.json"
PROBABILITIES = (0.001, 0.005, 0.01, 0.02, *np.arange(0.05, 0.951, 0.05).round(2).tolist(), 0.98, 0.99, 0.995, 0.999)
INTERNET_ONLY = ("OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies")
PERIOD = ["month", "emp.var.rate", "cons.price.idx", "cons.conf.idx", "nr.employed"]
_NORMAL = statistics.NormalDist()
Z_GRID = [-4.0, *(_NORMAL.inv_cdf(p) for p in PROBABILITIES), 4.0]


def main() -> None:
    """Fits both sets and writes the file."""
    fits = {"telco": fit_telco, "bank": fit_bank}
    figures = {name: fit(sources.load(name, mode="real").frame) for name, fit in fits.items()}
    for each in figures.values():
        each["z"] = Z_GRID
    storage.write_text(OUTPUT, compact(figures))
    print(f"{OUTPUT}: {OUTPUT.stat().st_size:,} bytes")


def fit_telco(frame: pd.DataFrame) -> dict[str, Any]:
    """Figures of the Telco set; `PhoneService` follows from `MultipleLines`, charges from services and tenure."""
    categories = ["gender", "SeniorCitizen", "Partner", "Dependents", "MultipleLines", "InternetService"]
    categories += ["Contract", "PaperlessBilling", "PaymentMethod", *INTERNET_ONLY]
    levels = {name: best_order(frame, name, ["tenure"]) for name in categories}
    for name in INTERNET_ONLY:
        levels[name] = ["No", "Yes"]
    only_with = dict.fromkeys(INTERNET_ONLY, ("InternetService", "No", "No internet service"))
    # Paying by electronic check goes with everything risky and has no place in an order of the other three ways.
    frame = frame.assign(by_check=np.where(frame["PaymentMethod"] == "Electronic check", "Yes", "No"))
    levels["PaymentMethod"].remove("Electronic check")
    levels["by_check"] = ["No", "Yes"]
    only_with["PaymentMethod"] = ("by_check", "Yes", "Electronic check")
    knots = {"tenure": [0, 1, 2, 3, 6, 12, 24, 36, 48, 60, 72]}
    return {
        **fit_copula(frame, levels, list(knots), only_with),
        "response": fit_response(frame, frame["Churn"], categories, knots),
        "rules": telco_rules(frame),
    }


def telco_rules(frame: pd.DataFrame) -> dict[str, Any]:
    """The price list by least squares (R² 0.999), and how far the total is from tenure x charge."""
    priced = {"MultipleLines": ["No", "Yes"], "InternetService": ["DSL", "Fiber optic"]}
    priced |= {name: ["Yes"] for name in INTERNET_ONLY}
    cells = [(name, value) for name, values in priced.items() for value in values]
    flags = [np.asarray(frame[name] == value, dtype=np.float64) for name, value in cells]
    design = np.column_stack([np.ones(len(frame), dtype=np.float64), *flags])
    charge = np.asarray(frame["MonthlyCharges"], dtype=np.float64)
    solution, *_ = np.linalg.lstsq(design, charge, rcond=None)
    prices: dict[str, dict[str, float]] = {}
    for (name, value), price in zip(cells, solution[1:], strict=True):
        prices.setdefault(name, {})[value] = price
    billed = frame[frame["tenure"] > 1]
    expected = billed["tenure"] * billed["MonthlyCharges"]
    drift = (billed["TotalCharges"] - expected) / (billed["MonthlyCharges"] * np.sqrt(billed["tenure"]))
    return {
        "base_price": solution[0],
        "lowest_price": charge.min(),
        "prices": prices,
        "price_sd": (charge - design @ solution).std(),
        "total_sd": drift.std(),
    }


def fit_bank(frame: pd.DataFrame) -> dict[str, Any]:
    """Figures of the Bank set; a `period` is a month of one year, with the economic figures of that month."""
    frame = frame.assign(period=frame.groupby(PERIOD, sort=False, observed=True).ngroup().astype(str))
    categories = ["job", "marital", "education", "default", "housing", "loan", "contact", "day_of_week"]
    frame["time"] = frame["period"].astype(float)
    levels = {name: best_order(frame, name, ["age", "time", "y"]) for name in categories}
    levels["poutcome"] = ["nonexistent", "failure", "success"]
    levels["period"] = sorted(frame["period"].unique(), key=int)
    knots = {"age": [17, 22, 27, 32, 40, 50, 60, 70, 98], "campaign": [1, 2, 3, 5, 10, 56]}
    periods = frame.groupby(frame["period"].astype(int))
    rates = periods["euribor3m"]
    economy: dict[str, list[Any]] = {name: periods[name].first().tolist() for name in PERIOD}
    economy |= {"euribor3m": rates.mean().tolist(), "euribor3m_sd": rates.std().fillna(0).tolist()}
    economy |= {"euribor3m_low": rates.min().tolist(), "euribor3m_high": rates.max().tolist()}
    past = {outcome: bank_past(frame[frame["poutcome"] == outcome]) for outcome in ("failure", "success")}
    return {
        **fit_copula(frame, levels, list(knots), {}),
        "response": fit_response(frame, frame["y"], list(levels), knots),
        "rules": {"periods": economy, "past": past},
    }


def bank_past(frame: pd.DataFrame) -> dict[str, Any]:
    """Clients of an earlier campaign: shares of 1, 2, … earlier contacts and of 0, 1, … days since the last."""
    return {
        "previous": shares(frame["previous"] - 1),
        "pdays_known": float(frame["pdays"].notna().mean()),
        "pdays": shares(frame["pdays"].dropna()),
    }


def fit_copula(
    frame: pd.DataFrame,
    levels: Mapping[str, list[str]],
    numbers: Sequence[str],
    only_with: Mapping[str, tuple[str, str, str]],
) -> dict[str, Any]:
    """Cuts, quantiles and correlations; a variable of `only_with` has a meaning only where its gate is not off."""
    codes: dict[str, np.ndarray] = {}
    cuts: dict[str, list[float]] = {}
    for name, order in levels.items():
        code = pd.Index(order).get_indexer(pd.Index(frame[name].astype(object))).astype(float)
        codes[name] = np.where(code >= 0, code, np.nan)
        below = [float((code[code >= 0] <= level).mean()) for level in range(len(order) - 1)]
        cuts[name] = [_NORMAL.inv_cdf(share) for share in below]
    quantiles = {}
    for name in numbers:
        values = frame[name].to_numpy(float)
        codes[name] = normal_scores(values)
        quantiles[name] = np.quantile(values, [0.0, *PROBABILITIES, 1.0]).tolist()
    return {
        "rows": len(frame),
        "variables": [*levels, *numbers],
        "levels": {name: list(order) for name, order in levels.items()},
        "cuts": cuts,
        "quantiles": quantiles,
        "correlation": fit_correlation(codes, cuts),
        "only_with": {name: list(gate) for name, gate in only_with.items()},
    }


def fit_response(
    frame: pd.DataFrame, label: pd.Series, categories: Sequence[str], knots: Mapping[str, list[int]]
) -> dict[str, Any]:
    """A logistic regression on categories and on straight lines between knots, lightly regularised."""
    cells = [(name, str(value)) for name in categories for value in sorted(frame[name].astype(str).unique())]
    columns = [np.asarray(frame[name].astype(str) == value, dtype=np.float64) for name, value in cells]
    for name, places in knots.items():
        columns += [np.asarray(np.interp(frame[name], places, hat)) for hat in np.eye(len(places))]
    design = np.column_stack(columns)
    model = LogisticRegression(C=1.0, max_iter=5000).fit(design, label)
    print(f"logistic regression, AUC {roc_auc_score(label, model.decision_function(design)):.3f}")
    weights = list(model.coef_[0])
    by_category: dict[str, dict[str, float]] = {}
    for name, value in cells:
        by_category.setdefault(name, {})[value] = weights.pop(0)
    lines = {name: {"knots": places, "weights": [weights.pop(0) for _ in places]} for name, places in knots.items()}
    return {"intercept": model.intercept_[0], "categories": by_category, "numbers": lines}


def fit_correlation(codes: Mapping[str, np.ndarray], cuts: Mapping[str, list[float]]) -> list[list[float]]:
    """Correlation of the normals such that the levels cut from them correlate as the codes do (fixed point)."""
    names = list(codes)
    target = pairwise(np.column_stack([codes[name] for name in names]))
    applies = np.column_stack([~np.isnan(codes[name]) for name in names])
    normals = np.random.default_rng(0).standard_normal((40_000, len(names)))
    mask = applies[np.random.default_rng(1).integers(0, len(applies), len(normals))]
    fitted = target.copy()
    for _ in range(15):
        z = normals @ np.linalg.cholesky(fitted).T
        drawn = np.column_stack(
            [np.searchsorted(cuts[name], z[:, i]) if name in cuts else z[:, i] for i, name in enumerate(names)]
        )
        seen = pairwise(np.where(mask, drawn, np.nan))
        fitted = nearest_correlation(fitted + 0.8 * (target - seen))
    rows: list[list[float]] = fitted.tolist()
    return rows


def pairwise(codes: np.ndarray) -> np.ndarray:
    """Correlations, each over the rows where both variables have a value; 0 where one never varies."""
    matrix = pd.DataFrame(codes).corr(min_periods=20).fillna(0.0).to_numpy(copy=True)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def nearest_correlation(matrix: np.ndarray) -> np.ndarray:
    """`matrix` with its eigenvalues raised to 0.01 where lower, and the diagonal back to 1."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    raised = vectors @ np.diag(np.maximum(values, 0.01)) @ vectors.T
    scale = np.sqrt(np.diag(raised))
    return np.asarray(raised / np.outer(scale, scale))


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Ranks as quantiles of the normal distribution."""
    ranks = (pd.Series(values).rank().to_numpy() - 0.5) / len(values)
    return np.array([_NORMAL.inv_cdf(float(rank)) for rank in ranks])


def best_order(frame: pd.DataFrame, name: str, anchors: Sequence[str]) -> list[str]:
    """The categories that occur, ordered by the mean of that anchor with which the order says most of all anchors.

    One normal stands for a variable, so the order of its categories decides what it can tell of the others.
    """
    orders = [frame.groupby(frame[name].astype(str))[anchor].mean().sort_values().index.tolist() for anchor in anchors]

    def told(order: list[str]) -> float:
        code = pd.Series(pd.Index(order).get_indexer(pd.Index(frame[name].astype(str))), index=frame.index)
        return float(sum(code.corr(frame[anchor], method="spearman") ** 2 for anchor in anchors))

    return max(orders, key=told)


def shares(values: pd.Series) -> list[float]:
    """Share of 0, 1, …, up to the largest."""
    counted = np.bincount(values.astype(int))
    rows: list[float] = (counted / counted.sum()).tolist()
    return rows


def compact(figures: Any) -> str:
    """JSON with five decimals and one line a list, so that the file can be read and compared."""

    def rounded(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): rounded(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [rounded(each) for each in value]
        return round(float(value), 5) if isinstance(value, float | np.floating) else value

    def text(value: Any, indent: int) -> str:
        if not isinstance(value, dict):
            return json.dumps(value, ensure_ascii=False)
        inner = " " * (indent + 1)
        lines = ",\n".join(f"{inner}{json.dumps(key)}: {text(each, indent + 1)}" for key, each in value.items())
        return "{\n" + lines + "\n" + " " * indent + "}"

    return text(rounded(figures), 0) + "\n"


if __name__ == "__main__":
    main()
