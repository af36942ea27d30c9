"""What is believed of contacts is what the environment does: departures of simulated customers, offered or not."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import simulated_logs

from serving.ledger.records import MadeContact
from serving.ledger.types import DAY
from serving.lift import measuring

DAYS = 30


def test_departures_believed_are_those_of_the_environment() -> None:
    params = simulated_logs.company(40_000, seed=3)
    log = simulated_logs.simulate(params, {"none": 0.5, "twenty": 0.5}, days=DAYS, every=1000, seed=5)
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
        customers=SimpleNamespace(held=~offered, known=lambda days: np.ones((len(gone), 1), bool)),
        contacts=contacts,
        known_until=DAYS * DAY,
        known_days=DAYS,
    )
    believed = measuring.believed_departures(study, params, dict.fromkeys(simulated_logs.OFFERS))
    assert list(believed) == ["hazard_multiplier.twenty"]
    assert abs(believed["hazard_multiplier.twenty"] - measured) < 3 * error < 0.3 * abs(measured)
