"""`RetentionEnv`: one customer, one day a step, as a gymnax environment.

The order of a day: schedule → execute the contact that falls due → churn → earn → the risk moves. Mathematics in
`dynamics`, legality in `constraints`; this file only puts them in order.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments import environment, spaces
from jaxtyping import Array, Bool, Float, Int

from retentionjax.env import actions, constraints, dynamics, observation, threefry, worlds
from retentionjax.env.types import NEVER, NO_OFFER, EnvParams, EnvState, Scalar
from retentionjax.errors import ConfigError

Info = dict[str, Any]


class Draws(NamedTuple):
    """The uniform draws of one day. Two policies stepped with the same key meet the same random numbers."""

    accept: Float[Array, ""]
    churn: Float[Array, ""]
    risk: Float[Array, ""]


class Contact(NamedTuple):
    """Today's contact, if there is one."""

    executed: Bool[Array, ""]
    offer: Int[Array, ""]  # index of the offer made; 0 without a contact
    accepted: Bool[Array, ""]
    earlier: Int[Array, ""]  # contacts in the window before today's


class RetentionEnv(environment.Environment[EnvState, EnvParams]):
    """The retention campaign of one customer (see the package README for the mathematics).

    Args:
        expected_churn: never end an episode by churn; rewards and costs of a day are their expectation over
            today's churn and `info["discount"]` is the probability s of staying, by which everything later is to
            be discounted. The same objective with far less variance.
        shaping: add s·E[Φ(next)] − Φ(now) to the reward, Φ the never-contact value (`value.with_potential`).
            The expectation is over the risk chain's move only, which no action influences, so the expected reward
            equals that of plain potential shaping (Ng, Harada, Russell 1999), *wait* scores exactly 0 before the
            first contact, and the optimal policy is unchanged.
        masked: whether `action_mask` applies the hard limits; without it every action is legal, and a contact
            asked for while one is pending is ignored.
    """

    def __init__(self, *, expected_churn: bool = False, shaping: bool = False, masked: bool = True) -> None:
        super().__init__()
        self.expected_churn = expected_churn
        self.shaping = shaping
        self.masked = masked

    def __eq__(self, other: object) -> bool:
        """Environments with the same switches are one: what was compiled for the one serves the other."""
        return isinstance(other, RetentionEnv) and self._switches == other._switches

    def __hash__(self) -> int:
        return hash(self._switches)

    @property
    def _switches(self) -> tuple[bool, bool, bool]:
        return self.expected_churn, self.shaping, self.masked

    @property
    def name(self) -> str:
        return "Retention-v1"

    @property
    def num_actions(self) -> int:
        return actions.count(self.default_params)

    @property
    def default_params(self) -> EnvParams:
        return EnvParams()

    def action_space(self, params: EnvParams | None = None) -> spaces.Discrete:
        return spaces.Discrete(actions.count(self.default_params if params is None else params))

    def observation_space(self, params: EnvParams | None = None) -> spaces.Box:
        low, high = observation.bounds(actions.offers(self.default_params if params is None else params))
        return spaces.Box(jnp.asarray(low), jnp.asarray(high), low.shape, jnp.float32)

    def action_mask(self, state: EnvState, params: EnvParams) -> Bool[Array, " actions"]:
        """True for each action the policy may take in `state`."""
        if not self.masked:
            return jnp.ones(actions.count(params), bool)
        return constraints.action_mask(state, params)

    def is_truncated(self, state: EnvState, params: EnvParams) -> Bool[Array, ""]:
        """Never: the horizon is a real end."""
        return jnp.asarray(False)

    @partial(jax.jit, static_argnames=("self",))
    def step(
        self, key: jax.Array, state: EnvState, action: float | jax.Array, params: EnvParams | None = None
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, jax.Array, Info]:
        """gymnax's auto-resetting step, observing once after the reset is chosen instead of twice before."""
        params = self.default_params if params is None else params
        key_step, key_reset = threefry.split(key, 2)
        final_observation, after, reward, terminated, info = self.step_env(key_step, state, action, params)
        fresh = self._draw_customer(key_reset, params)
        after = jax.tree.map(lambda new, old: jnp.where(terminated, new, old), fresh, after)
        truncated = self.is_truncated(after, params)
        info = info | {"terminated": terminated, "truncated": truncated, "final_observation": final_observation}
        return _observe(after, params), after, reward, terminated, truncated, info

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """A uniformly drawn customer on day 0, risk from its stationary distribution."""
        state = self._draw_customer(key, params)
        return _observe(state, params), state

    def _draw_customer(self, key: jax.Array, params: EnvParams) -> EnvState:
        draw = threefry.uniforms(key, 2 if params.worlds is None else 3)
        customer = (draw[0] * params.population.size).astype(jnp.int32)
        customer = jnp.minimum(customer, params.population.size - 1)  # float32 can round up to the size
        world = None if params.worlds is None else worlds.drawn(draw[2], params)
        elevated = draw[1] < dynamics.elevated_share(worlds.in_force(params, world))
        return new_customer(customer, elevated, params, world)

    def step_env(
        self, key: jax.Array, state: EnvState, action: float | jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, Info]:
        """One day. `info`: costs f32[K] (`constraints.NAMES`), discount, value ($, unshaped), revenue, contact, …"""
        return self.step_with(draws_of(key), state, action, params)

    def step_with(
        self, draws: Draws, state: EnvState, action: float | jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, Info]:
        """`step_env` with the day's draws given. The day runs by the episode's world, and is seen as believed."""
        actions.offers(params)  # refused before anything is broadcast
        world = worlds.in_force(params, state.world)
        hazard = dynamics.daily_hazard(state.churn_probability, state.elevated, world)
        scheduled = schedule(state, jnp.asarray(action), params)
        broken = constraints.violations(scheduled.pending_days == 0, scheduled, params)
        contacted, contact = execute_contact(scheduled, draws.accept, params, world)
        extra_days = 0 if params.worlds is None else worlds.extra_days(contacted, world, params)

        stay = jnp.exp(log_survival_today(hazard, contacted, contact, world, extra_days))
        is_last = state.time + 1 >= params.horizon_days
        stays = stay if self.expected_churn else (draws.churn < stay).astype(jnp.float32)

        paid = dynamics.offer_cost_today(contacted, params)
        credit = params.amount[contact.offer] * contact.accepted
        revenue = stays * (state.monthly_charge / 30 - paid) - credit
        contact_cost = params.contact_cost * contact.executed
        spend = stays * paid + credit + contact_cost
        residual = dynamics.residual_value(state.monthly_charge, state.churn_probability, params)
        value = revenue - contact_cost + stays * is_last * residual
        reward = value + self._shaping(state, stays, params, world) if self.shaping else value

        following = next_day(contacted, contact.executed, draws.risk, world, extra_days)
        terminated = is_last if self.expected_churn else is_last | (stays == 0)
        info = {
            "costs": constraints.costs(constraints.Day(spend, contact.executed, contact.accepted, broken)),
            "discount": stays,
            "value": value,
            "revenue": revenue,
            "contact": contact.executed,
            "contact_offer": contact.offer,
            "accepted": contact.accepted,
            "running_offer": contacted.offer,
            "is_last": is_last,
        }
        return _observe(following, params), following, reward, terminated, info

    def _shaping(self, state: EnvState, stays: jax.Array, params: EnvParams, world: EnvParams) -> jax.Array:
        if params.potential is None:
            raise ValueError("shaping needs EnvParams.potential: use env.value.with_potential(params)")
        if params.potential.shape[-2] != params.population.size:
            held = f"env.potential is of {params.potential.shape[-2]} customers"
            raise ConfigError(f"{held}; allowed: the population's {params.population.size}, by value.with_potential")
        z = state.elevated.astype(jnp.int32)
        now = params.potential[state.time, state.customer, z]
        # The horizon may be swept, so that only here it shows that the table is of a shorter one: no number then.
        calm_next, elevated_next = params.potential.at[state.time + 1, state.customer].get(
            mode="fill", fill_value=jnp.nan
        )
        rises = jnp.where(state.elevated, 1 - world.risk_recovery, world.risk_onset)
        return stays * (calm_next + rises * (elevated_next - calm_next)) - now


