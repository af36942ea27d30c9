"""The loop closes: a company that believes the wrong things about its offers learns better from its own customers.

    cold start → pilot → effects → train → a quarter served with a hold-out → lift → export → train again

The company is simulated (`world`): its offers keep customers as in the Boston Globe's trial, and deeper discounts tempt
them less than the prior believes. Everything else is the product by its public doors: `retentionjax pilot`, `train` and
`ledger export`, and the service over HTTP, in this process, by a clock that is moved. What a run learned is what the
next begins with. At the end every policy plays in the true world, beside one that was told the truth.

Every step is a folder; what is there is not done again. `python -m experiments.loop [--customers 8000] [--pilot 6000]
[--days 90] [--out runs/loop] [flags of retentionjax train]`
"""

import argparse
import contextlib
import datetime as dt
import functools
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import yaml
from etils import epath
from litestar.testing import TestClient

from experiments import pipeline
from experiments.world import DAY, World
from retentionjax import bundle as bundles
from retentionjax import cli, storage
from retentionjax.bundle import pointer
from retentionjax.bundle.manifest import GATE
from retentionjax.company import Company
from retentionjax.company.environment import env_params
from retentionjax.company.offers import NONE
from retentionjax.effects import belief, command, pilot, pilot_command
from retentionjax.effects.simulation import SHAPES
from retentionjax.env import EnvParams
from serving.app import create_app
from serving.demo import Clock, in_this_process
from serving.ledger import Ledger
from serving.observability import logs
from serving.settings import Settings

START = dt.datetime(2026, 6, 1, 19, 30, tzinfo=dt.UTC)  # a fit hour to write to anybody in the United States
PILOT_DAYS = 45  # as long as an offer protects
HOLDOUT = 0.1  # of a quarter's customers, never contacted
STILL_TRIED, TRIED_AGAIN = 0.15, 0.6  # in a pilot that goes on: beside a policy, and where there is none worth shipping
ACME = yaml.safe_load("""
name: acme
customers:
  file: customers.csv
  id: customer_id
  charge: fee
  left: {column: left, "yes": "yes", "no": "no"}
  window_days: 30
  numeric: [fee, months, calls, trouble]
  categorical: {plan: [basic, plus]}
offers:
  hello: {effect_days: 45}
  five: {discount: 0.05, days: 30, effect_days: 45}
  ten: {discount: 0.10, days: 30, effect_days: 45}
  twenty: {discount: 0.20, days: 30, effect_days: 45}
limits: {budget: 2.50, account_cap: 30, contact_cost: 0.5, cooldown_days: 7, fatigue: {contacts: 3, days: 30}}
effects: {risk_onset: 0.0222, risk_recovery: 0.0714, risk_ratio: 6}
messages:
  sender:
    name: Acme
    postal_address: 1 Main Street, Springfield
    domains: [acme.example]
    unsubscribe_url: https://acme.example/unsubscribe
  facts: [{fact: plan, column: plan}]
""")
OFFERS = tuple(ACME["offers"])
TRUTH = {
    **{f"hazard_multiplier.{name}": each for name, each in zip(OFFERS, SHAPES["globe"] or (), strict=True)},
    **{f"appeal.{name}": each for name, each in zip(OFFERS, (0.0, 0.15, 0.3, 0.6), strict=True)},
    "contact_effect": -0.05,
    "fatigue_hazard": 0.15,
    "accept_fatigue": 0.2,
    "accept_risk": 0.5,
}
"""What offers and contacts do here; of appeal the prior believes 0.4, 0.8 and 1.6."""


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    customers: int = 8000
    pilot: int = 6000
    days: int = 90
    """Days of the quarter."""
    training: tuple[str, ...] = ("--policy.ppo.num-iterations", "160")
    """Flags of `retentionjax train`."""
    judged: int = 2000
    """Customers on whom policies are compared in the end."""
    seed: int = 1


@dataclass(frozen=True)
class Story:
    """Folders of the steps: runs of `train`, and the campaigns in between."""

    runs: Mapping[str, epath.Path]
    """Runs by what the policy knew."""
    campaigns: Mapping[str, epath.Path]
    plan: Mapping[str, Any]
    """The pilot's expected cost."""


