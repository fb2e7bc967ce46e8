"""
The software bill of materials (CycloneDX), and the audit of its packages: licences and known vulnerabilities.

Both are about what an installation of the wheel brings along, in the versions that the tests use, with those
extras for users that are installed here: the bill names the others. Test tools are not part of it.

    python scripts/supply_chain.py sbom dist/
    python scripts/supply_chain.py audit
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from brought_along import brought_along, requirements_of
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = PROJECT["name"]
#: Extras of developers.
OF_DEVELOPERS = re.compile(r"docs|test.*")
#: What one of a package's licences has to be, as an SPDX identifier or an older name: permissive, or copyleft
#: that ends at the package itself.
ALLOWED = re.compile(
    r"\b(0BSD|Apache|Artistic|BSD|CC0|ISC|MIT|MPL|Mozilla|PSF|Python-2.0|Unlicense|Zlib|Public Domain)\b",
    re.IGNORECASE,
)
#: Packages that state no licence in their metadata, and the licence in their source.
STATED_ELSEWHERE = {"openlineage-sql": "Apache-2.0", "protobuf": "BSD-3-Clause"}

Component = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Run a command and return the exit code."""
    match arguments:
        case ["sbom", folder]:
            path = Path(folder) / f"{NAME.replace('-', '_')}-{version()}.cdx.json"
            path.write_text(json.dumps(bill_of_materials(), indent=2, sort_keys=True) + "\n")
            print(f"Wrote {path}")
            print_extras_left_out()
            return 0
        case ["audit"]:
            components = bill_of_materials()["components"]
            problems = [*licence_problems(components), *vulnerability_problems(components)]
            print_extras_left_out()
            for problem in problems:
                print(f"PROBLEM: {problem}")
            return int(bool(problems))
    print(__doc__, file=sys.stderr)
    return 2


def version() -> str:
    """Return the provider's version."""
    text = (ROOT / "airflow_provider_cytechbot" / "__init__.py").read_text()
    return re.findall(r'^__version__ = "(.+)"', text, re.MULTILINE)[0]


def extras_for_users() -> tuple[list[str], list[str]]:
    """Return the extras for users that are installed here, and those that are not."""
    installed: list[str] = []
    left_out: list[str] = []
    for extra in sorted(PROJECT["optional-dependencies"]):
        if not OF_DEVELOPERS.fullmatch(extra):
            needed = {each.name for each in requirements_of(NAME, extra)}
            (installed if all(map(is_installed, needed)) else left_out).append(extra)
    return installed, left_out


def is_installed(name: str) -> bool:
    """Return whether a distribution is installed here."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def print_extras_left_out() -> None:
    """Print the extras that the bill does not cover."""
    if left_out := extras_for_users()[1]:
        print(f"Left out, as they are not installed here: the extras {', '.join(left_out)}")


def bill_of_materials() -> dict[str, Any]:
    """Return the bill of what the wheel and its extras install into the environment of this Python."""
    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "environment",
        "--pyproject",
        str(ROOT / "pyproject.toml"),
    ]
    # Its validation looks at the syntax of each address and takes minutes. The tests check the result.
    options = ["--mc-type", "library", "--output-reproducible", "--short-PURLs", "--no-validate"]
    done = subprocess.run([*command, *options, sys.executable], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"cyclonedx-py failed:\n{done.stderr}")
    return restrict(json.loads(done.stdout))


def restrict(bill: dict[str, Any]) -> dict[str, Any]:
    """
    Leave the test tools out of a bill, and add which components only an extra needs.

    :param bill: The bill of a whole environment. It takes what an extra needs for required.
    """
    root = bill["metadata"]["component"]
    root |= {"version": version(), "purl": f"pkg:pypi/{NAME}@{version()}"}
    extras, left_out = extras_for_users()
    bill["metadata"].setdefault("properties", []).append(
        {"name": f"{NAME}:extras-left-out", "value": ", ".join(left_out)}
    )
    always = brought_along(NAME)
    wanted = brought_along(f"{NAME}[{','.join(extras)}]") - {NAME}
    references = {
        canonicalize_name(each["name"]): each["bom-ref"]
        for each in bill["components"]
        if canonicalize_name(each["name"]) in wanted
    }
    edges = {each["ref"]: set(each.get("dependsOn", ())) for each in bill["dependencies"]}
    direct = {
        canonicalize_name(each.name) for extra in ("", *extras) for each in requirements_of(NAME, extra)
    }
    edges[root["bom-ref"]] = {ref for name, ref in references.items() if name in direct}
    bill["components"] = [
        each | {"scope": "required" if canonicalize_name(each["name"]) in always else "optional"}
        for each in bill["components"]
        if each["bom-ref"] in references.values()
    ]
    bill["dependencies"] = [
        {"ref": ref, "dependsOn": sorted(edges.get(ref, set()) & set(references.values()))}
        for ref in [root["bom-ref"], *sorted(references.values())]
    ]
    return bill


def licences(component: Component) -> str:
    """Return the licences of a component, as its metadata states them."""
    stated = [
        each.get("expression") or each["license"].get("id") or each["license"].get("name", "")
        for each in component.get("licenses", [])
    ]
    # Some packages have the whole text there: its first line is the name.
    names = [text.strip().partition("\n")[0] for text in stated if text.strip()]
    return "; ".join(dict.fromkeys(names)) or STATED_ELSEWHERE.get(canonicalize_name(component["name"]), "")


def is_allowed(stated: str) -> bool:
    """Return whether one of the stated licences is allowed. Where an expression has AND, all have to be."""
    return any(all(map(ALLOWED.search, each.split(" AND "))) for each in _choices(stated))


def _choices(stated: str) -> list[str]:
    """Return the alternatives; with both AND and parentheses there is one, which has all licences."""
    has_both = " AND " in stated and "(" in stated
    return [stated.replace(" OR ", " AND ")] if has_both else re.split(" OR |; ", stated)


def licence_problems(components: list[Component]) -> list[str]:
    """Print the licences, and return the packages without an allowed one."""
    problems = []
    for each in sorted(components, key=lambda each: str(each["name"]).lower()):
        licence = licences(each)
        print(f"{each['name']:45} {each['version']:20} {each['scope']:10} {licence}")
        if not is_allowed(licence):
            problems.append(f"{each['name']}: licence {licence!r} is not among those that are allowed")
    return problems


def vulnerability_problems(components: list[Component]) -> list[str]:
    """Look the packages up in the index's list of vulnerabilities, and return what was found."""
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "pins.txt"
        pins.write_text("".join(f"{each['name']}=={each['version']}\n" for each in components))
        options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json"]
        command = [sys.executable, "-m", "pip_audit", f"--requirement={pins}", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        audited = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return [f"pip-audit failed: {done.stderr.strip()[-500:]}"]
    return audit_problems(audited)


def audit_problems(audited: list[dict[str, Any]]) -> list[str]:
    """
    Return what is wrong by pip-audit's list. A package that was not looked up is a problem, too.

    :param audited: Its `dependencies`.
    """
    found = [
        f"{each['name']} {each['version']}: {entry['id']}, fixed in {', '.join(entry['fix_versions'])}"
        for each in audited
        for entry in each.get("vulns", [])
    ]
    skipped = [each["name"] for each in audited if "skip_reason" in each]
    if skipped:
        found.append(
            f"{len(skipped)} of {len(audited)} packages were not looked up: the package index has no list of"
            f" vulnerabilities for them, for instance {skipped[0]}"
        )
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
