"""How far a run is, from its folder of results alone: also on another node, while Slurm works, or after everything died.

What a step did lies in files: its outputs, its recipe (which says whether it runs or failed), its log, its time. A training
also has checkpoints and a heartbeat. Whether a step that began is still running, locks say on this machine; elsewhere it is
taken to run while its files change.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Literal

from vggrepro.core.files import lock, read_json
from vggrepro.core.plan_record import PLAN_FILE, PlannedStep, PlanRecord, measured_seconds, read_plan
from vggrepro.core.recipes import FAILED, RECIPES, UNFINISHED
from vggrepro.planning.rates import epochs_done
from vggrepro.planning.session import SESSION_LOCK
from vggrepro.planning.timeline import PendingStep, schedule_steps
from vggrepro.training.files import HEARTBEAT

State = Literal["done", "running", "stopped", "failed", "waiting"]
STATES: tuple[State, ...] = ("done", "running", "stopped", "failed", "waiting")
QUIET = 180.0
"""Seconds without a change in its files after which a step on another machine is taken to have stopped: a log has a line of
progress a minute."""
LOG_LINES = 6
"""Of the end of a failed step's log."""
LOG_BYTES = 20_000
ASSUMED = 5.0
"""Seconds of a step of which nothing was predicted."""


@dataclass(frozen=True)
class TrainingStatus:
    """A training that was begun and has not ended."""

    run: str
    epoch: int
    epochs: int
    share: float
    """Of all epochs."""
    loss: float | None
    images_per_s: float | None
    seconds_left: float | None
    device: str
    host: str
    kept: float | None
    """When its newest checkpoint was written, as seconds since 1970; None where there is none."""


@dataclass(frozen=True)
class StepStatus:
    """A step, and how far it is."""

    step: PlannedStep
    state: State
    share: float = 0.0
    """Of the step that is done."""
    log: str = ""
    """The path of its log, where there is one."""
    last_lines: tuple[str, ...] = ()
    """Of the log, of a step that runs or failed."""
    training: TrainingStatus | None = None


@dataclass(frozen=True)
class RunStatus:
    """A whole run."""

    results: Path
    planned: PlanRecord | None
    """None of results of a version without plans."""
    steps: tuple[StepStatus, ...]
    here: bool
    """Whether a Snakemake of this machine is at work on the results."""
    share: float
    """Of the whole work that is done, by predicted times."""
    seconds_left: float | None
    """None where nothing is known of it."""
    notes: tuple[str, ...] = field(default=())

    def of(self, state: State) -> list[StepStatus]:
        """The steps in a state."""
        return [each for each in self.steps if each.state == state]


def read_status(results: Path, now: float | None = None) -> RunStatus:
    """How far the run is whose results lie in a folder, as of `now` (seconds since 1970).

    Raises ValueError for a folder that is none of results, and for a plan that is damaged.
    """
    moment = time.time() if now is None else now
    if not any((results / name).is_dir() for name in (RECIPES, "plan")) and not any(results.glob("runs/*/run.json")):
        raise ValueError(f"{results}: no results in it: name a folder such as results/smoke, which snakemake writes")
    planned = read_plan(results)
    look = _Look(results, moment, _is_locked(results / SESSION_LOCK), planned["machine"] if planned else "")
    steps = tuple(look.at(step) for step in (planned["steps"] if planned else _steps_by_recipes(results)))
    share, left = _progress(results, planned, steps)
    return RunStatus(results, planned, steps, look.here, share, left, tuple(dict.fromkeys(look.notes)))


