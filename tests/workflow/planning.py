"""Snakemake, called on the Snakefile as a user calls it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.forks import forks
from vggrepro.core.paths import ROOT
from vggrepro.paper.tables import table_name
from vggrepro.tables import render

SMOKE = ("--config", "smoke=true")


def snakemake(
    directory: Path, *arguments: str, cores: int | None = None, variables: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """A call of Snakemake on the Snakefile, working in a folder of its own; without `cores` a dry run."""
    return forked(_call_on_the_snakefile(directory, *arguments, cores=cores), variables=variables)


def snakemake_alone(
    directory: Path, *arguments: str, cores: int, variables: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, as a user starts it."""
    call = [sys.executable, "-m", "snakemake", *_call_on_the_snakefile(directory, *arguments, cores=cores)]
    return subprocess.run(call, capture_output=True, text=True, env={**variables, "COLUMNS": "200"})


def _call_on_the_snakefile(directory: Path, *arguments: str, cores: int | None) -> list[str]:
    how = ["--cores", str(cores)] if cores else ["--dry-run"]
    return ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(directory), *how, *arguments]


def jobs(done: subprocess.CompletedProcess[str]) -> Counter[str]:
    """How many jobs of each rule a dry run plans."""
    assert done.returncode == 0, done.stdout + done.stderr
    text = (done.stdout + done.stderr).split("Job stats:")[1]
    return Counter({rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE)})


def runs(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The runs that a dry run would train."""
    return set(re.findall(r"output: results/[\w-]+/runs/([^/]+)/weights", done.stdout + done.stderr))


def forked(
    arguments: list[str], folder: Path | None = None, variables: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """A call of Snakemake from a folder, in the fork of a process that has loaded it: in less than half of the time."""
    with tempfile.TemporaryDirectory() as temporary:
        outputs = [Path(temporary) / name for name in ("stdout", "stderr")]
        process = forks().Process(target=_main, args=(arguments, dict(variables), folder or Path.cwd(), *outputs))
        process.start()
        process.join()
        stdout, stderr = (path.read_text(encoding="utf-8") for path in outputs)
    assert process.exitcode is not None
    return subprocess.CompletedProcess(arguments, process.exitcode, stdout, stderr)


def _main(arguments: list[str], environment: dict[str, str], folder: Path, stdout: Path, stderr: Path) -> None:
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment, COLUMNS="200")
    os.chdir(folder)
    from snakemake.cli import main

    main(arguments)


def top1(folder: Path, number: str) -> dict[str, float]:
    """Top-1 errors of a table by the row's keys."""
    table = render.read_table(folder / "tables" / f"{table_name(number)}.json")
    return {"/".join(row.keys): row.cells[0].value for row in table.rows if row.cells[0].value is not None}
