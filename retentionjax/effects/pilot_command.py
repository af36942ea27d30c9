"""`retentionjax pilot company.yaml`: a randomised trial of the company's offers, planned before anything is trained.

Prints what each arm is expected to do and to cost, and the smallest effect that the trial would see; writes the file
of who is assigned to what, which company.yaml reads as its `contacts` once the answers are filled in; and prints the
setting with which the service runs the pilot by itself.
"""

import argparse
import datetime as dt
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # heavy, and `--help` needs none of them
    import numpy as np
    import pandas as pd

    from retentionjax.company import Company
    from retentionjax.data.company_tables import Tables
    from retentionjax.data.schema import Table
    from retentionjax.effects.pilot import PilotPlan, Range
    from retentionjax.env.types import EnvParams

_CUSTOMERS = 6000
_ACCEPT = 0.11  # share of the UCI Bank Marketing calls
_HOLDOUT = 0.05  # the service's own default
_FEWEST = 20  # departures an arm below which `effects` keeps the prior
_SEED = 42
_MANY = 0.5  # share of customers who must be allowed an offer that is tried


class People(NamedTuple):
    """Customers who are still there and whom the account's cap allows every offer that is tried."""

    ids: list[str]
    charge: "np.ndarray"
    """Money per 30 days."""
    risk: "np.ndarray"
    """Calibrated churn probability, by a model that has not seen the customer's outcome."""
    accept: float
    """Share that accepts a contact, alike for everybody."""
    accept_rests_on: str
    left_out: tuple[str, ...] = ()
    """Who is not among them, in words with counts."""


def main(arguments: Sequence[str]) -> int:
    """Runs `pilot` with `arguments`; raises CompanyError, FilesError or DataError for what the user can mend."""
    parser = argparse.ArgumentParser(prog="retentionjax pilot", description=__doc__)
    parser.add_argument("company", metavar="company.yaml")
    parser.add_argument(
        "--customers", type=int, metavar="N", help=f"customers in all arms together ({_CUSTOMERS}, or all there are)"
    )
    parser.add_argument(
        "--days", type=int, metavar="D", help="days of observation (the longest effect, at least the window)"
    )
    parser.add_argument("--arms", metavar="A,B", help="offers to try, beside none (all of them)")
    parser.add_argument("--out", metavar="FILE", default="pilot.csv", help="file for the assignments (pilot.csv)")
    parser.add_argument("--start", metavar="DATE", type=dt.date.fromisoformat, help="day of the assignment (today)")
    parser.add_argument("--bundle", metavar="DIR", help="a bundle whose churn model is used instead of a new one")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation and salt of the draw (0)")
    parsed = parser.parse_args(list(arguments))
    from retentionjax import storage
    from retentionjax.company import Company
    from retentionjax.company.money import money
    from retentionjax.effects import pilot
    from retentionjax.errors import DataError

    out = storage.as_path(parsed.out)
    if out.exists():
        raise DataError(f"{parsed.out} exists; give another --out, or remove it")
    if parsed.days is not None and not 1 <= parsed.days <= 365:
        raise DataError(f"--days is {parsed.days}; allowed: 1 to 365")
    company = Company.load(parsed.company)
    start = parsed.start or dt.datetime.now(dt.UTC).date()
    arms = list(company.offers) if parsed.arms is None else parsed.arms.split(",")
    people, params = read(company, parsed.bundle, start=start, arms=arms)
    size = min(parsed.customers or _CUSTOMERS, len(people.ids))
    if parsed.customers is not None and parsed.customers > len(people.ids):
        raise DataError(
            f"--customers is {parsed.customers}; {company.name} has {len(people.ids)} who are still there and may be "
            "asked"
        )
    days = parsed.days or max(int(max(params.effect_days)), company.customers.label_days)
    planned = pilot.plan(
        params,
        company.believed(float(params.charge_reference)),
        list(company.offers),
        customers=size,
        days=days,
        arms=arms,
        seed=parsed.seed,
    )
    names = [arm.name for arm in planned.arms]
    drawn = pilot.assign(people.ids, people.risk, names, planned.customers, f"pilot {parsed.seed}")
    storage.write_bytes(out, table(company, people, drawn, len(names), start).encode())
    print("\n".join(sentences(planned, people, company)))
    print(f"\nwritten: {parsed.out}. {_READING.format(file=parsed.out)}")
    print("\nOr let the service run it: PUT /v1/campaigns/{campaign_id} with")
    print(json.dumps(setting(planned, company, people, start), indent=2))
    if (held := reservation(planned, company, float(people.charge.mean()))) > company.limits.budget * len(people.ids):
        print(
            f"Unanswered contacts hold {money(held, company.currency)} in all, more than the campaign's budget: the "
            "service contacts the rest as answers give money back, or raise budget_micros for the pilot's time."
        )
    return 0


