"""Contact: consent first, then the recipient's own clock, then the number of contacts."""

import datetime as dt
from dataclasses import replace
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.errors import DataError
from retentionjax.shield import Permission, Recipient, load_rules, may_contact
from retentionjax.shield.contact import _atlas, _awake, _hours, _zones, is_region
from retentionjax.shield.rules import QuietHours

SMS = frozenset({"sms"})
NOON = dt.datetime(2026, 6, 3, 19, 30, tzinfo=dt.UTC)  # a Wednesday; 15:30 in New York, 9:30 in Honolulu


def at(hour: int, minute: int = 0, day: int = 3) -> dt.datetime:
    return dt.datetime(2026, 6, day, hour, minute, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("recipient", "reason"),
    [
        (Recipient(frozenset()), "contact.consent"),
        (Recipient(frozenset({"email"})), "contact.consent"),
        (Recipient(SMS, opted_out=SMS), "contact.opted_out"),
        (Recipient(SMS, do_not_contact=True), "contact.do_not_contact"),
    ],
)
def test_without_consent_there_is_no_time_to_wait_for(recipient: Recipient, reason: str) -> None:
    assert may_contact(recipient, "sms", NOON) == Permission(False, (reason,), None)


def test_consent_to_one_channel_and_opting_out_of_another_do_not_mix() -> None:
    assert may_contact(Recipient(SMS, opted_out=frozenset({"email"})), "sms", NOON).allowed


def test_hours_are_the_recipients_own() -> None:
    california = Recipient(SMS, time_zone="America/Los_Angeles", region="US-CA")
    assert not may_contact(california, "sms", at(14, 59)).allowed  # 7:59 there
    assert may_contact(california, "sms", at(15)).allowed
    assert may_contact(california, "sms", at(3, 59, day=4)).allowed  # 20:59 there
    assert not may_contact(california, "sms", at(4, day=4)).allowed


def test_a_stricter_state_wins() -> None:
    florida = Recipient(SMS, time_zone="America/New_York", region="US-FL")
    assert not may_contact(florida, "sms", at(0, 30)).allowed  # 20:30 there
    assert may_contact(Recipient(SMS, time_zone="America/New_York", region="US-NY"), "sms", at(0, 30)).allowed


def test_an_unknown_zone_waits_until_it_is_day_in_every_zone() -> None:
    anyone = Recipient(SMS)
    refused = may_contact(anyone, "sms", at(15))  # 11:00 in New York, 5:00 in Honolulu
    assert refused.reasons == ("contact.quiet_hours",)
    assert refused.earliest == at(19)
    assert may_contact(anyone, "sms", refused.earliest).allowed


def test_a_state_of_two_zones_counts_both() -> None:
    florida = Recipient(SMS, region="US-FL")
    assert not may_contact(florida, "sms", at(12, 30)).allowed  # 8:30 in Miami, 7:30 in Pensacola
    assert may_contact(florida, "sms", at(13)).allowed


def test_sunday_is_no_day_to_contact_where_the_state_says_so() -> None:
    recipient = Recipient(SMS, region="US-AL")
    sunday = dt.datetime(2026, 6, 7, 18, tzinfo=dt.UTC)
    assert not may_contact(recipient, "sms", sunday).allowed
    assert may_contact(recipient, "sms", sunday).earliest == dt.datetime(2026, 6, 8, 13, tzinfo=dt.UTC)


def test_the_fourth_contact_waits_until_the_first_is_30_days_old() -> None:
    contacts = tuple(NOON - dt.timedelta(days=days) for days in (25, 10, 3))
    permission = may_contact(Recipient(SMS, region="US-CA", contacts=contacts), "sms", NOON)
    assert permission.reasons == ("contact.frequency",)
    assert permission.earliest == NOON + dt.timedelta(days=5)
    assert may_contact(Recipient(SMS, region="US-CA", contacts=contacts[1:]), "sms", NOON).allowed


@given(
    st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2027, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    st.sampled_from([None, "US-FL", "US-TX", "US-RI", "US-CA"]),
    st.lists(st.integers(0, 60), max_size=6),
)
def test_the_earliest_moment_is_allowed_and_never_past(now: dt.datetime, region: str | None, ages: list[int]) -> None:
    contacts = tuple(now - dt.timedelta(days=age) for age in ages)
    recipient = Recipient(SMS, region=region, contacts=contacts)
    permission = may_contact(recipient, "sms", now)
    assert permission.earliest is not None
    assert permission.earliest >= now
    assert permission.allowed == (permission.earliest == now)
    assert may_contact(recipient, "sms", permission.earliest).allowed


