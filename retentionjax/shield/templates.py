"""Deterministic messages that always pass: what is sent when no better message may be."""

from collections.abc import Iterator
from dataclasses import replace

from retentionjax.errors import ConfigError
from retentionjax.shield.brief import Brief, Tone
from retentionjax.shield.checking import check
from retentionjax.shield.quantities import date_text
from retentionjax.shield.rules import Rules
from retentionjax.shield.verdict import Verdict

_GREETING: dict[Tone, tuple[str, str]] = {
    "warm": ("Hi {name}, ", "Hello! "),
    "formal": ("Dear {name}, ", ""),
    "brief": ("{name}, ", ""),
}
_CLOSING = {
    "sms": " Reply STOP to opt out.",
    "push": " Manage alerts in settings.",
    "email": "\n\nYou can unsubscribe at any time with the link below.",
}


def render(brief: Brief, rules: Rules | None = None) -> str:
    """The fullest template for `brief` that passes every rule: with name and facts, with one of them, with neither.

    Raises ConfigError when even the barest one breaks a rule, which says that rules and sender contradict each other.
    """
    return render_checked(brief, rules)[0]


def render_checked(brief: Brief, rules: Rules | None = None) -> tuple[str, Verdict]:
    """As `render`, with the verdict that passed it, so that nobody need check it again."""
    last = None
    for text in _candidates(brief):
        verdict = check(text, brief, rules)
        if verdict.passed:
            return text, verdict
        last = verdict
    broken = ", ".join(last.blocking) if last else "none"
    raise ConfigError(f"no template for {brief.channel} passes rules.yaml; the barest one breaks: {broken}")


def footer(brief: Brief) -> str:
    """What the sending side adds below the body of an e-mail: the unsubscribe link and the postal address."""
    sender = brief.sender
    return f"--\nUnsubscribe: {sender.unsubscribe_url}\n{sender.name}, {sender.postal_address}"


def _candidates(brief: Brief) -> Iterator[str]:
    for name, facts in ((True, True), (True, False), (False, True), (False, False)):
        yield _message(brief, brief.name if name else None, facts)
    yield _barest(brief)


def _message(brief: Brief, name: str | None, facts: bool) -> str:
    named, unnamed = _GREETING[brief.tone]
    greeting = named.format(name=name) if name else unnamed
    opening = "" if brief.channel == "email" else f"{brief.sender.name}: "
    body = _thanks(brief, facts) + _offer(brief, facts)
    if brief.channel == "email":
        greeting = greeting.strip() + "\n\n" if greeting else ""
        body = body + f"\n\nKind regards,\n{brief.sender.name}"
    if not greeting or greeting.endswith(("! ", "\n")):
        body = body[:1].upper() + body[1:]
    else:
        body = body[:1].lower() + body[1:]
    return opening + greeting + body + _CLOSING[brief.channel]


def _thanks(brief: Brief, facts: bool) -> str:
    tenure = brief.known.get("tenure") if facts and brief.channel != "push" else None
    if brief.tone == "brief":
        return f"thanks for {tenure} with us. " if tenure else ""
    return f"thank you for {tenure} with us. " if tenure else "thank you for being with us. "


def _offer(brief: Brief, facts: bool) -> str:
    plan = brief.known.get("plan") if facts else None
    if brief.offer.is_none:
        return "How is everything going? We are here if you have a question."
    on = f" on your {plan}" if plan and brief.channel != "push" else ""
    terms = f"{brief.offer.words}{on}" + (f" for {brief.offer.span}" if brief.offer.limited else "")
    accept = {
        "sms": " Reply YES to accept",
        "push": " Open the app to accept",
        "email": " Reply to this e-mail to accept",
    }
    by = f" by {date_text(brief.offer.ends)}" if brief.offer.ends else ""
    have = "you can have" if brief.tone == "formal" else "enjoy"
    return f"{have.capitalize()} {terms}.{accept[brief.channel]}{by}."


def _barest(brief: Brief) -> str:
    offer = replace(brief.offer, ends=None).text()
    until = f" Accept by {date_text(brief.offer.ends)}." if brief.offer.ends else ""
    body = f"{offer}.{until}" if offer else "Any questions? We can help."
    return f"{brief.sender.name}: {body}{_CLOSING[brief.channel]}"
