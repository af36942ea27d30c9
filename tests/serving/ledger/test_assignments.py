"""A campaign draws each customer's arm once, by a hash that anybody can compute again, and holds to it."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_rows import START, FrozenClock, campaign, decision, record
from scipy import stats

from retentionjax.decide.draws import Arm, Pilot, arm, place
from retentionjax.errors import ConfigError
from serving.ledger import DesignFixed, HoldoutBroken, Ledger
from serving.ledger.types import DAY

PILOT = Pilot(share=0.5, arms=(("none", 0.2), ("ten", 0.5), ("five", 0.3)), ends_at=START + 30 * DAY, budget_share=0.4)
COLUMNS = "SELECT customer_id, arm, pilot_arm, propensity, assigned_at, acted_at FROM assignments ORDER BY customer_id"
NAMES = [f"c{number}" for number in range(60)]


def put(ledger: Ledger, **changed: Any) -> None:
    with ledger.transaction() as tx:
        tx.put_campaign(replace(campaign(), campaign_id="proof", **changed))


def drawn(ledger: Ledger, names: list[str], now: float = START) -> dict[str, Arm]:
    with ledger.read() as reader:
        return {view.customer_id: view.assignment.arm for view in reader.customers(names, ["proof"] * len(names), now)}


def decide(ledger: Ledger, names: list[str], now: float = START, **fields: Any) -> None:
    waits = {"contact": False, "campaign_id": "proof", "now": now} | fields
    record(ledger, *(decision(name, **waits) for name in names))


def audit(ledger: Ledger) -> list[str]:
    with ledger.read() as reader:
        return reader.audit()


def by_hand(salt: str, customer: str) -> float:
    """The number as an auditor would reckon it, from the description."""
    return int(hashlib.sha256(f"{salt}\0{customer}".encode()).hexdigest()[:14], 16) / 2**56


@given(st.text(), st.text())
def test_the_number_of_a_customer_is_the_hash_that_is_described(salt: str, customer: str) -> None:
    if not any("\ud800" <= each <= "\udfff" for each in salt + customer):
        assert place(salt, customer) == by_hand(salt, customer)
    assert 0 <= place(salt, customer) < 1


def test_numbers_of_two_salts_are_uniform_and_independent() -> None:
    cells = 10
    numbers = [(place("spring", f"c{each}"), place("autumn", f"c{each}")) for each in range(12_000)]
    counts = [0] * cells**2
    for first, second in numbers:
        counts[int(first * cells) * cells + int(second * cells)] += 1
    assert stats.chisquare(counts).pvalue > 0.001


@given(st.floats(0, 0.5), st.floats(0.01, 0.5), st.integers(0, 10**4))
def test_arms_cover_the_line_with_the_lengths_of_their_propensities(holdout: float, share: float, step: int) -> None:
    pilot = replace(PILOT, share=share)
    at = step / (10**4 + 1)
    ends = [holdout, *(holdout + share * each for each in (0.2, 0.7, 1.0)), 1.0]
    arms = [("holdout", None), ("pilot", "none"), ("pilot", "ten"), ("pilot", "five"), ("policy", None)]
    place_of = next(place_of for place_of, end in enumerate(ends) if at < end)
    found = arm(at, holdout, pilot)
    assert found[:2] == arms[place_of] or min(abs(at - end) for end in ends) < 1e-9
    lengths = [holdout, 0.2 * share, 0.5 * share, 0.3 * share, 1 - holdout - share]
    assert found.propensity == pytest.approx(lengths[arms.index((found.group, found.pilot_arm))])


def test_an_arm_is_recorded_with_the_first_decision_and_stays(ledger: Ledger, clock: FrozenClock) -> None:
    put(ledger, holdout=0.3, pilot=PILOT, salt="s")
    before = drawn(ledger, NAMES)
    assert {each.group for each in before.values()} == {"holdout", "pilot", "policy"}
    assert before == {name: arm(by_hand("s", name), 0.3, PILOT) for name in NAMES}
    decide(ledger, NAMES[:30])
    put(ledger, holdout=0.0, pilot=replace(PILOT, ends_at=START))
    decide(ledger, NAMES)
    after = drawn(ledger, NAMES)
    assert {name: after[name] for name in NAMES[:30]} == {name: before[name] for name in NAMES[:30]}
    assert {each.group for name, each in after.items() if name not in NAMES[:30]} == {"policy"}
    with ledger.read() as reader:
        rows = reader.rows(COLUMNS)
    assert len(rows) == len(NAMES)
    assert {row[4] for row in rows} == {START}
    assert audit(ledger) == []


def test_a_shadow_and_a_look_record_no_arm(ledger: Ledger) -> None:
    put(ledger, holdout=0.3)
    drawn(ledger, NAMES)
    decide(ledger, NAMES, shadow=True)
    with ledger.read() as reader:
        assert reader.rows(COLUMNS) == []


def test_after_a_pilot_its_share_is_the_policys(ledger: Ledger) -> None:
    put(ledger, holdout=0.1, pilot=PILOT, salt="s")
    later = drawn(ledger, NAMES, now=PILOT.ends_at)
    assert {each.group for each in later.values()} == {"holdout", "policy"}
    assert {each.propensity for each in later.values()} == {0.1, 0.9}


def test_the_ledger_records_no_contact_to_whom_the_campaign_holds_out(ledger: Ledger) -> None:
    put(ledger, holdout=0.5)
    held_out = [name for name, each in drawn(ledger, NAMES).items() if each.group == "holdout"]
    with pytest.raises(HoldoutBroken, match="holds the customer out"):
        decide(ledger, held_out[:1], contact=True)
    decide(ledger, held_out[1:2])
    with pytest.raises(HoldoutBroken):
        decide(ledger, held_out[1:2], contact=True)
    decide(ledger, held_out[1:2], contact=True, shadow=True)
    assert audit(ledger) == []


def test_the_share_of_a_new_campaign_is_five_percent_and_its_salt_its_own(ledger: Ledger) -> None:
    for name in ("one", "two"):
        with ledger.transaction() as tx:
            tx.put_campaign(replace(campaign(), campaign_id=name, holdout=None))
    with ledger.read() as reader:
        one, two = (reader.campaigns(["one", "two"])[name] for name in ("one", "two"))
    assert one.holdout == two.holdout == 0.05
    assert one.pilot is None
    assert len({one.salt, two.salt, ""}) == 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"holdout": -0.1}, "holdout is -0.1; allowed: 0 to 0.9"),
        ({"holdout": 0.6, "pilot": PILOT}, "pilot.share is 0.5; allowed: above 0 to 0.4"),
        ({"pilot": replace(PILOT, budget_share=1.1)}, "budget_share is 1.1; allowed: 0 to 1"),
        ({"pilot": replace(PILOT, arms=(("ten", 1.0),))}, "arms is ten; allowed: two or more"),
        ({"pilot": replace(PILOT, arms=(("ten", 0.5), ("ten", 0.5)))}, "each once"),
        (
            {"pilot": replace(PILOT, arms=(("ten", 0.5), ("none", 0.4)))},
            "allowed: shares that add up to 1",
        ),
        ({"pilot": replace(PILOT, arms=(("ten", 1.5), ("none", -0.5)))}, "arms.ten is 1.5"),
    ],
)
def test_shares_out_of_range_are_refused(ledger: Ledger, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        put(ledger, **({"holdout": 0.0} | changed))


def test_what_customers_were_drawn_by_stays(ledger: Ledger, clock: FrozenClock) -> None:
    put(ledger, salt="s")
    put(ledger, salt="s")
    put(ledger, pilot=PILOT)
    with pytest.raises(DesignFixed, match="salt; allowed: s"):
        put(ledger, salt="t")
    with pytest.raises(DesignFixed, match=r"pilot.arms; allowed: as they are"):
        put(ledger, pilot=replace(PILOT, arms=(("none", 0.5), ("ten", 0.5))))
    clock.now = PILOT.ends_at - DAY
    ended = replace(PILOT, ends_at=clock.now)
    put(ledger, pilot=ended)
    put(ledger)
    put(ledger, pilot=ended, holdout=0.1)
    with pytest.raises(DesignFixed, match="it is over"):
        put(ledger, pilot=PILOT)


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        ("UPDATE assignments SET arm = 'holdout' WHERE customer_id = 'ann'", "contact to a customer whom its campaign"),
        ("UPDATE assignments SET arm = 'holdout', propensity = 0.5 WHERE customer_id = 'ben'", "drawn is policy"),
        ("UPDATE assignments SET propensity = 0.25 WHERE customer_id = 'ben'", "with probability 0.25; drawn is"),
        ("UPDATE assignments SET customer_id = 'zoe' WHERE customer_id = 'ben'", "without the arm"),
        ("DELETE FROM assignments WHERE customer_id = 'ben'", "without the arm that she was drawn to"),
        ("UPDATE contacts SET pilot = 1", "not of the arm that the customer was drawn to"),
        ("UPDATE campaigns SET salt = 'another'", "drawn is"),
    ],
)
def test_the_audit_finds_what_breaks_the_draw(ledger: Ledger, planted: str, fault: str) -> None:
    put(ledger, holdout=0.4, salt="aa")
    names = {each: arm(by_hand("aa", each), 0.4, None).group for each in ("ann", "ben", *NAMES)}
    assert names["ann"] == names["ben"] == "policy"
    decide(ledger, ["ann"], contact=True)
    decide(ledger, ["ben", *NAMES])
    assert audit(ledger) == []
    with ledger.transaction() as tx:
        assert tx.run(planted)
    assert any(fault in line for line in audit(ledger)), audit(ledger)


def test_who_is_erased_stays_counted_and_is_not_to_be_found(ledger: Ledger) -> None:
    put(ledger, holdout=0.4)
    decide(ledger, NAMES)
    with ledger.transaction() as tx:
        tx.erase("c7")
    with ledger.read() as reader:
        rows = reader.rows(COLUMNS)
    assert len(rows) == len(NAMES)
    assert "c7" not in {row[0] for row in rows}
    assert audit(ledger) == []
