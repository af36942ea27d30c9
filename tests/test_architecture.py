"""The walls of the house: imports point one way, files stay short, names say what is inside."""

import ast
import functools
import graphlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("retentionjax", "serving", "experiments")

# What a part of retentionjax may import of the rest of it, where the design says so. Parts not named here
# (decide, evaluation) join the others and may import any of them, as long as no circle comes of it.
GROUND = {"errors", "storage", "checked"}
MAY_IMPORT = {
    "errors": set[str](),
    "storage": {"errors"},
    "checked": {"errors"},
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
    *(f"env.{name}" for name in ("actions", "constraints", "observation", "population", "record", "types")),
}
MONITOR_MAY_IMPORT = SERVING_MAY_IMPORT | {"evaluation.off_policy", "evaluation.statistics"}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "base"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sources(*PACKAGES)}
DOCUMENTED = MODULES | {module_name(path): path for path in sources("scripts")}


class Facts(NamedTuple):
    """What the tests here ask of a module, so that each is parsed once and no syntax tree is kept."""

    imported: tuple[str, ...]
    """Names as its imports say them, wherever in it they stand, absolute."""
    classes: tuple[str, ...]
    """Its public classes."""
    first_words: tuple[tuple[int, str], ...]
    """Line and first word of each docstring, of a field or constant too, and of each `description=`."""


@functools.cache
def facts(module: str) -> Facts:
    tree = ast.parse(DOCUMENTED[module].read_text(encoding="utf-8"))
    imported: list[str] = []
    first_words = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")
            is_package = DOCUMENTED[module].name == "__init__.py"
            above = package[: len(package) - node.level + is_package] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            imported += [f"{origin}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Expr) or (isinstance(node, ast.keyword) and node.arg == "description"):
            text = str(node.value.value) if isinstance(node.value, ast.Constant) else ""
            first_words += [(node.lineno, word) for word in text.split()[:1]]
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    return Facts(tuple(imported), tuple(classes), tuple(first_words))


def imports(module: str) -> Iterator[str]:
    """Full names of the project's modules that a module imports."""
    for name in facts(module).imported:
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


def import_allowed(module: str, imported: str) -> bool:
    package, target = module.partition(".")[0], imported.partition(".")[0]
    own = part(module)
    if target == "experiments" and package != "experiments":
        return False  # nothing imports experiments
    if package == "retentionjax":
        if target != "retentionjax":
            return False  # the core knows neither service nor scripts
        return own not in MAY_IMPORT or part(imported) == own or allowed(imported, MAY_IMPORT[own])
    if package == "serving" and target == "retentionjax":
        return allowed(imported, MONITOR_MAY_IMPORT if module.startswith("serving.monitor.") else SERVING_MAY_IMPORT)
    return True


def test_imports_point_one_way() -> None:
    assert [
        f"{module} imports {imported}"
        for module in MODULES
        for imported in imports(module)
        if not import_allowed(module, imported)
    ] == []


def test_the_losses_and_estimators_stand_alone() -> None:
    modules = [name for name in MODULES if name.startswith("retentionjax.rl.ops")]
    assert modules
    for module in modules:
        outside = [name for name in imports(module) if not name.startswith(("retentionjax.rl.ops", module))]
        assert set(outside) <= {"retentionjax"}, f"{module} imports {outside}"


def test_no_part_imports_another_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        if module.startswith("retentionjax."):
            graph.setdefault(part(module), set()).update(
                part(name)
                for name in imports(module)
                if name.startswith("retentionjax.") and part(name) != part(module)
            )
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_files_are_short() -> None:
    files = sources(*PACKAGES, "tests", "scripts")
    lines = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in files}
    assert {path: count for path, count in lines.items() if count > 400} == {}


def test_names_of_files_say_what_is_inside() -> None:
    files = [path.relative_to(ROOT) for path in sources(*PACKAGES, "tests", "scripts")]
    assert [str(path) for path in files if not FORBIDDEN_NAMES.isdisjoint(path.with_suffix("").parts)] == []


def test_nothing_that_is_read_can_execute() -> None:
    dangerous = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
    imported = [(module, name) for module in MODULES for name in facts(module).imported]
    assert [each for each in imported if each[1].partition(".")[0] in dangerous] == []


# `decide.Decision` is what Python and the command are told; the service's is what an answer of the API holds.
MEAN_TWO_THINGS = {"Decision"}
PREPOSITIONS = {
    *("About", "After", "Along", "As", "At", "Before", "Behind", "Between", "By", "For", "From", "In", "Into", "Of"),
    *("On", "Over", "Per", "Through", "To", "Under", "Until", "With", "Within", "Without"),
}


def test_a_class_name_means_one_thing() -> None:
    homes: dict[str, list[str]] = {}
    for module in MODULES:
        for name in facts(module).classes:
            homes.setdefault(name, []).append(module)
    shared = {name: modules for name, modules in homes.items() if len(modules) > 1}
    assert shared.keys() == MEAN_TWO_THINGS, shared


def test_a_docstring_begins_with_its_noun_or_verb() -> None:
    begun = [(module, line, word) for module in DOCUMENTED for line, word in facts(module).first_words]
    assert [each for each in begun if each[2] in PREPOSITIONS] == []
