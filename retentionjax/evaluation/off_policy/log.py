"""Logged decisions, checked: contexts, masks, the propensity of every action, what was done and what came of it."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Bool, Float, Float32, Int

from retentionjax.errors import DataError

SUM_TOLERANCE = 1e-3  # propensities are logged in float32, and a row of thirteen of them sums to 1 within about 1e-6

MOST = 1e30
"""Largest reward and observation: the trees of the outcome model count in float32, and a campaign's sum must too."""


@dataclass(frozen=True)
class DecisionLog:
    """n decisions between A actions, by rising episode and, within it, by rising step. Made by `build`."""

    observation: Float32[np.ndarray, "n features"]
    mask: Bool[np.ndarray, "n A"]
    """True for each action that was legal."""
    propensities: Float[np.ndarray, "n A"]
    """Probabilities with which the logging policy chose; 0 where the mask forbids; a row sums to 1."""
    action: Int[np.ndarray, " n"]
    reward: Float[np.ndarray, " n"]
    """Reward from this decision to the next one of the episode; NaN while the outcome is not known."""
    discount: Float[np.ndarray, " n"]
    """Factor on everything after this decision, in [0, 1]."""
    customer: Int[np.ndarray, " n"]
    """Number of the customer, from 0: customers are what is resampled, for decisions about one are no two people."""
    episode: Int[np.ndarray, " n"]
    """Number of the episode, from 0; all of it about one customer."""
    step: Int[np.ndarray, " n"]
    """Place of the decision in its episode, from 0."""
    row: Int[np.ndarray, " n"]
    """Row of the table that it came from, for messages."""

    def __len__(self) -> int:
        """Decisions in it."""
        return len(self.action)

    @property
    def num_actions(self) -> int:
        """A."""
        return int(self.propensities.shape[1])

    @property
    def num_episodes(self) -> int:
        """Episodes in it."""
        return int(self.episode[-1]) + 1 if len(self) else 0

    @property
    def chosen_propensity(self) -> Float[np.ndarray, " n"]:
        """Propensity of the action that was taken."""
        return self.propensities[np.arange(len(self)), self.action]

    @property
    def is_known(self) -> Bool[np.ndarray, " n"]:
        """Whether every reward of the decision's episode is known."""
        return np.bincount(self.episode, weights=np.isnan(self.reward))[self.episode] == 0

    def rows(self, keep: Bool[np.ndarray, " n"]) -> "DecisionLog":
        """The decisions where `keep` is true, which must hold whole episodes; episodes and customers renumbered."""
        parts = {field.name: getattr(self, field.name)[keep] for field in dataclasses.fields(self)}
        for name in ("episode", "customer"):
            parts[name] = np.unique(parts[name], return_inverse=True)[1]
        return DecisionLog(**parts)

    def as_single_decisions(self) -> "DecisionLog":
        """Each decision an episode of its own: its reward is then all that came of it."""
        count = len(self)
        return dataclasses.replace(
            self, episode=np.arange(count), step=np.zeros(count, np.int64), discount=np.ones(count)
        )


def build(
    *,
    observation: npt.ArrayLike,
    propensities: npt.ArrayLike,
    action: npt.ArrayLike,
    reward: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    discount: npt.ArrayLike | None = None,
    customer: npt.ArrayLike | None = None,
    episode: npt.ArrayLike | None = None,
    step: npt.ArrayLike | None = None,
    where: str = "log",
) -> DecisionLog:
    """A checked log; rows may come in any order.

    Without `mask` every action was legal; without `discount` nothing is discounted; without `episode` each decision
    is its own; without `customer` each episode is about another customer; without `step` the rows of an episode are
    in order. Raises DataError naming `where`, row, column and value: propensities outside [0, 1] or not summing to
    1, an action that is illegal under the mask or had propensity 0, a step twice in an episode, an episode about two
    customers, a missing id, a discount outside [0, 1], a reward or observation beyond ±`MOST`, what is no number or no
    whole one, or arrays that differ in length.
    """
    chosen = _numbers(where, "propensities", propensities)
    if chosen.ndim != 2 or not len(chosen):
        raise DataError(
            f"{where}: column propensities has shape {chosen.shape}; allowed: one row a decision, some rows"
        )
    count, width = chosen.shape
    each = np.arange(count)
    columns = {
        "observation": _numbers(where, "observation", observation),
        "mask": np.ones((count, width)) if mask is None else _numbers(where, "mask", mask),
        "propensities": chosen,
        "action": _numbers(where, "action", action),
        "reward": _numbers(where, "reward", reward),
        "discount": np.ones(count) if discount is None else _numbers(where, "discount", discount),
        "step": each if step is None else _numbers(where, "step", step),
        "episode": each if episode is None else np.asarray(episode),
    }
    columns["customer"] = columns["episode"] if customer is None else np.asarray(customer)
    for name, column in columns.items():
        axes = 2 if name in ("observation", "mask", "propensities") else 1
        if column.ndim != axes:
            raise DataError(f"{where}: column {name} has shape {column.shape}; allowed: {axes} axes")
        if len(column) != count:
            raise DataError(f"{where}: column {name} has {len(column)} rows; propensities has {count}")
    for name in ("episode", "customer"):
        _check_rows(where, name, columns[name], ~pd.isna(columns[name]), "the id of one; none is missing")
    for name in ("action", "step"):
        whole = (np.abs(columns[name]) < 2**53) & (columns[name] == np.round(columns[name]))
        _check_rows(where, name, columns[name], whole, "whole numbers")
        columns[name] = columns[name].astype(np.int64)
    _check_rows(where, "mask", columns["mask"], np.isin(columns["mask"], (0, 1)).all(axis=1), "true or false")
    columns["mask"] = columns["mask"].astype(bool)
    _check_choices(columns["propensities"], columns["mask"], columns["action"], where)
    _check_rows(
        where, "discount", columns["discount"], (columns["discount"] >= 0) & (columns["discount"] <= 1), "0 to 1"
    )
    small = np.isnan(columns["reward"]) | (np.abs(columns["reward"]) <= MOST)
    _check_rows(where, "reward", columns["reward"], small, f"a number within ±{MOST:g}, or none yet")
    finite = (np.abs(columns["observation"]) <= MOST).all(axis=1)
    _check_rows(where, "observation", columns["observation"], finite, f"numbers within ±{MOST:g}")
    columns["observation"] = columns["observation"].astype(np.float32)
    return _in_order(columns, where)


