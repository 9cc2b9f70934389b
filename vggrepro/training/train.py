"""One training, as section 3.1 and appendix A describe it: its parts, its one loop, its results."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vggrepro.core import provenance
from vggrepro.core.checksums import CHECKSUMS, write_checksums
from vggrepro.core.devices import Meter, device_name
from vggrepro.core.files import check_holds_only, file_digest, is_made_of, read_json, write_json, write_text
from vggrepro.core.progress import Waits, show_progress
from vggrepro.data.store import Store
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import Weights, save_weights
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import EvaluateSettings
from vggrepro.settings.models import RunSettings
from vggrepro.training.checkpoints import SECONDS_BETWEEN_CHECKPOINTS, Checkpoint, Checkpoints, decisive
from vggrepro.training.files import METRICS, RUN_RECORD, WEIGHTS
from vggrepro.training.first_steps import FIRST_STEPS, copied_weights, step_numbers
from vggrepro.training.gradients import Gradients, Pieces, fit_into_memory
from vggrepro.training.heartbeat import Heartbeat
from vggrepro.training.initial import check_boxes, initial_net, load_initial_weights, open_stores
from vggrepro.training.loader import Batch, EpochLoader
from vggrepro.training.objectives import Loss, Objective, objective_of
from vggrepro.training.optimiser import SGD
from vggrepro.training.processes import ALONE, ProcessGroup
from vggrepro.training.progress import TrainingProgress, check_not_stuck, epoch_line, metrics_csv
from vggrepro.training.recorder import StartingWeights, TrainingRecorder
from vggrepro.training.resident import ResidentImages
from vggrepro.training.schedule import Schedule
from vggrepro.training.signals import GRACE, STOP_SIGNALS, Signals, Stopped

STEPS_BETWEEN_LOOKS = 100
"""Steps between two looks at the loss: reading a number from a GPU waits for it."""


def train_run(
    run: Run,
    settings: RunSettings,
    *,
    train_folder: Path,
    val_folder: Path,
    initial_weights: Path | None,
    out: Path,
    device: torch.device,
    workers: int,
    checkpoint_folder: Path | None = None,
    every: float = SECONDS_BETWEEN_CHECKPOINTS,
    group: ProcessGroup = ALONE,
) -> None:
    """Train a run; write `weights.safetensors`, `metrics.csv` (a line per epoch) and `run.json` (what made it) to `out`.

    With a `checkpoint_folder` a checkpoint is written `every` so many seconds, and when the process is told to stop, which
    it then does within a step; the same call goes on from there, and ends with the same weights. Of a group of processes
    the main one writes.

    Raises ValueError for a folder `out` with files of others, for stores, weights or settings that do not fit the run, for the
    checkpoint of another training, and for a loss that diverges or stays at chance; `Stopped` where the process was told to
    stop.
    """
    check_holds_only(out, (WEIGHTS, METRICS, RUN_RECORD, CHECKSUMS))
    train, val = open_stores(run, train_folder, val_folder)
    initial = load_initial_weights(run, initial_weights, settings.begins)
    parent = {"run": initial.run.name, "weights": file_digest(initial_weights)} if initial and initial_weights else None
    identity = {
        "run": run.name,
        "settings": settings.model_dump(mode="json"),
        "parent": parent,
        "data": {"train": train.digest, "val": val.digest, "data set": train.about["data set"], "images": len(train)},
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    group.agree(digest, "settings, data and initial weights")
    checkpoints = Checkpoints(checkpoint_folder, identity, every=every, group=group)
    with checkpoints.exclusive():
        if group.from_main(group.main and is_trained(out, identity)):
            if group.main:
                print(
                    f"{run.name}: trained before from the same settings, images and initial weights: kept",
                    file=sys.stderr,
                )
            checkpoints.finish()
            return
        training = build_training(
            run,
            settings,
            train,
            val,
            initial=initial,
            device=device,
            workers=workers,
            checkpoints=checkpoints,
            group=group,
        )
        try:
            run_epochs(training, out)
        except Stopped:
            if group.main:
                print(
                    f"{run.name}: told to stop; its checkpoint is kept in {checkpoint_folder}: the same command goes on",
                    file=sys.stderr,
                )
            raise
        if group.main:
            write_results(training, identity, out)
        checkpoints.finish()


def is_trained(out: Path, identity: dict[str, Any]) -> bool:
    """Whether whole results of a training of this identity lie in the folder `out`."""
    record, files = out / RUN_RECORD, [out / METRICS, out / WEIGHTS]
    others = {name: value for name, value in identity.items() if name != "settings"}
    if not (is_made_of(record, others) and all(file.exists() for file in files)):
        return False
    about = read_json(record)
    same = decisive({"settings": about["settings"]}) == decisive({"settings": identity["settings"]})
    return same and file_digest(out / WEIGHTS) == str(about["weights"])


@dataclass(frozen=True)
class Training:
    """The parts of one training, all complete before the first step."""

    run: Run
    settings: RunSettings
    objective: Objective
    train: Store
    val: Store
    loader: EpochLoader
    net: VGG
    optimiser: SGD
    gradients: Gradients
    progress: TrainingProgress
    recorder: TrainingRecorder
    checkpoints: Checkpoints
    heartbeat: Heartbeat
    signals: Signals
    meter: Meter
    group: ProcessGroup

    def step(self, batch: Batch) -> Loss:
        """One step of SGD on a global batch; the loss of this process's part of it before the step."""
        loss = self.gradients(batch, self.progress.iteration)
        first = self.progress.epoch.epoch == 1 and self.progress.iteration < FIRST_STEPS
        before = copied_weights(self.net) if first else {}
        self.optimiser.step()
        self.recorder.end_step()
        if first:
            mean = float(self.group.total(loss.sum)) / max(batch.counted, 1)
            self.progress.first_steps.append(step_numbers(self.net, before, mean))
        self.progress.add(loss, batch.global_size)
        return loss


