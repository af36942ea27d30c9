"""What a campaign changed, over HTTP and in the console: a hold-out, decided about and reported by the API."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import served_app
from served_app import FACTS, Running

from serving.fields import iso
from serving.ledger.types import DAY

NAMES = [f"E-{number}" for number in range(80)]
DAYS = 20


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Running]:
    """Everybody decided about once; of those held out half left, of the others nobody."""
    with served_app.serve(tmp_path_factory.mktemp("effect"), bundle) as running, running.client("admin") as client:
        start = running.clock()
        body = {"budget_micros": 10**9, "customers_expected": 80, "holdout": 0.6, "salt": "s", "starts_at": iso(start)}
        assert client.put("/v1/campaigns/proof", json=body).status_code == 200
        for name in NAMES:
            asked = {"customer_id": name, "campaign_id": "proof", "facts": FACTS}
            assert client.post("/v1/decisions", json=asked).status_code == 200
        with running.ledger.read() as view:
            arms = {row.customer_id: row.arm for row in view.campaign_record("proof").customers}
        running.clock.at = start + (DAYS + 0.5) * DAY
        held = [name for name in NAMES if arms[name] == "holdout"]
        gone = held[: len(held) // 2]
        outcomes = [
            {"customer_id": name, "kind": "churned", "at": iso(start + (1 + place % 15) * DAY)}
            if name in gone
            else {"customer_id": name, "kind": "kept"}
            for place, name in enumerate(NAMES)
        ]
        assert client.post("/v1/outcomes", json={"outcomes": outcomes}).status_code == 200
        yield running


def test_the_answer_comes_first_and_every_figure_has_its_sides(campaign: Running) -> None:
    with campaign.client("report") as client:
        found = client.get("/v1/campaigns/proof/lift").json()
        assert client.get("/v1/campaigns/nowhere/lift").status_code == 404
    assert found["answer"].startswith("It is too early to say what would have happened without the campaign. By ")
    assert ", 0 of the campaign's customers and " in found["answer"]
    assert found["left"]["campaign"] == 0
    assert found["customers"]["campaign"] + found["customers"]["held_out"] == len(NAMES)
    assert found["kept"]["mean"] == pytest.approx(found["left"]["held_out"] / found["customers"]["held_out"], abs=0.05)
    assert found["kept"]["low"] is None
    assert found["drawn"]["is_sound"]
    assert [week["day"] for week in found["weeks"]] == [7, 14, 20]
    assert found["believed_kept"] is not None


def test_the_page_says_it_in_words_and_draws_it(campaign: Running) -> None:
    with httpx.Client(base_url=campaign.url, follow_redirects=True, timeout=60, verify=False) as client:
        client.post("/console/sign-in", data={"key": campaign.keys["report"]}, headers={"origin": campaign.url})
        page = client.get("/console/effect?id=proof").text
        first = client.get("/console/effect").text
    assert "It is too early to say what would have happened without the campaign" in page
    assert page.count("<polyline") == 2
    assert "shade" not in page  # there is none before there is an interval
    figures = page.partition("In figures")[2].partition("</dl>")[0]
    for name in ("Customers kept by it, adjusted", "Kept of every 100, adjusted", "Money it brought, adjusted"):
        assert figures.partition(name)[2].partition("<dd>")[2].lstrip().startswith('<span class="muted">not known yet')
    assert "What this is based on" in page
    assert "Chance alone decided who is held out" in page
    assert "/console/effect?id=default" in first
    for letter in "κλρσα":
        assert letter not in page
