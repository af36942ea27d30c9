"""Twenty offers of all kinds: decided about, said, reserved, paid and exported by name, to the last micro-dollar."""

import asyncio
from pathlib import Path
from typing import Any

import bundles
import engines
import jax.numpy as jnp
import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from engines import ask, running

from retentionjax.bundle import load
from retentionjax.decide.decision import decide
from retentionjax.decide.program import Decider
from retentionjax.env import EnvParams, actions
from serving.engine.contract import Decision
from serving.ledger.types import DAY, Outcome

BILL = 80.5  # of `bundles.CUSTOMER`


def twenty() -> EnvParams:
    """Five offers of each kind: none, a discount, a credit, a cost a month; each runs and protects in its own time."""
    kind, place = np.arange(20) % 4, np.arange(20) // 4 + 1
    vectors: dict[str, Any] = {
        "discount": np.where(kind == 1, place * 0.02, 0.0),
        "amount": np.where(kind == 2, place * 1.25, 0.0),
        "cost": np.where(kind == 3, place * 0.75, 0.0),
        "hazard_multiplier": np.linspace(1.1, 0.5, 20),
        "appeal": np.linspace(0.0, 2.0, 20),
    }
    floats = {name: jnp.asarray(column, jnp.float32) for name, column in vectors.items()}
    days = jnp.asarray(10 + place * 7, jnp.int32)
    changed: EnvParams = EnvParams().replace(  # type: ignore[attr-defined]
        **floats, offer_days=days, effect_days=2 * days, delays=jnp.array([0, 2])
    )
    return changed


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make_checked(tmp_path_factory.mktemp("many") / "bundle", params=twenty())


def by_hand(place: int) -> int:
    """Micro-dollars of a contact and its offer in full: every figure here is written with two places at most."""
    kind, step = place % 4, place // 4 + 1
    days = 10 + 7 * step
    of_month = {0: 0, 1: 2 * step * 805_000, 2: 0, 3: step * 750_000}[kind]  # 1 % of $80.50 is $0.805
    return 500_000 + -(-of_month * days // 30) + (step * 1_250_000 if kind == 2 else 0)


def test_contacts_reserve_and_pay_what_their_offer_says(many: Path, tmp_path: Path) -> None:
    clock = engines.Clock()
    names = list(bundles.offers(twenty()))

    async def main() -> None:
        async with running(many, tmp_path, clock=clock, exploration=0.9, dollars=1e5) as (engine, ledger):
            given = [await engine.decide(ask(f"C-{number}")) for number in range(64)]
            found = [msgspec.json.decode(each.body, type=Decision) for each in given]
            contacts = [each for each in found if each.offer is not None]
            assert len({each.offer.name for each in contacts if each.offer is not None}) > 10
            for each in contacts:
                assert each.offer is not None
                place = names.index(each.offer.name)
                assert each.reserved_micros == by_hand(place)
                assert (each.action - 1) // 2 == place
                assert each.message is not None
            today = [each for each in contacts if each.delay_days == 0]
            accepted = [Outcome(each.decision_id, "accepted", clock()) for each in today]
            with ledger.transaction() as tx:
                results = tx.outcome(accepted)
            assert [each.committed_micros for each in results] == [each.reserved_micros for each in today]
            clock.at += 17 * DAY
            with ledger.read() as reader:
                assert reader.audit(cooldown_days=7) == []
                held = reader.customer_ledger(today[0].customer_id)
            assert held is not None
            assert today[0].offer is not None
            assert held.contacts[0].offer == today[0].offer.name
            with ledger.transaction() as tx:
                tx.campaigns(["default"])
                (view,) = tx.customers([today[0].customer_id], ["default"], tx.now)
            place = names.index(today[0].offer.name)
            assert view.running_offer == today[0].offer.name
            assert view.protection_days_left == 2 * (10 + 7 * (place // 4 + 1)) - 17
            ledger.export(tmp_path / "log.parquet")
        table = pq.read_table(tmp_path / "log.parquet").to_pylist()
        assert {len(row["propensities"]) for row in table} == {41} == {len(row["mask"]) for row in table}
        assert {row["offer"] for row in table} >= {each.offer.name for each in contacts if each.offer is not None}

    asyncio.run(main())


def test_command_line_and_service_decide_alike(many: Path, tmp_path: Path) -> None:
    decider = Decider(load(many), sizes=(1,))
    assert actions.count(decider.bundle.params) == 41

    async def main() -> None:
        async with running(many, tmp_path) as (engine, _):
            for number in range(12):
                given = await engine.decide(ask(f"C-{number}", dry_run=True))
                there = msgspec.json.decode(given.body, type=Decision)
                here = decide(decider, {**bundles.CUSTOMER, "customer_id": f"C-{number}"})
                assert (there.action, there.delay_days) == (here.action, here.delay_days)
                assert (None if there.offer is None else there.offer.name) == here.offer_name
                assert there.propensity == pytest.approx(here.propensity, abs=2e-6)

    asyncio.run(main())
