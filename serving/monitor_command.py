"""`retentionjax monitor --bundle DIR --database URL`: is what happens still what the models say?

Compares departures and acceptances with their predictions, evaluates the policy on the last days' decisions, looks for
drift of the customers' facts, and audits the books. Exit status 0: all is well; 1: an alarm, named; 2: it could not
be looked at. `--json FILE` is for the scheduler, and for `retentionjax bundle recalibrate --monitor FILE`.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.monitor.judging import MonitorVerdict
    from serving.monitor.measures import Comparison


def main(arguments: Sequence[str]) -> int:
    """Runs `monitor`; raises BundleError, LedgerError or ConfigError for what the user can mend."""
    parser = argparse.ArgumentParser(prog="retentionjax monitor", description=__doc__)
    parser.add_argument(
        "--bundle", required=True, metavar="DIR", help="the bundle in use: a folder or a pointer to one"
    )
    parser.add_argument("--database", metavar="URL", help="the ledger [RETENTIONJAX_DATABASE]")
    parser.add_argument("--days", type=float, default=30.0, help="days to look back [30]")
    parser.add_argument(
        "--tolerance", type=float, default=0.1, help="largest deviation that raises no alarm [0.1: 10 %%]"
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures to this file")
    parsed = parser.parse_args(list(arguments))
    # Heavy, and --help needs none of them.
    from retentionjax import bundle as bundles
    from retentionjax import storage
    from retentionjax.errors import ConfigError
    from serving.ledger_command import opened
    from serving.monitor import judging

    for name in ("days", "tolerance"):
        if not 0 < getattr(parsed, name) < 1e4:
            raise ConfigError(f"--{name} is {getattr(parsed, name)}; allowed: above 0, below 10000")
    bundle = bundles.load(parsed.bundle)
    with opened(parsed) as ledger:
        verdict = judging.check(ledger, bundle, judging.AlarmLimits(parsed.days, parsed.tolerance))
    if parsed.json:
        storage.write_json(parsed.json, verdict.to_dict())
    show(verdict, bundle.company.currency)
    return 1 if verdict.alarms else 0


def show(verdict: "MonitorVerdict", currency: str) -> None:
    """Prints the verdict in words."""
    from retentionjax.company.money import money

    others = f", {verdict.by_others:,} of them by other bundles, which did not predict what this one does"
    looked = f"{verdict.decisions:,} decisions about {verdict.customers:,} customers in {verdict.days:g} days"
    print(looked + others * bool(verdict.by_others))
    print(f"departures   {_compared(verdict.churn)}")
    print(f"acceptances  {_compared(verdict.acceptance)}")
    appeal = verdict.appeal
    if appeal.factor == appeal.factor:  # a number: offers of different appeal were made
        told = f"{appeal.factor:.2f} [{appeal.low:.2f}, {appeal.high:.2f}] times what is believed"
        print(f"appeal       offers add to acceptance {told}")
    value = verdict.value
    if value.logged is None or value.policy is None:
        print(f"value        not known: {value.reason}")
    else:
        for name, each in (("as decided", value.logged), ("the policy", value.policy)):
            mean, low, high = (money(figure, currency, cents=True) for figure in (each.mean, each.low, each.high))
            print(f"value        {name}: {mean} [{low}, {high}] an episode")
    if verdict.unread:
        left_out = f"{verdict.unread:,} customers left out: their recorded facts do not fit this bundle"
        print(f"drift        {left_out}")
    for promise in verdict.promises:
        print(f"effects      {promise.words.removeprefix('effects: ')}")
    print(*[f"ALARM {alarm}" for alarm in verdict.alarms] or ["no alarm"], sep="\n")
    if any(promise.is_broken for promise in verdict.promises):
        print("offers do not do what the bundle believes: learn it anew (retentionjax effects), train, and promote it")
    if verdict.recalibrate:
        print("the models no longer say what happens: recalibrate the bundle, or train anew, and promote it")


def _compared(compared: "Comparison") -> str:
    if not compared.is_known:
        return f"{compared.observed} observed, {compared.expected:.1f} predicted: too few to say more"
    return (
        f"{compared.observed} observed, {compared.expected:.1f} predicted: "
        f"{compared.ratio:.2f} times as many [{compared.low:.2f}, {compared.high:.2f}]"
    )