def run(out: epath.Path, sizes: Sizes) -> Story:
    """The story, a folder a step."""
    founded = step(out / "0-founded", functools.partial(found, sizes))
    cold = trained(founded, out / "1-cold", sizes)

    plan = step(out / "2-plan", functools.partial(planned, founded, sizes))
    cost, campaign = (storage.read_json(plan / "plan.json")[name] for name in ("cost", "campaign"))
    tried = step(out / "3-pilot", functools.partial(served, founded, cold, "pilot", campaign))
    first = trained(tried, out / "4-learned", sizes, after=cold)

    setting = a_quarter(sizes, waits=bool(bundles.load(pointer.find(first)).manifest.metrics[GATE]["waits"]))
    quarter = step(out / "5-quarter", functools.partial(served, tried, first, "quarter", setting))
    second = trained(quarter, out / "6-learned-again", sizes, after=first)

    told = trained(quarter, out / "7-told", sizes, effects=TRUTH)
    runs = {"believing the prior": cold, "after the pilot": first, "after the quarter": second, "told the truth": told}
    return Story(runs, {"pilot": tried, "quarter": quarter}, cost)


def step(folder: epath.Path, make: Callable[[epath.Path], None]) -> epath.Path:
    """`folder` as `make` fills it, whole or not at all; as it is where it is there already."""
    if not folder.exists():
        print(f"\n=== {folder.name}", flush=True)
        with storage.new_folder(folder) as new:
            make(new)
    return folder


# --- the company's side ---------------------------------------------------------------------------------------------


def found(sizes: Sizes, folder: epath.Path) -> None:
    """The month before: who was there, who of them left within 30 days, and who came in their place."""
    world = World.founded(truth(), sizes.customers, sizes.seed)
    before = world.table()
    for _ in range(30):
        world.live({})
    left = np.where(world.served.there, "no", "yes")
    world.begin()
    came = world.table()[left == "yes"].assign(left="")
    storage.write_text(folder / "customers.csv", pd.concat([before.assign(left=left), came]).to_csv(index=False))
    storage.write_text(folder / "company.yaml", yaml.safe_dump(ACME, sort_keys=False))
    world.save(folder)


def truth() -> EnvParams:
    """The company's constants, and what its offers do."""
    company = Company(**ACME)
    return belief.believed(TRUTH, OFFERS, env_params(company, 70.0))


def trained(
    files: epath.Path,
    folder: epath.Path,
    sizes: Sizes,
    *,
    after: epath.Path | None = None,
    effects: Mapping[str, float] | None = None,
) -> epath.Path:
    """`retentionjax train` on the company in `files`, without the stages that only judge; believing before the log what
    the run `after` learned, or told all."""
    company = yaml.safe_load((files / "company.yaml").read_text())
    if after is not None:
        company["effects"] |= yaml.safe_load((after / "effects/artifacts" / command.LEARNED).read_text())["effects"]
    company["effects"] |= effects or {}
    file = files / f"company-{folder.name}.yaml"
    storage.write_text(file, yaml.safe_dump(company, sort_keys=False))
    stages = [stage for stage in pipeline.deciding_stages() if stage.name not in ("evaluate", "report")]
    own = ["--data.company", str(file), "--runs", str(folder.parent), "--name", folder.name]
    pipeline.command(["train", *own, *sizes.training], stages)
    return folder


def planned(founded: epath.Path, sizes: Sizes, folder: epath.Path) -> None:
    """`retentionjax pilot`: what it would cost, and the setting with which the service runs it."""
    company = Company.load(founded / "company.yaml")
    people, params = pilot_command.read(company, None)
    prior = company.believed(float(params.charge_reference))
    plan = pilot.plan(params, prior, OFFERS, customers=sizes.pilot, days=PILOT_DAYS, seed=sizes.seed)
    print("\n".join(pilot_command.sentences(plan, people, company)))
    campaign = pilot_command.setting(plan, company, people, START.date())
    # All are contacted within a day, and until they answer their offers hold more money than will be spent.
    held = pilot_command.reservation(plan, company, float(people.charge.mean()))
    campaign["budget_micros"] = int(1e6 * max(held, company.limits.budget * len(people.ids)))
    campaign["pilot"] |= {"budget_share": 1.0, "ends_at": str(START + dt.timedelta(days=PILOT_DAYS))}
    campaign |= {"starts_at": str(START), "horizon_days": PILOT_DAYS + 1}
    cost = {"expected": plan.cost.median, "low": plan.cost.low, "high": plan.cost.high}
    storage.write_json(folder / "plan.json", {"campaign": campaign, "cost": cost})


