"""A bundle made ready to serve: compiled for every size of batch, with its costs, quiet hours and templates at hand."""

import gc
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from retentionjax.bundle import Bundle, load
from retentionjax.decide import batch
from retentionjax.decide.batch import SIZES, Decider
from retentionjax.env.prices import Prices
from retentionjax.errors import DataError
from retentionjax.shield import Rules
from serving.engine.answer import BundleVersion
from serving.engine.money import Costs
from serving.engine.quiet import QuietHours
from serving.engine.request import Ask, FactValue, Wrong, WrongFacts
from serving.engine.templates import Templates
from serving.ledger.types import SlotName

_POLICY = "policy/decide.stablehlo"
MOST_CHARGE = 1e6  # $ per 30 days; costs in micro-dollars stay whole numbers, exactly
_DIGITS = 12  # of a SHA-256 that a version shows
_FEW_OBJECTS = 20_000  # looked through in a few milliseconds
_YOUNG = 10_000  # objects between two looks at the youngest; Python's own 700 cost every decision 11 µs
_SHOWN = 12  # categories an error lists


def settle() -> None:
    """Takes all that there is now, which is to stay, out of the garbage collector's sight.

    A bundle and its compiled programs are a million objects; to walk them all takes 0.3 s, during which nobody is
    answered, again and again.
    """
    gc.set_threshold(_YOUNG)
    if len(gc.get_objects(generation=2)) > _FEW_OBJECTS:
        gc.unfreeze()
        gc.collect()
        gc.freeze()


class Served:
    """Safe to share between threads."""

    def __init__(self, bundle: Bundle, sizes: Sequence[int] = SIZES, *, warm: bool = True) -> None:
        """Compiles, which takes seconds, unless `warm` is false. Raises BundleError for a policy that gives no numbers,
        which only shows when it is compiled."""
        self.bundle, self.id = bundle, bundle.manifest.id
        self.decider: Decider = batch.compile(bundle, sizes)
        if warm:
            self.decider.warm()
        self.costs = Costs(bundle.params)
        self.horizon_days, self.offer_days = int(bundle.params.horizon_days), int(bundle.params.offer_days)
        self.offers = tuple(round(float(offer), 6) for offer in bundle.params.offers)
        self.delays = tuple(int(delay) for delay in bundle.params.delays)
        self.rules: Rules | None = bundle.rules
        self.templates = Templates(bundle) if bundle.rules is not None and bundle.message is not None else None
        self.quiet = QuietHours(bundle.rules) if bundle.rules is not None else None
        self.prices: Prices | None = None if bundle.priced is None else bundle.priced.prices
        self.price = float(bundle.manifest.multipliers.get("campaign_budget", 0.0))
        self.policy_version = bundle.manifest.files[_POLICY].sha256[:_DIGITS]
        self.rules_version = bundle.rules.version if bundle.rules is not None else ""
        self.channel = bundle.message.channel if bundle.message is not None else "sms"
        self.synthetic = bundle.manifest.synthetic
        self.versions: dict[SlotName, BundleVersion] = {
            slot: BundleVersion(self.id, self.policy_version, self.rules_version, slot, self.synthetic)
            for slot in get_args(SlotName)
        }

    @classmethod
    def load(cls, path: str, sizes: Sequence[int] = SIZES, *, warm: bool = True) -> "Served":
        """The bundle at `path`, verified and compiled unless `warm` is false. Raises BundleError."""
        served = cls(load(path), sizes, warm=warm)
        settle()
        return served

    def encode(self, ask: Ask) -> tuple[float, list[float]]:
        """(charge, features). Raises WrongFacts naming every field that does not fit."""
        if str(self.bundle.schema.id) in ask.facts:  # the id is no fact
            raise WrongFacts(self._wrong(ask.facts))
        record: dict[str, Any] = {**ask.facts, str(self.bundle.schema.id): ask.customer_id}
        try:
            return self._row(record)
        except DataError:
            raise WrongFacts(self._wrong(ask.facts)) from None

    def _row(self, record: Mapping[str, Any]) -> tuple[float, list[float]]:
        """(charge, features). Raises DataError."""
        _, charge, row = self.decider.encoder.row(record, "facts")
        if charge > MOST_CHARGE:
            raise DataError(f"a charge of {charge:g}; allowed: up to {MOST_CHARGE:g}")
        return charge, row

    def _wrong(self, facts: Mapping[str, FactValue]) -> tuple[Wrong, ...]:
        """Every fact at fault: each one is tried in a record that is right but for it."""
        schema = self.bundle.schema
        allowed = {name: self._allowed(name) for name in dict.fromkeys((*schema.features, str(schema.charge)))}
        names = ", ".join(allowed)
        wrong = [Wrong(name, value, f"one of {names}") for name, value in facts.items() if name not in allowed]
        wrong += [Wrong(name, None, text, missing=True) for name, text in allowed.items() if name not in facts]
        right: dict[str, Any] = {
            name: schema.categorical[name][0] if name in schema.categorical else 1 for name in allowed
        }
        for name in allowed.keys() & facts.keys():
            try:
                self._row({**right, str(schema.id): "x", name: facts[name]})
            except DataError:
                wrong.append(Wrong(name, facts[name], allowed[name]))
        return tuple(wrong)

    def _allowed(self, name: str) -> str:
        schema = self.bundle.schema
        if name in schema.categorical:
            categories = schema.categorical[name]
            words = ", ".join(categories[:_SHOWN]) + (", …" if len(categories) > _SHOWN else "")
        else:
            words = f"dollars above 0, up to {MOST_CHARGE:,.0f}" if name == schema.charge else "a finite number"
        return words + " or null" * (name in schema.nullable)
