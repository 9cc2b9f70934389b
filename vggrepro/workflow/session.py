"""What happens around the jobs: before the first, and after the last."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, TextIO

from vggrepro.core.files import lock
from vggrepro.core.leftovers import clear_leftovers
from vggrepro.core.yaml_files import read_yaml
from vggrepro.diagnosis.comparison import compare, line_of
from vggrepro.diagnosis.digests import REFERENCE, digests_of, read_digests
from vggrepro.settings.downloads import FETCHED_FILE, place_of
from vggrepro.settings.models import Settings
from vggrepro.training.files import FINISHED
from vggrepro.workflow.plan import Plan, has_imports_alone

_LOCKS: list[IO[str]] = []
"""Locks that are held until the process ends."""


def find_own_commands() -> None:
    """Let jobs run the `vggrepro` beside the Python that runs Snakemake, whether or not its environment is activated."""
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))


def keep_output_in_logs(workflow: Any, shell: Any) -> None:  # noqa: ANN401
    """Where a live view has the terminal (`--logger rich`), what steps print goes to their logs alone, not across the view."""
    if _has_live_view(workflow):
        # a prefix takes the place of Snakemake's own, by which a step that fails in a pipe fails
        shell.prefix('set -euo pipefail; tee() {{ cat > "$1"; }}; ')


def say(workflow: Any, text: str, file: TextIO | None = None) -> None:  # noqa: ANN401
    """Print to `file` (stdout if not given) or, where a live view has the terminal, above it."""
    if _has_live_view(workflow):
        workflow.logger_manager.logger.info(text)
    else:
        print(text, file=file or sys.stdout, flush=True)


def _has_live_view(workflow: Any) -> bool:  # noqa: ANN401
    return "rich" in workflow.output_settings.log_handler_settings


def collect_garbage_less() -> None:
    """Look for garbage less often: a DAG's objects live to its end, and going through them is a tenth of planning 50 seeds."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def sample_memory_less() -> None:
    """Let the benchmarks of jobs look at their memory every two seconds, not twice a second.

    Adding up a process's memory takes 25 ms where it has loaded torch, and keeps the process waiting. Less
    often, the peak of a short job may be missed.
    """
    # here, because `vggrepro status` reads this module, and needs no Snakemake
    from snakemake import benchmark

    benchmark.BENCHMARK_INTERVAL_SHORT = 2.0


def check_config_files(workflow: Any) -> None:  # noqa: ANN401
    """Raise ValueError for a file of settings in which a key stands twice: Snakemake would take the last in silence."""
    for path in workflow.configfiles:
        read_yaml(Path(path))


def unlock_after_a_kill(workflow: Any) -> None:  # noqa: ANN401
    """Remove Snakemake's lock of this folder, which outlives a kill, where nobody holds ours, which does not."""
    ours = Path(".snakemake/vggrepro.lock")
    if workflow.is_main_process and ours.exists():
        with ours.open("a") as file:
            if lock(file):
                shutil.rmtree(".snakemake/locks", ignore_errors=True)


def be_alone(plan: Plan) -> None:
    """Raise ValueError if another Snakemake works in this folder; clear away what a kill left of results.

    Snakemake's own lock outlives a kill and a power cut, and the same command would not go on; this one does not.
    """
    file = Path(".snakemake/vggrepro.lock").open("w")  # noqa: SIM115 (held until the process ends)
    _LOCKS.append(file)
    if not lock(file):
        raise ValueError(f"{Path.cwd()}: another Snakemake is at work here: wait for it to end")
    clear_leftovers(Path(plan.root))


def check_executor(name: str) -> None:
    """Raise ValueError if jobs go to a Slurm that does not answer."""
    if name != "slurm":
        return
    try:
        done = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, timeout=60)
        problem = done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        raise ValueError(
            f"the profile sends jobs to Slurm, and there is none that answers here ({problem}): run the command on a node of "
            "the cluster, or leave --profile slurm out to work on this machine alone"
        )


