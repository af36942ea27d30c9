"""Pictures of whom to treat first: Qini curves of rankings, and what a budget buys when the treatment is chosen too."""

from etils import epath
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from retentionjax.evaluation.plots import BLUE, GREY, ORANGE, plain, write
from retentionjax.evaluation.targeting import Curve


def qini(mens: Curve, womens: Curve, folder: epath.Path) -> None:
    """`qini.png`: visits gained by the share written, for each e-mail, with the lines of a random order."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.subplots()
    for curve, colour, name in ((mens, BLUE, "Mens E-Mail"), (womens, ORANGE, "Womens E-Mail")):
        _draw(axes, curve, colour, f"{name}, by predicted effect")
        axes.plot([0, 100], [0, 100 * curve.gain[-1]], color=colour, linestyle="--", linewidth=1)
    axes.set_xlabel("customers written, best first [%]; dashed: in random order")
    axes.set_ylabel("visits gained [a hundred customers]")
    axes.set_title("Hillstrom: whom to write first (95 % bands)")
    axes.legend(loc="upper left", frameon=False)
    plain(axes)
    write(figure, folder / "qini.png")


def budgets(best: Curve, single: Curve, folder: epath.Path) -> None:
    """`budgeted_qini.png`: visits gained by the e-mails a budget pays, the e-mail chosen too, against one for all."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.subplots()
    _draw(axes, best, BLUE, "the e-mail of larger effect, best customers first")
    _draw(axes, single, ORANGE, "Mens E-Mail only, best customers first")
    axes.plot([0, 100], [0, 100 * single.gain[-1]], color=GREY, linestyle="--", linewidth=1, label="Mens, random order")
    axes.set_xlabel("budget [e-mails a hundred customers]")
    axes.set_ylabel("visits gained [a hundred customers]")
    axes.set_title("Hillstrom: what a budget buys (95 % bands)")
    axes.legend(loc="upper left", frameon=False)
    plain(axes)
    write(figure, folder / "budgeted_qini.png")


def _draw(axes: Axes, curve: Curve, colour: str, label: str) -> None:
    axes.plot(100 * curve.spend, 100 * curve.gain, color=colour, linewidth=2, label=label)
    axes.fill_between(100 * curve.spend, 100 * curve.low, 100 * curve.high, color=colour, alpha=0.15, linewidth=0)
