"""Canary, shadow and roll-back: who is decided about by which bundle, and what a bad bundle can do (nothing)."""

import asyncio
from pathlib import Path
from typing import Any

import engines
import msgspec
import pytest
from engines import ask, running

from retentionjax import shield
from retentionjax.errors import BundleError, ConfigError
from serving.engine import Engine
from serving.engine.contract import Decision
from serving.engine.slots import Served, share_of
from serving.ledger import Ledger
from serving.ledger.types import BundleSlot, Slots


@pytest.fixture
def bad(other: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose policy fails on whatever it is asked."""
    served = engines.load(str(other), engines.SIZES)

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("made bad on purpose")

    monkeypatch.setattr(served.decider, "decide", broken)
    return other


async def many(engine: Engine, count: int, start: int = 0) -> list[Decision]:
    found = await asyncio.gather(*(engine.decide(ask(f"C-{start + number}")) for number in range(count)))
    return [msgspec.json.decode(each.body, type=Decision) for each in found]


def test_a_canary_decides_about_its_share_by_customer(folder: Path, other: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            await engine.activate(str(other), "canary", 0.3)
            found = await many(engine, 60)
            for number, each in enumerate(found):
                assert (each.bundle.slot == "canary") == (share_of(f"C-{number}") < 0.3)
            assert {each.bundle.id for each in found if each.bundle.slot == "canary"} == {
                engines.load(str(other), engines.SIZES).id
            }
            with ledger.read() as reader:
                assert reader.slots().canary_weight == 0.3
            await engine.deactivate("canary")
            assert {each.bundle.slot for each in await many(engine, 20)} == {"active"}

    asyncio.run(main())


def test_shares_are_even() -> None:
    shares = [share_of(f"customer {number}") for number in range(4000)]
    assert sum(each < 0.25 for each in shares) / 4000 == pytest.approx(0.25, abs=0.03)


def test_a_canary_that_fails_goes_back_by_itself_and_nobody_notices_but_the_record(
    folder: Path, bad: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        async with running(folder, tmp_path, canary_window=50, canary_error_rate=0.1) as (engine, ledger):
            await engine.activate(str(bad), "canary", 1.0)
            found = await many(engine, 64)
            assert all(each.bundle.slot == "active" for each in found)  # the active bundle stood in
            degraded = [each for each in found if each.degradations == ("canary_failed",)]
            assert 5 < len(degraded) <= 5 + 8  # 5 of 50 are allowed; the micro-batch that passes it holds up to 8
            await engines.until(lambda: engine.lineup.canary is None)
            assert engine.lineup.canary is None
            with ledger.read() as reader:
                assert reader.slots().canary is None
            assert b'canary_rollbacks_total{limit="error_rate"} 1.0' in await engine.exposition()

    asyncio.run(main())


def test_a_canary_whose_messages_are_blocked_goes_back(
    folder: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = engines.load(str(other), engines.SIZES)
    assert canary.templates is not None
    canary.templates._passed.clear()
    render = shield.render_checked

    def refuses(brief: Any, rules: Any) -> Any:
        text, verdict = render(brief, rules)
        if rules is not canary.templates.rules:  # type: ignore[union-attr]
            return text, verdict
        violation = shield.Violation("wording.threat", "block", 0, 1, "")
        return text, shield.Verdict(passed=False, violations=(violation,), rules_version="1")

    monkeypatch.setattr(shield, "render_checked", refuses)

    async def main() -> None:
        async with running(folder, tmp_path, canary_window=50, canary_block_rate=0.05) as (engine, _):
            await engine.activate(str(other), "canary", 1.0)
            found = await many(engine, 64)
            assert all(each.message is None for each in found if each.bundle.slot == "canary")
            await engines.until(lambda: engine.lineup.canary is None)
            assert engine.lineup.canary is None
            assert b'canary_rollbacks_total{limit="block_rate"} 1.0' in await engine.exposition()

    asyncio.run(main())
    canary.templates._passed.clear()


def test_a_slow_canary_goes_back(folder: Path, other: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path, canary_window=50, canary_p99_ms=1.0) as (engine, _):
            await engine.activate(str(other), "canary", 1.0)
            await many(engine, 64)
            await engines.until(lambda: engine.lineup.canary is None)
            assert engine.lineup.canary is None
            assert b'canary_rollbacks_total{limit="p99"} 1.0' in await engine.exposition()

    asyncio.run(main())


def test_a_shadow_is_recorded_and_never_executed(folder: Path, other: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            await engine.activate(str(other), "shadow")
            found = await many(engine, 24)
            assert {each.bundle.slot for each in found} == {"active"}
            with ledger.read() as reader:
                held = [reader.customer_ledger(f"C-{number}") for number in range(24)]
                campaign = reader.campaign("default")
                assert reader.audit(cooldown_days=7) == []
            assert [each.decisions for each in held if each is not None] == [2] * 24
            assert sum(len(each.contacts) for each in held if each is not None) == sum(
                each.decision == "contact" for each in found
            )
            assert campaign is not None
            assert campaign.reserved_micros == sum(each.reserved_micros for each in found)

    asyncio.run(main())


def test_a_shadow_that_fails_harms_nobody(folder: Path, bad: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, _):
            await engine.activate(str(bad), "shadow")
            assert all(each.degradations == () for each in await many(engine, 8))

    asyncio.run(main())


def test_activation_swaps_under_load_without_dropping_a_decision(folder: Path, other: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            load = asyncio.gather(*(many(engine, 8, start=8 * turn) for turn in range(8)))
            table = await engine.activate(str(other))
            assert sum(len(each) for each in await load) == 64
            assert {each.bundle.id for each in await many(engine, 4)} == {table.active.served.id}
            with ledger.read() as reader:
                assert reader.slots().active == BundleSlot(table.active.served.id, str(other))

    asyncio.run(main())


def test_a_bundle_that_cannot_be_served_changes_nothing(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, _):
            before = engine.lineup
            with pytest.raises(BundleError):
                await engine.activate(str(tmp_path / "nothing"))
            with pytest.raises(ConfigError, match="weight"):
                await engine.activate(str(folder), "canary", 0.0)
            with pytest.raises(ConfigError, match="active"):
                await engine.deactivate("active")
            assert engine.lineup is before

    asyncio.run(main())


def test_a_shadow_whose_place_cannot_be_read_does_not_keep_the_rest_from_starting(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # what lies "in" it, the disk refuses with an OSError; so does a bucket that is gone
    clock = engines.Clock()
    ledger = Ledger.open(engines.settings(folder, tmp_path).database, clock=clock)
    with ledger.transaction() as tx:
        tx.set_slots(Slots(active=None, shadow=BundleSlot("0" * 64, str(tmp_path / "file" / "bundle"))))
    ledger.close()

    async def main() -> None:
        async with running(folder, tmp_path, clock=clock) as (engine, _):
            assert engine.lineup.shadow is None
            assert len(await many(engine, 1)) == 1

    asyncio.run(main())


@pytest.mark.usefixtures("_looks_often")
def test_what_another_process_activates_is_followed(folder: Path, other: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            served: Served = engines.load(str(other), engines.SIZES)
            first = engine.lineup.active.record
            with ledger.transaction() as tx:
                tx.set_slots(Slots(active=first, canary=BundleSlot(served.id, str(other)), canary_weight=1.0))
            await engines.until(lambda: engine.lineup.canary is not None)
            assert engine.lineup.canary is not None
            assert engine.lineup.canary.served.id == served.id
            assert {each.bundle.slot for each in await many(engine, 4)} == {"canary"}

    asyncio.run(main())