def _observe(state: EnvState, params: EnvParams) -> Float[Array, " features"]:
    return observation.observe(worlds.seen(state, params), params)


def draws_of(keys: jax.Array) -> Draws:
    """The day's draws of one customer, or of many with a key each."""
    return Draws(*threefry.uniforms(keys, len(Draws._fields)))


def new_customer(
    customer: jax.Array, elevated: jax.Array, params: EnvParams, world: jax.Array | None = None
) -> EnvState:
    """State on day 0 of row `customer` of the population, never contacted, in row `world` of the worlds, if any."""
    zero = jnp.int32(0)
    return EnvState(
        time=zero,
        customer=customer,
        monthly_charge=params.population.monthly_charge[customer],
        churn_probability=params.population.churn_probability[customer],
        accept_probability=params.population.accept_probability[customer],
        elevated=elevated,
        contact_history=jnp.uint32(0),
        days_since_contact=jnp.int32(NEVER),
        pending_offer=jnp.int32(NO_OFFER),
        pending_days=zero,
        offer=jnp.int32(NO_OFFER),
        protection_days_left=zero,
        account_used=jnp.float32(0),
        world=world,
    )


def schedule(state: EnvState, action: jax.Array, params: EnvParams) -> EnvState:
    """A contact asked for is pending from now on, unless one is already: then it is ignored.

    Afterwards `pending_days == 0` together with a pending offer means that the contact falls due today; without a
    pending offer the days are −1.
    """
    asked = actions.decode(action, params)
    is_free = state.pending_offer == NO_OFFER
    is_new = asked.contact & is_free
    days = jnp.where(is_new, params.delays[asked.delay], jnp.where(is_free, -1, state.pending_days))
    offer = jnp.where(is_new, asked.offer, state.pending_offer)
    return state.replace(pending_offer=offer, pending_days=days)  # type: ignore[attr-defined]


