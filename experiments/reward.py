"""Trains the reward model on preference pairs of retention messages, and measures it on words it has never seen.

Held-out pairs come from the grammar's test split (other phrases, layouts, flaws, names and senders). The accuracy on
people's own preferences (HH-RLHF, helpful-base, test) is reported and nothing is tuned to it. A second, linear head
learns from Upworthy's headline tests what readers click, and is measured on tests it has not seen. Writes
`artifacts/reward_model` and `artifacts/evaluation.json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import jax
import numpy as np

from experiments import sft
from experiments.config import in_range
from experiments.sft import turns
from experiments.stage import Context, Stage
from retentionjax import storage
from retentionjax.checked import Checked, Count, Seed, Share, Within
from retentionjax.data import messages, preferences, text_loading, text_sources, texts
from retentionjax.data.sources import UnavailableError
from retentionjax.decide import wording_outcomes
from retentionjax.errors import DataError
from retentionjax.language import clicks, hub, reward, reward_evaluation, reward_files, writer
from retentionjax.language.lora import LoraConfig
from retentionjax.language.optimiser import OptimiserConfig
from retentionjax.language.packing import Tokenised
from retentionjax.language.reward import PreferencePair, RewardConfig, RewardModel
from retentionjax.shield.brief import CHANNELS, Channel

HH_PART = "helpful-base.test"


def demo_training() -> RewardConfig:
    """A minute on two cores: only the upper layers learn."""
    return RewardConfig(
        pairs=4,
        # One width for nearly all short messages: compiling for another costs more than padding.
        multiple=60,
        lora=LoraConfig(rank=16, alpha=32.0, targets=sft.PROJECTIONS, first_layer=24),
        optimiser=OptimiserConfig(learning_rate=1e-3, warmup_steps=5),
        reference=32,
        checkpoint_every=40,
    )


@dataclass(frozen=True)
class RewardStageConfig(Checked):
    from_sft: bool = True
    """Go on from the fine-tuned adapter, which knows already what fits a brief; else from the base model."""
    pairs: Count = 154
    """Pairs to learn from; one epoch: 14 of each flaw."""
    channels: tuple[Channel, ...] = CHANNELS
    """Channels of the messages."""
    sender_first: bool = True
    """Learn from, and be measured on, SMS and push notifications that begin with their sender, as the stage `sft`."""
    public: tuple[str, ...] = ()
    """Public sets to learn from as well: hh_rlhf, shp2."""
    test_pairs: Count = 66
    """Pairs behind accuracy_messages."""
    clicks: Annotated[int, Within()] = 0
    """Pairs of Upworthy's headline tests to learn from what readers click, on the states below the adapter; 0: none."""
    outcomes: str = ""
    """The file of `retentionjax ledger export --what wordings`: which of the company's wordings customers accept more
    often is learned beside what readers click."""
    click_test_pairs: Count = 300
    """Pairs of other tests, behind accuracy_clicks."""
    hh_pairs: Annotated[int, Within()] = 400
    """Pairs behind accuracy_hh_helpful, whose interval is ±.05 with so many; 0 leaves it out."""
    hh_max_length: Count = 256
    """Dialogues of HH with more tokens are left out."""
    max_length: Count = 256
    """Tokens of prompt and message."""
    minimum_accuracy: Share = 0.0
    """Gate on accuracy_messages."""
    training: RewardConfig = field(default_factory=demo_training)
    seed: Seed = 42


