"""A decision for a person, and the same for a machine."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from retentionjax.bundle import FORMAT_VERSION
from retentionjax.bundle.manifest import Manifest
from retentionjax.company.money import money
from retentionjax.decide.decision import Composed, Decision
from retentionjax.decide.explain import Reason, delay_words, said
from retentionjax.shield.brief import CHANNEL_WORDS

SYNTHETIC = "SYNTHETIC DATA: this bundle was made from made-up customers; nothing here is about real ones"
_SHOWN = 5  # most probable actions listed
_SEEN = 0.0005  # what rounds to 0.0 % is not listed


def show(decision: Decision, console: Console | None = None, *, message: Composed | None = None) -> None:
    """Prints the decision, its message and its reasons, coloured on a terminal and plain elsewhere."""
    console = console or Console(highlight=False, soft_wrap=True)
    manifest, why = decision.bundle.manifest, decision.explanation
    if manifest.synthetic:
        console.print(SYNTHETIC, style="bold red")
    if manifest.advice:
        console.print(manifest.advice, style="bold yellow", markup=False)
    day = f"day {decision.customer.day} of {int(decision.bundle.params.horizon_days)}"
    console.print(f"Customer {decision.customer_id}, {day}, {_money(decision, decision.monthly_charge)} per 30 days")
    console.print(f"[bold]Decision: {headline(decision)}[/bold]")
    console.print()
    if message is not None:
        _show_message(message, console)
    for line in (*_facts(decision), *(f"Rule: {each.why}" for each in why.constraints)):
        console.print(line, markup=False)
    console.print()
    if why.offers:
        console.print(_offers(decision))
        console.print(
            f"Gain: expected, of one contact today and none later, over no further contact (which is worth "
            f"{_money(decision, why.never_contact_value)}). Cost: of the contact and the offer. "
            f"{_net(why.multiplier)} {_basis(manifest)}",
            style="dim",
        )
        console.print()
    console.print(
        f"Why the risk is {decision.risk.today:.1%} (without each fact, and with it; the steps do not add up):"
    )
    for reason in why.reasons:
        console.print(f"  {reason_text(reason)}", markup=False)
    console.print()
    console.print(_chances(decision), markup=False)
    made = f"format {FORMAT_VERSION}, made {manifest.created} by RetentionJax {manifest.packages.get('retentionjax')}"
    console.print(f"Bundle {manifest.id[:12]}, {made}", style="dim")


def _net(multiplier: float) -> str:
    if not multiplier:
        return "Net: the gain; the campaign does not need all of its budget, so one more unit returns nothing."
    return (
        f"Net: gain − {multiplier:.2f} × cost, since one more unit of the campaign's budget returns {multiplier:.2f}."
    )


def _basis(manifest: Manifest) -> str:
    """What the gains rest on."""
    kept = [each for each in manifest.effects if each.name.startswith("hazard_multiplier_")]
    bases = {each.rests_on for each in kept} or {"declared"}
    if len(bases) == 1:
        return f"How well offers keep customers is {bases.pop()}."
    named = ", ".join(f"{each.name.removeprefix('hazard_multiplier_')} {each.rests_on}" for each in kept)
    return f"How well offers keep customers: {named}."


def headline(decision: Decision) -> str:
    """The decision in one line."""
    drawn = f"(drawn with probability {decision.propensity:.1%})"
    if decision.offer is None or decision.delay_days is None:
        return f"WAIT today {drawn}"
    when = delay_words(decision.delay_days)
    if list(decision.bundle.offers.values())[decision.offer].is_free:
        return f"CONTACT {when} without an offer {drawn}"
    return f"CONTACT {when} and offer {decision.bundle.words(decision.offer)} {drawn}"


def _show_message(message: Composed, console: Console) -> None:
    source = "by the language model" if message.source == "model" else "from the template"
    how = f"{CHANNEL_WORDS[message.brief.channel]}, {source}, passed by shield {message.rules_version}"
    console.print(f"[bold]Message[/bold] ({how})")
    for line in f"{message.text}\n{message.footer}".rstrip().splitlines():
        console.print(f"  {line}", style="green", markup=False)
    if message.source == "template" and message.model_text is not None:
        refused = f"The language model's text was refused ({refusals(message)}): {message.model_text}"
        console.print(refused, markup=False)
    console.print()


def refusals(message: Composed) -> str:
    """The rules that the model's text broke, in a few words."""
    return ", ".join(dict.fromkeys(each.rule for each in message.violations if each.severity != "warn"))


