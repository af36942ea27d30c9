"""A bundle small enough to write in seconds: two classifiers of a few trees and an untrained policy."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from etils import epath

from experiments.bundle import served
from retentionjax.bundle import Contents, write
from retentionjax.bundle.language import REWARD
from retentionjax.company import Company, Offer
from retentionjax.data.schema import Provenance, Schema
from retentionjax.env import EnvParams, actions, observation
from retentionjax.env.types import MultiplierTable
from retentionjax.evaluation import learned
from retentionjax.language import hub, lora, reward, reward_files, writer
from retentionjax.rl import networks
from retentionjax.shield.lexicon import Language
from retentionjax.shield.rules import DEFAULT
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import Classifier, fit
from retentionjax.tabular.drift import Reference, describe
from retentionjax.tabular.encoder import Encoder

CHURN = Schema(
    name="phone",
    id="number",
    label="left",
    charge="bill",
    numeric=("months", "bill"),
    categorical={"plan": ("basic", "plus")},
    nullable=("months",),
)
ACCEPTANCE = Schema(name="calls", label="y", numeric=("age",), categorical={"channel": ("mail", "phone")})
COMPANY = Company(
    {
        "file": None,
        "charge": "bill",
        "left": "left",
        "window_days": 30,
        "numeric": ["months", "bill"],
        "categorical": {"plan": ["basic", "plus"]},
    },
    name="phone",
    offers={"hello": {}, "five": {"discount": 0.05}, "ten": {"discount": 0.1}, "twenty": {"discount": 0.2}},
    messages={
        "sender": {
            "name": "Northwind",
            "postal_address": "Northwind, 12 Harbor Street",
            "domains": ["northwind.example"],
            "unsubscribe_url": "https://northwind.example/unsubscribe",
        },
        "facts": [
            {"fact": "plan", "say": "plus plan", "when": {"plan": ["plus"]}},
            {"fact": "plan", "say": "basic plan", "when": {"plan": ["basic"]}},
            {"fact": "tenure", "months": "months"},
        ],
    },
)
"""Its offers are the environment's own."""
CUSTOMER: dict[str, Any] = {
    "customer_id": "C-1",
    "months": 3,
    "bill": 80.5,
    "plan": "basic",
    "age": 41,
    "channel": "mail",
}


_INIT = jax.jit(networks.init_actor_critic, static_argnums=(1, 2, 3, 4, 5))


def trained(
    seed: int = 0, scale: float = 3.0, wait_bias: float = 1.0, params: EnvParams | None = None
) -> learned.Trained:
    """A policy with random parameters, large enough that propensities differ."""
    params = EnvParams() if params is None else params
    seen = observation.size(actions.offers(params))
    sizes = (seen, actions.count(params), learned.NUM_HEADS, (16, 16), 1.0)
    nets = _INIT(jax.random.key(seed), *sizes)
    actor = (*nets.actor[:-1], nets.actor[-1].replace(kernel=nets.actor[-1].kernel * 100 * scale))
    policy = networks.PolicyNetwork(actor=actor, normaliser=None, activation="tanh")
    return learned.Trained(learned.ppo(policy, wait_bias), nets.critic)


def offers(params: EnvParams) -> dict[str, Offer]:
    """The offers of constants: by their well-known names if they are the default four, else by their number."""
    vectors = (params.discount, params.amount, params.cost, params.offer_days, params.effect_days)
    columns = (np.asarray(each, np.float64).round(6).tolist() for each in vectors)
    made = [
        Offer(discount, amount, cost, int(days), int(effect))
        for discount, amount, cost, days, effect in zip(*columns, strict=True)
    ]
    names = ("hello", "five", "ten", "twenty") if len(made) == 4 else [f"offer-{place}" for place in range(len(made))]
    return dict(zip(names, made, strict=True))


def company(params: EnvParams) -> Company:
    """One that has the offers and delays of constants."""
    return dataclasses.replace(COMPANY, offers=offers(params), delays=tuple(np.asarray(params.delays).tolist()))


