"""The retention environment in NumPy, vectorised over customers, as one would write it without JAX.

The whole of a day as `RetentionEnv` has it: 16 observed numbers, 13 masked actions, the rule `threshold` (10 % today
for whoever's risk passes a bound), contact, acceptance, churn, money, the night. float32 throughout.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

NEVER, NO_OFFER = 100_000, -1
OFFER = 2  # of the rule: 10 %, today


@dataclass
class State:
    """Arrays over customers."""

    elevated: np.ndarray
    history: np.ndarray
    since: np.ndarray
    pending_offer: np.ndarray
    pending_days: np.ndarray
    offer: np.ndarray
    offer_left: np.ndarray
    used: np.ndarray


@dataclass
class Played:
    """Sums of each episode."""

    value: np.ndarray
    revenue: np.ndarray
    spend: np.ndarray
    contacts: np.ndarray
    made: np.ndarray
    accepted: np.ndarray

    @property
    def size(self) -> int:
        """Episodes."""
        return len(self.value)


@dataclass(frozen=True)
class Campaign:
    """Constants and customers."""

    c: dict[str, Any]
    charge: np.ndarray
    churn: np.ndarray
    accept: np.ndarray

    @classmethod
    def of(cls, params: Any) -> "Campaign":
        """The campaign of our `EnvParams`."""
        people = params.population
        names = [name for name in vars(params) if name not in ("population", "potential")]
        constants = {name: np.asarray(getattr(params, name)) for name in names}
        constants = {name: value.item() if value.ndim == 0 else value for name, value in constants.items()}
        columns = (people.monthly_charge, people.churn_probability, people.accept_probability)
        return cls(constants, *(np.asarray(column, np.float32) for column in columns))

    def play(self, rows: np.ndarray, risk: float, seed: int) -> Played:
        """One campaign of each row under the rule, which contacts whoever's risk today is above `risk`."""
        c, random, n = self.c, np.random.default_rng(seed), len(rows)
        m, p, b = self.charge[rows], self.churn[rows], self.accept[rows]
        share = c["risk_onset"] / (c["risk_onset"] + c["risk_recovery"])
        average = -np.expm1(np.log1p(-p) / c["risk_window_days"])
        calm = average / (1 - share + c["risk_ratio"] * share)
        high = np.minimum(0.9, c["risk_ratio"] * calm)
        stay = 1 - average
        residual = m / 30 * stay * -np.expm1(c["tail_days"] * np.log1p(-average)) / average
        logit = np.log(b) - np.log1p(-b)
        s = State(
            random.random(n, np.float32) < share,
            np.zeros(n, np.uint32),
            np.full(n, NEVER),
            np.full(n, NO_OFFER),
            np.zeros(n, np.int64),
            np.full(n, NO_OFFER),
            np.zeros(n, np.int64),
            np.zeros(n, np.float32),
        )
        alive, sums = np.ones(n, bool), Played(*(np.zeros(n, np.float32) for _ in range(4)), *np.zeros((2, n, 4)))
        for day in range(c["horizon_days"]):
            hazard = np.where(s.elevated, high, calm)
            contacts = np.bitwise_count(s.history & np.uint32((1 << (c["fatigue_window_days"] - 1)) - 1))
            seen = self._observe(s, day, m, p, hazard, logit, contacts)
            action = np.where((seen[:, 0] > risk) & self._mask(s, m)[:, 1 + 3 * OFFER], 1 + 3 * OFFER, 0)
            self._day(s, day, action, hazard, contacts, logit, m, residual, alive, sums, random)
        return sums

    def _observe(
        self,
        s: State,
        day: int,
        m: np.ndarray,
        p: np.ndarray,
        hazard: np.ndarray,
        logit: np.ndarray,
        contacts: np.ndarray,
    ) -> np.ndarray:
        c = self.c
        seen = np.empty((len(m), 16), np.float32)
        seen[:, 0] = -np.expm1(c["risk_window_days"] * np.log1p(-hazard))
        odds = logit + c["accept_risk"] * s.elevated - c["accept_fatigue"] * contacts
        seen[:, 1:5] = 1 / (1 + np.exp(-(odds[:, None] + c["appeal"])))
        seen[:, 5] = s.since / c["horizon_days"]
        seen[:, 6] = contacts / c["fatigue_cap"]
        seen[:, 7] = np.maximum(0, c["cooldown_days"] - s.since) / c["cooldown_days"]
        seen[:, 8] = 1 - s.used / c["account_cap"]
        seen[:, 9] = day / c["horizon_days"]
        seen[:, 10] = np.log(m / c["charge_reference"])
        seen[:, 11] = self._paid(s, m) / (m / 30)
        seen[:, 12] = s.offer_left / c["effect_days"][np.maximum(s.offer, 0)]
        seen[:, 13] = s.pending_offer != NO_OFFER
        seen[:, 14] = s.pending_days / c["delays"].max()
        seen[:, 15] = p
        return np.clip(seen, -3, 3, out=seen)

    def _daily_cost(self, m: np.ndarray) -> np.ndarray:
        return (self.c["discount"] * m[:, None] + self.c["cost"]) / 30

    def _full_cost(self, m: np.ndarray) -> np.ndarray:
        return self._daily_cost(m) * self.c["offer_days"] + self.c["amount"]

    def _paid(self, s: State, m: np.ndarray) -> np.ndarray:
        """$ of the running offer today."""
        offer = np.maximum(s.offer, 0)
        runs = (s.offer != NO_OFFER) & (s.offer_left > (self.c["effect_days"] - self.c["offer_days"])[offer])
        return np.where(runs, np.take_along_axis(self._daily_cost(m), offer[:, None], axis=1)[:, 0], 0.0)

    def _mask(self, s: State, m: np.ndarray) -> np.ndarray:
        c = self.c
        mask = np.ones((len(m), 13), bool)
        left = np.maximum(0, c["cooldown_days"] - s.since)
        cost = self._full_cost(m) + c["contact_cost"]
        afford = cost <= (c["account_cap"] - s.used)[:, None]
        for number, delay in enumerate(c["delays"]):
            window = np.uint32((1 << (c["fatigue_window_days"] - 1 - int(delay))) - 1)
            free = (s.pending_offer == NO_OFFER) & (left <= delay)
            free &= np.bitwise_count(s.history & window) < c["fatigue_cap"]
            mask[:, 1 + number :: 3] = free[:, None] & afford
        return mask

    def _day(
        self,
        s: State,
        day: int,
        action: np.ndarray,
        hazard: np.ndarray,
        contacts: np.ndarray,
        logit: np.ndarray,
        m: np.ndarray,
        residual: np.ndarray,
        alive: np.ndarray,
        sums: Played,
        random: np.random.Generator,
    ) -> None:
        c, n = self.c, len(m)
        draws = random.random((3, n), np.float32)
        free = s.pending_offer == NO_OFFER
        new = (action > 0) & free
        index = np.maximum(action - 1, 0)
        s.pending_days = np.where(new, c["delays"][index % 3], np.where(free, -1, s.pending_days))
        s.pending_offer = np.where(new, index // 3, s.pending_offer)
        executed = s.pending_days == 0
        offered = np.maximum(s.pending_offer, 0)
        odds = logit + c["accept_risk"] * s.elevated - c["accept_fatigue"] * contacts + c["appeal"][offered]
        accepted = executed & (draws[0] < 1 / (1 + np.exp(-odds)))
        s.pending_offer = np.where(executed, NO_OFFER, s.pending_offer)
        s.offer = np.where(accepted, offered, s.offer)
        s.offer_left = np.where(accepted, c["effect_days"][offered], s.offer_left)
        committed = np.take_along_axis(self._full_cost(m), offered[:, None], axis=1)[:, 0]
        s.used = s.used + executed * c["contact_cost"] + accepted * committed
        credit = accepted * c["amount"][offered]
        running = s.offer != NO_OFFER
        multiplier = np.where(running, c["hazard_multiplier"][np.maximum(s.offer, 0)], 1.0)
        fatigue = np.exp(c["fatigue_hazard"] * np.maximum(0, contacts + executed - 1.0))
        recent = executed | (s.since < c["contact_effect_days"])
        fatigue = fatigue * np.exp(c["contact_effect"] * recent)
        stays = draws[1] < np.exp(multiplier * fatigue * np.log1p(-hazard))
        offer_paid = self._paid(s, m)
        paid = c["contact_cost"] * executed
        revenue = stays * (m / 30 - offer_paid) - credit
        sums.revenue += alive * revenue
        sums.value += alive * (revenue - paid + stays * (day == c["horizon_days"] - 1) * residual)
        sums.spend += alive * (stays * offer_paid + credit + paid)
        sums.contacts += alive * executed
        one_hot = np.eye(4)[offered]
        sums.made += one_hot * (alive & executed)[:, None]
        sums.accepted += one_hot * (alive & accepted)[:, None]
        alive &= stays
        s.elevated = draws[2] < np.where(s.elevated, 1 - c["risk_recovery"], c["risk_onset"])
        s.history = (s.history << np.uint32(1)) | executed.astype(np.uint32)
        s.since = np.where(executed, 1, np.minimum(NEVER, s.since + 1))
        s.pending_days = np.maximum(0, s.pending_days - 1)
        s.offer_left = np.maximum(0, s.offer_left - 1)
        s.offer = np.where(s.offer_left > 0, s.offer, NO_OFFER)
