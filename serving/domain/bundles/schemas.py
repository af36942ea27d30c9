"""Bundles that serve, and how one is put to work."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Slot = Annotated[
    Literal["active", "canary", "shadow"],
    Meta(description="active: decides; canary: for a share of the customers; shadow: recorded, never sent"),
]
BundlePath = Annotated[str, Meta(min_length=1, max_length=1024)]
Weight = Annotated[float, Meta(ge=0, le=1, description="Share of the customers, of a canary; above 0", examples=[0.1])]


class ActivateIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle to be loaded, verified, compiled and swapped in; without `path` the slot is emptied."""

    slot: Slot
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

    slot: Slot
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
