"""Wordings over HTTP, in the console and on the command line: proposed, checked, approved, refused."""

import asyncio
import html
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import bundles
import pytest
import served_app
from served_app import Running

from retentionjax.cli import main
from retentionjax.data.messages import grammar
from retentionjax.decide.variants import Kind, Variant
from serving import side_work
from serving.domain import variants
from serving.engine.messages import Templates
from serving.ledger import Ledger
from serving.security.gate import Caller

TEXT = "{sender}: Hi {name}, enjoy 10% off for 30 days. Reply YES to accept. Reply STOP to opt out."


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Running]:
    with served_app.serve(tmp_path_factory.mktemp("variants"), bundle) as running:
        yield running


def offer_of(running: Running, discount: float) -> str:
    offers = running.app.state.engine.active.bundle.offers
    return next(name for name, offer in offers.items() if offer.discount == discount)


def propose(running: Running, text: str, role: str = "admin", **fields: Any) -> Any:
    with running.client(role) as client:
        variant = {"offer": offer_of(running, 0.1), "text": text, **fields}
        return client.post("/v1/variants", json={"variants": [variant]})


def decide(running: Running, variant_id: str, state: str, role: str = "admin") -> Any:
    with running.client(role) as client:
        return client.patch(f"/v1/variants/{variant_id}", json={"state": state})


def test_a_wording_is_proposed_read_and_approved(own: Running) -> None:
    answer = propose(own, TEXT)
    assert answer.status_code == 201, answer.text
    (made,) = answer.json()["variants"]
    assert (made["state"], made["author"], made["broken_rules"]) == ("proposed", "person", [])
    assert "text.phrase" in made["warnings"]
    assert made["examples"][0].startswith("Northwind: Hi Alexandra, enjoy 10% off")
    assert made["lift"] is None
    approved = decide(own, made["variant_id"], "approved").json()
    assert approved["state"] == "approved"
    assert approved["decided_by"]
    with own.client("report") as client:
        listed = client.get("/v1/variants").json()["variants"]
    assert approved in listed
    with own.ledger.read() as reader:
        assert {"proposed", "approved"} <= {each.value for each in reader.changes(10)}


