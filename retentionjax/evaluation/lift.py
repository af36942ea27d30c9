"""What a campaign changed: its customers against those whom it held out, with intervals that may be looked at daily.

Chance alone decided who is held out, with the known probability eᵢ. A customer's score is ψᵢ = aᵢ·(Yᵢ − m(xᵢ)),
a = 1/(1 − e) for the campaign's customers and −1/e for those held out; the mean of ψ is without bias the difference
of the mean outcomes, whatever m. m is the line in what was known before the draw (risk, charge) that leaves the scores
the least variance, Σa²(Y − m)², fitted to the other half of the customers (CUPED: Deng, Xu, Kohavi, Walker 2013;
augmented inverse-propensity scores: Robins, Rotnitzky, Zhao 1994).

On each day t, S = Σψ has the variance V. Over the days S less its mean comes to behave like a Brownian motion at the
time V, for which |S| ≤ √((V + ρ²)(ln((V + ρ²)/ρ²) + 2 ln(1/α))) holds on all days at once with probability 1 − α
(Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021; as asymptotic confidence sequence Waudby-Smith, Arbour, Sinha,
Kennedy, Ramdas 2021). A customer's dollars on different days go together, and then the bound is the safer (Slepian
1962); that who left leaves no second time works against it, by 3 % of the width where 40 % leave. (Where 72 % left,
1.8 % of 600 simulated campaigns without effect ever showed one.) ρ² is set once, on the first day with `ENOUGH`
departures on either side; before it there is no interval.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from retentionjax.errors import DataError

ENOUGH = 20
"""Departures on either side, below which no interval is given: it would rest on a normal law that is not there yet."""
LEVEL = 0.95
MOST = 1e30
"""Largest amount of money: squares of sums of it are numbers still."""
_FIRST = 3.0  # V/ρ² on the first day: the bound is within 5 % of its narrowest until V is 60 times that
_CELLS = 4_000_000  # customers × days held at once


@dataclass(frozen=True)
class Payments:
    """E sums of money, in the campaign's currency."""

    customer: Int[np.ndarray, " E"]
    """Row of the customer."""
    day: Float[np.ndarray, " E"]
    """Days since the campaign's start."""
    amount: Float[np.ndarray, " E"]

    def check(self, customers: int) -> None:
        """Raises DataError for the sum of nobody, of no day, or that is no number or beyond every business."""
        for name, fits, allowed in (
            ("customer", (self.customer >= 0) & (self.customer < customers), f"0 to {customers - 1}"),
            ("day", np.isfinite(self.day), "a finite number"),
            ("amount", np.abs(self.amount) <= MOST, f"within ±{MOST:g}"),
        ):
            if not fits.all():
                raise DataError(f"a payment's {name} is {getattr(self, name)[np.argmin(fits)]:g}; allowed: {allowed}")

    def until(self, days: Float[np.ndarray, " T"], customers: int) -> Float[np.ndarray, "N T"]:
        """Sum of each customer's up to and with each day."""
        place = np.searchsorted(days, self.day)
        rows = place < len(days)
        cells = self.customer[rows] * len(days) + place[rows]
        sums = np.bincount(cells, self.amount[rows], minlength=customers * len(days))
        return sums.astype(float).reshape(customers, len(days)).cumsum(axis=1)  # of none at all it counts


