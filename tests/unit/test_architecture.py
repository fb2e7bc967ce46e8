"""The layers of the package: imports lead down, never up or round in a circle, and no file grows too long.

Imports inside functions and below `if TYPE_CHECKING:` count like all others.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.source_files import PACKAGE, module_name, python_files

ROOT_NAME = PACKAGE.name
#: The lowest layer first. A module imports from its own folder and from the layers below it.
LAYERS = (
    ("api", "assets", "connection_form"),
    ("transport",),
    ("hooks", "storage", "formats"),
    ("exports", "bulk", "reports"),
    ("operators", "sensors", "triggers", "transfers"),
)
#: The imports between folders of one layer. Sensors defer to triggers; one base holds what operators share.
BESIDE = {("sensors", "operators"), ("sensors", "triggers"), ("transfers", "operators")}
#: These import and are imported by none of the others, but for what is named here.
APART = {"sandbox": set(), "get_provider_info": {"connection_form"}}
MOST_LINES = 400

Imports = dict[str, dict[str, int]]


def imports_of(source: str, module: str, known: set[str], *, is_package: bool = False) -> dict[str, int]:
    """Return which known modules a source imports, with the line of the first import of each."""
    found: dict[str, int] = {}
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            names = [name if (name := f"{base}.{alias.name}") in known else base for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        for name in names:
            if name in known and name != module:
                found.setdefault(name, node.lineno)
    return found


def read_imports(package: Path) -> Imports:
    """Return the imports between the modules of a package."""
    paths = {module_name(path, package.parent): path for path in sorted(package.rglob("*.py"))}
    return {
        module: imports_of(path.read_text(), module, set(paths), is_package=path.stem == "__init__")
        for module, path in paths.items()
    }


def folder_of(module: str) -> str:
    """Return the part of the package that a module belongs to; empty for the package's own `__init__`."""
    return [*module.split("."), ""][1]


def is_allowed(source: str, target: str) -> bool:
    """Return whether modules of one folder may import those of another."""
    layer = {folder: number for number, folders in enumerate(LAYERS) for folder in folders}
    if source == target or not target:  # the package's `__init__` holds the version
        return True
    if source in APART or target in APART:
        return target in APART.get(source, ())
    return (source, target) in BESIDE or layer[source] > layer[target]


def upward_imports(imports: Imports) -> list[str]:
    """Describe the imports that the layers do not allow."""
    return [
        f"{module} imports {target} (line {line})"
        for module, targets in imports.items()
        for target, line in targets.items()
        if not is_allowed(folder_of(module), folder_of(target))
    ]


def circle(imports: Imports) -> list[str]:
    """Return the modules of one circle of imports; empty where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.fixture(scope="module")
def imports() -> Imports:
    return read_imports(PACKAGE)


def test_each_folder_has_a_layer(imports):
    known = {folder for layer in LAYERS for folder in layer} | {*APART, ""}
    assert {folder_of(module) for module in imports} <= known, "a new folder: add it to a layer"


def test_imports_lead_down(imports):
    assert upward_imports(imports) == []


def test_modules_import_each_other_in_no_circle(imports):
    assert circle(imports) == []


def test_no_file_is_too_long():
    lines = {module_name(path): len(path.read_text().splitlines()) for path in python_files(PACKAGE)}
    assert {module: count for module, count in lines.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "import airflow_provider_cytechbot.hooks.base",
        "import airflow_provider_cytechbot.hooks.base as base",
        "from airflow_provider_cytechbot.hooks.base import Hook",
        "from airflow_provider_cytechbot.hooks import base",
        "from ..hooks import base",
        "from ..hooks.base import Hook",
        "def late():\n    from airflow_provider_cytechbot.hooks import base",
        "if TYPE_CHECKING:\n    from airflow_provider_cytechbot.hooks.base import Hook",
        "importlib.import_module('airflow_provider_cytechbot.hooks.base')",
    ],
)
def test_sees_an_upward_import_in_every_spelling(tmp_path, statement):
    package = tmp_path / ROOT_NAME
    for name, source in {"api/calls.py": statement, "hooks/base.py": ""}.items():
        path = package / name
        path.parent.mkdir(parents=True)
        path.write_text(source)
        path.with_name("__init__.py").write_text("")
    (message,) = upward_imports(read_imports(package))
    assert message.startswith(f"{ROOT_NAME}.api.calls imports {ROOT_NAME}.hooks.base")


def test_sees_a_circle(tmp_path):
    package = tmp_path / ROOT_NAME
    package.mkdir()
    for name, other in {"a": "b", "b": "c", "c": "a", "d": "a"}.items():
        (package / f"{name}.py").write_text(f"def late():\n    from . import {other}\n")
    assert {name.rpartition(".")[2] for name in circle(read_imports(package))} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("source", "target", "allowed"),
    [
        ("operators", "exports", True),
        ("transfers", "storage", True),
        ("exports", "bulk", False),
        ("reports", "exports", False),
        ("formats", "hooks", False),
        ("operators", "sensors", False),
        ("api", "assets", False),
        ("sandbox", "api", False),
        ("hooks", "sandbox", False),
        ("hooks", "get_provider_info", False),
        ("get_provider_info", "connection_form", True),
        ("get_provider_info", "hooks", False),
    ],
)
def test_layers(source, target, allowed):
    assert is_allowed(source, target) is allowed
