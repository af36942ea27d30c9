"""The console in a browser: signed in, a decision with its reasons, what if, the money, the kill switch; and without
JavaScript. Skipped, by name, where Debian's Chromium is absent."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import served_app
from served_app import Running

from serving.ledger.types import Campaign

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PICTURE = "RETENTIONJAX_CONSOLE_PICTURE"
"""Names a file: the decision page's picture is written there."""
LONG = "A" * 100
"""A campaign whose name has no place to break."""
browser_only = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is absent: apt-get install chromium")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("console")
    with served_app.serve(folder, bundle, console_examples=str(served_app.example(folder))) as running:
        with running.ledger.transaction() as tx:
            for customer in ("C-7", *(f"C-{number}" for number in range(100, 160))):
                tx.set_consent(customer, "sms", "granted", source="test")
        yield running


customers = itertools.count(100)


def signed_in(chromium: Any, own: Running, role: str = "admin", **options: Any) -> Any:
    page = chromium.new_context(**options).new_page()
    page.set_default_timeout(120_000)  # a guard on a busy machine, not a bar
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: message.type == "error" and page.faults.append(message.text))
    page.goto(own.url + "/console")
    assert page.url.endswith("/console/sign-in")
    page.fill("#key", own.keys[role])
    page.click("button")
    page.wait_for_url(lambda url: "sign-in" not in url)
    return page


def decide(page: Any, own: Running, button: str = "decide") -> None:
    """Fills the example in and decides about somebody whom nobody has asked about."""
    page.goto(own.url + "/console/decide?example=somebody")
    page.fill("[name=customer_id]", f"C-{next(customers)}")
    page.click(f"button[value={button}]")
    page.wait_for_selector("#verdict", state="attached")


@browser_only
def test_a_decision_comes_with_its_message_and_its_reasons(chromium: Any, own: Running) -> None:
    page = signed_in(chromium, own)
    for _ in range(20):
        decide(page, own)
        if page.locator(".verdict.contact").count():
            break
    assert "Contact" in page.inner_text(".verdict")
    assert "passed the shield" in page.inner_text("#result")
    assert "STOP to opt out" in page.inner_text(".bubble")
    page.click("text=All 13 actions")
    assert page.locator("article table tr.chosen").count() == 1
    page.wait_for_url("**/console/decide?decision=*")
    shown = page.inner_text(".verdict")
    page.reload()
    assert page.inner_text(".verdict") == shown  # it is recorded, and shown again from the ledger
    assert page.faults == []


@browser_only
def test_trying_writes_nothing(chromium: Any, own: Running) -> None:
    page = signed_in(chromium, own)
    with own.ledger.read() as view:
        before = len(view.recent(1000))
    decide(page, own, "try")
    assert "trial only, nothing recorded" in page.inner_text(".tags")
    with own.ledger.read() as view:
        assert len(view.recent(1000)) == before


@browser_only
@pytest.mark.parametrize(
    ("scheme", "width", "height"),
    [
        ("light", 1280, 900),
        ("dark", 390, 844),
        pytest.param("dark", 1280, 900, marks=pytest.mark.slow),
        pytest.param("light", 390, 844, marks=pytest.mark.slow),
    ],
)
def test_sliders_simulate_and_nothing_overflows(
    chromium: Any, own: Running, width: int, height: int, scheme: str
) -> None:
    page = signed_in(chromium, own, viewport={"width": width, "height": height}, color_scheme=scheme)
    decide(page, own, "try")
    slider = page.locator("input[type=range][name='fact.bill']")
    slider.evaluate("each => { each.value = 120; each.dispatchEvent(new Event('input', {bubbles: true})) }")
    page.wait_for_selector("#simulated table")
    assert "at $120.00 a month" in page.inner_text("#simulated")
    assert slider.locator("xpath=..").locator("output").inner_text() == "120"
    with own.ledger.transaction() as tx:
        tx.put_campaign(Campaign(LONG, 10**9, own.clock(), 90, 50))
    for place in (None, f"?id={LONG}", "/effect", "/bundles", "/safety", "/customers?customer=C-7", "/wordings"):
        if place is not None:
            page.goto(own.url + "/console" + place)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRASTS) == []
        assert page.evaluate(UNLABELLED) == []
        assert page.evaluate(SMALLEST) > 8, place  # pixels of a picture's letters
    assert page.faults == []
    if os.environ.get(PICTURE) and (width, scheme) == (1280, "light"):
        picture(page, own)


