"""A bundle as serving uses it: every file verified, the models loaded, the policy compiled on first use."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from etils import epath
from jaxtyping import Float

from retentionjax.bundle import customer, fetching, manifest, message, pointer, program
from retentionjax.bundle.manifest import Manifest
from retentionjax.bundle.message import MessageSettings
from retentionjax.bundle.priced import PROGRAM as PRICED_PROGRAM
from retentionjax.bundle.priced import Priced
from retentionjax.bundle.priced import read as read_priced
from retentionjax.bundle.program import Program
from retentionjax.company import Company
from retentionjax.data import Schema, record_frame, validate_record
from retentionjax.env import actions, record
from retentionjax.env.population import MIN_PROBABILITY
from retentionjax.env.types import EnvParams
from retentionjax.errors import BundleError, ConfigError, DataError
from retentionjax.shield import Rules, load_rules
from retentionjax.tabular.classifier import Classifier

PROGRAM = "policy/decide.stablehlo"
RULES = "shield/rules.yaml"


@dataclass(frozen=True)
class Scores:
    """B customers as the models see them today."""

    customer_id: tuple[str, ...]
    monthly_charge: Float[np.ndarray, " B"]
    """$ per 30 days."""
    churn_probability: Float[np.ndarray, " B"]
    """Over `risk_window_days`."""
    accept_probability: Float[np.ndarray, " B"]
    """Of a contact without a discount, in a calm period."""


@dataclass(frozen=True)
class Reason:
    """What one fact does to a customer's churn score."""

    field: str
    value: float | str | None
    """None: missing."""
    log_odds: float
    """Added to the log-odds of the score before calibration (XGBoost's exact SHAP value); above 0 raises the risk."""


@dataclass(frozen=True)
class Bundle:
    """All that a decision needs. `folder/policy` holds the parameters too; nothing here reads them."""

    folder: epath.Path
    manifest: Manifest
    churn: Classifier
    acceptance: Classifier
    decide: Program
    """(observations f32[b, 16], masks bool[b, 13]) → (propensities f32[b, 13], values f32[b, 5])."""
    params: EnvParams
    """Constants of the retention model; its population is the default one and stands for nobody."""
    company: Company
    """Whose bundle it is; its offers are those of `params`, in the same order."""
    schema: Schema
    """Of a customer's facts."""
    message: MessageSettings | None = None
    """How messages are written; None, as `rules`, for a bundle without the part `shield`."""
    rules: Rules | None = None
    """By which messages are checked."""
    priced: Priced | None = None
    """The policy for any budget, see `at_budget`; None for a bundle without it."""

    @property
    def writes(self) -> bool:
        """Whether a language model is part of it (see `bundle.language`)."""
        return "language" in self.manifest.parts

    def at_budget(self, budget: float) -> "Bundle":
        """This bundle with the policy for another campaign budget [$ a customer on average], not trained again.

        Its manifest states that limit and its price, so its id is another one.

        Raises:
            BundleError: it holds no policy for other budgets.
            ConfigError: the budget is smaller than the policy can spend.
        """
        if self.priced is None:
            raise BundleError(f"{self.folder}: has no policy for other budgets ({PRICED_PROGRAM})")
        price = self.priced.prices.for_budget(budget)
        stated = replace(
            self.manifest,
            limits={**self.manifest.limits, "campaign_budget": budget},
            multipliers={**self.manifest.multipliers, "campaign_budget": price},
        )
        return replace(self, manifest=stated, decide=self.priced.at(price))

    def frame(self, records: Sequence[Mapping[str, object]], *, where: str = "customer") -> pd.DataFrame:
        """Checked facts, one customer a row. Raises DataError naming `where`, field, value and what is allowed."""
        places = [where] if len(records) == 1 else [f"{where} {number}" for number in range(len(records))]
        pairs = zip(records, places, strict=True)
        return record_frame(self.schema, [validate_record(self.schema, each, where=place) for each, place in pairs])

    def score(self, records: Sequence[Mapping[str, object]], *, where: str = "customer") -> Scores:
        """Charge, churn risk and acceptance of customers by their facts. Raises DataError as `frame`."""
        frame = self.frame(records, where=where)
        low, high = MIN_PROBABILITY, 1 - MIN_PROBABILITY  # as in the population the policy was trained on
        return Scores(
            customer_id=tuple(frame[customer.ID]),
            monthly_charge=frame[str(self.schema.charge)].to_numpy(np.float64),
            churn_probability=self.churn.predict(frame).clip(low, high),
            accept_probability=self.acceptance.predict(frame).clip(low, high),
        )

    def reasons(self, facts: Mapping[str, object], *, most: int = 5, where: str = "customer") -> list[Reason]:
        """The facts that move one customer's churn score most, strongest first. Raises DataError as `frame`."""
        frame = self.frame([facts], where=where)
        top = self.churn.contributions(frame).top(0, most)
        return [Reason(name, _value(frame[name].iloc[0]), log_odds) for name, log_odds in top]