def build_training(
    run: Run,
    settings: RunSettings,
    train: Store,
    val: Store,
    *,
    device: torch.device,
    workers: int = 0,
    initial: Weights | None = None,
    checkpoints: Checkpoints | None = None,
    group: ProcessGroup = ALONE,
) -> Training:
    """Build every part of a training, as its newest checkpoint left it."""
    check_boxes(run, settings)
    checkpoints = checkpoints or Checkpoints(None, {}, group=group)
    objective, precision = objective_of(run), settings.train.precision
    resident = ResidentImages(train, device, workers) if settings.train.on_device else None
    loader = EpochLoader(run, settings, train, device, workers, group, resident)

    net, transferred = initial_net(run, settings, train.classes, initial, device)
    starting_weights = StartingWeights.measure(net, transferred, settings.train.init)
    optimiser = SGD(
        net,
        learning_rate=settings.train.learning_rate,
        momentum=settings.train.momentum,
        weight_decay=settings.train.weight_decay,
    )
    pieces = Pieces(run.name, settings.train.batch, group)
    if device.type == "cuda":
        fit_into_memory(pieces, net, precision)

    progress = restore(run, settings, net, optimiser, checkpoints, group)
    wrapped = group.wrap(net)
    # around the exchange of gradients, which then begins before backward ends; all batches but the last have one shape
    runner: Any = torch.compile(wrapped, dynamic=False) if settings.train.compile else wrapped
    recorder = TrainingRecorder(starting_weights, runner, net, optimiser, train, val)
    gradients = Gradients(
        net, wrapped, runner, objective=objective, precision=precision, seed=run.seed, pieces=pieces, recorder=recorder
    )
    signals = Signals(STOP_SIGNALS if checkpoints.folder else (), GRACE if group.size > 1 else 0.0)
    meter = Meter(device)
    progress.begin_attempt(meter, group, pieces.count)
    about = {"run": run.name, "epochs": settings.train.epochs, "device": device_name(device), "processes": group.size}
    heartbeat = Heartbeat(checkpoints.folder if group.main else None, about)
    return Training(
        run, settings, objective, train, val, loader, net, optimiser, gradients, progress, recorder, checkpoints, heartbeat,
        signals, meter, group,
    )  # fmt: skip


def restore(
    run: Run, settings: RunSettings, net: VGG, optimiser: SGD, checkpoints: Checkpoints, group: ProcessGroup
) -> TrainingProgress:
    """Take over weights, momentum and progress of the newest checkpoint, if there is one: the main process reads it."""
    checkpoint = checkpoints.read()
    if checkpoint:
        net.load_state_dict(checkpoint.weights)
        optimiser.load_velocities(checkpoint.momentum)
    # DistributedDataParallel hands on the weights, but not what the optimiser knows
    group.copy_from_main(list(optimiser.velocities.values()))
    values = group.from_main(checkpoint.progress if checkpoint else None)
    if values is None:
        return TrainingProgress(Schedule(settings.train))
    progress = TrainingProgress.from_json(values, settings.train, group, checkpoints.folder)
    if group.main:
        place = f"epoch {progress.epoch.epoch}, step {progress.iteration}"
        attempt = len(progress.attempts) + 1
        print(f"{run.name}: goes on from {place}, attempt {attempt}", file=sys.stderr, flush=True)
    return progress


