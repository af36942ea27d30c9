"""Types of fields, the same in every address, body and answer: names, moments, money.

Moments are UTC epoch seconds inside, ISO 8601 outside.
"""

import datetime as dt
import functools
from typing import Annotated, Any, TypeVar, get_type_hints

from litestar.params import PathParameter
from msgspec import Meta, Struct

from serving.moments import utc

# `$` alone would let a line break pass, in Python's regular expressions.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}$(?!\n)"
UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$(?!\n)"
VARIANT_PATTERN = r"^[0-9a-f]{16}$(?!\n)"
ZONE_PATTERN = r"^[A-Za-z0-9._+/-]{1,64}$(?!\n)"
TEXT_PATTERN = r"^[^\x00]*$"  # PostgreSQL keeps no U+0000
IN_WORDS = {
    NAME_PATTERN: "1 to 128 letters, digits and . _ : @ + -, the first a letter or digit",
    UUID_PATTERN: "a UUID in lower case",
    VARIANT_PATTERN: "16 hexadecimal digits in lower case",
    ZONE_PATTERN: "an IANA name such as America/Chicago",
    TEXT_PATTERN: "text without U+0000",
}
_CUSTOMER = f"The customer: {IN_WORDS[NAME_PATTERN]}"
_CAMPAIGN = f"The campaign: {IN_WORDS[NAME_PATTERN]}"
_DECISION = f"The decision: {IN_WORDS[UUID_PATTERN]}"

# In bodies.
CustomerId = Annotated[str, Meta(pattern=NAME_PATTERN, description=_CUSTOMER, examples=["7590-VHVEG"])]
CampaignId = Annotated[str, Meta(pattern=NAME_PATTERN, description=_CAMPAIGN, examples=["default"])]
DecisionId = Annotated[
    str, Meta(pattern=UUID_PATTERN, description=_DECISION, examples=["0193a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"])
]
Micros = Annotated[int, Meta(ge=0, le=10**15, description="Millionths of the company's currency", examples=[2_500_000])]

# In addresses.
CustomerInPath = Annotated[str, PathParameter(pattern=NAME_PATTERN, description=_CUSTOMER)]
CampaignInPath = Annotated[str, PathParameter(pattern=NAME_PATTERN, description=_CAMPAIGN)]
DecisionInPath = Annotated[str, PathParameter(pattern=UUID_PATTERN, description=_DECISION)]

# Moments.
Moment = Annotated[dt.datetime, Meta(tz=True, description="ISO 8601 with an offset", examples=["2026-11-26T10:15:00Z"])]
MomentOut = Annotated[str, Meta(description="UTC, ISO 8601", examples=["2026-11-26T10:15:00.125Z"])]


@functools.lru_cache(maxsize=1024)  # the decisions of a micro-batch share their moments
def iso(at: float) -> str:
    """Epoch seconds as UTC, ISO 8601, to the millisecond; beyond the years 1 to 9999: their end."""
    return utc(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


S = TypeVar("S", bound=Struct)


def shown(kind: type[S], source: object, **more: Any) -> S:
    """`source` as the API answers it: its attributes by the names of the fields, moments as ISO 8601, and `more`."""
    found = {name: getattr(source, name) for name in kind.__struct_fields__ if name not in more}
    moments = {name: iso(found[name]) for name in _texts(kind) if isinstance(found.get(name), float)}
    return kind(**{**found, **moments, **more})


@functools.cache
def _texts(kind: type[Struct]) -> tuple[str, ...]:
    return tuple(name for name, hint in get_type_hints(kind).items() if hint in (str, str | None))
