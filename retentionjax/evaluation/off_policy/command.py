"""`retentionjax ope --log TABLE.parquet --bundle DIR`: what is a bundle's policy worth, by a log?

The log is what `retentionjax ledger export` writes. An episode is what happened to one customer in one campaign; the
longer it is, the less the log says about another policy. `--per decision` takes each decision for itself instead: its
own reward is then all that counts.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # heavy, and `--help` needs neither
    import numpy as np

    from retentionjax.bundle.loading import Bundle
    from retentionjax.evaluation.off_policy.log import DecisionLog

_AT_ONCE = 16_384


def main(arguments: Sequence[str]) -> int:
    """Runs `ope` with `arguments`; raises DataError, OverlapError or BundleError for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="retentionjax ope", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--log", required=True, metavar="TABLE.parquet")
    parser.add_argument("--bundle", required=True, metavar="DIR")
    parser.add_argument("--per", choices=("episode", "decision"), default="episode")
    parser.add_argument(
        "--minimum-effective", type=float, default=50.0, help="smallest effective sample size that gives an answer (50)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", help="also write the report to this file")
    parsed = parser.parse_args(list(arguments))
    from retentionjax import storage
    from retentionjax.bundle.loading import load
    from retentionjax.evaluation.off_policy import evaluation
    from retentionjax.evaluation.off_policy.evaluation import OffPolicySettings, evaluate
    from retentionjax.evaluation.off_policy.ledger_file import read
    from retentionjax.evaluation.statistics import plain

    settings = OffPolicySettings(minimum_effective_episodes=parsed.minimum_effective, seed=parsed.seed)
    bundle, log = load(parsed.bundle), read(parsed.log)
    if parsed.per == "decision":
        log = log.as_single_decisions()
    report = evaluate(log, propensities(bundle, log), settings)
    if bundle.manifest.synthetic:
        print("SYNTHETIC DATA: no figure describes real customers")
    title = f"Bundle {bundle.manifest.id[:12]} on {len(log):,} logged decisions, {bundle.company.currency}"
    evaluation.show(report, title=title, unit=parsed.per)
    if parsed.json:
        storage.write_json(parsed.json, plain(report))
    return 0


def propensities(bundle: "Bundle", log: "DecisionLog") -> "np.ndarray":
    """Probability of each action under the bundle's policy at each logged decision; f64[n, actions].

    Raises DataError for a log of other offers or delays than the bundle's, or of one in which waiting was forbidden.
    """
    import numpy as np

    from retentionjax.env import actions, observation
    from retentionjax.errors import DataError

    wanted = observation.size(len(bundle.offers)), actions.count(bundle.params)
    if (found := (log.observation.shape[1], log.num_actions)) != wanted:
        raise DataError(
            f"--log: its decisions saw {found[0]} numbers and had {found[1]} actions; allowed: {wanted[0]} and "
            f"{wanted[1]}, as the bundle's offers and delays make them"
        )
    if not log.mask[:, actions.WAIT].all():
        row = int(log.row[np.argmin(log.mask[:, actions.WAIT])])
        raise DataError(f"--log: row {row}, column mask: waiting, action {actions.WAIT}, is forbidden; allowed: always")
    parts = [
        bundle.decide(log.observation[start : start + _AT_ONCE], log.mask[start : start + _AT_ONCE])[0]
        for start in range(0, len(log), _AT_ONCE)
    ]
    return np.concatenate(parts).astype(np.float64)
