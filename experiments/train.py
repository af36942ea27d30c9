"""`retentionjax train company.yaml`: from a company's files to a bundle, a report and three decisions.

The stages of the pipeline, those of a language model only where the company's `messages.model` is true: otherwise
messages are the shield's templates. What is done and whose inputs have not changed is skipped; a stage that was killed
goes on from its checkpoints when the command is given again.
"""

import argparse
import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from retentionjax.errors import ConfigError

if TYPE_CHECKING:
    from retentionjax.company import Company
    from retentionjax.decide.decision import TableDecider

_MINUTES = 6.0  # of the preset `train` on two cores, models and evaluation included
_LEAST = 60  # iterations of a policy that has learned anything


def main(arguments: Sequence[str]) -> int:
    """Runs the sub-command. Raises RetentionJaxError for what the user can mend."""
    parser = argparse.ArgumentParser(prog="retentionjax train", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("company", help="company.yaml: customers, offers, limits, perhaps a log of contacts")
    parser.add_argument("--out", help="folder of the run (runs/NAME, the name of the company)")
    parser.add_argument("--preset", default="train", help="sizes of all stages: train, demo, smoke or a YAML file")
    parser.add_argument("--minutes", type=float, help="choose sizes so that the run takes about this long on two cores")
    parser.add_argument("--force", action="store_true", help="run even stages that are done and unchanged")
    parser.epilog = (
        "Further flags set fields of stages, as --policy.ppo.learning-rate 1e-3; "
        "`python -m experiments.pipeline train --help` lists them."
    )
    given, rest = parser.parse_known_args(list(arguments))
    _run(given.company, given.out, given.preset, given.minutes, [*(["--force"] if given.force else []), *rest])
    return 0


def train(
    company: "Company",
    out: str | os.PathLike[str] | None = None,
    *,
    preset: str = "train",
    minutes: float | None = None,
    flags: Sequence[str] = (),
) -> "Run":
    """Trains the models and the policy of `company` in the folder `out` and returns the finished run.

    Called again, it skips finished stages and resumes one that was stopped.

    Args:
        out: by default `runs/<name of the company>`.
        preset: sizes of all stages: "train", "demo", "smoke" or the path of a YAML file.
        minutes: chooses the sizes so that the run takes about this long on two cores, 1 to 10,000.
        flags: set fields of stages, as on the command line: `["--policy.ppo.learning-rate", "1e-3"]`.

    Raises RetentionJaxError for what the user can mend.

    >>> run = train(Company(table, charge="fee", left="churned", window_days=30, offers={"ten": {"discount": 0.1}}))
    ... # doctest: +SKIP
    """
    from experiments import companies

    folder = PurePosixPath(os.fspath(out) if out is not None else f"runs/{company.name}")
    return _run(str(companies.save(company, f"{folder}/company")), str(folder), preset, minutes, list(flags))


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: str

    @property
    def bundle(self) -> "TableDecider":
        """The bundle: `bundle.decide(table)` decides about a DataFrame."""
        from retentionjax.decide.decision import load

        return load(self.folder)

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """The figures of each stage, by its name: `summary["evaluate"]["uplift_ppo"]`."""
        from retentionjax import storage

        files = sorted(storage.as_path(self.folder).glob("*/summary.json"))
        return {file.parent.name: storage.read_json(file) for file in files}

    def report(self) -> "Page":
        """The report as one page of HTML, which a notebook displays."""
        return Page(f"{self.folder}/report/artifacts/report.html")

    def picture(self, stage: str) -> "StagePicture":
        """The picture that `stage` drew (`effects`, `policy` or `evaluate`), which a notebook displays.

        Raises ConfigError if it drew none, naming the stages that did.
        """
        from retentionjax import storage

        found = sorted(storage.as_path(self.folder).glob("*/artifacts/*.png"), reverse=True)  # of two the first by name
        drawn = {path.parent.parent.name: str(path) for path in found}
        if stage not in drawn:
            raise ConfigError(f"{self.folder}: {stage!r} drew no picture; allowed: {', '.join(drawn) or 'none yet'}")
        return StagePicture(drawn[stage])


@dataclass(frozen=True)
class StagePicture:
    """A drawn figure."""

    path: str

    def _repr_png_(self) -> bytes:
        """The picture as notebooks show it."""
        from retentionjax import storage

        content: bytes = storage.as_path(self.path).read_bytes()
        return content


@dataclass(frozen=True)
class Page:
    """A page of HTML that needs no other file."""

    path: str

    def _repr_html_(self) -> str:
        """The page as notebooks show it: in a frame of its own."""
        from retentionjax import storage

        text = html.escape(storage.as_path(self.path).read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{text}" width="100%" height="700"></iframe>'


def _run(company: str, out: str | None, preset: str, minutes: float | None, flags: list[str]) -> Run:
    # Here, so that --help is instant.
    from experiments import companies, pipeline

    described = companies.load(company)
    folder = PurePosixPath(out or f"runs/{described.name}")
    own = ["--data.company", str(companies.path(company)), "--runs", str(folder.parent), "--name", folder.name]
    sizes = [] if minutes is None else sized(minutes)
    stages = pipeline.load_stages() if described.messages.model else pipeline.deciding_stages()
    written = written_as(described) if described.messages.model else []
    pipeline.command([preset, *own, *sizes, *written, *flags], stages)
    return Run(str(folder))


def written_as(company: "Company") -> list[str]:
    """Flags that teach a language model the company's channels and the sound of its brand."""
    channels, brand = company.messages.channels, company.messages.brand
    flags = [flag for stage in ("sft", "reward", "ppo_text") for flag in (f"--{stage}.channels", *channels)]
    return [*flags, *(["--sft.writer.system", brand] if brand else [])]


def sized(minutes: float) -> list[str]:
    """Flags that make a run take about `minutes` on two cores. Raises ConfigError for less than one minute."""
    if not 1 <= minutes <= 10_000:
        raise ConfigError(f"--minutes is {minutes:g}; allowed: 1 to 10,000")
    share = minutes / _MINUTES
    chosen = {
        "policy.ppo.num-iterations": max(_LEAST, round(400 * min(share, 4))),
        "evaluate.replicates": max(4, round(24 * min(share, 4))),
        "evaluate.optimum-customers": max(2, round(16 * min(share, 4))),
        "evaluate.t-learner.episodes": max(10_000, round(100_000 * min(share, 4))),
    }
    return [part for name, value in chosen.items() for part in (f"--{name}", str(value))]
