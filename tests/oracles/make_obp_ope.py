"""Records tests/oracles/obp_ope.json: the estimates of obp 0.5.7 (Open Bandit Pipeline) on a small random log.

Needs obp, which wants an old Python by its metadata and runs on 3.11 all the same:

    python3 -m venv /tmp/obp-venv
    /tmp/obp-venv/bin/pip install --no-deps --ignore-requires-python obp==0.5.7
    /tmp/obp-venv/bin/pip install numpy scipy scikit-learn pandas pyyaml tqdm matplotlib seaborn torch
    /tmp/obp-venv/bin/python tests/oracles/make_obp_ope.py
"""

import json
from pathlib import Path

import numpy as np
import obp
from obp.ope import estimators as peer
from obp.ope.estimators_tuning import DoublyRobustWithShrinkageTuning, SwitchDoublyRobustTuning
from obp.ope.helper import estimate_bernstein_lower_bound

ROUNDS, ACTIONS = 60, 4
THRESHOLD, STRENGTH = 2.0, 5.0
THRESHOLDS, STRENGTHS = [0.5, 1.0, 2.0, 4.0, 1e9], [0.1, 1.0, 10.0, 100.0, 1e9]
DELTA = 0.05


def main() -> None:
    random = np.random.default_rng(42)
    log_policy = random.dirichlet(np.full(ACTIONS, 2.0), ROUNDS)
    target = random.dirichlet(np.full(ACTIONS, 1.0), ROUNDS)
    action = np.array([random.choice(ACTIONS, p=row) for row in log_policy])
    reward = random.normal(1.0 + action, 1.0)
    model = random.normal(1.0, 1.0, (ROUNDS, ACTIONS)) + np.arange(ACTIONS)
    data = {
        "reward": reward,
        "action": action,
        "pscore": log_policy[np.arange(ROUNDS), action],
        "action_dist": target[:, :, None],
    }
    both = data | {"estimated_rewards_by_reg_model": model[:, :, None]}
    both["position"] = np.zeros(ROUNDS, int)
    only_model = {key: both[key] for key in ("action_dist", "estimated_rewards_by_reg_model", "position")}
    switch_tuned = SwitchDoublyRobustTuning(lambdas=THRESHOLDS, tuning_method="mse", use_bias_upper_bound=False)
    shrink_tuned = DoublyRobustWithShrinkageTuning(lambdas=STRENGTHS, tuning_method="mse", use_bias_upper_bound=False)
    values = {
        "ips": peer.InverseProbabilityWeighting().estimate_policy_value(**data),
        "snips": peer.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**data),
        "dm": peer.DirectMethod().estimate_policy_value(**only_model),
        "dr": peer.DoublyRobust().estimate_policy_value(**both),
        "switch_dr": peer.SwitchDoublyRobust(lambda_=THRESHOLD).estimate_policy_value(**both),
        "dr_os": peer.DoublyRobustWithShrinkage(lambda_=STRENGTH).estimate_policy_value(**both),
        "switch_dr_tuned": switch_tuned.estimate_policy_value(**both),
        "dr_os_tuned": shrink_tuned.estimate_policy_value(**both),
    }
    interval = peer.DoublyRobust().estimate_interval(**both, alpha=0.05, n_bootstrap_samples=20_000, random_state=1)
    scores = peer.InverseProbabilityWeighting()._estimate_round_rewards(**data)
    record = {
        "source": f"obp {obp.__version__}",
        "given": {"propensities": log_policy, "target": target, "action": action, "reward": reward, "model": model},
        "settings": {"threshold": THRESHOLD, "strength": STRENGTH},
        "grids": {"thresholds": THRESHOLDS, "strengths": STRENGTHS},
        "values": values,
        "chosen": {"switch_dr": switch_tuned.best_hyperparam, "dr_os": shrink_tuned.best_hyperparam},
        "dr_interval": [interval["95.0% CI (lower)"], interval["95.0% CI (upper)"]],
        # one-sided at δ/2, hence one side of our two-sided interval at δ; the peer divides its variance by n
        "bernstein": {
            "scores": scores,
            "range": float(scores.max()),
            "lower": estimate_bernstein_lower_bound(scores, x_max=float(scores.max()), delta=DELTA / 2),
        },
    }
    path = Path(__file__).with_name("obp_ope.json")
    path.write_text(json.dumps(record, default=lambda value: value.tolist(), indent=1) + "\n")


if __name__ == "__main__":
    main()