def _numbers(where: str, column: str, values: npt.ArrayLike) -> Float[np.ndarray, "..."]:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where}: column {column} holds what is no number: {error}") from None


def _check_choices(
    propensities: Float[np.ndarray, "n A"], mask: Bool[np.ndarray, "n A"], action: Int[np.ndarray, " n"], where: str
) -> None:
    """What a stochastic choice among legal actions must satisfy."""
    if mask.shape != propensities.shape:
        raise DataError(f"{where}: column mask has shape {mask.shape}; propensities has {propensities.shape}")
    width = propensities.shape[1]
    inside = ((propensities >= 0) & (propensities <= 1)).all(axis=1)
    _check_rows(where, "propensities", propensities, inside, "numbers from 0 to 1")
    total = propensities.sum(axis=1)
    _check_rows(where, "propensities (their sum)", total, np.abs(total - 1) <= SUM_TOLERANCE, "1")
    _check_rows(where, "action", action, (action >= 0) & (action < width), f"0 to {width - 1}")
    rows = np.arange(len(action))
    _check_rows(where, "action", action, mask[rows, action], "an action that the row's mask allows")
    _check_rows(where, "action", action, propensities[rows, action] > 0, "an action whose propensity is above 0")
    forbidden = np.where(mask, 0.0, propensities).max(axis=1)
    _check_rows(where, "propensities (of a masked action)", forbidden, forbidden == 0, "0")


def _check_rows(where: str, column: str, values: np.ndarray, holds: npt.ArrayLike, allowed: str) -> None:
    fits = np.asarray(holds, bool)
    if not fits.all():
        row = int(np.argmin(fits))
        plain = not np.ndim(values[row]) and isinstance(values[row], (int, float, np.number))
        value = f"{values[row]:g}" if plain else np.array2string(np.asarray(values[row]), precision=6)
        raise DataError(f"{where}: row {row}, column {column}: {value}; allowed: {allowed}")


def _in_order(columns: dict[str, np.ndarray], where: str) -> DecisionLog:
    """Rows sorted by episode and step, with episodes, customers and steps numbered from 0."""
    names, episode = np.unique(columns["episode"], return_inverse=True)
    _, customer = np.unique(columns["customer"], return_inverse=True)
    order = np.lexsort((columns["step"], episode))
    episode, customer, step = episode[order], customer[order], columns["step"][order]
    same = episode[1:] == episode[:-1]
    if (twice := same & (step[1:] == step[:-1])).any():
        row = int(order[int(np.argmax(twice)) + 1])
        raise DataError(
            f"{where}: row {row}, column step: {columns['step'][row]}; allowed: each step of an episode once"
        )
    if (mixed := same & (customer[1:] != customer[:-1])).any():
        row = int(order[int(np.argmax(mixed)) + 1])
        name = names[episode[int(np.argmax(mixed))]]
        raise DataError(
            f"{where}: row {row}, column customer: {columns['customer'][row]!r} in episode {name!r} of another"
        )
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    place = np.arange(len(episode)) - np.repeat(starts, np.diff([*starts, len(episode)]))
    others = {name: columns[name][order] for name in columns if name not in ("episode", "customer", "step")}
    return DecisionLog(**others, episode=episode, customer=customer, step=place, row=order)
