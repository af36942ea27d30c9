"""`retentionjax report --run DIR [--lift FILE] [--out FILE]`: a run as one HTML page."""

import argparse
from collections.abc import Sequence

NAME = "report.html"
DEMO = "retentionjax-demo.html"


def main(arguments: Sequence[str]) -> int:
    """Writes the page and says where; raises DataError for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="retentionjax report",
        description="A run as one self-contained HTML page: what to do, what it is worth, how sure that is, and why.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", metavar="DIR", help="folder of a run, such as runs/demo")
    which.add_argument("--demo", action="store_true", help="the report of the run behind the demonstration")
    parser.add_argument("--lift", metavar="FILE", help="output of `retentionjax lift --json`: adds the measured lift")
    parser.add_argument("--out", metavar="FILE", help=f"the page; DIR/{NAME} by default, {DEMO} with --demo")
    parsed = parser.parse_args(list(arguments))
    if parsed.demo and parsed.lift:
        parser.error("--lift: the page of the demonstration is ready-made; give --run")
    if parsed.demo:
        _show_demo(parsed.out or DEMO)
        return 0

    from retentionjax import storage
    from retentionjax.errors import DataError
    from retentionjax.evaluation.report import page, playing, run_folder, trust

    run = run_folder.read(parsed.run)
    out = storage.as_path(parsed.out) if parsed.out else storage.as_path(parsed.run) / NAME
    if out.is_dir():
        raise DataError(f"{out}: is a folder; --out names the file to write")
    lift = trust.read(parsed.lift) if parsed.lift else ()
    report = page.compose(run, playing.played(run), lift)
    size = page.write(report, out)
    if run.is_synthetic:
        print("SYNTHETIC DATA: no figure describes real customers")
    print(f"{out}: {len(report.sections) - len(report.missing)} of {len(report.sections)} sections, {size:,} bytes")
    if report.missing:
        print(f"not in this run: {', '.join(report.missing)}; the page says which command makes each")
    return 0


def _show_demo(out: str) -> None:
    """A copy of the page that comes with the package: making it takes the run's data, which do not."""
    from retentionjax import demo, storage

    storage.write_bytes(out, demo.REPORT.read_bytes())
    print(f"{out}: the report of the demonstration's run, {demo.REPORT.stat().st_size:,} bytes")
