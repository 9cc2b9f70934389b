"""What the rules of the workflow ask: which files a step needs, and which settings decide its result.

Functions that take wildcards are input and params functions of Snakemake. Nothing heavy is imported here: every job of a
cluster reads the Snakefile again.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from vggrepro.core.files import lock
from vggrepro.core.paths import ROOT
from vggrepro.paper.runs import Run, members_name, with_ancestors
from vggrepro.paper.systems import Imported, evaluations_of, parse_system, with_seed
from vggrepro.paper.tables import (
    PUBLISHED,
    SHALLOW_AND_DEEP,
    best_classification,
    needed_runs,
    published_table,
    scales_of,
    table_name,
    table_numbers,
)
from vggrepro.paper.tasks import TASKS, task_of
from vggrepro.settings.blocks import ReleaseSettings
from vggrepro.settings.models import Settings
from vggrepro.training.files import FINISHED
from vggrepro.training.signals import TORCHRUN_SIGNALS


class Wildcards(Protocol):
    """The wildcards of a rule of ours."""

    run: str
    protocol: str
    seed: str
    system: str
    collection: str
    set: str
    task: str
    members: str
    table: str


def find_own_commands() -> None:
    """Let jobs run the `vggrepro` beside the Python that runs Snakemake, whether or not its environment is activated."""
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))


def keep_what_is_planned() -> None:
    """Look for garbage less often: a DAG's objects live to its end, and going through them is a tenth of planning 50 seeds."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def one_of(names: Iterable[str]) -> str:
    """What a wildcard may be: one of some names. Of none it matches nothing, as an empty constraint would not."""
    return "|".join(map(re.escape, names)) or "(?!)"


def one_run_of(names: Sequence[str]) -> str:
    """What a wildcard may be that stands for one of some runs: short where each is there with every seed, as it mostly is.

    Snakemake handles a wildcard's constraint with every path that has it.
    """
    nets, seeds = (dict.fromkeys(name.rpartition("_s")[part] for name in names) for part in (0, 2))
    if len(nets) * len(seeds) > len(names):
        return one_of(names)
    return f"({one_of(nets)})_s({one_of(seeds)})"


def _told(plan: type[Plan]) -> type[Plan]:
    """Say once what its methods take: Snakemake asks at every job."""
    for method in filter(callable, vars(plan).values()):
        method.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    return plan


