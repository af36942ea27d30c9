"""PPO on text: the fine-tuned model learns to write what the reward model prefers, in few words, within the shield.

A message that the shield blocks is a cost, limited to 1 % of messages by a Lagrange multiplier; staying near the
fine-tuned model is a price on KL, adapted to a target. Then all meet in an arena, and `artifacts/writer` is whichever
adapter stands best there, of those that say things in no fewer ways than the fine-tuned one. Writes `arena.md` as well,
`samples.json` (ten held-out customers, before and after) and `learning_curve.png`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

import jax
import numpy as np
from etils import epath
from matplotlib.figure import Figure

from experiments import sft, text_evaluation
from experiments.stage import Context, Stage
from experiments.text_evaluation import Written
from retentionjax import shield, storage
from retentionjax.bundle.language import REWARD
from retentionjax.checked import Checked, Count, NotNegative, Seed, Within
from retentionjax.data import messages
from retentionjax.evaluation import statistics
from retentionjax.evaluation.plots import BLUE, GREEN, GREY, ORANGE, plain, write
from retentionjax.language import arena, hub, packing, ppo, reward_files, text_metrics, writer
from retentionjax.language.lora import Adapter
from retentionjax.language.losses import KLConfig
from retentionjax.language.optimiser import OptimiserConfig
from retentionjax.language.ppo_config import SafetyConfig, TextPPOConfig
from retentionjax.language.reward import RewardModel
from retentionjax.language.writer import MessageWriter, WriterConfig
from retentionjax.shield import Brief
from retentionjax.shield.brief import CHANNELS, Channel
from retentionjax.tracking import progress, read_metrics

Opponent = Literal["rloo", "dpo"]
Record = Mapping[str, float | None]
_PANELS = (
    ("objective/scores", "reward", BLUE),
    ("objective/cost", "blocked by the shield", ORANGE),
    ("objective/lambda", "price of a block λ", ORANGE),
    ("objective/kl", "KL [nats a message]", GREEN),
    ("objective/kl_coef", "price of a nat β", GREEN),
    ("objective/length", "tokens a message", BLUE),
)


def learning_curve(records: Sequence[Record], config: TextPPOConfig, folder: epath.Path) -> None:
    """`learning_curve.png`: reward, cost and its price, KL and its price, and length, by rollout."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    steps = [record["step"] for record in records]
    for axes, (name, label, colour) in zip(figure.subplots(2, 3, sharex=True).flat, _PANELS, strict=True):
        values = [np.nan if (value := record.get(name)) is None else value for record in records]
        axes.plot(steps, values, color=colour)
        axes.set_title(label, fontsize="medium")
        bound = {"objective/cost": config.safety.limit, "objective/kl": config.kl.target}.get(name)
        if bound is not None:
            axes.axhline(bound, color=GREY, linestyle="--", linewidth=1)
        plain(axes)
    figure.supxlabel("rollout")
    write(figure, folder / "learning_curve.png")


BEST_OF = 4


def demo_training() -> TextPPOConfig:
    """A minute or two on two cores."""
    return TextPPOConfig(
        iterations=6,
        batch=32,
        # Two texts a prompt: half the prompts to read.
        copies=2,
        # As many steps a rollout as two passes in halves, for half their cost.
        epochs=1,
        minibatch=8,
        max_new_tokens=56,
        # One shape for all rollouts: compiling for another costs more than padding.
        multiple=32,
        temperature=0.7,
        # A few rollouts are too few for critics to learn: with λ below 1 what they do not know yet tells late tokens
        # from early ones, and drowns what the texts have earned.
        gae_lambda=1.0,
        # Of an unfinished text the reward model's reading is a guess several times as wide as what texts earn, and six
        # rollouts do not correct it: as a baseline it would drown what they teach.
        value_head="zeros",
        # Twice this rate and three times this target made the texts worse than the fine-tuned model's.
        optimiser=OptimiserConfig(learning_rate=1e-4, schedule="linear", final_share=0.25, eps=1e-5),
        kl=KLConfig(initial=0.15, target=2.0, horizon=512),
        reward_weight=1.5,
        # Texts are short enough as they are: paid for being shorter, they lose their ways of saying things first.
        brevity_weight=0.5,
        approx_kl_target=0.1,
        safety=SafetyConfig(initial=4.0),
        checkpoint_every=4,
    )


@dataclass(frozen=True)
class PPOTextStageConfig(Checked):
    channels: tuple[Channel, ...] = CHANNELS
    """Channels of the messages."""
    briefs: Count = 2000
    """Instructions to practise on, of customers of the train split."""
    test_briefs: Annotated[int, Within(2)] = 128
    """Held-out customers to whom all systems write: full batches of the writer."""
    samples: Count = 10
    writing_temperature: NotNegative = 0.3
    """Temperature of the messages that are judged and later sent: low, for fewer slips of the pen than in training."""
    training: TextPPOConfig = field(default_factory=demo_training)
    opponents: tuple[Opponent, ...] = ()
    """Trained too, on as many texts of the same prompts and rewards, to meet PPO in the arena: rloo, dpo. With one of
    them the fine-tuned model's best of four texts, by the reward model, meets them too: four times the writing."""
    seed: Seed = 42