def run_epochs(t: Training, out: Path) -> None:
    """Train until the schedule ends. Raises `Stopped` where the process was told to stop, its checkpoint written."""
    progress, schedule, group = t.progress, t.progress.schedule, t.group
    with t.signals.watched():
        while not schedule.finished:
            epoch = progress.epoch
            t.optimiser.learning_rate = schedule.learning_rate
            t.net.train()
            with t.signals.deferred():
                batches = t.loader.batches(epoch.epoch, skip=epoch.batches)
                t.recorder.begin_epoch(epoch.epoch, batches)
                about = f"{t.run.name}, epoch {epoch.epoch}"
                started = time.perf_counter() - epoch.seconds
                waits = Waits(batches)
                for batch in show_progress(waits, total=len(batches), about=about, unit="batch"):
                    t.step(batch)
                    epoch.seconds = time.perf_counter() - started
                    t.heartbeat.beat(progress, len(batches))
                    if progress.iteration % STEPS_BETWEEN_LOOKS == 0:
                        epoch.check_loss(group, t.run.name)
                    stop_or_keep_checkpoint(t)
                assert epoch.seen == len(batches.order), f"an epoch saw {epoch.seen} of {len(batches.order)} images"
                row = epoch.row(group, run=t.run.name, error=t.objective.error)
                keep_checkpoint(t)
            # nothing is lost from here to the next step: a signal ends the process at once
            finish_epoch(t, row, out, waits.seconds)
    measure(t)


def stop_or_keep_checkpoint(t: Training) -> None:
    """Do in all processes what one is told, or finds to be due."""
    signal = int(t.group.largest(t.signals.received or 0))
    if signal or t.checkpoints.due():
        keep_checkpoint(t)
    if signal:
        raise Stopped(signal)


def keep_checkpoint(t: Training) -> None:
    """Write a checkpoint, if they are kept. Raises ValueError for a loss that is not a number: never keep one."""
    t.progress.epoch.check_loss(t.group, t.run.name)
    measure(t)
    progress = t.progress.as_json(t.group)
    t.checkpoints.write(t.progress.iteration, Checkpoint(dict(t.net.state_dict()), t.optimiser.velocities, progress))


def measure(t: Training) -> None:
    """Record what this attempt used and did until now."""
    t.progress.measure(t.meter, t.group, t.gradients.pieces.count)
    t.progress.attempts[-1]["seen"] = t.recorder.total_counts(t.group)


def finish_epoch(t: Training, row: dict[str, float], out: Path, waited: float) -> None:
    """Validate after an epoch, record it in schedule, metrics and log, and turn to the next.

    `waited`: seconds that steps waited for their images, in this attempt.
    """
    progress, error = t.progress, t.objective.error
    about = {"epoch": progress.epoch.epoch, "learning_rate": progress.schedule.learning_rate}
    row = about | row | {"iteration": progress.iteration} | validate(t)
    progress.end_epoch(row, accuracy=1 - row[f"val_{error}"])
    if t.group.main:
        # the results of an earlier training stay whole until this one has ended
        write_text((t.checkpoints.folder or out) / METRICS, metrics_csv(progress.rows))
        seconds = sum(earlier["seconds"] for earlier in progress.rows)
        line = epoch_line(row, error, epochs=t.settings.train.epochs, seconds=seconds, waited=waited)
        print(f"{t.run.name}: {line}", file=sys.stderr, flush=True)
    if not t.run.localises:
        check_not_stuck(progress.rows, run=t.run.name, epochs=t.settings.train.stuck_epochs, classes=t.train.classes)


def validate(t: Training) -> dict[str, float]:
    """The validation error that steers the rate (section 3.1). CHOICE 12: centre crop, at Q = S or the middle of its range."""
    # a batch that fits in training fits here
    pixels = t.gradients.pieces.images * t.settings.model.crop**2
    wrong = t.objective.validate(
        t.net.eval(),
        t.val.part(slice(t.group.rank, None, t.group.size)),
        t.train.colours.mean,
        sum(t.run.scale_ends) // 2,
        settings=EvaluateSettings(batch_pixels=pixels, precision=t.settings.train.precision),
        device=t.loader.device,
        workers=t.loader.workers,
        about=f"{t.run.name}, validation",
    )
    counts = {name: t.group.total(torch.tensor([w.sum(), w.size])).tolist() for name, w in wrong.items()}
    return {name: wrong / images for name, (wrong, images) in counts.items()}


def write_results(t: Training, identity: dict[str, Any], out: Path) -> None:
    """Write the weights of a finished training, and the record of what made them."""
    progress, parent = t.progress, identity["parent"]
    record = t.recorder.record(progress.attempts, parent and parent["run"])
    save_weights(out / WEIGHTS, t.net, t.run, t.train.colours.mean, t.train.about["wnids"])
    write_text(out / METRICS, metrics_csv(progress.rows))
    attempts = [{name: value for name, value in attempt.items() if name != "seen"} for attempt in progress.attempts]
    results = {
        "record": record,
        "initialised": record["lent"],
        "first_steps": progress.first_steps,
        "drops": progress.schedule.drops,
        "epochs": len(progress.rows),
        "iterations": progress.iteration,
        "seconds": sum(attempt["seconds"] for attempt in attempts),
        "attempts": attempts,
        "device": device_name(t.loader.device),
        "weights": file_digest(out / WEIGHTS),
        "made": provenance.provenance_record(),
    }
    write_json(out / RUN_RECORD, identity | results)
    write_checksums(out)
