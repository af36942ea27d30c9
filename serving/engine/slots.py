"""Bundles that serve: made ready, put in a place, and watched.

The active one decides, a canary about a share of the customers, a shadow about all and without effect. A canary goes
back when more decisions of the window are bad than its limit allows of a full one, so one that is bad from its first
decision on goes back long before the window is full.
"""

import gc
import hashlib
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from retentionjax.bundle import Bundle, load
from retentionjax.company.offers import NONE
from retentionjax.decide.program import SIZES, Decider
from retentionjax.env.actions import WAIT
from retentionjax.env.types import MultiplierTable
from retentionjax.shield import Rules
from serving.engine.contract import BundleVersion, OfferMade
from serving.engine.messages import NO_WORDINGS, ApprovedWordings, QuietHoursCache, Templates
from serving.ledger.types import MICROS, BundleSlot, SlotName, Slots
from serving.settings import Settings

_POLICY = "policy/decide.stablehlo"
_DIGITS = 12  # of a SHA-256 that a version shows
_FEW_OBJECTS = 20_000  # looked through in a few milliseconds
_YOUNG = 10_000  # objects between two looks at the youngest; Python's own 700 cost every decision 11 µs


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


def to_micros(dollars: float) -> int:
    """Micro-units, rounded to the nearest: what is written with six places is meant so, and in binary 80.1 $ may be
    80099999.99999999."""
    return round(dollars * MICROS)


class Costs:
    """What contacts cost under a bundle's constants, to the micro-dollar; the arrays have an entry for each offer."""

    def __init__(self, bundle: Bundle) -> None:
        self.contact = to_micros(round(float(bundle.params.contact_cost), 9))
        """Micro-dollars of a contact itself."""
        cap = float(bundle.params.account_cap)
        self.account_cap = to_micros(round(cap, 9)) if math.isfinite(cap) else 2**62
        offers = bundle.offers.values()
        self.share = np.array([to_micros(each.discount) for each in offers], np.int64)
        self.cost = np.array([to_micros(each.cost) for each in offers], np.int64)
        self.amounts = np.array([to_micros(each.amount) for each in offers], np.int64)
        self.days = np.array([each.length for each in offers], np.int64)


class Choices:
    """What may be chosen under a bundle. Sets of actions are bit sets: bit a for action a."""

    def __init__(self, bundle: Bundle) -> None:
        self.offers = tuple(
            OfferMade(name, bundle.words(place), offer.discount, offer.amount, offer.cost, offer.length)
            for place, (name, offer) in enumerate(bundle.offers.items())
        )
        self.effect_days = tuple(int(days) for days in bundle.params.effect_days)
        """How long each offer protects."""
        self.places = {name: place for place, name in enumerate(bundle.offers)}
        """Index of each offer by its name."""
        self.delays = tuple(int(delay) for delay in bundle.params.delays)
        delays, offers = range(len(self.delays)), range(len(self.offers))
        self.count = 1 + len(self.offers) * len(self.delays)
        self.contacts = (1 << self.count) - 2
        """Every action but *wait*."""
        self.of_delay = tuple(sum(1 << 1 + offer * len(delays) + delay for offer in offers) for delay in delays)
        self.of_offer = tuple(sum(1 << 1 + offer * len(delays) + delay for delay in delays) for offer in offers)

    def today(self, name: str) -> int | None:
        """The action that contacts at once with an offer by its name, or waits for `none`; None for an unknown one."""
        if name == NONE:
            return WAIT
        place = self.places.get(name)
        return None if place is None else 1 + place * len(self.delays)

    def decode(self, action: int) -> tuple[int, int]:
        """Indices of the offer and the delay of a contact."""
        return divmod(action - 1, len(self.delays))

    def mask(self, bits: int) -> list[bool]:
        """Whether each action is in a set."""
        return [bool(bits >> action & 1) for action in range(self.count)]


class Served:
    """Safe to share between threads."""

    def __init__(self, bundle: Bundle, sizes: Sequence[int] = SIZES, *, warm: bool = True) -> None:
        """Compiles the policy, which takes seconds, unless `warm` is false. Raises BundleError for one that gives no
        numbers, which only shows when it is compiled."""
        self.bundle, self.id = bundle, bundle.manifest.id
        self.decider = Decider(bundle, sizes)
        if warm:
            self.decider.warm(baseline=False)
        self.costs = Costs(bundle)
        self.choices = Choices(bundle)
        self.rules: Rules | None = bundle.rules
        self.templates = Templates(bundle) if bundle.rules is not None and bundle.message is not None else None
        self.quiet = (
            QuietHoursCache(bundle.rules, bundle.company.messages.country) if bundle.rules is not None else None
        )
        self.prices: MultiplierTable | None = None if bundle.any_budget is None else bundle.any_budget.multipliers
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


@dataclass(frozen=True, slots=True)
class Slot:
    """A bundle in its place."""

    path: str
    served: Served

    @property
    def record(self) -> BundleSlot:
        """The record that the ledger keeps."""
        return BundleSlot(self.served.id, self.path)


@dataclass(frozen=True, slots=True)
class Lineup:
    """All the bundles that serve; replaced as a whole, never changed."""

    active: Slot
    canary: Slot | None = None
    weight: float = 0.0
    """Share of the customers whom the canary decides about."""
    shadow: Slot | None = None
    wordings: ApprovedWordings = NO_WORDINGS
    """Approved wordings of messages, as the ledger had them last."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Those that there are."""
        return tuple(each for each in (self.active, self.canary, self.shadow) if each is not None)

    def without_canary(self) -> "Lineup":
        """The canary ended."""
        return replace(self, canary=None, weight=0.0)

    def route(self, customer_id: str) -> tuple[SlotName, Served]:
        """The bundle that decides about a customer: the same for the same weight, whenever she comes."""
        if self.canary is not None and share_of(customer_id) < self.weight:
            return "canary", self.canary.served
        return "active", self.active.served

    @property
    def record(self) -> Slots:
        """The record that the ledger keeps."""
        return Slots(
            active=self.active.record,
            canary=None if self.canary is None else self.canary.record,
            canary_weight=self.weight if self.canary is not None else 0.0,
            shadow=None if self.shadow is None else self.shadow.record,
        )


def share_of(customer_id: str) -> float:
    """A number in [0, 1) that is a hash of the customer."""
    digest = hashlib.blake2b(customer_id.encode(), digest_size=7, person=b"canary").digest()
    return int.from_bytes(digest) / 2**56


Limit = Literal["error_rate", "p99", "block_rate"]
_P99 = 0.01  # share of decisions that may be slower than the limit on the 99th percentile


class CanaryDecision(NamedTuple):
    """One decision of the canary."""

    failed: bool
    slow: bool
    blocked: bool


class Watch:
    """Status of one canary. Used by the writer's thread only."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._window: deque[CanaryDecision] = deque(maxlen=settings.canary_window)

    def saw(self, count: int, *, failed: bool, seconds: float, blocked: int) -> None:
        """A micro-batch of `count` decisions that took `seconds`; `blocked` of their messages were refused."""
        slow = seconds * 1000 > self._settings.canary_p99_ms
        self._window.extend(CanaryDecision(failed, slow, place < blocked) for place in range(count))

    @property
    def passed(self) -> Limit | None:
        """The first limit that is passed, if any."""
        size, settings = self._settings.canary_window, self._settings
        if sum(each.failed for each in self._window) > settings.canary_error_rate * size:
            return "error_rate"
        if sum(each.slow for each in self._window) > _P99 * size:
            return "p99"
        if sum(each.blocked for each in self._window) > settings.canary_block_rate * size:
            return "block_rate"
        return None
