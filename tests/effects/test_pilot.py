"""`retentionjax pilot`: power against the textbook, cost and departures by hand, assignments that are fair."""

import csv
import datetime as dt
import json
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from retentionjax.company import Company, Offer, prior
from retentionjax.data import company_tables
from retentionjax.effects import pilot, pilot_command
from retentionjax.env import EnvParams, population
from retentionjax.errors import DataError
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import fit
from retentionjax.tabular.encoder import Encoder
from serving.domain.campaigns import CampaignIn

OFFERS = ("hello", "five", "ten", "twenty")
KNOWN = prior.resolve(
    {name: Offer(discount=each) for name, each in zip(OFFERS, (0.0, 0.05, 0.1, 0.2), strict=True)}, {}, 65.0
)


def params(customers: int = 60, accept: float = 0.3) -> EnvParams:
    people = population.build(np.full(customers, 60.0), np.full(customers, 0.2), np.full(customers, accept))
    return EnvParams(population=people)


@pytest.fixture(scope="module")
def planned() -> pilot.PilotPlan:
    return pilot.plan(params(), KNOWN, OFFERS, customers=5000, days=30)


def test_power_is_that_of_the_textbook() -> None:
    random = np.random.default_rng(0)
    for alone, treated, size in ((0.2, 0.15, 900), (0.05, 0.04, 5000)):
        error = np.sqrt((alone * (1 - alone) + treated * (1 - treated)) / size)
        expected = stats.norm.sf(1.96 - (alone - treated) / error)
        assert pilot.power(alone, treated, size, random) == pytest.approx(expected, abs=0.03)


def test_without_effect_a_trial_sees_one_in_twenty_times() -> None:
    assert pilot.power(0.2, 0.2, 1000, np.random.default_rng(1)) == pytest.approx(0.05, abs=0.02)


def test_the_smallest_effect_seen_is_seen_with_80_percent_power_and_its_number_of_customers_is_the_same() -> None:
    random = np.random.default_rng(2)
    smallest = pilot.smallest_seen(0.2, 1000, random)
    assert smallest is not None
    assert pilot.power(0.2, 0.2 - smallest, 1000, random) == pytest.approx(0.8, abs=0.03)
    assert pilot.needed(0.2, 0.2 - smallest, random) == pytest.approx(1000, rel=0.12)
    assert pilot.smallest_seen(0.01, 30, random) is None


def test_those_left_alone_leave_at_their_risk_and_cost_nothing(planned: pilot.PilotPlan) -> None:
    alone = planned.arms[0]
    assert (alone.name, alone.customers, alone.effect) == ("none", 1000, None)
    assert alone.left.median == pytest.approx(0.2, abs=0.03)
    assert alone.cost.high == 0


def test_an_arm_costs_its_contact_and_the_discount_of_those_who_accept(planned: pilot.PilotPlan) -> None:
    arms = {arm.name: arm for arm in planned.arms}
    assert arms["hello"].cost.median == pytest.approx(0.5)
    twenty = arms["twenty"]
    assert twenty.accepted.low < twenty.accepted.median < twenty.accepted.high  # its appeal is believed, not known
    paid = 0.5 + twenty.accepted.median * 0.2 * 60  # all of the 30 days, if nobody left
    assert 0.85 * paid < twenty.cost.median < paid
    assert planned.cost.median == pytest.approx(sum(arm.cost.median * 1000 for arm in planned.arms))


def test_the_effect_is_that_of_everybody_asked_and_spans_what_is_believed(planned: pilot.PilotPlan) -> None:
    twenty = planned.arms[-1]
    assert twenty.effect is not None
    assert twenty.effect.low < twenty.effect.median < 0
    assert twenty.effect.median == pytest.approx(twenty.left.median - planned.arms[0].left.median, abs=0.005)
    # (1 − p)^κ of those who accept, at the largest share of them that the belief allows
    assert abs(twenty.effect.low) < twenty.accepted.high * (0.2 - (1 - 0.8**0.45)) * 1.5


def test_more_customers_see_less(planned: pilot.PilotPlan) -> None:
    more = pilot.plan(params(), KNOWN, OFFERS, customers=100_000, days=30)
    assert more.arms[1].smallest is not None
    assert planned.arms[1].smallest is not None
    assert more.arms[1].smallest < 0.3 * planned.arms[1].smallest
    found = more.arms[-1].smallest_multiplier
    assert found is not None
    assert 0 < found < 1


def test_arms_that_are_no_comparison_are_refused() -> None:
    for arms, what in ((["gold"], "arm 'gold' is no offer; allowed: none, hello"), (["none"], "allowed: none and one")):
        with pytest.raises(DataError, match=what):
            pilot.plan(params(), KNOWN, OFFERS, customers=100, days=30, arms=arms)
    with pytest.raises(DataError, match="5 customers for 5 arms; needed: 10 or more"):
        pilot.plan(params(), KNOWN, OFFERS, customers=5, days=30)