@dataclass(frozen=True)
class FollowedCustomers:
    """N customers whom a campaign drew to be held out or not; days are counted from the campaign's start."""

    held: Bool[np.ndarray, " N"]
    held_share: Float[np.ndarray, " N"]
    """Probability, above 0 and below 1, with which the customer was to be held out."""
    entered: Float[np.ndarray, " N"]
    """Day of the draw."""
    left: Float[np.ndarray, " N"]
    """Day of leaving; ∞ where none is known."""
    known_until: Float[np.ndarray, " N"]
    """Day until which it is known that the customer stayed; −∞ for one who was never heard of."""
    risk: Float[np.ndarray, " N"]
    """Churn probability predicted at the draw; not a number where the models failed."""
    charge: Float[np.ndarray, " N"]
    """Charge per 30 days, as of the draw; not a number where it is not known."""
    spend: Payments
    revenue: Payments | None = None
    """What customers paid; None: charges for the days that each was there."""

    def __post_init__(self) -> None:
        for name in ("held", "held_share", "entered", "left", "known_until", "risk", "charge"):
            if np.shape(getattr(self, name)) != (len(self.held),):
                raise DataError(f"{name} has shape {np.shape(getattr(self, name))}; allowed: ({len(self.held)},)")
        for name, fits, allowed in (
            ("held_share", (self.held_share > 0) & (self.held_share < 1), "above 0, below 1"),
            ("entered", np.isfinite(self.entered), "a finite day"),
            ("left", ~np.isnan(self.left), "a day, or inf"),
            ("known_until", ~np.isnan(self.known_until), "a day, or -inf"),
            ("risk", ~np.isinf(self.risk), "a finite number, or none"),
            ("charge", np.isnan(self.charge) | (np.abs(self.charge) <= MOST), f"within ±{MOST:g}, or none"),
        ):
            if not fits.all():
                raise DataError(f"{name} is {getattr(self, name)[np.argmin(fits)]:g}; allowed: {allowed}")
        for payments in (self.spend, self.revenue):
            if payments is not None:
                payments.check(len(self.held))

    def known(self, days: Float[np.ndarray, " T"]) -> Bool[np.ndarray, "N T"]:
        """Who had entered by a day and of whom it is known whether they had left by then.

        Of one who left it is known throughout: she stayed until that day.
        """
        entered, left, until = (each[:, None] for each in (self.entered, self.left, self.known_until))
        return (entered < days) & (left > entered) & (np.isfinite(left) | (until >= days))

    @property
    def facts(self) -> Float[np.ndarray, "N F"]:
        """What was known before the draw, by which outcomes are adjusted."""
        return np.stack([self.risk, self.charge, self.risk * self.charge], axis=1)


@dataclass(frozen=True)
class Path:
    """A difference per customer, the campaign's less those held out, on each of T days.

    `low` and `high` hold the difference on all days at once with probability 95 %; not a number before enough is
    known.
    """

    mean: Float[np.ndarray, " T"]
    standard_error: Float[np.ndarray, " T"]
    low: Float[np.ndarray, " T"]
    high: Float[np.ndarray, " T"]

    @property
    def last(self) -> "Difference":
        """That of the last day."""
        return self.at(-1)

    def at(self, place: int) -> "Difference":
        """That of one of the days, by its place among them."""
        return Difference(*(float(each[place]) for each in (self.mean, self.low, self.high)))


@dataclass(frozen=True)
class Difference:
    """The campaign's customers less those held out, with an interval that holds however often one looks."""

    mean: float
    low: float
    high: float

    @property
    def is_seen(self) -> bool:
        """Whether the interval is there and leaves out 0."""
        return self.low > 0 or self.high < 0

    def times(self, factor: float) -> "Difference":
        """The difference times a factor: of all customers, or with the other sign."""
        low, high = sorted((self.low * factor, self.high * factor))
        return Difference(self.mean * factor, low, high)


@dataclass(frozen=True)
class SampleRatio:
    """Whether chance split the customers as it was told to.

    `p` is valid at any number of looks: it falls below a level q with a probability of at most q, ever.
    """

    expected: float
    """Share of those held out that the design says."""
    seen: float
    p: float


@dataclass(frozen=True)
class Lift:
    """What a campaign changed until the last of `days`, its customers against those held out."""

    days: Float[np.ndarray, " T"]
    departures: Path
    """Share of customers who left."""
    revenue: Path
    spend: Path
    dollars: Path
    """Revenue less spend, per customer."""
    customers: Int[np.ndarray, "2 T"]
    """Customers known on each day: the campaign's, and those held out."""
    left: Int[np.ndarray, "2 T"]
    """Those of them who had left."""
    unknown: tuple[int, int]
    """Who had entered and is not known on the last day: the campaign's, and those held out."""
    drawn: SampleRatio
    heard_of: SampleRatio
    """Split of those who are known: it tells whether one side is heard of less."""


