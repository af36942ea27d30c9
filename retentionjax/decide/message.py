"""The message that goes with a decision to contact: the language model's if the shield passes it, else the template.

Nothing unchecked leaves here. The outcome says which of the two it is, and if the model's text was refused, by which
rules and what that text was.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from retentionjax import shield
from retentionjax.bundle import Bundle
from retentionjax.bundle.customer import HISTORY, RECIPIENT
from retentionjax.bundle.message import brief as brief_of
from retentionjax.decide.decision import Decision
from retentionjax.decide.variants import mask, phrasebook
from retentionjax.errors import BundleError
from retentionjax.shield import Brief, Rules, Violation
from retentionjax.shield import phrasebook as phrasebooks

Write = Callable[[Brief, int], str]
"""(masked brief, seed) → text with stand-ins for the names: a language model with its sampling settings."""


@dataclass(frozen=True)
class Composed:
    """What is sent, and how it came to be."""

    text: str
    source: Literal["model", "template"]
    brief: Brief
    footer: str
    """Added below an e-mail by whoever sends it: unsubscribe link and postal address. Empty on other channels."""
    rules_version: str
    model_text: str | None
    """What the model wrote, names filled in; None if no model was asked."""
    violations: tuple[Violation, ...]
    """Why the model's text was not sent."""

    def to_dict(self) -> dict[str, Any]:
        """The message as JSON holds it."""
        plain = {name: getattr(self, name) for name in ("text", "source", "footer", "rules_version", "model_text")}
        return {**plain, "channel": self.brief.channel, "violations": [asdict(each) for each in self.violations]}


def compose(
    decision: Decision, customer: Mapping[str, object], write: Write | None, *, where: str = "customer"
) -> Composed | None:
    """The message of this decision, None if it is to wait or the bundle has no shield to check one with.

    `customer` as in the file, `recipient` included. `write` is asked once, with a seed that is a hash of customer,
    campaign and day: asked again, the message is the same. Raises DataError naming `where` and field.
    """
    bundle = decision.bundle
    if decision.offer is None or bundle.message is None or bundle.rules is None:
        return None
    facts = {name: value for name, value in customer.items() if name not in (HISTORY, RECIPIENT)}
    offer = bundle.said_offer(decision.offer)
    brief = brief_of(bundle.message, facts, customer.get(RECIPIENT), offer, where=where)
    text = brief.fill(write(brief.mask(), decision.seed)) if write else None
    faults = () if text is None else _faults(text, brief, bundle.rules)
    if text is not None and not faults:
        return _composed(text, "model", brief, bundle, text, ())
    fallback = shield.render(brief, bundle.rules)
    if not shield.check(fallback, brief, bundle.rules).passed:
        raise BundleError(f"{bundle.folder}: the shield refuses its own template; nothing can be sent")
    return _composed(fallback, "template", brief, bundle, text, faults)


def _faults(text: str, brief: Brief, rules: Rules) -> tuple[Violation, ...]:
    """Why what a model wrote may not be sent unread; nothing where it may."""
    verdict = shield.check(text, brief, rules, by="model")
    unknown = phrasebook([brief], rules).unknown(mask(brief.unfill(text), brief))
    if unknown is None:
        return () if verdict.passed else verdict.violations
    detail = f"words that no approved text holds in a row: {unknown!r}"
    return (*verdict.violations, Violation(phrasebooks.RULE, "block", 0, len(text), detail))


def _composed(
    text: str,
    source: Literal["model", "template"],
    brief: Brief,
    bundle: Bundle,
    model_text: str | None,
    violations: tuple[Violation, ...],
) -> Composed:
    version = bundle.rules.version if bundle.rules else ""
    footer = shield.footer(brief) if brief.channel == "email" else ""
    return Composed(text, source, brief, footer, version, model_text, violations)
