"""What the fields of a pytree hold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Array

if TYPE_CHECKING:
    Leaf = Array
    HostLeaf = np.ndarray | Array  # made on the host, and of the device once it is there
    Number = float | Array
    Vector = float | Sequence[float] | Array
else:
    # While a program runs, also a tracer, a shape, a sharding, an axis or None: whatever a tree map or a transformation
    # makes of it.
    Leaf = HostLeaf = Number = Vector = Any