def a_quarter(sizes: Sizes, *, waits: bool) -> dict[str, Any]:
    """A campaign of the policy, with some whom it never contacts, and some whom chance goes on to contact: many where
    the policy `waits`, for what is not known yet can only be tried."""
    starts = START + dt.timedelta(days=PILOT_DAYS + 1)
    arms = (NONE, *OFFERS)
    return {
        "budget_micros": int(ACME["limits"]["budget"] * sizes.customers * 1e6),
        "customers_expected": sizes.customers,
        "starts_at": str(starts),
        "horizon_days": sizes.days,
        "holdout": HOLDOUT,
        "pilot": {
            "share": TRIED_AGAIN if waits else STILL_TRIED,
            "arms": dict.fromkeys(arms, 1 / len(arms)),
            "ends_at": str(starts + dt.timedelta(days=sizes.days)),
            "budget_share": 1.0 if waits else 0.5,
        },
    }


# --- a campaign of the real service ---------------------------------------------------------------------------------


@dataclass
class PlannedContact:
    """A contact that the service decided on."""

    offer: str
    decision_id: str
    due: float
    """UTC epoch seconds."""


def served(before: epath.Path, run: epath.Path, name: str, setting: Mapping[str, Any], folder: epath.Path) -> None:
    """The campaign `name` by the bundle of `run`, a day at a time; then its lift, and the files to learn from."""
    world, starts = World.load(before, truth()), dt.datetime.fromisoformat(setting["starts_at"])
    world.begin(setting["horizon_days"])
    if (before / "ledger.db").exists():  # all that it has ever known goes on
        with (
            closing(sqlite3.connect(before / "ledger.db")) as old,
            closing(sqlite3.connect(folder / "ledger.db")) as new,
        ):
            old.backup(new)
    planned: dict[int, PlannedContact] = {}
    groups = np.full(len(world.people), "", dtype=object)
    with running(run, folder / "ledger.db", list(world.people["customer_id"]), starts) as service:
        service.put_campaign(name, setting)
        for day in range(world.days):
            service.clock.at = starts.timestamp() + day * DAY + 60
            a_day(service, world, name, planned, groups)
        lift = service.lift(name)
    truly = {"policy": world.difference(groups == "policy"), "everybody": world.difference(groups != "")}
    storage.write_json(folder / "campaign.json", {"lift": lift, "truth": truly})
    export = ["--database", f"sqlite:///{folder}/ledger.db", "--campaign", name, "--out", str(folder)]
    cli.main(["ledger", "export", "--what", "customers,contacts,departures", *export])
    company = {**ACME, **yaml.safe_load((folder / "company.yaml").read_text())}
    storage.write_text(folder / "company.yaml", yaml.safe_dump(company, sort_keys=False))
    world.save(folder)


def a_day(
    service: "Service", world: World, campaign: str, planned: dict[int, PlannedContact], groups: np.ndarray
) -> None:
    """Decisions about whom there is a reason to ask, contacts as they fall due, and the evening's reports.

    The company asks about everybody once a week, and daily while somebody is in trouble.
    """
    table, there, ids = world.table(), world.served.there, world.people["customer_id"]
    asked = np.flatnonzero(there & ((world.day % 7 == 0) | (table["trouble"] == 1)))
    for place, decision in zip(asked.tolist(), service.decide(table.iloc[asked], campaign), strict=True):
        groups[place] = groups[place] or decision["reason"]  # as she was drawn, before a pilot's end
        if (offer := decision["offer"]) is not None:
            due = dt.datetime.fromisoformat(decision["send_at"]).timestamp()
            planned[place] = PlannedContact(offer["name"], decision["decision_id"], due)
    evening = service.clock.at + DAY - 120
    due_now = {place: planned.pop(place) for place in list(planned) if planned[place].due < evening}
    sent = {place: contact for place, contact in due_now.items() if there[place]}
    accepted, left = world.live({place: OFFERS.index(contact.offer) for place, contact in sent.items()})

    service.clock.at = evening
    when = _iso(evening - DAY / 2)
    answers = [
        {
            "decision_id": contact.decision_id,
            "kind": "accepted" if accepted[place] else "declined",
            "at": _iso(max(evening - DAY / 2, contact.due)),
        }
        for place, contact in sent.items()
    ]
    gone = [{"customer_id": ids[place], "kind": "churned", "at": when} for place in np.flatnonzero(left)]
    is_week_over = world.day % 7 == 0 or world.day == world.days
    kept = np.flatnonzero(world.served.there) if is_week_over else ()
    service.report([*answers, *gone, *({"customer_id": ids[place], "kind": "kept"} for place in kept)])


