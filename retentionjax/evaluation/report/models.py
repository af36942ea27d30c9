"""What goes in: the data, the models' probabilities, what the language model writes, and what is assumed."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from retentionjax.bundle.manifest import limits_words
from retentionjax.data import leaks
from retentionjax.data.schema import counted
from retentionjax.env import record
from retentionjax.env.types import EnvParams
from retentionjax.evaluation.report import pictures
from retentionjax.evaluation.report.content import (
    SPACE,
    Block,
    FigureTable,
    Missing,
    Notice,
    Paragraph,
    Picture,
    Pictures,
    Section,
    WrittenSample,
    WrittenSamples,
    bracketed,
    number,
    percent,
)
from retentionjax.evaluation.report.run_folder import FinishedRun, FinishedStage
from retentionjax.tabular.plots import filled_bins

MODELS = {
    "churn": ("Who will leave", "python -m experiments.churn"),
    "acceptance": ("Who accepts an offer", "python -m experiments.acceptance"),
}
_MEASURES = {
    "auc": "AUC: ranks a pair right",
    "ece": "calibration error",
    "brier": "Brier score",
    "brier_skill": "Brier skill over the base rate",
    "log_loss": "log-loss [nats]",
}


def provenance(run: FinishedRun) -> Section:
    """`data`: each set with its source, licence and hash."""
    stage = run.get("data")
    lead = "Where every number comes from. A different hash means a different file."
    if stage is None:
        return Section("data", "Data", lead, (Missing("the data sets", "python -m experiments.data"),))
    sets: Mapping[str, Any] = stage.json("catalog.json")["sets"]
    blocks: list[Block] = []
    if made_up := [name for name, each in sets.items() if each["provenance"]["kind"] != "real"]:
        text = f"Made by the embedded generator: {', '.join(made_up)}. No figure of this page describes real customers."
        blocks.append(Notice("danger", "Synthetic data", text))
    rows = [
        (
            name,
            each["provenance"]["kind"],
            " / ".join(f"{each['splits'][part]['rows']:,}" for part in each["splits"]),
            each["provenance"]["source"],
            each["provenance"]["licence"],
            each["provenance"]["sha256"][:12],
        )
        for name, each in sets.items()
    ]
    header = ("data set", "kind", "rows: train / validation / test", "source", "licence", "sha256")
    blocks.append(FigureTable("Data sets", header, tuple(rows), words=True))
    return Section("data", "Data", lead, tuple(blocks))


def calibration(run: FinishedRun) -> Section:
    """`calibration`: reliability of both models, and their measures."""
    lead = (
        "Money is computed from probabilities, so they must mean what they say: of 100 customers with "
        "a risk of 30 %, 30 should leave. Every prediction here was made by a model that had not seen the customer."
    )
    drawn: list[Picture] = []
    blocks: list[Block] = []
    tables: list[Block] = []
    for name, (title, command) in MODELS.items():
        stage = run.get(name)
        if stage is None:
            blocks.append(Missing(f"the model “{title.lower()}”", command))
            continue
        if "assumed" in stage.summary:
            blocks.append(_assumed(float(stage.summary["assumed"])))
            continue
        drawn.append(_reliability(stage, title))
        tables.append(_measures(stage, title))
    if drawn:
        blocks.append(Pictures(tuple(drawn)))
    blocks += leaking(run)
    if (warning := _drift(run)) is not None:
        blocks.append(warning)
    return Section("calibration", "Are the probabilities right?", lead, (*blocks, *tables))


def leaking(run: FinishedRun) -> tuple[Notice, ...]:
    """That a column tells the outcome nearly by itself, and which."""
    stage = run.get("churn")
    text = "" if stage is None else leaks.words(leaks.of_summary(stage.summary))
    return (Notice("danger", "A column tells who left", text),) if text else ()


def _assumed(share: float) -> Notice:
    text = (
        f"There is no log of contacts: that {percent(share)} accept an offer-free contact is assumed of everybody. "
        "A pilot of randomised contacts would tell."
    )
    return Notice("warning", "Acceptance is assumed", text)


def _reliability(stage: FinishedStage, title: str) -> Picture:
    own = (stage.folder / "artifacts/answers.parquet").exists()  # of contacts whose offers differ
    table = stage.parquet("answers.parquet" if own else "predictions.parquet")
    label, probability = table["label"].to_numpy(np.int64), table["probability"].to_numpy(np.float64)
    names = ("predicted", "share", "low", "high", "rows")
    bins = [dict(zip(names, each, strict=True)) for each in filled_bins(label, probability).T.tolist()]
    said = "; ".join(f"predicted {percent(each['predicted'])}, happened {percent(each['share'])}" for each in bins)
    drawing = pictures.reliability(bins, name=f"reliability_{stage.name}")
    seen = f"{len(label):,} contacts"
    if stage.name == "churn":
        seen = counted(len(label), table["id"].nunique() if "id" in table else len(label))
    caption = f"{title}: dots on the dashed line are right; bars are 95 % intervals; {seen}."
    return Picture(drawing, f"Reliability, {title.lower()}. {said}.", caption)


def _measures(stage: FinishedStage, title: str) -> FigureTable:
    figures = stage.summary
    rows = [
        (words, bracketed(figures, f"cv_{key}"), bracketed(figures, f"held_out_{key}"))
        for key, words in _MEASURES.items()
        if f"cv_{key}" in figures
    ]
    return FigureTable(
        f"{title}: measures with 95 % intervals", ("measure", "cross-validated", "held out"), tuple(rows)
    )


def _drift(run: FinishedRun) -> Notice | None:
    """The response model trained on the past only is worse; a reader must know how much."""
    stage = run.get("acceptance")
    if stage is None or "time_ordered_auc" not in stage.summary:
        return None
    figures = stage.summary
    later, mixed = ([number(figures[f"{way}_{key}"]) for key in ("auc", "ece")] for way in ("time_ordered", "cv"))
    before, after = (percent(figures[f"time_ordered_{part}_rate"]) for part in ("train", "test"))
    text = (
        f"Trained on the earlier contacts and judged on the last, the response model’s AUC is {later[0]} instead of "
        f"{mixed[0]} and its calibration error {later[1]} instead of {mixed[1]}: the share that accepts moved from "
        f"{before} to {after}. Refit it as time goes on."
    )
    return Notice("warning", "The response model ages", text)


# --- messages --------------------------------------------------------------------------------------------------------


_SHOWN = 10
_COMMANDS = {
    "sft": ("the fine-tuned language model", "python -m experiments.sft"),
    "reward": ("the reward model", "python -m experiments.reward"),
    "ppo_text": ("the model trained on rewards", "python -m experiments.ppo_text"),
}
_PANELS = (
    ("objective/scores", "reward [standard deviations]"),
    ("objective/cost", "share blocked by the shield"),
    ("objective/kl", "distance from the fine-tuned model [nats]"),
)
_RATES = {"shield_pass_rate": "passes the shield", "offer_grounding_rate": "states the offer right"}
_NAMES = {"sft": "fine-tuned", "ppo": "fine-tuned, then trained on rewards"}
_BREAKS = re.compile(r"\s*\n\s*")


def messages(run: FinishedRun) -> Section:
    """`messages`: pass rates, reward gained, curves and samples."""
    lead = (
        "The policy decides; a language model may word the message. Whatever it writes is checked by rules before it "
        "is sent, and replaced by a fixed template where it fails."
    )
    stages = {name: run.get(name) for name in _COMMANDS}
    blocks: list[Block] = [Missing(*_COMMANDS[name]) for name, stage in stages.items() if stage is None]
    rows = _rows(stages)
    if rows:
        blocks.append(FigureTable("Figures of the language stages", ("figure", "value"), rows))
    trained = stages["ppo_text"]
    if trained is not None and trained.metrics:
        drawing = pictures.curves(trained.metrics, _PANELS, name="ppo_text", steps="rollout")
        label = f"Reward, share blocked and distance from the fine-tuned model over {len(trained.metrics)} rollouts."
        blocks.append(Pictures((Picture(drawing, label, "Training the language model on rewards."),)))
    if trained is not None and (samples := trained.optional("samples.json")):
        blocks.append(
            WrittenSamples(
                tuple(
                    WrittenSample(
                        each["prompt"],
                        {_writer(each, name): _BREAKS.sub("\n", each[name]) for name in _NAMES if name in each},
                    )
                    for each in samples[:_SHOWN]
                )
            )
        )
    return Section("messages", "Messages", lead, tuple(blocks))


def _writer(sample: Mapping[str, Any], name: str) -> str:
    """Who wrote a sample, and by which rules the shield would not let it be sent."""
    refused = sample.get("refused", {}).get(name)
    return f"{_NAMES[name]} (refused by the shield: {', '.join(refused)})" if refused else _NAMES[name]


def _rows(stages: dict[str, FinishedStage | None]) -> tuple[tuple[str, str], ...]:
    rows: list[tuple[str, str]] = []
    if (tuned := stages["sft"]) is not None:
        rows.append(("loss on held-out messages [nats a token]", number(tuned.summary.get("eval_loss"))))
    if (reward := stages["reward"]) is not None:
        rows.append(("reward model: pairs of messages judged right", bracketed(reward.summary, "accuracy_messages")))
        rows.append(("… on people’s own preferences (HH)", bracketed(reward.summary, "accuracy_hh_helpful")))
    if (trained := stages["ppo_text"]) is not None:
        figures = trained.summary
        for key, words in _RATES.items():
            before, after = figures.get(f"{key}_sft"), figures.get(key)
            rows.append((f"{words}, before → after", f"{percent(before)} → {percent(after)}"))
        rows.append(("reward gained [standard deviations]", bracketed(figures, "reward_gain", 2)))
        rows.append(("length, times that before", number(figures.get("length_ratio"), 2)))
    return tuple(rows)


# --- assumptions -----------------------------------------------------------------------------------------------------


MEANING = {
    "horizon_days": ("length of a campaign", "days"),
    "tail_days": ("days after it that count as residual value", "days"),
    "risk_window_days": ("window that the churn probability speaks of", "days"),
    "risk_onset": ("chance a day that something raises the risk", "a day"),
    "risk_recovery": ("chance a day that a raised risk calms down", "a day"),
    "risk_ratio": ("hazard on a day of raised risk, over a calm day’s", "times"),
    "discount": ("discount while an offer runs, by offer", "share of the charge"),
    "amount": ("paid once when an offer is accepted, by offer", "$"),
    "cost": ("other cost per 30 days while an offer runs, by offer", "$"),
    "delays": ("days until a contact", "days"),
    "contact_cost": ("cost of a contact", "$"),
    "offer_days": ("how long an accepted offer runs, by offer", "days"),
    "effect_days": ("how long it protects, by offer", "days"),
    "hazard_multiplier": ("hazard while an accepted offer protects, by offer", "times"),
    "appeal": ("acceptance gained by an offer, by offer", "log-odds"),
    "accept_risk": ("acceptance gained while the risk is raised", "log-odds"),
    "accept_fatigue": ("acceptance lost per earlier contact", "log-odds"),
    "fatigue_hazard": ("hazard gained per contact in the window beyond the first", "log"),
    "contact_effect": ("hazard gained or lost after a contact", "log"),
    "contact_effect_days": ("how long that lasts", "days"),
    "cooldown_days": ("days between two contacts", "days"),
    "fatigue_window_days": ("window in which contacts tire", "days"),
    "fatigue_cap": ("contacts in that window, at most", "contacts"),
    "account_cap": ("spend on one customer in a campaign, at most", "$"),
    "charge_reference": ("charge at which the policy’s log-charge is 0", "$"),
}
"""Meaning and unit of each constant of `EnvParams`."""


def assumptions(run: FinishedRun) -> Section:
    """`assumptions`: meaning, value with its unit, the default where it differs, and the name in settings."""
    lead = (
        "What no data set here can tell is assumed, and listed in full. The limits are choices; how risk moves, how an "
        "offer changes churn and how contacts tire are beliefs. Change limits and beliefs in company.yaml (limits, "
        "effects), any other constant in a file of sizes (policy: {env: {NAME: VALUE}}, given by --preset), and train "
        "again."
    )
    stage = run.get("policy")
    if stage is None:
        missing = Missing("the constants of the model", "python -m experiments.policy")
        return Section("assumptions", "Assumptions", lead, (missing,))
    values, defaults = stage.json("env.json"), record.to_dict(EnvParams())
    rows = [
        (MEANING[name][0], _value(values[name], defaults[name], MEANING[name][1]), name)
        for name in record.names()
        if name in values
    ]
    header = ("assumption", "value", "name")
    table = FigureTable("Constants of the model of the customer", header, tuple(rows), words=True)
    text = (
        f"Limits on average, a customer and campaign: {limits_words(stage.json('limits.json'))}. "
        f"Acceptance was given to customers by: {stage.json('matching.json')['method']}."
    )
    return Section("assumptions", "Assumptions", lead, (Paragraph(text), *_effects(run), table))


def _effects(run: FinishedRun) -> tuple[Block, ...]:
    """Each effect of contacts and offers: as the policy was trained on it, as believed before, what it rests on."""
    stage = run.get("effects")
    if stage is None:
        return ()
    found = stage.json("effects.json")["effects"]
    rows = [(name, _between(each), _between(each["prior"]), _basis(each)) for name, each in found.items()]
    header = ("effect", "value", "believed before a log", "rests on")
    table = FigureTable("What contacts and offers do, with 90 % intervals", header, tuple(rows), words=True)
    is_declared = any(_basis(each) == "declared" for name, each in found.items() if name.startswith("hazard_"))
    return (Paragraph(_DECLARED), table) if is_declared else (table,)


_DECLARED = (
    "What is declared was taken as known without doubt. To see the same company under the prior from public trials, "
    "leave `effects` out of its file and train again: `retentionjax train company.yaml`."
)


def _between(each: Mapping[str, Any]) -> str:
    low, high = (each["median"] if each[end] is None else each[end] for end in ("low", "high"))
    return f"{each['median']:.3g}" if low == high else f"{each['median']:.3g} [{low:.3g},{SPACE}{high:.3g}]"


def _basis(each: Mapping[str, Any]) -> str:
    if each["rests_on"] == "estimated":
        return "estimated from the log"
    prior = each["prior"]
    is_known = all(prior[end] in (None, prior["median"]) for end in ("low", "high"))
    if is_known:
        return "declared"
    return "assumed" if prior["source"] == "assumed" else f"assumed ({prior['source']})"


def _value(value: object, default: object, unit: str) -> str:
    text = f"${_text(value)}" if unit == "$" else f"{_text(value)} {unit}"
    return text if _text(value) == _text(default) else f"{text} (by default {_text(default)})"


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_text(each) for each in value)
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
