"""`/v1/bundles` and `/v1/bundles:activate`."""

import asyncio
import os
from dataclasses import asdict
from typing import Annotated, Any, Literal

import msgspec
import structlog
from litestar import Request, get, post, put
from litestar.params import JSONBody
from msgspec import Meta

from retentionjax import storage
from retentionjax.bundle import pointer
from retentionjax.errors import RetentionJaxError
from serving.domain import guarded
from serving.engine.contract import EngineError
from serving.engine.slots import Lineup, Slot
from serving.ledger import Ledger, LedgerError
from serving.ledger.types import SlotName
from serving.problems import Problem, field_error, invalid, problem_of
from serving.security.gate import Caller

SlotIn = Annotated[
    SlotName,
    Meta(description="active: decides; canary: for a share of the customers; shadow: recorded, never sent"),
]
BundlePath = Annotated[str, Meta(min_length=1, max_length=1024)]
Weight = Annotated[float, Meta(ge=0, le=1, description="Share of the customers; of a canary alone", examples=[0.1])]


class ActivateIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle to be loaded, verified, compiled and swapped in; without `path` the slot is emptied."""

    slot: SlotIn
    path: Annotated[
        BundlePath | None,
        Meta(
            description="A folder, gs://… or a pointer; null ends the canary or the shadow",
            examples=["/srv/bundles/current"],
        ),
    ] = None
    weight: Weight = 0.0


class EffectOut(msgspec.Struct, frozen=True):
    """One number about what contacts or offers do, as the policy was trained on it."""

    name: Annotated[str, Meta(examples=["hazard_multiplier_ten"])]
    median: float
    low: Annotated[float, Meta(description="5 % quantile")]
    high: Annotated[float, Meta(description="95 % quantile")]
    rests_on: Annotated[
        Literal["estimated", "assumed", "declared"],
        Meta(description="The company's own randomised log, the public prior, or the company's word"),
    ]


class BundleOut(msgspec.Struct, frozen=True):
    """A bundle that serves."""

    slot: SlotIn
    id: Annotated[str, Meta(description="SHA-256 of the bundle")]
    path: str
    weight: Annotated[float, Meta(ge=0, le=1, description="Share of the customers it decides about")]
    created: str
    policy_version: str
    rules_version: str
    synthetic_data: bool
    writes_messages: Annotated[bool, Meta(description="Whether it has a language model")]
    advice: Annotated[
        str,
        Meta(description="Why it contacts nobody and what to do, where its policy was not shown to gain; else empty"),
    ]
    effects: tuple[EffectOut, ...]
    figures: Annotated[
        dict[str, float], Meta(description="Measured when it was made", examples=[{"churn.cv_auc": 0.85}])
    ]


class BundlesOut(msgspec.Struct, frozen=True):
    """Which bundles serve."""

    bundles: tuple[BundleOut, ...]


SHOWN = {
    "churn": ("cv_auc", "cv_ece"),
    "acceptance": ("cv_auc", "cv_ece"),
    "policy": ("spend_ratio", "violations_masked"),
    "evaluate": (
        "uplift_ppo",
        "probability_beats_never",
        "uplift_greedy",
        "paired_ppo_minus_greedy",
        "share_of_attainable_gain",
    ),
}


def figures(metrics: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The few of a manifest's figures that say how good a bundle is."""
    return {
        f"{stage}.{name}": float(metrics[stage][name])
        for stage, names in SHOWN.items()
        for name in names
        if name in metrics.get(stage, {})
    }


_log = structlog.get_logger("serving.bundles")


@get("/v1/bundles", **guarded("bundles", "listBundles", "Which bundles serve", "report"))
async def list_bundles(request: Request[Any, Any, Any]) -> BundlesOut:
    """The active one, the canary and the shadow, where there are any."""
    return describe(request.app.state.engine.lineup)


@post(
    "/v1/bundles:activate",
    status_code=200,
    **guarded("bundles", "activateBundle", "Put a bundle to work", also=(409, 413, 415)),
)
async def activate_bundle(request: Request[Any, Any, Any], data: JSONBody[ActivateIn]) -> BundlesOut:
    """Loaded, verified and compiled beside the one that serves, then swapped in; on failure all stays as it was."""
    return describe(await activate(request.app.state, request.auth, data))


