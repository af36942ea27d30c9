"""Decisions under concurrency: one contact a customer, no micro-dollar too much, and always the ledger first."""

import asyncio
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import engines
import msgspec
import numpy as np
import pytest
from engines import ask, running

from retentionjax.decide.draws import uniform
from retentionjax.decide.program import sample
from serving.engine import drafts
from serving.engine.contract import (
    CampaignNotRunning,
    DeadlineExceeded,
    Decision,
    Given,
    KeyReused,
    NoCampaign,
    NotRunning,
    Overloaded,
    WrongFacts,
)
from serving.engine.slots import Served
from serving.ledger import Ledger, LedgerUnavailable


def read(given: Given) -> Decision:
    return msgspec.json.decode(given.body, type=Decision)


def audit(ledger: Ledger) -> list[str]:
    with ledger.read() as reader:
        return reader.audit(cooldown_days=7)


def test_a_decision_is_in_the_ledger_as_it_was_answered(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            given = await engine.decide(ask())
            decision = read(given)
            with ledger.read() as reader:
                recorded = reader.decision(given.decision_id)
            assert recorded is not None
            assert recorded.response == given.body
            assert recorded.action == decision.action
            chances = np.frombuffer(recorded.propensities or b"", "<f4")
            assert chances[decision.action] == pytest.approx(decision.propensity)
            assert chances.sum() == pytest.approx(1, abs=1e-6)
            legal = np.unpackbits(np.frombuffer(recorded.mask or b"", np.uint8), count=13, bitorder="little")
            assert (chances[legal == 0] == 0).all()
            offered = None if decision.offer is None else decision.offer.name
            assert recorded.offer == offered
            assert np.frombuffer(recorded.observation or b"", "<f4").shape == (16,)

    asyncio.run(main())


def test_64_at_once_for_one_customer_are_one_contact(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            answers = [read(each) for each in await asyncio.gather(*(engine.decide(ask()) for _ in range(64)))]
            contacts = [each for each in answers if each.decision == "contact"]
            assert len(contacts) == 1
            with ledger.read() as reader:
                held = reader.customer_ledger("C-1")
            assert held is not None
            assert len(held.contacts) == 1
            assert held.decisions == 64
            assert audit(ledger) == []

    asyncio.run(main())


def test_the_last_ten_dollars_are_never_overspent(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path, dollars=10.0) as (engine, ledger):
            asks = [ask(f"C-{number}") for number in range(64)]
            answers = [read(each) for each in await asyncio.gather(*(engine.decide(each) for each in asks))]
            reserved = sum(each.reserved_micros for each in answers)
            with ledger.read() as reader:
                campaign = reader.campaign("default")
            assert campaign is not None
            assert 0 < reserved == campaign.reserved_micros <= 10_000_000
            assert any("campaign_budget" in {rule.rule for rule in each.rules} for each in answers)
            assert audit(ledger) == []

    asyncio.run(main())


def test_the_draw_is_a_function_of_customer_campaign_day_and_propensities(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, _):
            answers = await asyncio.gather(*(engine.decide(ask(f"C-{number}", dry_run=True)) for number in range(40)))
        for given in answers:
            assert given.row is not None
            chances = np.frombuffer(given.row.propensities, "<f4")[None]
            drawn = sample(chances, np.array([uniform(given.row.customer_id, "default", given.row.day)]))
            assert drawn[0] == given.row.action

    asyncio.run(main())


def test_actions_are_as_frequent_as_their_propensities_say(folder: Path, tmp_path: Path) -> None:
    customers = [f"C-{number}" for number in range(1500)]

    async def main() -> list[Given]:
        async with running(folder, tmp_path, exploration=0.2, dollars=1e6, customers=len(customers)) as (engine, _):
            found: list[Given] = []
            for start in range(0, len(customers), 250):
                some = (engine.decide(ask(each, dry_run=True)) for each in customers[start : start + 250])
                found += await asyncio.gather(*some)
            return found

    rows = [each.row for each in asyncio.run(main()) if each.row is not None]
    chances = np.frombuffer(rows[0].propensities, "<f4")  # of all, for they differ in nothing but their names
    assert (chances > 0.2 / 13 - 1e-6).all()
    shares = np.bincount([row.action for row in rows], minlength=13) / len(rows)
    np.testing.assert_allclose(shares, chances, atol=4.5 * np.sqrt(0.25 / len(rows)))


def test_a_dry_run_writes_nothing(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            given = await engine.decide(ask(dry_run=True))
            assert read(given).dry_run
            with ledger.read() as reader:
                assert reader.decision(given.decision_id) is None
                campaign = reader.campaign("default")
            assert campaign is not None
            assert campaign.reserved_micros == 0

    asyncio.run(main())


def test_a_repeated_key_gets_the_first_answer_and_another_request_is_refused(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            keyed = ask(idempotency=("key", "K-1", "digest"))
            first, *others = await asyncio.gather(*(engine.decide(keyed) for _ in range(8)))
            assert [each.body for each in others] == [first.body] * 7
            assert [each.replayed for each in others] == [True] * 7
            with pytest.raises(KeyReused):
                await engine.decide(ask(idempotency=("key", "K-1", "another")))
            assert not (await engine.decide(ask("C-2", idempotency=("other key", "K-1", "another")))).replayed
            with ledger.read() as reader:
                held = reader.customer_ledger("C-1")
            assert held is not None
            assert held.decisions == 1

    asyncio.run(main())


def test_refusals_write_nothing(folder: Path, tmp_path: Path) -> None:
    clock = engines.Clock()

    async def main() -> None:
        async with running(folder, tmp_path, clock=clock, days=1) as (engine, ledger):
            with pytest.raises(WrongFacts) as wrong:
                await engine.decide(ask(facts={**engines.FACTS, "plan": "", "bill": -1, "colour": "red"}))
            assert {each.field for each in wrong.value.faults} == {"plan", "bill", "colour"}
            with pytest.raises(WrongFacts, match="months"):
                await engine.decide(ask(facts={"plan": "basic"}))
            with pytest.raises(WrongFacts, match="customer_id"):
                await engine.decide(ask(facts={**engines.FACTS, "customer_id": "C-2"}))
            with pytest.raises(NoCampaign):
                await engine.decide(ask(campaign_id="nowhere"))
            clock.at += 86_400
            with pytest.raises(CampaignNotRunning, match="over"):
                await engine.decide(ask())
            clock.at -= 2 * 86_400
            with pytest.raises(CampaignNotRunning, match="not begun"):
                await engine.decide(ask())
            with ledger.read() as reader:
                assert reader.customer_ledger("C-2") is None or not reader.customer_ledger("C-2").decisions  # type: ignore[union-attr]

    asyncio.run(main())


def test_a_full_queue_and_a_late_turn_are_refused_and_the_rest_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    draft = drafts.draft

    def slowly(*arguments: Any) -> Any:
        held.wait(5)
        return draft(*arguments)

    monkeypatch.setattr("serving.engine.steps.draft", slowly)

    async def main() -> None:
        async with running(folder, tmp_path, queue_size=10, deadline_ms=300.0) as (engine, ledger):
            first = asyncio.create_task(engine.decide(ask("C-0")))
            await asyncio.sleep(0.05)
            waiting = [asyncio.create_task(engine.decide(ask(f"C-{number}"))) for number in range(1, 13)]
            await asyncio.sleep(0.35)
            held.set()
            found = await asyncio.gather(first, *waiting, return_exceptions=True)
            kinds = Counter(type(each).__name__ for each in found)
            assert kinds == {"Given": 1, "DeadlineExceeded": 9, "Overloaded": 3}
            assert all(each.retry_after > 0 for each in found if isinstance(each, Overloaded))
            assert isinstance(await engine.decide(ask("C-20")), Given)
            with ledger.read() as reader:
                ledgers = [reader.customer_ledger(f"C-{number}") for number in range(1, 13)]
            assert sum(each.decisions for each in ledgers if each is not None) == 0

    asyncio.run(main())
    assert DeadlineExceeded  # named above by its name


def test_a_ledger_that_is_gone_means_no_answer_and_then_it_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, _):
            gone = True
            transaction = Ledger.transaction

            def perhaps(ledger: Ledger) -> Any:
                if gone:
                    raise LedgerUnavailable("gone")
                return transaction(ledger)

            monkeypatch.setattr(Ledger, "transaction", perhaps)
            with pytest.raises(LedgerUnavailable):
                await engine.decide(ask())
            gone = False
            assert isinstance(await engine.decide(ask()), Given)

    asyncio.run(main())


def test_draining_finishes_what_was_begun_and_takes_nothing_new(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, _):
            tasks = [asyncio.create_task(engine.decide(ask(f"C-{number}"))) for number in range(40)]
            await asyncio.sleep(0)
            await engine.drain()
            assert all(isinstance(each, Given) for each in await asyncio.gather(*tasks))
            with pytest.raises(NotRunning):
                await engine.decide(ask())
            assert not engine.ready

    asyncio.run(main())


def test_many_are_answered_each_by_itself(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path, queue_size=130) as (engine, _):
            asks = [ask(f"C-{number % 64}", facts=engines.FACTS if number != 7 else {}) for number in range(300)]
            start = time.monotonic()
            found = await engine.decide_many(asks)
            assert isinstance(found[7], WrongFacts)
            assert all(isinstance(each, Given) for place, each in enumerate(found) if place != 7)
            assert time.monotonic() - start < 20

    asyncio.run(main())


def test_models_that_fail_mean_no_contact_and_are_named(
    folder: Path, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("XLA")

    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            monkeypatch.setattr(served.decider, "decide", broken)
            decision = read(await engine.decide(ask()))
            assert (decision.decision, decision.message, decision.churn) == ("wait", None, None)
            assert decision.degradations == ("scoring_failed",)
            with ledger.read() as reader:
                recorded = reader.decision(decision.decision_id)
            assert recorded is not None
            assert recorded.mask == b"\x01\x00"

    asyncio.run(main())