def reason_text(reason: Reason) -> str:
    """What one fact does to the risk of leaving, in words."""
    before, after = f"{reason.risk_without:.1%}", f"{reason.risk:.1%}"
    how = "raises" if reason.log_odds > 0 else "lowers"
    moves = f"{how} it from {before} to {after}" if before != after else "hardly moves it"
    return f"{reason.field} is {said(reason)}: {moves}"


def to_dict(decision: Decision, message: Composed | None = None) -> dict[str, Any]:
    """The decision as JSON holds it: probabilities and shares as fractions, money in the company's currency; `message`
    null without one."""
    manifest, risk = decision.bundle.manifest, decision.risk
    return {
        "customer_id": decision.customer_id,
        "campaign_id": decision.campaign_id,
        "day": decision.customer.day,
        "decision": "wait" if decision.offer is None else "contact",
        "offer": decision.offer_name,
        "delay_days": decision.delay_days,
        "action": decision.action,
        "propensity": decision.propensity,
        "message": None if message is None else message.to_dict(),
        "monthly_charge": decision.monthly_charge,
        "churn": {
            "window_days": risk.window_days,
            "today": risk.today,
            "baseline": risk.usual,
            "baseline_is_known": risk.is_usual_known,
            "state": "elevated" if risk.elevated else "calm",
            "seen_by_policy": risk.seen,
        },
        "explanation": asdict(decision.explanation),
        "bundle": {"id": manifest.id, "format_version": FORMAT_VERSION, "created": manifest.created},
        "synthetic_data": manifest.synthetic,
    }


def _facts(decision: Decision) -> list[str]:
    risk, customer = decision.risk, decision.customer
    if risk.is_usual_known:
        state = "ELEVATED: something happened" if risk.elevated else "calm"
        lines = [
            f"Risk of leaving within {risk.window_days} days: {risk.today:.1%}, usually {risk.usual:.1%} ({state})"
        ]
    else:
        assumed = "no usual risk is known, so today's is taken for it and the customer for calm"
        lines = [f"Risk of leaving within {risk.window_days} days: {risk.today:.1%} ({assumed})"]
    if customer.contacts_days_ago:
        lines.append(f"Contacts in this campaign: {', '.join(map(str, customer.contacts_days_ago))} days ago")
    if customer.protection_days_left:
        words = decision.bundle.words(customer.running_offer)
        lines.append(f"Running: {words}, {customer.protection_days_left} days left")
    return lines


def _offers(decision: Decision) -> Table:
    table = Table("contact today with", "accepts", "gain", "cost", "net", "", box=None, pad_edge=False)
    for column in table.columns[1:5]:
        column.justify = "right"
    for each in decision.explanation.offers:
        amounts = (_money(decision, amount) for amount in (each.gain, each.cost, each.net))
        table.add_row(each.words, f"{each.acceptance:.1%}", *amounts, "" if each.is_legal else "not allowed today")
    return table


def _money(decision: Decision, amount: float) -> str:
    return money(amount, decision.bundle.company.currency, cents=True)


def _chances(decision: Decision) -> str:
    ranked = sorted(decision.explanation.actions, key=lambda each: -each.propensity)
    shown = [f"{each.name} {each.propensity:.1%}" for each in ranked[:_SHOWN] if each.propensity >= _SEEN]
    rest = sum(each.propensity for each in ranked[len(shown) :])
    others = f", all others {rest:.1%}" if rest >= _SEEN else ""
    return f"The policy draws at random, but always the same for this customer and day: {', '.join(shown)}{others}"
