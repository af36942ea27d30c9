"""`/v1/admin/kill-switch`: what decides, from the next micro-batch on."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, get, put
from litestar.params import JSONBody
from msgspec import Meta

from serving.ledger import Ledger
from serving.problems import responses
from serving.security.gate import Caller, requires

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
    return KillSwitch(request.app.state.ledger.ask(lambda view: view.kill_switch()))


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
    set_switch(request.app.state.ledger, data.mode, request.auth)
    return data


def set_switch(ledger: Ledger, mode: Mode, caller: Caller) -> None:
    """Sets the kill switch, and remembers who did."""
    with ledger.transaction() as tx:
        tx.set_kill_switch(mode)
        tx.changed(str(caller), "kill switch", mode)
