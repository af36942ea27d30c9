"""Serve, export, estimate: a campaign's files are what company.yaml and the estimation of effects read."""

import asyncio
import csv
import os
from collections import Counter
from pathlib import Path
from typing import Any

import bundles
import engines
import numpy as np
import pytest
from engines import ask, running
from etils import epath

from retentionjax.company import Company
from retentionjax.data import company_tables
from retentionjax.decide.draws import Pilot, arm, place
from retentionjax.effects import Log
from retentionjax.effects.log import of_company
from retentionjax.errors import ConfigError, DataError
from serving import ledger_command
from serving.ledger import Ledger, company_files
from serving.ledger.types import DAY, MICROS, Campaign, Outcome

PEOPLE = 200
HOLDOUT = 0.2
ARMS = (("none", 0.25), ("hello", 0.25), ("ten", 0.25), ("twenty", 0.25))
OFFERS = """
name: acme
currency: USD
offers: {hello: {}, ten: {discount: 0.10}, twenty: {discount: 0.20}}
"""


def names() -> list[str]:
    return [f"C-{number}" for number in range(PEOPLE)]


def live(folder: Path, tmp_path: Path) -> tuple[str, Pilot]:
    """Forty days of a campaign that tries half of its customers; the ledger's URL."""
    random = np.random.default_rng(0)
    clock = engines.Clock()
    trial = Pilot(0.5, ARMS, clock() + 30 * DAY, 1.0)

    async def main() -> str:
        async with running(folder, tmp_path, clock=clock, customers=PEOPLE) as (engine, ledger):
            with ledger.transaction() as tx:
                start = clock() - 3600
                tx.put_campaign(Campaign("spring", 10**5 * MICROS, start, 90, PEOPLE, HOLDOUT, trial, "s"))
            facts = [engines.FACTS | {"months": int(m), "bill": 40.0 + int(m)} for m in random.integers(1, 60, PEOPLE)]
            there = set(range(PEOPLE))
            for day in (0, 10, 20, 31, 38):
                clock.at = engines.MIDDAY + day * DAY
                asks = [
                    ask(f"C-{each}", facts=facts[each], campaign_id="spring", channel="sms") for each in sorted(there)
                ]
                given = dict(zip(sorted(there), await engine.decide_many(asks), strict=True))
                outcomes = []
                for each, made in given.items():
                    assert not isinstance(made, Exception), made
                    if b'"decision":"contact"' in made.body:
                        kind: Any = "accepted" if random.random() < 0.3 else "declined"
                        outcomes.append(Outcome(made.decision_id, kind, clock()))
                    if random.random() < 0.12:
                        there.discard(each)
                        outcomes.append(Outcome(None, "churned", clock(), f"C-{each}"))
                with ledger.transaction() as tx:
                    tx.outcome(outcomes)
            clock.at += DAY
            with ledger.transaction() as tx:
                tx.outcome([Outcome(None, "kept", clock(), f"C-{each}") for each in there if each >= 10])
            with ledger.read() as reader:
                assert reader.audit(cooldown_days=7) == []
            return engines.settings(folder, tmp_path).database

    return asyncio.run(main()), trial


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def exported(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pilot, str]:
    place = tmp_path_factory.mktemp("loop")
    database, trial = live(folder, place)
    out = place / "acme"
    what = ["--what", "customers,contacts,departures", "--campaign", "spring"]
    assert ledger_command.main(["export", "--database", database, *what, "--out", os.fspath(out)]) == 0
    return out, trial, database


