"""What would have happened without the campaign: the answer in words first, then every figure with its interval."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from retentionjax.company.money import money
from retentionjax.env.types import EnvParams
from retentionjax.evaluation.lift import ENOUGH, Difference, Lift, SampleRatio, times_needed
from serving.fields import CampaignId, MomentOut, iso
from serving.ledger import Reader
from serving.ledger.views import CampaignView
from serving.lift import measuring
from serving.lift.measuring import Found, Study, days_to_enough, most_customers
from serving.moments import utc

SOUND = 0.01
"""p below which the draw is called broken."""


class IntervalOut(msgspec.Struct, frozen=True):
    """An estimate; the truth lies between `low` and `high` with 95 %, however often one looks."""

    mean: float
    low: Annotated[float | None, Meta(description="null before enough is known")]
    high: Annotated[float | None, Meta(description="null before enough is known")]


class SidesOut(msgspec.Struct, frozen=True):
    """A number of customers on either side."""

    campaign: int
    held_out: int


class RatioOut(msgspec.Struct, frozen=True):
    """Whether as many are held out as chance was told to."""

    expected: Annotated[float, Meta(description="Share held out, by the design")]
    seen: float
    p: Annotated[float, Meta(description="Valid at any number of looks")]
    is_sound: Annotated[bool, Meta(description=f"p is {SOUND} or more")]


class WeekOut(msgspec.Struct, frozen=True):
    """Everything from the start to the end of a week."""

    day: float
    customers: SidesOut
    left: SidesOut
    kept: IntervalOut
    dollars: IntervalOut


class ArmOut(msgspec.Struct, frozen=True):
    """One arm of the pilot against its customers who were left alone."""

    arm: str
    customers: SidesOut
    kept: IntervalOut
    believed_kept: float | None


class NeededOut(msgspec.Struct, frozen=True):
    """How much more it takes to see an effect as large as the one that is believed, or else the one measured."""

    days: Annotated[float | None, Meta(description="Days until intervals begin, at the pace so far; null if unknown")]
    times: Annotated[float | None, Meta(description="Factor on customers and departures now; null before intervals")]


class LiftOut(msgspec.Struct, frozen=True):
    """What the campaign changed until `as_of`, its customers against those it held out."""

    campaign_id: CampaignId
    answer: Annotated[str, Meta(description="What would have happened without the campaign, in a sentence")]
    is_measured: Annotated[bool, Meta(description="Whether the interval of `kept` is there and leaves out 0")]
    as_of: Annotated[MomentOut | None, Meta(description="Time until which most customers are known; null if none is")]
    rests_on: Annotated[tuple[str, ...], Meta(description="What must be true for the figures to be")]
    customers: SidesOut | None = None
    left: SidesOut | None = None
    unknown: Annotated[SidesOut | None, Meta(description="Left out: nobody said whether they stayed")] = None
    kept: Annotated[IntervalOut | None, Meta(description="Share of customers who stayed by the campaign")] = None
    kept_in_all: IntervalOut | None = None
    dollars: Annotated[
        IntervalOut | None, Meta(description="Revenue less spend that the campaign brought, a customer")
    ] = None
    dollars_in_all: IntervalOut | None = None
    revenue: Annotated[IntervalOut | None, Meta(description="Revenue that the campaign brought, a customer")] = None
    spend: Annotated[IntervalOut | None, Meta(description="Spend a customer")] = None
    return_on_spend: Annotated[
        float | None, Meta(description="Revenue brought over spend, which is not taken off it; null without spend")
    ] = None
    believed_kept: Annotated[
        float | None, Meta(description="`kept` by the bundle's effects and the contacts made; null without bundle")
    ] = None
    needed: NeededOut | None = None
    drawn: RatioOut | None = None
    heard_of: Annotated[RatioOut | None, Meta(description="Split of those who are known")] = None
    weeks: tuple[WeekOut, ...] = ()
    pilot: tuple[ArmOut, ...] = ()


def answer(
    found: Found,
    pilot: Mapping[str, Found],
    believed: Mapping[str, float] | None,
    believed_of_pilot: Mapping[str, Mapping[str, float]],
    currency: str = "USD",
) -> LiftOut:
    """The whole answer. `believed`: change of departures by effect (see `measuring`); None where no bundle says."""
    study, lift = found.study, found.lift
    campaign_id = study.campaign.campaign_id
    arms = tuple(_arm(name, each, believed_of_pilot.get(name)) for name, each in pilot.items() if each.lift is not None)
    as_of = iso(study.known_until) if study.known_days > 0 else None
    if lift is None:
        sentence = f"Nobody can say yet what would have happened without the campaign: {found.reason}."
        return LiftOut(campaign_id, sentence, is_measured=False, as_of=as_of, rests_on=(), pilot=arms)
    kept, dollars = lift.departures.last.times(-1), lift.dollars.last
    count = int(lift.customers[0, -1])
    predicted = None if believed is None else -sum(believed.values())
    spend = lift.spend.last.mean
    return LiftOut(
        campaign_id,
        _sentence(lift, study, kept, count),
        kept.is_seen,
        as_of,
        _rests_on(lift, study, currency),
        customers=_sides(lift.customers[:, -1]),
        left=_sides(lift.left[:, -1]),
        unknown=SidesOut(*lift.unknown),
        kept=_interval(kept),
        kept_in_all=_interval(kept.times(count)),
        dollars=_interval(dollars),
        dollars_in_all=_interval(dollars.times(count)),
        revenue=_interval(lift.revenue.last),
        spend=_interval(lift.spend.last),
        return_on_spend=lift.revenue.last.mean / spend if spend > 0 else None,
        believed_kept=predicted,
        needed=_needed(lift, study, kept, predicted),
        drawn=_ratio(lift.drawn),
        heard_of=_ratio(lift.heard_of),
        weeks=tuple(_week(lift, place) for place in _week_ends(lift)),
        pilot=arms,
    )


def _sentence(lift: Lift, study: Study, kept: Difference, count: int) -> str:
    at = utc(study.known_until)
    day = f"{at.day} {at:%b %Y}"
    if math.isnan(kept.low):
        left = f"{lift.left[0, -1]} of the campaign's customers and {lift.left[1, -1]} of those held out have left"
        few = next((number for number in most_customers(study) if number < ENOUGH), None)
        if few is not None:
            return (
                f"This campaign can never tell what would have happened without it. By {day}, {left}; {ENOUGH} on each "
                f"side are needed, and one side will have no more than {few} customers. A campaign with more "
                "customers, or with a larger hold-out from the start, can."
            )
        return (
            f"It is too early to say what would have happened without the campaign. By {day}, {left}; {ENOUGH} on each "
            f"side are needed, {_pace(days_to_enough(lift, study), study)}."
        )
    in_all = kept.times(count)
    more, least, most = (round(each) for each in (in_all.mean, in_all.low, in_all.high))
    if kept.low > 0:
        return (
            f"Without the campaign about {more:,} more of its {count:,} customers would have left by {day} "
            f"(between {least:,} and {most:,})."
        )
    if kept.high < 0:
        return (
            f"Without the campaign about {-more:,} fewer of its {count:,} customers would have left by {day} "
            f"(between {-most:,} and {-least:,}): it drives customers away."
        )
    guess = f"{more:,} more" if more >= 0 else f"{-more:,} fewer"
    return (
        f"Nobody can say yet what would have happened without the campaign: of its {count:,} customers, between "
        f"{-least:,} fewer and {most:,} more would have left by {day} (best estimate: {guess})."
    )


def _pace(more: float, study: Study) -> str:
    if math.isinf(more):
        return "and nobody can say when that will be"
    days, remaining = math.ceil(more), math.floor(study.campaign.horizon_days - study.known_days)
    late = f", and the campaign ends in {remaining}" if 0 <= remaining < days else ""
    return f"which takes some {days} more days at this pace{late}"


def _rests_on(lift: Lift, study: Study, currency: str) -> tuple[str, ...]:
    drawn, heard = lift.drawn, lift.heard_of
    found = []
    if drawn.p < SOUND:
        found.append(
            f"BROKEN: {drawn.seen:.1%} are held out instead of {drawn.expected:.1%}, more than chance explains. The "
            "two sides are not alike, and no figure here can be trusted until you know why."
        )
    else:
        found.append(
            f"Chance alone decided who is held out: {drawn.seen:.1%} of those drawn, where {drawn.expected:.1%} were "
            "planned. Chance explains the difference."
        )
    found.append(
        "Customers kept and money are adjusted for risk and charge at the time of the draw, since by chance one side "
        "may have been more at risk. So they can differ from the plain shares of those who left."
    )
    if heard.p < SOUND <= drawn.p:
        found.append(
            f"BROKEN: of the customers reported, {heard.seen:.1%} are held out, not {heard.expected:.1%}. One side is "
            "reported less often; report for everybody who stayed and who left, contacted or not."
        )
    if study.purged_contacts:
        found.append(
            f"BROKEN: {study.purged_contacts:,} contacts were deleted after the retention period. Their cost and their "
            "predicted effect are in no figure here; measure a campaign before its contacts are deleted."
        )
    if silent := sum(lift.unknown):
        found.append(
            f"{silent:,} customers, {lift.unknown[1]:,} of them held out, are left out, as if they were like the "
            "others: nobody reported whether they stayed."
        )
    if study.reports_revenue:
        found.append(
            f"Revenue is what customers were reported to have paid, {study.payers[0]:,} of {study.payers[1]:,}, after "
            "discounts. Spend is the contacts alone; what an offer costs elsewhere is not included."
        )
    else:
        found.append(
            f"{_too_few(study)}, so revenue is each customer's charge for the days before leaving. Spend is "
            "contacts, and each accepted offer in full."
        )
    found.append(f"What customers pay after that date is not counted. Money is in {currency}.")
    found.append("Each figure has its own 95 % interval, which holds for many customers however often you look.")
    return tuple(found)


def _too_few(study: Study) -> str:
    paid, known = study.payers
    if not paid:
        return "Nobody reported revenue"
    return f"Payments are reported for {paid:,} of {known:,} customers, too few to represent all"


def _needed(lift: Lift, study: Study, kept: Difference, predicted: float | None) -> NeededOut:
    days = days_to_enough(lift, study)
    expected = predicted or kept.mean
    times = None if math.isnan(kept.low) or not expected else times_needed(kept, expected)
    return NeededOut(None if math.isinf(days) else days, times)


def _arm(name: str, found: Found, believed: Mapping[str, float] | None) -> ArmOut:
    assert found.lift is not None
    kept = found.lift.departures.last.times(-1)
    predicted = None if believed is None else -sum(believed.values())
    return ArmOut(name, _sides(found.lift.customers[:, -1]), _interval(kept), predicted)


def _week_ends(lift: Lift) -> list[int]:
    last = len(lift.days) - 1
    return sorted({*range(6, last, 7), last})


def _week(lift: Lift, place: int) -> WeekOut:
    kept, dollars = lift.departures.at(place).times(-1), lift.dollars.at(place)
    customers, left = (_sides(each[:, place]) for each in (lift.customers, lift.left))
    return WeekOut(float(lift.days[place]), customers, left, _interval(kept), _interval(dollars))


def _sides(pair: np.ndarray) -> SidesOut:
    return SidesOut(int(pair[0]), int(pair[1]))


def _interval(difference: Difference) -> IntervalOut:
    low, high = (None if math.isnan(each) else each for each in (difference.low, difference.high))
    return IntervalOut(difference.mean, low, high)


def _ratio(found: SampleRatio) -> RatioOut:
    return RatioOut(found.expected, found.seen, found.p, found.p >= SOUND)


def sentences(found: LiftOut, currency: str = "USD") -> list[str]:
    """The answer for a terminal."""

    def points(each: IntervalOut) -> str:
        return _between(each, lambda value: f"{value * 100:+.2f}") + " of 100 customers kept"

    def cash(each: IntervalOut) -> str:
        return _between(each, lambda value: money(value, currency))

    gross = found.is_measured and found.return_on_spend is not None
    said = [found.answer]
    if found.customers and found.left and found.kept and found.dollars and found.dollars_in_all and found.spend:
        shares = [
            f"{left / max(count, 1):.1%} of {count:,}"
            for left, count in (
                (found.left.held_out, found.customers.held_out),
                (found.left.campaign, found.customers.campaign),
            )
        ]
        said += [
            f"Left: {shares[0]} held out, {shares[1]} of the campaign's customers.",
            f"{_standing(found)}: {points(found.kept)}; {cash(found.dollars)} a customer.",
            f"In all: {cash(found.dollars_in_all)}.",
            f"Spent: {money(found.spend.mean, currency)} a customer, adjusted in the same way"
            + (f"; each unit brought {found.return_on_spend:.2f} in revenue, before spend." if gross else "."),
        ]
        if found.believed_kept is not None:
            said.append(f"Predicted from the bundle's effects: {found.believed_kept * 100:+.2f} of 100 customers kept.")
        if not found.is_measured and found.needed and found.needed.times and found.needed.times > 1:
            said.append(
                f"About {found.needed.times:.1f} times as many customers and departures would be needed to tell."
            )
    said += [f"- {each}" for each in found.rests_on]
    said += [
        f"Pilot, {arm.arm} against left alone: {points(arm.kept)}"
        + ("" if arm.believed_kept is None else f", predicted {arm.believed_kept * 100:+.2f}")
        for arm in found.pilot
    ]
    said += [f"By day {week.day:g}: {points(week.kept)}; {cash(week.dollars)} a customer" for week in found.weeks]
    return said


def _standing(found: LiftOut) -> str:
    """What the figures are: measured, not told apart from no effect, or a guess that nothing bounds yet."""
    if found.is_measured:
        return "Measured"
    return "Not measured yet, estimate so far" if found.kept and found.kept.low is None else "Cannot be told from none"


def _between(each: IntervalOut, words: Callable[[float], str]) -> str:
    if each.low is None or each.high is None:
        return f"{words(each.mean)} [not known yet]"
    return f"{words(each.mean)} [{words(each.low)}, {words(each.high)}]"


def look(
    reader: Reader,
    campaign: CampaignView,
    params: EnvParams | None = None,
    offers: Mapping[str, object] | None = None,
    currency: str = "USD",
    check: Callable[[], None] = lambda: None,
) -> LiftOut:
    """The lift of `campaign`; with a bundle's constants and offers, what they promised beside it.

    Calls `check` before each of the long steps, and ends with what it raises.
    """
    record = reader.campaign_record(campaign.campaign_id)
    check()
    found = measuring.find(measuring.against_holdout(campaign, record))
    pilot = {}
    for name, study in measuring.of_pilot(campaign, record).items():
        check()
        pilot[name] = measuring.find(study)
    if params is None or offers is None:
        return answer(found, pilot, None, {}, currency)
    believed = measuring.believed_departures(found.study, params, offers)
    by_arm = {name: measuring.believed_departures(each.study, params, offers) for name, each in pilot.items()}
    return answer(found, pilot, believed, by_arm, currency)
