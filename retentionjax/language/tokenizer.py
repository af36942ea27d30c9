"""Tokenizers: that of a checkpoint's folder, and a real small one for the random model of the tests."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from etils import epath

from retentionjax import storage
from retentionjax.errors import ModelError

# Only tokenizers are taken from transformers: that it finds no PyTorch is no news.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Turns between <|im_start|>role and <|im_end|>: the template of SmolLM2 and Qwen, without a default system turn."""

PLAIN = (
    "{% for message in messages %}{% if message['content'] %}"
    "{{ {'system': '', 'user': 'Request: ', 'assistant': 'Reply: '}[message['role']] + message['content'] + '\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Reply:' }}{% endif %}"
)
"""Template for base models without one of their own, such as OPT: they continue text, so a turn is a labelled line."""

_SILENT_TURN = re.compile(r"^<\|im_start\|>system\s*<\|im_end\|>\n")
"""ChatML's system turn without a word: five tokens of every prompt."""

TINY_VOCABULARY = 448
_TINY_TEXT = """\
Write a retention SMS. Brand: Northwind. Customer: Maria. Plan: fiber internet. With us: 14 months. Offer: 10% off for \
30 days. Tone: warm.
Hi Maria, thank you for being with Northwind for 14 months. We would like to take 10% off your fiber internet plan for \
30 days. Reply YES to accept. Reply STOP to opt out.
Write a retention email. Customer: James. Plan: phone service. Offer: 20% off for 30 days. Tone: formal.
Dear James, as a valued customer you can have 20% off your monthly bill for the next 30 days. Unsubscribe at any time.
Write a retention push notification. No offer. Tone: brief. Manage alerts in settings.
the and you your our with for this that from have will are can is it of to in on at be we us as month days
"""


def load(folder: str | os.PathLike[str]) -> "PreTrainedTokenizerFast":
    """The tokenizer in a Hugging Face folder, ids as the model's own; where it has no chat template it gets PLAIN.

    Padding gets a token of its own where the checkpoint pads with the end-of-turn token: a padding that is taken for
    an end, or an end for padding, is a classic way to train on the wrong tokens. Where the tokenizer does not say which
    token ends a turn (a tokenizer.json by itself), config.json does.

    Raises:
        ModelError: there is no tokenizer, or it has no token that could end a turn or pad.
    """
    # transformers takes seconds to import, and only those who read a tokenizer need it.
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(os.fspath(folder), local_files_only=True)
    except Exception as error:  # a damaged tokenizer.json is a bare Exception of its Rust part
        raise ModelError(f"{os.fspath(folder)}: no tokenizer can be read from it ({error})") from error
    if found.chat_template is None:
        found.chat_template = PLAIN
    if found.eos_token_id is None:
        found.eos_token = _end_token(storage.as_path(folder), found)
    return separate_padding(found)


def _end_token(folder: epath.Path, tokenizer: Any) -> str:
    """The token that `eos_token_id` of the folder's config names: generation's, or the model's."""
    for file in ("generation_config.json", "config.json"):
        entries = storage.read_json(folder / file) if (folder / file).exists() else {}
        end = entries.get("eos_token_id")
        end = end[0] if isinstance(end, list) and end else end
        token = tokenizer.convert_ids_to_tokens(end) if type(end) is int and 0 <= end < len(tokenizer) else None
        if token is not None:
            return str(token)
    raise ModelError(f"{folder}: no token ends a turn; allowed: eos_token in tokenizer_config.json or eos_token_id")


def separate_padding(tokenizer: Any) -> Any:
    """The tokenizer, padding with another token than it ends a turn with."""
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id != tokenizer.eos_token_id:
        return tokenizer
    for token in ("<|endoftext|>", tokenizer.unk_token, tokenizer.bos_token):
        if token is not None and token != tokenizer.eos_token and token in tokenizer.get_vocab():
            tokenizer.pad_token = token
            return tokenizer
    raise ModelError(f"the tokenizer pads with {tokenizer.eos_token!r}, its end, and has no other token that could pad")


def tiny() -> "PreTrainedTokenizerFast":
    """A byte-level BPE of 448 tokens learned from a few messages, with ChatML's special tokens and template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|padding|>")
    trainer = trainers.BpeTrainer(
        vocab_size=TINY_VOCABULARY,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_TINY_TEXT.splitlines(), trainer)
    tokens = {"bos_token": special[1], "eos_token": special[2], "unk_token": special[0], "pad_token": special[3]}
    return fast(backend, tokens, CHATML)


def fast(backend: Any, tokens: Mapping[str, str], chat_template: str | None) -> "PreTrainedTokenizerFast":
    """A transformers tokenizer around a `tokenizers.Tokenizer`."""
    from transformers import PreTrainedTokenizerFast

    build: Any = PreTrainedTokenizerFast
    made: PreTrainedTokenizerFast = build(
        tokenizer_object=backend, clean_up_tokenization_spaces=False, padding_side="left", **tokens
    )
    made.chat_template = chat_template
    return made


def chat_ids(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Ids of a conversation in the model's own format, up to where its next turn begins.

    A system turn that the template refuses, or leaves out without a word, is put before the first user's turn; one that
    says nothing is no turn (where a template would put words of its own instead, it is given an empty one, which is
    then cut off). Models that can think aloud first (Qwen3, SmolLM3) are told not to: what is sampled is the message.

    Raises:
        ModelError: the template refuses the turns all the same, fails, or leaves the last one out.
    """
    turns = list(messages)
    render = partial(tokenizer.apply_chat_template, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    try:
        text = _with_system(render, turns) if turns and turns[0]["role"] == "system" else render(turns)
    except ModelError:
        raise
    except Exception as error:  # a template is a checkpoint's own program: it may fail in any way
        roles = ", ".join(turn["role"] for turn in turns)
        raise ModelError(f"the chat template refuses the turns {roles}: {error}") from error
    if turns and turns[-1]["content"].strip() not in text:
        raise ModelError(f"the chat template leaves out what the last turn, {turns[-1]['role']}, says")
    if turns and turns[0] == {"role": "system", "content": ""}:
        text = _SILENT_TURN.sub("", text)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def _with_system(render: Callable[[list[Mapping[str, str]]], str], turns: list[Mapping[str, str]]) -> str:
    from jinja2 import TemplateError

    system = turns[0]["content"].strip()
    try:
        text = render(turns)
    except TemplateError:
        text = None
    if text is not None and system in text:
        return text
    if not system:
        return render(turns[1:])
    if len(turns) < 2 or turns[1]["role"] != "user":
        raise ModelError("the chat template has no system turn; allowed: one that a user's turn follows")
    return render([{"role": "user", "content": f"{system}\n\n{turns[1]['content']}"}, *turns[2:]])
