"""One training, as section 3.1 and appendix A describe it."""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vggrepro import checkpoint, evaluate, objectives, provenance
from vggrepro.catalogue import Run
from vggrepro.config import Evaluate, RunSettings, Train
from vggrepro.data.loader import Batch, Batches
from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws
from vggrepro.files import digest, write_json, write_text
from vggrepro.flow import progress
from vggrepro.initialise import initialise_from, initialise_randomly
from vggrepro.nets import VGG
from vggrepro.state import EVERY, Signals, States, Stopped


@dataclass
class Schedule:
    """PAPER 3.1: the rate is divided by 10 when validation accuracy stops improving, three times; then the end.

    With `drop_epochs` the drops are fixed, and validation images steer nothing.
    """

    settings: Train
    drops: list[int] = field(default_factory=list)
    """Epochs after which the rate dropped."""
    best: float = -1.0
    waited: int = 0
    finished: bool = False

    @property
    def learning_rate(self) -> float:
        """The rate of the epoch to come."""
        return self.settings.learning_rate * 0.1 ** len(self.drops)

    def after(self, epoch: int, accuracy: float) -> None:
        """Take note of the validation accuracy after an epoch (counted from 1)."""
        fixed = self.settings.drop_epochs
        if accuracy > self.best:
            self.best, self.waited = accuracy, 0
        else:
            self.waited += 1
        drop = epoch in fixed if fixed is not None else self.waited >= self.settings.patience
        if drop and fixed is None and len(self.drops) == self.settings.drops:
            self.finished = True
        elif drop:
            self.drops.append(epoch)
            self.waited = 0
        self.finished = self.finished or epoch >= self.settings.epochs


@dataclass
class Part:
    """How much of an epoch is done, and what its images gave so far."""

    epoch: int = 1
    """Counted from 1."""
    batches: int = 0
    seen: int = 0
    seconds: float = 0.0
    sums: Tensor = field(default_factory=lambda: torch.zeros(3))
    """Summed loss, wrong answers, and the number of images that count."""

    @property
    def loss(self) -> float:
        """Mean loss so far."""
        return float(self.sums[0] / self.sums[2].clamp(min=1))

    def add(self, loss: objectives.Loss, images: int) -> None:
        """Take note of a batch."""
        found = torch.stack([loss.mean.detach() * loss.counted, loss.wrong, loss.counted])
        self.sums = self.sums.to(found.device) + found
        self.batches, self.seen = self.batches + 1, self.seen + images

    def as_json(self) -> dict[str, Any]:
        """To be read back as it is: floats come back to the last bit."""
        return {**vars(self), "sums": self.sums.tolist()}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Part:
        """The inverse of `as_json`."""
        return cls(**{**said, "sums": torch.tensor(said["sums"])})


