"""Puts models and policy into `artifacts/bundle/`, loads it back, and decides for three held-out customers.

Their files are `artifacts/customers/*.json`: `retentionjax decide --bundle … --customer …` repeats each decision. It
comes before the evaluation, which takes longer and changes no decision.

Where the learned policy was not shown to beat never contacting, or what is known of the effects failed its check, the
bundle holds one that always waits (`gated`).
"""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import pandas as pd
from etils import epath
from rich.console import Console

from experiments import companies, effects
from experiments import customers as people
from experiments.config import in_range
from experiments.stage import Context, Stage
from retentionjax import bundle as bundles
from retentionjax import storage
from retentionjax.bundle import Bundle, Contents
from retentionjax.bundle.customer import HISTORY, ID, RECIPIENT
from retentionjax.bundle.manifest import GATE
from retentionjax.bundle.program import Decide
from retentionjax.checked import Checked, Seed, Share, Within
from retentionjax.company import Company
from retentionjax.data import catalog
from retentionjax.data.schema import Schema, Table
from retentionjax.decide.decision import Write, compose, decide
from retentionjax.decide.printing import show, to_dict
from retentionjax.decide.program import Decider
from retentionjax.env import actions, dynamics, observation, record
from retentionjax.env.actions import WAIT
from retentionjax.env.types import EnvParams
from retentionjax.errors import ConfigError
from retentionjax.evaluation import learned
from retentionjax.evaluation.rollout import PolicyInput
from retentionjax.shield.rules import DEFAULT
from retentionjax.tabular.classifier import Classifier
from retentionjax.tabular.drift import Reference, describe

CUSTOMERS, CONTACTS = "customers", "contacts"  # data sets of the stages churn and acceptance
CANDIDATES = 12
Gate = Mapping[str, float]
"""See `bundle.manifest.GATE`."""
MADE_UP_NAMES = ("Dana", "Robin", "Alex")  # the data hold none
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class BundleConfig(Checked):
    check_rows: Annotated[int, Within(1, 10**6)] = 4096
    """Random observations on which the exported policy is compared with the trained one."""
    maximum_difference: Share = 1e-5
    """Gate on that comparison, in propensity and in relative value."""
    minimum_probability: Share = 0.9
    """Gate: the chance that the learned policy beats never contacting, below which the bundle always waits and advises
    a pilot. 0 ships the learned policy whatever its chance, and whatever the check of the effects said."""
    seed: Seed = 42


def run(config: BundleConfig, context: Context) -> dict[str, float]:
    """Write → load → compare → decide. See Stage."""
    trained, gate = gated(context, config.minimum_probability)
    folder = context.artifacts / "bundle"
    manifest = bundles.write(folder, contents(trained, gate, context), replace=True)
    bundle = bundles.load(folder)
    difference = compare(bundle, served(trained), config)
    in_range("decide_max_abs_difference (gate maximum_difference)", difference, 0.0, config.maximum_difference)
    if manifest.advice:
        print(f"[bundle] WARNING: {manifest.advice} (--bundle.minimum-probability 0 ships it all the same)", flush=True)
    flags = decisions(bundle, examples(context, bundle), context.artifacts, write=None)
    return {
        "bundle_bytes": sum(file.size for file in manifest.files.values()),
        "files": len(manifest.files),
        "decide_max_abs_difference": difference,
        **gate,
        **flags,
    }


def gated(context: Context, minimum: float) -> tuple[learned.Trained, Gate]:
    """The learned policy, or one that always waits where its chance to beat never contacting is below `minimum`, or
    rests on draws that failed their check. Raises ConfigError for a run that does not say either."""
    trained = learned.load(context.inputs["policy"] / "artifacts/policy")
    chance, is_reliable = _figure(context, "policy", "gate_probability"), _figure(context, "effects", "is_reliable")
    waits = chance < minimum or (not is_reliable and minimum > 0)
    gate = {"gate_probability": chance, "gate_minimum": minimum, "is_reliable": is_reliable, "waits": float(waits)}
    return (learned.waiting(trained) if waits else trained), gate


def shipped(folder: epath.Path) -> tuple[learned.Trained, Gate]:
    """The policy in the bundle at `folder`, and what it was judged by. Raises ConfigError where it does not say."""
    metrics = bundles.manifest.read(folder).metrics
    if GATE not in metrics:
        raise ConfigError(f"{folder} does not say how its policy was judged: it is of another version; make it anew")
    return learned.load(folder / "policy"), metrics[GATE]


def _figure(context: Context, stage: str, key: str) -> float:
    file = context.inputs[stage] / "summary.json"
    summary = storage.read_json(file)
    if key not in summary:
        raise ConfigError(f"{file} has no {key}: the run is of another version; run experiments.{stage} anew")
    return float(summary[key])


