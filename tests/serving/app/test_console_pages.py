"""What the console's pages say and refuse, without a browser: menus by role, forms and their refusals, customers looked
up, reasons to wait."""

import datetime as dt
import html
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import served_app
from served_app import FACTS, Running

from retentionjax.decide.draws import Pilot
from serving.console.deciding import unusual, waiting
from serving.console.frame import DONE, TABS, sending
from serving.domain.decisions.schemas import ExplanationOut
from serving.engine.contract import Decision
from serving.fields import iso
from serving.ledger.types import Campaign


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("pages")
    with served_app.serve(folder, bundle, console_examples=str(served_app.example(folder))) as running:
        with running.ledger.transaction() as tx:
            for number in range(40):
                tx.set_consent(f"P-{number}", "sms", "granted", source="test")
        yield running


def text(answer: httpx.Response) -> str:
    """What a page says, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def send(own: Running, path: str, role: str = "admin", **fields: str) -> httpx.Response:
    with served_app.session(own, role) as client:
        return client.post(f"/console/{path}", data={"csrf": served_app.csrf(client), **fields})


def decided(own: Running, customer: str, **more: Any) -> Any:
    with own.client("decide") as client:
        answer = client.post("/v1/decisions", json={"customer_id": customer, "facts": FACTS, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- menus, refusals, what was done ----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", served_app.ROLES)
def test_a_menu_has_the_pages_that_the_role_may_see_and_no_others(own: Running, role: str) -> None:
    with served_app.session(own, role) as client:
        shown = set(re.findall(r'<li><a href="(/console[^"?]*)"', client.get("/console").text.split("<main")[0]))
        assert shown == {address for address, _, roles in TABS if role in ("admin", *roles)}
        for address in shown:
            answer = client.get(address)
            assert (answer.status_code, answer.url.path) == (200, address)


def test_who_may_only_read_is_shown_a_decision_and_no_form_to_decide(own: Running) -> None:
    made = decided(own, "P-1")
    with served_app.session(own, "report") as client:
        assert client.get("/console/decide").url.path == "/console/customers"
        page = client.get(f"/console/decide?decision={made['decision_id']}")
    assert "P-1" in text(page)
    assert 'id="customer"' not in page.text


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("campaigns", {"campaign_id": "Spring sale 2027"}),
        ("campaigns", {"campaign_id": "default", "budget": "x"}),
        ("wordings/decide", {"variant_id": "0" * 16, "state": "approved"}),
        ("bundles", {"slot": "none"}),
        ("safety", {"mode": "none"}),
        ("decide", {"customer_id": "P-2", "how": "try"}),
    ],
)
def test_a_refused_form_keeps_the_menu_and_leads_back(own: Running, path: str, fields: dict[str, str]) -> None:
    with served_app.session(own, "admin") as client:
        form = f"{own.url}/console/{path.partition('/')[0]}?some=thing"
        data = {"csrf": served_app.csrf(client), **fields}
        answer = client.post(f"/console/{path}", data=data, headers={"referer": form})
        assert answer.status_code in (404, 422)
        assert "Bundles</a>" in answer.text
        assert f'href="{form.removeprefix(own.url)}">Back</a>' in answer.text
        foreign = client.post(f"/console/{path}", data=data, headers={"referer": "https://evil.example/console/x"})
    assert 'href="/console">Back</a>' in foreign.text


@pytest.mark.parametrize(("path", "status"), [("campaigns", 405), ("consent", 405), ("nothing", 404)])
def test_an_address_without_a_page_is_answered_with_one(own: Running, path: str, status: int) -> None:
    answer = httpx.get(f"{own.url}/console/{path}", verify=False)
    assert (answer.status_code, "allow" in answer.headers) == (status, status == 405)
    assert answer.headers["content-type"] == "text/html; charset=utf-8" and 'href="/console"' in answer.text  # noqa: PT018


def test_a_page_says_only_what_it_knows_was_done(own: Running) -> None:
    with served_app.session(own, "admin") as client:
        assert "hacked" not in client.get("/console?done=Your+account+was+hacked").text
        assert DONE["saved"] in client.get("/console?done=saved").text


# --- campaigns -------------------------------------------------------------------------------------------------------


def test_a_refusal_speaks_of_the_pages_fields_and_money(own: Running) -> None:
    name = text(send(own, "campaigns", campaign_id="Spring sale 2027"))
    assert 'Name is "Spring sale 2027"; allowed: 1 to 128 letters' in name
    decided(own, "P-3")
    with own.client("admin") as client:
        used = client.get("/v1/campaigns/default").json()
    assert used["reserved_micros"] + used["spent_micros"] > 0
    small = text(send(own, "campaigns", campaign_id="default", budget="0.01", customers="64"))
    assert re.search(r'Budget is "\$0\.01"; allowed: \$[\d.,]+ or more', small)
    for field, label, value in (("customers", "Customers expected", "0"), ("holdout", "Held out, %", "91")):
        fields = {"campaign_id": "default", "budget": "5000", "customers": "64", field: value}
        assert f"{label} is {value}" in text(send(own, "campaigns", **fields))


def test_a_budget_many_times_as_large_for_each_customer_is_asked_about(own: Running) -> None:
    send(own, "campaigns", campaign_id="asked", budget="100", customers="50")
    fields = {"campaign_id": "asked", "budget": "1000000000", "customers": "50"}
    question = send(own, "campaigns", **fields)
    assert "$20,000,000.00 for each of 50 customers; it was $2.00" in text(question)
    assert "$100.00" in text(get(own, "/console?id=asked"))
    assert DONE["saved"] in text(send(own, "campaigns", **fields, sure="yes"))


def test_a_campaign_is_made_by_a_form_of_its_own_and_not_by_another_name(own: Running) -> None:
    fields = {"budget": "100", "customers": "50", "make": "yes"}
    assert "spring" in text(send(own, "campaigns", campaign_id="spring-2027", **fields))
    assert "already" in text(send(own, "campaigns", campaign_id="spring-2027", **fields))
    change = get(own, "/console?id=spring-2027").text.partition("<h2>Change")[2].partition("</form>")[0]
    assert '<input type="hidden" name="campaign_id" value="spring-2027">' in change


def test_a_campaign_ends_once_that_was_asked(own: Running) -> None:
    send(own, "campaigns", campaign_id="short", budget="100", customers="50")
    assert "until it is given more days" in text(send(own, "campaigns", campaign_id="short", end="yes"))
    assert DONE["ended"] in text(send(own, "campaigns", campaign_id="short", end="yes", sure="yes"))
    with own.client("report") as client:
        assert client.get("/v1/campaigns/short").json()["horizon_days"] == 1
    with own.ledger.read() as view:
        change = view.changes(1)[0]
    assert ("90 days" in change.was, "1 days" in change.value) == (True, True)


@pytest.mark.parametrize("begun", [True, False])
def test_ending_what_is_not_running_changes_nothing_and_says_so(own: Running, begun: bool) -> None:
    starts = own.clock.at + (-400 if begun else 5) * 86_400
    with own.client("admin") as client:
        terms = {"budget_micros": 10**8, "customers_expected": 50, "horizon_days": 30}
        path = f"/v1/campaigns/past-{begun}"
        before = client.put(
            path, json={**terms, "starts_at": dt.datetime.fromtimestamp(starts, dt.UTC).isoformat()}
        ).json()
        for sure in ({}, {"sure": "yes"}):
            assert DONE["not-running"] in text(send(own, "campaigns", campaign_id=f"past-{begun}", end="yes", **sure))
        assert client.get(path).json() == before


WHOLE, DIGITS = "a whole number", "a number in the digits 0 to 9"
REREAD = [("days", "30.9", WHOLE), ("customers", "1.7", WHOLE), ("holdout", "٣", DIGITS), ("budget", "1_000", DIGITS)]


@pytest.mark.parametrize(("field", "value", "allowed"), REREAD)
def test_a_number_that_would_be_read_as_another_is_refused(own: Running, field: str, value: str, allowed: str) -> None:
    answer = send(own, "campaigns", **{"campaign_id": "exact", "budget": "100", "customers": "50", field: value})
    assert answer.status_code == 422
    assert f" is {value}; allowed: {allowed}" in text(answer).replace('"', "")


def inputs(page: str) -> dict[str, str]:
    """The fields of the form that changes a campaign, as a browser sends them."""
    form = page.partition("<h2>Change")[2].partition("</form>")[0]
    return dict(re.findall(r'<input[^>]*?name="([^"]+)"[^>]*?value="([^"]*)"', form))


def test_a_field_that_nobody_changed_keeps_what_is_stored(own: Running) -> None:
    path, terms = "/v1/campaigns/thirds", {"budget_micros": 40_004_999, "customers_expected": 50, "holdout": 1 / 3}
    with own.client("admin") as client:
        before = client.put(path, json=terms).json()
        fields = inputs(get(own, "/console?id=thirds").text)
        del fields["csrf"]
        assert fields["budget"] == "40.004999"
        for left_out in ("never", "was."):  # a page that does not say what it showed is taken for a fresh one
            given = {name: value for name, value in fields.items() if not name.startswith(left_out)}
            assert DONE["saved"] in text(send(own, "campaigns", **given))
            assert client.get(path).json() == before
        client.put(path, json={**terms, "horizon_days": 7})
        assert DONE["drawn-anew"] in text(send(own, "campaigns", **{**fields, "holdout": "12.3456789"}))
        after = client.get(path).json()
        assert (after["horizon_days"], after["holdout"]["share"]) == (7, 0.123456789)  # an old page brings no days back
        assert after["budget_micros"] == before["budget_micros"]


def get(own: Running, path: str, role: str = "admin") -> httpx.Response:
    with served_app.session(own, role) as client:
        return client.get(path)


def test_the_campaign_looked_at_is_kept_from_page_to_page_and_marked(own: Running) -> None:
    send(own, "campaigns", campaign_id="lively", budget="100", customers="50", holdout="10")
    own.clock.at += 60
    decided(own, "P-4", campaign_id="lively")
    with served_app.session(own, "admin") as client:
        assert "Campaign lively" in text(client.get("/console"))  # the one decided about last
        assert "<option selected>default" in client.get("/console/decide").text  # which nobody chose
        page = client.get("/console?id=default").text
        assert re.search(r'aria-current="true">\s*default', page)
        assert "What the campaign default changed" in text(client.get("/console/effect"))
        assert "Campaign lively" in text(client.get("/console?id=lively"))
        assert "<option selected>lively" in client.get("/console/decide").text
        assert client.get("/console?id=unheard-of").status_code == 404
        assert "Campaign lively" in text(client.get("/console"))


def test_a_hold_out_that_has_drawn_nobody_is_not_called_none(own: Running) -> None:
    send(own, "campaigns", campaign_id="fresh", budget="100", customers="50", holdout="10")
    said = text(get(own, "/console/effect?id=fresh"))
    assert "the hold-out of 10.0% has no customers yet" in said


# --- deciding --------------------------------------------------------------------------------------------------------

PASTED = [
    "[1]", "1", '"x"', "null", "{", '{"recipient": [1]}', '{"history": "x"}', '{"months": 1e999}',
    '{"months": 1' + "0" * 40 + "}", '{"months": {"a": 1}}', '{"months": "\\ud800"}', '{"a": 1, "a": 2}',
    "[" * 5000, '{"history": {"baseline_churn_probability": "often"}}', '{"customer_id": {"a": 1}}',
]  # fmt: skip


@pytest.mark.parametrize("pasted", PASTED)
def test_what_is_pasted_and_is_no_customer_is_refused_by_name(own: Running, pasted: str) -> None:
    answer = send(own, "decide", paste=pasted, how="try")
    assert answer.status_code in (400, 422), text(answer)
    assert "<strong>" in answer.text


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "often"])
@pytest.mark.parametrize("field", ["history.day", "overrides.multiplier", "history.baseline_churn_probability"])
def test_a_slider_that_is_no_number_is_refused_by_name(own: Running, field: str, value: str) -> None:
    answer = send(own, "simulate", **{"customer_id": "P-5", field: value})
    assert answer.status_code == 422
    assert field in text(answer)


def test_the_usual_risk_of_a_file_or_of_the_form_counts_as_the_apis_does(own: Running) -> None:
    with own.client("decide") as client:
        asked = {"customer_id": "new", "facts": FACTS, "dry_run": True, "baseline_churn_probability": 0.0123}
        known = client.post("/v1/decisions", json=asked).json()["churn"]
    assert known["baseline"] == pytest.approx(0.0123, abs=1e-6)
    history = {"baseline_churn_probability": 0.0123, "contacts_days_ago": [3], "day": 0}
    pasted = json.dumps({"customer_id": "new", **FACTS, "history": history})
    page = text(send(own, "decide", paste=pasted, how="try"))
    assert "Usually 1.2 %" in page
    assert "Not used from the file's history: contacts days ago." in page
    facts = {f"fact.{name}": str(value) for name, value in FACTS.items()}
    typed = send(own, "decide", customer_id="new", usual_risk="1.23456789", how="try", **facts)
    assert "Usually 1.2 %" in text(typed)
    assert 'name="usual_risk" type="number" min="0" max="100" step="any"' in typed.text
    assert 'value="1.23456789"' in typed.text
    assert "Usual risk" in text(send(own, "decide", customer_id="new", usual_risk="100", how="try", **facts))


def test_recording_consent_keeps_the_form_and_is_among_the_changes(own: Running) -> None:
    facts = {f"fact.{name}": str(value) for name, value in {**FACTS, "bill": 70.123456789}.items()}
    tried = send(own, "decide", customer_id="new-1", first_name="Dana", how="try", **facts).text
    person = html.unescape(tried.partition('name="person" value="')[2].partition('"')[0])
    page = send(own, "consent", customer_id="new-1", channel="sms", person=person)
    assert "Consent of new-1 for SMS is recorded. Decide again." in text(page)
    for name in ('name="customer_id" maxlength="128" value="new-1"', 'value="Dana"', 'name="fact.bill"'):
        assert name in page.text
    assert 'value="70.123456789"' in page.text
    with own.ledger.read() as view:
        change = view.changes(1)[0]
    assert (change.what, change.was, change.value) == ("consent of new-1", "sms unknown", "sms granted")
    with own.ledger.transaction() as tx:
        tx.erase("new-1")
    with own.ledger.read() as view:
        assert "consent of new-1" not in [each.what for each in view.changes(100)]


def test_a_wait_says_why(own: Running) -> None:
    facts = {f"fact.{name}": str(value) for name, value in FACTS.items()}
    assert "Why wait: No contact is possible today: the customer has not agreed" in text(
        send(own, "decide", customer_id="nobody-asked", how="try", **facts)
    )
    made = decided(own, "P-6", explain=True, dry_run=True)
    why = msgspec.convert(made.pop("explanation"), ExplanationOut)
    decision = msgspec.convert(made | {"decision": "wait", "propensity": 0.25}, Decision)
    best = max(why.offers, key=lambda each: each.net)
    dear = [msgspec.structs.replace(each, net=-abs(each.net)) for each in why.offers]
    for offers, said in ((why.offers, "it would gain"), (dear, "it would lose"), ((), "and that was drawn.")):
        sentence = waiting(decision, msgspec.structs.replace(why, constraints=(), offers=tuple(offers)), "USD")
        assert "The policy waits here with a chance of 25.0 %" in sentence
        assert said in sentence
    assert best.words in waiting(decision, why, "USD")
    assert waiting(decision, None, "USD").endswith("has been deleted.")


def test_a_contact_is_now_only_when_it_is_sent_now() -> None:
    class Made:
        decided_at, delay_days = "2026-11-29T20:11:00.000Z", 0

        def __init__(self, send_at: str | None) -> None:
            self.send_at = send_at

    assert sending(Made("2026-11-29T20:11:02.000Z"), "") == "now"
    assert sending(Made("2026-11-29T22:30:00.000Z"), "") == "today at 22:30"
    assert sending(Made("2026-11-30T19:00:00.000Z"), "") == "on 30 Nov"
    assert sending(Made("2026-11-30T01:00:00.000Z"), "America/Chicago") == "today at 19:00"
    assert sending(Made(None), "") == "today"


def test_numbers_that_the_models_have_never_seen_are_warned_of_where_the_bundle_knows() -> None:
    from retentionjax import bundle as bundles
    from retentionjax import demo

    shipped = bundles.load(demo.BUNDLE)
    sane = json.loads(demo.REQUEST.read_text(encoding="utf-8"))["facts"]
    assert unusual(shipped, sane) == []
    found = unusual(shipped, {**sane, "tenure": -5, "age": 1234567.0})
    assert [each.partition(";")[0] for each in found] == ["tenure is -5", "age is 1234567"]
    assert "has only seen 0 to 72" in found[0]


# --- customers -------------------------------------------------------------------------------------------------------


def test_a_customer_is_found_with_her_decisions_and_what_came_of_them(own: Running) -> None:
    contact = next(made for number in range(6, 40) if (made := decided(own, f"P-{number}"))["decision"] == "contact")
    with own.client("decide") as client:
        client.post("/v1/outcomes", json={"outcomes": [{"decision_id": contact["decision_id"], "kind": "accepted"}]})
    page = get(own, f"/console/customers?customer={contact['customer_id']}", "report")
    assert f"/console/decide?decision={contact['decision_id']}" in page.text
    for said in ("accepted", "the policy decides", "Consent for SMS granted"):
        assert said in text(page)
    unknown = get(own, "/console/customers?customer=<b>nobody", "report")
    assert unknown.status_code == 404
    assert "holds nothing of a customer <b>nobody" in text(unknown) or "&lt;b&gt;nobody" in unknown.text
    assert get(own, "/console/customers", "decide").status_code == 403


# --- a campaign as files ---------------------------------------------------------------------------------------------


def test_a_campaign_is_downloaded_as_the_files_that_the_command_writes(own: Running, tmp_path: Path) -> None:
    for number in range(10, 16):
        decided(own, f"P-{number}")
    with served_app.session(own, "report") as client:
        (link,) = re.findall(r'href="(/console/export[^"]*)"', client.get("/console?id=default").text)
        answer = client.get(link)
        missing = client.get("/console/export?id=nothing")
    assert (answer.status_code, missing.status_code) == (200, 404)
    assert answer.headers["content-disposition"] == 'attachment; filename="default.zip"'
    own.ledger.export_company(tmp_path, "default", ["customers", "contacts", "departures"])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert b"P-10" in found["customers.csv"]
    with served_app.session(own, "decide") as client:
        assert client.get(link).status_code == 403


# --- what an older program let into the ledger -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["first", "last"])
def test_a_campaign_of_an_impossible_time_is_read_everywhere_and_mended_by_a_change(own: Running, name: str) -> None:
    slip = {"first": -62_135_640_000.0, "last": 253_402_344_000.0}[name]  # years 0 and 10000
    pilot = Pilot(0.2, (("none", 0.5), ("ten", 0.5)), slip, 0.2)
    with own.ledger.transaction() as tx:
        tx.put_campaign(Campaign(name, 10**9, slip, 90, 50, pilot=pilot))
        tx.set_consent(f"slip-{name}", "sms", "granted", source="test")
    body: dict[str, Any] = {"budget_micros": 10**9, "customers_expected": 50}
    with own.client("admin") as client, served_app.session(own, "admin") as console:
        for path in ("", "/lift"):
            assert client.get(f"/v1/campaigns/{name}{path}").status_code == 200
        assert name in {each["campaign_id"] for each in client.get("/v1/campaigns").json()["campaigns"]}
        assert "not a valid date" in text(console.get(f"/console?id={name}"))
        assert console.get(f"/console/effect?id={name}").status_code == 200
        begins, ends = iso(own.clock() - 86_400), iso(own.clock() + 30 * 86_400)
        plan = {"share": 0.2, "arms": {"none": 0.5, "ten": 0.5}, "ends_at": ends, "budget_share": 0.2}
        mended = client.put(f"/v1/campaigns/{name}", json={**body, "starts_at": begins, "pilot": plan})
        assert mended.status_code == 200, mended.text
        assert (mended.json()["state"], mended.json()["starts_at"]) == ("running", begins)
        assert f"until {ends[:10]}" in text(console.get(f"/console?id={name}"))
    assert decided(own, f"slip-{name}", campaign_id=name)["decision"] in ("wait", "contact")