def check_data(plan: Plan, jobs: Iterable[Any]) -> None:
    """Before the first job: raise ValueError if a job needs a data set, or boxes in it, that is not there."""
    jobs = list(jobs)
    needed = {(job.rule.name, job.wildcards_dict.get("run")) for job in jobs}
    _check_downloads(plan, jobs)
    rules = {rule for rule, _ in needed}
    prepares, data = "prepare" in rules, plan.settings.data
    if has_imports_alone(plan.settings, Path(plan.root)):
        print(
            f"There is no data set at {data.path}, and the devkit labels what is imported: nothing of ours is trained. "
            "Tables have the paper's numbers and those of the imported systems",
            file=sys.stderr,
        )
    to_come = bool(plan.fetched(data.path)) and not Path(str(data.path)).exists()
    if prepares and data.path is not None and not (to_come or Path(data.path).exists()):
        raise ValueError(_missing_data(plan.settings))
    if (prepares and to_come) or not {run for _, run in needed} & set(plan.localisers):
        return
    from vggrepro.data.ilsvrc import data_set_has_boxes
    from vggrepro.data.store import count_boxes

    stores = [Path(f"{plan.root}/data/{split}") for split in ("train", "val")]
    has_boxes = data_set_has_boxes(data.layout, data.path) if prepares else all(map(count_boxes, stores))
    if not has_boxes:
        raise ValueError(_missing_boxes(plan.settings))


def _check_downloads(plan: Plan, jobs: Iterable[Any]) -> None:
    """Raise ValueError if a job reads a download of which only the record is there."""
    folder = plan.settings.downloads.folder
    records = {Path(file) for job in jobs for file in map(str, job.input) if Path(file).name == FETCHED_FILE}
    for record in sorted(record for record in records if record.exists()):
        place = Path(place_of(record.parent.name, folder))
        if not place.exists():
            raise ValueError(
                f"{place}: not there, although {record} says that it was fetched: type vggrepro fetch {record.parent.name} "
                f"--folder {folder}"
            )


def _missing_data(settings: Settings) -> str:
    fetch = "" if settings.data.layout == "ilsvrc" else " (or =fetch)"
    option, data_set = {
        "ilsvrc": ("ilsvrc", "ILSVRC-2012 (the official archives in one folder, torchvision's tree, or Kaggle's)"),
        "tiny-imagenet": ("tiny_imagenet", "Tiny ImageNet (tiny-imagenet-200.zip or its folder)"),
    }[settings.data.layout]
    return (
        f"The {settings.preset} preset needs {data_set}. It was looked for at {Path(str(settings.data.path)).absolute()} "
        f"and is not there. Name its place with --config {option}=PATH{fetch}, or run without any data set: "
        "snakemake --cores all --config smoke=true"
    )


def _missing_boxes(settings: Settings) -> str:
    expected = {
        "ilsvrc": "LOC_train_solution.csv and LOC_val_solution.csv, XML files below Annotations/CLS-LOC/{train,val}, or the "
        f"archives of boxes, in {settings.data.path}",
        "tiny-imagenet": "the files *_boxes.txt and val_annotations.txt with boxes",
        "stand-in": "the stand-in's own",
    }[settings.data.layout]
    return (
        f"Tables 8 to 10 need boxes, and the data set has none. Expected {expected}. Add them (and, if the images are "
        f"prepared already, delete results/{settings.folder}/data), or leave these tables out: --config localisation=false"
    )


def remove_checkpoints(plan: Plan, jobs: Iterable[Any]) -> None:
    """Remove the checkpoints of finished trainings, now that Snakemake has noted that they are finished."""
    for job in jobs:
        folder = Path(f"{plan.root}/state") / str(job.wildcards_dict.get("run"))
        if job.rule.name == "train" and (folder / FINISHED).exists():
            shutil.rmtree(folder)


def print_report_path(plan: Plan, workflow: Any) -> None:  # noqa: ANN401
    """Print where the report lies, if there is one; if there is none of the newest tables, where these lie."""
    page = Path(f"{plan.root}/report/report.html").absolute()
    made = page.stat().st_mtime if page.exists() else 0.0
    newer = [table for table in sorted(page.parents[1].glob("tables/*.html")) if table.stat().st_mtime > made]
    if newer:
        of_these = "The report is older than these tables" if made else "There is no report of these tables"
        listed = "".join(f"\n  {table}" for table in newer)
        say(workflow, f"\n{of_these}; with the target `report` it is made of all:{listed}")
    elif made:
        say(workflow, f"\nThe report: {page}")


def print_comparison(plan: Plan, workflow: Any) -> None:  # noqa: ANN401
    """Print whether a whole smoke run on drawn images equals the one that is kept in the repository; it fails nothing."""
    results = Path(plan.root)
    if plan.settings.folder != "smoke" or not (results / "report/report.html").exists():
        return
    try:
        line = line_of(compare(digests_of(results), read_digests(REFERENCE)))
    except (ValueError, OSError) as error:
        line = f"it could not be compared with the reference: {error}"
    say(workflow, f"The reference: {line}\n  more: vggrepro compare {results}")
