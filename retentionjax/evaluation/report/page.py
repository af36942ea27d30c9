"""The report as one HTML file: no script, no request, no other file."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

import retentionjax
from retentionjax import storage
from retentionjax.company.money import money, symbol
from retentionjax.evaluation.report import comparison, models, playing, trust, verdict
from retentionjax.evaluation.report.content import Section
from retentionjax.evaluation.report.playing import Played
from retentionjax.evaluation.report.run_folder import FinishedRun


@dataclass(frozen=True)
class Report:
    """All that is said about a run, before it is a page."""

    run: FinishedRun
    sections: tuple[Section, ...]
    fairness_warnings: int

    @property
    def missing(self) -> tuple[str, ...]:
        """Keys of the sections that have nothing to show."""
        return tuple(each.key for each in self.sections if len(each.missing) == len(each.blocks))


def compose(run: FinishedRun, played: Played | None, lift: Sequence[trust.Campaign] = ()) -> Report:
    """Every section, in the order of reading; `lift` is what the service measured since (`lifting.read`).

    Raises DataError where an artifact is missing or damaged.
    """
    sections = (
        verdict.section(run, played),
        trust.measured(lift),
        models.provenance(run),
        models.calibration(run),
        comparison.learning(run),
        comparison.compared(run),
        comparison.regret(run),
        trust.frontier(run),
        trust.stress(run),
        trust.off_policy(run),
        playing.treatment(played),
        models.messages(run),
        models.assumptions(run),
    )
    return Report(run, sections, playing.warnings(played))


def render(report: Report) -> str:
    """The page as text; the same run gives the same text."""
    environment = Environment(
        loader=PackageLoader("retentionjax.evaluation.report", "."),
        autoescape=select_autoescape(("html", "j2")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    environment.filters["coded"] = _coded
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    page = environment.get_template("page.html.j2").render(
        report=report,
        run=report.run,
        style=Markup(style),  # noqa: S704 - our own file
        version=retentionjax.__version__,
        made_by=_origin(report.run),
    )
    return _in_currency(page, "USD" if report.run.company is None else report.run.company.currency)


def _coded(text: str) -> Markup:
    """The text, escaped, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped here


def _in_currency(page: str, currency: str) -> str:
    """The page with the company's money: sections write `$5.23` and `[$]`, and nothing else on it has a `$`."""

    def amount(found: re.Match[str]) -> str:
        figure = found[1]
        return money(float(figure.replace(",", "")), currency, cents="." in figure) if figure else symbol(currency)

    return re.sub(r"\$(\d+(?:,\d{3})*(?:\.\d+)?)?", amount, page)


def write(report: Report, path: str | os.PathLike[str]) -> int:
    """Puts the page at `path`, whole or not at all; returns its bytes."""
    text = render(report)
    storage.write_text(path, text)
    return len(text.encode())


def _breakable(text: str) -> Markup:
    """Text in which an address or a long name may go on in the next line."""
    return Markup("<wbr>").join(re.split(r"(?<=[/_])", text))


def _origin(run: FinishedRun) -> str:
    """Commit and time of the bundle, where there is one."""
    stage = run.get("bundle")
    if stage is None:
        return ""
    manifest = stage.json("bundle/manifest.json")
    commit = (manifest["git_commit"] or "")[:12]
    return f"bundle {manifest['id'][:12]} of {manifest['created']}" + (f", commit {commit}" if commit else "")
