"""A decision for a person, and the same for a machine."""

import math
from typing import Any

from rich.console import Console
from rich.table import Table

from retentionjax.bundle import FORMAT_VERSION, Reason
from retentionjax.decide import message as messages
from retentionjax.decide import rules
from retentionjax.decide.decision import Decision, Offer
from retentionjax.decide.message import Message

SYNTHETIC = "SYNTHETIC DATA: this bundle was made from made-up customers; nothing here is about real ones"
_SHOWN = 5  # most probable actions listed
_SEEN = 0.0005  # what rounds to 0.0 % is not listed


def show(decision: Decision, console: Console | None = None, *, message: Message | None = None) -> None:
    """Prints the decision, its message and its reasons, coloured on a terminal and plain elsewhere."""
    console = console or Console(highlight=False, soft_wrap=True)
    manifest = decision.bundle.manifest
    if manifest.synthetic:
        console.print(SYNTHETIC, style="bold red")
    day = f"day {decision.history.day} of {int(decision.bundle.params.horizon_days)}"
    console.print(f"Customer {decision.customer_id}, {day}, ${decision.monthly_charge:.2f} per 30 days")
    console.print(f"[bold]Decision: {headline(decision)}[/bold]")
    console.print()
    if message is not None:
        _show_message(message, console)
    for line in (*_facts(decision), *(f"Rule: {each.why}" for each in decision.removals)):
        console.print(line, markup=False)
    console.print()
    if decision.offers:
        console.print(_offers(decision))
        console.print(
            f"Gain, in expectation: contact today and never again, against never again a contact "
            f"(worth ${decision.never:.2f}); exact by the risk chain. Cost: contact and discounts. "
            f"Net: gain less {decision.price:.2f} × cost; at the limit the next dollar of the campaign's budget "
            f"returns ${decision.price:.2f}.",
            style="dim",
        )
        console.print()
    console.print(f"Why the risk is {decision.risk.today:.1%} (each fact's effect on the odds of leaving):")
    for reason in decision.reasons:
        console.print(f"  {reason_text(reason)}", markup=False)
    console.print()
    console.print(_chances(decision), markup=False)
    made = f"format {FORMAT_VERSION}, made {manifest.created} by RetentionJax {manifest.packages.get('retentionjax')}"
    console.print(f"Bundle {manifest.id[:12]}, {made}", style="dim")


def headline(decision: Decision) -> str:
    """The decision in one line."""
    drawn = f"(drawn with probability {decision.propensity:.1%})"
    if decision.contact is None:
        return f"WAIT today {drawn}"
    size, delay = decision.contact
    when = rules.delay_name(delay)
    if not size:
        return f"CONTACT {when} without a discount {drawn}"
    return (
        f"CONTACT {when} and offer {100 * size:.3g} % off for {int(decision.bundle.params.offer_days[0])} days {drawn}"
    )


def _show_message(message: Message, console: Console) -> None:
    author = "the language model" if message.source == "model" else "the template"
    how = f"{message.brief.channel}, by {author}, passed by shield {message.rules_version}"
    console.print(f"[bold]Message[/bold] ({how})")
    for line in f"{message.text}\n{message.footer}".rstrip().splitlines():
        console.print(f"  {line}", style="green", markup=False)
    if message.source == "template" and message.model_text is not None:
        refused = f"The language model's text was refused ({refusals(message)}): {message.model_text}"
        console.print(refused, markup=False)
    console.print()


def refusals(message: Message) -> str:
    """The rules that the model's text broke, in a few words."""
    return ", ".join(dict.fromkeys(each.rule for each in message.violations if each.severity == "block"))


def reason_text(reason: Reason) -> str:
    """A reason in words: the fact, and the factor by which it multiplies the odds of leaving."""
    value = "unknown" if reason.value is None else reason.value
    shown = f"{value:g}" if isinstance(value, float) else value
    factor = math.exp(abs(reason.log_odds))
    return f"{reason.field} is {shown}: {'raises' if reason.log_odds > 0 else 'lowers'} them {factor:.2f} times"