def decisions(
    bundle: Bundle, customers: Mapping[str, dict[str, Any]], artifacts: epath.Path, write: Write | None
) -> dict[str, float]:
    """Decides for each, prints it with its message, and keeps file and answer; whether it contacts, by name."""
    flags, decider = {}, Decider(bundle, sizes=(1,))
    for name, customer in customers.items():
        path = artifacts / "customers" / f"{name}.json"
        storage.write_json(path, customer)
        command = f"retentionjax decide --bundle {bundle.folder} --customer {path}"
        print(f"\n=== {name.replace('_', ' ')}: {command}", flush=True)
        decision = decide(decider, storage.read_json(path), where=str(path))
        message = compose(decision, customer, write, where=str(path))
        show(decision, Console(highlight=False, soft_wrap=True), message=message)
        storage.write_json(artifacts / "decisions" / f"{name}.json", to_dict(decision, message))
        flags[f"contact_{name}"] = float(decision.action != WAIT)
    return flags


def contents(trained: learned.Trained, gate: Gate, context: Context) -> Contents:
    """What the stages before made, put together, with the policy as `gated` gave it."""
    inputs = context.inputs
    company = companies.of(inputs)
    sets = models(company)
    data = {name: catalog.read(inputs["data"] / "artifacts", name).train for name in dict.fromkeys(sets.values())}
    policy, scores = inputs["policy"] / "artifacts", classifiers(inputs)
    summaries = {name: storage.read_json(folder / "summary.json") for name, folder in inputs.items()}
    return Contents(
        churn=scores["churn"],
        churn_schema=data[CUSTOMERS].schema,
        acceptance=scores["acceptance"],
        acceptance_schema=data[sets["acceptance"]].schema,
        decide=served(trained),
        save_policy=lambda folder: learned.save(trained, folder),
        company=company,
        params=record.from_dict(storage.read_json(policy / "env.json")),
        limits=storage.read_json(policy / "limits.json"),
        multipliers={"campaign_budget": summaries["policy"]["multiplier_campaign_budget"]},
        data={name: table.provenance for name, table in data.items()},
        metrics={**summaries, GATE: gate},
        matching=storage.read_json(policy / people.MATCHING),
        git_commit=git_commit(),
        rules=None if company.messages.sender is None else epath.Path(DEFAULT),
        references={
            model: reference(inputs[model], data[name], with_charge=model == "churn")
            for model, name in sets.items()
            if model == "churn" or name == CONTACTS  # of own contacts the offers would have to be told apart
        },
    )


def classifiers(inputs: Mapping[str, epath.Path]) -> dict[str, Classifier]:
    """The models `churn` and `acceptance`, at the level at which the policy was taught."""
    levels = effects.levels(inputs).items()
    return {name: Classifier.load(inputs[name] / "artifacts/classifier").shifted(level) for name, level in levels}


def models(company: Company) -> dict[str, str]:
    """The data set whose facts each model sees: a log of other people has facts of its own."""
    others = company.contacts is not None and company.contacts.other_people is not None
    return {"churn": CUSTOMERS, "acceptance": CONTACTS if others else CUSTOMERS}


def reference(stage: epath.Path, table: Table, *, with_charge: bool) -> Reference:
    """What a model's training rows looked like, and how well its out-of-fold predictions fitted them; with the charge,
    by which every amount of money is computed, where it is watched."""
    predictions = pd.read_parquet(storage.in_memory(stage / "artifacts/predictions.parquet")).set_index("row")
    train = predictions.loc[table.frame.index]
    schema = table.schema
    return describe(
        table.frame,
        numeric=tuple(dict.fromkeys((*schema.numeric, *([str(schema.charge)] if with_charge else [])))),
        categorical=schema.categorical,
        score=train["score"].to_numpy(np.float64),
        probability=train["probability"].to_numpy(np.float64),
        label=train["label"].to_numpy(np.int64),
        column=schema.label,
        positive=schema.positive,
        negative=schema.negative,
        who=None if schema.id is None else table.frame[schema.id].to_numpy(object),
    )


def served(trained: learned.Trained) -> Decide:
    """The policy as it is served: propensities with the bias on *wait* and the mask applied, and the value heads."""

    def one(observation: jax.Array, mask: jax.Array) -> jax.Array:
        situation: Any = PolicyInput(observation, mask, None, None)  # type: ignore[arg-type]  # it looks at these two
        return jax.nn.softmax(learned.logits(trained.policy, situation))

    return lambda observations, masks: (jax.vmap(one)(observations, masks), trained.values(observations))


def compare(bundle: Bundle, live: Callable[..., Any], config: BundleConfig) -> float:
    """Largest difference of the loaded program from the trained policy: propensities, and values over 1 + |value|."""
    random = np.random.default_rng(config.seed)
    offers = actions.offers(bundle.params)
    shape = (config.check_rows, observation.size(offers))
    observations = random.uniform(*observation.bounds(offers), shape).astype(np.float32)
    masks = random.random((config.check_rows, actions.count(bundle.params))) < 0.7
    masks[:, WAIT] = True
    propensities, values = bundle.decide(observations, masks)
    expected, expected_values = (np.asarray(each) for each in jax.jit(live)(observations, masks))
    relative = np.abs(values - expected_values) / (1 + np.abs(expected_values))
    return float(max(np.abs(propensities - expected).max(), relative.max()))


