"""Trains the reward model on preference pairs of retention messages, and measures it on words it has never seen.

Held-out pairs come from the grammar's test split (other phrases, layouts, flaws, names and senders). The accuracy on
people's own preferences (HH-RLHF, helpful-base, test) is reported and nothing is tuned to it. Writes
`artifacts/reward_model` and `artifacts/evaluation.json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from experiments import writing
from experiments.config import in_range
from experiments.sft import turns
from experiments.stage import Context, Stage
from retentionjax import storage
from retentionjax.checkpoint import Checkpoints
from retentionjax.data import messages, preferences, text_loading, text_sources, texts
from retentionjax.data.sources import UnavailableError
from retentionjax.errors import DataError
from retentionjax.language import hub, reward, reward_evaluation, reward_files, writer
from retentionjax.language.lora import LoraConfig
from retentionjax.language.optimiser import OptimiserConfig
from retentionjax.language.reward import PreferencePair, RewardConfig
from retentionjax.shield.brief import CHANNELS, Channel

HH_PART = "helpful-base.test"


def demo_training() -> RewardConfig:
    """Minutes on two cores: only the upper layers learn."""
    return RewardConfig(
        pairs=4,
        lora=LoraConfig(rank=16, alpha=32.0, targets=writing.PROJECTIONS, first_layer=18),
        optimiser=OptimiserConfig(learning_rate=5e-4, warmup_steps=10),
        reference=64,
        evaluate_every=0,
        checkpoint_every=50,
    )


@dataclass(frozen=True)
class RewardStageConfig:
    """Settings of the stage."""

    from_sft: bool = True
    """Go on from the fine-tuned adapter, which knows already what fits a brief; else from the base model."""
    pairs: int = 560
    """To learn from; one epoch."""
    channels: tuple[Channel, ...] = CHANNELS
    """Of the messages."""
    sender_first: bool = True
    """Learn from, and be measured on, SMS and push notifications that begin with their sender, as the stage `sft`."""
    public: tuple[str, ...] = ()
    """Public sets to learn from as well: hh_rlhf, shp2."""
    test_pairs: int = 120
    """Behind accuracy_messages."""
    hh_pairs: int = 60
    """Behind accuracy_hh_helpful; 0 leaves it out."""
    hh_max_length: int = 256
    """Dialogues of HH with more tokens are left out."""
    max_length: int = 256
    """Tokens of prompt and message."""
    minimum_accuracy: float = 0.0
    """Gate on accuracy_messages."""
    training: RewardConfig = field(default_factory=demo_training)
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuses sizes below 1."""
        for name in ("pairs", "test_pairs", "max_length"):
            in_range(name, getattr(self, name), 1, np.inf)
        in_range("hh_pairs", self.hh_pairs, 0, np.inf)
        in_range("minimum_accuracy", self.minimum_accuracy, 0.0, 1.0)


def run(config: RewardStageConfig, context: Context) -> dict[str, float]:
    """Pairs → reward model → figures on held-out pairs and on HH. See Stage."""
    model, tuned, writing_config = writer.load_parts(context.inputs["sft"] / "artifacts/writer")
    system = writing_config.system
    table = writing.customers(context.inputs)

    def pairs(count: int, split: str) -> list[PreferencePair]:
        found = messages.pairs(
            count, split, config.seed, table, channels=config.channels, sender_first=config.sender_first
        )
        return tokenised(model, found, config, system)

    train = public(model, config, system) + pairs(config.pairs, "train")
    held_out = pairs(config.test_pairs, "test")
    checkpoints = Checkpoints(context.checkpoints)
    step = checkpoints.latest_step() if context.resume else None
    with context.tracker(step) as tracker:
        trained, metrics = reward.train(
            model,
            train,
            config.training,
            jax.random.key(config.seed),
            start=tuned if config.from_sft else None,
            tracker=tracker,
            checkpoints=checkpoints,
            resume=context.resume,
        )
    reward_files.save(context.artifacts / "reward_model", trained)
    found = reward_evaluation.evaluate(model, trained, held_out)
    hh = helpful(model, config, system)
    report: dict[str, Any] = {"messages": found.figures, "flaws": found.sources}
    ends = ("", "_low", "_high")
    summary = {f"accuracy_messages{end}": found.figures[f"accuracy{end}"] for end in ends}
    if hh:
        report["hh_helpful"] = reward_evaluation.evaluate(model, trained, hh).figures
        summary |= {f"accuracy_hh_helpful{end}": report["hh_helpful"][f"accuracy{end}"] for end in ends}
    storage.write_json(context.artifacts / "evaluation.json", report)
    for flaw, figures in sorted(found.sources.items()):
        print(f"  {flaw:<24} {figures['accuracy']:.0%} of {figures['pairs']:.0f}", flush=True)
    accuracy = summary["accuracy_messages"]
    in_range("accuracy_messages (gate minimum_accuracy)", accuracy, config.minimum_accuracy, 1.0)
    rest = {name: found.figures[name] for name in ("ece", "length_correlation", "loss", "auc")}
    return {**summary, **rest, "train_loss": metrics["loss"]}


def tokenised(
    model: hub.Model, pairs: Sequence[messages.Pair], config: RewardStageConfig, system: str | None
) -> list[PreferencePair]:
    """Brief, compliant message and flawed one; the flaw names the source."""
    return [
        reward.tokenise_preference(
            model.tokenizer,
            pair.brief.prompt(),
            pair.chosen,
            pair.rejected,
            system=system,
            source=pair.flaw,
            max_length=config.max_length,
        )
        for pair in pairs
    ]


def public(model: hub.Model, config: RewardStageConfig, system: str | None) -> list[PreferencePair]:
    """Training pairs of the public sets asked for. Raises DataError where one has too few, or is not to be had."""
    tokenizer, found = model.tokenizer, list[PreferencePair]()
    for name in config.public:
        table = text_loading.load(name, count=lambda text: len(tokenizer.encode(text)), seed=config.seed)
        text_loading.check(table)
        found += [
            reward.tokenise_preference(
                tokenizer,
                turns(each.prompt),
                each.chosen,
                each.rejected,
                system=system,
                margin=each.margin,
                source=each.source,
            )
            for each in table.splits["train"]
            if isinstance(each, texts.Preference)
        ]
    return found


def helpful(model: hub.Model, config: RewardStageConfig, system: str | None) -> list[PreferencePair]:
    """Pairs of HH's helpful test file, drawn by the seed; none, which is said, where the file cannot be had."""
    if not config.hh_pairs:
        return []
    try:
        found = text_sources.obtain("hh_rlhf", HH_PART)
    except UnavailableError as error:
        print(f"[reward] accuracy_hh_helpful is left out: {error}", flush=True)
        return []
    pairs = preferences.read_hh(found.data, found.where, "helpful-base")
    chosen: list[PreferencePair] = []
    for place in np.random.default_rng(config.seed).permutation(len(pairs)):
        pair = pairs[int(place)]
        try:
            chosen.append(
                reward.tokenise_preference(
                    model.tokenizer,
                    turns(pair.prompt),
                    pair.chosen,
                    pair.rejected,
                    system=system,
                    source=pair.source,
                    max_length=config.hh_max_length,
                )
            )
        except DataError:
            continue  # longer than hh_max_length, which the setting says is left out
        if len(chosen) == config.hh_pairs:
            break
    return chosen


STAGE = Stage("reward", RewardStageConfig, run, needs=("data", "sft"))

if __name__ == "__main__":
    STAGE.main()
