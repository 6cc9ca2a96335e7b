import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import polychron

PACKAGE = Path(polychron.__file__).parent


def imported(module: Path) -> Iterator[str]:
    """The modules of the package that a module imports, also within functions and for its types only."""
    for node in ast.walk(ast.parse(module.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name} has a relative import"
            names = [f"{node.module}.{one.name}" for one in node.names] + [node.module or ""]
        for name in names:
            package, _, rest = name.partition(".")
            if package == "polychron":
                yield rest.partition(".")[0] or "__init__"


def test_no_modules_import_each_other_in_a_circle() -> None:
    files = {file.stem: file for file in PACKAGE.glob("*.py")}
    graph = {name: {one for one in imported(file) if one in files} for name, file in files.items()}
    # `from polychron import _process` names the package, too, which has imported nothing of that module.
    graph = {name: targets - {"__init__"} for name, targets in graph.items()}
    assert graph["_process"] >= {"_runners", "_channel"}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
