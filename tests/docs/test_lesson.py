"""The lesson where it has to install the package first, as in a notebook service: the whole of it runs in `tests/workflow`."""

import json
import os
import shutil
import subprocess
import sysconfig
import venv
from importlib.metadata import distributions
from pathlib import Path

import pytest

from vggrepro.core.paths import ROOT

CHECKOUT = ("pyproject.toml", "requirements.lock", "README.md", "LICENSE", "Snakefile", "docs/lesson.ipynb")


@pytest.fixture
def checkout(tmp_path):
    """A copy of the repository as far as it is needed to install the package."""
    folder = tmp_path / "checkout"
    for name in CHECKOUT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in ("vggrepro", "tables", "workflow"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def python(tmp_path):
    """The interpreter of a new environment that has all libraries of this one, but not the package."""
    if missing := {"pip", "setuptools"} - {distribution.name for distribution in distributions()}:
        pytest.skip(f"no {' and no '.join(missing)} in this environment")
    folder = tmp_path / "environment"
    venv.create(folder, symlinks=True)
    (libraries,) = folder.glob("lib/python*/site-packages")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "vggrepro" not in entry.name:
            (libraries / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


def test_the_lesson_installs_the_package_where_it_is_missing(checkout, python, tmp_path):
    cells = json.loads((checkout / "docs/lesson.ipynb").read_text(encoding="utf-8"))["cells"]
    install = "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))
    then = "\nimport vggrepro\nprint(vggrepro.__file__, shutil.which('vggrepro'), sep='\\n')"
    # as with a network, but that the libraries which are there have to be enough
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "HOME": str(tmp_path), "PATH": os.defpath}
    ran = subprocess.run(
        [python, "-I", "-c", install + then], cwd=checkout / "docs", env=offline, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    module, command = ran.stdout.splitlines()[-2:]
    assert Path(module) == checkout / "vggrepro" / "__init__.py"
    assert Path(command) == python.with_name("vggrepro")
    # what a job of the workflow does: another process, in another folder
    named = subprocess.run([command, "settings", "smoke"], cwd=tmp_path, env=offline, capture_output=True, text=True)
    assert named.returncode == 0, named.stderr
    assert json.loads(named.stdout)["model"]["width"] == 4
