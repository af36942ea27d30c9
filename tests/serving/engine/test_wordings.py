"""Approved wordings are sent and counted; the model proposes beside the decisions, none of which waits for it."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from random import Random

import bundles
import msgspec
import numpy as np
import pytest
from engines import Clock, ask, running, until

from retentionjax.data.messages import grammar
from retentionjax.decide.comparing import UNIFORM_SHARE
from retentionjax.decide.variants import NOBODY, Kind, Variant, WordingAuthor
from retentionjax.shield import Brief
from serving.engine import Engine, proposing
from serving.engine.contract import Decision
from serving.engine.messages import ApprovedWordings
from serving.engine.slots import Served
from serving.ledger import Ledger
from serving.ledger.types import Outcome
from serving.ledger.wordings import ANSWER_SECONDS, COUNTED_EVERY, Approved, Wording


@pytest.fixture(scope="session")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a language model, which the tests here replace."""
    return bundles.make_writing(tmp_path_factory.mktemp("served") / "writing")


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch, _looks_often: None) -> None:
    """Two wordings a kind are proposed instead of eight, for there are twelve kinds."""
    monkeypatch.setattr(proposing, "PER_KIND", 2)


SEEN = 0.5
"""Seconds within which the engine has looked for what is new."""


ASKED = "How is everything going? We are here if you have a question."


def wording(served: Served, offer: str, words: str = "a word from us:") -> Variant:
    said = served.bundle.said_offer(offer)
    told = f"{said.text()}. Reply YES to accept." if not said.is_none else ASKED
    return Variant(Kind(offer, "sms", "warm"), f"{{sender}}: Hi {{name}}, {words} {told} Reply STOP to opt out.")


def approve(ledger: Ledger, *variants: Variant) -> None:
    with ledger.transaction() as tx:
        tx.propose_variants(variants, "test", "Eva")
        for each in variants:
            tx.decide_variant(each.id, "approved", "Eva")


async def contacts(engine: Engine, start: int = 0, end: int = 64, name: str | None = "Ana") -> list[Decision]:
    asks = [ask(f"C-{number}", first_name=name) for number in range(start, end)]
    given = await asyncio.gather(*(engine.decide(each) for each in asks))
    decided = [msgspec.json.decode(each.body, type=Decision) for each in given]
    return [each for each in decided if each.message is not None]


def test_an_approved_wording_is_sent_beside_the_template_and_recorded(
    folder: Path, served: Served, tmp_path: Path
) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            before = await contacts(engine, 0, 8)
            assert {each.message.source for each in before if each.message} == {"template"}
            variants = [wording(served, name) for name in served.bundle.offers]
            approve(ledger, *variants)
            with ledger.read() as reader:
                approved = reader.approved_variants(None)
            assert approved is not None
            ids = {each.id for each in variants} | {kind.template_id for kind in approved.wordings}

            await asyncio.sleep(SEEN)
            after = await contacts(engine, 8, 64)
            chosen = [each.message for each in after if each.message]
            assert {each.source for each in chosen} == {"variant", "template"}
            assert {each.variant_id for each in chosen} <= ids
            for each in after:
                assert each.message is not None
                assert each.message.variant_propensity == pytest.approx(0.5, abs=0.1)  # nobody has answered yet
                if each.message.source == "variant":
                    assert each.message.text.startswith("Northwind: Hi Ana, a word from us:")
            with ledger.read() as reader:
                stored = reader.variants()
            counted = sum(each.answers.sent for each in stored)
            assert counted <= sum(each.source == "variant" for each in chosen)  # some are to be sent later
            assert all(each.decided_by == "Eva" for each in stored)

    asyncio.run(main())