def read(
    company: "Company", bundle: str | None, *, start: dt.date | None = None, arms: Sequence[str] = ()
) -> "tuple[People, EnvParams]":
    """The company's customers who are still there, scored, and its environment with them in it.

    With a day, those who left by it are not; with arms, nor those to whom the account's cap forbids one of them. Raises
    DataError for an arm that it forbids to most.
    """
    import numpy as np
    import pandas as pd

    from retentionjax.company.environment import env_params
    from retentionjax.data import company_tables
    from retentionjax.env import population
    from retentionjax.errors import DataError
    from retentionjax.tabular.boosting import BoosterConfig
    from retentionjax.tabular.classifier import Classifier, fit
    from retentionjax.tabular.encoder import Encoder

    if company.customers.id is None:
        raise DataError("customers.id is missing in company.yaml; a pilot says who is assigned to what by it")
    tables = company_tables.read(company)
    known, current = tables.customers.frame, tables.current.frame
    schema = tables.customers.schema
    label, name = str(schema.label), str(schema.id)
    if bundle is not None:
        model = Classifier.load(f"{bundle}/churn")
        scores = model.predict(known)
    else:
        encoder = Encoder(schema.numeric, schema.categorical, schema.nullable)
        model = fit(known, known[label], encoder, BoosterConfig(), seed=_SEED, who=known[name])
        assert model.out_of_fold is not None
        scores = model.out_of_fold.probability
    known = known.assign(_risk=scores)[known[label].to_numpy() == 0]
    frame = pd.concat([known, current.assign(_risk=model.predict(current))] if len(current) else [known])
    if schema.time is not None:  # several snapshots of one customer: the last
        frame = frame.sort_values(schema.time, kind="stable")
    frame = frame.drop_duplicates(name, keep="last")
    away = set(tables.customers.frame[name]) | set(tables.left_early.frame[name])
    left_out = [f"{len(away):,} who left"] if (away := away - set(frame[name])) else []
    if start is not None and (gone := _gone(tables, frame, start)).any():
        frame = frame[~gone]
        left_out.append(f"{int(gone.sum()):,} who left by {start}")
    if (forbidden := _forbidden(company, frame[str(schema.charge)].to_numpy(np.float64), arms)).any():
        frame = frame[~forbidden]
        left_out.append(f"{int(forbidden.sum()):,} to whom {_cap(company)}, forbids one of the arms")
    charge = frame[str(schema.charge)].to_numpy(np.float64)
    accept, rests_on = _ACCEPT, "assumed: the share of the UCI Bank Marketing calls"
    answers = None if tables.contacts is None else tables.contacts.responses
    if answers is not None and answers.frame[str(answers.schema.label)].nunique() == 2:  # facts known on their days
        accept, rests_on = _accepted(company, answers, float(np.median(charge)))
    risk = frame["_risk"].to_numpy(np.float64)
    people = People(frame[name].astype(str).tolist(), charge, risk, accept, rests_on, tuple(left_out))
    params = env_params(company, float(np.median(charge)))
    params = params.replace(population=population.build(charge, people.risk, np.full(len(charge), accept)))  # type: ignore[attr-defined]
    return people, params