@dataclass(frozen=True)
class Before:
    """What the stages before made."""

    model: hub.Model
    sft: Adapter
    scorer: RewardModel
    writing: WriterConfig
    rules: shield.Rules


def run(config: PPOTextStageConfig, context: Context) -> dict[str, float]:
    """Rollouts and updates → messages of all models for held-out customers → figures → the best writer. See Stage."""
    before = load(config, context)
    table = sft.customers(context.inputs)
    practice = messages.briefs(config.briefs, "train", config.seed, table, channels=config.channels)
    with sft.recorded(context) as kept:
        adapters = {"sft": before.sft, "ppo": rollouts(config, before, practice, **kept)}
    for name in config.opponents:
        other = replace(config.training, objective=name)
        adapters[name] = rollouts(replace(config, training=other), before, practice)
    records = read_metrics(context.folder / "metrics.jsonl")
    learning_curve(records, config.training, context.artifacts)

    briefs = messages.briefs(config.test_briefs, "test", config.seed, table, channels=config.channels)
    written = {
        name: written_by(before, each, briefs, name, seeds_of(config.seed, briefs)) for name, each in adapters.items()
    }
    standings, reported = report(config, before, briefs, written, context)
    varied = {name: text_metrics.distinct(each.texts, 2) for name, each in written.items()}
    best = winner(standings, varied)
    print(f"[ppo_text] the writer is {best}", flush=True)
    (context.artifacts / "writer").mkdir(exist_ok=True)
    writer.save(context.artifacts / "writer", before.model, adapters[best], before.writing)
    reward_files.save(context.artifacts / "writer" / REWARD, before.scorer)
    return figures(written, records, config) | reported | {f"distinct_2_{name}": each for name, each in varied.items()}


def winner(standings: Mapping[str, float], diversity: Mapping[str, float]) -> str:
    """The system that stands best, of those in `diversity` that are as diverse as `sft`."""
    eligible = [name for name, each in diversity.items() if each >= diversity["sft"]]
    return max(eligible, key=lambda name: standings[name])


def load(config: PPOTextStageConfig, context: Context) -> Before:
    """Base model, fine-tuned adapter, reward model, and how messages are sampled."""
    model, tuned, settings = writer.load_parts(context.inputs["sft"] / "artifacts/writer")
    sampling = replace(settings, temperature=config.writing_temperature, max_new_tokens=config.training.max_new_tokens)
    return Before(
        model=model,
        sft=tuned,
        scorer=reward_files.load(context.inputs["reward"] / "artifacts/reward_model"),
        writing=sampling,
        rules=shield.load_rules(),
    )


