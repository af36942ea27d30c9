"""The best campaigns as a policy that can be played in the environment, beside any other rule."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from retentionjax.env import actions
from retentionjax.env.types import EnvParams, EnvState
from retentionjax.evaluation.optimum.frontier import Frontier
from retentionjax.evaluation.optimum.memory import Graph, MemoryRules
from retentionjax.evaluation.optimum.recursion import WAIT, CampaignModel, Choices, CustomerModel, best_campaign
from retentionjax.evaluation.rollout import Policy, PolicyInput, for_each

UNKNOWN = -1  # no memory in which a contact is a choice


@struct.dataclass
class ChoiceTable:
    """Which offer to make today, and how a state is found in it."""

    choice: jax.Array  # i8[customers, days, X, 2 z, A], an offer or WAIT
    class_of: jax.Array  # i32[customers, days, sums]
    sums: jax.Array  # f32[customers, sums] $ that an account can have used, rising, filled up with ∞
    histories: jax.Array  # u32[histories], rising: `EnvState.contact_history` within the window
    row: jax.Array  # i32[histories, running]


def policy(frontier: Frontier, multiplier: float) -> Policy:
    """The best campaigns of the frontier's customers at a multiplier, for environments with the very same population.

    Takes about 10 MB a customer with the default constants.
    """
    campaign, customers = frontier.campaign, frontier.customers
    choices = [best_campaign(campaign, each, multiplier)[1] for each in customers]
    return Policy("optimum", _act, hyperparameter=multiplier, parameters=_table(campaign, customers, choices))


@for_each
def _act(policy: Policy, situation: PolicyInput, key: jax.Array) -> jax.Array:
    table, state, params = policy.parameters, situation.state, situation.params
    offer = _choice(table, state, params)
    action = actions.encode(jnp.maximum(offer, 0), jnp.argmin(jnp.asarray(params.delays)), params)
    return jnp.asarray(jnp.where((offer == WAIT) | ~situation.mask[action], actions.WAIT, action), jnp.int32)


def _choice(table: ChoiceTable, state: EnvState, params: EnvParams) -> jax.Array:
    """The offer for a state, WAIT in one that the campaigns do not come to."""
    in_window = (jnp.uint32(1) << jnp.uint32(params.fatigue_window_days - 1)) - jnp.uint32(1)
    history = state.contact_history & in_window
    place = jnp.minimum(jnp.searchsorted(table.histories, history), len(table.histories) - 1)
    row = table.row[place, _running(state, params)]
    sums = table.sums[state.customer]
    used = jnp.argmin(jnp.abs(sums - state.account_used))
    used = table.class_of[state.customer, state.time, used]
    offer = table.choice[state.customer, state.time, row, state.elevated.astype(jnp.int32), used]
    known = (table.histories[place] == history) & (row != UNKNOWN)
    return jnp.where(known, offer.astype(jnp.int32), WAIT)


def _running(state: EnvState, params: EnvParams) -> jax.Array:
    """One number for the offer that protects, its days left, and those on which the last contact moves the hazard."""
    effect = jnp.where(params.contact_effect == 0, 0, params.contact_effect_days)
    effect_left = jnp.maximum(0, effect - state.days_since_contact)
    place = (state.offer + 1) * (jnp.max(params.effect_days) + 1) + state.protection_days_left
    return place * (effect + 1) + effect_left


def _table(campaign: CampaignModel, customers: list[CustomerModel], choices: list[list[Choices]]) -> ChoiceTable:
    histories, row = _rows(campaign.graph, campaign.params)
    widest = max(len(phase.used) for each in customers for phase in each.account.phases)
    most = max(len(each.account.phases[-1].class_of) for each in customers)
    sums = np.full((len(customers), most), np.inf)
    class_of = np.zeros((len(customers), campaign.days, most), np.int64)
    choice = np.full((len(customers), campaign.days, len(campaign.graph.memories), 2, widest), WAIT, np.int8)
    for number, (each, chosen) in enumerate(zip(customers, choices, strict=True)):
        known = sorted(each.account.phases[-1].class_of)  # the last phase knows all that the others do
        sums[number, : len(known)] = known
        for phase, part in zip(each.account.phases, chosen, strict=True):
            days = slice(phase.first_day, phase.first_day + len(part))
            choice[number, days, ..., : part.shape[-1]] = part
            class_of[number, days, : len(known)] = [phase.class_of.get(used, 0) for used in known]
    return ChoiceTable(
        jnp.asarray(choice), jnp.asarray(class_of), jnp.asarray(sums, jnp.float32), jnp.asarray(histories), row
    )


def _rows(graph: Graph, params: EnvParams) -> tuple[np.ndarray, jax.Array]:
    """`histories` and `row` of the table."""
    days, effect = int(np.max(params.effect_days)) + 1, MemoryRules.of(params).contact_effect_days + 1
    bits = np.array([sum(1 << (age - 1) for age in memory.ages) for memory in graph.memories], np.uint32)
    running = np.array(
        [((each.offer + 1) * days + each.days_left) * effect + each.effect_left for each in graph.memories]
    )
    histories = np.unique(bits)
    row = np.full((len(histories), (actions.offers(params) + 1) * days * effect), UNKNOWN)
    row[np.searchsorted(histories, bits), running] = np.arange(len(bits))
    return histories, jnp.asarray(row)