@_told
class Plan:
    """The DAG that follows from the paper's tables under some settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = f"results/{settings.folder}"
        self.tables = [table_name(number) for number in table_numbers()]
        self.targets = {n if n == "text" else f"table{n}": table_name(n) for n in table_numbers()}
        kinds = ("scores", "boxes") if settings.localisation else ("scores",)
        self.numbers = table_numbers(*kinds, "svms")
        wanted = self.numbers if any(map(self.given, TASKS)) else table_numbers(*kinds)
        adopted = {Run(net, "256-512", seed=settings.seeds[0]): net for net in settings.released}
        self.adopted = {run.name: net for run, net in adopted.items()}
        # with released nets, only what is asked for beyond them is trained
        trained = tuple(n for n in wanted if n in table_numbers("boxes")) if adopted else wanted
        runs = [*adopted, *needed_runs(trained, settings.seeds, staged=settings.staged)]
        self.runs = [run.name for run in runs]
        self.trained = [run.name for run in runs if run not in adopted]
        self.slugs = {Imported(name).path.removeprefix("imported/"): name for name in settings.imported}
        self.by_class = [run.name for run in runs if not run.localises]
        self.by_box = [run.name for run in runs if run.localises]

    def results(self, wildcards: Wildcards) -> str:
        """The folder of all results."""
        return self.root

    def check_data(self, dag: Iterable[Any]) -> None:
        """Before the first job: a ValueError if a job needs the data set, or boxes in it, and they are not there."""
        rules = {(job.rule.name, job.wildcards_dict.get("run")) for job in dag}
        prepares = "prepare" in {rule for rule, _ in rules}
        if {"features", "splits", "classify"} & {rule for rule, _ in rules}:
            self._check_transfer()
        data = self.settings.data
        if prepares and data.path is not None and not Path(data.path).exists():
            raise ValueError(missing_data_message(self.settings))
        if not {run for _, run in rules} & set(self.by_box):
            return
        from vggrepro.data.ilsvrc import data_set_has_boxes
        from vggrepro.data.store import count_boxes

        stores = [Path(f"{self.root}/data/{split}") for split in ("train", "val")]
        there = data_set_has_boxes(data.layout, data.path) if prepares else all(count_boxes(store) for store in stores)
        if not there:
            raise ValueError(without_boxes(self.settings))

    def _check_transfer(self) -> None:
        for name, path in self.settings.transfer.paths.items():
            if path is not None and not Path(path).exists():
                raise ValueError(
                    f"transfer.{name}: there is nothing at {Path(path).absolute()}: name the folder or zip with --config "
                    f"{name}=PATH, or leave it out: its column then says that it was not run"
                )

    def given(self, task: str) -> bool:
        """Whether the data set of a task of transfer is there, or a stand-in is drawn."""
        return self.settings.transfer.given(TASKS[task].data)

    def _drawn(self, data: str) -> list[str]:
        """The folder of a drawn data set, if it is one."""
        path = self.settings.transfer.paths[data]
        return [f"{self.root}/data/drawn/{data}"] if path is None and self.settings.transfer.stand_in else []

    def _where(self, data: str) -> str:
        return self.settings.transfer.paths[data] or "".join(self._drawn(data))

    def collection_drawn(self, wildcards: Wildcards) -> list[str]:
        """What the features of a collection need, if it is drawn."""
        return self._drawn(_data_of(wildcards.collection))

    def set_drawn(self, wildcards: Wildcards) -> list[str]:
        """A data set, if it is drawn."""
        return self._drawn(wildcards.set)

    def set_path(self, wildcards: Wildcards) -> str:
        """Where a data set lies."""
        return self._where(wildcards.set)

    def collection_path(self, wildcards: Wildcards) -> str:
        """Where a collection lies."""
        return self._where(_data_of(wildcards.collection))

    def collection_scales(self, wildcards: Wildcards) -> str:
        """The test scales of a collection's features."""
        scales = next(t.scales for t in TASKS.values() if wildcards.collection in t.collections)
        return ",".join(map(str, scales))

    def task_inputs(self, wildcards: Wildcards) -> dict[str, list[str]]:
        """What SVMs are trained on: features of every net and collection, random splits, the data set if it is drawn."""
        task = TASKS[wildcards.task]
        features = [
            f"{self.root}/features/{run}/{collection}"
            for collection in task.collections
            for run in wildcards.members.split("+")
        ]
        count = self.settings.transfer.splits if task.data.startswith("caltech") else 0
        splits = [f"{self.root}/splits/{task.data}/{k}.csv" for k in range(count)]
        return {"features": features, "splits": splits, "drawn": self._drawn(task.data)}

    def splits_option(self, wildcards: Wildcards) -> list[str]:
        """`--splits FILES`, or nothing."""
        files = self.task_inputs(wildcards)["splits"]
        return ["--splits", *files] if files else []

    def task_path(self, wildcards: Wildcards) -> str:
        """Where the data set of a task lies."""
        return self._where(TASKS[wildcards.task].data)

    def splits_settings(self, wildcards: Wildcards) -> str:
        """What decides the splits of a set, as JSON."""
        mine = {name for name in type(self.settings.transfer).model_fields if name.startswith(f"{wildcards.set}_")}
        return self.settings.transfer.model_dump_json(include={"splits", *mine})

    def classify_settings(self, wildcards: Wildcards) -> str:
        """What decides the SVMs of a task, as JSON."""
        mine = {"ap_2007"} if wildcards.task == "voc2007" else set()
        return self.settings.transfer.model_dump_json(include={"normalise", "C", "held_out", *mine})

    def features_settings(self, wildcards: Wildcards) -> str:
        """What decides features, as JSON."""
        return self.settings.evaluate.model_dump_json(include={"precision", "batch_pixels", "cpu_kernels"})

    def drawn_size(self, wildcards: Wildcards) -> int:
        """Images of a class of a drawn Caltech: a few more than for training, to test."""
        transfer = self.settings.transfer
        return {"caltech101": transfer.caltech101_train + 10, "caltech256": transfer.caltech256_train + 10}.get(
            wildcards.set, 0
        )

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

    def train_store(self, wildcards: Wildcards) -> str:
        """The store that a run is trained on: that of the data set, or of its images rescaled to the run's one S."""
        S = Run.parse(wildcards.run).S
        rescaled = self.settings.data.rescaled != "no" and S.isdigit()
        return f"{self.root}/data/train" + (f"-{S}" if rescaled else "")

    def rescale_options(self, wildcards: Any) -> list[str]:  # noqa: ANN401
        """All that decides a store of rescaled images, as options."""
        smallest = self.settings.model.pixels(int(wildcards.S))
        return ["--smallest", str(smallest), "--encoding", self.settings.data.rescaled]

    def verify_options(self, wildcards: Wildcards) -> list[str]:
        """Which data set to verify, as options; a ValueError where it is drawn by the program."""
        data = self.settings.data
        if data.path is None:
            raise ValueError("verify: the images are drawn by the program: give a data set, such as ilsvrc=PATH")
        return ["--layout", data.layout, "--path", data.path]

    def run_settings(self, wildcards: Wildcards) -> str:
        """All that decides a run's weights, as JSON: a change of any value retrains it."""
        return self.settings.for_run(Run.parse(wildcards.run)).model_dump_json()

    def processes(self, wildcards: Wildcards, resources: Any) -> int:  # noqa: ANN401
        """How many processes train a run: one a GPU. Where it is trained is none of its settings: a move retrains nothing."""
        return max(1, int(resources.get("gpu", 1)))

    def launcher(self, wildcards: Wildcards, threads: int, resources: Any) -> str:  # noqa: ANN401
        """What starts the processes of a training: nothing, torchrun, or on several nodes one torchrun each.

        Raises ValueError where the nodes cannot have equal numbers of GPUs.
        """
        processes, nodes = self.processes(wildcards, resources), int(resources.get("nodes", 1))
        if processes == nodes == 1:
            return ""
        if processes % nodes:
            raise ValueError(f"train: {processes} GPUs on {nodes} nodes: as many on each are needed")
        torchrun = f"torchrun --signals-to-handle={TORCHRUN_SIGNALS} --no-python --nproc-per-node={processes // nodes}"
        if nodes == 1:
            return f"{torchrun} --standalone"
        # one port a job: several jobs may share a node
        return (
            f"{resources.get('mpi', 'srun')} --nodes={nodes} --ntasks={nodes} --cpus-per-task={max(1, threads // nodes)} "
            f"{torchrun} --nnodes={nodes} --rdzv-backend=c10d --rdzv-id=$SLURM_JOB_ID "
            "--rdzv-endpoint=$(hostname):$((20000 + SLURM_JOB_ID % 20000))"
        )

    def box_weights(self, wildcards: Wildcards) -> dict[str, str]:
        """What boxes are predicted with: a net, and for dense boxes the net that scores them and the images' best labels."""
        run = Run.parse(wildcards.run)
        found = {"weights": f"{self.root}/runs/{run.name}/weights.safetensors"}
        if wildcards.protocol == "dense":
            found["classifier"] = self.parent_weights(wildcards)[0]
            found["answers"] = f"{self.root}/answers/s{run.seed}"
        return found

    def box_options(self, wildcards: Wildcards) -> list[str]:
        """`--classifier FILE --answers FOLDER` for dense boxes, or nothing."""
        found = self.box_weights(wildcards)
        return [t for key in ("classifier", "answers") if key in found for t in (f"--{key}", found[key])]

    def answer_scores(self, wildcards: Wildcards) -> list[str]:
        """The folders of score stores that the best classification system averages."""
        system = with_seed(best_classification(), int(wildcards.seed))
        return sorted({f"{self.root}/scores/{e.job}" for e, _ in system})

    def why_scores(self, wildcards: Wildcards) -> list[str]:
        """The folders of score stores of a run's own systems, and of the best one if it is part of that."""
        run = Run.parse(wildcards.run)
        found = with_seed(best_classification(), run.seed)
        best = {e.run for e in evaluations_of(found)}
        runs = {r for r in best if r.name in self.runs} if run in best else {run}
        protocols = ("dense", "multi-crop")
        pairs = [(r, protocol) for r in runs for protocol in protocols if scales_of(r, protocol)]
        return sorted(f"{self.root}/scores/{r.name}/{protocol}" for r, protocol in pairs)

    def flips_scores(self, wildcards: Wildcards) -> list[str]:
        """The folders of score stores of the two systems whose answers are shown image by image."""
        systems = [parse_system(name, "dense") for name in SHALLOW_AND_DEEP]
        found = [e for s in systems for e, _ in with_seed(s, self.settings.seeds[0])]
        return sorted({f"{self.root}/scores/{e.job}" for e in found})

    def flips(self, wildcards: Wildcards) -> list[str]:
        """The images that the report shows, if both nets are there."""
        systems = [parse_system(name, "dense") for name in SHALLOW_AND_DEEP]
        seed = self.settings.seeds[0]
        runs = {e.seeded(seed).run.name for s in systems for e in evaluations_of(s)}
        return [f"{self.root}/flips"] if runs <= set(self.runs) else []

    def flips_option(self, wildcards: Wildcards) -> list[str]:
        """`--flips FOLDER`, or nothing."""
        return [text for folder in self.flips(wildcards) for text in ("--flips", folder)]

    def devkit_option(self, wildcards: Wildcards) -> list[str]:
        """`--devkit FOLDER`, or nothing."""
        return ["--devkit", self.settings.devkit.folder] if self.settings.devkit else []

    def why(self, wildcards: Wildcards) -> str:
        """The error decomposition that the report shows: of a net of the paper's best system."""
        best = with_seed(best_classification(), self.settings.seeds[0])
        first = next(e for e in evaluations_of(best) if e.run.name in self.runs)
        return f"{self.root}/why/{first.run.name}"

    def claims(self, wildcards: Wildcards) -> list[str]:
        """What claims are judged by besides our own tables: what is claimed, tolerances, results from random weights."""
        files = [str(ROOT / "tables" / name) for name in ("claims.yaml", "tolerances.yaml")]
        others = [f"{folder}/tables/{table_name('3')}.npz" for folder in self.settings.unstaged.values()]
        return files + others

    def fusion_boxes(self, wildcards: Wildcards) -> list[str]:
        """The folders of box stores of Table 9, of the first seed: what its figures are drawn from."""
        return self._stores("9", self.settings.seeds[:1])

    def evaluate_settings(self, wildcards: Wildcards) -> str:
        """All that decides posteriors, as JSON."""
        return self.settings.evaluate.model_dump_json()

    def parent_weights(self, wildcards: Wildcards) -> list[str]:
        """The weights that a run is initialised from; none for a run from random weights."""
        parent = Run.parse(wildcards.run).parent(staged=self.settings.staged)
        return [f"{self.root}/runs/{parent.name}/weights.safetensors"] if parent else []

    def parent_option(self, wildcards: Wildcards) -> list[str]:
        """`--parent FILE`, or nothing."""
        return [text for file in self.parent_weights(wildcards) for text in ("--parent", file)]

    def adopted_file(self, wildcards: Wildcards) -> str:
        """The file of the released net that stands for a run."""
        net, made = self.adopted[wildcards.run], f"{self.root}/runs/{wildcards.run}/adopted.json"
        return _there(self._release(wildcards).file, f"released.{net}", made)

    def adopt_options(self, wildcards: Wildcards) -> list[str]:
        """How a released net is read and sized, as options."""
        reading, by = self._release(wildcards).reading.model_dump_json(exclude_none=True), self.settings.devkit
        model = self.settings.model.model_dump_json(exclude={"width", "fc"})
        return ["--settings", model, "--reading", reading, *(["--devkit", by.folder] if by else [])]

    def _release(self, wildcards: Wildcards) -> ReleaseSettings:
        return next(r for net, r in self.settings.released.items() if net == self.adopted[wildcards.run])

    def scales(self, wildcards: Wildcards) -> str:
        """The test scales at which the paper's tables evaluate a run under a protocol."""
        return ",".join(map(str, scales_of(Run.parse(wildcards.run), wildcards.protocol)))

    def table_scores(self, wildcards: Wildcards) -> list[str]:
        """The folders of score stores that a table averages, or of box stores that it merges."""
        return self._stores(self._number(wildcards.table), self.settings.seeds)

    def table_runs(self, wildcards: Wildcards) -> list[str]:
        """The records of all the runs behind a table: those that it measures, and those that they began from."""
        number, seeds = self._number(wildcards.table), self.settings.seeds
        if not self.table_scores(wildcards):
            return []
        table = self.settings.table(number)
        runs = table.runs(seeds)
        if any(e.run.localises and e.protocol == "dense" for e in table.evaluations()):
            # dense boxes are of the labels that the best classification system gives
            best = evaluations_of(best_classification())
            runs += [e.seeded(seed).run for e in best for seed in seeds]
        there = [run for run in runs if run.name in self.runs]
        adopted = set(map(Run.parse, self.adopted))
        found = with_ancestors(there, staged=self.settings.staged, adopted=adopted)
        names = {run: "adopted.json" if run in adopted else "run.json" for run in found}
        return [f"{self.root}/runs/{run.name}/{name}" for run, name in names.items()]

    def table_threads(self, wildcards: Wildcards) -> int:
        """CPU threads of a table: merging boxes is work, averaging scores is not."""
        return self.settings.threads if self._kind(self._number(wildcards.table)) == "boxes" else 1

    def merging(self, wildcards: Wildcards) -> list[str]:
        """What the figures of merging are drawn from, if boxes are predicted at all."""
        return [f"{self.root}/merging"] if self.settings.localisation else []

    def merging_option(self, wildcards: Wildcards) -> list[str]:
        """`--merging FOLDER`, or nothing."""
        return [text for folder in self.merging(wildcards) for text in ("--merging", folder)]

    def class_scores(self, wildcards: Wildcards) -> list[str]:
        """The folders of all score stores of the first seed."""
        return sorted({s for number in table_numbers("scores") for s in self._stores(number, self.settings.seeds[:1])})

    def whatif_settings(self, wildcards: Wildcards) -> str:
        """What decides which stores are packed for the report, as JSON."""
        return json.dumps({"preset": self.settings.preset, "seeds": self.settings.seeds[:1]})

    def table_folder(self, wildcards: Wildcards) -> str:
        """The folder of all score stores, or of all box stores."""
        return f"{self.root}/{self._kind(self._number(wildcards.table))}"

    def imported(self, wildcards: Wildcards) -> list[str]:
        """The stores of other systems that a table shows."""
        shown = published_table(self._number(wildcards.table)).compares_methods
        return [self._imported(slug) for slug in self.slugs] if shown else []

    def _imported(self, slug: str) -> str:
        return f"{self.root}/scores/imported/{slug}"

    def imported_option(self, wildcards: Wildcards) -> list[str]:
        """`--imported FOLDERS`, or nothing."""
        found = self.imported(wildcards)
        return ["--imported", *found] if found else []

    def imported_file(self, wildcards: Wildcards) -> str:
        """The file of somebody else's system."""
        name = self.slugs[wildcards.system]
        return _there(self.settings.imported[name].file, f"imported.{name}", self._imported(wildcards.system))

    def import_inputs(self, wildcards: Wildcards) -> list[str]:
        """What else it is read by and compared with: the order of its images, and what is true of them."""
        name, made = self.slugs[wildcards.system], self._imported(wildcards.system)
        system, by = self.settings.imported[name], self.settings.devkit
        order = [system.order] if system.order and system.order not in ("validation", "folders") else []
        truth = [f"{by.folder}/meta_clsloc.mat", *([by.solution] if by.solution else [])] if by else []
        named = [(file, f"imported.{name}.order") for file in order] + [(file, "devkit") for file in truth]
        return [_there(file, key, made) for file, key in named] + ([] if by else [f"{self.root}/data/val"])

    def import_options(self, wildcards: Wildcards) -> list[str]:
        """How it is read, and what is true of the images."""
        name, by = self.slugs[wildcards.system], self.settings.devkit
        system = self.settings.imported[name]
        given = {
            "--name": name,
            "--order": system.order,
            "--ids": system.ids,
            "--classes": system.classes,
            "--devkit": by.folder if by else None,
            "--solution": by.solution if by else None,
            "--val": None if by else f"{self.root}/data/val",
        }
        found = [text for option, value in given.items() if value is not None for text in (option, value)]
        return [*found, "--logits"] if system.logits else found

    def published(self, wildcards: Wildcards) -> list[str]:
        """The published numbers of a table, what its columns are, how near is near enough, the protocol, and how it looks."""
        templates = sorted((ROOT / "tables" / "templates").glob("*.j2"))
        rules = (ROOT / "tables" / name for name in ("tolerances.yaml", "protocol.yaml"))
        words = PUBLISHED / "tables.yaml", *rules
        return [str(p) for p in (PUBLISHED / f"{wildcards.table}.csv", *words, *templates)]

    def table_number(self, wildcards: Wildcards) -> str:
        """`table03` -> `3`."""
        return self._number(wildcards.table)

    def table_settings(self, wildcards: Wildcards) -> str:
        """The settings that a table shows, as JSON."""
        return self.settings.model_dump_json()

    def merging_settings(self, wildcards: Wildcards) -> str:
        """What decides the study of merging, as JSON: a preset with its seeds and parameters of merging."""
        block = self.settings.model_dump(mode="json", include={"preset", "seeds", "merge"})
        return json.dumps(block | {"seeds": block["seeds"][:1]})

    def be_alone(self) -> None:
        """A ValueError where another Snakemake works in this folder.

        Snakemake's own lock outlives a kill and a power cut, and the same command would not go on; this one does not.
        """
        self._lock = Path(".snakemake/vggrepro.lock").open("w")  # noqa: SIM115 (held until the process ends)
        if not lock(self._lock):
            raise ValueError(f"{Path.cwd()}: another Snakemake is at work here: wait for it to end")

    def clear_states(self, dag: Iterable[Any]) -> None:
        """Remove the states of finished trainings, now that Snakemake has noted that they are finished."""
        for job in dag:
            state = Path(f"{self.root}/state") / str(job.wildcards_dict.get("run"))
            if job.rule.name == "train" and (state / FINISHED).exists():
                shutil.rmtree(state)

    def say_where(self, log: str) -> None:
        """Print where the report lies, if it is there."""
        page = Path(f"{self.root}/report/report.html").absolute()
        if page.exists():
            print(f"\nThe report: {page}")

    def _kind(self, number: str) -> str:
        return published_table(number).kind.results

    def _results(self, number: str, seeds: tuple[int, ...]) -> Iterable[str]:
        """The folders of results that a table of transfer shows: of the data sets that are there."""
        table = published_table(number)
        for row in table.rows:
            for task in {task_of(row, column) for column in table.columns if row.members}:
                if self.given(task) and all(
                    replace(run, seed=s).name in self.runs for run in row.members for s in seeds
                ):
                    names = (members_name(row.members, seed) for seed in seeds)
                    yield from (f"{self.root}/transfer/{task}/{name}" for name in names)

    def _stores(self, number: str, seeds: tuple[int, ...]) -> list[str]:
        if number not in self.numbers:
            return []
        kind, table = self._kind(number), self.settings.table(number)
        if kind == "transfer":
            return sorted(set(self._results(number, seeds)))
        systems = [
            [e.seeded(seed) for e in evaluations_of(system)]
            for row in table.rows
            for system in (row.system, row.minus)
            if system
            for seed in seeds
        ]
        # a system of which a net is neither trained nor adopted is not run
        found = {e.job for system in systems if all(e.run.name in self.runs for e in system) for e in system}
        return sorted(f"{self.root}/{kind}/{job}" for job in found)

    def _number(self, name: str) -> str:
        return table_numbers()[self.tables.index(name)]