def run(config: RewardStageConfig, context: Context) -> dict[str, float]:
    """Pairs → reward model → figures on held-out pairs and on HH. See Stage."""
    model, tuned, writing_config = writer.load_parts(context.inputs["sft"] / "artifacts/writer")
    system = writing_config.system
    table = sft.customers(context.inputs)

    def pairs(count: int, split: str) -> list[PreferencePair]:
        found = messages.pairs(
            count, split, config.seed, table, channels=config.channels, sender_first=config.sender_first
        )
        return tokenised(model, found, config, system)

    train = public(model, config, system) + pairs(config.pairs, "train")
    held_out = pairs(config.test_pairs, "test")
    with sft.recorded(context) as kept:
        start = tuned if config.from_sft else None
        trained, metrics = reward.train(model, train, config.training, jax.random.key(config.seed), start=start, **kept)
    trained, clicked = with_clicks(model, trained, train, config)
    reward_files.save(context.artifacts / "reward_model", trained)
    found = reward_evaluation.evaluate(model, trained, held_out)
    hh = helpful(model, config, system)
    report: dict[str, Any] = {"messages": found.figures, "flaws": found.sources, "clicks": clicked}
    ends = ("", "_low", "_high")
    summary = {f"accuracy_messages{end}": found.figures[f"accuracy{end}"] for end in ends}
    if hh:
        report["hh_helpful"] = reward_evaluation.evaluate(model, trained, hh).figures
        summary |= {f"accuracy_hh_helpful{end}": report["hh_helpful"][f"accuracy{end}"] for end in ends}
    if "accuracy" in clicked:
        summary |= {f"accuracy_clicks{end}": clicked[f"accuracy{end}"] for end in ends}
        summary |= {f"{name}_clicks": clicked[name] for name in ("ece", "length_correlation", "pairs", "learned_from")}
    summary |= {name: clicked[name] for name in clicked if "outcomes" in name}
    storage.write_json(context.artifacts / "evaluation.json", report)
    for flaw, figures in sorted(found.sources.items()):
        print(f"  {flaw:<24} {figures['accuracy']:.0%} of {figures['pairs']:.0f}", flush=True)
    accuracy = summary["accuracy_messages"]
    in_range("accuracy_messages (gate minimum_accuracy)", accuracy, config.minimum_accuracy, 1.0)
    rest = {name: found.figures[name] for name in ("ece", "length_correlation", "loss", "auc")}
    return {**summary, **rest, "train_loss": metrics["loss"]}


def with_clicks(
    model: hub.Model, trained: RewardModel, messages: Sequence[PreferencePair], config: RewardStageConfig
) -> tuple[RewardModel, dict[str, float]]:
    """The reward model with a head for what people choose, and the head's figures on tests it has not seen.

    It learns from headlines that readers clicked, if asked for and to be had (else that is said), and from the
    company's own wordings, if their outcomes are given; without either there is no head. On the company's pairs the
    headlines' reading alone is judged, which has not seen them.
    """
    shown: dict[str, list[texts.Preference]] = {"train": [], "test": []}
    if config.clicks:
        try:
            table = text_loading.load("upworthy", seed=config.seed)
            for split, count in (("train", config.clicks), ("test", config.click_test_pairs)):
                shown[split] = whole_tests(table.splits[split], count)
        except UnavailableError as error:
            print(f"[reward] accuracy_clicks is left out: {error}", flush=True)
    own = wording_outcomes.pairs(storage.as_path(config.outcomes)) if config.outcomes else []
    if not shown["train"] and not own:
        return trained, {}
    layers = trained.scorer.adapter.first_layer
    learned = clicks.read(model, [*shown["train"], *own], layers=layers)
    weights = clicks.fit(learned)
    reference = [Tokenised(pair.prompt, pair.chosen) for pair in messages[: config.training.reference]]
    figures = {"learned_from": float(len(learned.groups))}
    if shown["test"]:
        figures |= clicks.evaluate(weights, clicks.read(model, shown["test"], layers=layers))
    if config.outcomes:
        figures["pairs_outcomes"] = float(len(own))
    if shown["train"] and own:
        count = len(shown["train"])
        judged = clicks.evaluate(clicks.fit(learned.take(slice(count))), learned.take(slice(count, None)))
        figures |= {f"accuracy_outcomes{end}": judged[f"accuracy{end}"] for end in ("", "_low", "_high")}
    return replace(trained, clicks=clicks.head(model, weights, reference, layers=layers)), figures


def whole_tests(pairs: Sequence[Any], count: int) -> list[texts.Preference]:
    """All pairs of so many tests, by lot, that there are `count` or a few more: a wording is read once for several."""
    by_test: dict[str, list[texts.Preference]] = {}
    for pair in pairs:
        by_test.setdefault(pair.group, []).append(pair)
    found: list[texts.Preference] = []
    for test in sorted(by_test, key=lambda each: texts.draw(each, seed=0)):
        if len(found) < count:
            found += by_test[test]
    return found


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


STAGE = Stage("reward", RewardStageConfig, run, needs=("data", "sft"), files=("outcomes",))

if __name__ == "__main__":
    STAGE.main()
