"""A company's money is in its own currency wherever it is shown: console, printed decision, card, report, files."""

import csv
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import bundles
import pytest
import run_folders
import served_app
from etils import epath
from served_app import Running

from experiments import companies
from retentionjax.bundle import cards, load, write
from retentionjax.decide.decision import decide
from retentionjax.decide.printing import show
from retentionjax.decide.program import Decider
from retentionjax.evaluation.report import page, playing, run_folder
from retentionjax.shield.rules import DEFAULT

PAGES = ("", "/effect", "/decide", "/wordings", "/bundles", "/safety")


@pytest.fixture(scope="module", params=[pytest.param("EUR", marks=pytest.mark.slow), "JPY"])
def currency(request: pytest.FixtureRequest) -> str:
    code: str = request.param
    return code


@pytest.fixture(scope="module")
def sign(currency: str) -> str:
    return {"EUR": "€", "JPY": "¥"}[currency]


@pytest.fixture(scope="module")
def made(currency: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(currency) / "bundle"
    company = dataclasses.replace(bundles.COMPANY, currency=currency)
    eager = bundles.contents(bundles.trained(wait_bias=-6.0))
    checked = dataclasses.replace(eager, company=company, rules=epath.Path(DEFAULT))
    write(folder, checked)
    return folder


@pytest.fixture(scope="module")
def served(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served_app.serve(tmp_path_factory.mktemp("served"), made) as running:
        yield running


def assert_speaks(text: str, sign: str) -> None:
    """Amounts have the currency's sign; yen have no decimals; there is no dollar."""
    assert "$" not in text
    assert "dollar" not in text.lower()
    assert sign in text
    assert not re.search(r"¥[\d,]+\.\d", text)


def test_a_printed_decision_and_the_card(made: Path, sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = load(made)
    spent = {**bundles.CUSTOMER, "history": {"day": 5, "account_used": 25.0}}
    show(decide(Decider(bundle), spent))
    printed = capsys.readouterr().out
    assert "(account cap)" in printed
    assert_speaks(printed, sign)
    card = cards.card(bundle.manifest)
    assert f"Money is in {bundle.company.currency}." in card
    assert "$" not in card


def test_a_report(currency: str, sign: str, tmp_path: Path) -> None:
    folder = run_folders.make(tmp_path / "run")
    company = folder / "data/artifacts" / companies.FILE
    company.write_text(json.dumps({**json.loads(company.read_text()), "currency": currency}))
    run = run_folder.read(folder)
    assert_speaks(page.render(page.compose(run, playing.played(run))), sign)


def test_pages_of_the_console(served: Running, sign: str) -> None:
    with served.client("decide") as caller:
        for number in range(8):
            name = f"C-{number}"
            caller.put(f"/v1/customers/{name}/consent", json={"channel": "sms", "status": "granted"})
            asked = {"customer_id": name, "facts": served_app.FACTS, "explain": True}
            decision = caller.post("/v1/decisions", json=asked).json()
            if decision["decision"] == "contact":
                break
    with served_app.session(served, "admin") as client:
        texts = {place: client.get(f"/console{place}").text for place in PAGES}
        shown = client.get(f"/console/decide?decision={decision['decision_id']}").text
        form = {"csrf": served_app.csrf(client), **{f"fact.{name}": value for name, value in served_app.FACTS.items()}}
        tried = client.post("/console/decide", data={**form, "customer_id": "C-99", "how": "try"}).text
        what_if = client.post("/console/simulate", data={**form, "customer_id": "C-99"}).text
    assert_speaks(texts[""], sign)
    for text in (shown, tried, what_if):
        assert_speaks(text, sign)
    assert not [place for place, text in texts.items() if "$" in text]


def test_columns_of_what_a_ledger_writes(served: Running, tmp_path: Path) -> None:
    served.ledger.export_company(tmp_path, "default", ("customers", "contacts", "departures"))
    for name in ("customers", "contacts", "departures"):
        with open(tmp_path / f"{name}.csv", encoding="utf-8", newline="") as file:
            header = next(csv.reader(file))
        assert not [column for column in header if "$" in column or "dollar" in column or "usd" in column.lower()]