def test_whom_a_wording_does_not_fit_is_sent_the_template(folder: Path, served: Served, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            general = [wording(served, name) for name in served.bundle.offers]
            approve(ledger, *general, *(Variant(replace(each.kind, angle="price"), each.text) for each in general))
            await asyncio.sleep(SEEN)
            nameless = await contacts(engine, 0, 32, name=None)
            assert nameless
            assert {(each.message.source, each.message.variant_propensity) for each in nameless if each.message} == {
                ("template", 1.0)
            }

    asyncio.run(main())


def test_what_customers_did_counts_from_the_next_hour_on_and_alike_everywhere(
    folder: Path, served: Served, tmp_path: Path
) -> None:
    clock = Clock()

    async def main() -> None:
        async with running(folder, tmp_path, clock=clock, customers=128) as (engine, ledger):
            variants = [wording(served, name) for name in served.bundle.offers]
            approve(ledger, *variants)
            await asyncio.sleep(SEEN)
            made = await contacts(engine, 0, 128)
            for each in made:
                if each.message and each.message.source == "variant":
                    accepted = Outcome(each.decision_id, "accepted", clock())
                    with ledger.transaction() as tx:
                        tx.outcome([accepted])
            with ledger.read() as reader:
                early = reader.approved_variants(None)
            assert early is not None
            assert {each.answers.accepted for group in early.wordings.values() for each in group} == {0}
            clock.at += 3 * 86400 + ANSWER_SECONDS + 86400  # all are sent by then, and had their time
            with ledger.read() as reader:
                assert reader.approved_variants(early.version) is not None
                late = reader.approved_variants(None)
                assert late is not None
                assert reader.approved_variants(late.version) is None  # nothing new
            assert clock() // COUNTED_EVERY == late.version[1]
            with ledger.read() as reader:
                stored = reader.variants()
            assert sum(each.answers.accepted for each in stored) == sum(
                each.message is not None and each.message.source == "variant" for each in made
            )
            # Two processes that read the same ledger draw the same wording for everybody.
            one, two = ApprovedWordings(late), ApprovedWordings(late)
            kind = max(late.wordings, key=lambda kind: sum(each.answers.sent for each in late.wordings[kind]))
            offer = list(served.bundle.offers).index(kind.offer)
            templates = served.templates
            assert templates is not None
            brief = templates.brief(ask("C-1", first_name="Ana"), offer)
            drawn = [
                [words.write(templates, brief, kind.offer, u) for u in np.linspace(0, 0.999, 50)]
                for words in (one, two)
            ]
            assert drawn[0] == drawn[1]
            favoured = [each for each in drawn[0] if each.source == "variant"]
            assert favoured[0].variant_propensity > 1 - UNIFORM_SHARE  # all who were sent it accepted

    asyncio.run(main())


def good(brief: Brief, seed: int) -> str:
    return grammar.write(grammar.draft(brief, "train", Random(seed)))


def refused(brief: Brief, seed: int) -> str:
    return "Get 90% off for free!!! http://evil.example"


def test_the_model_proposes_beside_the_decisions_and_a_person_approves(writing: Path, tmp_path: Path) -> None:
    gate = threading.Event()

    def slowly(brief: Brief, seed: int) -> str:
        assert gate.wait(60)
        return good(brief, seed)

    author = WordingAuthor.of(slowly)

    async def main() -> None:
        async with running(writing, tmp_path, messages="model", load_writer=lambda _: author) as (engine, ledger):
            made = await contacts(engine, 0, 32)  # nobody waits, though the model does
            assert made
            assert {each.message.source for each in made if each.message} == {"template"}
            assert {each.degradations for each in made} == {()}
            kinds = {each.offer.name for each in made if each.offer}
            gate.set()

            def proposed() -> set[tuple[str, str]]:
                with ledger.read() as reader:
                    return {(each.variant.kind.offer, each.variant.kind.angle) for each in reader.variants()}

            await until(lambda: proposed() == {(offer, angle) for offer in kinds for angle in ("", "price", "unused")})
            with ledger.read() as reader:
                stored = reader.variants()
            spoken = [each.variant for each in stored if each.variant.kind.angle]
            assert all(grammar.speaks_to(each.kind.angle, each.text) for each in spoken)
            assert {(each.state, each.variant.author) for each in stored} == {("proposed", "model")}
            assert len({each.variant.text for each in stored}) == len(stored)
            await asyncio.sleep(SEEN)
            again = await contacts(engine, 32, 64)
            assert {each.message.source for each in again if each.message} == {"template"}  # nobody approved one

    asyncio.run(main())


def test_what_the_shield_passed_may_be_approved_by_it(writing: Path, tmp_path: Path) -> None:
    async def main() -> None:
        settings = {"messages": "model", "approve": "shield", "load_writer": lambda _: WordingAuthor.of(good)}
        async with running(writing, tmp_path, **settings) as (engine, ledger):
            await contacts(engine, 0, 32)

            def approved() -> bool:
                with ledger.read() as reader:
                    return any(each.state == "approved" and each.decided_by == "shield" for each in reader.variants())

            await until(approved)
            await asyncio.sleep(SEEN)
            later = await contacts(engine, 32, 64)
            assert "variant" in {each.message.source for each in later if each.message}

    asyncio.run(main())


@pytest.mark.parametrize("own_model", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_model_that_writes_what_may_not_be_sent_proposes_nothing(
    writing: Path, tmp_path: Path, own_model: bool
) -> None:
    """The bundle's own model here has random weights: its texts are nonsense."""

    async def main() -> None:
        load = None if own_model else lambda _: WordingAuthor.of(refused)
        async with running(writing, tmp_path, messages="model", approve="shield", load_writer=load) as (engine, ledger):
            made = await contacts(engine, 0, 16)
            kinds = {each.offer.name for each in made if each.offer}

            def looked_at() -> bool:
                with ledger.read() as reader:
                    found = [each for each in reader.changes(100) if each.what.startswith("wordings of")]
                return len(found) == 3 * len(kinds)  # to no reason to leave, and to each of the company's two

            await until(looked_at)
            with ledger.read() as reader:
                assert reader.variants() == []

    asyncio.run(main())


def test_who_may_leave_for_a_reason_is_sent_a_wording_that_speaks_to_it(served: Served) -> None:
    """And is not asked about it where no wording does; the draw is among those of her reason and the template."""
    templates = served.templates
    assert templates is not None
    general, other = wording(served, "ten"), wording(served, "five")
    priced = Variant(replace(general.kind, angle="price"), general.text.replace("a word", "about your plan, a word"))
    kinds = {each.kind: [Wording(each.kind.template_id, None, NOBODY), Wording(each.id, each, NOBODY)]
             for each in (general, priced, other)}  # fmt: skip
    words = ApprovedWordings(Approved(((), 0), kinds))
    place = list(served.bundle.offers).index("ten")

    def sent(angle: str, name: str | None = "Ana") -> set[tuple[str, float]]:
        brief = templates.brief(ask("C-1", first_name=name), place)
        drawn = [words.write(templates, brief, "ten", u, lambda: angle) for u in np.linspace(0, 0.999, 20)]
        return {(each.variant_id, round(each.variant_propensity, 1)) for each in drawn}

    assert sent("price") == {(priced.id, 0.5), (priced.kind.template_id, 0.5)}
    for angle in ("contract", ""):
        assert sent(angle) == {(general.id, 0.5), (general.kind.template_id, 0.5)}
    assert sent("price", name=None) == {(general.kind.template_id, 1.0)}  # neither can be filled without a name

    def never() -> str:
        raise AssertionError("nothing speaks to a reason here")

    five = templates.brief(ask("C-1", first_name="Ana"), list(served.bundle.offers).index("five"))
    assert words.write(templates, five, "five", 0.9, never).text
