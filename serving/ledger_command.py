"""`retentionjax ledger {show,export,erase,purge,audit,forget-bundles}`: what is done with a ledger beside serving.

show writes all that is held of one customer, a row a line; export writes the table that off-policy evaluation reads, or
a campaign as the files that company.yaml reads; erase forgets one customer; purge deletes decisions past the retention
period; audit computes every sum anew and looks for what should not be; forget-bundles has the next start serve the
bundle of --bundle, where the one activated last is lost. A running service need not stop.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from retentionjax.errors import ConfigError
from serving import settings
from serving.ledger.types import LedgerError, Slots

if TYPE_CHECKING:  # heavy, and `--help` needs neither
    from serving.ledger import Ledger

_DECISIONS = "decisions"
_FILES = ("customers", "contacts", "departures", "wordings")


def main(arguments: Sequence[str]) -> int:
    """Runs `ledger` with `arguments`; raises LedgerError or ConfigError for what the user can mend."""
    parser = argparse.ArgumentParser(prog="retentionjax ledger", description=__doc__)
    place = database_flag()
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    show = verbs.add_parser("show", parents=[place], help="print all that is held about one customer, as lines of JSON")
    show.add_argument("--customer", required=True, metavar="ID")
    export = verbs.add_parser(
        "export",
        parents=[place],
        help="write decisions as Parquet, or a campaign as the CSV files that company.yaml reads",
    )
    export.add_argument(
        "--out", required=True, metavar="PATH", help="file for the decisions, or folder for the CSV files"
    )
    export.add_argument(
        "--what", default=_DECISIONS, help=f"{_DECISIONS}, or some of {','.join(_FILES)} [{_DECISIONS}]"
    )
    export.add_argument(
        "--campaign", default="default", metavar="ID", help="the campaign to export as CSV files [default]"
    )
    erase = verbs.add_parser("erase", parents=[place], help="delete one customer; sums of money stay")
    erase.add_argument("--customer", required=True, metavar="ID")
    purge = verbs.add_parser("purge", parents=[place], help="delete old decisions; sums of money stay")
    purge.add_argument("--retention-days", required=True, type=float, metavar="DAYS", help="60 or more")
    audit = verbs.add_parser("audit", parents=[place], help="check the books; exit status 1 if something is wrong")
    audit.add_argument("--cooldown-days", type=int, default=0, metavar="DAYS", help="also check this cooldown [0: no]")
    verbs.add_parser(
        "forget-bundles", parents=[place], help="forget activated bundles: the next start serves the bundle of --bundle"
    )
    parsed = parser.parse_args(list(arguments))
    with opened(parsed) as ledger:
        return _VERBS[parsed.verb](ledger, parsed)


def database_flag() -> argparse.ArgumentParser:
    """What every command on a ledger takes, to be among the `parents` of its parser."""
    flag = argparse.ArgumentParser(add_help=False)
    flag.add_argument("--database", metavar="URL", help=f"the ledger [{settings.Settings.database}]")
    return flag


def opened(parsed: argparse.Namespace, *, create: bool = False) -> "closing[Ledger]":
    """The ledger that `--database` or the environment names, closed after the block. Raises as `Ledger.open`."""
    from serving.ledger import Ledger

    return closing(Ledger.open(settings.database(parsed.database, os.environ), clock=time.time, create=create))


def _export(ledger: "Ledger", parsed: argparse.Namespace) -> int:
    what = parsed.what.split(",")
    if what == [_DECISIONS]:
        print(f"{parsed.out}: {ledger.export(parsed.out):,} decisions")
        return 0
    if stray := set(what) - set(_FILES):
        raise ConfigError(f"what is {min(stray)!r}; allowed: {_DECISIONS}, or some of {','.join(_FILES)}")
    counts = ledger.export_company(parsed.out, parsed.campaign, what)
    rows = ", ".join(f"{name}.csv ({count:,} rows)" for name, count in counts.items())
    print(f"{parsed.out}: {rows}, and company.yaml to read them")
    return 0


def _show(ledger: "Ledger", parsed: argparse.Namespace) -> int:
    import msgspec

    with ledger.read() as reader:
        _refuse_unknown(parsed.customer, known=reader.is_known(parsed.customer))
        for row in reader.held(parsed.customer):
            print(msgspec.json.encode(row).decode())
    return 0


def _refuse_unknown(customer: str, *, known: bool) -> None:
    if not known:
        raise LedgerError(f"customer is {customer!r}; allowed: one of whom the ledger holds something")


def _erase(ledger: "Ledger", parsed: argparse.Namespace) -> int:
    with ledger.transaction() as tx:
        known = tx.is_known(parsed.customer)
        emptied = tx.erase(parsed.customer)
    ledger.forget(copies=True)  # of who is unknown, too: the last time this may have failed
    _refuse_unknown(parsed.customer, known=known)
    print(f"the customer is forgotten; {emptied:,} decisions hold nothing of her any more")
    return 0


def _purge(ledger: "Ledger", parsed: argparse.Namespace) -> int:
    deleted = ledger.purge(parsed.retention_days)
    ledger.forget()  # again: what another process deleted may be left
    print(f"{deleted:,} decisions older than {parsed.retention_days:g} days deleted")
    return 0


def _audit(ledger: "Ledger", parsed: argparse.Namespace) -> int:
    with ledger.read() as reader:
        faults = reader.audit(cooldown_days=parsed.cooldown_days)
    for fault in faults:
        print(fault)
    print(f"{len(faults):,} faults" if faults else "the books are right")
    return 1 if faults else 0


def _forget_bundles(ledger: "Ledger", _: argparse.Namespace) -> int:
    with ledger.transaction() as tx:
        active = tx.slots().active
        tx.set_slots(Slots())
        tx.changed("the command line", "active bundle", "that of --bundle")
    was = "none was activated" if active is None else f"it was {active.path}"
    print(f"the next start serves the bundle of --bundle, without canary or shadow; {was}")
    return 0


_VERBS: "dict[str, Callable[[Ledger, argparse.Namespace], int]]" = {
    "show": _show,
    "export": _export,
    "erase": _erase,
    "purge": _purge,
    "audit": _audit,
    "forget-bundles": _forget_bundles,
}