# Texts whose contrast with what is behind them is below WCAG AA (4.5, or 3 for large ones).
CONTRASTS = """() => {
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const channel = value => (value /= 255) <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const ground = element => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('main *, header *, footer *')].filter(each =>
    [...each.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()) && each.offsetParent
    && !each.closest('.unseen, svg, option, noscript')
  ).flatMap(each => {
    const style = getComputedStyle(each), size = parseFloat(style.fontSize), bold = parseInt(style.fontWeight) >= 700;
    const [one, other] = [luminance(parse(style.color)), luminance(ground(each))].sort((a, b) => b - a);
    const contrast = (one + .05) / (other + .05), wanted = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
    return contrast < wanted ? [`${each.textContent.trim().slice(0, 40)}: ${contrast.toFixed(2)}`] : [];
  });
}"""
# Height of the smallest letters of a picture on the page; 99 where there is none.
SMALLEST = """() => Math.min(99, ...[...document.querySelectorAll('.chart text')].map(
  each => parseFloat(getComputedStyle(each).fontSize) * each.getCTM().a))"""
# Fields that nothing names.
UNLABELLED = """() => [...document.querySelectorAll('input:not([type=hidden]), select, textarea')]
  .filter(each => !each.labels.length && !each.getAttribute('aria-label')).map(each => each.name)"""


@browser_only
def test_it_works_without_javascript(chromium: Any, own: Running) -> None:
    page = signed_in(chromium, own, java_script_enabled=False)
    decide(page, own)
    assert "decision=" in page.url
    page.click("noscript button")
    assert page.inner_text("h1") == "What if"
    page.goto(own.url + "/console/safety")
    page.check("input[value=never]")
    page.click("button:text-is('Set')")
    assert "Nobody is contacted" in page.inner_text("[role=status]")
    page.goto(own.url + "/console/decide?example=somebody")
    page.click("button[value=try]")
    assert "kill switch" in page.inner_text("#result")
    page.goto(own.url + "/console/safety")
    page.check("input[value=policy]")
    page.click("button:text-is('Set')")


@browser_only
def test_a_customer_may_be_pasted(chromium: Any, own: Running) -> None:
    page = signed_in(chromium, own, "decide")
    page.goto(own.url + "/console/decide")
    page.click("text=Paste a customer")
    page.fill("[name=paste]", (Path(own.app.state.settings.console_examples) / "somebody.json").read_text())
    page.click("button[value=try]")
    page.wait_for_selector("#verdict", state="attached")
    assert "C-7" in page.inner_text(".verdict")
    page.fill("[name=paste]", '{"customer_id": "C-7", "months": "many"}')
    page.click("button[value=try]")
    page.wait_for_selector("#result [role=alert]")
    assert "facts.months" in page.inner_text("#result")


# --- without a browser ----------------------------------------------------------------------------------------


def test_a_wrong_key_starts_no_session(own: Running) -> None:
    with own.client(None) as client:
        answer = client.post("/console/sign-in", data={"key": own.keys["admin"][:-1] + "!"})
        assert (answer.status_code, answer.cookies) == (401, httpx.Cookies())
        assert own.keys["admin"][:-1] not in answer.text
        assert client.get("/console").headers["location"] == "/console/sign-in"


def test_the_cookie_is_for_the_console_only_and_holds_no_key(own: Running) -> None:
    with own.client(None) as client:
        cookie = client.post("/console/sign-in", data={"key": own.keys["admin"]}).headers["set-cookie"]
    assert {"HttpOnly", "Path=/console", "SameSite=strict"} <= set(cookie.split("; "))
    assert own.keys["admin"].split("_", 2)[2] not in cookie  # a secret may hold the sign itself


@pytest.mark.parametrize("change", ["csrf", "origin", "site"])
def test_a_form_of_another_site_changes_nothing(own: Running, change: str) -> None:
    with served_app.session(own, "admin") as client:
        fields = {"csrf": "forged" if change == "csrf" else served_app.csrf(client), "mode": "never"}
        headers = {"origin": {"Origin": "https://evil.example"}, "site": {"Sec-Fetch-Site": "cross-site"}}.get(
            change, {}
        )
        assert client.post("/console/safety", data=fields, headers=headers).status_code == 403
    with own.ledger.read() as view:
        assert view.kill_switch() == "policy"


