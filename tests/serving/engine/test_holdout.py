"""Nobody whom a campaign holds out is contacted by it, by no path; a pilot's customer gets the arm she was drawn to."""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import engines
import msgspec
import numpy as np
import pytest
from engines import ask, running

from retentionjax.decide.draws import Pilot, arm, place
from serving.engine import Engine, drafts
from serving.engine.contract import Decision
from serving.ledger import Ledger
from serving.ledger.types import DAY, MICROS, Campaign, Outcome

SALT = "s"
NAMES = [f"C-{number}" for number in range(64)]
ARMS = (("none", 0.25), ("hello", 0.25), ("ten", 0.25), ("twenty", 0.25))


def put(ledger: Ledger, **changed: Any) -> None:
    with ledger.transaction() as tx:
        found = tx.campaigns(["default"])["default"]
        plain = (found.budget_micros, found.starts_at, found.horizon_days, found.customers_expected)
        tx.put_campaign(Campaign("default", *plain, **({"holdout": found.holdout} | changed)))


def fresh(ledger: Ledger, **changed: Any) -> None:
    """The campaign `default`, of the salt that the tests know."""
    with ledger.transaction() as tx:
        tx.run("UPDATE campaigns SET salt = ?", SALT)
    put(ledger, **changed)


def pilot(clock: Callable[[], float], **changed: Any) -> Pilot:
    return dataclasses.replace(Pilot(1.0, ARMS, clock() + 20 * DAY, 1.0), **changed)


async def decide(engine: Engine, names: Sequence[str] = NAMES, **fields: Any) -> dict[str, Decision]:
    given = await engine.decide_many([ask(name, **fields) for name in names])
    failed = [each for each in given if isinstance(each, Exception)]
    assert not failed, failed[0]
    read = [msgspec.json.decode(each.body, type=Decision) for each in given if not isinstance(each, Exception)]
    return dict(zip(names, read, strict=True))


def right(ledger: Ledger, held_out: set[str] | None = None) -> None:
    """The books are, and nobody held out has a contact."""
    with ledger.read() as reader:
        assert reader.audit(cooldown_days=7) == []
        contacts = reader.rows("SELECT customer_id FROM contacts")
        drawn = reader.rows("SELECT customer_id FROM assignments WHERE arm = 'holdout'")
    assert not {row[0] for row in contacts} & {row[0] for row in drawn}
    assert held_out is None or {row[0] for row in drawn} == held_out


def test_by_no_path_is_a_held_out_customer_contacted(folder: Path, other: Path, tmp_path: Path) -> None:
    held_out = {name for name in NAMES if place(SALT, name) < 0.4}

    async def main() -> None:
        clock = engines.Clock()
        async with running(folder, tmp_path, clock=clock, exploration=1.0, dollars=1e5) as (engine, ledger):
            fresh(ledger, holdout=0.4)
            for made in (await decide(engine, dry_run=True), await decide(engine)):
                assert {name for name, each in made.items() if each.reason == "holdout"} == held_out
                assert {each.decision for each in made.values() if each.reason == "holdout"} == {"wait"}
                assert {each.reason for each in made.values() if each.decision == "contact"} == {"policy"}
                some = made[min(held_out)]
                assert some.propensity == 1
                assert {each.rule: each.actions for each in some.rules}["holdout"] == tuple(range(1, 13))
            await engine.activate(str(other), "canary", 0.5)
            await engine.activate(str(other), "shadow")
            with ledger.transaction() as tx:
                tx.set_kill_switch("baseline")
            await decide(engine, [f"C-{number}" for number in range(64)])
            put(ledger, holdout=0.0)  # who was drawn stays drawn
            for day in range(1, 20, 4):
                clock.at = engines.MIDDAY + day * DAY
                made = await decide(engine)
                assert {name for name, each in made.items() if each.reason == "holdout"} == held_out
            keyed = [ask(min(held_out), idempotency=("key", "again", "digest")) for _ in range(2)]
            answers = [await engine.decide(each) for each in keyed]
            assert answers[1].replayed
            assert msgspec.json.decode(answers[1].body, type=Decision).reason == "holdout"
            right(ledger, held_out)

    asyncio.run(main())


def test_where_the_models_fail_the_arm_is_drawn_all_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            fresh(ledger, holdout=0.4)

            def fails(*_: Any) -> Any:
                raise RuntimeError("broken")

            with monkeypatch.context() as patch:
                patch.setattr(drafts, "_rows", fails)
                made = await decide(engine, NAMES[:8])
            assert {each.degradations for each in made.values()} == {("scoring_failed",)}
            put(ledger, holdout=0.0)
            again = await decide(engine, NAMES[:8])
            assert {name: each.reason for name, each in made.items()} == {n: e.reason for n, e in again.items()}
            right(ledger, {name for name in NAMES[:8] if place(SALT, name) < 0.4})

    asyncio.run(main())


