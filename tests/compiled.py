"""Arithmetic that its callers compile, compiled whole here too: called as it is, each of its operations is a program of
its own for each shape, and so is each operation of a test on the arrays it returns."""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class Compiled:
    """A module whose functions are one program a shape, what holds no array a constant of it, and return arrays of
    NumPy's. Inside another program they are the module's own."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found = getattr(self._module, name)
        return found if isinstance(found, type) else _compiled(found)


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((given, named))):
            given, named = jax.tree.map(lambda leaf: jnp.asarray(leaf) if _is_array(leaf) else leaf, (given, named))
            return function(*given, **named)
        places = tuple(place for place, each in enumerate(given) if not _holds_arrays(each))
        names = tuple(name for name, each in named.items() if not _holds_arrays(each))
        return jax.tree.map(np.asarray, program(places, names)(*given, **named))

    @functools.cache
    def program(places: tuple[int, ...], names: tuple[str, ...]) -> Callable[..., Any]:
        return jax.jit(function, static_argnums=places, static_argnames=names)

    return call


def _holds_arrays(value: object) -> bool:
    return any(_is_array(leaf) for leaf in jax.tree.leaves(value))


def _is_array(leaf: object) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)
