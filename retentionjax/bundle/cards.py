"""A bundle's model card and data card in Markdown, from its manifest alone.

Sections follow Mitchell et al. 2019 (Model Cards for Model Reporting) and Gebru et al. 2021 (Datasheets for Datasets).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jinja2

from retentionjax.bundle.customer import schema_of
from retentionjax.bundle.manifest import NAME, Manifest, limits_words
from retentionjax.company import Company
from retentionjax.data import leaks
from retentionjax.data.schema import Schema

_FIGURES = (
    ("churn", "cv_auc", "risk of leaving: AUC, cross-validated", "{:.3f}"),
    ("churn", "cv_ece", "… expected calibration error", "{:.3f}"),
    ("acceptance", "cv_auc", "acceptance: AUC, cross-validated", "{:.3f}"),
    ("acceptance", "cv_ece", "… expected calibration error", "{:.3f}"),
    ("acceptance", "time_ordered_auc", "… AUC, trained on the past only", "{:.3f}"),
    ("evaluate", "uplift_ppo", "value over never contacting, a customer (simulated, held out)", "{:.2f}"),
    ("evaluate", "probability_beats_never", "… chance that it is above 0", "{:.2f}"),
    ("evaluate", "paired_ppo_minus_greedy", "… more than the greedy rule at the same spend", "{:.2f}"),
    ("evaluate", "share_of_attainable_gain", "… share of what any policy could gain", "{:.3f}"),
    ("policy", "spend_ratio", "spend on held-out customers / budget", "{:.3f}"),
    ("policy", "violations_masked", "violations of hard limits", "{:g}"),
    ("reward", "accuracy_messages", "reward model: accuracy on held-out pairs of messages", "{:.3f}"),
    ("ppo_text", "shield_pass_rate", "language model: messages that the shield passes", "{:.3f}"),
)
_ASSUMPTIONS = (
    "risk_onset", "risk_recovery", "risk_ratio", "appeal", "accept_risk", "accept_fatigue", "hazard_multiplier",
    "fatigue_hazard", "contact_cost", "tail_days", "cooldown_days", "fatigue_cap", "account_cap",
)  # fmt: skip


def card(manifest: Manifest) -> str:
    """Both cards as one Markdown text; a figure that the manifest lacks is said to be not measured."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("retentionjax.bundle", "."),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown, from a manifest of our own
    )
    env, company = manifest.env, Company.from_dict(manifest.company)
    return environment.get_template("card.md.jinja").render(
        id=manifest.id,
        created=manifest.created,
        git_commit=manifest.git_commit,
        packages=manifest.packages,
        synthetic=manifest.synthetic,
        parts=manifest.parts,
        env=env,
        offers=", ".join(f"{name} ({offer.words(company.currency)})" for name, offer in company.offers.items()),
        delays=" or ".join(f"{days:g}" for days in env["delays"] if days),
        fields=list(_fields(schema_of(manifest.customer, NAME))),
        figures=[_figure(manifest.metrics.get(stage, {}), *rest) for stage, *rest in _FIGURES],
        limits=limits_words(manifest.limits),
        currency=company.currency,
        multiplier=f"{manifest.multipliers.get('campaign_budget', 0.0):.2f}",
        advice=manifest.advice,
        leak=leaks.words(leaks.of_summary(manifest.metrics.get("churn", {}))),
        effects=manifest.effects,
        recalibration=manifest.metrics.get("recalibration"),
        assumptions=[(name, env[name]) for name in _ASSUMPTIONS],
        matching=", ".join(f"{name} {each}" for name, each in manifest.matching.items()),
        data=manifest.data,
    )


def _figure(summary: Mapping[str, Any], key: str, name: str, form: str) -> tuple[str, str, str]:
    if summary.get(key) is None:
        return name, "not measured", ""
    low, high = summary.get(f"{key}_low"), summary.get(f"{key}_high")
    interval = f"{form.format(low)} to {form.format(high)}" if low is not None and high is not None else ""
    return name, form.format(summary[key]), interval


def _fields(customer: Schema) -> Iterator[tuple[str, str, str]]:
    for name in customer.numeric:
        yield name, "number", "any, or missing" if name in customer.nullable else "any"
    for name, allowed in customer.categorical.items():
        yield name, "category", ", ".join(str(each) for each in allowed)