def test_each_drawn_customer_is_a_row_of_the_arm_she_was_drawn_to(exported: tuple[Path, Pilot, str]) -> None:
    out, trial, _ = exported
    drawn = {name: arm(place("s", name), HOLDOUT, trial) for name in names()}
    contacts = rows(out / "contacts.csv")
    of_experiment = {row["customer_id"]: row for row in contacts if row["group"] != "policy"}
    assert Counter(row["group"] for row in of_experiment.values()) == {
        "holdout": sum(each.group == "holdout" for each in drawn.values()),
        "pilot": sum(each.group == "pilot" for each in drawn.values()),
    }
    tried = HOLDOUT + 0.5
    for name, row in of_experiment.items():
        assert row["arm"] == (drawn[name].pilot_arm or "none")
        chance = (HOLDOUT + 0.125) / tried if row["arm"] == "none" else 0.125 / tried
        assert float(row["propensity"]) == pytest.approx(chance)
        assert (row["accepted"] == "") == (row["arm"] == "none")
    policy = [row for row in contacts if row["group"] == "policy"]
    assert {drawn[row["customer_id"]].group for row in policy} == {"policy", "pilot"}
    after = [row["assigned_at"] for row in policy if drawn[row["customer_id"]].group == "pilot"]
    assert min(after) > "2026-07-01"
    assert all(0 < float(row["propensity"]) <= 1 for row in policy)


def test_whom_a_waiting_policy_leaves_alone_is_a_control_of_the_pilot(tmp_path: Path) -> None:
    """Chance put her there. What else the policy does with her after the pilot's end is not in the log."""
    database, trial = live(bundles.make_waiting(tmp_path / "bundle"), tmp_path)
    out = tmp_path / "acme"
    what = ["--what", "contacts,departures", "--campaign", "spring"]
    assert ledger_command.main(["export", "--database", database, *what, "--out", os.fspath(out)]) == 0
    drawn = {name: arm(place("s", name), HOLDOUT, trial) for name in names()}
    contacts = [row for row in rows(out / "contacts.csv") if row["group"] != "policy"]
    assert sorted(row["customer_id"] for row in contacts) == sorted(names())
    for row in contacts:
        assert row["group"] == {"policy": "waiting"}.get(group := drawn[row["customer_id"]].group, group)
        assert float(row["propensity"]) == pytest.approx(0.625 if row["arm"] == "none" else 0.125)
        if row["group"] == "waiting":
            assert (row["arm"], row["accepted"], row["assigned_at"]) == ("none", "", "2026-06-01")
    until = {row["customer_id"]: row["observed_until"] for row in rows(out / "departures.csv")}
    assert max(until[row["customer_id"]] for row in contacts if row["group"] == "waiting") == "2026-07-01"


def test_who_is_not_heard_of_is_not_kept(exported: tuple[Path, Pilot, str]) -> None:
    out, trial, _ = exported
    found = {row["customer_id"]: row for row in rows(out / "departures.csv")}
    assert set(found) == set(names()) == {row["customer_id"] for row in rows(out / "customers.csv")}
    silent = [found[f"C-{number}"] for number in range(10) if not found[f"C-{number}"]["left_on"]]
    first = "2026-06-01"
    assert silent
    assert {row["observed_until"] for row in silent} == {first}
    for name, row in found.items():
        group = arm(place("s", name), HOLDOUT, trial).group
        assert row["left_on"] <= row["observed_until"] <= ("2026-07-01" if group == "pilot" else "2026-07-10")
        assert row["left_on"] != "" or name[2:] in map(str, range(10)) or row["observed_until"] > "2026-06-20"


def test_company_yaml_and_effects_read_what_was_served(exported: tuple[Path, Pilot, str]) -> None:
    out, _, _ = exported
    path = out / "acme.yaml"
    path.write_text(OFFERS + (out / "company.yaml").read_text())
    company = Company.load(path)
    tables = company_tables.read(company)
    assert tables.contacts is not None
    assert tables.contacts.randomised
    assert len(tables.contacts.assignments) == sum(row["group"] != "policy" for row in rows(out / "contacts.csv"))
    log = of_company(company, tables, company.believed(70.0))
    assert isinstance(log, Log), log
    assert (log.followed_days > 0).all()
    kept = {"left": int((log.left_day >= 0).sum()), "people": len(log.monthly_charge)}
    assert kept["people"] == len(tables.contacts.assignments)
    assert 20 < kept["left"] < kept["people"]


