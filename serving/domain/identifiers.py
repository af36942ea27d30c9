"""Names in addresses and bodies, the same everywhere; imports nothing of the service."""

from typing import Annotated

import msgspec
from litestar.params import PathParameter

# `$` alone would let a line break pass, in Python's regular expressions.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}$(?!\n)"
UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$(?!\n)"
IN_WORDS = {
    NAME_PATTERN: "1 to 128 letters, digits and . _ : @ + -, the first a letter or digit",
    UUID_PATTERN: "a UUID in lower case",
}
_CUSTOMER = f"The customer: {IN_WORDS[NAME_PATTERN]}"
_CAMPAIGN = f"The campaign: {IN_WORDS[NAME_PATTERN]}"
_DECISION = f"The decision: {IN_WORDS[UUID_PATTERN]}"

# In bodies.
CustomerId = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN, description=_CUSTOMER, examples=["7590-VHVEG"])]
CampaignId = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN, description=_CAMPAIGN, examples=["default"])]
DecisionId = Annotated[
    str, msgspec.Meta(pattern=UUID_PATTERN, description=_DECISION, examples=["0193a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"])
]
Micros = Annotated[int, msgspec.Meta(ge=0, le=10**15, description="Millionths of a dollar", examples=[2_500_000])]

# In addresses.
CustomerInPath = Annotated[str, PathParameter(pattern=NAME_PATTERN, description=_CUSTOMER)]
CampaignInPath = Annotated[str, PathParameter(pattern=NAME_PATTERN, description=_CAMPAIGN)]
DecisionInPath = Annotated[str, PathParameter(pattern=UUID_PATTERN, description=_DECISION)]
