"""Whether contacts do what the bundle believes: departures measured by chance against what its effects promised."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from retentionjax.bundle import Bundle
from retentionjax.evaluation.lift import Difference
from serving.ledger import Reader
from serving.ledger.types import DAY
from serving.lift import believing, measuring
from serving.lift.measuring import Found

_CAMPAIGNS = 20  # the latest, that are looked at


@dataclass(frozen=True)
class Promise:
    """The change of departures per customer, by one campaign or one arm of its pilot."""

    campaign_id: str
    arm: str
    """`policy` against those held out, or an offer against the pilot's customers who were left alone."""
    measured: Difference
    """With an interval that may be looked at daily."""
    believed: float
    effect: str
    """The effect that explains most of the difference between the two."""

    @property
    def is_broken(self) -> bool:
        """Whether what is believed lies outside of what was measured; never before there is an interval."""
        return not self.measured.low <= self.believed <= self.measured.high and self.measured.low == self.measured.low

    @property
    def words(self) -> str:
        """The promise in a line."""
        found = self.measured
        measured = f"{found.mean * 100:+.2f} [{found.low * 100:+.2f}, {found.high * 100:+.2f}]"
        said = f"effects: {self.campaign_id}, {self.arm}: departures of 100 customers changed by {measured}"
        doubted = f"; {self.effect} is the one to doubt" if self.is_broken else ""
        return f"{said} where {self.believed * 100:+.2f} is believed{doubted}"


def read(reader: Reader, bundle: Bundle, since: float) -> tuple[Promise, ...]:
    """Promises of every campaign that was not over by `since` and of which enough is known."""
    found: list[Promise] = []
    for name, campaign in sorted(reader.campaigns(reader.campaign_ids(_CAMPAIGNS)).items()):
        if campaign.starts_at + campaign.horizon_days * DAY < since:
            continue
        record = reader.campaign_record(name)
        sides = {"policy": measuring.against_holdout(campaign, record), **measuring.of_pilot(campaign, record)}
        found += _of_campaign(name, {arm: measuring.find(study) for arm, study in sides.items()}, bundle)
    return tuple(found)


def _of_campaign(name: str, sides: Mapping[str, Found], bundle: Bundle) -> Iterator[Promise]:
    for arm, side in sides.items():
        if side.lift is None or side.lift.departures.last.low != side.lift.departures.last.low:
            continue  # not a number before enough is known
        parts = believing.departures(side.study, bundle.params, bundle.offers)
        if parts:
            measured = side.lift.departures.last
            yield Promise(
                name, arm, measured, sum(parts.values()), _doubted(parts, measured.mean - sum(parts.values()))
            )


def _doubted(parts: Mapping[str, float], surprise: float) -> str:
    """The part that pulls most away from what was measured; where all pull towards it, the largest."""
    away = {name: value for name, value in parts.items() if value * surprise < 0} or parts
    return max(away, key=lambda name: abs(away[name]))
