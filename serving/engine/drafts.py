"""The decision itself: score, mask, policy and draw for the situations of one bundle, then the answer to each."""

import functools
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np

from retentionjax.company.offers import NONE
from retentionjax.decide.customer import Customer
from retentionjax.decide.draws import uniform
from retentionjax.decide.program import RULES, Conditions, Decided, sample, stack
from retentionjax.env.actions import WAIT
from retentionjax.shield import Brief
from serving.engine.contract import ENCODER, Churn, Decision, Message, OfferMade, Removed
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
    churn: float | None  # None, with accept, baseline and observation, where the models failed
    accept: float | None
    baseline: float | None
    elevated: bool
    mask: int
    removed: dict[str, int]  # rule of the environment → bit set
    observation: bytes | None
    propensities: bytes
    values: list[float]
    pace: Pace
    customer: Customer
    pilot: bool = False  # whether it carries out her arm of a pilot


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
        make = _wait if row.action == WAIT else _contact
        drafts.append(make(served, slot, each, terms, decision_id, row))
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
    return row._replace(
        action=WAIT, propensity=1.0, mask=1 << WAIT, removed=row.removed | {"pilot": choices.contacts},
        propensities=_waits(served),
    )  # fmt: skip


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
    """Where the models fail: no contact, and the answer says why."""
    row = Row(
        action=WAIT,
        propensity=1.0,
        churn=None,
        accept=None,
        baseline=None,
        elevated=False,
        mask=1 << WAIT,
        removed={SCORING_FAILED: served.choices.contacts},
        observation=None,
        propensities=_waits(served),
        values=[],
        pace=Pace(1.0, None),
        customer=situation.customer(served.choices),
    )
    (decision_id,) = uuids7(terms.now, 1)
    return _wait(served, slot, situation, terms, decision_id, row, degradations=(SCORING_FAILED,))


def _waits(served: Served) -> bytes:
    """Propensities of *wait* for certain."""
    return np.eye(1, served.choices.count, dtype="<f4").tobytes()


def _rows(decided: Decided, chosen: np.ndarray, limits: Conditions, customers: Sequence[Customer]) -> Iterator[Row]:
    """Columns to rows; a dozen conversions for the whole batch instead of a dozen a customer."""
    rows, rules, actions = decided.removed.shape
    flat = _bit_sets(decided.removed.reshape(rows * rules, actions))
    removed = [flat[start : start + rules] for start in range(0, len(flat), rules)]
    masks = _bit_sets(decided.mask)
    observations = decided.observation.astype("<f4")
    propensities = decided.propensities.astype("<f4")
    columns = zip(
        chosen.tolist(),
        np.take_along_axis(decided.propensities, chosen[:, None], axis=1)[:, 0].tolist(),
        decided.churn_probability.tolist(),
        decided.accept_probability.tolist(),
        decided.baseline.tolist(),
        decided.elevated.tolist(),
        masks,
        removed,
        observations,
        propensities,
        decided.values.tolist(),
        map(Pace, limits.throttle.tolist(), repeat(None) if limits.multiplier is None else limits.multiplier.tolist()),
        customers,
        strict=True,
    )
    for action, propensity, churn, accept, baseline, elevated, mask, gone, seen, chances, *rest in columns:
        by_rule = {rule: bits for rule, bits in zip(_OF_ENVIRONMENT, gone, strict=False) if bits}
        yield Row(
            action, propensity, churn, accept, baseline, elevated, mask, by_rule, seen.tobytes(), chances.tobytes(),
            *rest,
        )  # fmt: skip


def _bit_sets(flags: np.ndarray) -> list[int]:
    """Rows of booleans as bit sets."""
    packed = np.packbits(flags, axis=1, bitorder="little")
    data, width = packed.tobytes(), packed.shape[1]
    return [int.from_bytes(data[start : start + width], "little") for start in range(0, len(data), width)]


def _contact(served: Served, slot: SlotName, situation: Situation, terms: Terms, decision_id: str, row: Row) -> Draft:
    """A contact with its checked template; where no text passes the shield there is no contact."""
    offer, place = served.choices.decode(row.action)
    delay = served.choices.delays[place]
    if served.templates is None:
        raise AssertionError("without a shield every contact is barred")
    brief = served.templates.brief(situation.ask, offer)
    number = uniform(situation.ask.customer_id, f"{situation.ask.campaign_id}\0words", situation.day)
    try:
        message = terms.wordings.write(served.templates, brief, served.choices.offers[offer].name, number)
    except Blocked as blocked:
        barred = row._replace(
            action=WAIT, propensity=1.0, mask=1 << WAIT, removed=row.removed | {"message": served.choices.contacts},
            propensities=_waits(served),
        )  # fmt: skip
        waits = _wait(served, slot, situation, terms, decision_id, barred, degradations=(MESSAGE_BLOCKED,))
        waits.blocked = blocked.rules
        return waits
    at = send_at(situation, served, delay, terms.now)
    decision = _answer(
        served, slot, situation, terms, decision_id, row,
        offer=served.choices.offers[offer], delay=delay, at=at, message=message,
        reserved=0 if slot == "shadow" else situation.costs[offer],
    )  # fmt: skip
    return Draft(situation, decision, _record(served, slot, situation, terms, row, decision, at, offer), brief)


def _wait(
    served: Served, slot: SlotName, situation: Situation, terms: Terms, decision_id: str, row: Row,
    degradations: tuple[str, ...] = (),
) -> Draft:  # fmt: skip
    decision = _answer(served, slot, situation, terms, decision_id, row, degradations=degradations)
    return Draft(situation, decision, _record(served, slot, situation, terms, row, decision, None))


def _answer(
    served: Served,
    slot: SlotName,
    situation: Situation,
    terms: Terms,
    decision_id: str,
    row: Row,
    *,
    offer: OfferMade | None = None,
    delay: int | None = None,
    at: float | None = None,
    message: Message | None = None,
    reserved: int = 0,
    degradations: tuple[str, ...] = (),
) -> Decision:
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
        decision="wait" if offer is None else "contact",
        action=row.action,
        propensity=row.propensity,
        channel=ask.channel or served.channel,
        offer=offer,
        delay_days=delay,
        send_at=None if at is None else iso(at),
        message=message,
        reserved_micros=reserved,
        churn=None
        if row.churn is None or row.baseline is None
        else Churn(row.churn, row.baseline, "elevated" if row.elevated else "calm"),
        rules=tuple([_removed(rule, bits) for rule, bits in removed.items()]),
        bundle=served.versions[slot],
        degradations=degradations,
        dry_run=ask.dry_run,
        reason=situation.reason,
    )


def _record(
    served: Served,
    slot: SlotName,
    situation: Situation,
    terms: Terms,
    row: Row,
    decision: Decision,
    at: float | None,
    offer: int | None = None,
) -> DecisionRow:
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
        send_at=at,
        reserve_micros=decision.reserved_micros,
        contact_cost_micros=served.costs.contact if decision.reserved_micros else 0,
        observation=row.observation,
        mask=row.mask.to_bytes((served.choices.count + 7) // 8, "little"),
        propensities=row.propensities,
        churn_probability=row.churn,
        baseline_churn_probability=row.baseline,
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
        effect_days=0 if offer is None else served.choices.effect_days[offer],
        amount_micros=0 if offer is None else int(served.costs.amounts[offer]),
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
    )


@functools.lru_cache(maxsize=4096)
def _removed(rule: str, bits: int) -> Removed:
    """The rule and the actions in a bit set."""
    return Removed(rule, tuple(action for action in range(bits.bit_length()) if bits >> action & 1))
