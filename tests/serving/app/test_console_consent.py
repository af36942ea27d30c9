"""What a page of the console says of a customer's consent."""

import pytest
import served_app
from served_app import FACTS, Running


@pytest.mark.parametrize(
    ("status", "words", "offers"),
    [
        ("unknown", "No consent for SMS is recorded", True),
        ("opted_out", "The customer opted out of SMS", True),
        ("denied", "The customer refused SMS", True),
        ("granted", "has not agreed", False),
    ],
)
def test_who_opted_out_is_not_called_somebody_of_whom_nothing_is_known(
    service: Running, status: str, words: str, *, offers: bool
) -> None:
    customer = f"console-{status}"
    with service.client("decide") as client, served_app.session(service, "admin") as console:
        made = client.post("/v1/decisions", json={"customer_id": customer, "facts": FACTS}).json()
        said = {"channel": "sms", "status": status, "source": "a call"}
        assert client.put(f"/v1/customers/{customer}/consent", json=said).status_code == 200
        page = console.get(f"/console/decide?decision={made['decision_id']}").text
    assert words in page
    assert ("Record consent" in page) is offers
    assert ("(source: a call)" in page) is (status in ("opted_out", "denied"))