DAYS = st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2027, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001 - as above


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        (None, None),
        (None, "US-RI"),
        ("America/New_York", "US-AL"),
        ("Europe/Paris", None),
        ("Australia/Lord_Howe", None),
    ],
)
@given(now=DAYS)
def test_no_quarter_of_an_hour_before_the_earliest_moment_is_fit(
    zone: str | None, region: str | None, now: dt.datetime
) -> None:
    recipient = Recipient(SMS, time_zone=zone, region=region)
    earliest = may_contact(recipient, "sms", now).earliest
    assert earliest is not None
    quarter = dt.timedelta(minutes=15)
    quarters = [now, *(now.replace(minute=0, second=0, microsecond=0) + n * quarter for n in range(8 * 96))]
    assert earliest == next(each for each in quarters if each >= now and may_contact(recipient, "sms", each).allowed)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(DataError, match="no time zone"):
        may_contact(Recipient(SMS), "sms", dt.datetime(2026, 6, 3, 12))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"time_zone": "Mars/Olympus"}, "time zone is 'Mars/Olympus'"),
        ({"home": "XX"}, "region is 'XX'; allowed: AU, BR, CA"),
        ({"region": "us-fl"}, "region is 'us-fl'; allowed: AU"),
        ({"region": "FL"}, "region is 'FL'; allowed: AU"),
        ({"region": "Florida"}, "region is 'Florida'"),
        ({"region": "US-ZZ"}, "region is 'US-ZZ'; allowed in US: US-AK, US-AL"),
        ({"region": ""}, "region is ''"),
        ({"region": "FR-75"}, "region is 'FR-75'; allowed in FR: FR alone"),
    ],
)
def test_a_place_nobody_knows_is_refused(place: dict[str, str], words: str) -> None:
    for known in ({}, {"time_zone": "Asia/Tokyo"}):
        with pytest.raises(DataError, match=words):
            may_contact(Recipient(SMS, **{**known, **place}), "sms", NOON)


def test_every_region_and_country_of_the_rules_has_hours_and_zones() -> None:
    contact = load_rules().contact
    places = [{"region": country} for country in contact.countries]
    places += [{"region": f"{c}-{each}"} for c, all_ in contact.subdivisions.items() for each in all_]
    assert len(places) > 100
    for place in places:
        assert is_region(place["region"])
        assert may_contact(Recipient(SMS, **place), "sms", NOON).earliest is not None
    known = {f"{country}-{each}" for country, regions in contact.subdivisions.items() for each in regions}
    assert set(contact.regions) <= known
    assert set(contact.region_zones) <= known


@pytest.mark.parametrize(
    ("country", "zone", "local", "allowed"),
    [
        ("FR", "Europe/Paris", (3, 12, 59), True),  # a Wednesday
        ("FR", "Europe/Paris", (3, 13, 0), False),
        ("FR", "Europe/Paris", (3, 14, 0), True),
        ("FR", "Europe/Paris", (6, 11, 0), False),  # a Saturday
        ("DE", "Europe/Berlin", (6, 11, 0), True),
        ("DE", "Europe/Berlin", (6, 16, 0), False),
        ("DE", "Europe/Berlin", (7, 11, 0), False),
        ("CA", "America/Toronto", (3, 21, 29), True),
        ("CA", "America/Toronto", (3, 21, 30), False),
        ("GB", "Europe/London", (7, 8, 30), False),
        ("GB", "Europe/London", (7, 9, 0), True),
    ],
)
def test_each_country_has_its_own_hours(country: str, zone: str, local: tuple[int, int, int], allowed: bool) -> None:
    now = dt.datetime(2026, 6, *local, tzinfo=ZoneInfo(zone))
    assert may_contact(Recipient(SMS, time_zone=zone, region=country), "sms", now).allowed is allowed
    # The time zone tells the country, whatever the company's own is.
    assert may_contact(Recipient(SMS, time_zone=zone), "sms", now).allowed is allowed


@pytest.mark.parametrize("region", ["XX", "us", "US-", "US-ZZ", "FR-75", "-", ""])
def test_what_is_no_region_is_told(region: str) -> None:
    assert not is_region(region)


def test_the_company_s_own_country_is_taken_where_nothing_tells_another() -> None:
    sunday = dt.datetime(2026, 6, 7, 12, tzinfo=ZoneInfo("Europe/Vienna"))
    assert not may_contact(Recipient(SMS, time_zone="Europe/Vienna", home="DE"), "sms", sunday).allowed
    assert may_contact(Recipient(SMS, time_zone="Europe/Vienna", home="GB"), "sms", sunday).allowed


