"""What all three trainings do around a step: resume, show, record, evaluate, save."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from retentionjax.checkpoint import Checkpoints
from retentionjax.tracking import Tracker, progress

State = TypeVar("State")
Metrics = Mapping[str, float]


def run(
    description: str,
    state: State,
    steps: int,
    step: Callable[[State, int], tuple[State, Metrics]],
    *,
    unit: str = "steps",
    shown: tuple[str, ...] = (),
    evaluate: Callable[[State, int], Metrics] | None = None,
    evaluate_every: int = 0,
    tracker: Tracker | None = None,
    checkpoints: Checkpoints | None = None,
    checkpoint_every: int = 0,
    resume: bool = False,
) -> tuple[State, dict[str, float]]:
    """Steps `done` … `steps` − 1, where `done` is the newest checkpoint's step with `resume`, else 0.

    Args:
        step: takes the state and the step's number, from 0. Whatever is random in it must come from these two, so that
            a run that was cut off goes on exactly.
        shown: names of metrics that stand beside the bar.
        evaluate: after every `evaluate_every` steps (0: never) and after the last one.

    Returns:
        The last state, and the last value of every metric.

    Raises:
        CheckpointError: `resume`, and the newest checkpoint does not fit `state`.
    """
    done = 0
    if resume and checkpoints is not None and (latest := checkpoints.latest_step()) is not None:
        state, done = checkpoints.restore(state), latest
    last: dict[str, float] = {}
    with progress(description, steps, unit) as bar:
        if done:
            bar.advance(done)
        for number in range(done, steps):
            state, metrics = step(state, number)
            last |= metrics
            if evaluate is not None and _due(number + 1, evaluate_every, steps):
                last |= (found := evaluate(state, number + 1))
                metrics = {**metrics, **found}
            if tracker is not None:
                tracker.log(number + 1, metrics)
            if checkpoints is not None and _due(number + 1, checkpoint_every, steps):
                checkpoints.save(number + 1, state)
            bar.advance(1, **{name.rpartition("/")[2]: last[name] for name in shown if name in last})
    return state, last


def _due(done: int, every: int, steps: int) -> bool:
    return done == steps or (every > 0 and done % every == 0)
