"""Whether a customer may be contacted, and when: consent, do-not-contact, local quiet hours, frequency.

Where the time zone is unknown every zone the customer may be in counts: a moment is fit when it is fit in all of them.
Hours are those of the country and region that are known; else of the country that the time zone lies in, whatever name
it goes by; else of the company's own, in its strictest region.
"""

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from importlib.resources import files
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from retentionjax.errors import DataError
from retentionjax.shield.brief import Channel
from retentionjax.shield.rules import ContactRules, QuietHours, Rules, load_rules

Reason = Literal[
    "contact.consent", "contact.opted_out", "contact.do_not_contact", "contact.quiet_hours", "contact.frequency"
]
_QUARTER = dt.timedelta(minutes=15)  # every zone in use is a multiple of it away from UTC
_SEARCH = dt.timedelta(days=8)
_Ranges: TypeAlias = tuple[tuple[float, float], ...]


HOME = "US"


@dataclass(frozen=True)
class Recipient:
    """What is known of a customer that bears on contacting her."""

    consent: frozenset[Channel]
    """Channels she has agreed to."""
    opted_out: frozenset[Channel] = frozenset()
    """Channels she has opted out of; stronger than consent."""
    do_not_contact: bool = False
    time_zone: str | None = None
    """IANA name, if known."""
    region: str | None = None
    """ISO 3166, if known: a country (`DE`), or one of its regions (`US-FL`) where these have hours of their own."""
    home: str = HOME
    """The company's country, taken for hers where neither region nor time zone tells."""
    contacts: Sequence[dt.datetime] = ()
    """When she was contacted before, with time zones."""


@dataclass(frozen=True)
class Permission:
    """Whether contact is allowed now, why not, and when it would be."""

    allowed: bool
    reasons: tuple[Reason, ...]
    earliest: dt.datetime | None
    """First moment (UTC) at which contact is allowed as things stand; None if waiting does not help."""


def may_contact(recipient: Recipient, channel: Channel, now: dt.datetime, rules: Rules | None = None) -> Permission:
    """Whether `recipient` may be contacted by `channel` at `now`.

    Raises DataError for a time without a zone and for a zone, region or country that no rule knows: no guess is made.
    """
    contact = (rules or load_rules()).contact
    for moment in (now, *recipient.contacts):
        if moment.tzinfo is None:
            raise DataError(f"{moment.isoformat()} has no time zone; contact times must have one")
    country, region = _place(recipient, contact)
    zones, hours = _zones(recipient.time_zone, country, region, contact), _hours(country, region, contact)
    reasons: list[Reason] = []
    if channel not in recipient.consent:
        reasons.append("contact.consent")
    if channel in recipient.opted_out:
        reasons.append("contact.opted_out")
    if recipient.do_not_contact:
        reasons.append("contact.do_not_contact")
    final = bool(reasons)
    if not _awake(now, zones, hours):
        reasons.append("contact.quiet_hours")
    if _recent(recipient, now, contact) >= contact.cap:
        reasons.append("contact.frequency")
    earliest = None if final else _earliest(recipient, now, contact, zones, hours)
    return Permission(not reasons, tuple(reasons), earliest)


def is_region(region: str, rules: Rules | None = None) -> bool:
    """Whether `region` is a country with rules, or one of its regions."""
    contact = (rules or load_rules()).contact
    country, dash, part = region.partition("-")
    return country in contact.countries and (not dash or part in contact.subdivisions.get(country, ()))


def _place(recipient: Recipient, contact: ContactRules) -> tuple[str, str | None]:
    """(country, region or None). Raises DataError for a country without rules, and a region that is none of its."""
    if recipient.region is None:
        country, dash = _country_of(recipient.time_zone, contact) or recipient.home, ""
    else:
        country, dash, _ = recipient.region.partition("-")
    if country not in contact.countries:
        raise DataError(
            f"region is {recipient.region or country!r}; allowed: {', '.join(sorted(contact.countries))}, or one of "
            "their regions, as US-FL"
        )
    if not dash:
        return country, None
    known = [f"{country}-{each}" for each in contact.subdivisions.get(country, ())]
    if recipient.region not in known:
        allowed = ", ".join(known) if known else f"{country} alone, for its regions have the same hours"
        raise DataError(f"region is {recipient.region!r}; allowed in {country}: {allowed}")
    return country, recipient.region


def _country_of(time_zone: str | None, contact: ContactRules) -> str | None:
    """The country with rules that the zone lies in, be it as a region of it; None where no such country is known."""
    countries, renamed = _atlas()
    name = time_zone or ""
    while name not in countries and name in renamed:
        name = renamed[name]
    country = countries.get(name)
    if country in contact.countries:
        return country
    around = {region.partition("-")[0] for region, zones in contact.region_zones.items() if name in zones}
    return around.pop() if len(around) == 1 else None


