"""A bundle as serving uses it: every file verified, the models loaded, the policy compiled on first use."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from etils import epath

from retentionjax import shield
from retentionjax.bundle import customer, manifest, message, pointer, program
from retentionjax.bundle.manifest import Manifest
from retentionjax.bundle.program import ANY_BUDGET, AnyBudget, Program, read_any_budget
from retentionjax.company import Company, Offer
from retentionjax.company.messages import Messages
from retentionjax.data.schema import Schema
from retentionjax.env import record
from retentionjax.env.types import EnvParams
from retentionjax.errors import BundleError, ConfigError, DataError, RetentionJaxError
from retentionjax.shield import Rules, load_rules
from retentionjax.tabular.classifier import Classifier

PROGRAM = "policy/decide.stablehlo"
RULES = "shield/rules.yaml"


@dataclass(frozen=True, eq=False)  # two are the same where they are one object, so that one can be a key
class Bundle:
    """All that a decision needs. `folder/policy` also holds the policy's parameters, which nothing here reads."""

    folder: epath.Path
    manifest: Manifest
    churn: Classifier
    acceptance: Classifier
    decide: Program
    """(observations f32[b, features], masks bool[b, actions]) → (propensities f32[b, actions], values f32[b, 5])."""
    params: EnvParams
    """Constants of the retention model; its population is the default one and stands for nobody."""
    company: Company
    """The company whose bundle it is; its offers are those of `params`, in the same order."""
    schema: Schema
    """Schema of a customer's facts."""
    rules: Rules | None = None
    """Rules by which messages are checked; None for a bundle without the part `shield`."""
    any_budget: AnyBudget | None = None
    """The policy for any budget, see `at_budget`; None for a bundle without it."""

    @property
    def message(self) -> Messages | None:
        """How messages are written; None, as `rules`, for a bundle that only decides."""
        return None if self.rules is None else self.company.messages

    @property
    def offers(self) -> Mapping[str, Offer]:
        """Offers by name, in the order of their actions."""
        return self.company.offers

    def words(self, offer: int) -> str:
        """An offer in words, by its index."""
        return list(self.offers.values())[offer].words(self.company.currency)

    def said_offer(self, name: str) -> shield.OfferTerms:
        """An offer by its name, as messages say it."""
        return self.offers[name].terms(self.company.currency)

    @property
    def writes(self) -> bool:
        """Whether a language model is part of it (see `bundle.language`)."""
        return "language" in self.manifest.parts

    def at_budget(self, budget: float) -> "Bundle":
        """This bundle with the policy for another campaign budget [$ a customer on average], not trained again.

        Its manifest states that limit and its multiplier, so its id is another one.

        Raises:
            BundleError: it holds no policy for other budgets.
            ConfigError: the budget is smaller than the policy can spend.
        """
        if self.any_budget is None:
            raise BundleError(f"{self.folder}: has no policy for other budgets ({ANY_BUDGET})")
        multiplier = self.any_budget.multipliers.for_budget(budget)
        stated = replace(
            self.manifest,
            limits={**self.manifest.limits, "campaign_budget": budget},
            multipliers={**self.manifest.multipliers, "campaign_budget": multiplier},
        )
        return replace(self, manifest=stated, decide=self.any_budget.at(multiplier))


def load(folder: str | os.PathLike[str]) -> Bundle:
    """Opens the bundle in `folder`, which may also be a finished run or a pointer, and verifies every file.

    Raises BundleError naming file and fault: no bundle, an unknown format version or part, a file that is missing,
    changed, too much or a link, a model or program that cannot be read here, models that do not fit the schema.
    """
    base = pointer.local(pointer.find(folder))
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
    bundle = Bundle(
        folder=base,
        manifest=read,
        churn=Classifier.load(base / "churn"),
        acceptance=Classifier.load(base / "acceptance"),
        decide=program.load((base / PROGRAM).read_bytes(), params, str(base / PROGRAM)),
        params=params,
        company=company,
        schema=schema,
        rules=_rules(base, company, schema) if "shield" in read.parts else None,
        any_budget=read_any_budget(base, read.files, params),
    )
    _check_features(bundle, where)
    return bundle


def _company(read: Manifest, params: EnvParams, where: str) -> Company:
    """Raises BundleError for a company that is none, or whose offers and delays are not those of the policy."""
    try:
        company = Company.from_dict(read.company, where=f"{where}: company")
    except RetentionJaxError as error:
        raise BundleError(str(error)) from None
    figures = {
        **{key: [getattr(offer, key) for offer in company.offers.values()] for key in ("discount", "amount", "cost")},
        "offer_days": [offer.length for offer in company.offers.values()],
        "delays": list(company.delays),
    }
    for name, said in figures.items():
        trained = np.asarray(getattr(params, name), np.float32)
        if trained.shape != (len(said),) or not np.array_equal(trained, np.array(said, np.float32)):
            raise BundleError(
                f"{where}: {name} of the company is {said}, and the policy was trained on {trained.tolist()}"
            )
    return company


def _rules(base: epath.Path, company: Company, schema: Schema) -> Rules:
    """Raises BundleError for rules that cannot be read, and for messages without a sender or of unknown fields."""
    try:
        message.check_fields(company.messages, schema, f"{base / manifest.NAME}: company.messages")
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
