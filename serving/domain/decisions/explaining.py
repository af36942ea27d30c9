"""Why a decision is what it is: from its record, and from the bundle that made it where that still serves."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from retentionjax.bundle.program import VALUES
from retentionjax.decide.decision import Decision as Reasoned
from retentionjax.decide.decision import decide_with
from retentionjax.decide.explain import action_chances
from serving.domain.decisions.schemas import ConstraintOut, ExpectedOut, ExplanationOut, PacingOut
from serving.engine.contract import Decision
from serving.engine.situations import Basis
from serving.engine.slots import Served
from serving.problems import Problem
from serving.security.gate import Caller

NOT_SERVING, NO_TIME = "bundle_not_serving", "no_time"
_WHY = {
    "campaign_budget": "the campaign's money does not cover them in full",
    "campaign_end": "they would be sent after the campaign's last day",
    "holdout": "the campaign never contacts this customer, so that its effect can be measured",
    "pilot": "the customer takes part in a pilot, which makes no other contact than the one she was drawn to",
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


async def explained(state: Any, caller: Caller, decision: Decision, row: Any) -> ExplanationOut:
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
) -> ExplanationOut:
    """`propensities` f32[actions] and `basis` as recorded; `served` decided, or None and why: `missing`.

    What was recorded stands; what each offer is worth and which facts matter is found anew, by the same program.
    """
    made_from = msgspec.json.decode(basis, type=Basis)
    again = None if served is None else of_simulated(_again(decision, made_from, served))
    why = {} if again is None else {each.rule: each.why for each in again.constraints}
    removed = {each.rule: each.actions for each in decision.rules}
    chances = action_chances(np.frombuffer(propensities, "<f4"), removed, None if served is None else served.bundle)
    by_policy = made_from.values and made_from.switch == "policy"
    return ExplanationOut(
        actions=msgspec.convert(chances, ExplanationOut.__annotations__["actions"], from_attributes=True),
        constraints=tuple(ConstraintOut(rule, gone, _words(rule, why)) for rule, gone in removed.items()),
        expected=ExpectedOut(**dict(zip(VALUES, made_from.values, strict=True))) if by_policy else None,
        offers=() if again is None else again.offers,
        never_contact_value=None if again is None else again.never_contact_value,
        multiplier=made_from.price if again is None else again.multiplier,
        reasons=() if again is None else again.reasons,
        pacing=PacingOut(made_from.throttle, made_from.price, made_from.exploration, made_from.switch),
        incomplete=() if served is not None else (missing,),
    )


def of_simulated(reasoned: Reasoned) -> ExplanationOut:
    """Explanation of a decision that nobody made."""
    return msgspec.convert(reasoned.explanation, ExplanationOut, from_attributes=True)


def _again(decision: Decision, basis: Basis, served: Served) -> Reasoned:
    facts = {**basis.facts, str(served.bundle.schema.id): decision.customer_id}
    return decide_with(served.decider, facts, basis.customer, multiplier=basis.price, campaign_id=decision.campaign_id)


def _words(rule: str, why: Mapping[str, str]) -> str:
    return why.get(rule) or _WHY.get(rule) or f"by the rule {rule}"
