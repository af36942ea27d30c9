"""The walls of the house: imports point one way, files stay short, names say what is inside."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("retentionjax", "serving", "experiments")

# What a part of retentionjax may import of the rest of it, where the design says so. Parts not named here
# (decide, evaluation) join the others and may import any of them, as long as no circle comes of it.
GROUND = {"errors", "storage"}
MAY_IMPORT = {
    "errors": set[str](),
    "storage": {"errors"},
    "cli": {"errors"},  # everything else by name, when a command runs
    "tracking": GROUND,
    "checkpoint": GROUND,
    "company": GROUND | {"env", "shield"},  # its constants as the environment's, its sender as the shield's
    "data": GROUND | {"tracking", "shield", "company"},  # messages are written to a Brief
    "tabular": GROUND,
    "env": {"errors"},
    "effects": GROUND | {"tracking", "env", "company", "data", "tabular"},  # a company's files, its customers' scores
    "shield": GROUND,
    "rl": GROUND | {"tracking", "checkpoint"},
    "bundle": GROUND | {"company", "data", "env", "tabular", "shield", "language"},  # it knows nothing of evaluation
    "language": GROUND | {"tracking", "checkpoint", "rl.ops", "rl.lagrangian", "rl.leaves"},
}
# The service decides by `decide`, which knows the environment's states; it trains and simulates nothing.
SERVING_MAY_IMPORT = GROUND | {
    "bundle",
    "shield",
    "decide",
    "company",  # offers by name, currency
    "demo",  # where the package's own bundle is
    "data",  # the schema of a customer's facts
    "evaluation.lift",  # what a campaign changed
    "evaluation.off_policy.ledger_file",  # the table that the ledger is exported as
    *(
        f"env.{name}"
        for name in ("actions", "constraints", "observation", "population", "multipliers", "record", "types")
    ),
}
MONITOR_MAY_IMPORT = SERVING_MAY_IMPORT | {"evaluation.off_policy", "evaluation.statistics"}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "base"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sources(*PACKAGES)}


def imports(path: Path) -> Iterator[str]:
    """Full names of the project's modules that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module_name(path).split(".")
            is_package = path.name == "__init__.py"
            above = package[: len(package) - node.level + is_package] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{origin}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            if name:
                yield name


def part(module: str) -> str:
    """`retentionjax.env.actions` → `env`; the package itself → ``."""
    return module.removeprefix("retentionjax").removeprefix(".").partition(".")[0]


def allowed(imported: str, permitted: set[str]) -> bool:
    inner = imported.removeprefix("retentionjax").removeprefix(".")
    return not inner or any(inner == name or inner.startswith(name + ".") for name in permitted)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_one_way(module: str) -> None:
    package = module.partition(".")[0]
    own = part(module)
    for imported in imports(MODULES[module]):
        target = imported.partition(".")[0]
        assert target == package or target != "experiments", f"{module} imports {imported}: nothing imports experiments"
        if package == "retentionjax":
            assert target == "retentionjax", f"{module} imports {imported}: the core knows neither service nor scripts"
            if own in MAY_IMPORT and part(imported) != own:
                assert allowed(imported, MAY_IMPORT[own]), f"{module} imports {imported}"
        if package == "serving" and target == "retentionjax":
            permitted = MONITOR_MAY_IMPORT if module.startswith("serving.monitor.") else SERVING_MAY_IMPORT
            assert allowed(imported, permitted), f"{module} imports {imported}"


def test_the_losses_and_estimators_stand_alone() -> None:
    modules = [name for name in MODULES if name.startswith("retentionjax.rl.ops")]
    assert modules
    for module in modules:
        outside = [name for name in imports(MODULES[module]) if not name.startswith(("retentionjax.rl.ops", module))]
        assert set(outside) <= {"retentionjax"}, f"{module} imports {outside}"


def test_no_part_imports_another_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        if module.startswith("retentionjax."):
            graph.setdefault(part(module), set()).update(
                part(name) for name in imports(path) if name.startswith("retentionjax.") and part(name) != part(module)
            )
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", sources(*PACKAGES, "tests", "scripts"), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_and_their_names_say_what_is_inside(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 400
    assert FORBIDDEN_NAMES.isdisjoint(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_that_is_read_can_execute(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    names = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    names |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names.isdisjoint({"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"})


# `decide.Decision` is what Python and the command are told; the service's is what an answer of the API holds.
MEAN_TWO_THINGS = {"Decision"}
PREPOSITIONS = {
    *("About", "After", "Along", "As", "At", "Before", "Between", "By", "For", "From", "In", "Into", "Of", "On"),
    *("Over", "Per", "Through", "To", "Under", "Until", "With", "Within", "Without"),
}


def test_a_class_name_means_one_thing() -> None:
    homes: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module)
    shared = {name: modules for name, modules in homes.items() if len(modules) > 1}
    assert shared.keys() == MEAN_TWO_THINGS, shared


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_docstring_begins_with_its_noun_or_verb(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = (ast.get_docstring(node) or "").split()
            assert not words or words[0] not in PREPOSITIONS, f"{getattr(node, 'name', module)}: {words[:6]}"