def test_64_at_once_hold_out_the_same_customers(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            fresh(ledger, holdout=0.5)
            asked = [ask(f"C-{number % 8}") for number in range(512)]
            answers = await asyncio.gather(*(engine.decide(each) for each in asked))
            made = [msgspec.json.decode(each.body, type=Decision) for each in answers]
            assert {each.customer_id for each in made if each.reason == "holdout"} == {
                name for name in NAMES[:8] if place(SALT, name) < 0.5
            }
            right(ledger)

    asyncio.run(main())


def test_two_services_on_one_ledger_hold_out_the_same_customers(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            fresh(ledger, holdout=0.5)
            second = engines.engine(engines.settings(folder, tmp_path), engines.Metrics(), clock=engines.Clock())
            await second.start()
            try:
                one, two = await asyncio.gather(decide(engine), decide(second))
            finally:
                await second.drain()
            assert {name: each.reason for name, each in one.items()} == {n: e.reason for n, e in two.items()}
            right(ledger, {name for name in NAMES if place(SALT, name) < 0.5})

    asyncio.run(main())


def test_a_pilots_customer_gets_her_arm_once_and_then_no_other_contact_until_it_ends(
    folder: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        clock = engines.Clock()
        async with running(folder, tmp_path, clock=clock, dollars=1e5) as (engine, ledger):
            trial = pilot(clock, share=0.7)
            fresh(ledger, holdout=0.1, pilot=trial)
            drawn = {name: arm(place(SALT, name), 0.1, trial) for name in NAMES}
            dry, made = await decide(engine, dry_run=True), await decide(engine)
            for name, each in made.items():
                assert each.reason == drawn[name].group == dry[name].reason
                if each.reason == "pilot":
                    offered = "none" if each.offer is None else each.offer.name
                    assert offered == drawn[name].pilot_arm
                    assert each.propensity == pytest.approx(0.25)
                    assert each.delay_days in (None, 0)
                    with ledger.read() as reader:
                        recorded = reader.decision(each.decision_id)
                    assert recorded is not None
                    chances = np.frombuffer(recorded.propensities or b"", "<f4")
                    assert chances[each.action] == pytest.approx(0.25)
                    assert np.count_nonzero(chances) == 4
                    legal = np.unpackbits(np.frombuffer(recorded.mask or b"", np.uint8), bitorder="little")
                    assert legal[np.flatnonzero(chances)].all()
            assert len({each.pilot_arm for each in drawn.values()}) == 5
            of_pilot = {name for name, each in drawn.items() if each.group == "pilot"}
            for day in (8, 16):
                clock.at = engines.MIDDAY + day * DAY
                later = await decide(engine)
                assert {later[name].decision for name in of_pilot} == {"wait"}
                assert {later[name].reason for name in of_pilot} == {"pilot"}
            clock.at = engines.MIDDAY + 21 * DAY
            after = await decide(engine)
            assert {after[name].reason for name in of_pilot} == {"policy"}
            assert "contact" in {after[name].decision for name in of_pilot}
            right(ledger)

    asyncio.run(main())


def test_who_may_not_be_contacted_waits_for_her_arm_whatever_it_is(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path, dollars=1e5) as (engine, ledger):
            fresh(ledger, holdout=0.0, pilot=pilot(engines.Clock()))
            names = [f"D-{number}" for number in range(24)]
            refused = await decide(engine, names)
            assert {(each.reason, each.decision) for each in refused.values()} == {("pilot", "wait")}
            assert {"consent", "pilot"} <= {each.rule for each in refused["D-0"].rules}
            with ledger.read() as reader:
                assert reader.assignments("default").acted == 0
            with ledger.transaction() as tx:
                for name in names:
                    tx.set_consent(name, "sms", "granted", source="test")
            made = await decide(engine, names, channel="sms")
            arms = {name: arm(place(SALT, name), 0.0, pilot(engines.Clock())).pilot_arm for name in names}
            assert {n: "none" if e.offer is None else e.offer.name for n, e in made.items()} == arms
            with ledger.read() as reader:
                assert reader.assignments("default").acted == 24
            right(ledger)

    asyncio.run(main())


def test_a_pilot_reserves_no_more_than_its_share_of_the_budget(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path, dollars=1000.0) as (engine, ledger):
            trial = pilot(engines.Clock(), budget_share=0.05)
            fresh(ledger, holdout=0.0, pilot=trial)
            made = await decide(engine)
            spent = sum(each.reserved_micros for each in made.values())
            with ledger.read() as reader:
                assert reader.pilot_micros("default") == spent
                acted = reader.rows("SELECT customer_id FROM assignments WHERE acted_at IS NOT NULL")
            assert 30 * MICROS < spent <= 50 * MICROS
            served = {row[0] for row in acted}
            assert 4 < len(served) < 60
            left = {arm(place(SALT, name), 0.0, trial).pilot_arm for name in NAMES if name not in served}
            assert left == {name for name, _ in ARMS}, "when the money is gone nobody is tried, in no arm"
            contacts = [each for each in made.values() if each.decision == "contact"]
            with ledger.transaction() as tx:
                tx.outcome([Outcome(each.decision_id, "declined", tx.now) for each in contacts])
            with ledger.read() as reader:
                assert reader.pilot_micros("default") < spent
            more = await decide(engine, [name for name in NAMES if name not in served])
            assert any(each.decision == "contact" for each in more.values())
            right(ledger)

    asyncio.run(main())


def test_the_kill_switch_stops_a_pilot(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path, dollars=1e5) as (engine, ledger):
            fresh(ledger, holdout=0.0, pilot=pilot(engines.Clock()))
            for switch in ("never", "baseline"):
                with ledger.transaction() as tx:
                    tx.set_kill_switch(switch)
                assert {each.decision for each in (await decide(engine)).values()} == {"wait"}
            with ledger.read() as reader:
                assert reader.assignments("default").acted == 0

    asyncio.run(main())
