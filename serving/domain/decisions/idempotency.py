"""The header Idempotency-Key: read from the request as it came, since Litestar would read all its headers for it."""

import re
from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.openapi.spec import Operation, Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType

from serving.problems import field_error, invalid
from serving.security.headers import sole

NAME = "Idempotency-Key"
PATTERN = r"^[!-~]+$(?!\n)"
LONGEST = 128
_HEADER = NAME.lower().encode()
_KEY = re.compile(rb"[!-~]{1,%d}" % LONGEST)


@dataclass
class Keyed(Operation):
    """`operation_class=` of a handler that takes the header, which OpenAPI then describes."""

    def __post_init__(self) -> None:
        form = Schema(type=OpenAPIType.STRING, min_length=1, max_length=LONGEST, pattern=PATTERN)
        words = "A repeated request with the same key gets the same answer for 24 hours"
        key = Parameter(name=NAME, param_in="header", description=words, required=False, schema=form)
        self.parameters = [*(self.parameters or ()), key]


def key_of(request: Request[Any, Any, Any]) -> str | None:
    """The key, None without one. Raises Problem 422 for one of another form, 400 for two."""
    value = sole(request.scope["headers"], _HEADER)
    if value is None:
        return None
    if not _KEY.fullmatch(value):
        allowed = f"1 to {LONGEST} visible ASCII characters"
        raise invalid("A header has a wrong form.", field_error(NAME, value.decode("latin-1"), allowed))
    return value.decode()
