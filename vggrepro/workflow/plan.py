"""The plan that follows from the settings and the published tables: which runs, and which results of them a table needs.

A rule asks a job function by `Plan.ask`: `parent=PLAN.ask(train_job, "parent")`.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vggrepro.core.messages import one_message
from vggrepro.core.validation import nearest_hint
from vggrepro.paper.runs import Run, file_name, members_name, with_ancestors
from vggrepro.paper.systems import evaluations_of
from vggrepro.paper.tables import PublishedTable, needed_runs, table_name
from vggrepro.paper.tasks import TASKS, task_of
from vggrepro.settings.downloads import fetched_name, record_of
from vggrepro.settings.models import Settings

JobNeeds = dict[str, Any]
"""What a job needs, by name: files, texts, numbers, None."""
JobFunction = Callable[..., JobNeeds]
"""A function of the plan and of a rule's wildcards by name."""
AskedFunction = Callable[[Mapping[str, str]], Any]
"""A function of wildcards, as Snakemake takes them for inputs, params and threads."""

_SIGNATURE = inspect.signature(lambda wildcards: ...)


@dataclass(frozen=True, eq=False)
class Plan:
    """The runs that some settings ask for."""

    settings: Settings
    root: str
    """The folder of all results."""
    tables: dict[str, str]
    """Every table that is made: its number by its file's name."""
    measured: tuple[str, ...]
    """The numbers of the tables that are measured from trained nets."""
    runs: tuple[str, ...]
    """The names of all runs, parents before children."""
    adopted: tuple[str, ...]
    """The names of the runs whose places released nets take."""

    @classmethod
    def of(cls, settings: Settings) -> Plan:
        """The plan of some settings."""
        kinds = ("scores", "boxes") if settings.localisation else ("scores",)
        measured = settings.table_numbers(*kinds, "svms")
        has_transfer = any(settings.transfer.given(task.data) for task in TASKS.values())
        wanted = measured if has_transfer else settings.table_numbers(*kinds)
        adopted = settings.releases
        # with released nets, only what is asked for beyond them is trained
        trained = tuple(n for n in wanted if n in settings.table_numbers("boxes")) if adopted else wanted
        root = f"results/{settings.folder}"
        imports_alone = has_imports_alone(settings, Path(root))
        trained = trained if settings.ours and not imports_alone else ()
        runs = needed_runs(trained, settings.seeds, parent_of=settings.parent, adopted=adopted)
        runs += [] if imports_alone else _runs_of_variants(settings, runs)
        return cls(
            settings,
            root=root,
            tables={table_name(number): number for number in settings.table_numbers()},
            measured=measured,
            runs=tuple(run.name for run in runs),
            adopted=tuple(run.name for run in adopted),
        )

    @property
    def trained(self) -> tuple[str, ...]:
        """The runs that are trained here: not those that are adopted, nor variants of how a run is tested."""
        return tuple(run for run in self.runs if run not in self.adopted and self.weights_of(Run.parse(run)) == run)

    def weights_of(self, run: Run) -> str:
        """The name of the run whose weights a run has."""
        return self.settings.trained_as(run).name

    @property
    def classifiers(self) -> tuple[str, ...]:
        """The runs whose nets predict classes."""
        return tuple(run for run in self.runs if not Run.parse(run).localises)

    @property
    def localisers(self) -> tuple[str, ...]:
        """The runs whose nets predict boxes."""
        return tuple(run for run in self.runs if Run.parse(run).localises)

    @property
    def imported(self) -> dict[str, str]:
        """The folder below `scores/imported/` of every system of others, and its name."""
        return {file_name(name): name for name in self.settings.imported}

    @property
    def validation(self) -> dict[str, str]:
        """The folder below `validation/` of all other validation images, and their name."""
        return {file_name(name): name for name in self.settings.validation}

    @property
    def labels(self) -> dict[str, str]:
        """The folder below `labels/` of every file of other labels, and its name."""
        return {file_name(name): name for name in self.settings.labels}

    def results(self, wildcards: Any) -> str:  # noqa: ANN401
        """The folder of all results, for a rule's params: a function, because Snakemake's lint refuses a plain prefix."""
        return self.root

    def fetched(self, path: str | None) -> list[str]:
        """The record of the download whose place a path is, for the job that reads it; none where the user gave the file."""
        return record_of(path, self.settings.downloads.folder)

    def ask(self, job: JobFunction, answer: str) -> AskedFunction:
        """What a rule's job needs, by the job's wildcards."""
        return _asked(lambda wildcards: job(self, **dict(wildcards.items()))[answer])

    def options(self, job: JobFunction, *answers: str) -> AskedFunction:
        """What a rule's job needs, as options of its command: all of it, or some by name."""

        def texts(wildcards: Mapping[str, str]) -> list[str]:
            values = job(self, **dict(wildcards.items()))
            return _as_options({name: values[name] for name in answers or values})

        return _asked(texts)

    def has(self, runs: Iterable[Run]) -> bool:
        """Whether the plan has all of some runs."""
        return self._names.issuperset(run.name for run in runs)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.runs)

    def stores(self, number: str, *, seeds: Sequence[int], variants: bool = True) -> list[str]:
        """The folders of results that a table is measured from. A system of which the plan lacks a run is not measured."""
        if number not in self.measured:
            return []
        table = self.settings.table(number)
        table = table if variants else replace(table, rows=table.own_rows)
        jobs = self._system_jobs(table, seeds) | self._svm_jobs(table, seeds)
        return sorted(f"{self.root}/{table.kind.results}/{job}" for job in jobs)

    def _system_jobs(self, table: PublishedTable, seeds: Sequence[int]) -> set[str]:
        systems = [system for row in table.rows for system in (row.system, row.minus) if system]
        seeded = [[e.seeded(seed) for e in evaluations_of(system)] for system in systems for seed in seeds]
        return {e.job for system in seeded if self.has(e.run for e in system) for e in system}

    def _svm_jobs(self, table: PublishedTable, seeds: Sequence[int]) -> set[str]:
        return {
            f"{task}/{members_name(row.members, seed)}"
            for row in table.rows
            for task in {task_of(row, column) for column in table.columns if row.members}
            if self.settings.transfer.given(TASKS[task].data)
            and self.has(replace(run, seed=seed) for run in row.members for seed in seeds)
            for seed in seeds
        }


