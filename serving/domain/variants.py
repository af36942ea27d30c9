"""`/v1/variants`.

The shield judges a wording by a dozen examples and by the phrases that are approved for its kind, and finding these
takes 0.2 to 1.5 s of CPU. So each wording is judged once for each bundle, on a thread of its own.
"""

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal
from weakref import WeakKeyDictionary

import msgspec
from litestar import Request, get, patch, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from retentionjax.bundle import Bundle
from retentionjax.decide import variants as words
from retentionjax.decide.comparing import lift
from retentionjax.decide.variants import Kind, Variant
from retentionjax.errors import ConfigError
from retentionjax.shield import Rules, Verdict
from retentionjax.shield.brief import Brief, Channel, Tone
from retentionjax.shield.phrasebook import Phrasebook
from serving.domain import guarded
from serving.engine.contract import OfferName
from serving.engine.slots import Served
from serving.fields import TEXT_PATTERN, VARIANT_PATTERN, MomentOut, shown
from serving.ledger import Ledger
from serving.ledger.wordings import StoredVariant, VariantState
from serving.problems import Problem, field_error, invalid, not_found
from serving.security.bodies import BATCH_BODY_LIMIT
from serving.security.gate import Caller
from serving.side_work import Check, scanned

Angle = Annotated[
    Literal["", "price", "contract", "support", "unused"],
    Meta(description="The reason to leave that it speaks to; sent to those who may leave for it"),
]
VariantId = Annotated[str, Meta(pattern=VARIANT_PATTERN, description="Start of the SHA-256 of kind and text")]
RuleId = Annotated[str, Meta(pattern=r"^[a-z_]{1,40}\.[a-z_]{1,40}$", examples=["text.suspect"])]
Text = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2000,
        pattern=TEXT_PATTERN,
        description="The message, with {sender}, {name}, {plan}, {tenure} and other facts where they differ",
        examples=["{sender}: Hi {name}, take 10% off for 30 days. Reply YES to accept. Reply STOP to opt out."],
    ),
]


class VariantIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wording somebody proposes."""

    offer: OfferName
    text: Text
    channel: Channel = "sms"
    tone: Tone = "warm"
    angle: Angle = ""
    despite: Annotated[
        tuple[RuleId, ...],
        Meta(max_length=20, description="Rules in doubt that are overruled; then somebody else must approve it"),
    ] = ()


class VariantsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wordings that somebody proposes."""

    variants: Annotated[tuple[VariantIn, ...], Meta(min_length=1, max_length=100)]


class VariantDecisionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of a wording."""

    state: Annotated[
        Literal["approved", "refused", "retired"],
        Meta(description="approved: sent from the next minute on; retired: not sent any more"),
    ]


class AnswersOut(msgspec.Struct, frozen=True):
    """What customers did with one wording."""

    sent: Annotated[int, Meta(ge=0)]
    accepted: Annotated[int, Meta(ge=0)]
    opted_out: Annotated[int, Meta(ge=0)]


class AcceptLiftOut(msgspec.Struct, frozen=True):
    """Accept rate less that of the shield's template, among customers who could have been sent either; measured. The
    interval may be looked at every day."""

    estimate: float
    low: float
    high: float


class VariantOut(msgspec.Struct, frozen=True):
    """A wording, what the shield says of it, and what customers did."""

    variant_id: VariantId
    offer: OfferName
    channel: Channel
    tone: Tone
    angle: Angle
    text: Text
    author: Annotated[Literal["model", "person"], Meta(description="Who wrote it")]
    despite: Annotated[tuple[RuleId, ...], Meta(description="Rules in doubt that its author overrules")]
    state: VariantState
    examples: Annotated[tuple[str, ...], Meta(description="Texts as customers would read them")]
    broken_rules: Annotated[
        tuple[str, ...], Meta(description="Rules of the shield that today's bundle says it breaks; then it is not sent")
    ]
    warnings: Annotated[tuple[str, ...], Meta(description="Rules of the shield that warn of it; it may be sent")]
    said: Annotated[dict[str, str], Meta(description="Words and reason, by the rule that is broken or warns")]
    proposed_at: MomentOut
    proposed_by: str
    decided_at: MomentOut | None
    decided_by: str | None
    answers: AnswersOut
    template: Annotated[AnswersOut, Meta(description="The same of the shield's template of this kind")]
    lift: Annotated[
        AcceptLiftOut | None, Meta(description="Null before both were sent to customers who had the same choice")
    ]


class VariantsOut(msgspec.Struct, frozen=True):
    """Wordings by kind, the oldest first."""

    variants: tuple[VariantOut, ...]


VARIANT = "/v1/variants/{variant_id:str}"
_ID = "The wording: 16 hexadecimal digits"
VariantInPath = Annotated[str, PathParameter(pattern=VARIANT_PATTERN, description=_ID)]
_SHOWN = 2  # examples


@get(
    "/v1/variants",
    **guarded("variants", "listVariants", "Wordings of messages, and what customers did with each", "report"),
)
async def list_variants(request: Request[Any, Any, Any]) -> VariantsOut:
    """All wordings; the shield's template is one of each kind and has no row of its own."""
    return VariantsOut(tuple(await variants_now(request.app.state, request.auth)))


