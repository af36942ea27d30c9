"""What contacts and offers do: by the company's own randomised log, or as believed before one where it has none.

Writes `artifacts/effects.json`, `effects.png` and `draws.npz`: 256 joint draws by name, in which the policy is trained
and judged. Numbers that the company declares are the same in all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from etils import epath

from experiments import companies
from experiments.data import DataConfig
from experiments.stage import Context, Stage, read_record
from retentionjax import storage
from retentionjax.company import Company
from retentionjax.data import company_tables
from retentionjax.data.company_file import Mode
from retentionjax.effects import command, draws_to_params, telling
from retentionjax.effects.belief import DRIFT
from retentionjax.env import record, worlds
from retentionjax.env.types import EnvParams


@dataclass(frozen=True)
class EffectsConfig:
    seed: int = 42
    """Seed of the draws."""


def run(config: EffectsConfig, context: Context) -> dict[str, float]:
    """Files → log → posterior, or the prior. See Stage."""
    made = read_record(context.inputs["data"])
    assert made is not None  # `Stage` has seen that it is done
    company = companies.load(made.places["company"])
    rows = made.config.get("synthetic_rows", DataConfig().synthetic_rows)
    tables = company_tables.read(company, mode=Mode(context.data_source, rows))
    posterior, arms, log = command.learn(company, tables=tables, seed=config.seed)
    for line in telling.sentences(posterior, arms, company):
        print(f"[effects] {line}", flush=True)
    command.write_belief(context.artifacts, company, posterior, arms)
    return command.summary(company, posterior, log)


def levels(inputs: Mapping[str, epath.Path]) -> dict[str, float]:
    """Log-odds to add to the scores of the stages `churn` and `acceptance`, as the finished stage found or declared
    them; 0 where nobody knows better.

    Scores are of customers of whom most were contacted; the environment's are of those left alone. They are fresh at a
    log's beginning, as they are in the service: of how the hazard moved with a log's days they hold what the average of
    a score's own window does.
    """
    found = storage.read_json(inputs["effects"] / "summary.json")
    months = companies.of(inputs).customers.label_days / 30
    drift = found.get(f"{DRIFT}_median", 0.0)  # of logs alone
    return {"churn": found["churn_shift_median"] + drift * months / 2, "acceptance": found["accept_shift_median"]}


def believed(context: Context, company: Company, params: EnvParams, chosen: dict[str, object]) -> EnvParams:
    """`params` under the draws of the finished stage; constants in `chosen` are as given there, in every world."""
    draws = storage.read_arrays(context.inputs["effects"] / "artifacts" / command.DRAWS)
    doubted = worlds.believing(params, draws_to_params(draws, list(company.offers), params))
    left = {name: leaf for name, leaf in (doubted.worlds or {}).items() if name not in chosen}
    return record.from_dict(chosen, doubted.replace(worlds=left or None))  # type: ignore[attr-defined]


STAGE = Stage("effects", EffectsConfig, run, needs=("data",))

if __name__ == "__main__":
    STAGE.main()
