"""Policies played on customers: every policy meets the same customers and random numbers.

The random numbers of (episode, day) come from a key that does not depend on the policy (common random numbers), so
that the difference of two policies is seen through far less noise than either value.
"""

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import struct
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from retentionjax.env import actions, threefry, worlds
from retentionjax.env.constraints import NAMES
from retentionjax.env.dynamics import elevated_share, offer_cost_today
from retentionjax.env.observation import observe
from retentionjax.env.retention import Info, RetentionEnv, draws_of, new_customer
from retentionjax.env.types import EnvParams, EnvState
from retentionjax.rl.sharding import AXIS, device_mesh

CHUNK = 16_384  # episodes simulated at once: the largest that stays in a laptop's cache


class PolicyInput(NamedTuple):
    """What a policy may look at when it decides about one customer, or about a batch (all but `params` stacked)."""

    observation: Float[Array, " features"]
    mask: Bool[Array, " actions"]
    state: EnvState
    params: EnvParams


@struct.dataclass
class Policy:
    """A rule: `act(policy, situations, keys) -> actions` of a batch; its hyperparameter trades contact for spend.

    `act` must be a module-level function: it is the key under which the simulation is compiled; `for_each` makes one
    from a rule for one customer. The larger the hyperparameter, the less is spent; `baselines.spend_exactly` sets it.
    `parameters` is any pytree.
    """

    name: str = struct.field(pytree_node=False)
    act: "Act" = struct.field(pytree_node=False)
    hyperparameter: Any = 0.0
    parameters: Any = None


Act = Callable[[Policy, PolicyInput, jax.Array], jax.Array]


def for_each(rule: Act) -> Act:
    """`act` of a rule that decides about one customer."""

    @wraps(rule)
    def act(policy: Policy, situations: PolicyInput, keys: jax.Array) -> jax.Array:
        return jax.vmap(rule, (None, _STACKED, 0))(policy, situations, keys)

    return act


_STACKED: Any = PolicyInput(0, 0, 0, None)  # type: ignore[arg-type]  # vmap's axes, in a situation's shape


class Episodes(NamedTuple):
    """Sums over each episode; arrays of shape (customers, replicates)."""

    value: Any  # $, unshaped, residual included
    revenue: Any  # $, net of discounts
    spend: Any  # $, discounts and contacts
    contacts: Any
    cooldown_violations: Any
    fatigue_violations: Any
    account_violations: Any  # 1 where spend passed the account cap
    retained: Any  # 1 where the customer is there on the last day's end
    end_charge: Any  # $ per 30 days that the customer pays then, net of a running offer; 0 when gone
    made: Any  # contacts by offer, a last axis of O
    accepted: Any  # accepted contacts by offer, a last axis of O


class _Totals(NamedTuple):
    """What an episode adds up, an array each: side by side in one they took two fifths of the time under `never`."""

    value: Float[Array, " episodes"]
    revenue: Float[Array, " episodes"]
    spend: Float[Array, " episodes"]
    contacts: Float[Array, " episodes"]
    cooldown_violations: Float[Array, " episodes"]
    fatigue_violations: Float[Array, " episodes"]
    made: Float[Array, "offers episodes"]
    accepted: Float[Array, "offers episodes"]


class _Sums(NamedTuple):
    state: EnvState
    active: Bool[Array, " episodes"]  # the campaign goes on
    alive: Float[Array, " episodes"]  # probability that the customer is there: 0 or 1 where churn is sampled
    totals: "_Totals"
    end_charge: Float[Array, " episodes"]


