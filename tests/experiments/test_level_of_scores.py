"""Scores learned from customers who were contacted reach policy and service at the level of those left alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from etils import epath
from scipy.special import logit
from simulated_logs import COMPANY, DESIGN, simulate, strangers, told, write

from experiments import acceptance, bundle, churn, companies, customers, data, effects, stage
from experiments.classification import ClassifierSettings, Gates
from experiments.config import Options
from retentionjax import storage
from retentionjax.tabular.boosting import BoosterConfig

COLUMNS = {"churn": "churn_probability", "acceptance": "accept_probability"}
ANY, SMALL = Gates(minimum_auc=0.0, maximum_ece=1.0, minimum_brier_skill=-1.0), BoosterConfig(trees=40, depth=3)
TRUTH = {f"hazard_multiplier.{offer}": 0.6 for offer in ("hello", "five", "ten", "twenty")}
TRUTH |= {"contact_effect": -0.7, "fatigue_hazard": 0.0}
"""Contacts that keep people, so that models which saw hardly anybody left alone say that fewer leave than would."""


def before_the_policy(folder: Path, count: int, company: str) -> dict[str, epath.Path]:
    """The finished stages that the policy's customers come from."""
    facts, hidden = strangers(count, 1)
    write(folder, simulate(told(TRUTH, hidden), DESIGN, days=90, seed=1), facts)
    (folder / "company.yaml").write_text(company)
    inputs: dict[str, epath.Path] = {}
    settings: dict[stage.Stage[Any], Any] = {
        data.STAGE: data.DataConfig(str(folder / "company.yaml")),
        churn.STAGE: ClassifierSettings(SMALL, ANY, folds=2),
        acceptance.STAGE: acceptance.AcceptanceConfig(SMALL, ANY, folds=2),
        effects.STAGE: effects.EffectsConfig(),
    }
    for each, config in settings.items():
        place = epath.Path(folder / "run" / each.name)
        outside = data.outside(config, "auto") if each is data.STAGE else None
        work = stage.Work(each, config, place, dict(inputs), outside, Options(runs=str(folder), data="auto"))
        stage.perform(work, go_on="never")
        inputs[each.name] = place
    return inputs


def scores(inputs: dict[str, epath.Path], name: str) -> pd.DataFrame:
    return pd.read_parquet(storage.in_memory(inputs[name] / "artifacts/predictions.parquet"))


def test_a_declared_level_is_that_of_the_policy_s_customers_and_of_the_models_served(tmp_path: Path) -> None:
    lines = [line for line in COMPANY.splitlines() if not line.startswith("contacts:")]
    inputs = before_the_policy(tmp_path, 2500, "\n".join([*lines, "effects: {churn_shift: 0.5, accept_shift: -0.3}"]))
    assert effects.levels(inputs) == {"churn": 0.5, "acceptance": -0.3}
    joined = customers.join(inputs, companies.of(inputs), seed=1)
    facts = pd.DataFrame(strangers(2500, 1)[0], [f"c{number}" for number in range(2500)]).round(3)
    for (name, model), level in zip(bundle.classifiers(inputs).items(), (0.5, -0.3), strict=True):
        raw = scores(inputs, name)
        is_train = raw["split"] == "train"
        for before, table in ((raw[is_train], joined.train), (raw[~is_train], joined.held_out)):
            np.testing.assert_allclose(logit(table[COLUMNS[name]]), logit(before["probability"]) + level, atol=1e-9)
        served = model.predict(facts.loc[joined.held_out["customer_id"]].reset_index(drop=True))
        # Between its knots a calibrator is straight in probability, so the shift there is not exact.
        np.testing.assert_allclose(served, joined.held_out[COLUMNS[name]], atol=0.01, err_msg=name)


@pytest.mark.slow
def test_a_log_s_level_is_that_of_the_customers_whom_nobody_contacts(tmp_path: Path) -> None:
    inputs = before_the_policy(tmp_path, 4000, COMPANY + "effects: {contact_effect: {median: 0, low: -1, high: 1}}\n")
    joined = customers.join(inputs, companies.of(inputs), seed=1)
    true = np.asarray(strangers(4000, 1)[1].population.churn_probability).mean()
    shown = pd.concat([joined.train, joined.held_out])["churn_probability"].mean()
    before = scores(inputs, "churn")["probability"].mean()
    print(f"left alone {true:.3f}; shown to the policy {shown:.3f}, before {before:.3f}; {effects.levels(inputs)}")
    assert before < true - 0.05
    assert shown == pytest.approx(true, abs=0.03)