async def activate(state: Any, caller: Caller, wanted: ActivateIn) -> Lineup:
    """Does what `wanted` says. Raises Problem 422 where it says nothing sensible, 409 where the bundle is not fit."""
    engine = state.engine
    if wanted.slot == "canary" and wanted.path is not None and not wanted.weight:
        raise invalid("A canary needs a weight.", field_error("weight", wanted.weight, "above 0, up to 1"))
    if wanted.slot != "canary" and wanted.weight:  # who wants a share of the customers means a canary
        fault = field_error("weight", wanted.weight, "left out, or 0: it is a canary's")
        raise invalid("Only a canary has a weight.", fault)
    if wanted.path is None and wanted.slot == "active":
        raise invalid("The active bundle can only be replaced.", field_error("path", None, "the path of a bundle"))
    if wanted.slot == "active" and engine.follows_pointer:
        detail = "Move the pointer by `retentionjax bundle promote` or `rollback`: the service follows."
        errors = [field_error("slot", "active", "canary, shadow")]
        raise Problem(409, "bundle-pointed-to", "A pointer says which bundle is active", detail, errors)
    before = _slot_in_words(engine.lineup, wanted.slot)
    try:
        if wanted.path is None:
            lineup: Lineup = await engine.deactivate(wanted.slot)
        else:
            # The ledger keeps it for services that start elsewhere.
            folder = await asyncio.to_thread(lambda path: pointer.find(storage.absolute(path)), wanted.path)
            lineup = await engine.activate(os.fspath(folder), wanted.slot, wanted.weight)
    except (EngineError, LedgerError) as error:  # which say nothing of the bundle
        raise problem_of(error) from None
    except (RetentionJaxError, OSError, ValueError) as error:
        _log.warning("a bundle was refused", exc_info=error)
        errors = [field_error("path", wanted.path, "a bundle that is whole and of this version; the log says more")]
        detail = "It cannot be loaded; everything is as it was."
        raise Problem(409, "bundle-refused", "The bundle is not fit to serve", detail, errors) from None
    after = _slot_in_words(lineup, wanted.slot)
    await asyncio.to_thread(_remember, state.ledger, caller, wanted.slot, before, after)
    return lineup


def _slot_in_words(lineup: Lineup, slot: SlotName) -> str:
    found: Slot | None = getattr(lineup, slot)
    if found is None:
        return "none"
    return found.path + (f", {lineup.weight:.0%} of customers" if slot == "canary" else "")


def _remember(ledger: Any, caller: Caller, slot: SlotName, before: str, after: str) -> None:
    with ledger.transaction() as tx:
        tx.changed(str(caller), f"{slot} bundle", after, before)


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


# --- the kill switch -------------------------------------------------------------------------------------------------


KILL_SWITCH = "/v1/admin/kill-switch"

Mode = Annotated[
    Literal["policy", "baseline", "never"],
    Meta(description="policy: the bundle's; baseline: the simple rule; never: nobody is contacted"),
]


class KillSwitch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What decides."""

    mode: Mode


@get(KILL_SWITCH, sync_to_thread=True, **guarded("admin", "readKillSwitch", "What decides", "report"))
def read_switch(request: Request[Any, Any, Any]) -> KillSwitch:
    """The policy, the baseline, or nobody."""
    return KillSwitch(request.app.state.ledger.ask(lambda view: view.kill_switch()))


@put(
    KILL_SWITCH,
    sync_to_thread=True,
    **guarded("admin", "putKillSwitch", "Stop contacts, or the policy", also=(413, 415)),
)
def put_switch(request: Request[Any, Any, Any], data: JSONBody[KillSwitch]) -> KillSwitch:
    """Holds for every process from its next micro-batch on, and after restarts."""
    set_switch(request.app.state.ledger, data.mode, request.auth)
    return data


def set_switch(ledger: Ledger, mode: Mode, caller: Caller) -> None:
    """Sets the kill switch, and remembers who did."""
    with ledger.transaction() as tx:
        before = tx.kill_switch()
        tx.set_kill_switch(mode)
        tx.changed(str(caller), "kill switch", mode, before)
