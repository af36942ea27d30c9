"""A writer's many texts are those that it writes one by one."""

from pathlib import Path

import compiled_model
import jax
import numpy as np
import pytest
from etils import epath

from retentionjax import cli, storage
from retentionjax.errors import ModelError
from retentionjax.language import hub, lora, packing, precision, sampler, writer
from retentionjax.language.writer import MessageWriter, WriterConfig


def test_a_writer_over_int8_weights_comes_back_over_them(tmp_path: Path) -> None:
    model = hub.load("tiny", int8=True)
    adapter = lora.init(lora.LoraConfig(rank=2), model.decoder, jax.random.key(1))
    writer.save(epath.Path(tmp_path), model, adapter, WriterConfig(max_new_tokens=4))
    found = writer.load(epath.Path(tmp_path))
    assert precision.is_int8(found.model.decoder)
    assert found(["SMS."], [1]) == MessageWriter(model, adapter, found.config)(["SMS."], [1])
    recorded = storage.read_json(tmp_path / "writer.json")
    storage.write_json(tmp_path / "writer.json", recorded | {"int8": False})
    with pytest.raises(ModelError, match=r"made for tiny with weights \w+, but here are"):
        writer.load(epath.Path(tmp_path))
    storage.write_json(tmp_path / "writer.json", recorded | {"int8": "yes"})
    with pytest.raises(ModelError, match=r"int8 is 'yes'; allowed: true or false"):
        writer.load(epath.Path(tmp_path))


def test_an_exported_writer_is_one_model_that_writes_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = hub.load("tiny")
    adapter = lora.init(lora.LoraConfig(rank=2), model.decoder, jax.random.key(1))
    adapter = adapter.replace(b=jax.tree.map(lambda b: b + 0.1, adapter.b))
    (tmp_path / "writer").mkdir()
    writer.save(epath.Path(tmp_path / "writer"), model, adapter, WriterConfig(max_new_tokens=4))
    assert cli.main(["models", "export", str(tmp_path / "writer"), "--out", str(tmp_path / "whole")]) == 0
    assert "with its adapter merged in" in capsys.readouterr().out
    whole, tuned = hub.load(tmp_path / "whole"), writer.load(epath.Path(tmp_path / "writer"))
    assert MessageWriter(whole, None, tuned.config)(["SMS."], [1]) == tuned(["SMS."], [1])
    tokens = np.arange(12)[None]
    merged = compiled_model.logits(whole.decoder, tokens, tokens >= 0)
    np.testing.assert_allclose(
        merged, compiled_model.logits(model.decoder, tokens, tokens >= 0, adapter=adapter), atol=1e-4
    )


def test_many_texts_are_written_in_batches_of_one_width_and_are_those_of_each_alone() -> None:
    system = MessageWriter(hub.load("tiny"), None, WriterConfig(max_new_tokens=6))
    count = writer.BATCH + 3
    prompts = ["Write a retention SMS. " + "With us: 14 months. " * (number % 4) for number in range(count)]
    told: list[int] = []
    texts, ended = system.write(prompts, range(count), told.append)
    assert told == [writer.BATCH, 3]
    assert len(texts) == len(ended) == count
    for number in (3, count - 1):
        assert system([prompts[number]], [number]) == [texts[number]]
    assert len(set(texts)) > count // 2
    assert system([], []) == []


def test_prompts_padded_to_one_width_share_a_program_and_their_texts_are_the_same() -> None:
    system = MessageWriter(hub.load("tiny"), None, WriterConfig(max_new_tokens=6))
    prompts = ["SMS.", "SMS. " + "With us: 14 months. " * 3]
    short, long = (len(packing.tokenise_prompt(system.model.tokenizer, each, system="")) for each in prompts)
    assert packing.round_up(short, 16) < packing.round_up(long, 16), "alone, each would have a program of its own"
    wide = MessageWriter(system.model, None, system.config, width=2 * long)
    before = sampler.sample._cache_size()
    texts = [wide([each], [7])[0] for each in prompts]
    assert sampler.sample._cache_size() == before + 1
    assert texts == [system([each], [7])[0] for each in prompts]
