"""The policy as StableHLO: it runs wherever JAX does, without the code that trained it and without any of its own.

The program takes observations f32[b, features] and masks bool[b, actions], any b ≥ 1, and gives propensities
f32[b, actions] (0 where the mask forbids) and values f32[b, values]: the uplift to come in $, then each cost to come in
the order of `constraints.NAMES`. Their sizes are those of the bundle's constants. A *conditioned* program takes
multipliers of spend f32[b] as well.

A bundle may serve any budget: by a conditioned program, `policy/any_budget.stablehlo`, and the table of multipliers,
`policy/multipliers.json`: `{"multiplier": [...], "spend": [...], "uplift": [...]}`, $ a customer and campaign, measured
on the training customers. It has both files or neither.
"""

import contextlib
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax import export
from jaxtyping import Bool, Float32

from retentionjax import storage
from retentionjax.env import actions, constraints, observation
from retentionjax.env.actions import WAIT
from retentionjax.env.types import EnvParams, MultiplierTable
from retentionjax.errors import BundleError, ConfigError

Decide = Callable[[Any, Any], tuple[Any, Any]]
DecideAtMultiplier = Callable[[Any, Any, Any], tuple[Any, Any]]
PLATFORMS = ("cpu", "cuda", "tpu")
VALUES = ("uplift", *constraints.NAMES)
_HARMLESS = re.compile(r"custom_call @shape_assertion\(")  # the one outside function a program of any batch size calls


@dataclass(frozen=True)
class Program:
    """A loaded program; call it with arrays."""

    run: Decide
    """Jitted: compiled once a batch size."""

    def __call__(
        self, observations: Float32[np.ndarray, "b features"], masks: Bool[np.ndarray, "b actions"]
    ) -> tuple[Float32[np.ndarray, "b actions"], Float32[np.ndarray, "b values"]]:
        """(propensities, values) of b customers; a row of propensities sums to 1.

        Raises ValueError for an empty batch or a mask that forbids *wait*, BundleError for an answer that is no number.
        """
        if not len(observations) or not masks[:, WAIT].all():
            raise ValueError("a decision needs at least one customer, and waiting is always legal")
        propensities, values = (np.asarray(each) for each in self.run(observations, masks))
        if not (np.isfinite(propensities).all() and np.isfinite(values).all()):
            raise BundleError("the policy's answer is not finite: its parameters are damaged")
        return propensities, values


def build(decide: Decide | DecideAtMultiplier, params: EnvParams, *, conditioned: bool = False) -> bytes:
    """`decide(observations, masks) -> (propensities, values)`, any function of JAX, as a serialised program for the
    offers and delays of `params`.

    With `conditioned` it takes multipliers after the masks.
    """
    (size,) = export.symbolic_shape("b")
    shape: Any = jax.ShapeDtypeStruct
    seen, choices = observation.size(actions.offers(params)), actions.count(params)
    shapes = [shape((size, seen), jnp.float32), shape((size, choices), jnp.bool_)]
    shapes += [shape((size,), jnp.float32)] * conditioned
    # Full float32 products everywhere: an accelerator's shortcuts would change propensities in the third digit.
    with jax.default_matmul_precision("highest"), _no_source_places():
        exported = export.export(jax.jit(decide), platforms=PLATFORMS)(*shapes)
        return bytes(exported.serialize())


@contextlib.contextmanager
def _no_source_places() -> Iterator[None]:
    """Keeps the paths of source files, which name the maker's folders, out of what is exported."""
    name = "jax_traceback_in_locations_limit"
    settings: Any = jax.config
    before = settings.values[name]
    settings.update(name, 0)
    try:
        yield
    finally:
        settings.update(name, before)


def load(data: bytes, params: EnvParams, where: str) -> Program:
    """The program in `data`. Raises BundleError as `read`."""
    return Program(jax.jit(read(data, params, where).call))


def load_conditioned(data: bytes, params: EnvParams, where: str) -> DecideAtMultiplier:
    """The program in `data`, to be given multipliers f32[b] as well. Raises BundleError as `read`."""
    return read(data, params, where, conditioned=True).call


