"""The tutorial notebook: its cells are run in order, as Jupyter would."""

import ast
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

NOTEBOOK = json.loads((Path(__file__).parents[2] / "experiments/tutorial.ipynb").read_text())
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
TEXT = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "markdown"]


def test_what_it_imports_and_links_to_is_there_and_it_shows_what_came_of_every_cell() -> None:
    imports = [node for code in CODE for node in ast.parse(code).body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec("\n".join(map(ast.unparse, imports)), {})  # the repository's own notebook
    for link in re.findall(r"\]\(([^)]+)\)", "".join(TEXT)):
        assert (Path(__file__).parents[2] / "experiments" / link).exists(), link
    ran = [cell["execution_count"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert ran == list(range(1, len(CODE) + 1))
    assert not [
        output for cell in NOTEBOOK["cells"] for output in cell.get("outputs", ()) if output["output_type"] == "error"
    ]


@pytest.mark.slow
def test_it_runs_and_its_measured_lift_covers_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: dict[str, object] = {}
    for number, code in enumerate(CODE, 1):
        exec(compile(code, f"cell {number} of tutorial.ipynb", "exec"), told)  # the repository's own notebook
    plt.close("all")
    found, world, held = told["found"], told["world"], told["held"]
    truth = -world.difference(~held)["kept"]  # type: ignore[attr-defined, operator]
    assert found.departures.last.low <= truth <= found.departures.last.high  # type: ignore[attr-defined]
    assert float(told["run"].summary["effects"]["identified"]) > 4  # type: ignore[attr-defined]
