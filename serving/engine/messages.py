"""Messages: when one may be sent, and in which words.

None is sent in the recipient's quiet hours; a contact that would fall into them waits for their end. Without a time
zone every zone the customer may be in counts, and without a region the strictest one's hours (`shield.contact`).

The words are the shield's template or an approved wording of the same kind, filled with the customer's name and facts
and then checked: what was approved for everybody is not sent to somebody whose name makes it wrong. No model is ever
waited for.
"""

import datetime as dt
import zoneinfo
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import lru_cache
from typing import Literal, TypeAlias, TypeVar

import msgspec
import numpy as np
from jaxtyping import Float

from retentionjax import shield
from retentionjax.bundle import Bundle
from retentionjax.bundle.message import brief as brief_of
from retentionjax.decide.comparing import best_probabilities, choose
from retentionjax.decide.variants import Kind, Variant, choices
from retentionjax.errors import BundleError, ConfigError, DataError
from retentionjax.shield import Brief, Recipient, Rules, may_contact
from retentionjax.shield.brief import CHANNELS
from retentionjax.shield.contact import HOME, is_region
from retentionjax.shield.verdict import Verdict
from serving.engine.contract import Ask, Mark, Message
from serving.ledger.wordings import Approved

_NO_PLACES = {"Factory", "localtime", "posixrules"}  # files beside the zones: this machine's own, or none
_QUARTER = 900.0  # seconds; quiet hours begin and end on a quarter of an hour in every zone
_REACHABLE = frozenset(CHANNELS)  # whether she agreed to be contacted at all is another question


Place: TypeAlias = tuple[str | None, str | None]
"""Time zone (IANA) and region (ISO 3166) of a recipient, None where unknown."""


class QuietHoursCache:
    """The quiet hours of a bundle's rules, remembered for each place and quarter of an hour."""

    def __init__(self, rules: Rules, home: str = HOME) -> None:
        """`home`: the country of recipients of whom neither region nor time zone tells."""
        self._opens = lru_cache(maxsize=4096)(lambda place, quarter: _opens(place, quarter, home, rules))

    def earliest(self, place: Place, at: float) -> float:
        """The first moment at or after `at` that is fit, both UTC epoch seconds. A region that these rules do not have
        is as good as unknown.

        Raises DataError for a zone that is unknown, or where no moment of the next days is fit.
        """
        quarter = at // _QUARTER
        opens = self._opens(place, quarter)
        return at if opens == quarter * _QUARTER else opens


def _opens(place: Place, quarter: float, home: str, rules: Rules) -> float:
    moment = dt.datetime.fromtimestamp(quarter * _QUARTER, dt.UTC)
    zone, region = place
    known = region if region is not None and is_region(region, rules) else None
    recipient = Recipient(consent=_REACHABLE, time_zone=zone, region=known, home=home)
    permission = may_contact(recipient, "sms", moment, rules)
    if permission.earliest is None:
        raise DataError(
            f"time zone {zone!r}, region {region!r}: the rules leave no hour in the next days for a contact"
        )
    return permission.earliest.timestamp()


def is_zone(name: str) -> bool:
    """Whether `name` is a place's time zone, or UTC's, that this machine knows."""
    return name in _zones()


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones() - _NO_PLACES)


_KEPT = 8192
Passed = TypeVar("Passed", Message, None)


class Blocked(Exception):  # noqa: N818 - what the shield says
    """The shield refuses the text: by these rules."""

    def __init__(self, rules: tuple[str, ...]) -> None:
        super().__init__(", ".join(rules))
        self.rules = rules


