"""Trains the response model: P(a contacted customer accepts an offer-free contact), calibrated.

- A log of other people: their own facts, every contact alike.
- A log of the company's customers: the offers' appeal is part of the model (`tabular.response`).
- No log: everybody accepts alike, a belief (`assumed`), and every output says so.

Beside cross-validation stands the time-ordered split: trained on the first 80 % of the contacts, judged on the last
10 %. Where base rates move it is bad, and honestly so: a deployed model must be refitted as time goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments import classification, companies
from experiments.classification import ClassificationProblem, ClassifierSettings
from experiments.stage import Context, Stage
from retentionjax import storage
from retentionjax.company import Company
from retentionjax.tabular import plots, response
from retentionjax.tabular.boosting import assign_folds, check_folds
from retentionjax.tabular.classifier import Classifier
from retentionjax.tabular.metrics import NORMAL_95, Measure, average, measure, summary

NORMAL_90 = 1.6449  # a normal distribution's 95 % quantile


@dataclass(frozen=True)
class AcceptanceConfig(ClassifierSettings):
    assumed: float = 0.11
    """Acceptance of an offer-free contact where there is no log: the share in the UCI Bank Marketing calls."""

    def wrong(self) -> list[tuple[str, str]]:
        """A fault if the assumed acceptance is certain."""
        return [] if 0 < self.assumed < 1 else [("assumed", f"{self.assumed:g}; allowed: above 0, below 1")]


def run(config: AcceptanceConfig, context: Context) -> dict[str, float]:
    """See the three cases above; the summary's keys are `cv_…`, `held_out_…` and `time_ordered_…`, or `assumed`."""
    company = companies.of(context.inputs)
    if company.contacts is None:
        return believed(config.assumed, classification.read(context, "customers"), context)
    problem = classification.read(context, "contacts")
    if company.contacts.other_people is None:
        return own_contacts(problem, classification.read(context, "customers"), company, config, context)
    return {**classification.run(problem, config, context), **classification.time_ordered(problem, config, context)}


def believed(probability: float, customers: ClassificationProblem, context: Context) -> dict[str, float]:
    """No log: the same acceptance for everybody, in the form of a model."""
    print(
        f"[acceptance] no log of contacts: ASSUMED that {probability:.0%} accept a contact without an offer", flush=True
    )
    model = response.assumed(probability, customers.encoder)
    model.save(context.artifacts / "classifier")
    table = pd.DataFrame(
        {
            "row": customers.frame.index,
            "split": customers.split,
            "probability": np.full(len(customers.frame), probability),
        }
    )
    storage.write_bytes(context.artifacts / "predictions.parquet", table.to_parquet(index=False))
    return {"assumed": probability}


def own_contacts(
    problem: ClassificationProblem,
    customers: ClassificationProblem,
    company: Company,
    settings: ClassifierSettings,
    context: Context,
) -> dict[str, float]:
    """A log of the customers themselves: offers' appeal and offer-free acceptance learned together."""
    offer = offers_of(problem, company)
    prior = prior_appeal(company, float(customers.frame[str(customers.schema.charge)].median()))

    def model_of(some: ClassificationProblem) -> response.Response:
        return response.fit(
            some.frame,
            some.label,
            offers_of(some, company),
            prior,
            problem.encoder,
            settings.booster,
            seed=settings.seed,
            folds=settings.folds,
            who=some.who,
        )

    def fitted(rows: np.ndarray) -> response.Response:
        return model_of(problem.take(np.flatnonzero(rows)))

    def later(before: ClassificationProblem, after: ClassificationProblem) -> np.ndarray:
        return model_of(before).predict(after.frame, offers_of(after, company))

    measures, probability = cross_validated(problem, offer, fitted, settings)
    answers = pd.DataFrame({"label": problem.label, "probability": probability})
    storage.write_bytes(context.artifacts / "answers.parquet", answers.to_parquet(index=False))
    picture = plots.reliability(problem.label, probability, title=f"{problem.name}: cross-validated reliability")
    storage.write_bytes(context.artifacts / "reliability.png", plots.png(picture))
    classification.check(settings.gates, measures, context.data_source, problem.name)
    train = problem.split == "train"
    model = fitted(train)
    model.classifier.save(context.artifacts / "classifier")
    accepts = _write_predictions(model.classifier, problem, train, customers, context)
    tested, base_rate = problem.take(np.flatnonzero(~train)), float(problem.label[train].mean())
    predicted = model.predict(tested.frame, offers_of(tested, company))
    held_out = classification.measured(tested, predicted, base_rate, "held_out_")
    found = {**summary(measures, "cv_"), **held_out, "mean_offer_free": float(accepts.mean())}
    found |= classification.time_ordered(problem, settings, context, later)
    return found | _appeal(model.appeal, list(company.offers))


