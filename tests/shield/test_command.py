"""`retentionjax messages check`."""

import json
import subprocess
import sys

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
    assert capsys.readouterr().out == "may be sent (rules 4.3.0)\n"


def test_what_a_model_may_not_say_is_told_of_a_persons_text(capsys: pytest.CaptureFixture[str]) -> None:
    for by, status, severity in (("person", 0, "warn "), ("model", 1, "block")):
        assert cli.main(["messages", "check", GOOD, "--offer", "10%", "--name", "Ana", "--by", by]) == status
        told = capsys.readouterr().out
        assert f"{severity}  text.phrase          'Northwind: Hi Ana, enjoy 10% off for 30 days" in told
        assert "words that no approved text holds in a row: '{name} , enjoy 10% off for'" in told


def test_each_rule_that_is_broken_is_told_with_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = GOOD.replace("10%", "25%").replace("enjoy", "hurry, enjoy")
    assert cli.main(["messages", "check", text, "--offer", "10%", "--name", "Ana"]) == 1
    told = capsys.readouterr().out
    assert "block  offer.percent        '25%': 10% off is offered" in told
    assert "block  pressure.urgency     'hurry': false urgency" in told
    assert "a message that passes: Northwind: Hi Ana," in told
    assert "may not be sent: offer.missing, offer.percent, pressure.urgency (rules 4.3.0)" in told


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
