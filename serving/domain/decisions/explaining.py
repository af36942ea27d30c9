"""Why a decision is what it is: from its record, and from the bundle that made it where that still serves."""

from typing import Any

import msgspec
import numpy as np

from retentionjax.bundle.program import VALUES
from retentionjax.decide import decision as deciding
from retentionjax.decide import rules
from retentionjax.decide.decision import Decision as Reasoned
from retentionjax.env.actions import NUM_ACTIONS
from retentionjax.env.types import EnvParams
from serving.domain.decisions.schemas import (
    ActionOut,
    ConstraintOut,
    ExpectedOut,
    Explanation,
    OfferOut,
    PacingOut,
    ReasonOut,
)
from serving.engine.contract import Decision, Removed
from serving.engine.situations import Basis
from serving.engine.slots import Served
from serving.problems import Problem
from serving.security.gate import Caller

NOT_SERVING, NO_TIME = "bundle_not_serving", "no_time"
_WHY = {
    "campaign_budget": "the campaign's money does not cover them in full",
    "campaign_end": "they would be sent after the campaign's last day",
    "consent": "the customer has not agreed to be contacted by this channel",
    "churned": "the customer has left",
    "contact_frequency": "the shield's rules allow no more contacts so soon",
    "one_contact_a_day": "there was a contact today",
    "kill_switch": "an administrator has stopped all contacts",
    "no_shield": "the bundle has no rules to check a message by",
    "message": "no text for this customer passes the shield",
    "scoring_failed": "the models failed",
    "account_cap": "what is left of the customer's account does not cover them in full",
}


async def explained(state: Any, caller: Caller, decision: Decision, row: Any) -> Explanation:
    """What `explain` says of a decision just made, whose `row` was recorded.

    Where there is no room or time for it, what the record alone says: the decision is made and is not held back.
    """
    served = state.engine.served(row.bundle_id)
    try:
        return await state.side_work.run(caller, lambda _: explain(decision, row.propensities, row.basis, served))
    except Problem:
        return explain(decision, row.propensities, row.basis, None, missing=NO_TIME)


def explain(
    decision: Decision, propensities: bytes, basis: bytes, served: Served | None, *, missing: str = NOT_SERVING
) -> Explanation:
    """`propensities` f32[13] and `basis` as recorded; `served` the bundle that decided, or None and why: `missing`."""
    made_from = msgspec.json.decode(basis, type=Basis)
    reasoned = None if served is None else _reasoned(decision, made_from, served)
    chances = np.frombuffer(propensities, "<f4")
    why = {} if reasoned is None else {each.rule: each.why for each in reasoned.removals}
    return Explanation(
        actions=_actions(chances, decision.rules, None if served is None else served.bundle.params),
        constraints=tuple(_constraint(each, why) for each in decision.rules),
        expected=ExpectedOut(**dict(zip(VALUES, made_from.values, strict=True)))
        if made_from.values and made_from.switch == "policy"
        else None,
        offers=() if reasoned is None else offers_of(reasoned),
        never_contact_value=None if reasoned is None else reasoned.never,
        price=made_from.price if reasoned is None else reasoned.price,
        reasons=() if reasoned is None else reasons_of(reasoned),
        pacing=PacingOut(made_from.throttle, made_from.price, made_from.exploration, made_from.switch),
        incomplete=() if served is not None else (missing,),
    )


def of_simulated(reasoned: Reasoned, params: EnvParams) -> Explanation:
    """Of a decision that nobody made."""
    removed = tuple(Removed(each.rule, each.actions) for each in reasoned.removals)
    why = {each.rule: each.why for each in reasoned.removals}
    return Explanation(
        actions=_actions(np.array(reasoned.propensities), removed, params),
        constraints=tuple(_constraint(each, why) for each in removed),
        expected=ExpectedOut(**reasoned.values),
        offers=offers_of(reasoned),
        never_contact_value=reasoned.never,
        price=reasoned.price,
        reasons=reasons_of(reasoned),
        pacing=None,
    )


def offers_of(reasoned: Reasoned) -> tuple[OfferOut, ...]:
    """What each offer is worth today."""
    return tuple(OfferOut(each.size, each.acceptance, each.gain, each.cost, each.net) for each in reasoned.offers)


def reasons_of(reasoned: Reasoned) -> tuple[ReasonOut, ...]:
    """Facts that move the risk most."""
    return tuple(ReasonOut(each.field, each.value, each.log_odds) for each in reasoned.reasons)


def _reasoned(decision: Decision, basis: Basis, served: Served) -> Reasoned:
    facts = {**basis.facts, str(served.bundle.schema.id): decision.customer_id}
    return deciding.decide_with(served.bundle, facts, basis.history, price=basis.price)


def _actions(chances: np.ndarray, removed: tuple[Removed, ...], params: EnvParams | None) -> tuple[ActionOut, ...]:
    return tuple(
        ActionOut(
            action,
            f"action {action}" if params is None else rules.name(action, params),
            float(chances[action]),
            tuple(each.rule for each in removed if action in each.actions),
        )
        for action in range(NUM_ACTIONS)
    )


def _constraint(removed: Removed, why: dict[str, str]) -> ConstraintOut:
    words = why.get(removed.rule) or _WHY.get(removed.rule) or f"by the rule {removed.rule}"
    return ConstraintOut(removed.rule, removed.actions, words)