def test_a_wording_is_judged_once_and_what_is_approved_for_a_kind_is_found_once(
    own: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[str] = []
    kinds: list[object] = []
    judge, phrasebook = variants.words.judge, variants.words.phrasebook
    monkeypatch.setattr(variants.words, "judge", lambda each, *rest: judged.append(each.text) or judge(each, *rest))
    monkeypatch.setattr(variants.words, "phrasebook", lambda *given: kinds.append(given) or phrasebook(*given))
    texts = [TEXT.replace("Hi", greeting) for greeting in ("Hello", "Dear", "Good day")]
    rows = [{"offer": offer_of(own, 0.1), "text": text, "tone": "formal"} for text in texts]
    with own.client() as client:
        assert client.post("/v1/variants", json={"variants": rows}).status_code == 201
        listed = client.get("/v1/variants").json()["variants"]
        assert set(texts) <= {each["text"] for each in listed}
        assert client.get("/v1/variants").json()["variants"] == listed
        assert client.patch(f"/v1/variants/{listed[-1]['variant_id']}", json={"state": "refused"}).status_code == 200
    assert sorted(judged) == sorted(set(judged))
    assert set(texts) <= set(judged)
    assert len(kinds) <= 2  # that of these, and that of the test before


@pytest.mark.parametrize("path", ["/v1/variants", "/v1/campaigns/default/lift"])
def test_more_long_answers_than_can_wait_are_refused_and_delay_nothing(
    own: Running, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_work, "MOST_WAITING", 0)
    with own.client() as client:
        refused = client.get(path)
        assert (refused.status_code, refused.json()["type"][-10:]) == (503, "overloaded")
        assert refused.headers["retry-after"]
        assert client.get("/v1/campaigns/default").status_code == 200
        assert client.get("/v1/campaigns/misspelt/lift").status_code == 404


def test_wordings_are_listed_while_a_what_if_is_under_way(own: Running) -> None:
    go, side = threading.Event(), own.app.state.side_work
    what_if = threading.Thread(target=lambda: asyncio.run(side.run(Caller("a", "report", "a"), lambda _: go.wait())))
    what_if.start()
    try:
        with own.client("report") as client:
            assert client.get("/v1/variants").status_code == 200
    finally:
        go.set()
        what_if.join()


def overloaded_from_the_first_verdict_on(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = variants.words.judge

    def judged_last(*given: Any) -> Any:
        monkeypatch.setattr(side_work, "MOST_WAITING", 0)
        return judge(*given)

    monkeypatch.setattr(variants.words, "judge", judged_last)


def test_what_was_written_is_answered_though_nothing_more_can_wait(
    own: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        overloaded_from_the_first_verdict_on(patch)
        answer = propose(own, TEXT.replace("enjoy", "first enjoy"))
        assert answer.status_code == 201, answer.text
        assert answer.json()["variants"][0]["examples"]
    waiting = Variant(Kind(offer_of(own, 0.1), "sms", "warm"), TEXT.replace("enjoy", "then enjoy"))
    with own.ledger.transaction() as tx:
        tx.propose_variants([waiting], "rules", "test")
    overloaded_from_the_first_verdict_on(monkeypatch)
    approved = decide(own, waiting.id, "approved")
    assert (approved.status_code, approved.json()["state"]) == (200, "approved")


def test_when_nothing_can_wait_a_wording_can_be_retired_and_what_is_refused_writes_nothing(
    own: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made,) = propose(own, TEXT.replace("enjoy", "soon enjoy")).json()["variants"]
    monkeypatch.setattr(side_work, "MOST_WAITING", 0)
    assert decide(own, made["variant_id"], "approved").status_code == 503
    assert states_of(own)[made["variant_id"]] == "proposed"
    before = states_of(own)
    assert propose(own, TEXT.replace("enjoy", "never enjoy")).status_code == 503
    assert states_of(own) == before
    for state in ("retired", "refused"):
        answer = decide(own, made["variant_id"], state)
        assert (answer.status_code, answer.json()["state"]) == (200, state)


@pytest.mark.parametrize(
    ("text", "fields", "field"),
    [
        (TEXT.replace("10%", "20%"), {}, "variants[0].text"),
        (TEXT.replace("{name}", "{first_name}"), {}, "variants[0].text"),
        ("", {}, "variants[0].text"),
        (TEXT, {"offer": "mystery"}, "variants[0].offer"),
        (TEXT, {"channel": "pigeon"}, "variants[0].channel"),
    ],
)
def test_what_cannot_be_sent_cannot_be_proposed(own: Running, text: str, fields: Any, field: str) -> None:
    answer = propose(own, text, **fields)
    assert answer.status_code == 422
    for fault in answer.json()["errors"]:  # of a text one for each rule it breaks
        assert fault["field"].replace(".0.", "[0].") == field
        assert fault["allowed"]


def test_who_may_only_look_changes_nothing(own: Running) -> None:
    assert propose(own, TEXT, role="report").status_code == 403
    assert decide(own, "0" * 16, "approved", role="decide").status_code == 403


def test_an_unknown_wording_is_not_found_and_what_the_shield_refuses_today_cannot_be_approved(own: Running) -> None:
    assert decide(own, "0" * 16, "approved").status_code == 404
    wrong = Variant(Kind(offer_of(own, 0.1), "sms", "warm"), TEXT.replace("10%", "20%"))
    with own.ledger.transaction() as tx:
        tx.propose_variants([wrong], "older rules", "test")
    answer = decide(own, wrong.id, "approved")
    assert answer.status_code == 409
    assert "offer" in answer.text
    assert decide(own, wrong.id, "refused").json()["state"] == "refused"


def test_the_console_shows_edits_and_approves(own: Running) -> None:
    (made,) = propose(own, TEXT.replace("enjoy", "please enjoy")).json()["variants"]
    with own.client(None) as client:
        client.post("/console/sign-in", data={"key": own.keys["admin"]})
        page = client.get("/console/wordings").text
        assert "please enjoy 10% off" in page
        csrf = page.split('name="csrf" value="')[1].split('"')[0]
        form = {"csrf": csrf, "variant_id": made["variant_id"], "state": "approved"}
        assert client.post("/console/wordings/decide", data=form).status_code == 303
        edited = {
            "csrf": csrf, "former": made["variant_id"], "offer": made["offer"], "channel": "sms", "tone": "warm",
            "text": TEXT.replace("enjoy", "do enjoy"),
        }  # fmt: skip
        assert client.post("/console/wordings", data=edited).status_code == 303
        page = client.get("/console/wordings").text
        assert "do enjoy 10% off" in page
        assert states_of(own)[made["variant_id"]] == "approved"  # it is sent until the other is approved
        wrong = client.post("/console/wordings", data=edited | {"text": "Get 90% off!"})
        assert wrong.status_code == 422
        for said in ("Get 90% off!</textarea>", "“90%”", "channel.opt_out", "Wordings</a>"):
            assert said in wrong.text
        new = next(each for each in own.ledger.ask(lambda view: view.variants()) if "do enjoy" in each.variant.text)
        assert client.post("/console/wordings/decide", data=form | {"variant_id": new.variant.id}).status_code == 303
    assert states_of(own)[made["variant_id"]] == "retired"  # now the edited one takes its place


DOUBTED = TEXT.replace("enjoy", "your router threw a tantrum and the internet cried. Enjoy")
"""Nothing certain speaks against it: it only reads like texts that may not be sent."""


def test_what_is_refused_in_doubt_may_be_sent_when_two_people_stand_by_it(own: Running) -> None:
    refused = propose(own, DOUBTED).json()["errors"]
    assert [each["field"] for each in refused] == ["variants[0].text", "variants[0].despite"]
    despite = refused[-1]["allowed"].split(", ")
    certain = propose(own, DOUBTED.replace("10%", "20%"), despite=despite).json()["errors"]
    assert {each["field"] for each in certain} == {"variants[0].text"}
    (unknown,) = propose(own, DOUBTED, despite=["offer.percent"]).json()["errors"]
    assert unknown["field"] == "variants[0].despite[0]"
    assert "text.suspect" in unknown["allowed"]
    (made,) = propose(own, DOUBTED, despite=despite).json()["variants"]
    assert (made["despite"], made["broken_rules"], made["state"]) == (despite, [], "proposed")
    alone = decide(own, made["variant_id"], "approved")
    assert (alone.status_code, alone.json()["type"][-9:]) == (409, "takes-two")
    with own.ledger.transaction() as tx:
        _, second = tx.create_key("another", "admin")
    with served_app.plain(base_url=own.url, headers={"Authorization": f"Bearer {second}"}) as client:
        both = client.patch(f"/v1/variants/{made['variant_id']}", json={"state": "approved"})
    assert both.json()["state"] == "approved"
    bundle = own.app.state.engine.active.bundle
    (sent,) = [each.variant for each in own.ledger.ask(lambda view: view.variants()) if each.variant.despite]
    (brief, *_) = variants.words.examples(bundle.message, sent.kind, bundle.said_offer(sent.kind.offer))
    message = Templates(bundle).fill(sent.id, sent, brief)
    assert message is not None
    assert {each.rule for each in message.warnings} >= set(despite)
    assert Templates(bundle).fill("", replace(sent, despite=()), brief) is None


def test_the_console_offers_to_propose_what_is_refused_in_doubt(own: Running) -> None:
    text = DOUBTED.replace("tantrum", "party")
    draft = {"offer": offer_of(own, 0.1), "channel": "sms", "tone": "warm", "angle": "", "former": "", "text": text}
    with served_app.session(own, "admin") as client:
        form = draft | {"csrf": served_app.csrf(client)}
        page = client.post("/console/wordings", data=form).text
        rules = page.split('name="despite" value="')[1].split('"')[0]
        assert html.escape(text) in page
        assert client.post("/console/wordings", data=form | {"despite": rules}).status_code == 200  # followed
        page = client.get("/console/wordings").text
    (kept,) = [each.variant for each in own.ledger.ask(lambda view: view.variants()) if "party" in each.variant.text]
    assert kept.despite == tuple(rules.split(", "))
    shown = page.split(f'id="v-{kept.id}"')[1].split("</article>")[0]
    assert "somebody other than" in shown
    assert 'value="approved"' not in shown


def states_of(own: Running) -> dict[str, str]:
    return {each.variant.id: each.state for each in own.ledger.ask(lambda view: view.variants())}


def test_a_wording_that_nobody_has_approved_gives_way_to_its_edited_one_at_once(own: Running) -> None:
    (made,) = propose(own, TEXT.replace("enjoy", "kindly enjoy")).json()["variants"]
    with served_app.session(own, "admin") as client:
        edited = {"csrf": served_app.csrf(client), "former": made["variant_id"], "offer": made["offer"]}
        client.post("/console/wordings", data=edited | {"text": TEXT.replace("enjoy", "now enjoy")})
    assert states_of(own)[made["variant_id"]] == "refused"


def test_each_rule_a_text_breaks_is_said_in_a_sentence_and_warnings_too(own: Running) -> None:
    answer = propose(own, "{sender}: Hi {name}, enjoy 20% off for 30 days, the best offer ever!")
    assert answer.status_code == 422
    rules = [fault["allowed"].partition("passes ")[2].partition(": ") for fault in answer.json()["errors"]]
    assert {"offer.percent", "channel.opt_out"} <= {rule for rule, _, _ in rules}
    assert all(len(sentence.split()) > 3 for _, _, sentence in rules)
    (made,) = propose(own, TEXT.replace("enjoy", "by all means enjoy")).json()["variants"]
    assert set(made["warnings"]) == set(made["said"])
    with served_app.session(own, "report") as client:
        assert made["said"][made["warnings"][0]] in html.unescape(client.get("/console/wordings").text)


def test_examples_that_read_alike_are_shown_once(own: Running) -> None:
    (made,) = propose(own, TEXT.replace("Hi {name}, e", "E")).json()["variants"]
    assert len(set(made["examples"])) == len(made["examples"])


def test_the_command_line_proposes_wordings_for_each_reason_to_leave(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reasons are those that the company names; by the grammar or a model, each text says what the reason asks for."""
    bundle, database = bundles.make_writing(tmp_path / "bundle"), f"sqlite:///{tmp_path}/ledger.db"
    arguments = ["messages", "propose", "--bundle", str(bundle), "--database", database, "--by", "grammar"]
    assert main([*arguments, "--per-kind", "1"]) == 0
    with closing(Ledger.open(database, clock=time.time)) as ledger, ledger.read() as reader:
        found = [(each.variant, each.state) for each in reader.variants()]
    assert {state for _, state in found} == {"proposed"}
    assert {each.kind.angle for each, _ in found} == {"", "price", "unused"}
    assert all(grammar.speaks_to(each.kind.angle, each.text) for each, _ in found if each.kind.angle)
    for wrong, said in (("support", "sms"), ("price", "push")):
        assert main([*arguments, "--angle", wrong, "--channel", said]) != 0
        assert f"--angle is {wrong}; allowed for {said}" in capsys.readouterr().err


def test_in_spanish_the_grammar_proposes_and_the_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, database = bundles.make_writing(tmp_path / "bundle", "es"), f"sqlite:///{tmp_path}/ledger.db"
    arguments = ["messages", "propose", "--bundle", str(bundle), "--database", database, "--per-kind", "1"]
    assert main(arguments) == 0
    with closing(Ledger.open(database, clock=time.time)) as ledger, ledger.read() as reader:
        found = [each.variant for each in reader.variants()]
    assert {each.kind.angle for each in found} == {"", "price", "unused"}
    assert all("STOP para" in each.text for each in found)
    assert main([*arguments, "--by", "model"]) != 0
    assert "--by is model, which writes English, and messages.language es; allowed: grammar" in capsys.readouterr().err


def test_the_command_line_proposes_by_the_grammar_lists_and_decides(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = f"sqlite:///{tmp_path}/ledger.db"
    arguments = ["messages", "propose", "--bundle", str(bundle), "--database", database, "--by", "grammar"]
    assert main([*arguments, "--per-kind", "2"]) == 0
    first = capsys.readouterr().out
    assert " proposed; dropped: " in first
    ids = [line.split()[0] for line in first.splitlines() if line.startswith("  ")]
    assert len(ids) >= 6
    assert main(["messages", "approve", *ids[:2], "--database", database]) == 0
    assert main(["messages", "retire", ids[0], "--database", database]) == 0
    assert main(["messages", "list", "--database", database]) == 0
    listed = capsys.readouterr().out
    assert f"{ids[0]}  retired" in listed
    assert f"{ids[1]}  approved" in listed
    assert main(["messages", "list", "--database", database, "--markdown"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("## sms\n\n**")
    assert page.count("\n- ") == len(ids)
    assert main(["messages", "approve", "f" * 16, "--database", database]) != 0
    assert "f" * 16 in capsys.readouterr().err
