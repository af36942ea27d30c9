"""A public data set by its name, real or synthetic, never one for the other unsaid."""

import os
import sys
from pathlib import Path
from typing import Literal

from retentionjax.data import sources, synthetic
from retentionjax.data.public_sets import READ, SCHEMAS
from retentionjax.data.schema import Provenance, Table

Mode = Literal["auto", "real", "synthetic"]


def load(
    name: str,
    *,
    mode: Mode = "auto",
    cache: str | os.PathLike[str] | None = None,
    synthetic_rows: int | None = None,
) -> Table:
    """The data set `name` (telco, bank or hillstrom), validated.

    `real` takes it from RETENTIONJAX_DATA, the cache or the official address; `synthetic` generates it; `auto` is
    real, and synthetic with a warning on stderr when none of the three places has it. `cache` replaces the usual
    cache folder; a synthetic set has `synthetic_rows`, or as many as the real one. Raises DataError: no such set,
    unavailable (naming the three places), damaged, or no synthetic form.
    """
    sources.source(name)
    if mode == "synthetic":
        return synthetic.generate(name, rows=synthetic_rows)
    try:
        return _load_real(name, Path(cache) if cache is not None else None)
    except sources.UnavailableError as error:
        if mode == "real" or name not in synthetic.NAMES:
            raise
        print(f"WARNING: {error}\nWARNING: going on with SYNTHETIC {name} data", file=sys.stderr, flush=True)
        return synthetic.generate(name, rows=synthetic_rows)


def _load_real(name: str, cache: Path | None) -> Table:
    source = sources.source(name)
    found = sources.obtain(name, cache=cache)
    frame = READ[name](found.data, found.where)
    provenance = Provenance("real", source.downloads[0].url, found.sha256, source.licence, len(frame))
    return Table(name, frame, SCHEMAS[name], provenance)
