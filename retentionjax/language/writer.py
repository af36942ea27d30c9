"""A tuned model as it is used: instruction in, message out. In a folder: the adapter, and which base it was made for.

`adapter/` is PEFT's format, `writer.json` names the base model, a digest of its weights (another base under the same
name would write nonsense that looks like a defect of the adapter), the precision of its products and weights (so that
what is written is what was evaluated, whatever the device) and how texts are sampled.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import get_args

import jax
import numpy as np
from etils import epath
from jaxtyping import Bool

from retentionjax import storage
from retentionjax.errors import ConfigError, DataError, ModelError
from retentionjax.language import hub, packing, peft, precision
from retentionjax.language.decoder import Decoder
from retentionjax.language.hub import Model
from retentionjax.language.lora import Adapter
from retentionjax.language.sampler import Sampler, SamplingConfig, texts

_NAME, _ADAPTER = "writer.json", "adapter"
BATCH = 32
"""Texts written at once: on two cores more cost as much a text."""
_KEYS = ("base", "base_sha256", "matmul", "int8", "system", "max_new_tokens", "temperature")


@dataclass(frozen=True)
class WriterConfig:
    """How messages are sampled."""

    max_new_tokens: int = 80
    temperature: float = 0.7
    system: str | None = ""
    """System message; None leaves the chat template's own, "" saves its tokens."""

    def sampling(self, model: Model) -> SamplingConfig:
        """Settings for the sampler: stop at the end of the turn."""
        tokenizer = model.tokenizer
        return SamplingConfig(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            eos=tokenizer.eos_token_id,
            pad=tokenizer.pad_token_id,
        )


class MessageWriter:
    """Base model and adapter, ready to write. Not safe for threads that share it: one call at a time."""

    def __init__(self, model: Model, adapter: Adapter | None, config: WriterConfig, *, width: int = 1) -> None:
        """`adapter` None: the base model as it is. Prompts are padded to `width` tokens at least (see `Sampler`)."""
        self.model, self.config, self._width = model, config, width
        self._sampler = Sampler(model.decoder, adapter)
        self._sampling = config.sampling(model)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """One text a prompt, the same for the same seed. A text that met `max_new_tokens` is cut off there."""
        return self.write(prompts, seeds)[0]

    def write(
        self, prompts: Sequence[str], seeds: Sequence[int], advance: Callable[[int], object] = lambda _: None
    ) -> tuple[list[str], Bool[np.ndarray, " prompts"]]:
        """Writes as calling it does, and says which texts came to their end before `max_new_tokens`.

        Many are written in batches of one size and width: compiling for another takes as long as writing dozens.
        `advance` is told of each batch.
        """
        tokens = [packing.tokenise_prompt(self.model.tokenizer, each, system=self.config.system) for each in prompts]
        written, ended = list[str](), np.zeros(len(prompts), bool)
        size, width = min(BATCH, len(prompts)), max([self._width, *map(len, tokens)])
        for start in range(0, len(prompts), BATCH):
            numbers = np.arange(start, min(start + BATCH, len(prompts)))
            filled = np.resize(numbers, size)
            drawn = self._sampler([tokens[each] for each in filled], self._sampling, np.asarray(seeds)[filled], width)
            written += texts(self.model.tokenizer, drawn)[: len(numbers)]
            ended[numbers] = np.asarray(drawn.finished)[: len(numbers)]
            advance(len(numbers))
        return written, ended


def save(folder: epath.Path, model: Model, adapter: Adapter, config: WriterConfig) -> None:
    """Writes adapter and reference into `folder`, which must exist."""
    peft.save(folder / _ADAPTER, adapter, model.decoder.config, base=model.name)
    kept = {"matmul": precision.of(model.decoder), "int8": precision.is_int8(model.decoder)}
    base = {"base": model.name, "base_sha256": digest(model.decoder)} | kept
    storage.write_json(folder / _NAME, base | asdict(config))


def load(folder: epath.Path, *, width: int = 1) -> MessageWriter:
    """The writer in `folder`, its base model fetched if it is not at hand; `width` as a Writer's.

    Raises:
        ModelError: a file that is not as `save` leaves it, or a base model with other weights.
    """
    return MessageWriter(*load_parts(folder), width=width)


def load_parts(folder: epath.Path) -> tuple[Model, Adapter, WriterConfig]:
    """Base model, adapter and sampling of the writer in `folder`; errors as `load`."""
    where = folder / _NAME
    try:
        plain = storage.read_json(where)
        if isinstance(plain, dict):
            plain = {"matmul": "float32", "int8": False} | plain  # what writers were saved with before it was recorded
        if not isinstance(plain, dict) or sorted(plain) != sorted(_KEYS):
            raise ModelError(f"{where}: the keys {', '.join(_KEYS)} are wanted, no more and no fewer")
        if plain["matmul"] not in get_args(precision.Resolved):
            allowed = ", ".join(get_args(precision.Resolved))
            raise ModelError(f"{where}: matmul is {plain['matmul']!r}; allowed: {allowed}")
        if not isinstance(plain["int8"], bool):
            raise ModelError(f"{where}: int8 is {plain['int8']!r}; allowed: true or false")
        config = WriterConfig(**{field.name: plain[field.name] for field in fields(WriterConfig)})
    except (DataError, ConfigError, TypeError) as error:
        raise ModelError(f"{where}: {error}") from None
    model = hub.load(plain["base"], matmul=plain["matmul"], int8=plain["int8"])
    wanted = plain["base_sha256"]
    if (found := digest(model.decoder)) != wanted:
        raise ModelError(f"{where}: made for {model.name} with weights {wanted}, but here are {found}")
    return model, peft.load(folder / _ADAPTER, model.decoder.config), config


def digest(decoder: Decoder) -> str:
    """SHA-256 of all weights, names and shapes included: the same wherever they were read from."""
    found = hashlib.sha256()
    for name, array in sorted(decoder.parameters().items()):
        host = np.ascontiguousarray(jax.device_get(array))
        found.update(f"{name} {host.dtype} {host.shape}\n".encode())
        found.update(host.view(np.uint8).data)  # bfloat16 has no buffer of its own
    return found.hexdigest()