def offers_of(problem: ClassificationProblem, company: Company) -> np.ndarray:
    """The offer of each contact, by its place among the company's."""
    if problem.schema.treatment is None:  # every contact with the same one
        assert company.contacts is not None
        same = list(company.offers).index(str(company.contacts.offer.value))
        return np.full(len(problem.frame), same, np.int64)
    # The first arm is no contact.
    return problem.frame[problem.schema.treatment].cat.codes.to_numpy(np.int64) - 1


def _write_predictions(
    classifier: Classifier,
    problem: ClassificationProblem,
    train: np.ndarray,
    customers: ClassificationProblem,
    context: Context,
) -> np.ndarray:
    """Each customer's offer-free acceptance, by a model that has not seen their answers."""
    answered = problem.frame[str(problem.schema.id)].astype(str).to_numpy()[train]
    assert classifier.out_of_fold is not None
    unseen = pd.Series(classifier.out_of_fold.probability, index=answered).groupby(level=0).mean()
    crossed = customers.frame[str(customers.schema.id)].astype(str).map(unseen).to_numpy(np.float64)
    probability = np.where(np.isnan(crossed), classifier.predict(customers.frame), crossed)
    table = pd.DataFrame({"row": customers.frame.index, "split": customers.split, "probability": probability})
    storage.write_bytes(context.artifacts / "predictions.parquet", table.to_parquet(index=False))
    return probability


def _appeal(found: response.Appeal, names: list[str]) -> dict[str, float]:
    """Each offer's appeal as the log has it [log-odds], with its 95 % interval."""
    ends = {"": 0.0, "_low": -NORMAL_95, "_high": NORMAL_95}
    rows = zip(names, found.mean, found.deviation, strict=True)
    return {f"appeal_{name}{end}": float(mean + z * sd) for name, mean, sd in rows for end, z in ends.items()}


def cross_validated(
    problem: ClassificationProblem,
    offer: np.ndarray,
    fitted: Callable[[np.ndarray], response.Response],
    settings: ClassifierSettings,
) -> tuple[dict[str, Measure], np.ndarray]:
    """Mean measures over folds, and each row's probability with its offer by a model without its fold."""
    fold = assign_folds(
        problem.encoder.encode(problem.frame), problem.label, settings.folds, settings.seed, problem.who
    )
    check_folds(problem.label, fold)
    probability, parts = np.empty(len(fold)), []
    for number in range(settings.folds):
        inside = fold == number
        here, base_rate = problem.take(np.flatnonzero(inside)), float(problem.label[~inside].mean())
        probability[inside] = fitted(~inside).predict(here.frame, offer[inside])
        measures = measure(here.label, probability[inside], base_rate=base_rate, who=here.who, seed=settings.seed)
        parts.append(measures)
    return dict(average(parts)), probability


def prior_appeal(company: Company, median_charge: float) -> response.Appeal:
    """What the company believes of its offers' appeal, as normal distributions with the same 90 % interval."""
    believed = company.believed(median_charge)
    effects = [believed[f"appeal.{name}"] for name in company.offers]
    widths = np.array([(each.interval[1] - each.interval[0]) / (2 * NORMAL_90) for each in effects])
    return response.Appeal(np.array([each.median for each in effects], np.float64), widths)


STAGE = Stage("acceptance", AcceptanceConfig, run, needs=("data",))

if __name__ == "__main__":
    STAGE.main()