@pytest.mark.parametrize("header", ["Origin", "Referer"])
def test_a_header_that_is_no_address_is_no_defect(own: Running, header: str) -> None:
    wrong = {header: "http://[::1"}
    with served_app.session(own, "admin") as client:
        refused = client.post("/console/safety", data={"csrf": served_app.csrf(client), "mode": "x"}, headers=wrong)
        assert refused.status_code == {"Origin": 403, "Referer": 422}[header]
        assert client.get("/console/nowhere", headers=wrong).status_code == 404


def test_a_form_s_word_of_another_form_is_refused_by_both_databases(own: Running) -> None:
    with served_app.session(own, "admin") as client:
        fields = {"csrf": served_app.csrf(client), "once": "x" * 3000, "customer_id": "C-7"}
        refused = client.post("/console/decide", data=fields)
    assert (refused.status_code, "a UUID in lower case" in refused.text) == (422, True)


def test_a_file_whose_name_none_can_have_is_not_found(own: Running) -> None:
    with own.client(None) as client:
        for name in ("a%00b", "x" * 4000, "%2e%2e/frame.py"):
            assert client.get(f"/console/static/{name}").status_code == 404


def test_a_campaign_with_a_plus_in_its_name_is_shown_after_it_is_saved(own: Running) -> None:
    with served_app.session(own, "admin") as client:
        fields = {"make": "yes", "campaign_id": "a+b", "budget": "100", "customers": "10", "holdout": "5"}
        shown = client.post("/console/campaigns", data={"csrf": served_app.csrf(client), **fields})
        assert (shown.status_code, "Saved." in shown.text) == (200, True)


def test_a_forged_or_foreign_cookie_is_no_session(own: Running) -> None:
    with served_app.session(own, "report") as client:
        name, value = next((each.name, each.value or "") for each in client.cookies.jar)
        with own.ledger.read() as view:
            admin = next(each.key_id for each in view.api_keys() if each.role == "admin")
        forged = ".".join([admin, *value.split(".")[1:]])
        for wrong in (forged, value[:-2], "", "a.b.c.d", "."):
            answer = httpx.get(own.url + "/console/safety", cookies={name: wrong}, verify=False)
            assert (answer.status_code, answer.headers.get("location")) == (303, "/console/sign-in")


def test_what_a_role_may_not_do_is_refused_here_too(own: Running) -> None:
    with served_app.session(own, "report") as client:
        token = served_app.csrf(client)
        assert client.post("/console/safety", data={"csrf": token, "mode": "never"}).status_code == 403
        assert client.post("/console/decide", data={"csrf": token, "customer_id": "C-7"}).status_code == 403
        assert "Customers expected" in client.get("/console").text
    with served_app.session(own, "decide") as client:
        begins = client.get("/console")  # which is the campaign's page, not for this role
        assert (begins.status_code, begins.url.path) == (200, "/console/decide")
        assert client.get("/console/safety").status_code == 403


def test_what_is_typed_is_shown_as_text(own: Running) -> None:
    with served_app.session(own, "admin") as client:
        fields = {"csrf": served_app.csrf(client), "customer_id": "<script>alert(1)</script>", "how": "try"}
        answer = client.post("/console/decide", data=fields)
        assert answer.status_code == 422
        assert "<script>alert" not in answer.text
        done = client.get("/console", params={"done": "<img src=x onerror=alert(1)>"})
        assert "<img" not in done.text


def test_consent_is_recorded_from_the_page_with_who_said_so(own: Running) -> None:
    with served_app.session(own, "admin") as client:
        client.post("/console/consent", data={"csrf": served_app.csrf(client), "customer_id": "C-9", "channel": "sms"})
    with own.ledger.read() as view:
        (found,) = view.consent("C-9")
    assert (found.status, found.source) == ("granted", "console, by test admin")


def test_a_session_that_was_signed_out_of_is_over(own: Running) -> None:
    with served_app.session(own, "admin") as client:
        cookie = dict(client.cookies)
        assert client.post("/console/sign-out", data={"csrf": served_app.csrf(client)}).url.path == "/console/sign-in"
    answer = httpx.get(own.url + "/console", cookies=cookie, verify=False)
    assert (answer.status_code, answer.headers.get("location")) == (303, "/console/sign-in")


