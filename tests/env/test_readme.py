"""The README's example runs, and what it says in numbers is so."""

import re
from pathlib import Path

import numpy as np

import retentionjax.env
from retentionjax.env import EnvParams, actions

README = (Path(retentionjax.env.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(example, names)
    assert names["masks"].shape == (1000, actions.count(EnvParams()))
    assert names["rewards"].shape == (1000,)
    assert 0.13 < float(names["spent"]) < 0.25  # $0.50 for the third of contacts without delay, and a little discount
    assert names["observations"].shape == (3, 16)


def test_the_declared_assumptions_are_the_defaults() -> None:
    params = EnvParams()
    said = README[README.index("## Declared assumptions") : README.index("## Use")]
    for text in (
        f"Appeal {params.appeal[3] / params.discount[3]:g} × the discount",
        "multipliers (" + ", ".join(f"{x:.2f}" for x in np.asarray(params.hazard_multiplier)) + ")",
        f"onset 1/{1 / params.risk_onset:.0f}, recovery 1/{1 / params.risk_recovery:.0f}, ratio {params.risk_ratio:g}",
        f"acceptance {params.accept_fatigue:g}, hazard {params.fatigue_hazard:g}",
    ):
        assert text in said.replace("\n", " ")


def test_every_module_is_listed() -> None:
    modules = {path.name for path in Path(retentionjax.env.__file__).parent.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"^\| `(\w+\.py)`", README, flags=re.MULTILINE)) == modules
