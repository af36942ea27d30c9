"""`retentionjax data check company.yaml`: what was understood of a company and its files, in words and numbers."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from retentionjax.company import NONE, Company, money
from retentionjax.company.customers import DAYS
from retentionjax.data import leaks
from retentionjax.data.company_tables import Tables
from retentionjax.data.contact_log import ARM, AT, PROPENSITY, ContactLog
from retentionjax.data.schema import counted

_FEW = 10
"""Rows of a label's rarer value below which a model has next to nothing to learn from."""
_MONTHLY_CHURN = 0.2
_LARGE_CHARGE = 100_000
_MANY = 0.5
"""Share of customers below which an offer that the cap allows them is worth a warning."""
_CENT = 1e-6
_BEYOND = 5.0
"""Standard errors by which what was drawn must differ from its probability to be no chance."""
_SAME = 1e-6
_QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


def understood(company: Company, tables: Tables) -> Iterator[str]:
    """What the files say, a line each."""
    known, current = tables.customers.frame, tables.current.frame
    schema = tables.customers.schema
    source = tables.customers.provenance
    made = "SYNTHETIC, " if source.kind == "synthetic" else ""
    who = pd.concat([known[str(schema.id)], current[str(schema.id)]])
    yield f"{company.name}: {made}{counted(len(who), who.nunique())} from {source.source}"
    yield f"  known whether they left: {len(known):,}; not known yet, to decide about: {len(current):,}"
    for note in tables.notes:
        yield f"  {note}"
    rate = float(known[str(schema.label)].mean())
    days = company.customers.label_days
    in_month = "" if days == DAYS else f", which is {monthly(rate, days):.2%} in {DAYS} days"
    yield f"  left within {days} days: {rate:.2%}{in_month}"
    charged = np.quantile(charges(tables), _QUANTILES).tolist()
    low, five, half, most, high = (money(value, company.currency) for value in charged)
    most_pay = f"{half} in the middle, {five} to {most} for 90 % of {_unit(tables)}"
    yield f"  charge of {DAYS} days: {most_pay}, {low} to {high} for all"
    yield f"  numeric: {', '.join(schema.numeric) or 'none'}"
    for name, allowed in schema.categorical.items():
        yield f"  categorical {name}: {', '.join(allowed[:12])}{', …' if len(allowed) > 12 else ''}"
    if schema.nullable:
        yield f"  may be empty: {', '.join(schema.nullable)}"
    yield from _offers(company, charges(tables), _unit(tables))
    yield from _log(tables.contacts)


def warnings(company: Company, tables: Tables) -> Iterator[str]:
    """What is legal and odd: nothing is refused for it, and everything that is built on it is doubtful."""
    yield from tables.warnings
    label = tables.customers.frame[str(tables.customers.schema.label)]
    rate, days = float(label.mean()), company.customers.label_days
    if (implied := monthly(rate, days)) > _MONTHLY_CHURN:
        in_month = "" if days == DAYS else f", {implied:.1%} in {DAYS} days"
        yield f"{rate:.1%} left within {days} days{in_month}: is window_days right?"
    for value, word in ((1, "left"), (0, "stayed")):
        if (count := int((label == value).sum())) < _FEW:
            yield f"{count} {'row' if count == 1 else 'rows'} of customers who {word}: too few to learn from"
    known, schema = tables.customers.frame, tables.customers.schema
    if told := leaks.words(leaks.telling(known, label.to_numpy(), schema.numeric, tuple(schema.categorical))):
        yield told
    yield from _constant(tables)
    charge = charges(tables)
    if charge.max() >= _LARGE_CHARGE:
        yield f"the largest charge of {DAYS} days is {money(charge.max(), company.currency)}: is it a mistake?"
    yield from _capped(company, charge, _unit(tables))
    yield from _idle(company)
    log = tables.contacts
    if log is None:
        return
    if log.randomised:
        yield from _drawn_otherwise(log)
    joined = log.rank_correlation is None
    if joined and not log.randomised:
        yield "contacts: neither propensity nor design: the log is observational, and no effect is estimated from it"
    if joined and log.randomised and tables.departures is None:
        yield (
            "contacts: no file says on which day who left, so that this log teaches what tempts customers and not what "
            "keeps them; say left: {date: …, observed_until: …} in place of a column of two values, or departures"
        )


def _constant(tables: Tables) -> Iterator[str]:
    """Features that are the same for all, or empty: nothing can be learnt from them."""
    schema, frame = tables.customers.schema, tables.customers.frame
    for name in schema.features:
        if name != schema.charge and frame[name].nunique() <= 1:
            held = "empty" if frame[name].isna().all() else "the same"
            yield f"the feature {name!r} is {held} for all customers to learn from, and teaches nothing"


def _drawn_otherwise(log: ContactLog) -> Iterator[str]:
    """Arms that were assigned more or less often than their probabilities say, beyond chance.

    Were each row's arm drawn with the probability that stands beside it, the sum of 1/probability over an arm's rows
    would be the number of all rows, with a variance of the sum of (1 − p)/p². It may fall short where some customers
    could not get the arm, and does not tell then unless all rows of the arm have the same probability.
    """
    rows = log.assignments
    for arm in rows[ARM].cat.categories:
        p = rows.loc[(rows[ARM] == arm).to_numpy(), PROPENSITY].to_numpy()
        if not len(p) or np.isnan(p).any():
            continue
        expected, surplus = float((1 / p).sum()), float((1 / p).sum()) - len(rows)
        error = max(float(np.sqrt(((1 - p) / p**2).sum())), 1.0)
        is_same = np.ptp(p) < _SAME
        if surplus > _BEYOND * error or (is_same and surplus < -_BEYOND * error):
            drawn, got = f"{len(p) / expected:.3g}{'' if is_same else ' on average'}", f"{len(p) / len(rows):.3g}"
            yield (
                f"contacts: {arm} was drawn with probability {drawn} by the log's own account, but {got} "
                "of all rows got it, which is no chance: propensity (or design) is not the probability of the row's "
                f"arm, or rows are missing, such as those of {NONE!r}; what is learnt from it is wrong"
            )