def _there(file: str, key: str, made: str) -> str:
    """A file of somebody else that a setting names; a ValueError where neither it nor what came of it is there."""
    if not Path(file).exists() and not Path(made).exists():
        raise ValueError(f"{key}: there is no file {Path(file).absolute()}: name the one to read, or leave {key} out")
    return file


def _data_of(collection: str) -> str:
    """The data set that a collection of pictures belongs to."""
    return next(task.data for task in TASKS.values() if collection in task.collections)


def missing_data_message(settings: Settings) -> str:
    """What to say where the data set is not there."""
    short = {"ilsvrc": "ilsvrc", "tiny-imagenet": "tiny_imagenet"}[settings.data.layout]
    what = {
        "ilsvrc": "ILSVRC-2012 (the official archives in one folder, torchvision's tree, or Kaggle's)",
        "tiny-imagenet": "Tiny ImageNet (tiny-imagenet-200.zip or its folder)",
    }[settings.data.layout]
    return (
        f"The {settings.preset} preset needs {what}. It was looked for at {Path(str(settings.data.path)).absolute()} "
        f"and is not there. Name its place with --config {short}=PATH, or run without any data set: "
        "snakemake --cores all --config smoke=true"
    )


def without_boxes(settings: Settings) -> str:
    """What to say where a data set has no boxes to learn and to judge by."""
    where = {
        "ilsvrc": "LOC_train_solution.csv and LOC_val_solution.csv, XML files below Annotations/CLS-LOC/{train,val}, or the "
        f"archives of boxes, in {settings.data.path}",
        "tiny-imagenet": "the files *_boxes.txt and val_annotations.txt with boxes",
        "stand-in": "the stand-in's own",
    }[settings.data.layout]
    return (
        f"Tables 8 to 10 need boxes, and the data set has none. Expected {where}. Add them (and, if the images are prepared "
        f"already, delete results/{settings.folder}/data), or leave these tables out: --config localisation=false"
    )
