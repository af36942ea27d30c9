"""The decision itself: score, mask, policy and draw for the situations of one bundle, then the answer to each."""

import functools
import itertools
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec
import numpy as np

from retentionjax.company.offers import NONE
from retentionjax.decide.customer import Customer
from retentionjax.decide.draws import uniform
from retentionjax.decide.explain import angle
from retentionjax.decide.program import RULES, Conditions, Decided, sample, stack
from retentionjax.env.actions import WAIT
from retentionjax.shield import Brief
from serving.engine.contract import ENCODER, Churn, Decision, Message, Removed
from serving.engine.messages import NO_WORDINGS, ApprovedWordings, Blocked
from serving.engine.situations import Basis, Pace, Situation, conditions, send_at
from serving.engine.slots import Served
from serving.fields import iso
from serving.ledger.types import DecisionRow, KillSwitch, SlotName

_DIGITS = 20  # hexadecimal, drawn for each id
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))  # two bits of a digit, behind the variant's 10₂


def uuids7(now: float, count: int) -> list[str]:
    """New ids at `now`, UTC epoch seconds; all of a micro-batch at once, for each look at the system's randomness costs
    as much as the rest."""
    milliseconds = f"{int(now * 1000) & (1 << 48) - 1:012x}"
    begin = f"{milliseconds[:8]}-{milliseconds[8:]}-7"
    drawn = secrets.token_hex(_DIGITS // 2 * count)
    return [_text(begin, drawn[start : start + _DIGITS]) for start in range(0, len(drawn), _DIGITS)]


def _text(begin: str, random: str) -> str:
    return f"{begin}{random[:3]}-{_VARIANT[random[3]]}{random[4:7]}-{random[7:19]}"


_OF_ENVIRONMENT = RULES[:-1]  # what the last one stands for is in Situation.barred, by name
SCORING_FAILED = "scoring_failed"
MESSAGE_BLOCKED = "message_blocked"
NO_SHIELD = "no_shield"


class Terms(NamedTuple):
    """What decides beside the bundle."""

    switch: KillSwitch
    exploration: float
    now: float
    wordings: ApprovedWordings = NO_WORDINGS


class Row(NamedTuple):
    """What the program says of one customer, as plain values."""

    action: int
    propensity: float
    mask: int
    removed: dict[str, int]  # rule of the environment → bit set
    propensities: bytes
    pace: Pace
    customer: Customer
    churn: float | None = None  # None, with accept, usual and observation, where the models failed
    accept: float | None = None
    usual: float | None = None
    elevated: bool = False
    observation: bytes | None = None
    values: Sequence[float] = ()
    pilot: bool = False  # whether it carries out her arm of a pilot

    def waiting(self, served: Served, rule: str) -> "Row":
        """The same customer, whom a rule keeps from being contacted."""
        return self._replace(
            action=WAIT,
            propensity=1.0,
            mask=1 << WAIT,
            removed=self.removed | {rule: served.choices.contacts},
            propensities=_waits(served),
        )


class DraftCase(NamedTuple):
    """A decision with all that it is made of."""

    served: Served
    slot: SlotName
    situation: Situation
    terms: Terms
    decision_id: str
    row: Row


class Sending(NamedTuple):
    """What a contact offers, and the message that does."""

    offer: int
    delay: int  # days, as the policy wanted it
    at: float
    message: Message
    brief: Brief


@dataclass(slots=True)
class Draft:
    """A decision not yet recorded."""

    situation: Situation
    decision: Decision
    row: DecisionRow
    brief: Brief | None = None
    """What the message is to say; None to wait."""
    blocked: tuple[str, ...] = ()
    """Rules by which the shield refused the only text there was."""

    def change(self, **fields: Any) -> None:
        """Another answer to the same decision, in the record too."""
        self.decision = msgspec.structs.replace(self.decision, **fields)
        message = self.decision.message
        self.row = replace(
            self.row,
            degradations=self.decision.degradations,
            message_json=None if message is None else ENCODER.encode(message),
            response=ENCODER.encode(self.decision),
        )


def draft(served: Served, slot: SlotName, situations: Sequence[Situation], terms: Terms) -> list[Draft]:
    """Decides. Raises whatever the models raise; nothing is recorded here."""
    features = served.decider.facts.stack([each.row for each in situations])
    customers = [each.customer(served.choices) for each in situations]
    limits = conditions(situations, served, terms.now, terms.switch, terms.exploration)
    known = stack(customers, features.monthly_charge, served.bundle.params)
    decided = served.decider.decide(features, known, limits, by_rule=terms.switch == "baseline")
    ids = uuids7(terms.now, len(situations))
    drawn = [uniform(each.ask.customer_id, each.ask.campaign_id, each.day) for each in situations]
    rows = _rows(decided, sample(decided.propensities, np.array(drawn)), limits, customers)
    drafts = []
    for each, decision_id, row in zip(situations, ids, rows, strict=True):
        if each.pilot is not None:
            row = _piloted(served, each, terms, row)
        case = DraftCase(served, slot, each, terms, decision_id, row)
        drafts.append(_drafted(case) if row.action == WAIT else _contact(case))
    return drafts


def _piloted(served: Served, situation: Situation, terms: Terms, row: Row) -> Row:
    """Her arm of the pilot, today, where all its arms could be carried out: then who is tried does not depend on the
    arm, and those who were left alone are a control for those who were not. Otherwise she waits, as after it."""
    pilot, choices, assignment = situation.pilot, served.choices, situation.view.assignment
    if pilot is None or assignment.acted:
        return row
    shares = {action: share for name, share in pilot.arms if (action := choices.today(name)) is not None}
    possible = len(shares) == len(pilot.arms) and all(row.mask >> action & 1 for action in shares)
    if possible and terms.switch == "policy" and _writes(served, situation, shares):
        situation.pilot_cost = max(situation.costs[choices.decode(action)[0]] for action in shares if action != WAIT)
        if situation.pilot_cost <= situation.pilot_left:
            chances = np.zeros(choices.count, "<f4")
            chances[list(shares)] = list(shares.values())
            action = choices.today(assignment.arm.pilot_arm or NONE) or WAIT
            return row._replace(action=action, propensity=shares[action], propensities=chances.tobytes(), pilot=True)
    return row.waiting(served, "pilot")


def _writes(served: Served, situation: Situation, actions: Iterable[int]) -> bool:
    """Whether there is a message for each of the contacts."""
    if served.templates is None:
        return False
    try:
        for action in actions:
            if action != WAIT:
                served.templates.write(served.templates.brief(situation.ask, served.choices.decode(action)[0]))
    except Blocked:
        return False
    return True


def unscored(served: Served, slot: SlotName, situation: Situation, terms: Terms) -> Draft:
    """A draft for when the models fail: no contact, and the answer says why."""
    contacts, customer = served.choices.contacts, situation.customer(served.choices)
    row = Row(WAIT, 1.0, 1 << WAIT, {SCORING_FAILED: contacts}, _waits(served), Pace(1.0, None), customer)
    (decision_id,) = uuids7(terms.now, 1)
    return _drafted(DraftCase(served, slot, situation, terms, decision_id, row), degradations=(SCORING_FAILED,))


def _waits(served: Served) -> bytes:
    """Propensities of *wait* for certain."""
    return np.eye(1, served.choices.count, dtype="<f4").tobytes()


def _rows(decided: Decided, chosen: np.ndarray, limits: Conditions, customers: Sequence[Customer]) -> Iterator[Row]:
    """Columns to rows; a dozen conversions for the whole batch instead of a dozen a customer."""
    rows, rules, actions = decided.removed.shape
    flat = _bit_sets(decided.removed.reshape(rows * rules, actions))
    removed = [flat[start : start + rules] for start in range(0, len(flat), rules)]
    columns = zip(
        chosen.tolist(),
        np.take_along_axis(decided.propensities, chosen[:, None], axis=1)[:, 0].tolist(),
        _bit_sets(decided.mask),
        [{rule: bits for rule, bits in zip(_OF_ENVIRONMENT, gone, strict=False) if bits} for gone in removed],
        [each.tobytes() for each in decided.propensities.astype("<f4")],
        map(
            Pace,
            limits.throttle.tolist(),
            itertools.repeat(None) if limits.multiplier is None else limits.multiplier.tolist(),
        ),
        customers,
        decided.churn_probability.tolist(),
        decided.accept_probability.tolist(),
        decided.usual.tolist(),
        decided.elevated.tolist(),
        [each.tobytes() for each in decided.observation.astype("<f4")],
        decided.values.tolist(),
        strict=True,
    )
    return itertools.starmap(Row, columns)


def _bit_sets(flags: np.ndarray) -> list[int]:
    """Rows of booleans as bit sets."""
    packed = np.packbits(flags, axis=1, bitorder="little")
    data, width = packed.tobytes(), packed.shape[1]
    return [int.from_bytes(data[start : start + width], "little") for start in range(0, len(data), width)]


def _contact(case: DraftCase) -> Draft:
    """A contact with its checked template; where no text passes the shield there is no contact."""
    served, _, situation, terms, _, row = case
    offer, place = served.choices.decode(row.action)
    delay = served.choices.delays[place]
    if served.templates is None:
        raise AssertionError("without a shield every contact is barred")
    brief = served.templates.brief(situation.ask, offer)
    number = uniform(situation.ask.customer_id, f"{situation.ask.campaign_id}\0words", situation.day)
    try:
        name = served.choices.offers[offer].name
        message = terms.wordings.write(served.templates, brief, name, number, lambda: _angle(served, situation))
    except Blocked as blocked:
        waits = _drafted(case._replace(row=row.waiting(served, "message")), degradations=(MESSAGE_BLOCKED,))
        waits.blocked = blocked.rules
        return waits
    return _drafted(case, Sending(offer, delay, send_at(situation, served, delay, terms.now), message, brief))


def _angle(served: Served, situation: Situation) -> str:
    """Why the customer may leave, by what makes up her score."""
    return angle(served.bundle, served.decider.facts.stack([situation.row]))


def _drafted(case: DraftCase, sending: Sending | None = None, degradations: tuple[str, ...] = ()) -> Draft:
    """The draft of a contact, None to wait."""
    decision = _answer(case, sending, degradations)
    return Draft(case.situation, decision, _record(case, sending, decision), None if sending is None else sending.brief)


def _answer(case: DraftCase, sending: Sending | None, degradations: tuple[str, ...]) -> Decision:
    served, slot, situation, terms, decision_id, row = case
    ask = situation.ask
    removed = dict(row.removed)
    for rule, gone in situation.barred.items():
        removed[rule] = removed.get(rule, 0) | gone
    if served.templates is None:
        degradations = (*degradations, NO_SHIELD)
    return Decision(
        decision_id=decision_id,
        customer_id=ask.customer_id,
        campaign_id=ask.campaign_id,
        decided_at=iso(terms.now),
        day=situation.day,
        decision="wait" if sending is None else "contact",
        action=row.action,
        propensity=row.propensity,
        channel=ask.channel or served.channel,
        offer=None if sending is None else served.choices.offers[sending.offer],
        delay_days=None if sending is None else sending.delay,
        send_at=None if sending is None else iso(sending.at),
        message=None if sending is None else sending.message,
        reserved_micros=0 if sending is None or slot == "shadow" else situation.costs[sending.offer],
        churn=None
        if row.churn is None or row.usual is None
        else Churn(row.churn, row.usual, "elevated" if row.elevated else "calm"),
        rules=tuple([_removed(rule, bits) for rule, bits in removed.items()]),
        bundle=served.versions[slot],
        degradations=degradations,
        dry_run=ask.dry_run,
        reason=situation.reason,
    )


def _record(case: DraftCase, sending: Sending | None, decision: Decision) -> DecisionRow:
    served, slot, situation, terms, _, row = case
    ask = situation.ask
    return DecisionRow(
        decision_id=decision.decision_id,
        customer_id=ask.customer_id,
        campaign_id=ask.campaign_id,
        decided_at=terms.now,
        day=decision.day,
        channel=decision.channel,
        action=row.action,
        offer=None if decision.offer is None else decision.offer.name,
        delay=decision.delay_days or 0,
        send_at=None if sending is None else sending.at,
        reserve_micros=decision.reserved_micros,
        contact_cost_micros=served.costs.contact if decision.reserved_micros else 0,
        observation=row.observation,
        mask=row.mask.to_bytes((served.choices.count + 7) // 8, "little"),
        propensities=row.propensities,
        churn_probability=row.churn,
        baseline_churn_probability=row.usual,
        accept_probability=row.accept,
        monthly_charge=situation.charge,
        bundle_id=served.id,
        policy_version=served.policy_version,
        rules_version=served.rules_version,
        slot=slot,
        degradations=decision.degradations,
        executed=slot != "shadow",
        message_json=None if decision.message is None else ENCODER.encode(decision.message),
        response=ENCODER.encode(decision),
        idempotency=None if slot == "shadow" else ask.idempotency,
        offer_days=0 if decision.offer is None else decision.offer.days,
        effect_days=0 if sending is None else served.choices.effect_days[sending.offer],
        amount_micros=0 if sending is None else int(served.costs.amounts[sending.offer]),
        basis=ENCODER.encode(
            Basis(
                ask.facts,
                terms.exploration,
                tuple(row.values),
                row.customer,
                row.pace.throttle,
                terms.switch,
                row.pace.price,
            )
        ),
        pilot=row.pilot,
        variant_id="" if decision.message is None else decision.message.variant_id,
        variant_propensity=1.0 if decision.message is None else decision.message.variant_propensity,
        variant_choices="" if decision.message is None else decision.message.variant_choices,
        time_zone=ask.time_zone,
        region=ask.region,
    )


@functools.lru_cache(maxsize=4096)
def _removed(rule: str, bits: int) -> Removed:
    """The rule and the actions in a bit set."""
    return Removed(rule, tuple(action for action in range(bits.bit_length()) if bits >> action & 1))
