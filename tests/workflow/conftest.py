"""The smoke run that tests of results share."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.commands import forked_commands
from tests.workflow.planning import SMOKE, snakemake_alone


def run_smoke(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place, forked_commands(Path(place)) as variables:
        done = snakemake_alone(folder, *SMOKE, cores=2, variables=variables)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert f"The report: {folder}/results/smoke/report/report.html" in done.stdout
    (folder / "output.txt").write_text(done.stdout, encoding="utf-8")


@pytest.fixture(scope="session")
def finished(made_once) -> Path:
    """A smoke run in a folder with a space in its name."""
    return made_once("a folder with spaces", run_smoke)
