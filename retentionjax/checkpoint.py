"""Training state on disk, by Orbax: saved whole or not at all, restored exactly or refused.

A step's folder holds `arrays/` (Orbax) and `leaves/` (JSON: name, shape, dtype of every leaf), so that a state
that does not fit is refused by name before an array is read.
"""

import os
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from retentionjax import storage
from retentionjax.errors import CheckpointError

Tree = TypeVar("Tree")


@dataclass(frozen=True)
class Leaf:
    """What one leaf of a saved tree is: its path in the tree, shape, and dtype (`key<impl>` for a PRNG key)."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


class Checkpoints:
    """The last `keep` checkpoints of one run, in `<folder>/<step>/`. A kill while saving leaves the ones before."""

    def __init__(self, folder: str | os.PathLike[str], keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep is {keep}; at least one checkpoint must be kept")
        path = storage.as_path(folder)
        self._folder = path if storage.is_cloud(path) else epath.Path(os.path.abspath(path))
        self._manager = ocp.CheckpointManager(
            self._folder,
            item_names=("arrays", "leaves"),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                create=True,
                cleanup_tmp_directories=True,
                enable_async_checkpointing=False,  # when save returns, the step is on disk
            ),
        )

    def save(self, step: int, tree: Any) -> None:
        """Saves `tree` (arrays, PRNG keys old and new, Python numbers) as `step`.

        The step last saved may be saved again, with nothing done: a deterministic run has the same state there.
        Raises CheckpointError when `step` is before it.
        """
        latest = self.latest_step()
        if latest is not None and step < latest:
            raise CheckpointError(f"{self._folder}: step {step} comes before the latest saved step {latest}")
        if step == latest:
            return
        leaves = _leaves(tree)
        arrays = {f"{index:06d}": _array(value) for index, value in enumerate(jax.tree.leaves(tree))}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                arrays=ocp.args.StandardSave(arrays),
                leaves=ocp.args.JsonSave({"leaves": [asdict(leaf) for leaf in leaves]}),
            ),
        )
        self._manager.wait_until_finished()

    def latest_step(self) -> int | None:
        """The newest complete step, None if there is none."""
        latest: int | None = self._manager.latest_step()
        return latest

    def restore(self, like: Tree, step: int | None = None) -> Tree:
        """The tree saved at `step` (the newest by default), with the structure, types and devices of `like`.

        `like` may hold arrays or `jax.ShapeDtypeStruct`s. Raises CheckpointError when the step is missing or
        damaged, or when a leaf is missing, is one too many, or differs in shape or dtype from `like`.
        """
        steps = sorted(self._manager.all_steps())
        if not steps:
            raise CheckpointError(f"{self._folder}: holds no checkpoint")
        chosen = steps[-1] if step is None else step
        if chosen not in steps:
            raise CheckpointError(f"{self._folder}: holds no step {chosen}; there are {', '.join(map(str, steps))}")
        self._refuse_misfit(self._saved_leaves(chosen), _leaves(like), chosen)
        arrays = self._saved_arrays(chosen, like)
        leaves, structure = jax.tree.flatten(like)
        restored = [_like(arrays[f"{index:06d}"], leaf) for index, leaf in enumerate(leaves)]
        tree: Tree = jax.tree.unflatten(structure, restored)
        return tree

    def _saved_leaves(self, step: int) -> list[Leaf]:
        try:
            content = self._manager.restore(step, args=ocp.args.Composite(leaves=ocp.args.JsonRestore()))["leaves"]
            return [Leaf(leaf["name"], tuple(leaf["shape"]), leaf["dtype"]) for leaf in content["leaves"]]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CheckpointError(f"{self._folder}: step {step} is damaged: {_first_line(error)}") from error

    def _saved_arrays(self, step: int, like: Any) -> dict[str, np.ndarray]:
        abstract = {f"{index:06d}": np.asarray(_array(leaf)) for index, leaf in enumerate(jax.tree.leaves(like))}
        try:
            args = ocp.args.Composite(arrays=ocp.args.StandardRestore(abstract))
            arrays: dict[str, np.ndarray] = self._manager.restore(step, args=args)["arrays"]
        except (ValueError, KeyError, OSError) as error:
            raise CheckpointError(f"{self._folder}: step {step} is damaged: {_first_line(error)}") from error
        return arrays

    def _refuse_misfit(self, saved: list[Leaf], wanted: list[Leaf], step: int) -> None:
        where = f"{self._folder}: step {step} does not fit the state to be restored"
        saved_by_name, wanted_by_name = ({leaf.name: leaf for leaf in leaves} for leaves in (saved, wanted))
        for leaf in wanted:
            if leaf.name not in saved_by_name:
                raise CheckpointError(f"{where}: it holds no {leaf.name or 'root leaf'} ({leaf})")
            if saved_by_name[leaf.name] != leaf:
                found = saved_by_name[leaf.name]
                raise CheckpointError(f"{where}: {leaf.name or 'the leaf'} is {found} there and {leaf} here")
        for leaf in saved:
            if leaf.name not in wanted_by_name:
                raise CheckpointError(f"{where}: it holds {leaf.name or 'a root leaf'} ({leaf}), unknown here")


def _leaves(tree: Any) -> list[Leaf]:
    return [_leaf(jax.tree_util.keystr(path), value) for path, value in jax.tree_util.tree_leaves_with_path(tree)]


def _leaf(name: str, value: Any) -> Leaf:
    if isinstance(value, bool | int | float):
        return Leaf(name, (), type(value).__name__)
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        raise CheckpointError(f"{name or 'the tree'} is a {type(value).__name__}: only arrays and numbers can be saved")
    return Leaf(name, tuple(value.shape), str(value.dtype))


def _is_key(value: Any) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _array(value: Any) -> Any:
    """The plain array that stands for a leaf on disk: typed PRNG keys by their data."""
    if isinstance(value, jax.ShapeDtypeStruct):
        if _is_key(value):
            return np.zeros(jax.eval_shape(jax.random.key_data, value).shape, np.uint32)
        return np.zeros(value.shape, value.dtype)
    return jax.random.key_data(value) if _is_key(value) else np.asarray(value)


def _like(array: np.ndarray, leaf: Any) -> Any:
    """`array` as the kind of thing, and on the devices, that `leaf` is.

    Bound to its device only if `leaf` is: else what is computed from it would be bound, and the programs that were
    compiled for arrays without a device would be compiled again.
    """
    if isinstance(leaf, bool | int | float):
        return type(leaf)(array.item())
    if _is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=_key_impl(leaf))
    if isinstance(leaf, np.ndarray | np.generic):
        return np.asarray(array)
    return jax.device_put(array, leaf.sharding if getattr(leaf, "committed", True) else None)


def _key_impl(leaf: Any) -> str:
    """Name of a typed key's generator; asked under `eval_shape`, since `leaf` may be a shape and no key."""
    found: list[str] = []
    jax.eval_shape(lambda key: found.append(str(jax.random.key_impl(key))), leaf)
    return found[0]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
