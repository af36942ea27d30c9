"""Messages by a model: used when they come in time and pass the shield; else the template, and the answer says why."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import bundles
import msgspec
import pytest
from engines import ask, running

from retentionjax.data.messages import grammar
from retentionjax.shield import Brief
from serving.engine import Engine
from serving.engine.contract import Decision, Given
from serving.engine.messages import WARM_UP, Models, Write
from serving.observability.metrics import Metrics
from serving.settings import Settings


@pytest.fixture(scope="session")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a language model, which the tests here replace."""
    return bundles.make_writing(tmp_path_factory.mktemp("served") / "writing")


def by(write: Write) -> Callable[[Settings, Metrics], Models]:
    return lambda settings, metrics: Models(settings, metrics, load=lambda _: write)


async def a_contact(engine: Engine, start: int = 0) -> tuple[Given, Decision]:
    """The first contact among the customers from C-`start` on."""
    for number in range(start, 64):
        given = await engine.decide(ask(f"C-{number}"))
        decision = msgspec.json.decode(given.body, type=Decision)
        if decision.decision == "contact":
            return given, decision
    raise AssertionError("nobody was contacted")


def good(brief: Brief, seed: int) -> str:
    return grammar.write(grammar.draft(brief, "train", Random(seed)))


def test_a_message_that_passes_is_sent_and_remembered_and_in_the_ledger(writing: Path, tmp_path: Path) -> None:
    asked: list[Brief] = []

    def write(brief: Brief, seed: int) -> str:
        asked.append(brief)
        return good(brief, seed)

    async def main() -> None:
        async with running(writing, tmp_path, messages="model", models=by(write)) as (engine, ledger):
            given, decision = await a_contact(engine)
            assert decision.message is not None
            assert decision.message.source == "model"
            assert decision.degradations == ()
            with ledger.read() as reader:
                recorded = reader.decision(given.decision_id)
            assert recorded is not None
            assert recorded.response == given.body
            assert msgspec.json.decode(recorded.message_json or b"")["source"] == "model"
            for start in range(10, 60, 10):
                await a_contact(engine, start)
            assert asked.pop(0) == WARM_UP.mask()  # to nobody, so that no customer waits for the compiler
            assert len(asked) == len({repr(each) for each in asked}) <= 4  # one for each offer

    asyncio.run(main())


def test_one_text_serves_all_names_and_is_checked_with_each(writing: Path, tmp_path: Path) -> None:
    """A model that makes up a name is right by chance only; where Ben is the first, it is asked twice."""
    asked: list[Brief] = []

    def calls_everybody_ana(brief: Brief, seed: int) -> str:
        asked.append(brief)
        return good(brief, seed).replace("{name}", "Ana")

    async def main() -> None:
        async with running(writing, tmp_path, messages="model", models=by(calls_everybody_ana)) as (engine, _):
            sent = []
            for number in range(30):
                name = ("Ana", "Ben")[number % 2]
                given = await engine.decide(ask(f"C-{number}", first_name=name))
                decision = msgspec.json.decode(given.body, type=Decision)
                if decision.message is not None:
                    assert name in decision.message.text
                    sent.append((name, decision.message.source, decision.degradations, decision.offer))
            blocked = ("message_template:blocked:name.wrong",)
            assert {each[:3] for each in sent} == {("Ana", "model", ()), ("Ben", "template", blocked)}
            times = Counter(each.offer.discount for each in asked[1:])  # the first one to warm up
            first = {offer.discount: name for name, *_, offer in reversed(sent) if offer is not None}
            assert times == {discount: 1 if name == "Ana" else 2 for discount, name in first.items()}

    asyncio.run(main())


def refused(brief: Brief, seed: int) -> str:
    return "Get 90% off for free!!! http://evil.example"


