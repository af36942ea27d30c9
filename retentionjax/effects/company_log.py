"""A company's files as a log that effects can be estimated from, or the reason why they are none."""

from typing import Any

import numpy as np
import pandas as pd

from retentionjax.company import NONE, Company
from retentionjax.company.prior import Effect
from retentionjax.data.company_tables import Tables
from retentionjax.data.contact_log import ACCEPTED, ARM, AT, PROPENSITY, ContactLog
from retentionjax.data.customer_table import observed
from retentionjax.effects.log import Log, from_frames
from retentionjax.tabular import response
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import fit

_FOLDS = 3
_SEED = 42
_WIDTH = 3.2897072539029444  # standard deviations in a 90 % interval


def of_company(company: Company, tables: Tables, prior: dict[str, Effect]) -> Log | str:
    """The log of `company`, scores cross-fitted: a model that has not seen a customer's outcomes speaks of them.

    A sentence instead where the files cannot tell what effects there are, whatever is in them.
    """
    contacts = tables.contacts
    if contacts is None:
        return "there is no log of contacts"
    if contacts.rank_correlation is not None:
        return "the log is of other people, of whom it is not known who left"
    if tables.departures is None:
        return "no file says on which day who left"
    if contacts.assignments[AT].isna().any():
        return "the log does not say when who was assigned"
    name = str(company.customers.id)
    people = _people(company, tables, contacts, prior).set_index(name, drop=True)
    assignments = contacts.assignments
    rows = pd.DataFrame(
        {
            "customer": assignments[name].to_numpy(),
            "at": assignments[AT].to_numpy(),
            "offer": assignments[ARM].astype(str).to_numpy(),
            "accepted": assignments[ACCEPTED].to_numpy(),
        }
    )
    if contacts.randomised:
        rows["propensity"] = assignments[PROPENSITY].to_numpy()
    return from_frames(rows, people, list(company.offers), is_assumed_unconfounded=contacts.assume is not None)


def _people(company: Company, tables: Tables, contacts: ContactLog, prior: dict[str, Effect]) -> pd.DataFrame:
    """One row a customer: id, charge, scores, when they left and how long that would be known, features as facts."""
    known, current = tables.customers, tables.current
    schema = known.schema
    name, label = str(schema.id), str(schema.label)
    columns: dict[str, Any] = {
        "numeric": schema.numeric,
        "categorical": schema.categorical,
        "nullable": schema.nullable,
    }
    churn = fit(known.frame, known.frame[label], **columns, config=BoosterConfig(), seed=_SEED)
    assert churn.out_of_fold is not None
    frame = pd.concat([known.frame.drop(columns=label), current.frame], ignore_index=True)
    later = churn.predict(current.frame) if len(current.frame) else np.empty(0)
    frame["churn_probability"] = np.concatenate([churn.out_of_fold.probability, later])
    if schema.time is not None:  # several snapshots of one customer: the first
        frame = frame.sort_values(schema.time, kind="stable")
    frame = frame.drop_duplicates(name).reset_index(drop=True)
    frame["accept_probability"] = _acceptance(company, contacts, frame, name, prior)
    assert tables.departures is not None
    frame[["left_on", "observed_until"]] = observed(company, tables.departures, frame[name]).to_numpy()
    facts = [each for each in schema.features if each != schema.charge]
    kept = [name, "churn_probability", "accept_probability", "left_on", "observed_until", *facts]
    return frame[kept].assign(monthly_charge=frame[str(schema.charge)].to_numpy(np.float64))


def _acceptance(
    company: Company, contacts: ContactLog, people: pd.DataFrame, name: str, prior: dict[str, Effect]
) -> np.ndarray:
    """P(accept a contact without an offer) of each of `people`, by models that have not seen their answers."""
    answers = contacts.responses
    schema = answers.schema
    offers = [NONE, *company.offers]
    believed = [prior[f"appeal.{offer}"] for offer in company.offers]
    appeal = response.Appeal(
        np.array([each.median for each in believed]),
        np.array([(each.interval[1] - each.interval[0]) / _WIDTH for each in believed]),
    )
    arm = answers.frame[schema.treatment].astype(str) if schema.treatment else pd.Series(offers[1], answers.frame.index)
    offer = arm.map({each: place - 1 for place, each in enumerate(offers)}).to_numpy(np.int64)
    fold = np.random.default_rng(_SEED).permutation(len(people)) % _FOLDS
    of_answer = fold[pd.Index(people[name]).get_indexer(answers.frame[schema.id])]
    found = np.empty(len(people))
    for number in range(_FOLDS):
        others = of_answer != number
        model = response.fit(
            answers.frame[others],
            answers.frame[str(schema.label)].to_numpy()[others],
            offer[others],
            appeal,
            numeric=schema.numeric,
            categorical=schema.categorical,
            nullable=schema.nullable,
            config=BoosterConfig(),
            seed=_SEED,
        )
        inside = fold == number
        found[inside] = model.classifier.predict(people[inside])
    return found
