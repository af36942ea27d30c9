"""Teaches a language model to write retention messages: supervised fine-tuning of a LoRA adapter.

Reads the customers of the stage `data`; the messages come from the grammar of `retentionjax.data.messages`, with
stand-ins for names, the base model by name. Writes `artifacts/writer` (adapter and base reference).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import jax
from etils import epath

from experiments import companies
from experiments.config import in_range
from experiments.stage import Context, Stage
from retentionjax import storage
from retentionjax.bundle.message import facts_of
from retentionjax.checked import Checked, Count, Seed, Within
from retentionjax.checkpoint import Checkpoints
from retentionjax.data import catalog, messages, text_loading
from retentionjax.data.messages import Audience
from retentionjax.data.splits import NAMES as SPLITS
from retentionjax.data.texts import Example, Turn
from retentionjax.errors import ConfigError
from retentionjax.language import hub, packing, precision, sft, writer
from retentionjax.language.lora import LoraConfig
from retentionjax.language.optimiser import OptimiserConfig
from retentionjax.language.packing import Tokenised
from retentionjax.language.precision import Matmul, Resolved
from retentionjax.language.sft import SFTConfig
from retentionjax.language.writer import WriterConfig
from retentionjax.shield.brief import CHANNELS, Channel

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""What a demo adapts: every projection of the upper layers."""


def demo_training() -> SFTConfig:
    """A minute or two on two cores: only the upper layers learn, the states below them are computed once."""
    return SFTConfig(
        steps=144,
        rows=2,
        length=256,
        lora=LoraConfig(rank=16, alpha=32.0, targets=PROJECTIONS, first_layer=24),
        optimiser=OptimiserConfig(learning_rate=2e-3, warmup_steps=10),
        evaluate_every=0,
        checkpoint_every=50,
    )


@dataclass(frozen=True)
class SftStageConfig(Checked):
    base: str = "smollm2-135m-instruct"
    """Base model: a name of `retentionjax models list`, or a Hugging Face folder."""
    matmul: Matmul = "auto"
    """Precision of the base model's products, here, in the stages that go on from this one, and in serving: `auto`
    takes bfloat16 (with float32 sums) where the device multiplies it natively, else float32."""
    int8: bool = False
    """Keep the frozen base's projections in 8 bits, here and wherever this writer is used: a quarter of the memory."""
    messages: Count = 400
    """Messages to learn from; so few that each is met twice, and its states below the adapter computed once."""
    channels: tuple[Channel, ...] = CHANNELS
    """Channels of the messages."""
    sender_first: bool = True
    """Learn from SMS and push notifications that begin with their sender."""
    oasst: bool = False
    """Learn from OpenAssistant's English replies as well; they make up the greater part then."""
    validation_messages: Count = 24
    """Messages behind eval_loss, of customers of the validation split."""
    maximum_eval_loss: Annotated[float, Within(infinite=True)] = 2.5
    """Gate, nats a token."""
    writer: WriterConfig = field(default_factory=WriterConfig)
    training: SFTConfig = field(default_factory=demo_training)
    seed: Seed = 42


def run(config: SftStageConfig, context: Context) -> dict[str, float]:
    """Messages → tokens → adapter. See Stage."""
    model = hub.load(config.base, matmul=_matmul(config, context), int8=config.int8)
    table = customers(context.inputs)
    train = dialogues(model, config) + [
        tokenised(model, each, config)
        for each in messages.generate(
            config.messages, "train", config.seed, table, channels=config.channels, sender_first=config.sender_first
        )
    ]
    held_out = [
        tokenised(model, each, config)
        for each in messages.generate(
            config.validation_messages,
            "validation",
            config.seed,
            table,
            channels=config.channels,
            sender_first=config.sender_first,
        )
    ]
    with recorded(context) as kept:
        adapter, metrics = sft.train(model, train, held_out, config.training, jax.random.key(config.seed), **kept)
    (context.artifacts / "writer").mkdir(exist_ok=True)
    writer.save(context.artifacts / "writer", model, adapter, config.writer)
    in_range("eval_loss (gate maximum_eval_loss)", metrics["eval_loss"], 0.0, config.maximum_eval_loss)
    return {
        "eval_loss": metrics["eval_loss"],
        "base_eval_loss": sft.evaluate(model, None, held_out, config.training),
        "train_loss": metrics["loss"],
        "train_tokens": float(sum(len(each) for each in train)),
        "trained_parameters": float(adapter.size),
        "matmul_bits": 16.0 if precision.of(model.decoder) == "bfloat16" else 32.0,
    }


@contextmanager
def recorded(context: Context) -> Iterator[dict[str, Any]]:
    """What a training that is recorded and resumed takes, as `language.loop.run` names it."""
    checkpoints = Checkpoints(context.checkpoints)
    with context.tracker(checkpoints.latest_step() if context.resume else None) as tracker:
        yield {"tracker": tracker, "checkpoints": checkpoints, "resume": context.resume}


def _matmul(config: SftStageConfig, context: Context) -> Resolved:
    """The precision that is meant by `config.matmul`, or with --resume the one that the run began with."""
    record = context.folder / "matmul.json"
    if context.resume and config.matmul == "auto" and record.exists():
        found: Resolved = storage.read_json(record)
    else:
        found = precision.resolve(config.matmul)
        storage.write_json(record, found)
    print(f"[sft] products of the base model in {found} (matmul: {config.matmul})", flush=True)
    return found


def tokenised(model: hub.Model, message: messages.CorpusMessage, config: SftStageConfig) -> Tokenised:
    """The brief as the user's turn, the message as the reply."""
    return packing.tokenise(
        model.tokenizer,
        message.brief.prompt(),
        message.text,
        system=config.writer.system,
        max_length=config.training.length,
    )


def dialogues(model: hub.Model, config: SftStageConfig) -> list[Tokenised]:
    """Replies of OASST1's training conversations, if asked for. Raises DataError where there are too few."""
    if not config.oasst:
        return []
    tokenizer = model.tokenizer
    texts = text_loading.load("oasst1", count=lambda text: len(tokenizer.encode(text)), seed=config.seed)
    text_loading.check(texts)
    return [
        packing.tokenise(tokenizer, turns(each.prompt), each.response, system=config.writer.system)
        for each in texts.splits["train"]
        if isinstance(each, Example)
    ]


def turns(prompt: Sequence[Turn]) -> list[dict[str, str]]:
    """A dialogue as chat templates take it."""
    return [{"role": turn.role, "content": turn.text} for turn in prompt]


def customers(inputs: Mapping[str, epath.Path]) -> Audience:
    """The customers of the stage `data`, as the company's messages speak of them, and its offers.

    Raises ConfigError where the company does not write English.
    """
    company = companies.of(inputs)
    if (language := company.messages.language) != "en":
        raise ConfigError(f"messages.language is {language!r}; allowed for a language model: en, which the bases write")
    prepared = catalog.read(inputs["data"] / "artifacts", "customers")
    frames = {split: getattr(prepared, split).frame.astype(object) for split in SPLITS}
    known = {
        split: [facts_of(company.messages, row) for row in frame.where(frame.notna(), None).to_dict("records")]
        for split, frame in frames.items()
    }
    return Audience(known, [each.terms(company.currency) for each in company.offers.values()])


STAGE = Stage("sft", SftStageConfig, run, needs=("data",))

if __name__ == "__main__":
    STAGE.main()