def _accepted(company: "Company", answers: "Table", median_charge: float) -> tuple[float, str]:
    """P(accept a contact without an offer) by the log, and what that rests on: by such contacts, or, where there are
    none, by the others less what their offers are believed to add."""
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import expit

    schema, offers = answers.schema, company.offers
    accepted = answers.frame[str(schema.label)].to_numpy(np.float64)
    treatment = schema.treatment
    arm = np.array([next(iter(offers))] * len(accepted) if treatment is None else answers.frame[treatment].astype(str))
    without = np.isin(arm, [name for name, offer in offers.items() if offer.is_free])
    if without.any():
        return float(accepted[without].mean()), f"the share in the log of {without.sum():,} contacts without an offer"
    believed, mean = company.believed(median_charge), float(accepted.mean())
    appeal = np.array([believed[f"appeal.{name}"].median for name in arm])
    log_odds = brentq(lambda each: expit(each + appeal).mean() - mean, -60.0, 60.0)  # a log holds both answers
    return float(expit(log_odds)), f"from the log's {len(accepted):,} contacts, less what offers are believed to add"


def _gone(tables: "Tables", frame: "pd.DataFrame", start: dt.date) -> "np.ndarray":
    """bool[customers]: who has left by the end of the day `start`, as far as a file tells."""
    import numpy as np
    import pandas as pd

    name = str(tables.customers.schema.id)
    if tables.departures is None:
        return np.zeros(len(frame), bool)
    left_on = tables.departures.set_index(name)["left_on"].reindex(frame[name])
    return np.asarray(left_on < pd.Timestamp(start) + pd.Timedelta(days=1))


def _forbidden(company: "Company", charge: "np.ndarray", arms: Sequence[str]) -> "np.ndarray":
    """bool[customers]: whom the account's cap forbids an offer of `arms`."""
    import numpy as np

    from retentionjax.data.check import may_get
    from retentionjax.errors import DataError

    tried = {name: whom for name, whom in may_get(company, charge).items() if name in arms}
    if few := [name for name, whom in tried.items() if whom.mean() < _MANY]:
        counts = ", ".join(f"{name} to {int(tried[name].sum()):,}" for name in few)
        others = ",".join(name for name in tried if name not in few)
        raise DataError(
            f"{_cap(company)}, allows {counts} of {len(charge):,} customers who are still there: a trial must be free "
            f"to draw everybody into every arm; {f'say --arms {others}, or ' * bool(others)}raise limits.account_cap"
        )
    return ~np.all([*tried.values(), np.ones(len(charge), bool)], axis=0)


def _cap(company: "Company") -> str:
    from retentionjax.company.money import money

    return f"limits.account_cap, {money(company.limits.account_cap, company.currency)}"


def table(company: "Company", people: People, drawn: list[tuple[int, str]], arms: int, start: dt.date) -> str:
    """The file of assignments as CSV; `accepted` is to be filled in with 1 or 0 where somebody was contacted."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([company.customers.id, "assigned_at", "offer", "propensity", "accepted"])
    writer.writerows((people.ids[row], start, arm, f"{1 / arms:.9g}", "") for row, arm in drawn)
    return text.getvalue()


def setting(planned: "PilotPlan", company: "Company", people: People, start: dt.date) -> dict[str, Any]:
    """What makes the service run the pilot. Its share of the budget holds what all its contacts reserve at once."""
    customers = len(people.ids)
    reserved = reservation(planned, company, float(people.charge.mean()))
    budget = reserved if math.isinf(company.limits.budget) else company.limits.budget * customers
    count = len(planned.arms)
    return {
        "budget_micros": math.ceil(budget * 1e6),
        "customers_expected": customers,
        "holdout": _HOLDOUT,
        "pilot": {
            "share": round(min(planned.customers / customers, 1 - _HOLDOUT), 6),
            "arms": {arm.name: round(1 / count, 9) for arm in planned.arms},
            "ends_at": f"{start + dt.timedelta(days=planned.days)}T00:00:00Z",
            "budget_share": min(1.0, math.ceil(1e3 * reserved / budget) / 1e3) if budget else 1.0,
        },
    }


def reservation(planned: "PilotPlan", company: "Company", charge: float) -> float:
    """Money that the pilot's contacts hold until they are answered: each its cost, and its offer in full."""
    return sum(
        arm.customers * (company.limits.contact_cost + company.offers[arm.name].full_cost(charge))
        for arm in planned.arms[1:]
    )


