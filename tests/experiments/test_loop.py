"""A company that learns what its offers do: the world it lives in, and the whole of its story in the smallest sizes."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from etils import epath

from experiments import loop, loop_telling
from experiments.world import ACCEPTS, RISK, World
from retentionjax import storage
from retentionjax.company import Company

SMALL = loop.Sizes(
    customers=3000,
    pilot=2700,
    days=35,
    judged=100,
    training=(
        *("--churn.booster.trees", "30", "--churn.folds", "2", "--acceptance.booster.trees", "30"),
        *("--acceptance.folds", "2", "--policy.ppo.num-iterations", "4", "--policy.ppo.num-envs", "32"),
        *("--policy.ppo.num-minibatches", "2", "--policy.spend-tolerance", "0", "9", "--policy.tuning-replicates", "1"),
        *("--policy.check-replicates", "1", "--policy.doubt-customers", "20"),
    ),
)


@pytest.fixture
def world() -> World:
    return World.founded(loop.truth(), 4000, seed=3)


def test_without_contacts_customers_leave_as_their_true_risk_says_and_twins_stay_alike(world: World) -> None:
    for _ in range(30):
        world.live({})
    expected = world.people[RISK].mean()
    assert (~world.served.there).mean() == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 4000))
    everybody = np.ones(4000, bool)
    assert world.difference(everybody) == {"customers": 4000, "kept": 0.0, "dollars": 0.0, "worth": 0.0}


def test_what_contacts_did_is_the_difference_to_twins_who_met_the_same_luck(world: World) -> None:
    """An accepted offer that keeps everybody: whoever accepted is there, her twin leaves with the true risk."""
    world.truth = world.truth.replace(hazard_multiplier=np.zeros(4), fatigue_hazard=0.0, contact_effect=0.0)
    accepted, left = world.live(dict.fromkeys(range(2000), 3))
    assert not accepted[2000:].any()
    chance = 1 / (1 + np.exp(-(np.log(1 / (1 / world.people[ACCEPTS][:2000] - 1)) + 0.6)))
    assert accepted[:2000].mean() == pytest.approx(chance.mean() + 0.03, abs=0.05)  # more of those who are in trouble
    for _ in range(29):
        left |= world.live({})[1]
    assert not left[accepted].any()
    kept = world.difference(accepted)["kept"]
    assert kept == pytest.approx((~world.alone.there)[accepted].mean())
    assert kept == pytest.approx(world.people[RISK].to_numpy()[accepted].mean(), abs=0.07)
    untouched = np.arange(4000) >= 2000
    assert world.difference(untouched)["worth"] == 0.0
    assert world.difference(accepted)["worth"] > world.difference(accepted)["dollars"]


def test_a_world_goes_on_as_it_was_saved_with_new_customers_where_others_left(world: World, tmp_path: Path) -> None:
    for _ in range(5):
        world.live({})
    there = world.served.there.copy()
    world.save(epath.Path(tmp_path))
    again = World.load(epath.Path(tmp_path), loop.truth())
    for each in (world, again):
        each.begin(20)
    pd.testing.assert_frame_equal(world.table(), again.table())
    stayed, came = world.people["customer_id"][there], world.people["customer_id"][~there]
    assert set(stayed).isdisjoint(came)
    assert list(came) == [f"c{4000 + number:06d}" for number in range((~there).sum())]
    np.testing.assert_array_equal(world.live({0: 1})[1], again.live({0: 1})[1])


def test_the_company_before_its_story_has_files_that_can_be_read(tmp_path: Path) -> None:
    table = founded(tmp_path, customers=4000)[1]
    assert set(table["left"]) == {"yes", "no", ""}
    assert (table["left"] == "yes").sum() == (table["left"] == "").sum()  # each place is filled
    assert Company.load(epath.Path(tmp_path / "0/company.yaml")).offers.keys() == set(loop.OFFERS)


def founded(folder: Path, customers: int) -> tuple[epath.Path, pd.DataFrame]:
    """The first step of a story of so many customers, and its table."""
    sizes = dataclasses.replace(SMALL, customers=customers, pilot=500)
    files = loop.step(epath.Path(folder / "0"), lambda to: loop.found(sizes, to))
    return files, pd.read_csv(files / "customers.csv", dtype=str, keep_default_na=False)


@pytest.mark.slow
def test_a_pilot_is_planned_of_the_companys_files(tmp_path: Path) -> None:
    sizes = dataclasses.replace(SMALL, customers=800, pilot=500)
    files, _ = founded(tmp_path, customers=800)
    plan = storage.read_json(
        loop.step(epath.Path(tmp_path / "1"), lambda to: loop.planned(files, sizes, to)) / "plan.json"
    )
    assert plan["campaign"]["customers_expected"] == 800
    assert plan["campaign"]["pilot"]["share"] == pytest.approx(500 / 800)
    assert 0 < plan["cost"]["low"] < plan["cost"]["expected"] < plan["cost"]["high"]


@pytest.mark.slow
def test_the_loop_closes_in_the_smallest_sizes(tmp_path: Path) -> None:
    """Every step by the real service and the real stages; of so small sizes the figures mean nothing."""
    out = epath.Path(tmp_path)
    page = loop_telling.told(out, loop.run(out, SMALL), SMALL)
    assert "| told the truth |" in page
    campaign = storage.read_json(out / "5-quarter/campaign.json")
    assert campaign["lift"]["unknown"] == {"campaign": 0, "held_out": 0}  # everybody is heard of
    assert campaign["lift"]["drawn"]["is_sound"]
    before, after = (
        storage.read_json(out / f"{name}/effects/artifacts/effects.json") for name in ("4-learned", "6-learned-again")
    )
    appeal = "appeal.twenty"
    assert after["effects"][appeal]["prior"]["median"] == before["effects"][appeal]["median"]
    assert loop.run(out, SMALL).plan  # nothing is done again
    assert (out / "loop.png").exists()
