"""Trials known by their counts: the Globe's table comes back from the model that was fitted to it."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from retentionjax.company import Offer, prior
from retentionjax.effects import trial
from retentionjax.effects.trial import Trial
from retentionjax.env import EnvParams, population
from retentionjax.env.types import NO_OFFER
from retentionjax.errors import DataError

DAYS, CONTROLS, CONTROL_CHURN = 211, 89_866, 0.16  # of the second experiment, July 2019 to February 2020
AN_ARM = 950  # about
ARMS = {
    "5.99 for 4 weeks": Offer(discount=0.136, days=28, effect_days=DAYS),
    "5.99 for 8 weeks": Offer(discount=0.136, days=56, effect_days=DAYS),
    "4.99 for 8 weeks": Offer(discount=0.280, days=56, effect_days=DAYS),
    "3.99 for 8 weeks": Offer(discount=0.424, days=56, effect_days=DAYS),
    "gift card": Offer(amount=20, effect_days=DAYS),
    "thank-you e-mail only": Offer(effect_days=DAYS),
}


def globe(folder: Path) -> tuple[Trial, np.ndarray]:
    """The table as counts, and the changes of churn that it prints."""
    printed = pd.read_csv(folder / "globe" / "effects.csv").set_index("arm")["delta_churn_points"]
    changes = printed[list(ARMS)].to_numpy(np.float64) / 100
    customers = np.array([CONTROLS, *[AN_ARM] * len(ARMS)])
    shares = np.array([CONTROL_CHURN, *(CONTROL_CHURN + changes)])
    arm = np.array([NO_OFFER, *range(len(ARMS))])
    counted = np.rint(customers * shares).astype(np.int64)
    return Trial(tuple(ARMS), arm, customers, counted, np.full(len(arm), DAYS)), changes


def subscribers() -> EnvParams:
    people = population.build([30.0], [CONTROL_CHURN], [0.5])
    return EnvParams(
        population=people,
        risk_window_days=DAYS,
        offer_days=jnp.array([each.days for each in ARMS.values()]),
        effect_days=jnp.full(len(ARMS), DAYS),
        hazard_multiplier=jnp.ones(len(ARMS)),
        appeal=jnp.zeros(len(ARMS)),
        discount=jnp.array([each.discount for each in ARMS.values()]),
        amount=jnp.array([each.amount for each in ARMS.values()]),
        cost=jnp.zeros(len(ARMS)),
    )


@pytest.mark.slow
def test_the_globe_is_reproduced_within_two_standard_errors(real_data: Path) -> None:
    seen, changes = globe(real_data)
    believed = prior.resolve(ARMS, {}, median_charge=30.0)
    found = trial.estimate(seen, believed, subscribers())
    assert found.is_reliable
    medians = {name: each.median for name, each in found.estimates.items()}
    shares = trial.expected_departures(seen, medians, subscribers())
    error = np.sqrt(CONTROL_CHURN * (1 - CONTROL_CHURN) / AN_ARM)
    assert (np.abs((shares[1:] - shares[0]) - changes) < 2 * error).all()
    for offer in ARMS:
        assert found.estimates[f"hazard_multiplier.{offer}"].is_estimated
    assert {each.name for each in found.refused} == {"not_asked", "one_contact"}
    assert not found.estimates["fatigue_hazard"].is_estimated


def table(folder: Path, line: str) -> Path:
    path = folder / "trial.csv"
    path.write_text(f"arm,customers,departures,days\nnone,1000,160,211\n{line}\n")
    return path


def test_a_table_is_read_by_its_names(tmp_path: Path) -> None:
    read = trial.read(table(tmp_path, "ten,900,100,200"), ["hello", "ten"])
    np.testing.assert_array_equal(read.arm, [NO_OFFER, 1])
    np.testing.assert_array_equal(read.days, [211, 200])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("eleven,900,100,200", "line 3, arm: 'eleven'; allowed: none, hello, ten"),
        ("ten,900,1000,200", "line 3, departures: 1000 of 900"),
        ("ten,0,0,200", "line 3, customers"),
        ("ten,900,100,0", "line 3, days"),
        ("ten,900,1.5,200", "line 3, departures: 1.5"),
    ],
)
def test_a_wrong_cell_is_refused_by_line_and_column(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        trial.read(table(tmp_path, line), ["hello", "ten"])
