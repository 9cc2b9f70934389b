"""One training, as section 3.1 and appendix A describe it."""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

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

    def batches(self, epoch: int) -> Batches:
        """The batches of an epoch (counted from 1)."""
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

    def epoch(self, epoch: int, learning_rate: float) -> dict[str, float]:
        """All batches of an epoch at one learning rate; its mean loss, training error, seconds and images/s."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.net.train()
        started, seen = time.perf_counter(), 0
        total, missed, counted = (torch.zeros((), device=self.device) for _ in range(3))
        batches = self.batches(epoch)
        about = f"{self.run.name}, epoch {epoch}"
        for batch in progress(batches, total=len(batches), about=about, unit="batch"):
            loss = self.step(batch)
            total, missed = total + loss.mean.detach() * loss.counted, missed + loss.wrong
            counted, seen = counted + loss.counted, seen + len(batch.labels)
            # reading a number from a GPU waits for it: now and then is enough
            if self.iteration % LOOK_EVERY == 0 or seen == len(batches.order):
                self._check_loss(float(total / counted.clamp(min=1)), epoch)
        assert seen == len(batches.order), f"an epoch saw {seen} of {len(batches.order)} images"
        if not counted:
            raise ValueError(
                f"{self.run.name}: in no crop of epoch {epoch} did enough of a box lie: lower boxes.min_inside"
            )
        seconds = time.perf_counter() - started
        return {
            "loss": float(total / counted),
            f"train_{self.objective.error}": float(missed / counted),
            "seconds": seconds,
            "images_per_s": seen / seconds,
        }

    def _check_loss(self, loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            raise ValueError(
                f"{self.run.name}: the loss is {loss} in epoch {epoch}: training diverged. "
                "Lower train.learning_rate, or initialise in stages (staged: true)"
            )


LOOK_EVERY = 100
"""Steps between two looks at the loss."""


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
) -> None:
    """Train a run; write `weights.safetensors`, `metrics.csv` (a line per epoch) and `run.json` (what made it) to `out`."""
    store, val = Store(train_folder), Store(val_folder)
    if store.about["wnids"] != val.about["wnids"]:
        raise ValueError(f"{train_folder} and {val_folder} have different classes: prepare them again, together")
    if run.localises and not val.annotated.all():
        raise ValueError(f"{val_folder}: {run.name} predicts boxes, but not every image has a true box to judge by")
    parent = _parent(run, parent_file)
    trainer = Trainer(run, settings, store, device=device, workers=workers)
    lent = trainer.start(parent)
    schedule = Schedule(settings.train)
    rows: list[dict[str, float]] = []
    started = time.perf_counter()
    while not schedule.finished:
        number = len(rows) + 1
        row: dict[str, float] = {"epoch": number, "learning_rate": schedule.learning_rate}
        row |= trainer.epoch(number, schedule.learning_rate) | {"iteration": trainer.iteration}
        row |= _validate(trainer, val)
        error = trainer.objective.error
        schedule.after(number, 1 - row[f"val_{error}"])
        rows.append(row)
        write_text(out / "metrics.csv", _csv(rows))
        said = _line(run, error, row, settings.train.epochs, time.perf_counter() - started)
        print(said, file=sys.stderr, flush=True)
    checkpoint.save(out / "weights.safetensors", trainer.net, run, store.colours.mean, store.about["wnids"])
    about: dict[str, Any] = {
        "run": run.name,
        "settings": settings.model_dump(mode="json"),
        "parent": {"run": parent.run.name, "weights": digest(parent_file)} if parent and parent_file else None,
        "initialised": lent,
        "data": {"train": store.digest, "val": val.digest, "data set": store.about["data set"], "images": len(store)},
        "drops": schedule.drops,
        "epochs": len(rows),
        "iterations": trainer.iteration,
        "seconds": time.perf_counter() - started,
        "device": evaluate.device_name(device),
        "weights": digest(out / "weights.safetensors"),
        "made": provenance.made(),
    }
    write_json(out / "run.json", about)


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


def _csv(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
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
