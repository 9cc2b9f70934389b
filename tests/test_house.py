"""The house itself: the README's list of files, versions that agree, no address of a registry, readable functions."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from vggrepro.core.paths import ROOT


def tracked() -> list[str]:
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git checkout")
    return listed.stdout.splitlines()


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_version_is_pinned_and_locked():
    project = tomllib.loads(text("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    locked = dict(
        line.lower().replace("-", "_").split("==")
        for line in text("requirements.lock").splitlines()
        if not line.startswith("#")
    )
    for requirement in wanted:
        name, version = requirement.lower().replace("-", "_").split("==")
        assert locked[name] == version


def test_the_oldest_python_of_the_readme_takes_every_locked_version():
    """Debian 12 has Python 3.11.2."""
    names = [line.split("==")[0] for line in text("requirements.lock").splitlines() if "==" in line]
    needs = {}
    for name in names:
        try:
            needs[name] = metadata(name).get("Requires-Python") or ""
        except PackageNotFoundError:
            continue  # of another platform
    assert len(needs) > 100
    assert [name for name, python in needs.items() if not SpecifierSet(python).contains("3.11.0")] == []


def test_conda_takes_the_same_versions():
    pip = yaml.safe_load(text("environment.yml"))["dependencies"][-1]["pip"]
    assert pip == ["--constraint requirements.lock", "--editable .[dev]"]


def test_pre_commit_runs_what_make_lint_runs():
    hooks = {hook["id"] for hook in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"][0]["hooks"]}
    recipe = re.search(r"^lint:.*?\n\n", text("Makefile"), re.DOTALL | re.MULTILINE)[0]
    assert set(re.findall(r"\$\(BIN\)/([\w-]+)", recipe)) == {"ruff", "mypy", "lint-imports", "snakefmt", "snakemake"}
    assert hooks == {"ruff", "ruff-format", "mypy", "lint-imports", "snakefmt", "snakemake-lint"}


def test_no_file_names_a_registry():
    addresses = re.compile(
        r"https?://[\w.]*(pypi|pythonhosted|pytorch\.org/whl|conda\.anaconda)|--(extra-)?index-url|--find-links"
    )
    contents = {
        name: (ROOT / name).read_bytes().decode(errors="replace") for name in tracked() if (ROOT / name).is_file()
    }
    found = [name for name, content in contents.items() if name != "tests/test_house.py" and addresses.search(content)]
    assert found == []


def test_functions_are_of_a_readable_size():
    lengths = {}
    for path in sorted((ROOT / "vggrepro").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths[f"{path.name}:{node.name}"] = node.end_lineno - node.lineno + 1
    assert {name: n for name, n in lengths.items() if n > 80} == {}
    assert sorted(lengths.values())[int(0.9 * len(lengths))] <= 40


SECOND_DEFINITIONS = {
    "Pixels",
    "average_precision",
    "blocks_of",
    "classification_errors",
    "count_parameters",
    "localisation_errors",
    "net_input",
    "rescaled_size",
    "task_descriptors",
}
"""What `recompute` defines a second time, by itself, under the name of what it checks."""


def public_names(module: Path) -> Iterator[str]:
    """The names that a module's top level defines, without those that begin with an underscore."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def test_a_public_name_is_defined_in_one_module():
    """A reader who looks a name up finds one thing."""
    places: dict[str, set[str]] = defaultdict(set)
    for module in (ROOT / "vggrepro").rglob("*.py"):
        place = module.relative_to(ROOT / "vggrepro")
        # verbs are called like the functions that do their work
        if place.parts[0] == "cli" and place.name != "options.py":
            continue
        for name in public_names(module):
            if not (place.parts[0] == "recompute" and name in SECOND_DEFINITIONS):
                places[name].add(place.as_posix())
    assert {name: sorted(where) for name, where in places.items() if len(where) > 1} == {}
    assert set(places) >= SECOND_DEFINITIONS
