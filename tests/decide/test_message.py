"""Messages of decisions: the shield stands between the language model and the customer."""

import dataclasses
import json
from pathlib import Path
from random import Random
from typing import Any

import bundles
import pytest

from retentionjax import cli, shield
from retentionjax.bundle import Bundle, load
from retentionjax.data.messages import grammar
from retentionjax.decide.decision import Decision, compose, decide
from retentionjax.decide.explain import angle
from retentionjax.decide.facts import Facts
from retentionjax.decide.program import Decider
from retentionjax.errors import BundleError, DataError
from retentionjax.shield import Brief

CUSTOMER = bundles.CUSTOMER | {"recipient": {"first_name": "Maria", "channel": "push", "tone": "formal"}}


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(bundles.make_writing(tmp_path_factory.mktemp("writing") / "bundle"))


@pytest.fixture(scope="module")
def decision(writing: Bundle) -> Decision:
    made = decide(Decider(writing, sizes=(1,)), CUSTOMER)
    assert made.offer is not None
    return made


def by_grammar(brief: Brief, seed: int) -> str:
    """Writes as a model that has learnt well."""
    return grammar.write(grammar.draft(brief, "train", Random(seed)))


def test_a_text_that_passes_is_sent_with_its_names(decision: Decision) -> None:
    asked: list[tuple[Brief, int]] = []

    def write(brief: Brief, seed: int) -> str:
        asked.append((brief, seed))
        return by_grammar(brief, seed)

    message = compose(decision, CUSTOMER, write)
    assert message is not None
    assert (message.source, message.text, message.violations) == ("model", message.model_text, ())
    assert "Maria" in message.text
    assert message.brief.sender.name in message.text
    brief, seed = asked[0]
    assert (brief.channel, brief.tone) == ("push", "formal")
    assert "Maria" not in repr(brief)
    assert message.text == message.brief.fill(by_grammar(brief, seed))
    assert brief.known == {"plan": "basic plan", "tenure": "3 months"}
    assert decision.offer_name is not None
    assert brief.offer == decision.bundle.said_offer(decision.offer_name)
    assert seed == decision.seed
    assert dataclasses.replace(decision, campaign_id="another").seed != seed


def test_a_text_that_invents_an_offer_is_not_sent(decision: Decision) -> None:
    message = compose(decision, CUSTOMER, lambda brief, seed: by_grammar(brief, seed) + " Also 90% off forever.")
    assert message is not None
    assert message.source == "template"
    assert "90%" not in message.text
    assert any(each.rule.startswith("offer.") for each in message.violations)
    assert shield.check(message.text, message.brief).passed


@pytest.mark.parametrize(("channel", "told"), [("sms", True), ("email", True), ("push", False)])
def test_the_model_is_told_why_the_customer_may_leave_where_there_is_room(
    decision: Decision, channel: str, told: bool
) -> None:
    asked: list[Brief] = []

    def write(brief: Brief, seed: int) -> str:
        asked.append(brief)
        return by_grammar(brief, seed)

    message = compose(decision, bundles.CUSTOMER | {"recipient": {"channel": channel}}, write)
    why = angle(decision.bundle, Facts(decision.bundle.schema).records([bundles.CUSTOMER]))
    assert message is not None
    assert message.source == "model"
    assert why == "unused", "she has been a customer for three months"
    assert asked[0].angle == (why if told else None)
    assert grammar.speaks_to(why, message.text) == told


@pytest.mark.parametrize(
    ("facts", "tenure"),
    [
        ({"since": "2026-05-29", "seen_on": "2026-06-01"}, "3 months"),
        ({"months": 3}, "3 months"),
        ({"months": -0.5}, None),  # who joined today, by a clock further east
    ],
)
def test_facts_of_a_message_are_read_as_those_of_its_decision(
    writing: Bundle, decision: Decision, facts: dict[str, object], tenure: str | None
) -> None:
    """The column `months` is made of a date."""
    of_dates = dataclasses.replace(
        writing.company.customers, numeric=("bill",), dates={"since": "months"}, snapshot="seen_on", tenure="months"
    )
    dated = dataclasses.replace(writing, company=dataclasses.replace(writing.company, customers=of_dates))
    customer = {name: value for name, value in bundles.CUSTOMER.items() if name != "months"} | facts
    made = decide(Decider(dated, sizes=(1,)), customer)
    message = compose(dataclasses.replace(made, action=decision.action), customer, by_grammar)
    assert message is not None
    assert message.source == "model"
    assert message.brief.known.get("tenure") == tenure


def test_only_an_email_has_a_legal_footer(decision: Decision) -> None:
    for channel in ("sms", "push", "email"):
        message = compose(decision, bundles.CUSTOMER | {"recipient": {"channel": channel}}, None)
        assert message is not None
        assert ("unsubscribe" in message.footer) == (channel == "email")


def test_who_waits_gets_no_message_and_no_model_is_asked(decision: Decision) -> None:
    def never(brief: Brief, seed: int) -> str:
        raise AssertionError(f"asked for {brief} with {seed}")

    waiting = dataclasses.replace(decision, action=0)
    assert compose(waiting, CUSTOMER, never) is None


def test_a_bundle_without_shield_writes_nothing(decider: Decider) -> None:
    decision = dataclasses.replace(decide(decider, bundles.CUSTOMER), action=1)
    assert compose(decision, bundles.CUSTOMER, None) is None


@pytest.mark.parametrize(
    ("recipient", "message"),
    [
        ({"channel": "fax"}, "recipient, channel: 'fax'; allowed: sms, email, push"),
        ({"tone": "rude"}, "recipient, tone: 'rude'; allowed: warm, formal, brief"),
        ({"first_name": 7}, "recipient, first_name: 7; text is wanted"),
        ({"age": 7}, "unknown key 'age'; allowed: first_name, channel, tone"),
        ("Maria", "an object with some of first_name, channel, tone"),
    ],
)
def test_a_recipient_that_does_not_fit_is_refused(decision: Decision, recipient: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        compose(decision, bundles.CUSTOMER | {"recipient": recipient}, None)


def test_the_command_prints_the_message_and_why_the_model_s_was_refused(
    writing: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The random model writes nonsense, so what is sent is the template, and that is said."""
    path = tmp_path / "customer.json"
    path.write_text(json.dumps(CUSTOMER))
    arguments = ["decide", "--bundle", str(writing.folder), "--customer", str(path)]
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "Message (push notification, from the template, passed by shield" in shown
    assert "The language model's text was refused (" in shown
    assert cli.main([*arguments, "--json"]) == 0
    message = json.loads(capsys.readouterr().out)["message"]
    assert message["source"] == "template"
    assert message["model_text"] is not None  # it may be empty: what the random model says hangs on the bundle's hash
    assert message["violations"]
    assert cli.main([*arguments, "--json", "--template"]) == 0
    assert json.loads(capsys.readouterr().out)["message"]["model_text"] is None


def test_an_adapter_of_another_base_is_refused(writing: Bundle, tmp_path: Path) -> None:
    from retentionjax.bundle.language import writer

    moved = tmp_path / "language"
    moved.mkdir()
    for source in (writing.folder / "language").iterdir():
        if source.is_file():
            (moved / source.name).write_bytes(source.read_bytes())
    (moved / "writer.json").write_text(
        (moved / "writer.json").read_text().replace('"base_sha256": "', '"base_sha256": "0')
    )
    with pytest.raises(BundleError, match="made for tiny with weights"):
        writer(dataclasses.replace(writing, folder=writing.folder.__class__(tmp_path)))