@post(
    "/v1/variants",
    status_code=201,
    request_max_body_size=BATCH_BODY_LIMIT,
    **guarded("variants", "proposeVariants", "Propose wordings", also=(413, 415)),
)
async def propose_variants(request: Request[Any, Any, Any], data: JSONBody[VariantsIn]) -> VariantsOut:
    """The shield must pass each with every example; all are kept or none. Nothing is sent before it is approved."""
    state, caller = request.app.state, request.auth
    judged = await propose(state, caller, data.variants, "variants[{}].")
    kept = await _kept(state)
    return VariantsOut(tuple(_out(each, judged[each.variant.id]) for each in kept if each.variant.id in judged))


@patch(
    VARIANT,
    **guarded("variants", "decideVariant", "Approve, refuse or retire a wording", also=(404, 409, 413, 415)),
)
async def decide_variant(
    request: Request[Any, Any, Any], variant_id: VariantInPath, data: JSONBody[VariantDecisionIn]
) -> VariantOut:
    """Who decided and when is kept. What the shield refuses cannot be approved, and what was proposed despite a rule
    only by somebody else. Refusing and retiring do not ask it: their answers have no examples and name no rules."""
    return await decide(request.app.state, request.auth, variant_id, data.state)


Verdicts = Sequence[tuple[str, Verdict]]