_READING = """Contact them on the day of the assignment, fill in `accepted` with 1 or 0 where somebody
was contacted, and add to company.yaml, with who left when under `departures`:
  contacts: {{file: {file}, at: assigned_at, offer: offer, propensity: propensity, accepted: accepted}}
Then `retentionjax effects company.yaml` learns from it."""


def sentences(planned: "PilotPlan", people: People, company: "Company") -> list[str]:
    """The plan in words: per arm what is expected, what would be seen, what that rests on."""
    from retentionjax.company.money import money

    def cash(each: "Range") -> str:
        return (
            f"{money(each.median, company.currency)} [{money(each.low, company.currency)}, "
            f"{money(each.high, company.currency)}]"
        )

    alone = planned.arms[0]
    size, arms = f"{planned.customers:,} of {len(people.ids):,} customers", len(planned.arms)
    asked = f"that {people.accept:.0%} accept a contact without an offer is {people.accept_rests_on}"
    found = [
        f"{size}, {alone.customers:,} in each of {arms} arms, one contact at most, observed for {planned.days} days.",
        f"Expected cost: {cash(planned.cost)}, for contacts and for accepted offers within these days.",
        *([f"Left out: {'; '.join(people.left_out)}."] if people.left_out else []),
        "In brackets: 90 % intervals of what is believed before any log. These beliefs are ASSUMED.",
        f"Churn is predicted by a model of the company's file; {asked}.",
        "",
        f"{alone.name}: {_percent(alone.left)} leave.",
    ]
    for arm in planned.arms[1:]:
        assert arm.effect is not None
        offer = company.offers[arm.name].words(company.currency)
        found.append(
            f"{arm.name} ({offer}): {_percent(arm.accepted)} accept; {cash(arm.cost)} a customer; departures change by "
            f"{_points(arm.effect)} points. {_sight(arm)}"
        )
    found += ["", _seen(planned)]
    if min(arm.left.median * arm.customers for arm in planned.arms) < _FEWEST:
        found.append(
            f"WARNING: fewer than {_FEWEST} departures are expected in an arm; `effects` would keep the prior. Take "
            "more customers, fewer arms (--arms), or more days."
        )
    found.append("With one contact per customer the trial says nothing about fatigue, which stays assumed.")
    return found


def _seen(planned: "PilotPlan") -> str:
    smallest = planned.arms[1].smallest
    error = f"{TRIALS_TEXT}; ± {1.96 * planned.power_error:.1%} from simulation"
    if smallest is None:
        return (
            f"This trial is too small: not even an arm that nobody leaves would be detected with 80 % power ({error})."
        )
    return (
        f"Smallest effect detected with 80 % power: departures {smallest * 100:.1f} points lower in an arm ({error})."
    )


TRIALS_TEXT = "simulated trials, without adjustment for risk"


def _sight(arm: Any) -> str:
    multiplier = (
        "Too few accept to detect any effect on them with 80 % power"
        if arm.smallest_multiplier is None
        else f"Detected with 80 % power if accepting multiplies the hazard by {arm.smallest_multiplier:.2f} or less"
    )
    many = "more than 100 million" if arm.needed is None else f"{arm.needed:,}"
    return (
        f"{multiplier}. The believed effect is detected with {arm.power:.0%} power; 80 % needs {many} customers an arm."
    )


def _percent(each: "Range") -> str:
    return f"{each.median:.1%} [{each.low:.1%}, {each.high:.1%}]"


def _points(each: "Range") -> str:
    return f"{each.median * 100:+.2f} [{each.low * 100:+.2f}, {each.high * 100:+.2f}]"
