"""A writer's many texts are those that it writes one by one."""

from retentionjax.language import hub, writer
from retentionjax.language.writer import Writer, WriterConfig


def test_many_texts_are_written_in_batches_of_one_width_and_are_those_of_each_alone() -> None:
    system = Writer(hub.load("tiny"), None, WriterConfig(max_new_tokens=6))
    count = writer.BATCH + 3
    prompts = ["Write a retention SMS. " + "With us: 14 months. " * (number % 4) for number in range(count)]
    told: list[int] = []
    texts, ended = system.write(prompts, range(count), told.append)
    assert told == [writer.BATCH, 3]
    assert len(texts) == len(ended) == count
    for number in (0, 3, writer.BATCH - 1, count - 1):
        assert system([prompts[number]], [number]) == [texts[number]]
    wide = Writer(system.model, None, system.config, width=96)
    assert wide(prompts[:3], range(3)) == texts[:3]
    assert len(set(texts)) > count // 2
    assert system([], []) == []