def play(
    env: RetentionEnv,
    params: EnvParams,
    policy: Policy,
    key: jax.Array,
    *,
    replicates: int,
    advance: Callable[[int], object] = lambda episodes: None,
    mesh: Mesh | None = None,
) -> Episodes:
    """`replicates` episodes of each customer of `params.population` under `policy`; host arrays (N, replicates).

    Where effects are in doubt (`EnvParams.worlds`), episode after episode has another world: with as many replicates
    as there are worlds, each customer is once in each, in their order. Where `env` has expected churn, sums are
    expectations over it: good for tuning, while reported figures sample churn. `advance(n)` is called after every n
    episodes (a progress bar).

    Chunks of episodes are played side by side on the devices of `mesh`, all there are by default. A chunk is drawn from
    a key of its own, so which device plays it changes nothing. Policy and population must fit on each device.
    """
    size = params.population.size
    customers = np.repeat(np.arange(size, dtype=np.int32), replicates)
    mesh = device_mesh(jax.device_count()) if mesh is None else mesh
    is_divided = mesh.devices.size > 1 and len(customers) > CHUNK
    asked = (env, params, _unnamed(policy), key, customers)
    parts: list[Episodes] = []
    left = len(customers)
    for episodes in _divided(*asked, mesh) if is_divided else _one_by_one(*asked):
        parts.append(Episodes(*(np.asarray(column)[:left] for column in episodes)))
        advance(len(parts[-1].value))
        left -= len(parts[-1].value)
    joined = Episodes(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return Episodes(*(column.reshape(size, replicates, *column.shape[1:]) for column in joined))


def _one_by_one(
    env: RetentionEnv, params: EnvParams, policy: Policy, key: jax.Array, customers: Int[np.ndarray, " episodes"]
) -> Iterator[Episodes]:
    """Chunk after chunk; the last one is filled up."""
    at_once = _at_once(len(customers))
    for start in range(0, len(customers), at_once):
        chunk = np.resize(customers[start : start + at_once], at_once)
        days = int(params.horizon_days)
        yield _play_alone(env, params, policy, jax.random.fold_in(key, start), chunk, days, first=start)[0]


def _divided(
    env: RetentionEnv,
    params: EnvParams,
    policy: Policy,
    key: jax.Array,
    customers: Int[np.ndarray, " episodes"],
    mesh: Mesh,
) -> Iterator[Episodes]:
    """A chunk a device, round after round; the last round is filled up."""
    devices = mesh.devices.size
    chunks = -(-len(customers) // CHUNK)
    starts = np.resize(np.arange(chunks) * CHUNK, -(-chunks // devices) * devices)
    for begin in starts.reshape(-1, devices):
        rows = np.stack([np.resize(customers[start : start + CHUNK], CHUNK) for start in begin])
        keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.asarray(begin))
        days = int(params.horizon_days)
        played = _play_chunks(env, params, policy, keys, jnp.asarray(rows), jnp.asarray(begin), days, mesh)
        yield Episodes(*(column.reshape(-1, *column.shape[2:]) for column in played))


@partial(jax.jit, static_argnames=("env", "days", "mesh"))
def _play_chunks(
    env: RetentionEnv,
    params: EnvParams,
    policy: Policy,
    keys: jax.Array,
    customers: Int[jax.Array, "devices chunk"],
    first: Int[jax.Array, " devices"],
    days: int,
    mesh: Mesh,
) -> Episodes:
    """A chunk a device; columns of shape (devices, chunk, …)."""

    def on_device(
        params: EnvParams, policy: Policy, keys: jax.Array, customers: jax.Array, first: jax.Array
    ) -> Episodes:
        episodes, _ = play_chunk(env, params, policy, keys[0], customers[0], days, first=first[0])
        one: Episodes = jax.tree.map(lambda column: column[None], episodes)
        return one

    all_devices, divided = PartitionSpec(), PartitionSpec(AXIS)
    mapped: Callable[..., Episodes] = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(all_devices, all_devices, divided, divided, divided),
        out_specs=divided,
        check_vma=False,
    )
    return mapped(params, policy, keys, customers, first)


@partial(jax.jit, static_argnames=("env", "days"))
def play_chunk(
    env: RetentionEnv,
    params: EnvParams,
    policy: Policy,
    key: jax.Array,
    customers: Int[Array, " episodes"],
    days: int,
    believed: EnvParams | None = None,
    rows: Int[Array, " episodes"] | None = None,
    first: int | jax.Array = 0,
) -> tuple[Episodes, Float[Array, " days"]]:
    """The episodes, and the mean spend of each day [$ a customer]; arrays of the device.

    `rows` say where `params.population` has each of the `customers`, if not at the row that is the customer's number.

    With `believed` the world runs by `params` while the policy is shown it as the service would be: what has been
    observed as it is, what models predict as the believed constants and population say. `first` is the number of the
    first episode, by which its world is chosen where there are several.
    """
    params = params if believed is None else worlds.of_world(params, believed)
    view = worlds.as_believed(params) if believed is None else believed
    count = customers.shape[0]
    key_start, key_days = jax.random.split(key)
    world = None if params.worlds is None else (first + jnp.arange(count)) % worlds.count(params)
    elevated = jax.random.uniform(key_start, (count,)) < elevated_share(worlds.in_force(params, world))
    places = customers if rows is None else rows
    state = jax.vmap(new_customer, (0, 0, None, 0))(places, elevated, params, world)
    state = state.replace(customer=customers)  # type: ignore[attr-defined]

    def one_day(sums: _Sums, day: jax.Array) -> tuple[_Sums, jax.Array]:
        key_common, key_policy = jax.random.split(jax.random.fold_in(key_days, day))
        draws = draws_of(threefry.split(key_common, count))
        keys = threefry.split(key_policy, count)

        seen = worlds.seen(sums.state, params)
        seen = seen if believed is None else as_predicted(seen, believed)
        observations = jax.vmap(observe, (0, None))(seen, view)
        masks = jax.vmap(env.action_mask, (0, None))(seen, view)
        chosen = policy.act(policy, PolicyInput(observations, masks, seen, view), keys)
        step = jax.vmap(env.step_with, (0, 0, 0, None))
        _, after, _, terminated, info = step(draws, sums.state, chosen, params)
        active = sums.active
        today = jax.tree.map(
            lambda share: jnp.where(active, sums.alive * share, 0.0), _of_day(info, actions.offers(params))
        )
        alive = jnp.where(active, sums.alive * info["discount"], sums.alive)
        charge = jnp.where(active, alive * charge_now(after, params), sums.end_charge)
        totals = jax.tree.map(jnp.add, sums.totals, today)
        return _Sums(after, active & ~terminated, alive, totals, charge), today.spend.mean()

    zeros, by_offer = jnp.zeros(count), jnp.zeros((actions.offers(params), count))
    nothing = _Totals(zeros, zeros, zeros, zeros, zeros, zeros, by_offer, by_offer)
    start = _Sums(state, jnp.ones(count, bool), jnp.ones(count), nothing, zeros)
    sums, daily_spend = jax.lax.scan(one_day, start, jnp.arange(days))
    totals = sums.totals
    over = totals.spend > params.account_cap * (1 + 1e-5)
    episodes = Episodes(
        *totals[:6],
        account_violations=over * 1.0,
        retained=sums.alive,
        end_charge=sums.end_charge,
        made=totals.made.T,
        accepted=totals.accepted.T,
    )
    return episodes, daily_spend


def as_predicted(state: EnvState, believed: EnvParams) -> EnvState:
    """States with the churn and acceptance probabilities that the believed population's models give the customers."""
    people = believed.population
    predicted: EnvState = state.replace(  # type: ignore[attr-defined]
        churn_probability=people.churn_probability[state.customer],
        accept_probability=people.accept_probability[state.customer],
    )
    return predicted


def _play_alone(
    env: RetentionEnv,
    params: EnvParams,
    policy: Policy,
    key: jax.Array,
    customers: Int[np.ndarray, " episodes"],
    days: int,
    first: int = 0,
) -> tuple[Episodes, Float[Array, " days"]]:
    """`play_chunk` with a population of just these episodes' customers: one program fits any number of customers."""
    people = jax.tree.map(lambda column: np.asarray(column)[customers], params.population)
    alone, policy = _typed((params.replace(population=people), policy))  # type: ignore[attr-defined]
    rows = jnp.arange(len(customers))
    return play_chunk(env, alone, policy, key, jnp.asarray(customers), days, rows=rows, first=first)


def _at_once(episodes: int) -> int:
    """One of five sizes, so that few programs serve all: compiling costs more than the filled-up episodes."""
    return next((CHUNK // parts for parts in (16, 8, 4, 2) if episodes <= CHUNK // parts), CHUNK)


def _typed(tree: Any) -> Any:
    """The same numbers, each of a type: one of Python's and one read from an array would be a program each."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), tree)


def daily_spend(
    env: RetentionEnv, params: EnvParams, policy: Policy, key: jax.Array, *, replicates: int
) -> npt.NDArray[np.float32]:
    """Mean spend of each day [$ a customer], over as many episodes as `play` simulates at once; host array (days,)."""
    count = _at_once(params.population.size * replicates)
    customers = np.resize(np.arange(params.population.size, dtype=np.int32), count)
    _, spend = _play_alone(env, params, _unnamed(policy), key, customers, int(params.horizon_days))
    return np.asarray(spend)


def _unnamed(policy: Policy) -> Policy:
    """The policy without its name, so that one program plays all that differ in nothing but numbers."""
    unnamed: Policy = policy.replace(name="")  # type: ignore[attr-defined]
    return unnamed


def _of_day(info: Info, offers: int) -> _Totals:
    """One day's share of the totals, of a batch of days."""
    cost = dict(zip(NAMES, info["costs"].T, strict=True))
    offer = info["contact_offer"] == jnp.arange(offers)[:, None]
    made, accepted = offer * info["contact"], offer * info["accepted"]
    return _Totals(
        info["value"],
        info["revenue"],
        cost["campaign_budget"],
        cost["contact"],
        cost["cooldown"],
        cost["fatigue"],
        made,
        accepted,
    )


def charge_now(state: EnvState, params: EnvParams) -> Float[Array, " episodes"]:
    """$ per 30 days net of a running offer, for a batch of states."""
    charge: jax.Array = state.monthly_charge - 30 * jax.vmap(offer_cost_today, (0, None))(state, params)
    return charge