def _iso(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat()


def main(arguments: Sequence[str]) -> int:
    """Tells the story with the sizes of the flags, and writes picture and page."""
    from experiments import loop_telling

    usual, parser = Sizes(), argparse.ArgumentParser(prog="python -m experiments.loop", description=__doc__)
    for name in ("customers", "pilot", "days", "judged", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, name))
    parser.add_argument("--out", default="runs/loop")
    given, training = parser.parse_known_args(list(arguments))
    out = storage.as_path(given.out)
    sizes = Sizes(given.customers, given.pilot, given.days, tuple(training) or usual.training, given.judged, given.seed)
    print(loop_telling.told(out, run(out, sizes), sizes))
    return 0


# --- the real service, as a company's own systems call it ------------------------------------------------------------


CHANNEL = "sms"
_AT_ONCE = 1000  # as many as a request may hold


@dataclass(frozen=True)
class Service:
    """A service that runs; what it refuses ends the story with its own words."""

    client: Any
    clock: Clock

    def put_campaign(self, name: str, setting: Mapping[str, Any]) -> None:
        """Makes the campaign."""
        _answer(self.client.put(f"/v1/campaigns/{name}", json=dict(setting)))

    def decide(self, table: pd.DataFrame, campaign: str) -> list[dict[str, Any]]:
        """A decision about each row: customer_id, and facts."""
        facts = table.drop(columns="customer_id").to_dict("records")
        asks = [
            {"customer_id": customer, "campaign_id": campaign, "facts": each, "channel": CHANNEL}
            for customer, each in zip(table["customer_id"], facts, strict=True)
        ]
        results = self._post("/v1/decisions:batch", "decisions", asks)
        if refused := [each["problem"] for each in results if "problem" in each]:
            raise AssertionError(f"{len(refused)} of {len(results)} decisions were refused; the first: {refused[0]}")
        return [each["decision"] for each in results]

    def report(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        """What happened."""
        results = self._post("/v1/outcomes", "outcomes", outcomes)
        if wrong := [each for each in results if each["status"] != "applied"]:
            raise AssertionError(f"{len(wrong)} of {len(results)} outcomes were not applied; the first: {wrong[0]}")

    def lift(self, campaign: str) -> dict[str, Any]:
        """What the campaign changed, as it is known now."""
        return _answer(self.client.get(f"/v1/campaigns/{campaign}/lift"))

    def _post(self, address: str, key: str, rows: Sequence[Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for start in range(0, len(rows), _AT_ONCE):
            found += _answer(self.client.post(address, json={key: rows[start : start + _AT_ONCE]}))["results"]
        return found


@contextlib.contextmanager
def running(
    run: epath.Path, ledger_file: epath.Path, customers: Sequence[str], starts: dt.datetime
) -> Iterator[Service]:
    """The service on the bundle of `run`, from `starts` on; all `customers` have agreed to be written to."""
    logs.configure("error")
    clock, database = Clock(starts.timestamp()), f"sqlite:///{ledger_file}"
    settings = Settings(
        bundle=str(pointer.find(run)), database=database, rate=0.0, deadline_ms=60_000.0, log_level="error"
    )
    ledger = Ledger.open(database, clock=clock)
    with ledger.transaction() as tx:
        _, token = tx.create_key("the company", "admin")
        for customer in customers:
            tx.set_consent(customer, CHANNEL, "granted", source="contract")
    ledger.close()
    app = create_app(settings, clock=clock, engine=functools.partial(in_this_process, clock=clock))
    with TestClient(app) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        yield Service(client, clock)


def _answer(response: Any) -> dict[str, Any]:
    if response.status_code != 200:
        raise AssertionError(f"{response.url}: {response.text}")
    found: dict[str, Any] = response.json()
    return found


if __name__ == "__main__":
    sys.exit(cli.guarded(lambda: main(sys.argv[1:])))