@dataclass
class _Look:
    """A look at the files of steps at one moment."""

    results: Path
    now: float
    here: bool
    machine: str
    """The node that Snakemake ran on; empty where that is not known."""
    notes: list[str] = field(default_factory=list)

    def at(self, step: PlannedStep) -> StepStatus:
        """A step's state."""
        recipe, made = self._recipe(step), all((self.results / name).exists() for name in step["outputs"])
        log = self.results / step["log"] if step["log"] else None
        log = log if log and log.exists() else None
        if recipe == [FAILED]:
            return StepStatus(step, "failed", log=str(log or ""), last_lines=_last_lines(log, LOG_LINES))
        if recipe != [UNFINISHED]:
            made = made and not (step.get("to_do") and self._is_of_before(step))
            return StepStatus(step, "done" if made else "waiting", share=float(made))
        training = self._training(step["outputs"][0].split("/")[1]) if step["rule"] == "train" else None
        last = _last_lines(log, 1)
        share = training.share if training else _share_in(last)
        state: State = "running" if self._runs(step, log) else "stopped"
        return StepStatus(step, state, share, str(log or ""), last, training)

    def _place(self, step: PlannedStep) -> Path:
        """Where the recipe of a step lies."""
        place = self.results / RECIPES / step["outputs"][0]
        return place.with_name(f"{place.name}.json")

    def _recipe(self, step: PlannedStep) -> Any:  # noqa: ANN401
        try:
            return read_json(self._place(step), listed=False)
        except ValueError:
            return None

    def _is_of_before(self, step: PlannedStep) -> bool:
        """Whether a step was made before the plan that is to make it again: its recipe is older than the plan's file."""
        try:
            return self._place(step).stat().st_mtime < (self.results / PLAN_FILE).stat().st_mtime
        except OSError:
            return False

    def _runs(self, step: PlannedStep, log: Path | None) -> bool:
        """Whether a step runs: by locks and open files where it began on this machine, elsewhere while its files change."""
        if step["rule"] != "train":
            here = self.machine == socket.gethostname()
            return self.here or (log is not None and (_is_open(log) if here else self._changed(log)))
        folder = self.results / "state" / step["outputs"][0].split("/")[1]
        beat = self._heartbeat(folder)
        if beat.get("host", self.machine) == socket.gethostname():
            return _is_locked(folder / "lock") or (self.here and not beat)
        return self.here or any(self._changed(file) for file in (folder / HEARTBEAT, log) if file)

    def _changed(self, file: Path) -> bool:
        """Whether a file was written a short while ago; one from the future was, too, by a node whose clock is ahead."""
        with suppress(OSError):
            age = self.now - file.stat().st_mtime
            if age < -QUIET:
                self.notes.append(f"{file.relative_to(self.results)} is from {-age / 60:.0f} min ahead: clocks differ")
            return age < QUIET
        return False

    def _heartbeat(self, folder: Path) -> Mapping[str, Any]:
        file = folder / HEARTBEAT
        if not file.exists():
            return {}
        try:
            beat = read_json(file, ("run", "host", "epoch", "epochs", "batches", "of"), listed=False)
        except ValueError as error:
            self.notes.append(str(error))
            return {}
        return beat if isinstance(beat, dict) else {}

    def _training(self, run: str) -> TrainingStatus | None:
        folder = self.results / "state" / run
        beat = self._heartbeat(folder)
        kept = newest_checkpoint(folder)
        try:
            epoch, epochs = int(beat["epoch"]), int(beat["epochs"])
            share = min(1.0, (epoch - 1 + beat["batches"] / max(1, beat["of"])) / epochs)
            rate = beat["images_per_s"]
            return TrainingStatus(
                run,
                epoch,
                epochs,
                share,
                beat["loss"],
                rate,
                _left(folder, share, epochs),
                beat["device"],
                beat["host"],
                kept,
            )
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            return None


def newest_checkpoint(folder: Path) -> float | None:
    """When the newest whole checkpoint of a training was written; one that a kill left half-written is none."""
    times = []
    for state in folder.glob("[0-9]*/state.json"):
        with suppress(OSError):
            times.append(state.stat().st_mtime)
    return max(times, default=None)


def _left(folder: Path, share: float, epochs: int) -> float | None:
    """Seconds to go by the epochs that are done."""
    done = epochs_done(folder)
    return done.seconds / done.epochs * epochs * (1 - share) if done.epochs else None


def _is_locked(file: Path) -> bool:
    """Whether a process of this machine holds a lock; where file systems have no locks, nobody does."""
    try:
        with file.open("r+") as opened:
            return not lock(opened)
    except OSError:
        return False


def _is_open(file: Path) -> bool:
    """Whether a process of this machine has a file open, as a step that still runs has its log; where /proc says it."""
    path = str(file.resolve())
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if str(descriptor.readlink()) == path:
                return True
    return False


