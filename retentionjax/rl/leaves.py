"""What the fields of a pytree hold."""

from typing import Any

# An array; or a shape, a sharding, an axis, None: whatever a tree map or a transformation of JAX makes of it.
Leaf = Any
