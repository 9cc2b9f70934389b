"""What the rules of the workflow ask: which files a step needs, and which settings decide its result.

Functions that take wildcards are input and params functions of Snakemake. Nothing heavy is imported here: every job of a
cluster reads the Snakefile again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from vggrepro import catalogue
from vggrepro.catalogue import Run
from vggrepro.config import Settings


class Wildcards(Protocol):
    """The wildcards of a rule of ours."""

    folder: str
    run: str
    protocol: str
    table: str


def find_own_commands() -> None:
    """Let jobs run the `vggrepro` beside the Python that runs Snakemake, whether or not its environment is activated."""
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))


class Plan:
    """The DAG that follows from the paper's tables under some settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.folder
        self.tables = [catalogue.table_name(number) for number in catalogue.REPRODUCED]
        self.targets = {n if n == "text" else f"table{n}": catalogue.table_name(n) for n in catalogue.REPRODUCED}
        self.runs = [run.name for run in catalogue.runs(seeds=settings.seeds, staged=settings.staged)]

    def check_data(self, dag: Iterable[Any]) -> None:
        """Before the first job: a ValueError if a job needs the data set and it is not there."""
        path = self.settings.data.path
        if path is not None and not Path(path).exists() and any(job.rule.name == "prepare" for job in dag):
            raise ValueError(missing(self.settings))

    def prepare_options(self, wildcards: Wildcards) -> list[str]:
        """All that decides the prepared stores, as options: a change of any value prepares them again."""
        data = self.settings.data
        given = {
            "--layout": data.layout,
            "--path": self.settings.data.path,
            "--encoding": data.encoding,
            "--classes": data.classes,
            "--train-per-class": data.train_per_class,
            "--val-per-class": data.val_per_class,
        }
        return [text for option, value in given.items() if value is not None for text in (option, str(value))]

    def run_settings(self, wildcards: Wildcards) -> str:
        """All that decides a run's weights, as JSON: a change of any value retrains it."""
        return self.settings.for_run(Run.parse(wildcards.run)).model_dump_json()

    def evaluate_settings(self, wildcards: Wildcards) -> str:
        """All that decides posteriors, as JSON."""
        return self.settings.evaluate.model_dump_json()

    def parent_weights(self, wildcards: Wildcards) -> list[str]:
        """The weights that a run is initialised from; none for a run from random weights."""
        parent = Run.parse(wildcards.run).parent(staged=self.settings.staged)
        return [f"results/{self.folder}/runs/{parent.name}/weights.safetensors"] if parent else []

    def parent_option(self, wildcards: Wildcards) -> list[str]:
        """`--parent FILE`, or nothing."""
        return [text for file in self.parent_weights(wildcards) for text in ("--parent", file)]

    def scales(self, wildcards: Wildcards) -> str:
        """The test scales at which the paper's tables evaluate a run under a protocol."""
        return ",".join(map(str, catalogue.scales_of(Run.parse(wildcards.run), wildcards.protocol)))

    def table_scores(self, wildcards: Wildcards) -> list[str]:
        """The folders of score stores that a table averages."""
        found = catalogue.evaluations(self._number(wildcards.table), self.settings.seeds)
        return sorted({f"results/{self.folder}/scores/{e.run.name}/{e.protocol}" for e in found})

    def published(self, wildcards: Wildcards) -> list[str]:
        """The published numbers of a table, what its columns are, and how it looks."""
        templates = sorted((catalogue.ROOT / "tables" / "templates").glob("*.j2"))
        return [
            str(p)
            for p in (catalogue.PUBLISHED / f"{wildcards.table}.csv", catalogue.PUBLISHED / "tables.yaml", *templates)
        ]

    def table_number(self, wildcards: Wildcards) -> str:
        """`table03` -> `3`."""
        return self._number(wildcards.table)

    def table_settings(self, wildcards: Wildcards) -> str:
        """The settings that a table shows, as JSON."""
        return self.settings.model_dump_json()

    def say_where(self, log: str) -> None:
        """Print where the report lies, if it is there."""
        page = Path(f"results/{self.folder}/report/report.html").absolute()
        if page.exists():
            print(f"\nThe report: {page}")

    def _number(self, name: str) -> str:
        return catalogue.REPRODUCED[self.tables.index(name)]


def missing(settings: Settings) -> str:
    """What to say where the data set is not there."""
    short = {"ilsvrc": "ilsvrc", "tiny-imagenet": "tiny_imagenet"}[settings.data.layout]
    what = {
        "ilsvrc": "ILSVRC-2012 (a folder with train/<wnid>/*.JPEG and val/<wnid>/*.JPEG)",
        "tiny-imagenet": "Tiny ImageNet (tiny-imagenet-200.zip or its folder)",
    }[settings.data.layout]
    return (
        f"The {settings.preset} preset needs {what}. It was looked for at {Path(str(settings.data.path)).absolute()} "
        f"and is not there. Name its place with --config {short}=PATH, or run without any data set: "
        "snakemake --cores all --config smoke=true"
    )
