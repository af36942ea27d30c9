"""What a campaign changed, from a ledger to the answer: against sums by hand, on both databases."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import simulated_logs
from holdout_ledgers import DAYS, NAMES, PILOT, begin, ended, lives, report
from ledger_rows import CONTACT_COST, OFFER_COST, OFFERS, FrozenClock, campaign, decision, record

from retentionjax.env import EnvParams
from retentionjax.evaluation.lift import ENOUGH
from retentionjax.evaluation.report import trust
from retentionjax.evaluation.report.content import FigureTable, Notice, Pictures
from serving import lift_command
from serving.ledger import Ledger
from serving.ledger.records import MadeContact
from serving.ledger.types import DAY, MICROS, Outcome
from serving.lift import measuring
from serving.lift.answer import LiftOut, look, sentences


def seen(ledger: Ledger, params: EnvParams | None = None) -> LiftOut:
    with ledger.read() as reader:
        found = reader.campaign("proof")
        assert found is not None
        return look(reader, found, params, None if params is None else dict.fromkeys(OFFERS))


def test_a_campaign_that_keeps_customers_is_seen_to_by_what_the_ledger_holds(
    ledger: Ledger, clock: FrozenClock
) -> None:
    arms = begin(ledger)
    gone = lives(arms, {"policy": 0.008, "holdout": 0.05})
    ended(ledger, clock, gone)
    found = seen(ledger)
    sides = {side: [name for name, (arm, _) in arms.items() if arm == side] for side in ("policy", "holdout")}
    left = {side: sum(name in gone for name in names) for side, names in sides.items()}
    assert found.customers is not None
    assert (found.customers.campaign, found.customers.held_out) == tuple(len(names) for names in sides.values())
    assert found.left is not None
    assert (found.left.campaign, found.left.held_out) == tuple(left.values())
    assert found.kept is not None
    shares = {side: left[side] / len(sides[side]) for side in sides}
    assert found.kept.mean == pytest.approx(shares["holdout"] - shares["policy"], abs=0.01)
    assert found.is_measured
    assert found.answer.startswith("Without the campaign about")
    assert found.as_of is not None
    assert [week.day for week in found.weeks] == [7, 14, 21, 28, 35, 40]
    assert found.drawn is not None
    assert found.drawn.is_sound


def test_a_lift_that_nobody_waits_for_any_more_ends_at_its_next_step(ledger: Ledger, clock: FrozenClock) -> None:
    begin(ledger, holdout=0.2, pilot=PILOT)
    ended(ledger, clock, {})
    asked: list[bool] = []
    with ledger.read() as reader:
        found = reader.campaign("proof")
        assert found is not None
        steps = len(measuring.of_pilot(found, reader.campaign_record("proof"))) + 1
        look(reader, found, check=lambda: asked.append(True))
        with pytest.raises(TimeoutError):
            look(reader, found, check=late)
    assert len(asked) == steps > 1


def late() -> None:
    raise TimeoutError


def test_dollars_are_charges_less_contacts_and_accepted_offers(ledger: Ledger, clock: FrozenClock) -> None:
    arms = begin(ledger)
    asked = [name for name, (arm, _) in arms.items() if arm == "policy"][:10]
    clock.to_day(1)
    made = record(ledger, *(decision(name, campaign_id="proof", now=clock.now) for name in asked))
    with ledger.transaction() as tx:
        tx.outcome([Outcome(each, "accepted", clock.now) for each in made[:4]])
    ended(ledger, clock, {})
    found = seen(ledger)
    count = sum(arm == "policy" for arm, _ in arms.values())
    spent = (10 * CONTACT_COST + 4 * OFFER_COST) / MICROS / count
    assert found.spend is not None
    assert found.spend.mean == pytest.approx(spent, rel=0.05)
    assert found.dollars is not None
    assert found.dollars.mean == pytest.approx(-spent, rel=0.05)  # nobody left: it brought nothing
    assert found.answer.startswith("It is too early")
    assert "20 on each side are needed" in found.answer
    assert not found.is_measured


def test_reported_revenue_replaces_charges_and_its_discounts_are_not_taken_off_twice(
    ledger: Ledger, clock: FrozenClock
) -> None:
    arms = begin(ledger)
    policy = [name for name, (arm, _) in arms.items() if arm == "policy"]
    clock.to_day(1)
    (made,) = record(ledger, decision(policy[0], campaign_id="proof", now=clock.now))
    with ledger.transaction() as tx:
        tx.outcome([Outcome(made, "accepted", clock.now)])
    ended(ledger, clock, {})
    report(ledger, clock, *((name, "revenue", 20.0) for name in policy), amount=10 * MICROS)
    report(ledger, clock, *((name, "revenue", 20.0) for name in arms.keys() - set(policy)), amount=3 * MICROS)
    found = seen(ledger)
    assert found.revenue is not None
    assert found.revenue.mean == pytest.approx(7, rel=0.05)
    assert found.spend is not None
    assert found.spend.mean == pytest.approx(CONTACT_COST / MICROS / len(policy), rel=0.05)
    assert any(f"reported to have paid, {len(arms)} of {len(arms)}" in each for each in found.rests_on)


@pytest.mark.parametrize("share", [0.0, 0.004, 0.8])
@pytest.mark.parametrize("sides", [{"policy"}, {"policy", "holdout"}])
def test_a_few_payments_do_not_make_the_others_pay_nothing(
    ledger: Ledger, clock: FrozenClock, share: float, sides: set[str]
) -> None:
    arms = begin(ledger)
    ended(ledger, clock, lives(arms, {"policy": 0.008, "holdout": 0.05}))
    before = seen(ledger)
    names = [name for name, (arm, _) in arms.items() if arm in sides]
    told = names[: math.ceil(share * len(names))] if len(sides) == 2 else names if share else []
    report(ledger, clock, *((name, "revenue", 20.0) for name in told), amount=65 * MICROS)
    found = seen(ledger)
    assert (found.revenue, found.dollars) == (before.revenue, before.dollars)
    assert before.dollars is not None
    assert before.dollars.mean > 0
    said = f"Payments are reported for {len(told)} of {len(arms)} customers" if told else "Nobody reported revenue"
    assert any(each.startswith(said) for each in found.rests_on)


def test_who_is_not_heard_of_is_left_out_and_counted_and_one_sided_silence_is_called_broken(
    ledger: Ledger, clock: FrozenClock
) -> None:
    arms = begin(ledger)
    held = [name for name, (arm, _) in arms.items() if arm == "holdout"]
    ended(ledger, clock, {}, silent=frozenset(held[: len(held) // 2]))
    found = seen(ledger)
    assert found.unknown is not None
    assert (found.unknown.campaign, found.unknown.held_out) == (0, len(held) // 2)
    assert found.heard_of is not None
    assert not found.heard_of.is_sound
    assert found.drawn is not None
    assert found.drawn.is_sound
    assert any(each.startswith("BROKEN: of the customers reported") for each in found.rests_on)


def test_nothing_is_said_where_nobody_was_heard_of_or_held_out(ledger: Ledger, clock: FrozenClock) -> None:
    begin(ledger)
    clock.to_day(DAYS)
    found = seen(ledger)
    assert found.answer.startswith("Nobody can say yet")
    assert "no customer has been reported" in found.answer
    assert found.kept is None
    with ledger.transaction() as tx:
        tx.put_campaign(replace(campaign(), campaign_id="proof", holdout=0.0))
    with ledger.read() as reader:
        other = reader.campaign("spring")
        assert other is not None
        assert "holds out nobody" in look(reader, other).answer
        later = look(reader, replace(other, holdout=0.05))
    assert "the hold-out of 5.0% has no customers yet" in later.answer


def test_who_can_never_tell_is_not_told_to_wait(ledger: Ledger, clock: FrozenClock) -> None:
    """A side with fewer customers, all told, than departures are needed; and a pace that outlasts the campaign."""
    few = [name for name, (arm, _) in begin(ledger, holdout=0.02).items() if arm == "holdout"]
    assert 0 < len(few) < ENOUGH
    with ledger.transaction() as tx:
        tx.put_campaign(replace(campaign(10**6 * MICROS), campaign_id="proof", holdout=0.02, customers_expected=600))
    ended(ledger, clock, dict.fromkeys([*few[:3], *NAMES[:30]], 9.5))
    found = seen(ledger)
    assert found.answer.startswith("This campaign can never tell")
    assert found.needed is not None
    assert found.needed.days is None
    with ledger.transaction() as tx:  # of so many it would hold out enough, in time that it does not have
        tx.put_campaign(replace(campaign(10**6 * MICROS), campaign_id="proof", holdout=0.02, customers_expected=10_000))
    found = seen(ledger)
    assert "more days at this pace, and the campaign ends in 50" in found.answer


def test_a_guess_is_not_called_measured(ledger: Ledger, clock: FrozenClock) -> None:
    arms = begin(ledger)
    ended(ledger, clock, {name: 5.0 for name, (arm, _) in arms.items() if arm == "holdout"})
    found = seen(ledger)
    said = "\n".join(sentences(found))
    assert not found.is_measured
    assert "Measured" not in said
    assert "Not measured yet, estimate so far: " in said
    assert any("adjusted for risk and charge" in each for each in found.rests_on)


def test_a_pilots_customers_are_compared_among_themselves_and_with_nobody_else(
    ledger: Ledger, clock: FrozenClock
) -> None:
    arms = begin(ledger, holdout=0.2, pilot=PILOT)
    ended(ledger, clock, lives(arms, {"policy": 0.02, "holdout": 0.02, "none": 0.06, "ten": 0.006}))
    found = seen(ledger)
    assert found.customers is not None
    assert found.customers.held_out == sum(arm == "holdout" for arm, _ in arms.values())
    with ledger.read() as reader:
        view = reader.campaign("proof")
        assert view is not None
        study = measuring.against_holdout(view, reader.campaign_record("proof"))
    assert np.allclose(study.customers.held_share, 0.2 / 0.6)
    (ten,) = found.pilot
    assert (ten.arm, ten.customers.held_out) == ("ten", sum(pilot == "none" for _, pilot in arms.values()))
    assert ten.kept.low is not None
    assert ten.kept.low > 0.2


@pytest.mark.parametrize("holdout", [0.0, 0.05, 0.1, 0.25, 0.4])
def test_a_pilot_of_all_whom_the_hold_out_leaves_is_compared_and_the_policy_with_nobody(
    ledger: Ledger, clock: FrozenClock, holdout: float
) -> None:
    """The shares add up to 1, or to a little more or less, as numbers do."""
    arms = begin(ledger, holdout=holdout, pilot=replace(PILOT, share=1 - holdout))
    assert {arm for arm, _ in arms.values()} == ({"pilot", "holdout"} if holdout else {"pilot"})
    ended(ledger, clock, lives(arms, {"holdout": 0.02, "none": 0.06, "ten": 0.006}))
    found = seen(ledger)
    assert found.kept is None
    assert "the policy has no customers to compare" in found.answer
    (ten,) = found.pilot
    assert ten.kept.low is not None
    assert ten.kept.low > 0.2


def test_what_is_believed_is_the_hazard_of_the_days_that_effects_act(ledger: Ledger, clock: FrozenClock) -> None:
    arms = begin(ledger)
    policy = [name for name, (arm, _) in arms.items() if arm == "policy"]
    for day in (0, 10):
        clock.to_day(day)
        rows = [decision(name, campaign_id="proof", now=clock.now, offer="ten") for name in policy[:3]]
        made = record(ledger, *rows)
        if day == 0:
            with ledger.transaction() as tx:
                tx.outcome([Outcome(made[0], "accepted", clock.now)])
    ended(ledger, clock, {})
    params = EnvParams(contact_effect=-0.1)
    hazard = -np.log(1 - 0.31) / 30
    with ledger.read() as reader:
        view = reader.campaign("proof")
        assert view is not None
        study = measuring.against_holdout(view, reader.campaign_record("proof"))
    believed = measuring.believed_departures(study, params, dict.fromkeys(OFFERS))
    by_hand = {
        "hazard_multiplier.ten": -0.4 * (np.exp(-hazard * 10) - np.exp(-hazard * 40)),  # days 0 to 30 of 40
        "contact_effect": 3 * np.expm1(-0.1) * (1 - np.exp(-hazard * 40)),  # 0 to 10, and 10 to 40
        "fatigue_hazard": 3 * np.expm1(0.15) * (1 - np.exp(-hazard * 30)),
    }
    assert believed == pytest.approx({name: value / len(policy) for name, value in by_hand.items()}, rel=1e-5)
    assert seen(ledger, params).believed_kept == pytest.approx(-sum(by_hand.values()) / len(policy), rel=1e-5)


def test_the_command_answers_first_and_writes_json_and_a_page(
    ledger: Ledger, clock: FrozenClock, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = begin(ledger)
    ended(ledger, clock, lives(arms, {"policy": 0.008, "holdout": 0.05}))
    page = tmp_path / "lift.html"
    assert lift_command.main(["--database", database, "--campaign", "proof", "--html", str(page)]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("proof: Without the campaign about")
    text = page.read_text()
    assert "of every 100" in text
    assert "<polygon" in text
    for letter in "κλρσ":
        assert letter not in text
    assert lift_command.main(["--database", database, "--json"]) == 0
    lines = capsys.readouterr().out
    plain = [json.loads(line) for line in lines.splitlines()]
    assert {each["campaign_id"] for each in plain} == {"proof", "spring"}
    assert msgspec.convert(plain[0], LiftOut)
    assert "\n".join(sentences(seen(ledger))).count("By day") == 6
    (tmp_path / "lift.jsonl").write_text(lines)
    answer, figures, pictures, *_ = trust.measured(trust.read(tmp_path / "lift.jsonl")).blocks
    assert isinstance(answer, Notice)
    assert answer.text == seen(ledger).answer
    assert isinstance(figures, FigureTable)
    kept = seen(ledger).kept
    assert kept is not None
    assert figures.rows[1][1].startswith(f"{100 * kept.mean:.2f} [")
    assert isinstance(pictures, Pictures)


def test_departures_believed_are_those_of_the_environment() -> None:
    """Departures of 40,000 simulated customers, offered 20 % off or not."""
    days = 30
    params = simulated_logs.company(40_000, seed=3)
    log = simulated_logs.simulate(params, {"none": 0.5, "twenty": 0.5}, days=days, every=1000, seed=5)
    offered, gone = log.arm >= 0, log.left_day >= 0
    measured = gone[offered].mean() - gone[~offered].mean()
    error = np.sqrt(sum(gone[side].var() / side.sum() for side in (offered, ~offered)))
    names = [str(number) for number in range(len(gone))]
    left = np.where(gone, (log.left_day + 0.5) * DAY, np.inf)
    contacts = tuple(
        MadeContact(names[row], "twenty", 0.0, 0.0 if log.accepted[row] else None, 0, 0, 30, log.churn_probability[row])
        for row in np.flatnonzero(offered)
    )
    study: Any = SimpleNamespace(
        rows=tuple(SimpleNamespace(customer_id=name, churned_at=at) for name, at in zip(names, left, strict=True)),
        customers=SimpleNamespace(held=~offered, known=lambda _: np.ones((len(gone), 1), bool)),
        contacts=contacts,
        known_until=days * DAY,
        known_days=days,
    )
    believed = measuring.believed_departures(study, params, dict.fromkeys(simulated_logs.OFFERS))
    assert list(believed) == ["hazard_multiplier.twenty"]
    assert abs(believed["hazard_multiplier.twenty"] - measured) < 3 * error < 0.3 * abs(measured)
