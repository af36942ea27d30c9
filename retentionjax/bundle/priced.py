"""The part of a bundle that serves any budget: a policy that is told the price of spend, and the table of prices.

`policy/priced.stablehlo` is a priced program (see `program`), `policy/prices.json` the table: `{"price": [...],
"spend": [...], "uplift": [...]}`, $ a customer and campaign, measured on the training customers. A bundle has both
files or neither.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from retentionjax import storage
from retentionjax.bundle import program
from retentionjax.bundle.program import DecideAtPrice, Program
from retentionjax.env.prices import Prices
from retentionjax.env.types import EnvParams
from retentionjax.errors import BundleError, ConfigError

PROGRAM = "policy/priced.stablehlo"
PRICES = "policy/prices.json"


@dataclass(frozen=True)
class Priced:
    """The policy for every budget."""

    run: DecideAtPrice
    """(observations, masks, prices f32[b]) → (propensities, values)."""
    prices: Prices

    def at(self, price: float) -> Program:
        """The program at one price."""
        return Program(jax.jit(lambda seen, masks: self.run(seen, masks, jnp.full(len(seen), price, jnp.float32))))


def write(folder: epath.Path, decide: DecideAtPrice, prices: Prices, params: EnvParams) -> None:
    """Both files, below the bundle's folder."""
    storage.write_bytes(folder / PROGRAM, program.build(decide, params, priced=True))
    storage.write_json(folder / PRICES, asdict(prices))


def read(folder: epath.Path, files: Mapping[str, Any], params: EnvParams) -> Priced | None:
    """What the bundle has of it, None where its manifest names neither file.

    Raises BundleError: one file without the other, no table of prices, or what `program.read` refuses.
    """
    present = [name for name in (PROGRAM, PRICES) if name in files]
    if not present:
        return None
    if len(present) == 1:
        missing = PRICES if present == [PROGRAM] else PROGRAM
        raise BundleError(f"{folder / missing}: no such file, but there is {present[0]}; one is of no use alone")
    run = program.load_priced((folder / PROGRAM).read_bytes(), params, str(folder / PROGRAM))
    return Priced(run, _prices(storage.read_json(folder / PRICES), str(folder / PRICES)))


def _prices(plain: Any, where: str) -> Prices:
    names = tuple(Prices.__dataclass_fields__)
    if not isinstance(plain, dict) or set(plain) != set(names):
        raise BundleError(f"{where}: not a table of prices; wanted: {', '.join(names)}")
    columns = [plain[name] for name in names]
    if not all(isinstance(column, list) and all(type(each) in (int, float) for each in column) for column in columns):
        raise BundleError(f"{where}: {', '.join(names)} must be lists of numbers")
    try:
        return Prices(*(tuple(float(each) for each in column) for column in columns))
    except ConfigError as error:
        raise BundleError(f"{where}: {error}") from None