def _runs_of_variants(settings: Settings, papers: Sequence[Run]) -> list[Run]:
    """The runs of variants for every seed, parents before children; a ValueError for one of a run that is not in the plan."""
    labels = list(dict.fromkeys(run.label for run in papers))
    known = f"The DAG has {', '.join(labels) or 'no run'}"
    for run in settings.variant_runs:
        name, parent = settings.variant_of(run)[0], settings.parent(run)
        if run.varied.label not in labels:
            hint = nearest_hint(run.varied.label, labels)
            raise ValueError(f"config: variants.{name}.of: {run.varied.label} is not in the DAG{hint}. {known}")
        is_trained = settings.trained_as(run) == run
        if is_trained and parent and not parent.variant and parent.label not in labels:
            hint = nearest_hint(parent.label, labels)
            raise ValueError(f"config: variants.{name}.from: {parent.label} is not in the DAG{hint}. {known}")
    seeded = [replace(run, seed=seed) for seed in settings.seeds for run in settings.variant_runs]
    return [run for run in with_ancestors(seeded, parent_of=settings.parent, adopted=papers) if run.variant]


def has_imports_alone(settings: Settings, root: Path) -> bool:
    """Whether others' systems are all that can be shown: there is no data set, and the devkit has the true classes.

    Where images were prepared or nets trained before, the data set is only out of reach, and their numbers stay in the tables.
    """
    path = settings.data.path
    to_come = fetched_name(path, settings.downloads.folder)
    absent = (
        path is not None
        and not (to_come or Path(path).exists())
        and not any((root / name).exists() for name in ("data", "runs"))
    )
    return absent and bool(settings.imported) and settings.devkit is not None and not settings.released


def _asked(function: AskedFunction) -> AskedFunction:
    def answer(wildcards: Mapping[str, str]) -> Any:  # noqa: ANN401
        with one_message():
            return function(wildcards)

    # Snakemake asks for a function's signature at every job, and finding it out takes long
    answer.__signature__ = _SIGNATURE  # type: ignore[attr-defined]
    return answer


def _as_options(values: Mapping[str, Any]) -> list[str]:
    """`--name value` for every value; the name alone for True, several values of a list, nothing for None, False and []."""
    texts = []
    for name, value in values.items():
        if value is None or value is False or value == []:
            continue
        arguments = [] if value is True else value if isinstance(value, list) else [str(value)]
        texts += [f"--{name.replace('_', '-')}", *arguments]
    return texts


def of_first_seed(settings: Settings, *blocks: str) -> str:
    """The settings that decide what is made for the first seed alone, as JSON: the preset, and some blocks."""
    values = settings.model_dump(mode="json", include={"preset", "seeds", "instructions", *blocks})
    return json.dumps(values | {"seeds": values["seeds"][:1]})


def one_of(names: Iterable[str]) -> str:
    """The regular expression of a wildcard that is one of some names. Without a name it matches nothing."""
    return "|".join(map(re.escape, names)) or "(?!)"


def one_run_of(names: Sequence[str]) -> str:
    """The regular expression of a wildcard that is one of some runs, short where each of them is there with every seed.

    Snakemake applies a wildcard's constraint to every path that has it.
    """
    nets, seeds = (dict.fromkeys(name.rpartition("_s")[part] for name in names) for part in (0, 2))
    if len(nets) * len(seeds) > len(names):
        return one_of(names)
    return f"({one_of(nets)})_s({one_of(seeds)})"
