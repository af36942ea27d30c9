"""The picture of a PPO run on text: what it gains, what it pays, and how far it moves."""

from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath
from matplotlib.figure import Figure

from retentionjax.evaluation.plots import BLUE, GREEN, GREY, ORANGE, plain, write
from retentionjax.language.ppo_config import TextPPOConfig

Record = Mapping[str, float | None]
_PANELS = (
    ("objective/scores", "reward", BLUE),
    ("objective/cost", "blocked by the shield", ORANGE),
    ("objective/lambda", "price of a block λ", ORANGE),
    ("objective/kl", "KL [nats a message]", GREEN),
    ("objective/kl_coef", "price of a nat β", GREEN),
    ("objective/length", "tokens a message", BLUE),
)


def learning_curve(records: Sequence[Record], config: TextPPOConfig, folder: epath.Path) -> None:
    """`learning_curve.png`: reward, cost and its price, KL and its price, and length, by rollout."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    steps = [record["step"] for record in records]
    for axes, (name, label, colour) in zip(figure.subplots(2, 3, sharex=True).flat, _PANELS, strict=True):
        values = [np.nan if (value := record.get(name)) is None else value for record in records]
        axes.plot(steps, values, color=colour)
        axes.set_title(label, fontsize="medium")
        bound = {"objective/cost": config.safety.limit, "objective/kl": config.kl.target}.get(name)
        if bound is not None:
            axes.axhline(bound, color=GREY, linestyle="--", linewidth=1)
        plain(axes)
    figure.supxlabel("rollout")
    write(figure, folder / "learning_curve.png")