def fails(brief: Brief, seed: int) -> str:
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(("write", "reason"), [(refused, "blocked"), (fails, "model_failed")])
def test_what_does_not_pass_or_fails_leaves_the_template(
    writing: Path, tmp_path: Path, write: Write, reason: str
) -> None:
    async def main() -> None:
        async with running(writing, tmp_path, messages="model", models=by(write)) as (engine, ledger):
            given, decision = await a_contact(engine)
            assert decision.message is not None
            assert decision.message.source == "template"
            assert "evil" not in decision.message.text
            assert [each.split(":")[:2] for each in decision.degradations] == [["message_template", reason]]
            with ledger.read() as reader:
                recorded = reader.decision(given.decision_id)
            assert recorded is not None
            assert recorded.response == given.body

    asyncio.run(main())


def test_a_text_that_the_shield_refuses_is_written_once_more(writing: Path, tmp_path: Path) -> None:
    seeds: list[int] = []

    def write(brief: Brief, seed: int) -> str:
        if brief == WARM_UP.mask():
            return good(brief, seed)
        seeds.append(seed)
        return good(brief, seed) if len(seeds) % 2 == 0 else refused(brief, seed)

    kept: list[Metrics] = []

    def models(settings: Settings, metrics: Metrics) -> Models:
        kept.append(metrics)
        return Models(settings, metrics, load=lambda _: write)

    async def main() -> None:
        async with running(writing, tmp_path, messages="model", models=models) as (engine, _):
            _, decision = await a_contact(engine)
            assert decision.message is not None
            assert (decision.message.source, decision.degradations) == ("model", ())
            assert len(set(seeds)) == 2
            (blocks,) = (each for each in kept[0].registry.collect() if each.name == "retentionjax_shield_blocks")
            assert {sample.value for sample in blocks.samples} == {1.0}  # the first text, by each rule it broke

    asyncio.run(main())


def test_what_is_late_leaves_the_template_and_is_there_the_next_time(writing: Path, tmp_path: Path) -> None:
    gate = threading.Event()

    def slowly(brief: Brief, seed: int) -> str:
        gate.wait(10)
        return good(brief, seed)

    async def main() -> None:
        slow = {"messages": "model", "message_deadline_ms": 100.0}
        async with running(writing, tmp_path, models=by(slowly), **slow) as (engine, _):  # type: ignore[arg-type]
            _, decision = await a_contact(engine)
            assert decision.degradations == ("message_template:deadline",)
            gate.set()
            for _ in range(100):
                await asyncio.sleep(0.02)
                message = (await a_contact(engine, 40))[1].message
                if message is not None and message.source == "model":
                    return
            raise AssertionError("the model's message never came")

    asyncio.run(main())


def test_a_full_queue_leaves_the_template(writing: Path, tmp_path: Path) -> None:
    gate = threading.Event()

    def slowly(brief: Brief, seed: int) -> str:
        gate.wait(10)
        return good(brief, seed)

    async def main() -> None:
        crowded = {"messages": "model", "message_queue_size": 1, "message_deadline_ms": 400.0}
        async with running(writing, tmp_path, models=by(slowly), **crowded) as (engine, _):  # type: ignore[arg-type]
            asks = [
                ask(f"C-{number}", first_name=name) for number, name in enumerate(["Ana", "Ben", "Eva", "Finn"] * 8)
            ]
            given = await asyncio.gather(*(engine.decide(each) for each in asks))
            found = [msgspec.json.decode(each.body, type=Decision) for each in given]
            kinds = {kind for each in found for kind in each.degradations}
            assert kinds == {"message_template:queue_full", "message_template:deadline"}
            gate.set()

    asyncio.run(main())


def test_a_bundle_without_a_model_says_so(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path, messages="model") as (engine, _):
            _, decision = await a_contact(engine)
            assert decision.degradations == ("message_template:no_language_model",)

    asyncio.run(main())


def test_the_bundles_own_model_writes_or_is_refused(writing: Path, tmp_path: Path) -> None:
    """The random model writes nonsense, which the shield refuses."""

    async def main() -> None:
        slow = {"messages": "model", "message_deadline_ms": 60_000.0, "deadline_ms": 60_000.0}
        async with running(writing, tmp_path, **slow) as (engine, _):  # type: ignore[arg-type]
            _, decision = await a_contact(engine)
            assert decision.message is not None
            assert decision.message.source == "template"
            assert decision.degradations[0].startswith("message_template:blocked:")

    asyncio.run(main())
