"""`retentionjax decide --bundle DIR --customer FILE.json [--json]`."""

import argparse
import json
from collections.abc import Sequence

_EPILOG = """\
FILE.json holds one customer's facts, flat under the names that `retentionjax bundle inspect DIR` lists, `customer_id`,
and optionally an object `history` with what is known of the campaign so far, every key optional: day,
contacts_days_ago, account_used, running_offer with offer_days_left, pending {offer, days}, baseline_churn_probability,
offers by name; and an object `recipient`: first_name, channel (sms, email, push), tone (warm, formal, brief)."""


def main(arguments: Sequence[str]) -> int:
    """Decides for the customer in a file and prints it; raises DataError or BundleError for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="retentionjax decide",
        description="The decision for one customer: contact or wait, which offer, when, and why.",
        epilog=_EPILOG,
    )
    parser.add_argument("--bundle", metavar="DIR", help="a bundle, or the folder of a run")
    parser.add_argument("--customer", metavar="FILE.json", help="facts and history of one customer")
    parser.add_argument(
        "--demo", action="store_true", help="use the bundle and the customer that come with the package"
    )
    parser.add_argument(
        "--budget",
        type=float,
        metavar="DOLLARS",
        help="another campaign budget per customer, if the bundle supports other budgets",
    )
    parser.add_argument(
        "--campaign", default="default", metavar="ID", help="campaign that the draw depends on (default)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of words")
    parser.add_argument(
        "--template", action="store_true", help="write the message from the template, without the language model"
    )
    parsed = parser.parse_args(list(arguments))
    if parsed.demo:
        from retentionjax import demo

        parsed.bundle, parsed.customer = parsed.bundle or str(demo.BUNDLE), parsed.customer or str(demo.CUSTOMER)
    if missing := [f"--{name}" for name in ("bundle", "customer") if getattr(parsed, name) is None]:
        parser.error(f"{' and '.join(missing)} are required, or --demo" if missing[1:] else f"{missing[0]} is required")

    from retentionjax import storage
    from retentionjax.bundle import load
    from retentionjax.bundle.language import writer
    from retentionjax.decide.decision import compose, decide
    from retentionjax.decide.printing import show, to_dict
    from retentionjax.decide.program import Decider
    from retentionjax.errors import DataError

    customer = storage.read_json(parsed.customer)
    if not isinstance(customer, dict):
        raise DataError(f"{parsed.customer}: an object with the facts of one customer is wanted")
    bundle = load(parsed.bundle)
    bundle = bundle if parsed.budget is None else bundle.at_budget(parsed.budget)
    decision = decide(Decider(bundle, sizes=(1,)), customer, campaign_id=parsed.campaign, where=parsed.customer)
    asked = decision.offer is not None and bundle.writes and not parsed.template
    message = compose(decision, customer, writer(bundle) if asked else None, where=parsed.customer)
    if parsed.json:
        print(json.dumps(to_dict(decision, message), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        show(decision, message=message)
    return 0
