"""Tables made from the scores of packs: compared with the packed cells, and made known to the workflow. No torch."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from vggrepro.core.files import write_json
from vggrepro.core.paths import ROOT
from vggrepro.core.recipes import RECIPES
from vggrepro.judging.pipeline import make_table
from vggrepro.packs.manifest import TABLES
from vggrepro.paper.tables import table_name
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import Cell, Table
from vggrepro.tables.measurement import Inputs
from vggrepro.tables.render import read_table
from vggrepro.workflow.plan import Plan
from vggrepro.workflow.tables import table_job

MEANS = ("status", "value", "n", "seeds", "splits")
"""What is compared of every cell."""
NUMBERS = (
    *MEANS, "interval", "delta", "delta_interval", "delta_narrow", "verdict", "tolerance", "minimum_detectable_difference",
    "spread",
)  # fmt: skip
"""What is compared where a table has the rows of its settings and no others."""
CLOSE = 1e-9
"""Relative difference of numbers that are equal but for the last bits of another machine."""
INCOMPLETE = "not all that the table is measured from was there"
"""Stands in the recipe of a table that lacks a run or an evaluation: the workflow makes it again."""


def make_tables(settings: Settings, results: Path, out: Path, *, workers: int = 1) -> None:
    """Make every table of some settings from what lies below `results`; what is missing there is not run."""
    for number in settings.table_numbers():
        folder = results / (settings.table(number).kind.results or "scores")
        make_table(number, settings, Inputs(folder, (), workers), runs=results / "runs", out=out)


def check_tables(name: str, settings: Settings, results: Path, *, workers: int = 1) -> int:
    """How many numbers the tables of an unpacked pack have, all of which its scores give again.

    Raises ValueError that names the first cell which they do not.
    """
    with tempfile.TemporaryDirectory(dir=results) as folder:
        made = Path(folder)
        try:
            make_tables(settings, results, made, workers=workers)
        except ValueError as error:
            raise ValueError(
                f"{name}: its tables cannot be made from its scores: {error}. Run snakemake where the pack was made, and pack "
                "again"
            ) from None
        packed = [
            table_name(n) for n in settings.table_numbers() if (results / TABLES / f"{table_name(n)}.json").exists()
        ]
        return sum(
            _compared(name, read_table(results / TABLES / f"{table}.json"), read_table(made / f"{table}.json"))
            for table in packed
        )


def _compared(name: str, packed: Table, made: Table) -> int:
    """The number of values in a table, all of which the packed one has, too.

    What a user added to the packed one, such as rows of imported systems, is not compared. With such rows, intervals may take
    more trainings into account.
    """
    keys = NUMBERS if len(packed.rows) == len(made.rows) else MEANS
    columns = {column: j for j, column in enumerate(packed.columns)}
    numbers = 0
    for i, row in enumerate(made.rows):
        if not (i < len(packed.rows) and packed.rows[i].keys == row.keys and columns.keys() >= set(made.columns)):
            raise ValueError(f"{name}: {TABLES}/{packed.name} has other rows than its settings ask for: pack it again")
        for column, cell in zip(made.columns, row.cells, strict=True):
            theirs = packed.rows[i].cells[columns[column]]
            _check_cell(f"{name}: {packed.name}, {'/'.join(row.keys)}, {column}", theirs, cell, keys)
            numbers += cell.value is not None
    return numbers


def _check_cell(where: str, packed: Cell, made: Cell, keys: tuple[str, ...]) -> None:
    for key in keys:
        theirs, ours = getattr(packed, key), getattr(made, key)
        if not _close(theirs, ours):
            raise ValueError(
                f"{where}: {key} is {theirs} in the packed table, but {ours} from the packed scores: run snakemake where the "
                "pack was made, and pack again"
            )


def _close(one: object, other: object) -> bool:
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, float | int) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
    return one == other


def note_recipes(settings: Settings, results: Path, config: Path) -> tuple[str, ...]:
    """Let the workflow know what the tables below `results` were made from; those that lack something.

    Snakemake itself writes the recipes: it touches the complete tables, whose settings are in the file `config`. The others,
    and all where it cannot, because data sets are not where `config` says, it makes again when it runs.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "results", settings.folder)
        root.parent.mkdir()
        root.symlink_to(results.absolute())
        plan = Plan.of(settings)
        complete = [table for table in plan.tables if _is_complete(plan, table, Path(folder))]
        for table in plan.tables:
            write_json(results / RECIPES / TABLES / f"{table}.json.json", [INCOMPLETE])
        call = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", folder]
        call += ["--cores", "1", "--touch", "--force", "--configfile", str(config.absolute()), "--"]
        call += [f"{plan.root}/{TABLES}/{table}.json" for table in complete]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
        subprocess.run(call, capture_output=True, text=True, check=False, env=environment)
    shutil.rmtree(results / "logs", ignore_errors=True)  # of jobs that were not run
    return tuple(plan.tables[table] for table in plan.tables if table not in complete)


def _is_complete(plan: Plan, table: str, folder: Path) -> bool:
    job = table_job(plan, table)
    return all((folder / path).exists() for path in (*job["scores"], *job["runs"]))
