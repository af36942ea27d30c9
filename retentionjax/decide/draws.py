"""Random draws as hashes: whoever repeats a draw gets the same result.

Two draws are made of a customer. Once a campaign her *arm*, at the number p(salt, customer) in [0, 1):

    holdout  p < h                       never contacted by the campaign
    pilot    h ≤ p < h + s               an arm of the pilot, in their order, each s · share wide
    policy   the rest, and all from h on once the pilot is over

where p is the first 7 bytes of SHA-256("salt\\0customer"), big-endian, over 2⁵⁶. And for each day her *action*, from
the policy's propensities, at `uniform(customer, campaign, day)`.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

from retentionjax.errors import ConfigError

Group = Literal["policy", "holdout", "pilot"]
HOLDOUT = 0.05
"""Share of a campaign's customers that is held out, where nobody says otherwise."""
MOST_HELD_OUT = 0.9
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Pilot:
    """A randomised trial within a campaign, for a time."""

    share: float
    """Share of the campaign's customers that takes part."""
    arms: tuple[tuple[str, float], ...]
    """Offers by name, or `none`, each with its share of the pilot; they add up to 1."""
    ends_at: float
    """UTC epoch seconds."""
    budget_share: float
    """Share of the campaign's budget that its contacts may reserve and spend at any time."""


class Arm(NamedTuple):
    """The arm that a customer was drawn to."""

    group: Group
    pilot_arm: str | None
    """The offer by name, or `none`; None outside the pilot."""
    propensity: float
    """Probability of being drawn to this very arm."""


def place(salt: str, customer_id: str) -> float:
    """p(salt, customer) in [0, 1), by which her arm is drawn."""
    return _share(f"{salt}\0{customer_id}")


def arm(at: float, holdout: float, pilot: Pilot | None) -> Arm:
    """The arm at the number `at` of a campaign that holds out the share `holdout`; `pilot` None: none, or over."""
    if at < holdout:
        return Arm("holdout", None, holdout)
    if pilot is None:
        return Arm("policy", None, 1 - holdout)
    begins, share = holdout, 0.0
    for name, part in pilot.arms:
        share += part
        ends = holdout + pilot.share * share
        if begins <= at < ends:
            return Arm("pilot", name, pilot.share * part)
        begins = ends
    return Arm("policy", None, 1 - holdout - pilot.share)


def check(holdout: float, pilot: Pilot | None = None) -> None:
    """Raises ConfigError naming a share that is out of range."""
    if not 0 <= holdout <= MOST_HELD_OUT:
        raise ConfigError(f"holdout is {holdout}; allowed: 0 to {MOST_HELD_OUT}")
    if pilot is None:
        return
    if not 0 < pilot.share <= 1 - holdout:
        raise ConfigError(f"pilot.share is {pilot.share}; allowed: above 0 to {1 - holdout:g}, what is not held out")
    if not 0 <= pilot.budget_share <= 1:
        raise ConfigError(f"pilot.budget_share is {pilot.budget_share}; allowed: 0 to 1")
    names = [name for name, _ in pilot.arms]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ConfigError(f"pilot.arms is {', '.join(names) or 'empty'}; allowed: two or more arms, each once")
    for name, part in pilot.arms:
        if not 0 < part < 1:
            raise ConfigError(f"pilot.arms.{name} is {part}; allowed: above 0, below 1")
    total = sum(part for _, part in pilot.arms)
    if abs(total - 1) > _ROUNDING:
        raise ConfigError(f"pilot.arms add up to {total:g}; allowed: shares that add up to 1")


def uniform(customer_id: str, campaign_id: str, day: int) -> float:
    """The number in [0, 1) by which an action is drawn."""
    return _share(f"{customer_id}\0{campaign_id}\0{day}")


def _share(named: str) -> float:
    return int.from_bytes(hashlib.sha256(named.encode("utf-8", "surrogatepass")).digest()[:7]) / 2**56
