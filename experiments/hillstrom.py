"""A real randomised trial: what targeting policies are worth on Hillstrom's e-mails, and whom to write first.

Effects of the arms, values of five policies on visits and spend with intervals, Qini curves of a T-learner and
budgeted ones that also choose the e-mail. Everything that predicts a customer was learned from others. Not part of
the pipeline: it says how far the methods can be trusted, on people, and no other stage reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pandas as pd
import xgboost
from jaxtyping import Float

from experiments.stage import Context, Stage
from retentionjax import storage
from retentionjax.checked import Checked, Seed, Within
from retentionjax.data import catalog
from retentionjax.data.public_sets import HILLSTROM, HILLSTROM_PROPENSITY
from retentionjax.evaluation import targeting
from retentionjax.evaluation.off_policy.evaluation import HEADLINE, OffPolicySettings, evaluate
from retentionjax.evaluation.off_policy.log import DecisionLog, build
from retentionjax.evaluation.statistics import plain
from retentionjax.tabular.boosting import BoosterConfig, matrix, score, train
from retentionjax.tabular.encoder import Encoder
from retentionjax.tabular.metrics import auc
from retentionjax.tracking import progress

NOBODY, MENS, WOMENS = range(3)  # arms, in the order of HILLSTROM.arms
OUTCOMES = ("visit", "spend")


@dataclass(frozen=True)
class HillstromConfig(Checked):
    booster: BoosterConfig = field(default_factory=BoosterConfig)
    folds: Annotated[int, Within(2, 20)] = 5
    """Folds of customers; each fold's predictions come from the others."""
    share: Annotated[float, Within(0, 1, above=True)] = 0.3
    """Share of the customers whom the T-learner's policy writes to."""
    splits: Annotated[int, Within(1, 1000)] = 10
    """Random halves on which the Qini coefficient is looked at again."""
    resamples: Annotated[int, Within(1, 100_000)] = 1000
    seed: Seed = 42


def run(config: HillstromConfig, context: Context) -> dict[str, float]:
    """Learn → value the policies → rank. Writes off_policy.json and curves.json. See Stage."""
    prepared = catalog.read(context.inputs["data"] / "artifacts", "hillstrom")
    frame = pd.concat([part.frame for part in (prepared.train, prepared.validation, prepared.test)]).sort_index()
    trial = HillstromTrial.read(frame)
    fold = np.random.default_rng(config.seed).permutation(len(frame)) % config.folds
    models = {}
    with progress("learn each arm's outcome", len(OUTCOMES) * config.folds, "fits") as bar:
        for outcome in OUTCOMES:
            models[outcome] = np.zeros((len(frame), 3))
            for number in range(config.folds):
                inside = fold == number
                models[outcome][inside] = trial.fit_predict(outcome, ~inside, inside, config)
                bar.advance()
    policies = targets(models["visit"], fold, config.share)
    summary, full = values(trial, policies, models, config)
    storage.write_json(context.artifacts / "off_policy.json", full)
    summary |= ranking(trial, models["visit"], config, context)
    show(summary)
    return summary


@dataclass(frozen=True)
class HillstromTrial:
    """The experiment as arrays, a customer a row."""

    features: np.ndarray
    types: list[str]
    arm: np.ndarray
    outcomes: Mapping[str, np.ndarray]

    @classmethod
    def read(cls, frame: pd.DataFrame) -> "HillstromTrial":
        """The trial read from the prepared table."""
        encoder = Encoder(HILLSTROM.numeric, HILLSTROM.categorical, HILLSTROM.nullable)
        arm = frame[str(HILLSTROM.treatment)].cat.codes.to_numpy(np.int64)
        return cls(encoder.encode(frame), encoder.types, arm, {name: frame[name].to_numpy(float) for name in OUTCOMES})

    def log(self, outcome: str) -> DecisionLog:
        """The trial as a log of contextual decisions with the propensities of the design."""
        rows = len(self.arm)
        return build(
            observation=self.features,
            propensities=np.full((rows, 3), HILLSTROM_PROPENSITY),
            action=self.arm,
            reward=self.outcomes[outcome],
            where="hillstrom",
        )

    def fit_predict(
        self, outcome: str, learn: np.ndarray, ask: np.ndarray, config: HillstromConfig
    ) -> Float[np.ndarray, "asked 3"]:
        """Each arm's expected outcome of the asked customers, by one model an arm learned on others (a T-learner)."""
        columns = []
        for arm in (NOBODY, MENS, WOMENS):
            rows = learn & (self.arm == arm)
            y = self.outcomes[outcome][rows]
            if outcome == "visit":
                booster = train(self.features[rows], y.astype(np.int64), self.types, config.booster, config.seed)
            else:
                booster = _regress(self.features[rows], y, self.types, config)
            columns.append(score(booster, self.features[ask]))
        return np.stack(columns, axis=1).astype(np.float64)


def _regress(x: np.ndarray, y: np.ndarray, types: list[str], config: HillstromConfig) -> xgboost.Booster:
    """Dollars spent: one customer in a hundred buys, so a few shallow trees."""
    settings = {"objective": "reg:squarederror", "max_depth": 2, "learning_rate": 0.05, "min_child_weight": 500}
    data = matrix(x, types)
    data.set_label(y)
    return xgboost.train(settings | {"seed": config.seed, "nthread": 1}, data, 40)


