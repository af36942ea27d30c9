"""Where the data come from, and whether the models' probabilities can be believed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from retentionjax.evaluation.report import pictures
from retentionjax.evaluation.report.content import (
    Block,
    FigureTable,
    Missing,
    Notice,
    Picture,
    Pictures,
    Section,
    bracketed,
    number,
    percent,
)
from retentionjax.evaluation.report.run_folder import FinishedRun, FinishedStage
from retentionjax.tabular.plots import filled_bins

MODELS = {
    "churn": ("Who will leave", "python -m experiments.churn demo"),
    "acceptance": ("Who accepts an offer", "python -m experiments.acceptance demo"),
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
    lead = "Where every number starts. A hash that differs is another file."
    if stage is None:
        return Section("data", "Data", lead, (Missing("the data sets", "python -m experiments.data demo"),))
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
        "Money is computed from probabilities, so they must mean what they say: of customers said to leave with 30 %, "
        "30 in 100 should. Every prediction here was made by a model that had not seen the customer."
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
    if (warning := _drift(run)) is not None:
        blocks.append(warning)
    return Section("calibration", "Are the probabilities right?", lead, (*blocks, *tables))


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
    caption = f"{title}: dots on the dashed line are right; bars are 95 % intervals; {len(label):,} customers."
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