def test_assignment_is_balanced_alike_on_risk_and_the_same_again() -> None:
    ids = [f"C-{number}" for number in range(5000)]
    risk = np.random.default_rng(3).beta(1, 3, 5000)
    drawn = pilot.assign(ids, risk, ("none", "ten", "twenty"), 1500, "salt")
    rows, arms = np.array([row for row, _ in drawn]), np.array([arm for _, arm in drawn])
    assert {name: int((arms == name).sum()) for name in set(arms)} == {"none": 500, "ten": 500, "twenty": 500}
    assert len(set(rows.tolist())) == 1500
    means = [risk[rows[arms == name]].mean() for name in ("none", "ten", "twenty")]
    assert np.ptp(means) < 0.002
    assert pilot.assign(ids, risk, ("none", "ten", "twenty"), 1500, "salt") == drawn
    again = pilot.assign(ids, risk, ("none", "ten", "twenty"), 1500, "other")
    both = set(rows.tolist()) & {row for row, _ in again}
    assert len(both) == pytest.approx(450, abs=60)  # 1,500²/5,000: another draw altogether


COMPANY = """\
name: acme
currency: EUR
customers:
  file: customers.csv
  id: customer
  charge: charge
  left: {{column: left, yes: "1", no: "0"}}
  window_days: 30
  numeric: [months, calls]
{contacts}offers: {{hello: {{}}, ten: {{discount: 0.10}}}}
limits: {{budget: 3.0}}
"""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acme")
    random = np.random.default_rng(4)
    calls = random.integers(0, 6, 400)
    left = random.random(400) < 0.05 + 0.08 * calls
    rows = [f"K{number},{20 + number % 50},{int(left[number])},{number % 40},{calls[number]}" for number in range(400)]
    (folder / "customers.csv").write_text("\n".join(["customer,charge,left,months,calls", *rows]))
    (folder / "acme.yaml").write_text(COMPANY.format(contacts=""))
    return folder