def rollouts(config: PPOTextStageConfig, before: Before, briefs: Sequence[Brief], **kept: Any) -> Adapter:
    """The policy after all rollouts; `kept` as `ppo.train` takes it."""

    def costs(texts: Sequence[str], numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        pairs = zip(texts, numbers, strict=True)
        asked = [(text, briefs[int(number)]) for text, number in pairs]
        blocked = [not shield.check(brief.fill(text), brief, before.rules, by="model").passed for text, brief in asked]
        return np.array(blocked, np.float32)

    prompts = [
        packing.tokenise_prompt(before.model.tokenizer, each.prompt(), system=before.writing.system) for each in briefs
    ]
    key = jax.random.key(config.seed)
    adapter, _ = ppo.train(before.model, before.sft, before.scorer, prompts, costs, config.training, key, **kept)
    return adapter


def written_by(
    before: Before, adapter: Adapter | None, briefs: Sequence[Brief], name: str, seeds: Sequence[int]
) -> Written:
    """A message to each, measured; the random numbers are the same for every system that is given the same seeds."""
    system = MessageWriter(before.model, adapter, before.writing)
    with progress(f"messages of {name}", len(briefs), "messages") as bar:
        texts, ended = system.write([each.prompt() for each in briefs], seeds, bar.advance)
    return text_evaluation.measure(
        before.model, before.scorer, briefs, texts, ended, before.rules, before.writing.system
    )


def seeds_of(seed: int, briefs: Sequence[Brief]) -> list[int]:
    """A seed a brief, the same for every system: common random numbers."""
    return [seed * 10_000 + index for index in range(len(briefs))]


def figures(
    written: dict[str, Written], records: Sequence[dict[str, Any]], config: PPOTextStageConfig
) -> dict[str, float]:
    """PPO against SFT on the same customers; the reward's gain with its 95 % bootstrap interval."""
    after, tuned = written["ppo"], written["sft"]
    gain = statistics.Bootstrap(len(after.texts), seed=config.seed).mean(after.rewards - tuned.rewards)
    last = [record["objective/kl"] for record in records[-4:]]
    return {
        "shield_pass_rate": float(after.passed.mean()),
        "shield_pass_rate_sft": float(tuned.passed.mean()),
        "offer_grounding_rate": float(after.grounded.mean()),
        "offer_grounding_rate_sft": float(tuned.grounded.mean()),
        **gain.flat("reward_gain"),
        "kl_over_target": float(np.mean(last)) / config.training.kl.target,
        "length_ratio": float(after.tokens.mean() / tuned.tokens.mean()),
        "distinct_2": text_metrics.distinct(after.texts, 2),
    }


def report(
    config: PPOTextStageConfig, before: Before, briefs: Sequence[Brief], written: dict[str, Written], context: Context
) -> tuple[dict[str, float], dict[str, float]]:
    """Each system's win rate, and figures for the summary.

    Arena, rates, samples and broken rules become files, the tables are shown on the screen as well.
    """
    simple = text_evaluation.by_rule(briefs, before.rules, config.seed)
    systems: dict[str, Sequence[str]] = {
        **{name: each.texts for name, each in written.items()},
        **({f"best of {BEST_OF}": best(before, briefs, written["sft"], config.seed)} if config.opponents else {}),
        **simple,
    }
    tournament = text_evaluation.tournament(before.model, briefs, systems, before.writing.system)
    found = {name: text_evaluation.rates(briefs, each) for name, each in written.items()}
    found |= {name: text_evaluation.rates(briefs, unscored(briefs, texts, before)) for name, texts in simple.items()}
    table = f"{arena.table(tournament)}\n{text_evaluation.table(found)}"
    storage.write_text(context.artifacts / "arena.md", table)
    storage.write_json(context.artifacts / "arena.json", asdict(tournament))
    print(table, flush=True)
    broken = {name: each.broken_rules for name, each in written.items()}
    storage.write_json(context.artifacts / "broken_rules.json", broken)
    keep_samples(config, briefs, written, context)
    rates = {
        f"{key}{end}": value
        for name, key in (
            ("ppo", "acceptable_rate"),
            *((each, f"acceptable_rate_{each}") for each in ("sft", "template")),
        )
        for end, value in zip(("", "_low", "_high"), found[name].acceptable, strict=True)
    }
    standings = {each.system: each for each in tournament.standings}
    wins = {
        f"arena_{name.replace(' ', '_')}{end}": getattr(each, f"win_rate{end}")
        for name, each in standings.items()
        for end in ("", "_low", "_high")
    }
    return {name: each.win_rate for name, each in standings.items()}, rates | wins


def keep_samples(
    config: PPOTextStageConfig, briefs: Sequence[Brief], written: dict[str, Written], context: Context
) -> None:
    """Writes the first messages of every model to `samples.json`, and shows some."""
    rows = [
        {"prompt": brief.prompt()}
        | {name: brief.fill(each.texts[index]) for name, each in written.items()}
        | {"refused": {name: each.verdicts[index].blocking for name, each in written.items()}}
        for index, brief in enumerate(briefs[: config.samples])
    ]
    storage.write_json(context.artifacts / "samples.json", rows)
    for row in rows[:3]:
        print(f"  {row['prompt']}\n  sft → {row['sft']}\n  ppo → {row['ppo']}", flush=True)


def unscored(briefs: Sequence[Brief], texts: Sequence[str], before: Before) -> Written:
    """Texts that no model wrote, with the shield's verdicts and without a reward."""
    verdicts = text_evaluation.check(briefs, texts, before.rules)
    return Written(texts, verdicts, np.ones(len(texts), bool), np.full(len(texts), np.nan), np.zeros(len(texts), int))


def best(before: Before, briefs: Sequence[Brief], first: Written, seed: int) -> list[str]:
    """The favourites of the reward model, each of `BEST_OF` messages of the fine-tuned model (KL ≤ log 4 − 3/4).

    `first` has one message for each brief already.
    """
    more = BEST_OF - 1
    seeds = [each for copy in range(more) for each in seeds_of(seed + 1 + copy, briefs)]
    drawn = written_by(before, before.sft, [*briefs] * more, f"best of {BEST_OF}", seeds)
    count = len(briefs)
    texts = [*first.texts, *drawn.texts]
    winners = np.concatenate([first.rewards, drawn.rewards]).reshape(BEST_OF, count).argmax(0)
    return [texts[int(winner) * count + index] for index, winner in enumerate(winners)]


STAGE = Stage("ppo_text", PPOTextStageConfig, run, needs=("data", "sft", "reward"))

if __name__ == "__main__":
    STAGE.main()