def _last_lines(log: Path | None, count: int) -> tuple[str, ...]:
    if log is None:
        return ()
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ()
    return tuple(line for line in lines if line.strip())[-count:]


def _share_in(lines: Sequence[str]) -> float:
    """How much of a step is done, by a line of progress such as `D_256_s0 dense: 1,000 of 50,000 images, 12 min to go`."""
    match = re.search(r"([\d,]+) of ([\d,]+) \w+", lines[-1]) if lines else None
    if not match:
        return 0.0
    done, of = (int(text.replace(",", "") or 0) for text in match.groups())
    return min(1.0, done / of) if of else 0.0


def _steps_by_recipes(results: Path) -> Iterator[PlannedStep]:
    """The steps of results that have no plan: those that left a recipe; what waits is not known."""
    for recipe in sorted((results / RECIPES).rglob("*.json")):
        output = recipe.relative_to(results / RECIPES).as_posix().removesuffix(".json")
        kind = output.split("/")[0]
        run = output.split("/")[1] if kind == "runs" else ""
        yield PlannedStep(
            name=f"train {run}" if run else output,
            rule="train" if run else kind,
            size="",
            needs=[],
            outputs=[output],
            log=f"logs/train/{run}.log" if run else "",
            benchmark="",
            gpus=0,
            threads=1,
            predicted=None,
        )


def _progress(results: Path, planned: PlanRecord | None, steps: Sequence[StepStatus]) -> tuple[float, float | None]:
    """The share of the work that is done, and the seconds that are left, weighted by predicted times.

    What finished steps took, beside what was predicted of them, corrects the predictions of the others.
    """
    corrections = _corrections(results, steps)
    seconds = {each.step["name"]: _seconds(each.step, corrections) for each in steps}
    total = sum(seconds.values())
    done = sum(seconds[each.step["name"]] * (1.0 if each.state == "done" else each.share) for each in steps)
    if planned is None:
        return 0.0, None
    pending = [_pending_step(each, seconds[each.step["name"]]) for each in steps if each.state != "done"]
    left = schedule_steps(pending, gpus=planned["gpus"], cores=planned["cores"]).seconds
    return (done / total if total else 1.0), left


def _pending_step(status: StepStatus, seconds: float) -> PendingStep:
    left = status.training.seconds_left if status.training else None
    gpus = status.step["gpus"]
    return PendingStep(
        status.step["name"],
        tuple(status.step["needs"]),
        seconds * (1 - status.share) if left is None else left,
        gpus,
        0 if gpus else status.step["threads"],
    )


def _corrections(results: Path, steps: Sequence[StepStatus]) -> Mapping[str, float]:
    """How many times the predicted time finished steps took, by rule, and for all rules under an empty name."""
    ratios: dict[str, list[float]] = {}
    for each in steps:
        predicted = each.step["predicted"]
        taken = measured_seconds(results, each.step) if predicted and each.state == "done" else None
        if predicted and taken and predicted["seconds"] > 0:
            for rule in (each.step["rule"], ""):
                ratios.setdefault(rule, []).append(taken / predicted["seconds"])
    return {rule: median(values) for rule, values in ratios.items()}


def _seconds(step: PlannedStep, corrections: Mapping[str, float]) -> float:
    predicted = step["predicted"]
    if predicted is None:
        return ASSUMED
    return predicted["seconds"] * corrections.get(step["rule"], corrections.get("", 1.0))


def status_record(status: RunStatus, now: datetime) -> dict[str, Any]:
    """A run's status for programs."""
    return {
        "at": now.isoformat(timespec="seconds"),
        "results": str(status.results),
        "share": status.share,
        "seconds_left": status.seconds_left,
        "snakemake_here": status.here,
        "counts": {state: len(status.of(state)) for state in STATES},
        "notes": list(status.notes),
        "steps": [
            {
                "name": each.step["name"],
                "rule": each.step["rule"],
                "state": each.state,
                "share": each.share,
                "log": each.log,
                "last_lines": list(each.last_lines),
                "training": vars(each.training) if each.training else None,
            }
            for each in status.steps
        ],
    }
