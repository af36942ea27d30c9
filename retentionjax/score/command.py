"""`retentionjax score --bundle DIR --customers IN --out DIR`: decisions about a whole table of customers."""

import argparse
from collections.abc import Sequence

_EPILOG = """\
IN is a Parquet file, or a folder of them, with the columns that `retentionjax bundle inspect DIR` lists; others are
passed over, and rows without an id are called by their numbers. It may also be whatever training reads: text as
company.yaml's `reading` says (.csv, .csv.gz, or a folder of them), an address, a query (.sql); this is held in memory.
OUT gets part-00000.parquet …, one a shard, summary.json, and manifest.json, by which the same command goes on where a
killed one stopped: no row is lost and none decided twice. Another bundle, input or setting is refused there, and rows
in another order are another input: end a query in ORDER BY. Customers are decided about as on day --day of a campaign
in which nobody was contacted yet; the draw is a hash of customer, campaign and day, so a decision is that of
`retentionjax decide` and of the service. Whose risk of today is far above her usual one is in trouble, which many a
policy waits for: keep the churn_probability of an ordinary day and name it with --usual."""


def main(arguments: Sequence[str]) -> int:
    """Scores and says how much; raises DataError, ConfigError or BundleError for what the user can mend."""
    parsed = _parser().parse_args(list(arguments))

    from retentionjax.bundle import drift
    from retentionjax.company.money import money
    from retentionjax.score.running import Request, run

    result = run(Request(**vars(parsed)))
    if result.synthetic:
        print("SYNTHETIC DATA: the bundle was made with made-up customers")
    if result.advice:
        print(result.advice)
    if result.numbered:
        print("The customers have no ids: each is called by the number of its row, from 0")
    count = result.count
    rejected = f", {count.rejected:,} rows left out (see rejects-*.parquet)" if count.rejected else ""
    held_out = f", {count.held_out:,} held out" if parsed.holdout else ""
    print(
        f"{parsed.out}: {count.rows:,} decisions in {result.parts:,} parts, {count.contacts:,} to contact{held_out}, "
        f"expected spend {money(count.expected_spend, result.currency)}{rejected}; {result.speed}"
    )
    print(
        f"Risk: {count.usual:,} customers have a usual one to compare today's with"
        if parsed.usual
        else "Risk: no usual one was given (--usual COLUMN), so nobody's counts as higher than usual"
    )
    for column, rows in count.unseen.items():
        print(f"WARNING: {drift.unseen_words(column, rows)}")
    if count.beyond:
        print(f"WARNING: {drift.beyond_words(count.beyond)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retentionjax score",
        description="Decisions about a whole table of customers; of Parquet in constant memory.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bundle", required=True, metavar="DIR", help="a bundle, a finished run or a pointer")
    parser.add_argument("--customers", required=True, metavar="IN", help="a file, or a folder of them")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="a new folder, or the folder of a killed run to resume"
    )
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: on a cluster (extra ray)")
    parser.add_argument("--workers", type=int, default=2, help="how many shards are scored at once (2)")
    parser.add_argument(
        "--rows-per-shard", type=int, default=250_000, metavar="N", help="rows per output file (250000)"
    )
    parser.add_argument("--campaign", default="default", metavar="ID", help="campaign the draw depends on (default)")
    parser.add_argument("--day", type=int, default=0, help="day of the campaign, counted from 0 (0)")
    parser.add_argument(
        "--holdout",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of customers left alone and marked, so that the effect on the others can be measured (0)",
    )
    parser.add_argument(
        "--salt",
        default="",
        help="salt of the hold-out's draw; with the salt of a service's campaign it draws the same customers",
    )
    parser.add_argument(
        "--usual",
        default="",
        metavar="COLUMN",
        help="column of usual risks: the churn_probability of an ordinary day; cells are empty where it is unknown",
    )
    parser.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="a row that cannot be read: stop, or leave it out and name it in rejects-*.parquet (stop)",
    )
    return parser