class Trainer:
    """A net, its optimiser and its data: what the steps of one training share."""

    def __init__(self, run: Run, settings: RunSettings, train: Store, *, device: torch.device, workers: int) -> None:
        self.run, self.model, self.settings = run, settings.model, settings.train
        self.store, self.device, self.workers = train, device, workers
        if (settings.boxes is not None) != run.localises:
            expected = "need" if run.localises else "have no"
            raise ValueError(
                f"{run.name}: the settings of a run for {run.objective} {expected} boxes, got {settings.boxes}"
            )
        self.boxes, self.objective = settings.boxes, objectives.of(run)
        self.net = VGG(run.net, run.outputs(train.classes), self.model)
        initialise_randomly(self.net, self.settings.init, run.seed)
        self.iteration = 0

    def start(self, parent: checkpoint.Weights | None) -> list[str]:
        """Take over what the parent lends, move to the device, and return the names of the layers lent."""
        # PAPER A.1: the last layer of a net that predicts boxes begins at random
        but = ("fc8",) if self.run.localises else ()
        lent = initialise_from(self.net, parent.tensors, parent.run.net, but=but) if parent else []
        self.net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        # PAPER 4.4, A.1: the jittered D of the submission and two of Table 8's nets moved their FC layers only
        self.net.features.requires_grad_(self.run.layers == "all")
        self.optimiser = torch.optim.SGD(
            [p for p in self.net.parameters() if p.requires_grad],
            lr=self.settings.learning_rate,
            momentum=self.settings.momentum,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        return lent

    def batches(self, epoch: int, start: int = 0) -> Batches:
        """The batches of an epoch (counted from 1), but for the first `start`."""
        low, high = (self.model.pixels(int(side)) for side in (self.run.S.split("-") * 2)[:2])
        draws = Draws.of(self.run.seed, epoch, len(self.store), (low, high))
        return Batches(
            self.store,
            draws,
            batch=self.settings.batch,
            crop=self.model.crop,
            flip=self.settings.flip,
            colour_std=self.settings.colour_std,
            workers=self.workers,
            boxes=self.boxes,
            start=start,
        )

    def step(self, batch: Batch) -> objectives.Loss:
        """One step of SGD, and the batch's loss before it."""
        # dropout's draws follow from the seed and the step, so that a restart repeats them
        torch.manual_seed(self.run.seed * 1_000_000_007 + self.iteration)
        self.iteration += 1
        batch = Batch(*(tensor.to(self.device, non_blocking=True) for tensor in batch))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            outputs = self.net(batch.images)
        loss = self.objective.loss(outputs.float(), batch)
        self.optimiser.zero_grad()
        loss.mean.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss

    def epoch(
        self, part: Part, learning_rate: float, after_step: Callable[[], None] = lambda: None
    ) -> dict[str, float]:
        """The rest of an epoch at one learning rate; the whole epoch's mean loss, training error, seconds and images/s."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.net.train()
        batches = self.batches(part.epoch, part.batches)
        about = f"{self.run.name}, epoch {part.epoch}"
        started, before = time.perf_counter(), part.seconds
        for batch in progress(batches, total=len(batches), about=about, unit="batch"):
            loss = self.step(batch)
            part.add(loss, len(batch.labels))
            part.seconds = before + time.perf_counter() - started
            # reading a number from a GPU waits for it: now and then is enough
            if self.iteration % LOOK_EVERY == 0 or part.seen == len(batches.order):
                self._check_loss(part.loss, part.epoch)
            after_step()
        assert part.seen == len(batches.order), f"an epoch saw {part.seen} of {len(batches.order)} images"
        _, missed, counted = part.sums.tolist()
        if not counted:
            raise ValueError(
                f"{self.run.name}: in no crop of epoch {part.epoch} did enough of a box lie: lower boxes.min_inside"
            )
        return {
            "loss": part.loss,
            f"train_{self.objective.error}": missed / counted,
            "seconds": part.seconds,
            "images_per_s": part.seen / part.seconds,
        }

    def momentum(self) -> dict[str, Tensor]:
        """The optimiser's velocity of every parameter that moves."""
        state = self.optimiser.state
        return {name: state[p]["momentum_buffer"] for name, p in self.net.named_parameters() if state.get(p)}

    def restore(self, weights: dict[str, Tensor], momentum: dict[str, Tensor], iteration: int) -> None:
        """Go on from a state."""
        self.net.load_state_dict(weights)
        for name, parameter in self.net.named_parameters():
            if name in momentum:
                self.optimiser.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum[name])
        self.iteration = iteration

    def _check_loss(self, loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            raise ValueError(
                f"{self.run.name}: the loss is {loss} in epoch {epoch}: training diverged. "
                "Lower train.learning_rate, or initialise in stages (staged: true)"
            )


LOOK_EVERY = 100
"""Steps between two looks at the loss."""


@dataclass
class Course:
    """How far a training has come: what a state keeps beside weights and momentum."""

    schedule: Schedule
    part: Part = field(default_factory=Part)
    rows: list[dict[str, float]] = field(default_factory=list)
    """A line of metrics for every finished epoch."""
    attempts: list[dict[str, Any]] = field(default_factory=list)
    """Of every attempt, this one last: when it began, on what, and how many seconds it took."""

    def as_json(self, iteration: int) -> dict[str, Any]:
        """To be read back by `go_on`."""
        schedule = {name: value for name, value in vars(self.schedule).items() if name != "settings"}
        part = self.part.as_json()
        return {
            "iteration": iteration,
            "schedule": schedule,
            "part": part,
            "rows": self.rows,
            "attempts": self.attempts,
        }

    def go_on(self, said: dict[str, Any]) -> None:
        """Take over the course of earlier attempts."""
        vars(self.schedule).update(said["schedule"])
        self.part, self.rows = Part.from_json(said["part"]), said["rows"]
        self.attempts = said["attempts"] + self.attempts


def train(
    run: Run,
    settings: RunSettings,
    *,
    train_folder: Path,
    val_folder: Path,
    parent_file: Path | None,
    out: Path,
    device: torch.device,
    workers: int,
    state_folder: Path | None = None,
    every: float = EVERY,
) -> None:
    """Train a run; write `weights.safetensors`, `metrics.csv` (a line per epoch) and `run.json` (what made it) to `out`.

    With a `state_folder` it keeps its state there every so many seconds, and when it is told to stop, which it then does
    within a step; the same call goes on from there, and ends with the same weights.
    """
    store, val = Store(train_folder), Store(val_folder)
    if store.about["wnids"] != val.about["wnids"]:
        raise ValueError(f"{train_folder} and {val_folder} have different classes: prepare them again, together")
    if run.localises and not val.annotated.all():
        raise ValueError(f"{val_folder}: {run.name} predicts boxes, but not every image has a true box to judge by")
    parent = _parent(run, parent_file)
    trainer = Trainer(run, settings, store, device=device, workers=workers)
    lent = trainer.start(parent)
    about: dict[str, Any] = {
        "run": run.name,
        "settings": settings.model_dump(mode="json"),
        "parent": {"run": parent.run.name, "weights": digest(parent_file)} if parent and parent_file else None,
        "data": {"train": store.digest, "val": val.digest, "data set": store.about["data set"], "images": len(store)},
    }
    course = Course(Schedule(settings.train))
    states = States(state_folder, about, every) if state_folder else None
    try:
        _attempt(trainer, course, val, states, out)
    except Stopped:
        print(
            f"{run.name}: told to stop; its state is kept in {state_folder}: the same command goes on", file=sys.stderr
        )
        raise
    checkpoint.save(out / "weights.safetensors", trainer.net, run, store.colours.mean, store.about["wnids"])
    about |= {
        "initialised": lent,
        "drops": course.schedule.drops,
        "epochs": len(course.rows),
        "iterations": trainer.iteration,
        "seconds": sum(attempt["seconds"] for attempt in course.attempts),
        "attempts": course.attempts,
        "device": evaluate.device_name(device),
        "weights": digest(out / "weights.safetensors"),
        "made": provenance.made(),
    }
    write_json(out / "run.json", about)
    if states:
        states.forget()


def _attempt(trainer: Trainer, course: Course, val: Store, states: States | None, out: Path) -> None:
    """Train from where earlier attempts came to, to the end; a `Stopped` where the process is told to stop."""
    device = evaluate.device_name(trainer.device)
    course.attempts = [{"began": datetime.now(UTC).isoformat(timespec="seconds"), "device": device, "seconds": 0.0}]
    if states and (found := states.read()):
        weights, momentum, said = found
        trainer.restore(weights, momentum, said["iteration"])
        course.go_on(said)
        where = f"epoch {course.part.epoch}, step {trainer.iteration}"
        print(f"{trainer.run.name}: goes on from {where}, attempt {len(course.attempts)}", file=sys.stderr, flush=True)
    signals, started = Signals(), time.perf_counter()

    def keep() -> None:
        course.attempts[-1]["seconds"] = time.perf_counter() - started
        if states:
            net = dict(trainer.net.state_dict())
            states.write(trainer.iteration, net, trainer.momentum(), course.as_json(trainer.iteration))

    def after_step() -> None:
        if signals.received is not None:
            keep()
            raise Stopped(128 + signals.received)
        if states and states.due():
            keep()

    with signals.watched() if states else nullcontext():
        while not course.schedule.finished:
            signals.patient = True
            row = trainer.epoch(course.part, course.schedule.learning_rate, after_step)
            keep()
            # nothing is lost from here to the next step: whoever is told to stop may do so at once
            signals.patient = False
            signals.obey()
            _finish_epoch(trainer, course, val, row, out)
    course.attempts[-1]["seconds"] = time.perf_counter() - started


def _finish_epoch(trainer: Trainer, course: Course, val: Store, row: dict[str, float], out: Path) -> None:
    """Validate after an epoch, take note of it in schedule, metrics and log, and turn to the next."""
    run, error, epochs = trainer.run, trainer.objective.error, trainer.settings.epochs
    about = {"epoch": course.part.epoch, "learning_rate": course.schedule.learning_rate}
    row = about | row | {"iteration": trainer.iteration} | _validate(trainer, val)
    course.schedule.after(course.part.epoch, 1 - row[f"val_{error}"])
    course.rows.append(row)
    course.part = Part(course.part.epoch + 1)
    write_text(out / "metrics.csv", _csv(course.rows))
    spent = sum(earlier["seconds"] for earlier in course.rows)
    print(_line(run, error, row, epochs, spent), file=sys.stderr, flush=True)
    _check_not_stuck(trainer, course.rows)


def _check_not_stuck(trainer: Trainer, rows: list[dict[str, float]]) -> None:
    """A ValueError where the loss has stayed at that of a net that knows nothing."""
    epochs, chance = trainer.settings.stuck_epochs, math.log(trainer.store.classes)
    if (
        len(rows) >= epochs
        and not trainer.run.localises
        and all(row["loss"] > 0.995 * chance for row in rows[-epochs:])
    ):
        raise ValueError(
            f"{trainer.run.name}: for {epochs} epochs the loss stayed at ln({trainer.store.classes}) = {chance:.2f}, that of "
            "a net that knows nothing. Deep nets do so when they begin with small random weights: initialise in stages "
            "(staged: true), or with train.init: glorot; lower train.learning_rate; or allow more train.stuck_epochs"
        )


def _parent(run: Run, file: Path | None) -> checkpoint.Weights | None:
    """The weights to begin with; a ValueError if they are not those of the paper's parent, or lack where one is needed."""
    expected = run.parent()
    if file is None:
        if expected and (run.S != "256" or run.localises):
            raise ValueError(f"{run.name} goes on from {expected.name}: give its weights with --parent")
        return None
    weights = checkpoint.load(file)
    if weights.run != expected:
        wanted = expected.name if expected else "random weights, without --parent"
        raise ValueError(f"{file}: holds {weights.run.name}, but {run.name} begins with {wanted}")
    return weights


def _validate(trainer: Trainer, val: Store) -> dict[str, float]:
    """The validation error that steers the rate (section 3.1). CHOICE 12: centre crop, at Q = S or the middle of its range."""
    scales = [int(side) for side in trainer.run.S.split("-")]
    middle = sum(scales) // len(scales)
    # a batch that fits in training fits here
    size = trainer.settings.batch * trainer.model.crop**2
    return trainer.objective.validate(
        trainer.net.eval(),
        val,
        trainer.store.colours.mean,
        middle,
        settings=Evaluate(batch_pixels=size, precision=trainer.settings.precision),
        device=trainer.device,
        workers=trainer.workers,
        about=f"{trainer.run.name}, validation",
    )


COLUMNS = ("epoch", "iteration", "learning_rate", "loss", "train_", "val_", "images_per_s", "seconds")
"""How the names of metrics begin, in their order."""


def _place(name: str) -> tuple[int, str]:
    return next(i for i, start in enumerate(COLUMNS) if name.startswith(start)), name


def _csv(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, sorted(rows[0], key=_place), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    return text.getvalue()


def _line(run: Run, error: str, row: dict[str, float], epochs: int, seconds: float) -> str:
    left = seconds / row["epoch"] * (epochs - row["epoch"])
    return (
        f"{run.name}: epoch {row['epoch']:.0f}/{epochs}, loss {row['loss']:.4f}, "
        f"{error} error {row[f'train_{error}']:.1%} train, {row[f'val_{error}']:.1%} val, rate {row['learning_rate']:g}, "
        f"{row['images_per_s']:.0f} images/s, at most {left:.0f} s to go"
    )
