"""company.yaml and its record in Python: what is understood, and that every fault of it is told at once."""

import json
from pathlib import Path

import pandas as pd
import pytest

from retentionjax.company import Company, CompanyError, CustomersFile, Offer

WHOLE = """\
name: acme
currency: EUR
customers:
  file: customers.csv
  id: customer_id
  charge: monthly_charge
  left: {column: churned, yes: Yes, no: No}
  window_days: 30
  snapshot: 2026-06-01
  tenure: tenure_days
  numeric: [months, support_calls]
  categorical: {plan: [basic, plus], region: infer}
  dates: {since: tenure_days}
  nullable: [support_calls]
  ignore: others
  reading: {encoding: utf-8, separator: ",", decimal: ".", thousands: ",", prefix: "$", missing: ["", "NA", "?"],
            aliases: {plan: {" plus": plus}}}
  exclude: {charge: "<= 0"}
contacts:
  file: contacts.csv
  at: assigned_at
  offer: arm
  design: {none: 0.4, ten: 0.6}
  accepted: accepted
offers:
  hello: {}
  ten: {discount: 0.10, days: 30}
  free_month: {discount: 1.0, days: 30, effect_days: 60, say: "one month free"}
  credit: {amount: 15}
  upgrade: {cost: 4.0, days: 90, say: "twice the speed"}
delays: [0, 1, 3]
limits: {budget: 2.50, account_cap: 30, contact_cost: 0.5, cooldown_days: 7, fatigue: {contacts: 3, days: 30}}
horizon_days: 90
effects: {hazard_multiplier.ten: 0.6, contact_effect: {median: 0, low: -0.1, high: 0.1}}
messages:
  sender: {name: Acme, postal_address: "1 Main St", domains: [acme.example], unsubscribe_url: "https://acme.example/u"}
  channels: [sms]
  brand: "Short and plain."
"""


def _load(folder: Path, text: str) -> Company:
    (folder / "acme.yaml").write_text(text)
    return Company.load(folder / "acme.yaml")


def test_every_key_of_the_format_is_understood(tmp_path: Path) -> None:
    company = _load(tmp_path, WHOLE)
    assert (company.name, company.currency, company.horizon_days, company.delays) == ("acme", "EUR", 90, (0, 1, 3))
    assert list(company.offers) == ["hello", "ten", "free_month", "credit", "upgrade"]
    assert company.offers["free_month"] == Offer(discount=1.0, days=30, effect_days=60, say="one month free")
    assert company.customers.left is not None
    assert company.customers.left.yes == "Yes", "YAML's own yes is true; here every value is text"
    assert company.customers.file == str(tmp_path / "customers.csv"), "files are found beside the description"
    assert company.customers.reading.missing == ("", "NA", "?")
    assert company.customers.categorical["region"] == "infer"
    assert company.customers.features == ("months", "support_calls", "tenure_days", "plan", "region")
    assert company.contacts is not None
    assert company.contacts.is_randomised
    assert company.limits.fatigue.contacts == 3
    assert company.messages.sender is not None


def test_the_record_of_a_bundle_says_the_same_without_any_path(tmp_path: Path) -> None:
    company = _load(tmp_path, WHOLE)
    written = json.dumps(company.to_dict())
    assert str(tmp_path) not in written
    assert "customers.csv" not in written
    back = Company.from_dict(json.loads(written))
    assert back.to_dict() == company.to_dict()
    assert back.offers == company.offers
    assert back.limits == company.limits
    with pytest.raises(Exception, match="company format 99 is unknown; this program reads format 1"):
        Company.from_dict({**company.to_dict(), "format": 99})