def targets(model: Float[np.ndarray, "n 3"], fold: np.ndarray, share: float) -> dict[str, Float[np.ndarray, "n 3"]]:
    """Policies as probabilities of the arms, by name; what they know of a customer was learned from others."""
    rows = len(model)
    effect = model[:, WOMENS] - model[:, NOBODY]
    first = np.zeros(rows)
    for number in np.unique(fold):
        inside = fold == number
        first[inside] = targeting.treated(effect[inside], share)
    arms = {
        "never": np.full(rows, NOBODY),
        "all_mens": np.full(rows, MENS),
        "all_womens": np.full(rows, WOMENS),
        "greedy": np.argmax(model, axis=1),
    }
    top = np.eye(3)[NOBODY] * (1 - first[:, None]) + np.eye(3)[WOMENS] * first[:, None]
    return {**{name: np.eye(3)[chosen] for name, chosen in arms.items()}, "t_learner_top": top}


def values(
    trial: HillstromTrial,
    policies: Mapping[str, Float[np.ndarray, "n 3"]],
    models: Mapping[str, Float[np.ndarray, "n 3"]],
    config: HillstromConfig,
) -> tuple[dict[str, float], dict[str, object]]:
    """The summary's `value_…`, doubly robust, and every estimate of every policy and outcome."""
    summary: dict[str, float] = {}
    full: dict[str, object] = {}
    for outcome in OUTCOMES:
        log = trial.log(outcome)
        reports = {}
        for name, target in policies.items():
            settings = OffPolicySettings(resamples=config.resamples, seed=config.seed)
            reports[name] = evaluate(log, target, settings, model=models[outcome])
            summary |= reports[name].estimates[HEADLINE].flat(f"value_{outcome}_{name}")
        full[outcome] = plain(reports)
    return summary, full


def ranking(
    trial: HillstromTrial, model: Float[np.ndarray, "n 3"], config: HillstromConfig, context: Context
) -> dict[str, float]:
    """Effects, Qini coefficients and curves on visits, in visits a customer."""
    log = trial.log("visit")
    gains = targeting.scores(log, model)
    gains -= gains[:, [NOBODY]]
    effects = model - model[:, [NOBODY]]
    arms = {"mens": MENS, "womens": WOMENS}
    summary = {"rows": float(len(log)), "propensity_auc": _propensity_auc(trial, config)}
    for name, arm in arms.items():
        summary |= targeting.mean(_plain_gains(trial, arm)).flat(f"effect_visit_{name}")
        summary |= targeting.qini(effects[:, arm], gains[:, arm]).flat(f"qini_{name}")
    for name, top in (("top", True), ("bottom", False)):
        found = targeting.share_effect(effects[:, WOMENS], gains[:, WOMENS], config.share, top=top)
        summary |= found.flat(f"t_learner_{name}_effect")
    summary["qini_positive_splits"] = float(positive_splits(trial, config))
    summary["qini_splits"] = float(config.splits)
    curves = {name: targeting.qini_curve(effects[:, arm], gains[:, arm]) for name, arm in arms.items()}
    curves["best"] = targeting.budget_curve(effects, gains, np.array([0.0, 1.0, 1.0]))
    storage.write_json(
        context.artifacts / "curves.json",
        {
            name: {part: getattr(curve, part) for part in ("spend", "gain", "low", "high")}
            for name, curve in curves.items()
        },
    )
    return summary


def positive_splits(trial: HillstromTrial, config: HillstromConfig) -> int:
    """Number of random halves on which the other half's ranking has a Qini coefficient above 0 (Womens)."""
    log, positive = trial.log("visit"), 0
    with progress("Qini on random halves", config.splits, "splits") as bar:
        for number in range(config.splits):
            asked = np.random.default_rng([config.seed, number]).random(len(log)) < 0.5
            model = trial.fit_predict("visit", ~asked, asked, config)
            half = log.rows(asked)
            gains = targeting.scores(half, model)
            found = targeting.qini(model[:, WOMENS] - model[:, NOBODY], gains[:, WOMENS] - gains[:, NOBODY])
            positive += found.mean > 0
            bar.advance()
    return positive


def _plain_gains(trial: HillstromTrial, arm: int) -> Float[np.ndarray, " n"]:
    """Scores whose mean is the difference of two arms' means, with its usual standard error."""
    visit, shares = trial.outcomes["visit"], np.bincount(trial.arm) / len(trial.arm)
    means = {each: visit[trial.arm == each].mean() for each in (NOBODY, arm)}
    difference = np.full(len(visit), means[arm] - means[NOBODY])
    for each, sign in ((arm, 1), (NOBODY, -1)):
        inside = trial.arm == each
        difference[inside] += sign * (visit[inside] - means[each]) / shares[each]
    return difference


def _propensity_auc(trial: HillstromTrial, config: HillstromConfig) -> float:
    """How well a model tells who was written at all: ½ where the lot decided, as it did here."""
    label = (trial.arm != NOBODY).astype(np.int64)
    learn = np.random.default_rng(config.seed + 1).random(len(label)) < 0.5
    booster = train(trial.features[learn], label[learn], trial.types, config.booster, config.seed)
    return auc(label[~learn], score(booster, trial.features[~learn]).astype(np.float64))


def show(summary: Mapping[str, float]) -> None:
    """Prints what the trial says, in lines."""
    for outcome, scale, unit in (("visit", 100, "%"), ("spend", 1, "$")):
        print(f"\nValue a customer, {outcome} [{unit}], doubly robust, 95 % interval:")
        for key in [key for key in summary if key.startswith(f"value_{outcome}_") and f"{key}_low" in summary]:
            mean, low, high = (scale * summary[f"{key}{end}"] for end in ("", "_low", "_high"))
            print(f"  {key.removeprefix(f'value_{outcome}_'):<14} {mean:6.2f} [{low:.2f}, {high:.2f}]")


STAGE = Stage("hillstrom", HillstromConfig, run, needs=("data",))

if __name__ == "__main__":
    STAGE.main()