def test_the_files_ask_for_the_facts_that_were_given(exported: tuple[Path, Pilot, str]) -> None:
    """The charge has the name that the caller gave it, once; a bundle learned from the files takes the same facts."""
    out, _, _ = exported
    path = out / "again.yaml"
    path.write_text(OFFERS + (out / "company.yaml").read_text())
    customers = Company.load(path).customers
    assert customers.charge.column == "bill"
    assert set(customers.numeric) | set(customers.categorical) == set(engines.FACTS)
    assert set(rows(out / "customers.csv")[0]) == {"customer_id", "first_decision", *engines.FACTS}


def test_off_policy_evaluation_is_given_the_policys_customers(
    exported: tuple[Path, Pilot, str], tmp_path: Path
) -> None:
    _, trial, database = exported
    ledger = Ledger.open(database, clock=engines.Clock())
    ledger.export(tmp_path / "log.parquet")
    ledger.close()
    import pyarrow.parquet as pq

    customers = set(pq.read_table(tmp_path / "log.parquet")["customer_id"].to_pylist())
    assert customers == {name for name in names() if arm(place("s", name), HOLDOUT, trial).group == "policy"}


def test_who_had_left_before_the_first_decision_is_in_no_file(
    exported: tuple[Path, Pilot, str], folder: Path, tmp_path: Path
) -> None:
    """As a nightly report says it, too late; whoever leaves on the day of the decision was there for it."""

    async def main() -> str:
        clock = engines.Clock()
        async with running(folder, tmp_path, clock=clock, customers=PEOPLE) as (engine, ledger):
            with ledger.transaction() as tx:
                tx.put_campaign(Campaign("spring", 10**5 * MICROS, clock() - 3600, 90, PEOPLE, HOLDOUT, None, "s"))
            clock.at += 5 * DAY
            asks = [ask(name, campaign_id="spring", channel="sms") for name in names()[:20]]
            await engine.decide_many(asks)
            left = {"C-0": -3 * DAY, "C-1": -DAY, "C-2": 0.0}
            with ledger.transaction() as tx:
                tx.outcome([Outcome(None, "churned", clock() + ago, name) for name, ago in left.items()])
        return engines.settings(folder, tmp_path).database

    what = ["--what", "customers,contacts,departures", "--campaign", "spring"]
    assert ledger_command.main(["export", "--database", asyncio.run(main()), *what, "--out", str(tmp_path)]) == 0
    for file in ("customers", "departures"):
        assert {row["customer_id"] for row in rows(tmp_path / f"{file}.csv")} == set(names()[2:20])
    assert {row["customer_id"] for row in rows(tmp_path / "contacts.csv")} <= set(names()[2:20])
    (tmp_path / "acme.yaml").write_text(OFFERS + (tmp_path / "company.yaml").read_text())
    with pytest.raises(DataError, match="tells of no customer") as few:  # and no other fault of these customers
        company_tables.read(Company.load(tmp_path / "acme.yaml"))
    assert "before the snapshot" not in str(few.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--what", "customers,people"], "what is 'people'"), (["--what", "contacts", "--campaign", "no"], "is 'no'")],
)
def test_a_wrong_export_is_refused(
    exported: tuple[Path, Pilot, str], tmp_path: Path, flags: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ledger_command.main(["export", "--database", exported[2], *flags, "--out", os.fspath(tmp_path / "out")])


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        *((text, text) for text in ("-", "+1 line", "@home", "=", "a=b(c)", "-5.5", "plan (basic)", "x-y!")),
        ('=HYPERLINK("http://evil.example";"you")', '\'=HYPERLINK("http://evil.example";"you")'),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("\t@SUM(1)", "'\t@SUM(1)"),
        ("basic;-cmd|x!A0", "basic;'-cmd|x!A0"),
    ],
)
def test_no_cell_is_a_formula_to_a_spreadsheet(tmp_path: Path, text: str, cell: str) -> None:
    assert company_files._write(epath.Path(tmp_path / "a.csv"), ("plan", "months"), iter([(text, -3)])) == 1
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["plan", "months"], [cell, "-3"]]