def git_commit() -> str | None:
    """The commit of this checkout, `-dirty` if files differ from it; None where it is no repository."""
    ask = ["git", "-C", str(ROOT)]
    try:
        top = subprocess.run([*ask, "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=True).stdout
        if Path(top.strip()) != ROOT:
            return None  # installed inside somebody else's repository
        described = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run([*ask, *described], capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None


# --- three customers ------------------------------------------------------------------------------------------


def examples(context: Context, bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Held-out customers as `retentionjax decide` reads them: in trouble today, ordinary, contacted three days ago.

    Of `CANDIDATES` in the upper third of the risks the one in trouble is whom the policy contacts most readily.
    """
    held_out, decider = HeldOut.read(context), Decider(bundle, sizes=(1,))
    in_trouble = [troubled(held_out.at(share, bundle), decider) for share in np.linspace(0.67, 0.99, CANDIDATES)]
    ordinary, contacted = held_out.at(0.50, bundle), held_out.at(0.75, bundle)
    chosen = {
        "high_risk_elevated": min(in_trouble, key=lambda customer: decide(decider, customer).propensities[WAIT]),
        "ordinary": {**ordinary, HISTORY: {"day": day_of(10, bundle)}},
        "recently_contacted": {**contacted, HISTORY: recently_contacted(bundle)},
    }
    names = dict(zip(chosen, MADE_UP_NAMES, strict=True))
    return {name: {**customer, RECIPIENT: {"first_name": names[name]}} for name, customer in chosen.items()}


def troubled(customer: dict[str, Any], decider: Decider) -> dict[str, Any]:
    """The customer on a day on which something happened: the usual score in its ledger is what it would be else."""
    today = float(decider.score(decider.facts.records([customer])).churn_probability[0])
    usual = float(f"{usual_risk(today, decider.bundle.params):.4g}")
    return {**customer, HISTORY: {"day": day_of(10, decider.bundle), "baseline_churn_probability": usual}}


def recently_contacted(bundle: Bundle) -> dict[str, Any]:
    """History of a customer contacted three days ago, or as long as the campaign lasts: one of a day has no past."""
    day = day_of(20, bundle)
    contact = {"contacts_days_ago": [min(3, day)], "account_used": float(bundle.params.contact_cost)}
    return {"day": day, **(contact if day else {})}


def day_of(day: int, bundle: Bundle) -> int:
    """A day of the campaign, however short it is."""
    return min(day, int(bundle.params.horizon_days) - 1)


def usual_risk(today: float, params: EnvParams) -> float:
    """The baseline churn probability of a customer whose score of today is that of an elevated day."""
    hazard = float(dynamics.average_hazard(today, params))
    share = float(dynamics.elevated_share(params))
    usual = hazard * (1 - share + params.risk_ratio * share) / params.risk_ratio
    return float(-np.expm1(params.risk_window_days * np.log1p(-usual)))


@dataclass(frozen=True)
class HeldOut:
    """Customers that no model has seen, with all their facts."""

    table: pd.DataFrame
    """Table of the policy stage, by rising churn risk."""
    own: pd.DataFrame
    """Facts of the customers, in the order that the table's index counts: an id may have several rows."""
    matched: pd.DataFrame | None
    """Facts of the held-out rows of a log of other people, in the order that `accept_row` counts; None for none."""

    @classmethod
    def read(cls, context: Context) -> "HeldOut":
        """Contents read from the stages' artifacts."""
        data = context.inputs["data"] / "artifacts"
        facts = catalog.read(data, CUSTOMERS).held_out
        matched = None
        if models(companies.of(context.inputs))["acceptance"] == CONTACTS:
            stage = context.inputs["acceptance"] / "artifacts/predictions.parquet"
            predictions = pd.read_parquet(storage.in_memory(stage))
            rows = predictions[predictions["split"].isin(people.HELD_OUT)]["row"]
            log = catalog.read(data, CONTACTS)
            matched = pd.concat([log.validation.frame, log.test.frame]).loc[rows]
        table = pd.read_parquet(storage.in_memory(context.inputs["policy"] / "artifacts/held_out.parquet"))
        return cls(table.sort_values("churn_probability", kind="stable"), facts, matched)

    def at(self, share: float, bundle: Bundle) -> dict[str, Any]:
        """Facts of the customer whose risk exceeds that of this share of customers, as JSON."""
        row = self.table.iloc[int(share * (len(self.table) - 1))]
        own = self.own.iloc[int(str(row.name))].to_dict()
        matched = {} if self.matched is None else self.matched.iloc[int(row["accept_row"])].to_dict()
        wanted = dict.fromkeys((*bundle.schema.features, str(bundle.schema.charge)))
        facts = {name: _json(bundle.schema, name, {**matched, **own}[name]) for name in wanted}
        return {ID: str(row["customer_id"]), **facts}


def _json(schema: Schema, name: str, value: Any) -> Any:
    if pd.isna(value):
        return None
    return str(value) if name in schema.categorical else float(value)


STAGE = Stage("bundle", BundleConfig, run, needs=("data", "churn", "acceptance", "effects", "policy"))

if __name__ == "__main__":
    STAGE.main()
