"""The smoke run that tests of results share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import forked_commands
from tests.workflow.planning import SMOKE, snakemake_alone


@pytest.fixture(scope="session")
def variables() -> Iterator[dict[str, str]]:
    """An environment in which jobs are forks: see `tests.commands`."""
    with tempfile.TemporaryDirectory() as place, forked_commands(Path(place)) as variables:
        yield variables


@pytest.fixture(scope="session")
def finished(made_once, request) -> Path:
    """A smoke run in a folder with a space in its name."""

    def run_smoke(folder: Path) -> None:
        done = snakemake_alone(folder, *SMOKE, cores=2, variables=request.getfixturevalue("variables"))
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        assert f"The report: {folder}/results/smoke/report/report.html" in done.stdout
        (folder / "output.txt").write_text(done.stdout, encoding="utf-8")

    return made_once("a folder with spaces", run_smoke)
