"""`retentionjax effects company.yaml [--out DIR]`: what contacts and offers do, believed and by the company's own log.

With `--trial FILE` the evidence is a table of a randomised trial instead of the log: arm (an offer's name, or none),
customers, departures, days; the offer was applied to the whole arm without asking.

Writes effects.json, draws.npz (256 joint draws by name), effects.png, summary.json and learned.yaml into DIR: what the
next log's company.yaml may believe beforehand.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # heavy, and `--help` needs none of them
    from etils import epath

    from retentionjax.company import Company
    from retentionjax.company.prior import Effect
    from retentionjax.data.company_tables import Tables
    from retentionjax.effects.itt import TrialArm
    from retentionjax.effects.log import Log
    from retentionjax.effects.posterior import Posterior

DRAWS = "draws.npz"
LEARNED = "learned.yaml"
_WINDOW = 30  # days after an assignment, of the table without a model
_FORMAT = 1


def main(arguments: Sequence[str]) -> int:
    """Runs `effects` with `arguments`; raises CompanyError, FilesError or DataError for what the user can mend."""
    parser = argparse.ArgumentParser(prog="retentionjax effects", description=__doc__)
    parser.add_argument("company", metavar="company.yaml")
    parser.add_argument("--out", metavar="DIR", help="new folder for the results (runs/NAME/effects)")
    parser.add_argument(
        "--trial", metavar="FILE", help="CSV of a trial, used instead of the log: arm,customers,departures,days"
    )
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args(list(arguments))
    from retentionjax.company import Company
    from retentionjax.effects import telling

    company = Company.load(parsed.company)
    posterior, arms, log = learn(company, trial_file=parsed.trial, seed=parsed.seed)
    print("\n".join(telling.sentences(posterior, arms, company)))
    folder = parsed.out or f"runs/{company.name}/effects"
    write(folder, company, posterior, arms, log)
    print(f"written: {folder}")
    return 0


def learn(
    company: "Company", *, tables: "Tables | None" = None, trial_file: str | None = None, seed: int = 0
) -> "tuple[Posterior, tuple[TrialArm, ...], Log | None]":
    """The posterior of a company's effects, the table of its arms, and its log; without a usable log the prior.

    `tables` are the company's own where None. With `trial_file` that trial is the evidence, and there is neither table
    nor log.
    """
    from retentionjax.company.environment import env_params
    from retentionjax.data import company_tables
    from retentionjax.effects import itt
    from retentionjax.effects.log import of_company
    from retentionjax.effects.posterior import estimate, unlearned

    tables = company_tables.read(company) if tables is None else tables
    charge = float(tables.customers.frame[str(tables.customers.schema.charge)].median())
    prior = company.believed(charge)
    if trial_file is not None:
        return _of_trial(company, tables, prior, charge, trial_file, seed), (), None
    log = of_company(company, tables, prior)
    if isinstance(log, str):
        return unlearned(prior, log, seed=seed), (), None
    params = env_params(company, charge)
    posterior = estimate(log, prior, params, seed=seed)
    medians = {name: each.median for name, each in posterior.estimates.items()}
    return posterior, itt.table(log, params, _WINDOW, medians), log


def _of_trial(
    company: "Company", tables: "Tables", prior: "dict[str, Effect]", charge: float, file: str, seed: int
) -> "Posterior":
    """The trial was among the company's own customers: each stands for the others at the average risk."""
    from retentionjax.company.environment import env_params
    from retentionjax.effects import trial
    from retentionjax.env import population

    share = float(tables.customers.frame[str(tables.customers.schema.label)].mean())
    alike = population.build([charge], [share], [0.5])  # nobody was asked: acceptance says nothing
    params = env_params(company, charge).replace(population=alike)  # type: ignore[attr-defined]
    return trial.estimate(trial.read(file, list(company.offers)), prior, params, seed=seed)


def write(
    folder: str, company: "Company", posterior: "Posterior", arms: "tuple[TrialArm, ...]", log: "Log | None"
) -> None:
    """The four files. Raises RetentionJaxError where the folder exists."""
    from retentionjax import storage

    with storage.new_folder(folder) as new:
        write_belief(new, company, posterior, arms)
        storage.write_json(new / "summary.json", summary(company, posterior, log))


def write_belief(
    folder: "epath.Path", company: "Company", posterior: "Posterior", arms: "tuple[TrialArm, ...]"
) -> None:
    """The files but the summary, into a folder that exists."""
    from retentionjax import storage
    from retentionjax.effects import telling
    from retentionjax.tabular import plots

    storage.write_json(folder / "effects.json", as_json(company, posterior, arms))
    storage.write_arrays(folder / DRAWS, posterior.draws)
    storage.write_text(folder / LEARNED, as_beliefs(company, posterior))
    storage.write_bytes(folder / "effects.png", plots.png(telling.picture(posterior, company)))


def as_beliefs(company: "Company", posterior: "Posterior") -> str:
    """The part `effects:` of a company.yaml that believes, before its next log, what this one taught.

    Each effect by itself: how they go together is not in it. How far this log was from its scores is left out, for the
    next has other scores.
    """
    import yaml

    from retentionjax.effects.belief import IN_A_LOG

    source = f"learned from a log of {company.name}"
    believed = {name: asdict(each) for name, each in company.effects.items()}
    believed |= {
        name: {"median": each.median, "low": each.low, "high": each.high, "source": source}
        for name, each in posterior.estimates.items()
        if each.is_estimated and name not in IN_A_LOG
    }
    words = "# What company.yaml may believe before its next log, which must not hold the contacts of this one again.\n"
    return words + yaml.safe_dump({"effects": believed}, sort_keys=False)


def as_json(company: "Company", posterior: "Posterior", arms: "tuple[TrialArm, ...]") -> dict[str, Any]:
    """Every effect with its prior, its posterior, and what it rests on; the arms; what was refused."""
    effects = {
        name: {
            "prior": asdict(each.prior),
            "median": each.median,
            "low": each.low,
            "high": each.high,
            "rests_on": "estimated" if each.is_estimated else "assumed",
            "because": each.because,
            "is_shown": posterior.is_shown(name),
        }
        for name, each in posterior.estimates.items()
    }
    return {
        "format": _FORMAT,
        "company": company.name,
        "currency": company.currency,
        "offers": list(company.offers),
        "effects": effects,
        "refused": [asdict(each) for each in posterior.refused],
        "arms": [asdict(each) for each in arms],
        "pareto_k": posterior.pareto_k,
        "r_hat": posterior.r_hat,
        "is_reliable": posterior.is_reliable,
    }


def summary(company: "Company", posterior: "Posterior", log: "Log | None") -> dict[str, float]:
    """Flat figures: `<effect>_median`, `_low`, `_high`, `_is_estimated` (1 or 0); an offer's as `<effect>_<offer>`."""
    from retentionjax.effects.balance import balance, predictability

    found: dict[str, float] = {
        "offers": len(company.offers),
        "identified": sum(each.is_estimated for each in posterior.estimates.values()),
        "pareto_k": posterior.pareto_k,
        "is_reliable": int(posterior.is_reliable),
    }
    if log is not None:
        found |= {"customers": len(log.monthly_charge), "assignments": len(log.day)}
        if log.propensity is not None:
            found |= {"assignment_balance_p": balance(log), "assignment_auc": predictability(log).auc}
    for name, each in posterior.estimates.items():
        key = name.replace(".", "_")
        found |= {f"{key}_median": each.median, f"{key}_low": each.low, f"{key}_high": each.high}
        found[f"{key}_is_estimated"] = int(each.is_estimated)
    return found
