"""Tokenizers of other people's folders: what they leave unsaid, and templates with rules of their own."""

import json
from pathlib import Path
from typing import Any

import pytest

from retentionjax.errors import ModelError
from retentionjax.language import packing, tokenizer

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
FROM_THE_USER = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }};{% endfor %}<assistant>"


def bare(folder: Path, config: dict[str, object]) -> Path:
    """A folder with a tokenizer.json and a config.json, as some checkpoints are published."""
    tokenizer.tiny().backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"} | config))
    return folder


@pytest.mark.parametrize("end", [2, [2, 0]])
def test_config_names_the_end_where_the_tokenizer_does_not(end: object, tmp_path: Path) -> None:
    found = tokenizer.load(bare(tmp_path, {"eos_token_id": end}))
    assert (found.eos_token_id, found.eos_token) == (2, "<|im_end|>")
    assert found.pad_token_id not in (None, 2)
    assert packing.tokenise(found, "hi", "ok").completion[-1] == 2


@pytest.mark.parametrize("config", [{}, {"eos_token_id": None}, {"eos_token_id": 9999}])
def test_a_tokenizer_without_an_end_is_refused(config: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no token ends a turn; allowed: eos_token in tokenizer_config.json"):
        tokenizer.load(bare(tmp_path, config))


@pytest.mark.parametrize(
    ("file", "text"),
    [("config.json", '{"model_type": "llama", "eos_token_id": "2"}'), ("tokenizer.json", "{}"), ("tokenizer.json", "")],
)
def test_a_damaged_tokenizer_is_refused_by_its_folder(file: str, text: str, tmp_path: Path) -> None:
    folder = bare(tmp_path, {"eos_token_id": 2})
    (folder / file).write_text(text)
    with pytest.raises(ModelError, match=f"{tmp_path}: no tokenizer can be read from it"):
        tokenizer.load(folder)


def prompted(template: str, turns: list[dict[str, str]]) -> str:
    made = tokenizer.tiny()
    made.chat_template = template
    return str(made.decode(tokenizer.chat_ids(made, turns)))


@pytest.mark.parametrize(
    "rule",
    [
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}",
        "{% if messages[0]['role'] == 'system' %}{% set messages = messages[1:] %}{% endif %}",
    ],
)
def test_a_system_turn_that_a_template_refuses_or_drops_goes_before_the_users(rule: str) -> None:
    assert prompted(rule + FROM_THE_USER, TURNS) == "<user>Be brief.\n\nhi;<assistant>"
    assert prompted(rule + FROM_THE_USER, TURNS[1:]) == "<user>hi;<assistant>"
    assert prompted(rule + FROM_THE_USER, [{"role": "system", "content": ""}, TURNS[1]]) == "<user>hi;<assistant>"
    with pytest.raises(ModelError, match="no system turn; allowed: one that a user's turn follows"):
        prompted(rule + FROM_THE_USER, TURNS[:1])


def test_a_system_turn_that_a_template_takes_stays_where_it_is() -> None:
    assert prompted(FROM_THE_USER, TURNS) == "<system>Be brief.;<user>hi;<assistant>"


def test_turns_that_a_template_refuses_are_told_with_its_reason() -> None:
    template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ModelError, match="the chat template refuses the turns user, user: roles must alternate"):
        prompted(template, [TURNS[1], TURNS[1]])


def test_models_that_think_aloud_are_told_not_to() -> None:
    template = "{{ messages[0]['content'] }}{% if enable_thinking is defined and not enable_thinking %}!{% endif %}"
    assert prompted(template, [TURNS[1]]) == "hi!"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ messages[0]['content'] + 5 }}", r"refuses the turns user: can only concatenate str"),
        ("{{ 1 / 0 }}", r"refuses the turns user: division by zero"),
        ("{% for message in messages %}", r"refuses the turns user: Unexpected end of template"),
        ({"rag": FROM_THE_USER}, r"refuses the turns user: This model has multiple chat templates"),
        ("{% if add_generation_prompt %}<assistant>{% endif %}", r"leaves out what the last turn, user, says"),
    ],
)
def test_a_template_that_fails_or_says_nothing_is_refused(template: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        prompted(template, [TURNS[1]])
