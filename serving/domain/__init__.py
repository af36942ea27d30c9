"""One folder a feature: `schemas` say what is sent and answered, `controllers` are thin."""

from collections.abc import Sequence
from typing import Any

from serving.ledger.types import Role
from serving.problems import responses
from serving.security.gate import requires


def guarded(
    tag: str, operation_id: str, summary: str, *roles: Role, also: Sequence[int] = (), tokens: float = 1.0
) -> dict[str, Any]:
    """Keywords of a handler: how the API's description calls it, whose keys may call it at how many tokens a call, and
    with which statuses besides the usual ones it refuses."""
    described = {"operation_id": operation_id, "summary": summary, "tags": [tag]}
    return {**described, "guards": [requires(*roles, tokens=tokens)], "responses": responses(*also)}