def contents(policy: learned.Trained, *, kind: Any = "real", params: EnvParams | None = None) -> Contents:
    """All that `write` takes, about 400 people who leave the sooner the shorter they have been there."""
    random = np.random.default_rng(0)
    months, bill = random.uniform(0, 60, 400), random.uniform(20, 120, 400)
    plan, channel = random.choice(["basic", "plus"], 400), random.choice(["mail", "phone"], 400)
    left = random.random(400) < 0.7 * np.exp(-months / 20)
    age = random.uniform(18, 80, 400)
    accepts = random.random(400) < np.where(channel == "phone", 0.4, 0.1)
    churn = _fit(CHURN, pd.DataFrame({"months": months, "bill": bill, "plan": plan}), left)
    acceptance = _fit(ACCEPTANCE, pd.DataFrame({"age": age, "channel": channel}), accepts)
    source = Provenance(kind, "made up", "0" * 64, "none", 400)
    return Contents(
        churn=churn,
        churn_schema=CHURN,
        acceptance=acceptance,
        acceptance_schema=ACCEPTANCE,
        decide=served(policy),
        save_policy=lambda folder: learned.save(policy, folder),
        company=COMPANY if params is None else company(params),
        params=EnvParams() if params is None else params,
        limits={"campaign_budget": 2.5, "contact": None, "cooldown": 0.0, "fatigue": 0.0},
        multipliers={"campaign_budget": 0.75},
        data={"phone": source, "calls": source},
        metrics={"churn": {"cv_auc": 0.8, "cv_ece": 0.02}},
        matching={"method": "none needed"},
        git_commit=None,
    )


def make(folder: Path, *, kind: Any = "real") -> Path:
    """Writes the bundle of `trained()`; returns its folder."""
    write(folder, contents(trained(), kind=kind))
    return folder


def make_checked(folder: Path, *, seed: int = 0, params: EnvParams | None = None) -> Path:
    """A bundle that contacts readily, with the shield's templates for its messages."""
    eager = contents(trained(seed, wait_bias=-6.0, params=params), params=params)
    write(folder, dataclasses.replace(eager, rules=epath.Path(DEFAULT)))
    return folder


def make_waiting(folder: Path) -> Path:
    """A bundle with shield whose policy the gate held back: it contacts nobody."""
    patient = contents(learned.waiting(trained()))
    write(folder, dataclasses.replace(patient, rules=epath.Path(DEFAULT)))
    return folder


MULTIPLIERS = MultiplierTable(multiplier=(0.5, 1.0, 2.0), spend=(4.0, 2.0, 1.0), uplift=(6.0, 5.0, 3.0))
"""Multipliers of `decide_at`."""


def decide_at(observations: Any, masks: Any, multiplier: Any) -> tuple[Any, Any]:
    """A policy for any budget: the higher the multiplier, the surer it waits."""
    logits = jnp.zeros(masks.shape).at[:, 0].set(2 * multiplier)
    values = multiplier[:, None] * jnp.ones(learned.NUM_HEADS)
    return jax.nn.softmax(jnp.where(masks, logits, -1e9)), values


def make_any_budget(folder: Path) -> Path:
    """Makes one as `make_checked`, with the policy `decide_at` for any budget too."""
    eager = contents(trained(wait_bias=-6.0))
    checked = dataclasses.replace(eager, rules=epath.Path(DEFAULT))
    write(folder, dataclasses.replace(checked, any_budget=(decide_at, MULTIPLIERS)))
    return folder


def make_writing(folder: Path, language: Language = "en") -> Path:
    """A bundle that contacts readily and writes messages: with shield, reasons to leave that wordings may speak to, and
    the random language model `tiny`, which writes no Spanish either."""
    eager = contents(trained(wait_bias=-6.0))
    angles = {"price": ("bill",), "unused": ("months",)}
    messages = dataclasses.replace(COMPANY.messages, angles=angles, language=language)
    own = dataclasses.replace(COMPANY, messages=messages)
    write(folder, dataclasses.replace(eager, company=own, rules=epath.Path(DEFAULT), save_language=_save_tiny))
    return folder


def _save_tiny(folder: epath.Path) -> None:
    model = hub.load("tiny")
    adapter = lora.init(lora.LoraConfig(rank=2), model.decoder, jax.random.key(0))
    writer.save(folder, model, adapter, writer.WriterConfig(max_new_tokens=8))
    scorer = reward.init(reward.RewardConfig(lora=lora.LoraConfig(rank=2)), model.decoder, jax.random.key(1))
    reward_files.save(folder / REWARD, reward.RewardModel(scorer, jnp.zeros(()), jnp.ones(())))


def _fit(schema: Schema, frame: pd.DataFrame, label: np.ndarray) -> Classifier:
    config = BoosterConfig(trees=10, depth=2, learning_rate=0.3, minimum_leaf_weight=1.0)
    encoder = Encoder(schema.numeric, schema.categorical, schema.nullable)
    return fit(frame, label.astype(int), encoder, config, seed=0, folds=2)


def churn_reference(made: Contents, train: pd.DataFrame, label: Any, column: str | None) -> Reference:
    """What training customers looked like to the churn model of `made`; `label`, told by `column` if any."""
    return describe(
        train,
        numeric=CHURN.numeric,
        categorical=CHURN.categorical,
        score=made.churn.predict_raw(train),
        probability=np.asarray(made.churn.predict(train), np.float64),
        label=np.asarray(label, np.int64),
        column=column,
    )
