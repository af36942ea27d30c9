"""The checked template of a message. Texts repeat (same offer, same plan, no name), so those that passed are kept."""

from collections import OrderedDict
from collections.abc import Hashable

from retentionjax import shield
from retentionjax.bundle import Bundle
from retentionjax.errors import BundleError, ConfigError
from retentionjax.shield import Brief, Offer
from retentionjax.shield.verdict import Verdict, Violation
from serving.engine.answer import Mark, Message
from serving.engine.request import Ask

_KEPT = 8192


class Blocked(Exception):  # noqa: N818 - what the shield says
    """The shield refuses the text: by these rules."""

    def __init__(self, rules: tuple[str, ...]) -> None:
        super().__init__(", ".join(rules))
        self.rules = rules


class Templates:
    """Of one bundle. Used by the writer's thread only."""

    def __init__(self, bundle: Bundle, kept: int = _KEPT) -> None:
        """Raises BundleError for a bundle without the part `shield`."""
        if bundle.message is None or bundle.rules is None:
            raise BundleError(f"{bundle.folder}: has no part 'shield', so it writes no messages")
        self._settings, self.rules = bundle.message, bundle.rules
        self._days = int(bundle.params.offer_days)
        self._passed: OrderedDict[Hashable, Message] = OrderedDict()
        self._kept = kept

    def brief(self, ask: Ask, discount: float) -> Brief:
        """What the message is to say."""
        recipient = {"first_name": ask.first_name}
        if ask.channel is not None:
            recipient["channel"] = ask.channel
        if ask.tone is not None:
            recipient["tone"] = ask.tone
        return self._settings.brief(ask.facts, recipient, Offer(discount=discount, days=self._days))

    def write(self, brief: Brief) -> Message:
        """The template, passed by the shield. Raises Blocked where no template passes."""
        key = key_of(brief)
        message = self._passed.get(key)
        if message is None:
            message = self._passed[key] = self._render(brief)
            if len(self._passed) > self._kept:
                self._passed.popitem(last=False)
        else:
            self._passed.move_to_end(key)
        return message

    def _render(self, brief: Brief) -> Message:
        try:
            text, verdict = shield.render_checked(brief, self.rules)
        except ConfigError:
            raise Blocked(("template",)) from None
        return passed(text, verdict, "template", brief)


def checked(text: str, source: str, brief: Brief, rules: shield.Rules) -> Message:
    """The text as a message. Raises Blocked where the shield refuses it."""
    return passed(text, shield.check(text, brief, rules), source, brief)


def passed(text: str, verdict: Verdict, source: str, brief: Brief) -> Message:
    """As `checked`, with what the shield said: the only way to a Message is through here."""
    if not verdict.passed:
        raise Blocked(verdict.blocking)
    return Message(
        text=text,
        source="model" if source == "model" else "template",
        channel=brief.channel,
        footer=shield.footer(brief) if brief.channel == "email" else "",
        rules_version=verdict.rules_version,
        warnings=tuple(_mark(each) for each in verdict.violations),
    )


def key_of(brief: Brief) -> Hashable:
    """What of a brief matters for its words."""
    return brief.channel, brief.tone, brief.first_name, brief.offer, tuple(brief.facts.items())


def _mark(violation: Violation) -> Mark:
    return Mark(violation.rule, violation.severity, violation.start, violation.end, violation.detail)
