"""The decision itself: score, mask, policy and draw for the situations of one bundle, then the answer to each."""

import functools
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np

from retentionjax.decide.batch import RULES, Decided, Gates, sample, uniform
from retentionjax.decide.batch_encoding import Features
from retentionjax.env.actions import NUM_ACTIONS, NUM_DELAYS, WAIT
from retentionjax.shield import Brief
from serving.engine.contract import ENCODER, Churn, Decision, Message, Offer, Removed
from serving.engine.messages import Blocked
from serving.engine.money import Pace
from serving.engine.situations import ALL_CONTACTS, Basis, Situation, gates, send_at, standing
from serving.engine.slots import Served
from serving.fields import iso
from serving.ledger.types import NO_OFFER, DecisionRow, KillSwitch, SlotName

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


_POWERS = 1 << np.arange(NUM_ACTIONS)
_OF_ENVIRONMENT = RULES[:-1]  # what the last one stands for is in Situation.barred, by name
SCORING_FAILED = "scoring_failed"
MESSAGE_BLOCKED = "message_blocked"
NO_SHIELD = "no_shield"


class Terms(NamedTuple):
    """What decides beside the bundle."""

    switch: KillSwitch
    exploration: float
    now: float


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
    features = Features(
        tuple(each.ask.customer_id for each in situations),
        np.array([each.charge for each in situations]),
        np.array([each.row for each in situations], np.float32),
    )
    limits = gates(situations, served, terms.now, terms.switch, terms.exploration)
    decided = served.decider.decide(features, standing(situations), limits, by_rule=terms.switch == "baseline")
    ids = uuids7(terms.now, len(situations))
    rows = _rows(decided, sample(decided.propensities, np.array([uniform(each) for each in ids])), limits)
    return [
        _contact(served, slot, each, terms, decision_id, row)
        if row.action != WAIT
        else _wait(served, slot, each, terms, decision_id, row)
        for each, decision_id, row in zip(situations, ids, rows, strict=True)
    ]


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
        removed={SCORING_FAILED: ALL_CONTACTS},
        observation=None,
        propensities=np.eye(1, NUM_ACTIONS, dtype="<f4").tobytes(),
        values=[],
        pace=Pace(1.0, None),
    )
    (decision_id,) = uuids7(terms.now, 1)
    return _wait(served, slot, situation, terms, decision_id, row, degradations=(SCORING_FAILED,))


def _rows(decided: Decided, chosen: np.ndarray, limits: Gates) -> Iterator[Row]:
    """Columns to rows; a dozen conversions for the whole batch instead of a dozen a customer."""
    removed = (decided.removed @ _POWERS).tolist()
    masks = (decided.mask @ _POWERS).tolist()
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
        map(Pace, limits.throttle.tolist(), repeat(None) if limits.price is None else limits.price.tolist()),
        strict=True,
    )
    for action, propensity, churn, accept, baseline, elevated, mask, gone, seen, chances, values, paced in columns:
        by_rule = {rule: bits for rule, bits in zip(_OF_ENVIRONMENT, gone, strict=False) if bits}
        yield Row(
            action, propensity, churn, accept, baseline, elevated, mask, by_rule, seen.tobytes(), chances.tobytes(),
            values, paced,
        )  # fmt: skip


def _contact(served: Served, slot: SlotName, situation: Situation, terms: Terms, decision_id: str, row: Row) -> Draft:
    """A contact with its checked template; where no text passes the shield there is no contact."""
    offer, place = divmod(row.action - 1, NUM_DELAYS)
    discount, delay = served.offers[offer], served.delays[place]
    if served.templates is None:
        raise AssertionError("without a shield every contact is barred")
    brief = served.templates.brief(situation.ask, discount)
    try:
        message = served.templates.write(brief)
    except Blocked as blocked:
        barred = row._replace(
            action=WAIT, propensity=1.0, mask=1 << WAIT, removed=row.removed | {"message": ALL_CONTACTS},
            propensities=np.eye(1, NUM_ACTIONS, dtype="<f4").tobytes(),
        )  # fmt: skip
        waits = _wait(served, slot, situation, terms, decision_id, barred, degradations=(MESSAGE_BLOCKED,))
        waits.blocked = blocked.rules
        return waits
    at = send_at(situation, served, delay, terms.now)
    decision = _answer(
        served, slot, situation, terms, decision_id, row,
        offer=Offer(discount, served.offer_days), delay=delay, at=at, message=message,
        reserved=0 if slot == "shadow" else situation.costs[offer],
    )  # fmt: skip
    return Draft(situation, decision, _record(served, slot, situation, terms, row, decision, offer, at), brief)


def _wait(
    served: Served, slot: SlotName, situation: Situation, terms: Terms, decision_id: str, row: Row,
    degradations: tuple[str, ...] = (),
) -> Draft:  # fmt: skip
    decision = _answer(served, slot, situation, terms, decision_id, row, degradations=degradations)
    return Draft(situation, decision, _record(served, slot, situation, terms, row, decision, NO_OFFER, None))


def _answer(
    served: Served,
    slot: SlotName,
    situation: Situation,
    terms: Terms,
    decision_id: str,
    row: Row,
    *,
    offer: Offer | None = None,
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
    )


def _record(
    served: Served,
    slot: SlotName,
    situation: Situation,
    terms: Terms,
    row: Row,
    decision: Decision,
    offer: int,
    at: float | None,
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
        offer=offer,
        delay=decision.delay_days or 0,
        send_at=at,
        reserve_micros=decision.reserved_micros,
        contact_cost_micros=served.costs.contact if decision.reserved_micros else 0,
        observation=row.observation,
        mask=row.mask,
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
        basis=ENCODER.encode(Basis.of(situation, terms.switch, terms.exploration, row.pace, row.values)),
    )


@functools.lru_cache(maxsize=4096)
def _removed(rule: str, bits: int) -> Removed:
    """The rule and the actions in a bit set."""
    return Removed(rule, tuple(action for action in range(NUM_ACTIONS) if bits >> action & 1))
