"""Deciders that are made once a bundle: to trace one again takes half a second, and none changes."""

from collections.abc import Sequence

from retentionjax.bundle import Bundle
from retentionjax.decide.program import SIZES, Decider

_made: dict[object, Decider] = {}


def decider(bundle: Bundle, sizes: Sequence[int] = SIZES) -> Decider:
    """As `Decider`, for a bundle as it was loaded: those of the same manifest are one, wherever they lie."""
    asked = repr(bundle.manifest), tuple(sizes)
    if asked not in _made:
        _made[asked] = Decider(bundle, sizes)
    return _made[asked]