class Templates:
    """Templates of one bundle. Used by the writer's thread only."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises BundleError for a bundle without the part `shield`."""
        if bundle.message is None or bundle.rules is None:
            raise BundleError(f"{bundle.folder}: has no part 'shield', so it writes no messages")
        self._settings, self.rules = bundle.message, bundle.rules
        self._offers = [bundle.said_offer(name) for name in bundle.offers]
        self._passed: OrderedDict[Hashable, Message | None] = OrderedDict()

    def brief(self, ask: Ask, offer: int) -> Brief:
        """What the message is to say, of an offer by its index."""
        recipient = {"first_name": ask.first_name}
        if ask.channel is not None:
            recipient["channel"] = ask.channel
        if ask.tone is not None:
            recipient["tone"] = ask.tone
        return brief_of(self._settings, ask.facts, recipient, self._offers[offer])

    def write(self, brief: Brief) -> Message:
        """The template, passed by the shield. Raises Blocked where no template passes."""
        key = (None, key_of(brief))
        message = self._recent(key)
        return message if message is not None else self._keep(key, self._render(brief))

    def fill(self, variant_id: str, variant: Variant, brief: Brief) -> Message | None:
        """An approved wording for one customer; None where she lacks what it speaks of, or the shield refuses it."""
        key = (variant_id, key_of(brief))
        if key in self._passed:
            return self._recent(key)
        text = variant.fill(brief)
        if text is None:
            return self._keep(key, None)
        verdict = shield.check(text, brief, self.rules, by=variant.author, despite=variant.despite)
        if not verdict.passed:
            return self._keep(key, None)
        return self._keep(key, passed(text, verdict, "variant", brief))

    def _render(self, brief: Brief) -> Message:
        try:
            text, verdict = shield.render_checked(brief, self.rules)
        except ConfigError:
            raise Blocked(("template",)) from None
        return passed(text, verdict, "template", brief)

    def _recent(self, key: Hashable) -> Message | None:
        """The message of `key`, which is the last to be dropped now."""
        if key in self._passed:
            self._passed.move_to_end(key)
        return self._passed.get(key)

    def _keep(self, key: Hashable, message: Passed) -> Passed:
        self._passed[key] = message
        if len(self._passed) > _KEPT:
            self._passed.popitem(last=False)
        return message


def passed(text: str, verdict: Verdict, source: Literal["variant", "template"], brief: Brief) -> Message:
    """The text as a message: the only way to one is through here. Raises Blocked where the shield refuses it."""
    if not verdict.passed:
        raise Blocked(verdict.blocking)
    return Message(
        text=text,
        source=source,
        channel=brief.channel,
        footer=shield.footer(brief) if brief.channel == "email" else "",
        rules_version=verdict.rules_version,
        warnings=tuple(Mark(each.rule, "warn", each.start, each.end, each.detail) for each in verdict.violations),
    )


def key_of(brief: Brief) -> Hashable:
    """What of a brief matters for its words."""
    return brief.channel, brief.tone, brief.angle, brief.first_name, brief.offer, tuple(brief.facts.items())


class ApprovedWordings:
    """The approved wordings at one moment, by kind, with the probability of each of being the best of those that fit a
    customer. Used by the writer's thread only."""

    def __init__(self, approved: Approved | None = None) -> None:
        """`approved` as the ledger has them; None: none are, so far."""
        self.version = None if approved is None else approved.version
        self._kinds = {} if approved is None else approved.wordings
        self._angled = {replace(kind, angle="") for kind in self._kinds if kind.angle}
        self._best: dict[tuple[Kind, tuple[int, ...]], Float[np.ndarray, " fit"]] = {}

    def write(
        self, templates: Templates, brief: Brief, offer: str, number: float, angle: Callable[[], str] = str
    ) -> Message:
        """The message of this brief, passed by the shield with the customer's own words.

        Args:
            offer: name of the offer.
            number: uniform in [0, 1), by which the wording is drawn.
            angle: why this customer may leave; asked only where there are wordings that speak to it, for it takes
                milliseconds to explain a score.

        Raises Blocked where not even the template passes.
        """
        kind = Kind(offer, brief.channel, brief.tone)
        if kind in self._angled and self._fit(own := replace(kind, angle=angle()), brief)[1:]:
            kind = own  # one at least that speaks to it beside the template, which does so where it has room
            brief = replace(brief, angle=kind.angle or None)
        chosen = None
        drawn = {"variant_id": kind.template_id, "variant_propensity": 1.0, "variant_choices": ""}
        if fit := self._fit(kind, brief):
            found = self._kinds[kind]
            if (kind, fit) not in self._best:  # of those that fit: the best of all may not be among them
                self._best[kind, fit] = best_probabilities([found[each].answers for each in fit])
            place, propensity = choose(self._best[kind, fit], number)
            chosen = found[fit[place]]
            ids = tuple([found[each].variant_id for each in fit])
            drawn |= {"variant_propensity": propensity, "variant_choices": choices(ids)}
        message = None
        if chosen is not None and chosen.variant is not None:
            # The only one that is checked: the shield takes more than a millisecond.
            message = templates.fill(chosen.variant_id, chosen.variant, brief)
            # The template for want of another was not drawn, and does not count.
            drawn |= {"variant_propensity": 1.0} if message is None else {"variant_id": chosen.variant_id}
        return msgspec.structs.replace(message or templates.write(brief), **drawn)

    def _fit(self, kind: Kind, brief: Brief) -> tuple[int, ...]:
        """Places of the wordings that this brief can fill, the template's first; empty where none of the kind are."""
        wordings = enumerate(self._kinds.get(kind, ()))
        return tuple([n for n, each in wordings if each.variant is None or each.variant.fill(brief) is not None])


NO_WORDINGS = ApprovedWordings()