def test_the_command_plans_prints_and_writes_what_company_yaml_reads(
    company: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = company / "pilot.csv"
    arguments = [str(company / "acme.yaml"), "--customers", "150", "--out", str(out), "--start", "2026-05-01"]
    assert pilot_command.main([*arguments, "--days", "30"]) == 0
    said = capsys.readouterr().out
    assert "150 of " in said
    assert "beliefs are ASSUMED" in said
    assert "€" in said
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 150
    assert {row["offer"] for row in rows} == {"none", "hello", "ten"}
    setting = json.JSONDecoder().raw_decode(said[said.index("{\n") :])[0]
    assert msgspec.convert(setting, CampaignIn).pilot is not None  # as the service takes it
    assert setting["pilot"]["ends_at"] == "2026-05-31T00:00:00Z"
    assert sum(setting["pilot"]["arms"].values()) == pytest.approx(1)

    for row in rows:
        row["accepted"] = "" if row["offer"] == "none" else str(int(row["customer"][-1] in "13"))
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    reading = "{file: pilot.csv, at: assigned_at, offer: offer, propensity: propensity, accepted: accepted}"
    (company / "with.yaml").write_text(COMPANY.format(contacts=f"contacts: {reading}\n"))
    tables = company_tables.read(Company.load(company / "with.yaml"))
    assert tables.contacts is not None
    assert tables.contacts.randomised
    assert len(tables.contacts.assignments) == 150


@pytest.mark.parametrize("free", ["hello", "none"])
def test_by_a_log_a_contact_without_an_offer_is_accepted_as_such_contacts_are(company: Path, free: str) -> None:
    """Not as all contacts are, on top of which the plan lays what offers add; without any, those with an offer less
    that."""
    ids = [line.split(",")[0] for line in (company / "customers.csv").read_text().splitlines()[1:201]]
    odd = [f"{ids[place]},2026-05-01,{('ten', free)[place % 2]},0.5," for place in range(200)]
    answers = [str(int(place % 4 == 0 or place % 20 == 1)) * (free != "none" or place % 2 == 0) for place in range(200)]
    lines = ["customer,at,offer,p,accepted", *(row + answer for row, answer in zip(odd, answers, strict=True))]
    (company / f"log-{free}.csv").write_text("\n".join(lines) + "\n")
    reading = f"contacts: {{file: log-{free}.csv, at: at, offer: offer, propensity: p, accepted: accepted}}\n"
    (company / f"{free}.yaml").write_text(COMPANY.format(contacts=reading))
    people, _ = pilot_command.read(Company.load(company / f"{free}.yaml"), None)
    if free == "hello":
        assert people.accept == pytest.approx(0.1)  # of "ten" half accept
    else:
        assert np.log(people.accept / (1 - people.accept)) == pytest.approx(-0.8)  # 10 % off adds 0.8 to log-odds of 0


@pytest.mark.parametrize(("budget", "contact"), [(2.5, 0.5), (np.inf, 0.5), (np.inf, 0.0)])
def test_the_pilots_share_of_the_budget_holds_all_that_its_contacts_reserve(budget: float, contact: float) -> None:
    """Of a million customers it is some per mille; without a budget, and free of charge, nothing of nothing."""
    table = pd.DataFrame({"fee": [60.0, 61.0], "left": [0, 1], "x": [0, 1]})
    limits = {"budget": budget, "contact_cost": contact}
    company = Company(table, charge="fee", left="left", window_days=30, offers={"hello": {}}, limits=limits)
    of_any = pilot.Range(0.1, 0.1, 0.1)
    planned = pilot.PilotPlan(30, tuple(pilot.PlannedArm(each, 3000, *[of_any] * 3) for each in ("none", "hello")))
    people = pilot_command.People(["A"] * 1_000_000, np.full(2, 60.0), np.full(2, 0.1), 0.1, "")
    setting = pilot_command.setting(planned, company, people, dt.date(2026, 5, 1))
    held = setting["budget_micros"] * setting["pilot"]["budget_share"]
    assert held >= 1e6 * 3000 * contact
    assert msgspec.convert(setting, CampaignIn).pilot is not None


def test_a_pilot_whose_log_has_no_usable_answer_assumes_acceptance(company: Path) -> None:
    """Contacts before their customer's first snapshot: no facts are known of that day."""
    lines = [
        f"K{number},{'2026-02-01' if number < 20 else '2026-05-01'},hello,0.5,{int(number < 9)}" for number in range(40)
    ]
    (company / "early.csv").write_text("\n".join(["customer,at,offer,p,accepted", *lines]) + "\n")
    people = (company / "customers.csv").read_text().splitlines()
    dated = [people[0] + ",seen", *(f"{line},2026-03-01" for line in people[1:])]
    (company / "seen.csv").write_text("\n".join(dated) + "\n")
    reading = "contacts: {file: early.csv, at: at, offer: offer, propensity: p, accepted: accepted}\n"
    described = COMPANY.format(contacts=reading).replace("file: customers.csv", "file: seen.csv\n  snapshot: seen")
    (company / "early.yaml").write_text(described)
    assert "assumed" in pilot_command.read(Company.load(company / "early.yaml"), None)[0].accept_rests_on


def test_what_the_command_cannot_do_it_says(company: Path, tmp_path: Path) -> None:
    path = str(company / "acme.yaml")
    with pytest.raises(DataError, match="who are still there"):
        pilot_command.main([path, "--customers", "4000", "--out", str(tmp_path / "new.csv")])
    existing = tmp_path / "there.csv"
    existing.write_text("")
    with pytest.raises(DataError, match="exists; give another --out"):
        pilot_command.main([path, "--out", str(existing)])


def test_who_has_left_and_whom_the_cap_forbids_an_arm_takes_no_part_and_a_forbidden_arm_is_refused(
    company: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described = COMPANY.format(contacts="")
    for before, after in (
        ('  left: {column: left, yes: "1", no: "0"}\n  window_days: 30', "  snapshot: 2026-03-01\n  ignore: [left]"),
        ("offers: {hello: {},", "offers: {hello: {}, free: {discount: 1.0},"),
        (
            "limits: {",
            "departures: {file: d.csv, left_on: day, observed_until: 2026-06-01}\nlimits: {account_cap: 61, ",
        ),
    ):
        assert before in described
        described = described.replace(before, after)
    (company / "dated.yaml").write_text(described)
    days = [f"K{number},2026-03-{number % 28 + 1:02d}" for number in range(40)]
    days += [f"K{number},2026-05-{number % 28 + 1:02d}" for number in range(40, 80)]
    (company / "d.csv").write_text("\n".join(["customer,day", *days]))
    path, start = str(company / "dated.yaml"), ["--start", "2026-05-28", "--customers", "60"]
    assert pilot_command.main([path, *start, "--out", str(company / "dated.csv")]) == 0
    said = capsys.readouterr().out
    assert "40 who left by 2026-05-28; 63 to whom limits.account_cap, €61, forbids one of the arms." in said
    with (company / "dated.csv").open() as file:
        drawn = [int(row["customer"][1:]) for row in csv.DictReader(file)]
    assert min(drawn) >= 80
    assert max(20 + number % 50 for number in drawn) <= 60
    (company / "dated.yaml").write_text(described.replace("account_cap: 61", "account_cap: 30"))
    with pytest.raises(DataError, match=r"€30, allows free to 60 of 320 customers .* say --arms hello,ten, or raise"):
        pilot_command.main([path, *start, "--out", str(company / "no.csv")])


def test_a_bundles_churn_model_scores_the_customers_who_are_still_there(company: Path, tmp_path: Path) -> None:
    described = Company.load(company / "acme.yaml")
    frame = company_tables.read(described).customers.frame
    model = fit(frame, np.arange(len(frame)) % 2, Encoder(("months", "calls"), {}), BoosterConfig(), seed=1)
    model.save(tmp_path / "churn")
    people, params = pilot_command.read(described, str(tmp_path))
    there = frame[frame["left"] == 0]
    assert people.ids == there["customer"].tolist()
    assert people.risk == pytest.approx(model.predict(there))
    assert params.population.size == len(there)
    assert (people.accept, people.accept_rests_on[:7]) == (0.11, "assumed")
