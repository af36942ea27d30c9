"""`retentionjax messages check`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from retentionjax import cli
from retentionjax.errors import ConfigError
from retentionjax.shield import OfferTerms
from retentionjax.shield.command import offer_of

APPROVED = (
    "Northwind: Hi Ana, thank you for being with us. Enjoy 10% off for 30 days. Reply YES to accept."
    " Reply STOP to opt out."
)
GOOD = "Northwind: Hi Ana, enjoy 10% off for 30 days. Reply YES to accept. Reply STOP to opt out."


def test_a_message_that_may_be_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["messages", "check", APPROVED, "--offer", "10%", "--name", "Ana"]) == 0
    assert capsys.readouterr().out == "may be sent (rules 4.7.0)\n"


def test_what_a_model_may_not_say_is_told_of_a_persons_text(capsys: pytest.CaptureFixture[str]) -> None:
    for by, status, severity in (("person", 0, "warn "), ("model", 1, "block")):
        assert cli.main(["messages", "check", GOOD, "--offer", "10%", "--name", "Ana", "--by", by]) == status
        told = capsys.readouterr().out
        assert f"{severity}  text.phrase          'Northwind: Hi Ana, enjoy 10% off for 30 days" in told
        assert "no approved text contains these words in a row: '{name} , enjoy 10% off for'" in told


def test_each_rule_that_is_broken_is_told_with_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = GOOD.replace("10%", "25%").replace("enjoy", "hurry, enjoy")
    assert cli.main(["messages", "check", text, "--offer", "10%", "--name", "Ana"]) == 1
    told = capsys.readouterr().out
    assert "block  offer.percent        '25%': 10% off is offered" in told
    assert "block  pressure.urgency     'hurry': false urgency" in told
    assert "a message that passes: Northwind: Hi Ana," in told
    assert "may not be sent: offer.missing, offer.percent, pressure.urgency (rules 4.7.0)" in told


def test_the_verdict_as_json_and_the_author(capsys: pytest.CaptureFixture[str]) -> None:
    text = GOOD.replace("enjoy", "relish")
    found = []
    for by, status in (("person", 0), ("model", 1)):
        asked = ["messages", "check", text, "--offer", "10%", "--name", "Ana", "--json", "--by", by]
        assert cli.main(asked) == status
        found.append(json.loads(capsys.readouterr().out))
    assert [each["passed"] for each in found] == [True, False]
    told = [{each["rule"]: each["severity"] for each in verdict["violations"]} for verdict in found]
    assert told == [{"text.phrase": severity, "text.word": severity} for severity in ("warn", "block")]


def test_facts_channel_and_language(capsys: pytest.CaptureFixture[str]) -> None:
    text = "Northwind: Hola: 15 € de abono en su Fibra 300. Pulse para aceptar. Cambie sus avisos en los ajustes."
    asked = ["--offer", "15 EUR", "--fact", "plan=Fibra 300", "--channel", "push", "--language", "es"]
    assert cli.main(["messages", "check", text, *asked]) == 0, capsys.readouterr().out


COMPANY = """\
customers: {file: c.csv, charge: {value: 20}, left: left, window_days: 30, numeric: [months]}
currency: EUR
offers: {hello: {}, upgrade: {cost: 4, days: 90, say: twice the speed}, ten: {discount: 0.1, days: 60}}
messages:
  sender: {name: Acme, postal_address: "Acme, 1 Road", domains: [acme.example], unsubscribe_url: https://acme.example/u}
  channels: [push, sms]
"""


def test_a_companys_sender_channel_and_offers_are_those_of_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "acme.yaml").write_text(COMPANY)
    asked = ["--company", str(tmp_path / "acme.yaml")]
    text = "Acme: enjoy {} for {} days. Tap to accept: https://acme.example/yes. Change notifications in settings."
    for offer, words, days in (("upgrade", "twice the speed", 90), ("ten", "10% off", 60), ("10%", "10% off", 30)):
        assert cli.main(["messages", "check", text.format(words, days), *asked, "--offer", offer]) == 0, offer
    assert cli.main(["messages", "check", text.format("10% off", 30), *asked, "--offer", "ten"]) == 1
    assert cli.main(["messages", "check", text.format("10% off", 30), *asked, "--offer", "ten", "--days", "30"]) == 0
    assert cli.main(["messages", "check", text.format("10% off", 30), "--offer", "10%", "--channel", "push"]) == 1
    assert cli.main(["messages", "check", text, *asked, "--offer", "pony"]) == 2
    assert "--offer is 'pony'; allowed: none, 10%, 15 USD" in (told := capsys.readouterr().err)
    assert ", hello, upgrade, ten" in told
    assert cli.main(["messages", "check", text, *asked, "--channel", "email"]) == 2
    assert "--channel is 'email'; allowed: push, sms, the company's" in capsys.readouterr().err
    (tmp_path / "acme.yaml").write_text(COMPANY.partition("messages:")[0])
    assert cli.main(["messages", "check", text, *asked]) == 2
    assert "messages.sender is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "offer"),
    [
        ("none", OfferTerms()),
        ("10%", OfferTerms(0.1)),
        ("7.5 %", OfferTerms(0.075)),
        ("15 usd", OfferTerms(amount=15.0)),
        ("20 EUR", OfferTerms(amount=20.0, currency="EUR")),
    ],
)
def test_an_offer_in_words(words: str, offer: OfferTerms) -> None:
    assert offer_of(words) == offer


def test_what_only_words_name_is_given_once_unless_days_are_said() -> None:
    assert offer_of("none", say="a free vase") == OfferTerms(say="a free vase", days=None)
    assert offer_of("12 USD", say="a free vase") == OfferTerms(amount=12, say="a free vase", days=None)
    assert offer_of("none", say="twice the speed", days=90) == OfferTerms(say="twice the speed", days=90)
    assert offer_of("100%", say="one month free") == OfferTerms(1.0, say="one month free")
    with pytest.raises(ConfigError, match="days is 0; allowed: 1 to 365"):
        offer_of("10%", days=0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--offer", "a pony"], "--offer is 'a pony'; allowed: none, 10%, 15 USD"),
        (["--ends", "2020-01-01"], "--ends is 2020-01-01, which is over; allowed: "),
        (["--name", "<b>"], "--name is '<b>'; allowed: one to four words of letters"),
        (["--fact", "saving=lots"], "--fact saving is 'lots'; allowed: at most 40 plain characters, as '$8'"),
        (["--fact", "tenure=long"], "--fact tenure is 'long'; allowed: at most 40 plain characters, as '14 months'"),
        (["--ends", "soon"], "--ends is 'soon'; allowed: a day such as 2026-12-31"),
        (["--fact", "plan"], "--fact is 'plan'; allowed: KEY=VALUE"),
        (["--fact", "shoe=44"], "Brief.facts holds 'shoe'; allowed: plan, tenure"),
    ],
)
def test_what_does_not_fit_is_named(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert cli.main(["messages", "check", GOOD, *arguments]) == 2
    assert words in capsys.readouterr().err
    if "--offer" in arguments:
        with pytest.raises(ConfigError):
            offer_of(arguments[1])


def test_no_check_imports_jax() -> None:
    program = (
        "import sys\nfrom retentionjax import cli\n"
        f"cli.main(['messages', 'check', {GOOD!r}])\nassert 'jax' not in sys.modules, 'jax'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