def load(folder: str | os.PathLike[str]) -> Bundle:
    """The bundle in `folder`, or where the pointer of that name points, every file compared with the manifest.

    Raises BundleError naming file and fault: no bundle, an unknown format version or part, a file that is missing,
    changed, too much or a link, a model or program that cannot be read here, models that do not fit the schema.
    """
    base = fetching.local(pointer.resolve(folder))
    read = manifest.read(base)
    manifest.verify_files(base, read)
    where = str(base / manifest.NAME)
    if PROGRAM not in read.files:
        raise BundleError(f"{base / PROGRAM}: no such file, and without it there is no policy")
    try:
        params = record.from_dict(read.env)
    except ConfigError as error:
        raise BundleError(f"{where}: {error}") from None
    company = _company(read, params, where)
    schema = customer.schema_of(read.customer, where)
    shielded = "shield" in read.parts
    bundle = Bundle(
        folder=base,
        manifest=read,
        churn=Classifier.load(base / "churn"),
        acceptance=Classifier.load(base / "acceptance"),
        decide=program.load((base / PROGRAM).read_bytes(), str(base / PROGRAM)),
        params=params,
        company=company,
        schema=schema,
        message=message.read(base, schema) if shielded else None,
        rules=_rules(base) if shielded else None,
        priced=read_priced(base, read.files),
    )
    _check_features(bundle, where)
    return bundle


def _company(read: Manifest, params: EnvParams, where: str) -> Company:
    """Raises BundleError for a company that is none, or whose offers and delays are not those of the policy."""
    try:
        company = Company.from_dict(read.company, where=f"{where}: company")
    except (DataError, ConfigError) as error:
        raise BundleError(str(error)) from None
    sizes = {
        "offers": (len(company.offers), actions.offers(params)),
        "delays": (len(company.delays), actions.delays(params)),
    }
    for name, (said, trained) in sizes.items():
        if said != trained:
            raise BundleError(f"{where}: the company has {said} {name}, and the policy was trained on {trained}")
    return company


def _rules(base: epath.Path) -> Rules:
    try:
        return load_rules(base / RULES)
    except (ConfigError, DataError) as error:
        raise BundleError(str(error)) from None


def _check_features(bundle: Bundle, where: str) -> None:
    """The schema must offer each model its features, with the very categories it was trained on."""
    schema = bundle.schema
    for name, encoder in (("churn", bundle.churn.encoder), ("acceptance", bundle.acceptance.encoder)):
        fits = set(encoder.numeric) <= set(schema.numeric) and set(encoder.nullable) >= (
            set(schema.nullable) & set(encoder.features)
        )
        if not fits or any(schema.categorical.get(key) != allowed for key, allowed in encoder.categorical.items()):
            raise BundleError(f"{where}: the customer's fields do not fit the features of the {name} model")


def _value(value: object) -> float | str | None:
    if isinstance(value, str):
        return value
    number = float(np.asarray(value, np.float64))
    return None if np.isnan(number) else number
