"""The check itself: a message against its brief under the rules. Pure, deterministic, raises on no text."""

from retentionjax.shield import form, grounding, language, links, personal, wording
from retentionjax.shield.brief import Brief
from retentionjax.shield.reading import disguises, read
from retentionjax.shield.rules import Rules, load_rules
from retentionjax.shield.verdict import Author, Finding, Severity, Verdict, Violation

MOST = 4_000
"""Characters beyond this are not read: the message is too long for any channel anyway."""


def check(text: str, brief: Brief, rules: Rules | None = None, *, by: Author = "person") -> Verdict:
    """Every rule that `text` breaks as a message for `brief`; for e-mail, `text` is the body without the footer.

    Of a text written by a model more is asked: rules of the severity `models` block it. Raises ConfigError where the
    rules do not speak the brief's language.
    """
    rules = rules or load_rules()
    phrasing = rules.phrasing(brief.language)
    kept = text[:MOST]
    reading = brief.spare(read(kept))
    found: list[Finding] = [*form.find(reading, brief, rules)]
    if reading.folded.strip():
        found += disguises(reading)
        found += grounding.find(reading, brief, phrasing)
        found += wording.find(reading, brief, phrasing)
        found += language.find(reading, brief, rules)
        found += personal.find(reading, brief)
        found += links.find(reading, brief, rules)
    if len(text) > MOST:
        found.append(Finding("channel.length", MOST, len(text), f"{len(text)} characters"))
    return _verdict(found, brief, rules, by)


def grounded(text: str, brief: Brief, rules: Rules | None = None) -> bool:
    """Whether `text` says of the offer what is so, and states it: see `Verdict.grounded`."""
    return check(text, brief, rules).grounded


def _verdict(found: list[Finding], brief: Brief, rules: Rules, by: Author) -> Verdict:
    violations = []
    for each in sorted(set(found), key=lambda each: (each.start, each.end, each.rule, each.detail)):
        severity: Severity = rules.severities[brief.language, each.rule]
        if severity == "models":
            severity = "block" if by == "model" else "warn"
        if severity != "off":
            violations.append(Violation(each.rule, severity, each.start, each.end, each.detail))
    passed = all(each.severity != "block" for each in violations)
    return Verdict(passed, tuple(violations), rules.version)
