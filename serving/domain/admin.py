"""`/v1/admin/kill-switch`: what decides, from the next micro-batch on."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, get, put
from litestar.params import JSONBody
from msgspec import Meta

from serving.problems import responses
from serving.security.gate import requires

KILL_SWITCH = "/v1/admin/kill-switch"

Mode = Annotated[
    Literal["policy", "baseline", "never"],
    Meta(description="policy: the bundle's; baseline: the simple rule; never: nobody is contacted"),
]


class KillSwitch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What decides."""

    mode: Mode


@get(
    KILL_SWITCH,
    operation_id="readKillSwitch",
    summary="What decides",
    tags=["admin"],
    guards=[requires("report")],
    responses=responses(),
    sync_to_thread=True,
)
def read_switch(request: Request[Any, Any, Any]) -> KillSwitch:
    """The policy, the baseline, or nobody."""
    with request.app.state.ledger.read() as view:
        return KillSwitch(view.kill_switch())


@put(
    KILL_SWITCH,
    operation_id="putKillSwitch",
    summary="Stop contacts, or the policy",
    tags=["admin"],
    guards=[requires()],
    responses=responses(413, 415),
    sync_to_thread=True,
)
def put_switch(request: Request[Any, Any, Any], data: JSONBody[KillSwitch]) -> KillSwitch:
    """Holds for every process from its next micro-batch on, and after restarts."""
    with request.app.state.ledger.transaction() as tx:
        tx.set_kill_switch(data.mode)
        tx.changed(str(request.auth), "kill switch", data.mode)
    return data