@cache
def _atlas() -> tuple[dict[str, str], dict[str, str]]:
    """The country of each zone that is listed for one, and the present name of each other that was renamed.

    A link between two listed zones is no renaming: Oslo keeps Berlin's time, and is not in Germany.
    """
    folder = files("tzdata") / "zoneinfo"
    rows = [line.split("\t") for line in (folder / "zone.tab").read_text("utf-8").splitlines() if line[0] != "#"]
    links = [line.split() for line in (folder / "tzdata.zi").read_text("utf-8").splitlines() if line.startswith("L ")]
    return {row[2]: row[0] for row in rows}, {old: name for _, name, old in links}


def _zones(time_zone: str | None, country: str, region: str | None, contact: ContactRules) -> tuple[ZoneInfo, ...]:
    """The zone; unknown: every zone of the region, else of the country."""
    names = (
        contact.region_zones.get(region or "", contact.country_zones[country]) if time_zone is None else (time_zone,)
    )
    try:
        return tuple(ZoneInfo(name) for name in names)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DataError(f"time zone is {', '.join(names)!r}; allowed: IANA names such as America/Chicago") from None


def _hours(country: str, region: str | None, contact: ContactRules) -> QuietHours:
    """The hours that apply: the country's, as far as the region has no stricter ones; where the region is unknown,
    those of every region count."""
    if region is not None:
        stricter = [contact.regions[region]] if region in contact.regions else []
    else:
        stricter = [hours for name, hours in contact.regions.items() if name.startswith(country + "-")]
    return _common((contact.countries[country], *stricter))


@lru_cache(maxsize=256)
def _common(hours: Sequence[QuietHours]) -> QuietHours:
    """The hours that lie within all of these."""

    def both(some: _Ranges, others: _Ranges) -> _Ranges:
        overlaps = [(max(a, c), min(b, d)) for a, b in some for c, d in others]
        return tuple((first, last) for first, last in overlaps if first < last)

    days = zip(*((each.weekdays, each.saturday, each.sunday) for each in hours), strict=True)
    return QuietHours(*(reduce(both, day) for day in days))


def _awake(moment: dt.datetime, zones: Sequence[ZoneInfo], hours: QuietHours) -> bool:
    return _opens(moment, zones, hours) == moment


def _opens(moment: dt.datetime, zones: Sequence[ZoneInfo], hours: QuietHours) -> dt.datetime:
    """`moment` if it is fit in all zones; else a later one before which none is, though it need not be fit itself."""
    for zone in zones:
        local = moment.astimezone(zone)
        minute = 60 * local.hour + local.minute
        if not any(_minute(first) <= minute < _minute(last) for first, last in _ranges(local, hours)):
            return _opening(local, hours)
    return moment


def _opening(local: dt.datetime, hours: QuietHours) -> dt.datetime:
    """When the hours begin that come next after `local`, by the same clock; UTC."""
    moment = local.astimezone(dt.UTC)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    for days in range(_SEARCH.days + 1):
        day = midnight + dt.timedelta(days=days)
        for first, _ in _ranges(day, hours):
            opening = (day + dt.timedelta(minutes=_minute(first))).astimezone(dt.UTC)
            if opening > moment:
                return opening
    return moment + _SEARCH


def _minute(hour: float) -> int:
    """The first whole minute of the day that is not before `hour`: 8.33 is 8:20."""
    return math.ceil(round(60 * hour, 6))  # 60 * 16.1 is 966.0000000000001


def _ranges(local: dt.datetime, hours: QuietHours) -> _Ranges:
    weekday = local.weekday()
    return hours.weekdays if weekday < 5 else hours.saturday if weekday == 5 else hours.sunday


def _recent(recipient: Recipient, moment: dt.datetime, contact: ContactRules) -> int:
    """Contacts in the window that ends at `moment`."""
    window = dt.timedelta(days=contact.window_days)
    return sum(moment - window < earlier <= moment for earlier in recipient.contacts)


def _earliest(
    recipient: Recipient,
    now: dt.datetime,
    contact: ContactRules,
    zones: Sequence[ZoneInfo],
    hours: QuietHours,
) -> dt.datetime | None:
    for start in _free_moments(recipient, now.astimezone(dt.UTC), contact):
        moment = start
        while moment < start + _SEARCH:
            opens = _opens(moment, zones, hours)
            if opens == moment and _recent(recipient, moment, contact) < contact.cap:
                return moment
            moment = opens if opens > moment else _next_quarter(moment)
    return None


def _free_moments(recipient: Recipient, now: dt.datetime, contact: ContactRules) -> Iterator[dt.datetime]:
    """`now`, and each moment after it at which an earlier contact leaves the window."""
    window = dt.timedelta(days=contact.window_days)
    yield now
    free = [earlier.astimezone(dt.UTC) + window for earlier in recipient.contacts]
    yield from sorted(moment for moment in free if moment > now)


def _next_quarter(moment: dt.datetime) -> dt.datetime:
    past = dt.timedelta(minutes=moment.minute % 15, seconds=moment.second, microseconds=moment.microsecond)
    return moment - past + _QUARTER
