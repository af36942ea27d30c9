"""What the language model writes: its figures, and ten messages before and after training on rewards."""

import re

from retentionjax.evaluation.report import pictures
from retentionjax.evaluation.report.content import (
    Block,
    FigureTable,
    Missing,
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

_SHOWN = 10
_COMMANDS = {
    "sft": ("the fine-tuned language model", "python -m experiments.sft demo"),
    "reward": ("the reward model", "python -m experiments.reward demo"),
    "ppo_text": ("the model trained on rewards", "python -m experiments.ppo_text demo"),
}
_PANELS = (
    ("objective/scores", "reward [standard deviations]"),
    ("objective/cost", "share blocked by the shield"),
    ("objective/kl", "distance from the fine-tuned model [nats]"),
)
_RATES = {"shield_pass_rate": "passes the shield", "offer_grounding_rate": "states the offer right"}
_NAMES = {"sft": "fine-tuned", "ppo": "fine-tuned, then trained on rewards"}
_BREAKS = re.compile(r"\s*\n\s*")


def section(run: FinishedRun) -> Section:
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
                        each["prompt"], {_NAMES[name]: _BREAKS.sub("\n", each[name]) for name in _NAMES if name in each}
                    )
                    for each in samples[:_SHOWN]
                )
            )
        )
    return Section("messages", "Messages", lead, tuple(blocks))


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