def test_all_faults_are_told_at_once_with_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    wrong = """\
name: a/b
curency: USD
customers:
  file: x.csv
  charge: {sum: [a, b], value: -3}
  left: {column: gone, yes: 1, now: 0}
  ignore: otters
  reading: {separator: ";;"}
offers: {ten: {dicount: 0.1, days: 0}, twenty: {discount: 2}}
limits: {budget: abc, account_cap: -1, fatigue: {contacts: 40}}
delays: [0, 3, 1]
horizon_days: 10.5
messages: {sender: {name: A, domains: [x.example]}}
"""
    with pytest.raises(CompanyError) as raised:
        _load(tmp_path, wrong)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{tmp_path / 'acme.yaml'}: ") for line in lines)
    for said in (
        "unknown key 'curency'; did you mean 'currency'?; allowed: name, currency",
        "customers.charge.value: -3 is out of range; allowed: above 0",
        "customers.left: unknown key 'now'; did you mean 'no'?",
        "customers.ignore: is 'otters'; allowed: others, or a list",
        "customers.reading.separator: is ';;'; allowed: one character",
        "offers.ten: unknown key 'dicount'; did you mean 'discount'?",
        "offers.ten.days: 0 is out of range; allowed: 1 to 365",
        "offers.twenty.discount: 2 is out of range; allowed: 0 to 1",
        "limits.budget: 'abc' is not a number",
        "limits.account_cap: -1 is out of range; allowed: 0 or more, or inf for no limit",
        "limits.fatigue.contacts: 40 is out of range; allowed: 1 to 32",
        "horizon_days: '10.5' is not a whole number",
        "messages.sender.postal_address: is missing",
        "name: 'a/b' names a folder",
        "delays: is [0, 3, 1]; allowed: days, rising",
    ):
        assert any(said in line for line in lines), said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("  window_days: 30\n", "", "customers.window_days: is missing; the days that 'churned' speaks of"),
        ("  snapshot: 2026-06-01\n", "", "customers.snapshot: is missing; dates become days before it"),
        ("  charge: monthly_charge\n", "", "customers.charge: is missing"),
        ("charge: monthly_charge", "charge: customer_id", "'customer_id' is named twice: id has it too"),
        ("numeric: [months,", "numeric: [months, plan,", "'plan' is named twice: numeric has it too"),
        ("nullable: [support_calls]", "nullable: [suport_calls]", "no feature; did you mean 'support_calls'?"),
        ("tenure: tenure_days", "tenure: plan", "customers.tenure: 'plan' is none of the numeric features"),
        ("plan: [basic, plus]", "plan: basic", "customers.categorical.plan: is 'basic'; allowed: infer, or a list"),
        ('"<= 0"', '"=< 0"', "customers.exclude.charge: is '=< 0'; allowed: such as '<= 0'"),
        ("design: {none: 0.4, ten: 0.6}", "design: {none: 0.4, tan: 0.6}", "contacts.design: 'tan' is no offer"),
        ("design: {none: 0.4,", "design: {none: 0.5,", "contacts.design: adds up to 1.1; allowed: 1"),
        ("  accepted: accepted\n", "", "contacts: needs either accepted or accepted_at"),
        (
            "  nullable: [",
            "  departures: {}\n  nullable: [",
            "customers: 'departures' is no key of this section; it is a",
        ),
        ("snapshot: 2026-06-01", "snapshot: 01.06.2026", "customers.snapshot: is '01.06.2026'; allowed: a date in co"),
        ("budget: 2.50", "budget: 0", "limits.budget: 0 is out of range; allowed: above 0, or inf for no limit"),
        (
            "budget: 2.50",
            'budget: "2,50"',
            "budget: '2,50' is not a number; did you mean 2.50?; allowed: above 0, or inf",
        ),
        ("budget: 2.50", "budget: 2.50 EUR", "'2.50 EUR' is not a number; did you mean 2.50?; allowed: above 0"),
        ("window_days: 30", "window_days: 1 month", "'1 month' is not a number; did you mean 30?; allowed: 1 to 3650"),
        ("discount: 1.0", "discount: 10%", "'10%' is not a number; did you mean 0.1?; allowed: 0 to 1 (a share of"),
        ("budget: 2.50", 'budget: "1,000"', "budget: '1,000' is not a number; allowed: above 0"),
        ("  id: customer_id\n", "", "contacts: need an id that the customers have too; or other_people"),
        ("hello: {}", "none: {}", "offers.none: is the name in a log for a customer who was left alone"),
        ("effect_days: 60", "effect_days: 20", "offers.free_month.effect_days: 20 is less than days, 30"),
        ("hazard_multiplier.ten", "hazard_multiplier.tan", "no effect; did you mean 'hazard_multiplier.ten'?"),
        ("hazard_multiplier.ten: 0.6", "hazard_multiplier.ten: 0", "0 is out of range; allowed: above 0"),
        ("low: -0.1", "low: 0.05", "effects.contact_effect: low 0.05, median 0 and high 0.1 are out of order"),
        ("channels: [sms]", "channels: [fax]", "messages.channels[0]: is 'fax'; allowed: sms, email, push"),
        ("channels: [sms]", "language: de", "messages.language: is 'de'; allowed: en, es"),
        ("channels: [sms]", "language: es\n  model: true", "messages.model: is true, and language es; allowed: false"),
        ("currency: EUR", "currency: euro", "currency: is 'euro'; allowed: a code of ISO 4217"),
        ("currency: EUR", "currency: EUR\ncurrency: USD", "line 3: 'currency' is named twice"),
        ("name: acme", "name: [acme", "acme.yaml: line"),
    ],
)
def test_a_mistake_in_the_description_is_told(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in WHOLE
    with pytest.raises(CompanyError) as raised:
        _load(tmp_path, WHOLE.replace(before, after))
    assert said in str(raised.value)
    assert "acme.yaml" in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"- a\n- b\n", "must be keys and values"),
        (b"name: \xff", "UTF-8"),
        (b"a: \x00", "not YAML"),
        (b"{a: b}: c", "a key must be a name"),
        (b"a: *b", "found undefined alias"),
    ],
)
def test_a_description_that_is_no_mapping_is_an_error(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "acme.yaml").write_bytes(content)
    with pytest.raises(CompanyError, match=said):
        Company.load(tmp_path / "acme.yaml")


def test_a_company_in_python_takes_a_table_and_the_keys_of_its_customers() -> None:
    table = pd.DataFrame({"fee": [20.0, 35.0], "churned": [0, 1]})
    company = Company(
        table,
        charge="fee",
        left="churned",
        window_days=30,
        offers={"ten": {"discount": 0.1}, "credit": Offer(amount=5)},
        limits={"budget": 3},
    )
    assert isinstance(company.customers, CustomersFile)
    assert company.customers.file is table
    assert company.customers.infers_features
    assert company.offers["ten"].discount == 0.1
    assert company.to_dict()["customers"]["file"] is None
    with pytest.raises(CompanyError, match=r"customers: unknown key 'fees'(.|\n)*offers: 0 offers; allowed: 1 to 64"):
        Company(table, charge="fee", left="churned", window_days=30, fees=3)
