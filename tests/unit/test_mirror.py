"""The unit tests mirror the package: each module has its test file, each test file its module."""

from __future__ import annotations

from pathlib import Path

from tests.source_files import PACKAGE, ROOT, python_files

UNIT = ROOT / "tests" / "unit"
#: Test files of no single module, and what they test instead.
WHOLE_PACKAGE = {
    "test_architecture.py": "the imports between all modules",
    "test_imports.py": "what the import of each public module loads",
    "test_mirror.py": "the test files themselves",
    "test_words.py": "names and sentences of all texts of the repository",
    "sandbox/test_vendor_examples.py": "the answers of all endpoints against the vendor's page",
}


def unit_test_path(module: Path) -> Path:
    """Return where the unit tests of a module belong: `hooks/base.py` has `hooks/test_base.py`."""
    return module.with_name(f"test_{module.stem.strip('_')}.py")


def modules(folder: Path) -> list[Path]:
    """Return the modules below a folder, relative to it, without the packages' own."""
    found = [path.relative_to(folder) for path in python_files(folder)]
    return [path for path in found if path.name not in ("__init__.py", "conftest.py")]


def test_each_module_has_unit_tests():
    missing = [path for path in map(unit_test_path, modules(PACKAGE)) if not (UNIT / path).exists()]
    assert missing == []


def test_each_unit_test_file_has_a_module():
    # What helps the tests lies in `tests/` itself and is tested in the same way.
    helpers = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").glob("*.py")]
    expected = {str(unit_test_path(path)) for path in [*modules(PACKAGE), *helpers]} | set(WHOLE_PACKAGE)
    found = [str(path) for path in modules(UNIT) if path.name.startswith("test_")]
    assert [name for name in found if name not in expected] == []


def test_no_exception_outlives_its_file():
    assert [name for name in WHOLE_PACKAGE if not (UNIT / name).exists()] == []
