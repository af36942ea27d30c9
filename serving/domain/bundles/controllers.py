"""`/v1/bundles` and `/v1/bundles:activate`."""

import asyncio
import os
from dataclasses import asdict
from typing import Any

import msgspec
import structlog
from litestar import Request, get, post
from litestar.params import JSONBody

from retentionjax.bundle import pointer
from retentionjax.errors import BundleError, ConfigError
from serving.domain.bundles.schemas import ActivateIn, BundleOut, BundlesOut, EffectOut, figures
from serving.engine.slots import Lineup, Slot
from serving.ledger.types import SlotName
from serving.problems import Problem, field_error, invalid, responses
from serving.security.gate import Caller, requires

_log = structlog.get_logger("serving.bundles")


@get(
    "/v1/bundles",
    operation_id="listBundles",
    summary="Which bundles serve",
    tags=["bundles"],
    guards=[requires("report")],
    responses=responses(),
)
async def list_bundles(request: Request[Any, Any, Any]) -> BundlesOut:
    """The active one, the canary and the shadow, where there are any."""
    return describe(request.app.state.engine.lineup)


@post(
    "/v1/bundles:activate",
    operation_id="activateBundle",
    summary="Put a bundle to work",
    tags=["bundles"],
    status_code=200,
    guards=[requires()],
    responses=responses(409, 413, 415),
)
async def activate_bundle(request: Request[Any, Any, Any], data: JSONBody[ActivateIn]) -> BundlesOut:
    """Loaded, verified and compiled beside the one that serves, then swapped in; on failure all stays as it was."""
    return describe(await activate(request.app.state, request.auth, data))


async def activate(state: Any, caller: Caller, wanted: ActivateIn) -> Lineup:
    """Does what `wanted` says. Raises Problem 422 where it says nothing sensible, 409 where the bundle is not fit."""
    engine = state.engine
    if wanted.slot == "canary" and wanted.path is not None and not wanted.weight:
        raise invalid("A canary needs a weight.", field_error("weight", wanted.weight, "above 0, up to 1"))
    if wanted.path is None and wanted.slot == "active":
        raise invalid("The active bundle can only be replaced.", field_error("path", None, "the path of a bundle"))
    if wanted.slot == "active" and engine.follows_pointer:
        detail = "Move the pointer by `retentionjax bundle promote` or `rollback`: the service follows."
        errors = [field_error("slot", "active", "canary, shadow")]
        raise Problem(409, "bundle-pointed-to", "A pointer says which bundle is active", detail, errors)
    try:
        if wanted.path is None:
            lineup: Lineup = await engine.deactivate(wanted.slot)
        else:
            folder = await asyncio.to_thread(pointer.find, wanted.path)
            lineup = await engine.activate(os.fspath(folder), wanted.slot, wanted.weight)
    except (BundleError, ConfigError, OSError, ValueError) as error:
        _log.warning("a bundle was refused", exc_info=error)
        errors = [field_error("path", wanted.path, "a bundle that is whole and of this version; the log says more")]
        detail = "It cannot be loaded; everything is as it was."
        raise Problem(409, "bundle-refused", "The bundle is not fit to serve", detail, errors) from None
    await asyncio.to_thread(_remember, state.ledger, caller, wanted)
    return lineup


def _remember(ledger: Any, caller: Caller, wanted: ActivateIn) -> None:
    share = f", {wanted.weight:.0%} of customers" if wanted.slot == "canary" and wanted.path else ""
    with ledger.transaction() as tx:
        tx.changed(str(caller), f"{wanted.slot} bundle", (wanted.path or "none") + share)


def describe(lineup: Lineup) -> BundlesOut:
    """The bundles of a lineup."""
    slots: list[tuple[SlotName, Slot | None, float]] = [
        ("active", lineup.active, 1.0 - (lineup.weight if lineup.canary else 0.0)),
        ("canary", lineup.canary, lineup.weight),
        ("shadow", lineup.shadow, 0.0),
    ]
    return BundlesOut(tuple(_bundle(name, slot, weight) for name, slot, weight in slots if slot is not None))


def _bundle(name: SlotName, slot: Slot, weight: float) -> BundleOut:
    served, manifest = slot.served, slot.served.bundle.manifest
    return BundleOut(
        slot=name,
        id=served.id,
        path=slot.path,
        weight=weight,
        created=manifest.created,
        policy_version=served.policy_version,
        rules_version=served.rules_version,
        synthetic_data=served.synthetic,
        writes_messages=served.bundle.writes,
        advice=manifest.advice,
        effects=tuple(msgspec.convert(asdict(each), EffectOut) for each in manifest.effects),
        figures=figures(dict(manifest.metrics)),
    )