def measure(customers: FollowedCustomers, days: Float[np.ndarray, " T"], *, adjust: bool = True) -> Lift:
    """The lift on each of `days`. Raises DataError for days that do not increase, or of which there are none, and where
    nobody of either side is known on the last one.

    Args:
        adjust: by risk and charge; the estimate is without bias either way, and narrower with it.
    """
    if not len(days) or not np.isfinite(days).all() or (np.diff(days) <= 0).any():
        raise DataError(
            f"days are {np.asarray(days)[:5].tolist()} …; allowed: one or more, finite, each after the last"
        )
    last = float(days[-1])
    is_known = customers.known(days[-1:])[:, 0]
    for held, side in ((True, "held out"), (False, "of the campaign")):
        if not (is_known & (customers.held == held)).any():
            raise DataError(f"no customer {side} is known on day {last:g}; needed: outcomes of both sides")
    facts = _columns(customers.facts if adjust else np.empty((len(customers.held), 0)))
    step = max(1, _CELLS // len(customers.held))
    looks = [_look(customers, days[at : at + step], facts) for at in range(0, len(days), step)]
    sums, variance, known, left = (np.concatenate(each, axis=-1) for each in zip(*looks, strict=True))
    ready = left.min(axis=0) >= ENOUGH
    size = known.sum(axis=0)
    paths = [_path(*moments, size, ready) for moments in zip(sums, variance, strict=True)]
    departures, revenue, spend, dollars = paths
    silent = (customers.entered < last) & (customers.left > customers.entered) & ~is_known
    return Lift(
        days=np.asarray(days, float),
        departures=departures,
        revenue=revenue,
        spend=spend,
        dollars=dollars,
        customers=known,
        left=left,
        unknown=(int((silent & ~customers.held).sum()), int((silent & customers.held).sum())),
        drawn=sample_ratio(customers.held, customers.held_share),
        heard_of=sample_ratio(customers.held[is_known], customers.held_share[is_known]),
    )


def sample_ratio(held: Bool[np.ndarray, " N"], held_share: Float[np.ndarray, " N"]) -> SampleRatio:
    """Whether `held` is what chance with the probabilities `held_share` gives.

    p = 1/E, E the mean over a grid of θ of Π exp(θ·heldᵢ)/(1 − eᵢ + eᵢ·exp θ): each factor has the mean 1 under the
    design, so E is a martingale and exceeds 1/q with a probability of at most q, at any time (Ville). It is the
    sequential multinomial test (Lindon, Malek 2020) with a mixture over log-odds ratios, for shares that change.
    """
    if not len(held):
        return SampleRatio(float("nan"), float("nan"), 1.0)
    shares, counts = np.unique(held_share, return_counts=True)
    theta = np.linspace(-2.0, 2.0, 401)
    log_mixture = np.where(np.abs(theta) < 1e-9, -np.inf, -np.abs(theta) / 0.3)  # small departures are the likely ones
    growth = theta * held.sum() - np.log1p(shares[:, None] * np.expm1(theta)).T @ counts
    log_e = np.logaddexp.reduce(growth + log_mixture) - np.logaddexp.reduce(log_mixture)
    return SampleRatio(float(held_share.mean()), float(held.mean()), float(min(1.0, np.exp(-log_e))))


def times_needed(difference: Difference, expected: float) -> float:
    """How many times the present evidence shows a difference as large as `expected`: its interval leaves out 0 then.

    1 where it does already, not a number where there is no interval yet. The bound is taken as it is, and widths shrink
    with the root of the evidence.
    """
    half = (difference.high - difference.low) / 2
    return float(np.maximum(1.0, (half / expected) ** 2)) if expected else float("inf")


# --- a day's scores, and the bound over days ---------------------------------------------------------------------


def _look(
    customers: FollowedCustomers, days: Float[np.ndarray, " T"], facts: Float[np.ndarray, "N C"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sums and variances of scores [outcomes, T]; customers known, and left, of both sides [2, T]."""
    known = customers.known(days)
    held, share = customers.held, customers.held_share
    left = customers.left[:, None] <= days
    outcomes = np.stack([left, *_money(customers, days)])
    sign = np.where(held, -1 / share, 1 / (1 - share))
    scores = sign[:, None] * (outcomes - _line(outcomes, known, sign**2, facts, _halves(held))) * known
    total = scores.sum(axis=1)
    variance = (scores**2).sum(axis=1) - total**2 / np.maximum(known.sum(axis=0), 1)
    sides = np.stack([~held, held]).astype(np.int64)
    return total, variance, sides @ known, sides @ (left & known)


def _money(customers: FollowedCustomers, days: Float[np.ndarray, " T"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Revenue, spend, and the one less the other, [N, T] each."""
    size = len(customers.held)
    spend = customers.spend.until(days, size)
    if customers.revenue is not None:
        revenue = customers.revenue.until(days, size)
    else:
        there = np.minimum(days, customers.left[:, None]) - customers.entered[:, None]
        revenue = np.maximum(there, 0) * (_filled(customers.charge) / 30)[:, None]
    return revenue, spend, revenue - spend


def _line(
    outcomes: Float[np.ndarray, "K N T"],
    known: Bool[np.ndarray, "N T"],
    weight: Float[np.ndarray, " N"],
    facts: Float[np.ndarray, "N C"],
    half: Bool[np.ndarray, " N"],
) -> Float[np.ndarray, "K N T"]:
    """What each outcome is expected to be by the facts: least squares on the half that the customer is not in."""
    columns = facts.shape[1]
    products = (facts[:, :, None] * facts[:, None, :]).reshape(-1, columns**2)
    expected = np.empty(outcomes.shape)
    for fitted, applied in ((half, ~half), (~half, half)):
        weights = (known[fitted] * weight[fitted, None]).T
        square = (weights @ products[fitted]).reshape(-1, columns, columns)
        square += 1e-9 * (1 + np.trace(square, axis1=1, axis2=2))[:, None, None] * np.eye(columns)
        inverse = np.linalg.inv(square)
        for outcome, target in zip(outcomes, expected, strict=True):
            line = np.einsum("tcd,td->ct", inverse, (weights * outcome[fitted].T) @ facts[fitted])
            target[applied] = facts[applied] @ line
    return expected


def _halves(held: Bool[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    """Every second customer of either side."""
    return np.where(held, np.cumsum(held), np.cumsum(~held)) % 2 == 0


def _columns(facts: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "N C"]:
    """1, and the facts in units of their spread; what is missing is the mean."""
    known = np.stack([np.ones(len(facts)), *(_filled(each) for each in facts.T)], axis=1)
    spread = known.std(axis=0)
    centred = (known - known.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    centred[:, 0] = 1.0
    return centred


def _filled(column: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    missing = np.isnan(column)
    return np.where(missing, 0.0 if missing.all() else np.nanmean(column), column)


def _path(
    total: Float[np.ndarray, " T"],
    variance: Float[np.ndarray, " T"],
    size: Int[np.ndarray, " T"],
    ready: Bool[np.ndarray, " T"],
) -> Path:
    """The bound on all days from the first that is ready."""
    count = np.maximum(size, 1)
    mean = total / count
    half = np.full(len(total), np.nan)
    ready = ready & (variance > 0)
    if ready.any():
        first = int(np.argmax(ready))
        clock = np.maximum.accumulate(variance[first:])
        prior = variance[first] / _FIRST
        half[first:] = np.sqrt((clock + prior) * (np.log1p(clock / prior) + 2 * np.log(1 / (1 - LEVEL))))
    return Path(mean, np.sqrt(np.maximum(variance, 0)) / count, mean - half / count, mean + half / count)
