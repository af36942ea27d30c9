"""`retentionjax train company.yaml`: from a company's files to a bundle, a report and three decisions.

The stages of the pipeline, without a language model: messages are the shield's templates. What is done and whose inputs
have not changed is skipped; a stage that was killed goes on from its checkpoints when the command is given again.
"""

import argparse
from collections.abc import Sequence
from pathlib import PurePosixPath

from retentionjax.errors import ConfigError

_MINUTES = 6.0  # of the preset `train` on two cores, models and evaluation included
_LEAST = 30  # iterations of a policy that has learned anything


def main(arguments: Sequence[str]) -> int:
    """Runs the sub-command. Raises RetentionJaxError for what the user can mend."""
    parser = argparse.ArgumentParser(prog="retentionjax train", description=__doc__.partition("\n\n")[0])
    parser.add_argument("company", help="company.yaml: customers, offers, limits, perhaps a log of contacts")
    parser.add_argument("--out", help="folder of the run (runs/<name of the company>)")
    parser.add_argument("--preset", default="train", help="sizes of all stages: train, demo, smoke or a YAML file")
    parser.add_argument("--minutes", type=float, help="about so long on two cores: sizes are chosen for it")
    parser.add_argument("--force", action="store_true", help="run even what is done and unchanged")
    parser.epilog = (
        "Further flags set fields of stages, as --policy.ppo.learning-rate 1e-3; "
        "`python -m experiments.pipeline train --help` lists them."
    )
    given, rest = parser.parse_known_args(list(arguments))
    # Here, so that --help is instant.
    from experiments import companies, pipeline

    company = companies.load(given.company)
    out = PurePosixPath(given.out or f"runs/{company.name}")
    flags = ["--data.company", str(companies.path(given.company)), "--runs", str(out.parent), "--name", out.name]
    flags += ["--force"] if given.force else []
    sizes = [] if given.minutes is None else sized(given.minutes)
    stages = pipeline.deciding_stages()
    pipeline.command([given.preset, *flags, *sizes, *rest], stages, program="retentionjax train")
    return 0


def sized(minutes: float) -> list[str]:
    """Flags by which a run takes about so long on two cores. Raises ConfigError for less than a minute."""
    if not 1 <= minutes <= 10_000:
        raise ConfigError(f"--minutes is {minutes:g}; allowed: 1 to 10,000")
    share = minutes / _MINUTES
    chosen = {
        "policy.ppo.num-iterations": max(_LEAST, round(200 * min(share, 4))),
        "evaluate.replicates": max(4, round(24 * min(share, 4))),
        "evaluate.optimum-customers": max(2, round(16 * min(share, 4))),
        "evaluate.t-learner.episodes": max(10_000, round(100_000 * min(share, 4))),
    }
    return [part for name, value in chosen.items() for part in (f"--{name}", str(value))]