def charges(tables: Tables) -> np.ndarray:
    """float64[customers], known and current, per 30 days."""
    name = str(tables.customers.schema.charge)
    return np.concatenate([table.frame[name].to_numpy() for table in (tables.customers, tables.current)])


def monthly(rate: float, days: int) -> float:
    """The share who leave in 30 days at a constant hazard, where `rate` leave in `days`."""
    return float(1 - (1 - rate) ** (DAYS / days))


def may_get(company: Company, charge: np.ndarray) -> dict[str, np.ndarray]:
    """Offer → bool[customers]: whom the account's cap allows it, an accepted offer counted in full."""
    cap, contact = company.limits.account_cap, company.limits.contact_cost
    fixed = {name: offer.full_cost(0.0) for name, offer in company.offers.items()}
    rate = {name: offer.full_cost(1.0) - fixed[name] for name, offer in company.offers.items()}
    return {name: fixed[name] + rate[name] * charge + contact <= cap + _CENT for name in company.offers}


def _unit(tables: Tables) -> str:
    """What a charge is of: a customer, or one of several rows of a customer."""
    return "customers" if tables.customers.schema.time is None else "rows"


def _offers(company: Company, charge: np.ndarray, unit: str) -> Iterator[str]:
    allowed = may_get(company, charge)
    for name, offer in company.offers.items():
        most = money(offer.full_cost(float(charge.max())) + company.limits.contact_cost, company.currency)
        share = f"all {unit}" if allowed[name].all() else f"{allowed[name].mean():.1%} of {unit}"
        yield (
            f"  offer {name}: {offer.words(company.currency)}; accepted, it costs at most {most}; the account's cap "
            f"allows it to {share}"
        )
    limits = company.limits
    fatigue = f"{limits.fatigue.contacts} contacts in {limits.fatigue.days} days"
    average, most = (
        "no limit" if np.isinf(each) else money(each, company.currency) for each in (limits.budget, limits.account_cap)
    )
    yield (
        f"  limits: {average} a customer on average, {most} for any one; "
        f"a contact costs {money(limits.contact_cost, company.currency)}; "
        f"{limits.cooldown_days} days between contacts, {fatigue}; campaigns of {company.horizon_days} days"
    )


def _idle(company: Company) -> Iterator[str]:
    """Limits that forbid nothing, or everything, in campaigns of this length: allowed, but hardly what was meant."""
    limits, horizon = company.limits, company.horizon_days
    cooldown, fatigue = limits.cooldown_days, limits.fatigue
    if cooldown >= horizon:
        yield (
            f"limits.cooldown_days, {cooldown}, is as long as a campaign (horizon_days, {horizon}) or longer: nobody "
            "gets a second contact in it"
        )
    elif fatigue.contacts >= -(-min(fatigue.days, horizon) // cooldown):
        yield (
            f"limits.fatigue, {fatigue.contacts} contacts in {fatigue.days} days, forbids nothing: {cooldown} days "
            f"between contacts and campaigns of {horizon} days allow no more anyway"
        )
    if late := [delay for delay in company.delays if delay >= horizon]:
        days = ", ".join(map(str, late))
        yield f"delays: {days}, in campaigns of {horizon} days: such a contact comes after their end"


def _capped(company: Company, charge: np.ndarray, unit: str) -> Iterator[str]:
    """Offers that the account's cap forbids to most customers, and customers to whom it forbids every one."""
    allowed = may_get(company, charge)
    cap = money(company.limits.account_cap, company.currency)
    for name, whom in allowed.items():
        if whom.mean() < _MANY:
            who = f"{int(whom.sum()):,} of {len(whom):,} {unit}"
            yield f"limits.account_cap, {cap}, allows the offer {name} to {who} only: the others never get it"
    costly = [allowed[name] for name, offer in company.offers.items() if not offer.is_free]
    if costly and (none := ~np.any(costly, axis=0)).any():
        who = f"{int(none.sum()):,} {unit}, those of {money(charge[none].min(), company.currency)} a month and up"
        yield f"limits.account_cap, {cap}, forbids every offer to {who}"


def _log(log: ContactLog | None) -> Iterator[str]:
    if log is None:
        yield "  contacts: none; acceptance is declared, not learnt"
        return
    rows = log.assignments
    yield f"  contacts: {len(rows):,} assignments from {log.responses.provenance.source}"
    if rows[AT].notna().any():
        yield f"    from {rows[AT].min():%Y-%m-%d} to {rows[AT].max():%Y-%m-%d}"
    else:
        yield "    without times: rows are taken to be in their order"
    for arm, count in rows[ARM].value_counts(sort=False).items():
        if count:
            yield f"    {'deliberately left alone' if arm == NONE else arm}: {count:,}{_of_arm(log, str(arm))}"
    if log.rank_correlation is not None:
        yield f"    of other people: matched to customers at a rank correlation of {log.rank_correlation:g}, not joined"
    elif log.randomised:
        yield "    randomised by its own account: each row has the probability of its arm"


def _of_arm(log: ContactLog, arm: str) -> str:
    rows = log.assignments[log.assignments[ARM] == arm]
    probability = rows[PROPENSITY].dropna()
    drawn = "" if probability.empty else f", drawn with probability {probability.min():.3g} to {probability.max():.3g}"
    answers = rows["accepted"].dropna()
    return drawn + ("" if answers.empty else f", accepted {answers.mean():.2%}")
