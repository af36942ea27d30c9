"""The run as one page for the person who decides: `artifacts/report.html`, and who is treated how in `fairness.json`.

Optional stages (other budgets, stress, a real trial) are shown if the run has them; `retentionjax report --run DIR`
writes the page anew, also of a run that lacks stages.
"""

from dataclasses import dataclass, replace
from typing import Annotated

from experiments.config import DECIDING, STAGES
from experiments.stage import Context, Stage
from retentionjax import storage
from retentionjax.checked import Checked, Seed, Within
from retentionjax.evaluation.report import page, playing, run_folder
from retentionjax.evaluation.statistics import plain


@dataclass(frozen=True)
class ReportConfig(Checked):
    replicates: Annotated[int, Within(1, 10_000)] = playing.REPLICATES
    """Campaigns a held-out customer behind the rates of contacts and offers."""
    seed: Seed = playing.SEED


def run(config: ReportConfig, context: Context) -> dict[str, float]:
    """Read → play → write. See Stage."""
    beside = {entry.name: entry for entry in sorted(context.folder.parent.iterdir()) if entry.is_dir()}
    found = run_folder.collect(context.folder.parent.name, {**beside, **context.inputs}, where=context.folder.parent)
    played = playing.played(found, replicates=config.replicates, seed=config.seed)
    if played is not None:
        storage.write_json(context.artifacts / "fairness.json", plain(played))
    report = page.compose(found, played)
    out = context.artifacts / "report.html"
    size = page.write(report, out)
    print(f"[report] open {out}", flush=True)
    return {
        "sections": float(len(report.sections) - len(report.missing)),
        "sections_missing": float(len(report.missing)),
        "fairness_warnings": float(report.fairness_warnings),
        "page_bytes": float(size),
    }


STAGE = Stage("report", ReportConfig, run, needs=tuple(name for name in STAGES if name != "report"))
OF_DECISIONS = replace(STAGE, needs=DECIDING)
"""The stage for a run without a language model."""

if __name__ == "__main__":
    STAGE.main()