def test_the_form_s_share_is_a_canary_s_alone(own: Running, bundle: Path) -> None:
    """The field stands beside every slot, with 10 in it."""
    with served_app.session(own, "admin") as client:
        fields = {"csrf": served_app.csrf(client), "path": str(bundle), "percent": "10"}
        for slot in ("active", "shadow"):
            assert client.post("/console/bundles", data={**fields, "slot": slot}).status_code == 200
        assert client.post("/console/bundles", data={**fields, "slot": "shadow", "path": ""}).status_code == 200


def test_who_changed_what_is_shown_with_the_keys(own: Running, bundle: Path) -> None:
    with served_app.session(own, "admin") as client:
        token = served_app.csrf(client)
        client.post("/console/safety", data={"csrf": token, "mode": "baseline"})
        client.post("/console/safety", data={"csrf": token, "mode": "policy"})
        campaign = {"csrf": token, "campaign_id": "spring", "budget": "12.50", "customers": "1000"}
        assert client.post("/console/campaigns", data=campaign).url.path == "/console"
    with own.client("admin") as client:
        client.post("/v1/bundles:activate", json={"slot": "shadow", "path": str(bundle)})
        client.put("/v1/admin/kill-switch", json={"mode": "policy"})
        client.post("/v1/bundles:activate", json={"slot": "shadow", "path": None})
    with own.ledger.read() as view:
        changes = view.changes(6)
    assert {each.who.partition(" (")[0] for each in changes} == {"test admin"}
    assert [(each.what, each.value) for each in reversed(changes)] == [
        ("kill switch", "baseline"),
        ("kill switch", "policy"),
        ("campaign spring", "$12.50, 1,000 customers, 90 days, 5.0% held out"),
        ("shadow bundle", str(bundle)),
        ("kill switch", "policy"),
        ("shadow bundle", "none"),
    ]
    with served_app.session(own, "report") as client:
        page = client.get("/console/safety").text
    for text in ("test admin", "test decide", "campaign spring", "$12.50, 1,000 customers"):
        assert text in page


def test_when_a_message_goes_out_is_said_by_the_customers_clock(own: Running) -> None:
    with served_app.session(own, "admin") as client, own.client("decide") as caller:
        for number in range(30):
            name = f"C-9{number:02}"
            said = {"channel": "sms", "status": "granted", "time_zone": "America/Chicago"}
            caller.put(f"/v1/customers/{name}/consent", json=said)
            made = caller.post("/v1/decisions", json={"customer_id": name, "facts": served_app.FACTS}).json()
            if made["decision"] == "contact" and made["delay_days"] == 0:
                break
        page = client.get(f"/console/decide?decision={made['decision_id']}").text
    assert made["send_at"].endswith("T19:30:00.000Z")
    assert "1 Jun 2026, 14:30 in America/Chicago" in page


def test_the_campaigns_page_shows_what_came_of_its_contacts(own: Running) -> None:
    with own.client("decide") as caller:
        made = []
        for number in range(40):
            name = f"C-8{number:02}"
            caller.put(f"/v1/customers/{name}/consent", json={"channel": "sms", "status": "granted"})
            made.append(caller.post("/v1/decisions", json={"customer_id": name, "facts": served_app.FACTS}).json())
        contacts = [each["decision_id"] for each in made if each["decision"] == "contact"][:3]
        kinds = ("accepted", "declined", "accepted")
        outcomes = [{"decision_id": each, "kind": kind} for each, kind in zip(contacts, kinds, strict=True)]
        caller.post("/v1/outcomes", json={"outcomes": outcomes})
    with served_app.session(own, "report") as client:
        assert "2 accepted, 1 declined" in client.get("/console?id=default").text
    with own.client("report") as caller:
        days = caller.get("/v1/campaigns/default").json()["days"]
    assert (sum(each["accepted"] for each in days), sum(each["declined"] for each in days)) == (2, 1)


def picture(page: Any, own: Running) -> None:
    """Writes the decision page as README shows it."""
    page.goto(own.url + "/console?id=default")
    decide(page, own, "try")
    page.screenshot(path=os.environ[PICTURE])
