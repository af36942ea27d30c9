"""`retentionjax lift --database URL`: what would have happened without the campaign?

Compares its customers with those whom it held out by chance: customers kept and dollars, with intervals that may be
looked at daily, by week, and with --bundle beside what the bundle's effects promised. A running service need not stop.
"""

import argparse
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Runs `lift`; raises BundleError, LedgerError or ConfigError for what the user can mend."""
    parser = argparse.ArgumentParser(prog="retentionjax lift", description=__doc__)
    parser.add_argument("--database", metavar="URL", help="the ledger [RETENTIONJAX_DATABASE]")
    parser.add_argument("--campaign", metavar="ID", help="one campaign only [all, the latest first]")
    parser.add_argument("--bundle", metavar="DIR", help="the bundle in use, whose predictions are shown beside")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON, one line per campaign")
    parser.add_argument("--html", metavar="FILE", help="write a page about one campaign, with a picture over time")
    parsed = parser.parse_args(list(arguments))
    # Heavy, and --help needs none of them.
    import msgspec

    from retentionjax import bundle as bundles
    from retentionjax import storage
    from retentionjax.errors import ConfigError
    from serving.ledger import LedgerError
    from serving.ledger_command import opened
    from serving.lift.answer import look, sentences

    bundle = None if parsed.bundle is None else bundles.load(parsed.bundle)
    believed = () if bundle is None else (bundle.params, bundle.offers, bundle.company.currency)
    currency = "USD" if bundle is None else bundle.company.currency
    with opened(parsed) as ledger, ledger.read() as reader:
        names = reader.campaign_ids(_MOST) if parsed.campaign is None else [parsed.campaign]
        known = reader.campaigns(names)
        if missing := [name for name in names if name not in known]:
            raise LedgerError(f"there is no campaign {missing[0]!r}")
        found = [look(reader, known[name], *believed) for name in names]
    if parsed.html is not None:
        from serving.console.lifting import page_of

        if len(found) != 1:
            raise ConfigError(f"--html is of one campaign, and there are {len(found)}; name it with --campaign")
        storage.write_bytes(storage.as_path(parsed.html), page_of(found[0], currency).encode())
    for each in found:
        if parsed.json:
            print(msgspec.json.encode(each).decode())
        else:
            print(f"{each.campaign_id}: " + "\n".join(sentences(each, currency)))
    return 0


_MOST = 100  # campaigns