def execute_contact(
    state: EnvState, uniform: jax.Array, params: EnvParams, world: EnvParams | None = None
) -> tuple[EnvState, Contact]:
    """The contact that falls due, if any: paid, counted, and accepted or not, by the effects of `world` (those of
    `params` without one)."""
    world = params if world is None else world
    executed = state.pending_days == 0
    earlier = dynamics.contacts_in_window(state, params)
    index = jnp.maximum(state.pending_offer, 0)
    chance = dynamics.acceptance(state.accept_probability, state.elevated, earlier, world)[index]
    accepted = executed & (uniform < chance)
    committed = dynamics.full_cost(state.monthly_charge, params)[index]
    protected = jnp.asarray(params.effect_days, jnp.int32)[index]
    after = state.replace(  # type: ignore[attr-defined]
        pending_offer=jnp.where(executed, NO_OFFER, state.pending_offer),
        offer=jnp.where(accepted, index, state.offer),
        protection_days_left=jnp.where(accepted, protected, state.protection_days_left),
        account_used=state.account_used + executed * params.contact_cost + accepted * committed,
    )
    return after, Contact(executed, index, accepted, earlier)


def log_survival_today(
    hazard: Scalar, state: EnvState, contact: Contact, params: EnvParams, extra_days: Scalar = 0
) -> Float[Array, "..."]:
    """log P(stay today) at `hazard`, `state` that which `execute_contact` left.

    The running offer works for `extra_days` more than `state` counts.
    """
    protects = jnp.where(state.protection_days_left + extra_days > 0, state.offer, NO_OFFER)
    recent = is_recent(state, contact, params)
    return dynamics.log_survival(hazard, protects, contact.earlier + contact.executed, recent, params)


def is_recent(state: EnvState, contact: Contact, params: EnvParams) -> Bool[Array, ""]:
    """Whether a contact lies within `contact_effect_days`, today's included, `state` as `execute_contact` left it."""
    return contact.executed | (state.days_since_contact < params.contact_effect_days)


def next_day(
    state: EnvState, executed: jax.Array, uniform: jax.Array, params: EnvParams, extra_days: Scalar = 0
) -> EnvState:
    """The night: counters move on, an offer on the last day of its effect ends, the risk state moves.

    An offer that works for `extra_days` more than `state` counts is kept in mind for so long.
    """
    days_left = state.protection_days_left - 1
    is_kept = days_left > -jnp.maximum(0, extra_days)
    days_since = jnp.where(executed, 1, jnp.minimum(NEVER, state.days_since_contact + 1))
    return state.replace(  # type: ignore[attr-defined]
        time=state.time + 1,
        elevated=dynamics.next_elevated(state.elevated, uniform, params),
        contact_history=(state.contact_history << 1) | executed.astype(jnp.uint32),
        days_since_contact=days_since,
        pending_days=jnp.maximum(0, state.pending_days - 1),
        offer=jnp.where(is_kept, state.offer, NO_OFFER),
        protection_days_left=jnp.where(is_kept, days_left, 0),
    )
