"""The part of a bundle that serves any budget: a policy that is told the multiplier of spend, and the table of
multipliers.

`policy/any_budget.stablehlo` takes multipliers (see `program`), `policy/multipliers.json` the table: `{"multiplier":
[...], "spend": [...], "uplift": [...]}`, $ a customer and campaign, measured on the training customers. A bundle has
both files or neither.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from retentionjax import storage
from retentionjax.bundle import program
from retentionjax.bundle.program import DecideAtMultiplier, Program
from retentionjax.env.multipliers import MultiplierTable
from retentionjax.env.types import EnvParams
from retentionjax.errors import BundleError, ConfigError

PROGRAM = "policy/any_budget.stablehlo"
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


def write(folder: epath.Path, decide: DecideAtMultiplier, multipliers: MultiplierTable, params: EnvParams) -> None:
    """Both files, below the bundle's folder."""
    storage.write_bytes(folder / PROGRAM, program.build(decide, params, conditioned=True))
    storage.write_json(folder / MULTIPLIERS, asdict(multipliers))


def read(folder: epath.Path, files: Mapping[str, Any], params: EnvParams) -> AnyBudget | None:
    """What the bundle has of it, None where its manifest names neither file.

    Raises BundleError: one file without the other, no table of multipliers, or what `program.read` refuses.
    """
    present = [name for name in (PROGRAM, MULTIPLIERS) if name in files]
    if not present:
        return None
    if len(present) == 1:
        missing = MULTIPLIERS if present == [PROGRAM] else PROGRAM
        raise BundleError(f"{folder / missing}: no such file, but there is {present[0]}; one is of no use alone")
    run = program.load_conditioned((folder / PROGRAM).read_bytes(), params, str(folder / PROGRAM))
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