class Jury:
    """The shield of one bundle. What it has said of a wording it remembers."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.judged = functools.lru_cache(4096)(self._judged)
        self._last: tuple[Kind, Phrasebook] | None = None

    @classmethod
    def of(cls, state: Any) -> "Jury":
        """That of the active bundle."""
        served: Served = state.engine.active
        return _JURIES.setdefault(served, cls(served.bundle))

    def _judged(self, variant: Variant) -> Verdicts:
        """Examples of the text and what the shield says of each; nothing where none can be filled, or no offer is
        such."""
        bundle, kind = self.bundle, variant.kind
        if bundle.message is None or bundle.rules is None or kind.offer not in bundle.offers:
            return ()
        briefs = words.examples(bundle.message, kind, bundle.said_offer(kind.offer))
        # What a model wrote was held against what is approved when it was proposed.
        book = self._book(kind, briefs, bundle.rules) if variant.author == "person" else None
        return words.judge(variant, briefs, bundle.rules, book)

    def _book(self, kind: Kind, briefs: Sequence[Brief], rules: Rules) -> Phrasebook:
        """The phrases approved for a kind. Those of the last are kept: megabytes, and wordings come by kind."""
        last = self._last
        if last is None or last[0] != kind:
            last = self._last = kind, words.phrasebook(briefs, rules)
        return last[1]


_JURIES: WeakKeyDictionary[Served, Jury] = WeakKeyDictionary()


async def variants_now(state: Any, caller: Caller) -> list[VariantOut]:
    """All wordings as they are. Raises Problem 429 and 503, see `SideWork.run`."""
    jury = Jury.of(state)
    found = await _kept(state)

    def judge(check: Check) -> list[VariantOut]:
        return [_out(each, _judged(jury, each.variant, check)) for each in found]

    shown_now: list[VariantOut] = await state.judging.run(caller, judge)
    return shown_now


def _judged(jury: Jury, variant: Variant, check: Check) -> Verdicts:
    check()
    return jury.judged(variant)


async def propose(
    state: Any, caller: Caller, data: Sequence[VariantIn], where: str, replaces: StoredVariant | None = None
) -> dict[str, Verdicts]:
    """Keeps a person's wordings to be decided about, all or none; their ids, and what the shield says of each.

    Raises Problem 422 for one that cannot be sent, where only rules in doubt speak against it with an error of the
    field `despite` that names them; 429 and 503, see `SideWork.run`. Nothing is written then.

    The wording `replaces` that they were edited from is sent until one of them is approved; where nobody has decided
    about it yet, it is refused now.
    """
    jury = Jury.of(state)

    def judge(check: Check) -> list[tuple[Variant, Verdicts]]:
        return [_variant(jury, each, where.format(place), check) for place, each in enumerate(data)]

    judged: list[tuple[Variant, Verdicts]] = await state.judging.run(caller, judge)
    made = [variant for variant, _ in judged]
    await asyncio.to_thread(_keep, state.ledger, made, _rules(jury.bundle), str(caller), replaces)
    return {variant.id: verdicts for variant, verdicts in judged}


def _keep(ledger: Ledger, made: Sequence[Variant], rules: str, who: str, replaces: StoredVariant | None) -> None:
    former = "" if replaces is None else replaces.variant.id
    with ledger.transaction() as tx:
        if tx.propose_variants(made, rules, who, replaces=former):
            tx.changed(who, f"{len(made)} wording{'s' * (len(made) != 1)}", "proposed")
        if former and former not in [each.id for each in made]:
            tx.decide_variant(former, "refused", who, was="proposed")


def _rules(bundle: Bundle) -> str:
    return "" if bundle.rules is None else bundle.rules.version


def _variant(jury: Jury, data: VariantIn, where: str, check: Check) -> tuple[Variant, Verdicts]:
    bundle = jury.bundle
    if bundle.rules is None:
        raise invalid("The active bundle has no shield.", field_error(f"{where}text", allowed="none without a shield"))
    if data.offer not in bundle.offers:
        raise invalid(
            "There is no such offer.", field_error(f"{where}offer", data.offer, allowed=", ".join(bundle.offers))
        )
    despite = _overruled(bundle, data.despite, where)
    try:
        variant = Variant(Kind(data.offer, data.channel, data.tone, data.angle), data.text, "person", despite)
    except ConfigError as wrong:
        allowed = str(wrong).partition("; allowed")[2].lstrip(": ")
        raise invalid("The text has an unknown stand-in.", field_error(f"{where}text", data.text, allowed)) from None
    verdicts = _judged(jury, variant, check)
    faults = [f"a text that passes {rule}: {why}" for rule, why in _said(verdicts, "block", "doubt").items()]
    if faults or not verdicts:
        wanted = faults or ["facts that this company's messages have"]
        errors = [field_error(f"{where}text", data.text, each) for each in wanted]
        if faults and not _said(verdicts, "block"):
            overruled = sorted({*despite, *_broken(verdicts)})
            errors.append(field_error(f"{where}despite", data.despite, ", ".join(overruled)))
        raise invalid("The shield refuses the text.", *errors)
    return variant, verdicts


def _overruled(bundle: Bundle, rules: Sequence[str], where: str) -> tuple[str, ...]:
    """The rules, once each. Raises Problem 422 for one that is not in doubt."""
    if bundle.message is None or bundle.rules is None or not rules:
        return ()
    severities = bundle.rules.severities
    doubts = sorted(
        rule
        for (language, rule), grave in severities.items()
        if grave == "doubt" and language == bundle.message.language
    )
    for place, rule in enumerate(rules):
        if rule not in doubts:
            fault = field_error(f"{where}despite[{place}]", rule, allowed=", ".join(doubts))
            raise invalid("The rule cannot be overruled.", fault)
    return tuple(sorted({*rules}))


def _said(verdicts: Verdicts, *severities: str) -> dict[str, str]:
    """The rules of these severities that are broken: which words break each first, and what is wrong with them."""
    found: dict[str, str] = {}
    for text, verdict in verdicts:
        for each in verdict.violations:
            if each.severity in severities:
                words = text[each.start : each.end]
                found.setdefault(each.rule, f"“{words}”: {each.detail}" if words else each.detail)
    return found


async def decide(state: Any, caller: Caller, variant_id: str, wanted: VariantState) -> VariantOut:
    """What becomes of a wording. Only approving asks the shield: what is not to be sent any more need not wait for it.

    Raises Problem 404; for approving 409 where the shield refuses it today, or who proposed it despite a rule asks, and
    429 and 503, see `SideWork.run`. Nothing is written then.
    """
    kept, jury, verdicts = await stored(state, variant_id), Jury.of(state), None
    variant = kept.variant
    if wanted == "approved":
        if variant.despite and kept.proposed_by == str(caller):
            fault = field_error("state", wanted, f"approval by somebody else than {caller}")
            detail = f"It was proposed despite {', '.join(variant.despite)}, and that takes two."
            raise Problem(409, "takes-two", "Somebody else must approve this text", detail, [fault])
        verdicts = await state.judging.run(caller, lambda check: _judged(jury, variant, check))
        if broken := _broken(verdicts):
            said = _said(verdicts, "block", "doubt")
            why = "; ".join(f"{rule}: {said.get(rule, '')}" for rule in broken)
            fault = field_error("state", wanted, f"refused: the shield says {why}")
            raise Problem(409, "shield-refuses", "The shield refuses this text", "It cannot be approved.", [fault])
    await asyncio.to_thread(_decide, state.ledger, variant_id, wanted, str(caller))
    return _out(await stored(state, variant_id), verdicts)


def _decide(ledger: Ledger, variant_id: str, wanted: VariantState, who: str) -> None:
    with ledger.transaction() as tx:
        tx.decide_variant(variant_id, wanted, who)


async def stored(state: Any, variant_id: str) -> StoredVariant:
    """A wording as it is kept. Raises Problem 404."""
    for each in await _kept(state):
        if each.variant.id == variant_id:
            return each
    raise not_found("variant", "variant_id", variant_id)


async def _kept(state: Any) -> list[StoredVariant]:
    kept: list[StoredVariant] = await scanned(state, state.ledger.ask, lambda view: view.variants())
    return kept


def _broken(verdicts: Verdicts) -> tuple[str, ...]:
    """The rules that keep a wording from being sent."""
    broken = tuple(dict.fromkeys(rule for _, verdict in verdicts for rule in verdict.blocking))
    return broken if verdicts else ("no_such_offer_or_fact",)


def _out(each: StoredVariant, verdicts: Verdicts | None) -> VariantOut:
    """A wording with what the shield says of it; None where it was not asked."""
    broken = () if verdicts is None else _broken(verdicts)
    verdicts = verdicts or ()
    kind = each.variant.kind
    return shown(
        VariantOut,
        each,
        variant_id=each.variant.id,
        **asdict(kind),
        text=each.variant.text,
        author=each.variant.author,
        despite=each.variant.despite,
        examples=tuple(dict.fromkeys(text for text, _ in verdicts))[:_SHOWN],
        broken_rules=broken,
        said=_said(verdicts, "block", "doubt", "warn"),
        warnings=tuple(dict.fromkeys(rule for _, verdict in verdicts for rule in verdict.warning)),
        answers=AnswersOut(*map(int, each.answers)),
        template=AnswersOut(*map(int, each.template)),
        lift=AcceptLiftOut(*lift(*each.matched)) if each.matched[0].sent else None,
    )