def read(data: bytes, params: EnvParams, where: str, *, conditioned: bool = False) -> export.Exported:
    """What `build` serialised, checked.

    Raises BundleError: damaged, of a version that this JAX does not read, of other shapes, not for this platform, or
    calling anything outside itself.
    """
    try:
        exported = export.deserialize(bytearray(data))
        text = exported.mlir_module()
    except (ValueError, TypeError, KeyError, IndexError, AssertionError, struct.error, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BundleError(f"{where}: JAX {jax.__version__} cannot read this program: {reason}") from error
    oldest, newest = (
        export.minimum_supported_calling_convention_version,
        export.maximum_supported_calling_convention_version,
    )
    if not oldest <= exported.calling_convention_version <= newest:  # JAX itself looks only when it compiles
        version = f"calling convention {exported.calling_convention_version}"
        raise BundleError(f"{where}: {version}; JAX {jax.__version__} reads {oldest} to {newest}")
    if text.count("custom_call") != len(_HARMLESS.findall(text)):
        raise BundleError(f"{where}: the program calls functions outside itself; that is refused")
    _check_shapes(exported, params, where, conditioned=conditioned)
    platform = export.default_export_platform()
    if platform not in exported.platforms:
        raise BundleError(f"{where}: made for {', '.join(exported.platforms)}, and this is {platform}")
    return exported


def _check_shapes(exported: export.Exported, params: EnvParams, where: str, *, conditioned: bool) -> None:
    found = [(aval.dtype.name, aval.shape[1:]) for aval in (*exported.in_avals, *exported.out_avals)]
    choices = actions.count(params)
    wanted = [
        ("float32", (observation.size(actions.offers(params)),)),
        ("bool", (choices,)),
        *([("float32", ())] * conditioned),
        ("float32", (choices,)),
        ("float32", (len(VALUES),)),
    ]
    batches = {str(aval.shape[:1]) for aval in (*exported.in_avals, *exported.out_avals)}
    any_size = all(aval.shape and export.is_symbolic_dim(aval.shape[0]) for aval in exported.in_avals)
    if found != wanted or len(batches) != 1 or not any_size:
        shapes = [str(aval) for aval in (*exported.in_avals, *exported.out_avals)]
        raise BundleError(f"{where}: the program has the shapes {', '.join(shapes)}; this is another policy's")


ANY_BUDGET = "policy/any_budget.stablehlo"
MULTIPLIERS = "policy/multipliers.json"


@dataclass(frozen=True)
class AnyBudget:
    """The policy for every budget."""

    run: DecideAtMultiplier
    """(observations, masks, multipliers f32[b]) → (propensities, values)."""
    multipliers: MultiplierTable

    def at(self, multiplier: float) -> Program:
        """The program at one multiplier."""
        return Program(jax.jit(lambda seen, masks: self.run(seen, masks, jnp.full(len(seen), multiplier, jnp.float32))))


def write_any_budget(
    folder: epath.Path, decide: DecideAtMultiplier, multipliers: MultiplierTable, params: EnvParams
) -> None:
    """Both files, below the bundle's folder."""
    storage.write_bytes(folder / ANY_BUDGET, build(decide, params, conditioned=True))
    storage.write_json(folder / MULTIPLIERS, asdict(multipliers))


def read_any_budget(folder: epath.Path, files: Mapping[str, Any], params: EnvParams) -> AnyBudget | None:
    """What the bundle has of it, None where its manifest names neither file.

    Raises BundleError: one file without the other, no table of multipliers, or what `read` refuses.
    """
    present = [name for name in (ANY_BUDGET, MULTIPLIERS) if name in files]
    if not present:
        return None
    if len(present) == 1:
        missing = MULTIPLIERS if present == [ANY_BUDGET] else ANY_BUDGET
        raise BundleError(f"{folder / missing}: no such file, but there is {present[0]}; one is of no use alone")
    run = load_conditioned((folder / ANY_BUDGET).read_bytes(), params, str(folder / ANY_BUDGET))
    return AnyBudget(run, _multipliers(storage.read_json(folder / MULTIPLIERS), str(folder / MULTIPLIERS)))


def _multipliers(plain: Any, where: str) -> MultiplierTable:
    names = tuple(MultiplierTable.__dataclass_fields__)
    if not isinstance(plain, dict) or set(plain) != set(names):
        raise BundleError(f"{where}: not a table of multipliers; wanted: {', '.join(names)}")
    columns = [plain[name] for name in names]
    if not all(isinstance(column, list) and all(type(each) in (int, float) for each in column) for column in columns):
        raise BundleError(f"{where}: {', '.join(names)} must be lists of numbers")
    try:
        return MultiplierTable(*(tuple(float(each) for each in column) for column in columns))
    except ConfigError as error:
        raise BundleError(f"{where}: {error}") from None
