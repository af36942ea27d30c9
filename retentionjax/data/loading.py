"""A public data set by its name, real or synthetic, never one for the other unsaid."""

import sys
from typing import Literal

from retentionjax.data import sources, synthetic
from retentionjax.data.public_sets import READ, SCHEMAS
from retentionjax.data.schema import Provenance, Table

Mode = Literal["auto", "real", "synthetic"]


def load(name: str, *, mode: Mode = "auto") -> Table:
    """The data set `name` (telco, bank or hillstrom), validated.

    `real` takes it from RETENTIONJAX_DATA, the cache or the official address; `synthetic` generates it; `auto` is
    real, and synthetic with a warning on stderr when none of the three places has it. Raises DataError: no such set,
    unavailable (naming the three places), damaged, or no synthetic form.
    """
    source = sources.source(name)
    if mode == "synthetic":
        return synthetic.generate(name)
    try:
        found = sources.obtain(name)
    except sources.UnavailableError as error:
        if mode == "real" or name not in synthetic.NAMES:
            raise
        print(f"WARNING: {error}\nWARNING: going on with SYNTHETIC {name} data", file=sys.stderr, flush=True)
        return synthetic.generate(name)
    frame = READ[name](found.data, found.where)
    provenance = Provenance("real", source.downloads[0].url, found.sha256, source.licence, len(frame))
    return Table(name, frame, SCHEMAS[name], provenance)