def test_a_zone_is_in_its_country_by_any_of_its_names() -> None:
    contact = load_rules().contact
    countries, renamed = _atlas()
    named = {zone: country for country, zones in contact.country_zones.items() for zone in zones}
    aliases = {old: named[name] for old, name in renamed.items() if name in named and old not in countries}
    assert {"Brazil/East", "Mexico/General", "America/Ensenada", "America/Porto_Acre", "Asia/Calcutta"} <= set(aliases)
    others = {zone: country for zone, country in countries.items() if country in contact.countries}
    assert {"America/Fortaleza", "Australia/Melbourne"} <= set(others) - set(named)
    for zone, country in {**named, **aliases, **others}.items():
        for day, hour in ((3, 20), (6, 9), (6, 16), (7, 12)):  # the hours in which countries differ
            now = dt.datetime(2026, 6, day, hour, 30, tzinfo=ZoneInfo(zone))
            known = Recipient(SMS, time_zone=zone, region=country)
            for home in ("US", "KR"):
                guessed = Recipient(SMS, time_zone=zone, home=home)
                assert may_contact(guessed, "sms", now) == may_contact(known, "sms", now), (zone, country, now)


@pytest.mark.parametrize("zone", ["Europe/Oslo", "UTC", "Etc/GMT+3"])
def test_a_zone_that_only_keeps_a_country_s_time_is_not_in_it(zone: str) -> None:
    sunday = dt.datetime(2026, 6, 7, 12, tzinfo=ZoneInfo(zone))
    assert may_contact(Recipient(SMS, time_zone=zone, home="GB"), "sms", sunday).allowed


def test_puerto_rico_has_the_hours_of_the_country_whose_region_it_is() -> None:
    sunday = dt.datetime(2026, 6, 7, 12, tzinfo=ZoneInfo("America/Puerto_Rico"))
    assert not may_contact(Recipient(SMS, time_zone="America/Puerto_Rico", home="KR"), "sms", sunday).allowed


WEEKS = [
    dt.datetime(2026, month, 5, tzinfo=dt.UTC) + n * dt.timedelta(minutes=15) for month in (1, 7) for n in range(672)
]


def test_what_is_fit_for_a_country_is_fit_in_each_of_its_zones() -> None:
    contact = load_rules().contact
    for country in contact.countries:
        hours, known = _hours(country, None, contact), _zones(None, country, None, contact)
        fit = [moment for moment in WEEKS if _awake(moment, known, hours)]
        for zone in (ZoneInfo(name) for name, its in _atlas()[0].items() if its == country):
            assert all(_awake(moment, [zone], hours) for moment in fit), zone


@pytest.mark.parametrize(
    ("region", "zone"),
    [
        ("AU-NSW", "Australia/Lord_Howe"),
        ("AU-QLD", "Australia/Lindeman"),
        ("AU-TAS", "Antarctica/Macquarie"),
        ("AU-WA", "Australia/Eucla"),
        ("CA-BC", "America/Creston"),
        ("CA-BC", "America/Fort_Nelson"),
        ("CA-NU", "America/Iqaluit"),
        ("CA-NU", "America/Resolute"),
        ("CA-ON", "America/Atikokan"),
        ("CA-ON", "America/Winnipeg"),
        ("CA-QC", "America/Blanc-Sablon"),
        ("CA-YT", "America/Whitehorse"),
        ("ES-CE", "Africa/Ceuta"),
        ("US-AK", "America/Metlakatla"),
    ],
)
def test_what_is_fit_for_a_region_is_fit_in_its_far_corners(region: str, zone: str) -> None:
    contact = load_rules().contact
    country = region[:2]
    hours, known = _hours(country, region, contact), _zones(None, country, region, contact)
    assert all(_awake(moment, [ZoneInfo(zone)], hours) for moment in WEEKS if _awake(moment, known, hours))


@pytest.mark.parametrize("hours", [(8.33, 20.99), (8.2, 16.1), (16.1, 20.99), (0.01, 23.99)])
def test_hours_that_are_no_whole_minute_open_at_the_next(hours: tuple[float, float]) -> None:
    shipped = load_rules()
    daily = QuietHours((hours,), (hours,), (hours,))
    rules = replace(shipped, contact=replace(shipped.contact, countries={**shipped.contact.countries, "GB": daily}))
    recipient = Recipient(SMS, time_zone="Europe/London", region="GB")
    first, last = (Fraction(str(hour)) for hour in hours)
    midnight = dt.datetime(2026, 6, 3, tzinfo=ZoneInfo("Europe/London"))
    minutes = [midnight + dt.timedelta(minutes=each) for each in range(2 * 24 * 60)]
    fit = [each for each in minutes if first <= each.hour + Fraction(each.minute, 60) < last]
    for now in minutes[: 24 * 60 : 7]:
        permission = may_contact(recipient, "sms", now, rules)
        assert permission.earliest == next(each for each in fit if each >= now)
        assert permission.allowed is (now in fit)
