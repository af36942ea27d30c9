"""API keys: `rj_<key id>_<secret>`, of which the ledger keeps the id and a hash of the secret.

The hash is one SHA-256, and that is right here: the secret is 256 bits from the system's random source, so nobody can
try them through, however fast the hash; slow, salted hashes are for passwords, which people choose. What is stored
cannot be turned back into a key, and the comparison takes the same time wherever the first difference lies.
"""

import base64
import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

_SHAPE = re.compile(r"rj_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


class Minted(NamedTuple):
    """A new key; `token` is shown once and kept nowhere."""

    key_id: str
    token: str
    secret_sha256: bytes


class Presented(NamedTuple):
    """A key as a caller shows it."""

    key_id: str
    secret_sha256: bytes


def mint() -> Minted:
    """A new key of 256 random bits."""
    key_id = secrets.token_hex(8)
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    return Minted(key_id, f"rj_{key_id}_{secret}", _hash(secret))


def read(token: str) -> Presented | None:
    """The parts of a token; None if it does not have the shape of one."""
    match = _SHAPE.fullmatch(token)
    return Presented(match[1], _hash(match[2])) if match else None


def same(one: bytes, other: bytes) -> bool:
    """Whether two hashes are equal, in constant time."""
    return hmac.compare_digest(one, other)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