def to_dict(decision: Decision, message: Message | None = None) -> dict[str, Any]:
    """The decision as JSON holds it: probabilities and shares as fractions, money in $; `message` null without one."""
    manifest, params, risk = decision.bundle.manifest, decision.bundle.params, decision.risk
    contact = decision.contact
    removed_by = {action: [each.rule for each in decision.removals if action in each.actions] for action in range(13)}
    return {
        "customer_id": decision.customer_id,
        "day": decision.history.day,
        "contact": contact is not None,
        "offer": contact[0] if contact else None,
        "offer_days": int(params.offer_days[0]) if contact else None,
        "delay_days": contact[1] if contact else None,
        "action": decision.action,
        "propensity": decision.propensity,
        "actions": [
            {"action": action, "name": rules.name(action, params), "propensity": propensity, "removed_by": by}
            for (action, by), propensity in zip(removed_by.items(), decision.propensities, strict=True)
        ],
        "message": None if message is None else messages.to_dict(message),
        "monthly_charge": decision.monthly_charge,
        "churn": {
            "window_days": risk.window_days,
            "today": risk.today,
            "baseline": risk.baseline,
            "baseline_is_known": risk.is_baseline_known,
            "state": "elevated" if risk.elevated else "calm",
            "seen_by_policy": risk.seen,
        },
        "never_contact_value": decision.never,
        "offers_today": [_offer(each) for each in decision.offers],
        "price": decision.price,
        "rules": [{"rule": each.rule, "actions": list(each.actions), "why": each.why} for each in decision.removals],
        "reasons": [{"field": each.field, "value": each.value, "log_odds": each.log_odds} for each in decision.reasons],
        "policy_values": dict(decision.values),
        "bundle": {"id": manifest.id, "format_version": FORMAT_VERSION, "created": manifest.created},
        "synthetic_data": manifest.synthetic,
    }


def _offer(offer: Offer) -> dict[str, Any]:
    return {
        "offer": offer.size,
        "acceptance": offer.acceptance,
        "gain": offer.gain,
        "cost": offer.cost,
        "net": offer.net,
        "is_legal": offer.is_legal,
    }


def _facts(decision: Decision) -> list[str]:
    risk, history = decision.risk, decision.history
    if risk.is_baseline_known:
        state = "ELEVATED: something happened" if risk.elevated else "calm"
        lines = [
            f"Risk of leaving within {risk.window_days} days: {risk.today:.1%}, usually {risk.baseline:.1%} ({state})"
        ]
    else:
        assumed = "no usual score in the history: today's is taken for it, and the risk for calm, which is likelier"
        lines = [f"Risk of leaving within {risk.window_days} days: {risk.today:.1%} ({assumed})"]
    if history.contacts_days_ago:
        lines.append(f"Contacts in this campaign: {', '.join(map(str, history.contacts_days_ago))} days ago")
    if history.offer_days_left:
        size = float(decision.bundle.params.discount[history.running_offer])
        lines.append(f"Running: {rules.offer_name(size)}, {history.offer_days_left} days left")
    return lines


def _offers(decision: Decision) -> Table:
    table = Table("contact today with", "accepts", "gain", "cost", "net", "", box=None, pad_edge=False)
    for column in table.columns[1:5]:
        column.justify = "right"
    for each in decision.offers:
        money = (_dollars(amount) for amount in (each.gain, each.cost, each.net))
        table.add_row(
            rules.offer_name(each.size), f"{each.acceptance:.1%}", *money, "" if each.is_legal else "not allowed today"
        )
    return table


def _dollars(amount: float) -> str:
    return f"{'−' if round(amount, 2) < 0 else ''}${abs(amount):.2f}"


def _chances(decision: Decision) -> str:
    params = decision.bundle.params
    order = sorted(range(len(decision.propensities)), key=lambda action: -decision.propensities[action])
    named = [(rules.name(action, params), decision.propensities[action]) for action in order]
    shown = [f"{name} {chance:.1%}" for name, chance in named[:_SHOWN] if chance >= _SEEN]
    rest = sum(chance for _, chance in named[len(shown) :])
    others = f", all others {rest:.1%}" if rest >= _SEEN else ""
    return f"The policy draws by chance, for this customer and day always the same: {', '.join(shown)}{others}"
