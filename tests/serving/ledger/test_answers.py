"""What customers did with wordings: counted by who had the same choice, and kept when decisions are purged."""

from dataclasses import replace
from pathlib import Path

from etils import epath
from ledger_rows import FrozenClock, decision, record

from retentionjax.decide.variants import Answers, Kind, Variant
from retentionjax.decide.wording_outcomes import OutcomePair, pairs
from serving.ledger import Ledger
from serving.ledger.types import Outcome
from serving.ledger.wordings import StoredVariant

KIND = Kind("five", "email", "warm")
FIRST = Variant(KIND, "{sender}: thank you for {tenure}.")
SECOND = Variant(KIND, "{sender}: here is 5% off.")


def answers(ledger: Ledger) -> dict[str, StoredVariant]:
    with ledger.read() as reader:
        return {each.variant.id: each for each in reader.variants()}


def send(
    ledger: Ledger, clock: FrozenClock, day: float, variant_id: str, choices: str, count: int, accept: int
) -> None:
    clock.to_day(day)
    drawn = {"variant_id": variant_id, "variant_propensity": 0.5, "variant_choices": choices}
    rows = [
        replace(decision(f"{variant_id}-{choices}-{day}-{number}", now=clock.now, offer_cost=0), **drawn)
        for number in range(count)
    ]
    sent = record(ledger, *rows)
    with ledger.transaction() as tx:
        tx.outcome([Outcome(each, "accepted", clock.now + 60) for each in sent[:accept]])
        tx.outcome([Outcome(each, "declined", clock.now + 60) for each in sent[accept:]])


def test_purging_loses_no_answer_and_mixes_no_two_choices(ledger: Ledger, clock: FrozenClock) -> None:
    with ledger.transaction() as tx:
        tx.propose_variants([FIRST, SECOND], "rules", "Eva")
        for each in (FIRST, SECOND):
            tx.decide_variant(each.id, "approved", "Eva")
    template = KIND.template_id
    send(ledger, clock, 1, FIRST.id, "old", 6, 3)
    send(ledger, clock, 1, template, "old", 6, 4)
    send(ledger, clock, 1, template, "new", 8, 0)  # who could not be sent the first
    send(ledger, clock, 40, FIRST.id, "old", 4, 1)
    send(ledger, clock, 40, template, "old", 4, 1)
    clock.to_day(50)
    before = answers(ledger)
    assert before[FIRST.id].answers == Answers(10, 4, 0)
    assert before[FIRST.id].template == Answers(18, 5, 0)
    ours, theirs = before[FIRST.id].matched
    assert (round(ours.accepted / ours.sent, 3), round(theirs.accepted / theirs.sent, 3)) == (0.4, 0.5)
    assert before[SECOND.id].answers == before[SECOND.id].matched[0] == Answers(0, 0, 0)
    with ledger.read() as reader:
        chosen = reader.approved_variants(None)

    for days, purged in ((95, 20), (150, 8)):
        clock.to_day(days)
        assert ledger.purge(60) == purged
        assert answers(ledger) == before
    with ledger.read() as reader:
        again = reader.approved_variants(None)
    assert chosen is not None
    assert again is not None
    assert again.wordings == chosen.wordings


def test_erasing_a_customer_leaves_her_answer(ledger: Ledger, clock: FrozenClock) -> None:
    with ledger.transaction() as tx:
        tx.propose_variants([FIRST], "rules", "Eva")
    send(ledger, clock, 1, FIRST.id, "old", 2, 1)
    clock.to_day(8)
    before = answers(ledger)
    with ledger.transaction() as tx:
        tx.erase(f"{FIRST.id}-old-1-0")
    assert answers(ledger) == before
    assert before[FIRST.id].answers == Answers(2, 1, 0)


def test_what_was_done_is_written_for_the_reward_model_purged_or_not(
    ledger: Ledger, clock: FrozenClock, tmp_path: Path
) -> None:
    with ledger.transaction() as tx:
        tx.propose_variants([FIRST, SECOND], "rules", "Eva")
    send(ledger, clock, 1, FIRST.id, "both", 40, 38)
    send(ledger, clock, 1, SECOND.id, "both", 40, 1)
    send(ledger, clock, 1, KIND.template_id, "both", 3, 3)  # has many texts, so none to learn from
    send(ledger, clock, 40, FIRST.id, "both", 4, 1)
    wanted = [OutcomePair(FIRST.text, SECOND.text, "five, email, warm")]
    for day, purged in ((50, False), (95, True)):
        clock.to_day(day)
        assert bool(ledger.purge(60)) is purged
        assert ledger.export_company(tmp_path, "spring", ["wordings"]) == {"wordings": 3}
        assert pairs(epath.Path(tmp_path / "wordings.csv")) == wanted


def test_a_wording_keeps_the_reason_that_it_speaks_to(ledger: Ledger) -> None:
    priced = Variant(replace(KIND, angle="price"), FIRST.text)
    with ledger.transaction() as tx:
        tx.propose_variants([FIRST, priced], "rules", "Eva")
        tx.decide_variant(priced.id, "approved", "Eva")
    assert {each.variant for each in answers(ledger).values()} == {FIRST, priced}
    with ledger.read() as reader:
        approved = reader.approved_variants(None)
    assert approved is not None
    assert {kind: [each.variant for each in group] for kind, group in approved.wordings.items()} == {
        priced.kind: [None, priced]
    }
