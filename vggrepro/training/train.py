"""One training, as section 3.1 and appendix A describe it."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vggrepro.core import provenance
from vggrepro.core.devices import Meter, device_name
from vggrepro.core.files import file_digest, write_json, write_text
from vggrepro.core.progress import show_progress
from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws
from vggrepro.nets.initialisation import initialise_from, initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import Weights, load_weights, save_weights
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import EvaluateSettings
from vggrepro.settings.models import RunSettings
from vggrepro.training import objectives
from vggrepro.training.checkpoints import SECONDS_BETWEEN_CHECKPOINTS, Checkpoints
from vggrepro.training.loader import ALONE, Batch, Batches
from vggrepro.training.processes import ProcessGroup, without_exchange
from vggrepro.training.progress import EpochPart, Schedule, TrainingProgress, metrics_csv
from vggrepro.training.recorder import TrainingRecorder
from vggrepro.training.resident import Resident
from vggrepro.training.signals import Signals, Stopped


class SGD(torch.optim.SGD):
    """Torch's, without the decorators that import its compiler only to keep that away: two seconds of every training.

    Its `zero_grad` still has one: the net's does the same.
    """

    add_param_group = inspect.unwrap(torch.optim.SGD.add_param_group)
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class Trainer:
    """A net, its optimiser and its data: what the steps of one training share."""

    def __init__(
        self,
        run: Run,
        settings: RunSettings,
        train: Store,
        *,
        device: torch.device,
        workers: int,
        world: ProcessGroup = ALONE,
    ) -> None:
        self.run, self.model, self.settings = run, settings.model, settings.train
        self.store, self.device, self.workers, self.world = train, device, workers, world
        if (settings.boxes is not None) != run.localises:
            expected = "need" if run.localises else "have no"
            raise ValueError(
                f"{run.name}: the settings of a run for {run.objective} {expected} boxes, got {settings.boxes}"
            )
        self.boxes, self.objective = settings.boxes, objectives.objective_of(run)
        self.net = VGG(run.net, run.outputs(train.classes), self.model)
        initialise_randomly(self.net, self.settings.init, run.seed)
        self.iteration, self.pieces = 0, 1
        self.input: Tensor | None = None
        self.wrapped: torch.nn.Module = self.net
        self.forward: Callable[..., Tensor] = self.net
        self.resident = Resident(train, device, workers) if self.settings.on_device else None

    def start(self, parent: Weights | None) -> list[str]:
        """Take over what the parent lends, move to the device, and return the names of the layers lent."""
        # PAPER A.1: the last layer of a net that predicts boxes begins at random
        but = ("fc8",) if self.run.localises else ()
        lent = initialise_from(self.net, parent.tensors, parent.run.net, but=but) if parent else []
        self.net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        # PAPER 4.4, A.1: the jittered D of the submission and two of Table 8's nets moved their FC layers only
        self.net.features.requires_grad_(self.run.layers == "all")
        moving = [p for p in self.net.parameters() if p.requires_grad]
        self.optimiser = SGD(
            moving,
            lr=self.settings.learning_rate,
            momentum=self.settings.momentum,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        if self.settings.momentum:
            # at rest: the first step is the same, and what needs memory has it from the start
            for parameter in moving:
                self.optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        if self.device.type == "cuda":
            self.fit_memory()
        self.witness = TrainingRecorder(self.net, self.optimiser, lent, self.settings.init)
        return lent

    def fit_memory(self) -> None:
        """Find in how many pieces this process has to compute its part of a batch: as many as fit into the GPU's memory.

        The gradients of the pieces add up to the batch's: the global batch stays what it is. Raises ValueError where a single
        image does not fit.
        """
        while self.world.any(not self._fits(-(-self._most // self.pieces))):
            if self.pieces >= self._most:
                raise ValueError(f"{self.run.name}: not even one image at a time fits into the memory of {self.device}")
            self._more_pieces()

    @property
    def _most(self) -> int:
        """Images of a global batch that this process computes."""
        return max(1, -(-self.settings.batch // self.world.size))

    def _more_pieces(self) -> None:
        """Memory was short: compute fewer images at a time."""
        before, self.pieces = self.pieces, min(2 * self.pieces, self._most)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.world.main:
            print(
                f"{self.run.name}: {-(-self._most // before)} images at a time do not fit into the GPU's memory: gradients "
                f"are added up over {self.pieces} pieces, the batch stays {self.settings.batch}",
                file=sys.stderr,
                flush=True,
            )

    def _fits(self, images: int) -> bool:
        """Whether forward and backward pass of so many images fit into memory."""
        crop = self.model.crop
        try:
            blank = torch.zeros(images, 3, crop, crop, device=self.device).to(memory_format=torch.channels_last)
            self._outputs(self.net, blank, self.net.dropout(images, 0, self.device)).sum().backward()  # type: ignore[no-untyped-call]
        except torch.OutOfMemoryError:
            return False
        finally:
            self.net.zero_grad()
        return True

    def _outputs(self, net: Callable[..., Tensor], images: Tensor, kept: Tensor | None) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            return net(images, kept).float()

    def batches(self, epoch: int, start: int = 0) -> Batches:
        """The batches of an epoch (counted from 1), but for the first `start`."""
        low, high = (self.model.pixels(int(side)) for side in (self.run.S.split("-") * 2)[:2])
        draws = Draws.for_epoch(self.run.seed, epoch, len(self.store), (low, high))
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
            world=self.world,
            resident=self.resident,
            pinned=self.device.type == "cuda",
        )

    def _input(self, piece: Batch) -> Tensor:
        """Memory for the net's input, the same in every step."""
        if self.input is None or len(self.input) < len(piece.pixels):
            self.input = torch.empty(piece.pixels.shape, device=self.device)
        return self.input

    def step(self, batch: Batch) -> objectives.Loss:
        """One step of SGD on a global batch, and the loss of this process's part of it before the step."""
        # dropout's draws follow from the seed and the step, so that a restart repeats them
        kept = self.net.dropout(batch.of, self.run.seed * 1_000_000_007 + self.iteration, self.device)
        self.iteration += 1
        while (found := self._gradients(batch, kept)) is None:
            self._more_pieces()
        self.optimiser.step()
        return objectives.Loss(*(torch.stack(parts).sum(0) for parts in zip(*found, strict=True)))

    def _gradients(self, batch: Batch, kept: Tensor | None) -> list[objectives.Loss] | None:
        """Leave the gradients of a global batch's mean loss in the net; None where memory was short, and fewer images may fit.

        Of several processes, the others wait for this one's gradients in the same step: it may not take more of them.
        """
        self.net.zero_grad()
        self.witness.in_step, found = 0, []
        try:
            pieces = batch.to(self.device).pieces(self.pieces)
            for number, piece in enumerate(pieces, start=1):
                with nullcontext() if number == len(pieces) else without_exchange(self.wrapped):
                    mine = None if kept is None else kept[piece.first : piece.first + len(piece.labels)]
                    loss = self.objective.loss(
                        self._outputs(self.forward, piece.images(self._input(piece)), mine), piece
                    )
                    # a share of the global batch's mean; averaging over the processes divides by their number
                    (loss.sum * (self.world.size / max(batch.counted, 1))).backward()  # type: ignore[no-untyped-call]
                found.append(objectives.Loss(loss.sum.detach(), *loss[1:]))
        except torch.OutOfMemoryError:
            if self.world.size > 1 or self.pieces >= self._most:
                raise
            return None
        return found

    def epoch(
        self, part: EpochPart, learning_rate: float, after_step: Callable[[], None] = lambda: None
    ) -> dict[str, float]:
        """The rest of an epoch at one learning rate; the whole epoch's mean loss, training error, seconds and images/s."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.net.train()
        batches = self.batches(part.epoch, part.batches)
        self.witness.begin(part.epoch, batches)
        about = f"{self.run.name}, epoch {part.epoch}"
        started, before = time.perf_counter(), part.seconds
        for batch in show_progress(batches, total=len(batches), about=about, unit="batch"):
            loss = self.step(batch)
            part.add(loss, batch.of)
            part.seconds = before + time.perf_counter() - started
            # reading a number from a GPU waits for it: now and then is enough
            if self.iteration % LOOK_EVERY == 0:
                self.check_loss(part)
            after_step()
        assert part.seen == len(batches.order), f"an epoch saw {part.seen} of {len(batches.order)} images"
        loss_sum, missed, counted = self.check_loss(part).tolist()
        if not counted:
            raise ValueError(
                f"{self.run.name}: in no crop of epoch {part.epoch} did enough of a box lie: lower boxes.min_inside"
            )
        return {
            "loss": loss_sum / counted,
            f"train_{self.objective.error}": missed / counted,
            "seconds": part.seconds,
            "images_per_s": part.seen / part.seconds,
        }

    def momentum(self) -> dict[str, Tensor]:
        """The optimiser's velocity of every parameter that moves."""
        state = self.optimiser.state
        return {name: state[p]["momentum_buffer"] for name, p in self.net.named_parameters() if state.get(p)}

    def restore(self, weights: dict[str, Tensor], momentum: dict[str, Tensor]) -> None:
        """Go on from a state."""
        self.net.load_state_dict(weights)
        mine = self.momentum()
        for name, velocity in momentum.items():
            mine[name].copy_(velocity)

    def join(self) -> None:
        """Begin where the main process begins, and share gradients from now on."""
        # DistributedDataParallel hands on the weights, but not what the optimiser knows
        self.world.copy_from_main(list(self.momentum().values()))
        self.iteration = self.world.from_main(self.iteration)
        self.wrapped = self.world.wrap(self.net)
        # around the exchange of gradients, which then begins before backward ends; all batches but the last have one shape
        self.forward = torch.compile(self.wrapped, dynamic=False) if self.settings.compile else self.wrapped

    def check_loss(self, part: EpochPart) -> Tensor:
        """The sums of all processes; a ValueError where the loss is no number."""
        totals = self.world.total(part.sums)
        loss = float(totals[0] / totals[2].clamp(min=1))
        if not math.isfinite(loss):
            raise ValueError(
                f"{self.run.name}: the loss is {loss} in epoch {part.epoch}: training diverged. "
                "Lower train.learning_rate, or initialise in stages (staged: true)"
            )
        return totals


LOOK_EVERY = 100
"""Steps between two looks at the loss."""


def train_run(
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
    every: float = SECONDS_BETWEEN_CHECKPOINTS,
    world: ProcessGroup = ALONE,
) -> None:
    """Train a run; write `weights.safetensors`, `metrics.csv` (a line per epoch) and `run.json` (what made it) to `out`.

    With a `state_folder` it keeps its state there every so many seconds, and when it is told to stop, which it then does
    within a step; the same call goes on from there, and ends with the same weights. In a `world` of many processes the
    main one writes.
    """
    store, val = Store(train_folder), Store(val_folder)
    if store.about["wnids"] != val.about["wnids"]:
        raise ValueError(f"{train_folder} and {val_folder} have different classes: prepare them again, together")
    if run.localises and not val.annotated.all():
        raise ValueError(f"{val_folder}: {run.name} predicts boxes, but not every image has a true box to judge by")
    parent = _parent(run, parent_file)
    trainer = Trainer(run, settings, store, device=device, workers=workers, world=world)
    lent = trainer.start(parent)
    about: dict[str, Any] = {
        "run": run.name,
        "settings": settings.model_dump(mode="json"),
        "parent": {"run": parent.run.name, "weights": file_digest(parent_file)} if parent and parent_file else None,
        "data": {"train": store.digest, "val": val.digest, "data set": store.about["data set"], "images": len(store)},
    }
    world.agree(hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest(), "settings, data and parent")
    course = TrainingProgress(Schedule(settings.train))
    states = Checkpoints(state_folder, about, every) if state_folder else None
    with states.alone() if states and world.main else nullcontext():
        try:
            _attempt(trainer, course, val, states, out)
        except Stopped:
            if world.main:
                said = f"{run.name}: told to stop; its state is kept in {state_folder}: the same command goes on"
                print(said, file=sys.stderr)
            raise
        if world.main:
            about["record"] = trainer.witness.record(course.attempts, parent.run.name if parent else None, store, val)
            _write(trainer, course, about | {"initialised": lent}, out)
            if states:
                states.finish()


def _write(trainer: Trainer, course: TrainingProgress, about: dict[str, Any], out: Path) -> None:
    """The weights of a finished training, and what made them."""
    store = trainer.store
    save_weights(out / "weights.safetensors", trainer.net, trainer.run, store.colours.mean, store.about["wnids"])
    about |= {
        "drops": course.schedule.drops,
        "epochs": len(course.rows),
        "iterations": trainer.iteration,
        "seconds": sum(attempt["seconds"] for attempt in course.attempts),
        "attempts": course.attempts,
        "device": device_name(trainer.device),
        "weights": file_digest(out / "weights.safetensors"),
        "made": provenance.provenance_record(),
    }
    write_json(out / "run.json", about)


def _attempt(trainer: Trainer, course: TrainingProgress, val: Store, states: Checkpoints | None, out: Path) -> None:
    """Train from where earlier attempts came to, to the end; a `Stopped` where the process is told to stop."""
    world, meter = trainer.world, Meter(trainer.device)
    _go_on(trainer, course, states)
    trainer.join()
    course.begin(meter, world, trainer.pieces)
    signals = Signals()

    def read() -> None:
        course.read(meter, world, trainer.pieces)
        course.attempts[-1]["seen"] = trainer.witness.seen(world)

    def keep() -> None:
        # who goes on from a loss that is no number has nothing but its like before him
        trainer.check_loss(course.part)
        read()
        said = course.as_json(trainer.iteration, world)
        if states and world.main:
            states.write(trainer.iteration, dict(trainer.net.state_dict()), trainer.momentum(), said)
        world.wait()

    def after_step() -> None:
        # what one process is told, or finds to be due, all of them do
        told = int(world.largest(signals.received or 0))
        if told:
            keep()
            raise Stopped(128 + told)
        if states and world.any(states.due()):
            keep()

    with signals.watched() if states else nullcontext(), signals.together() if world.size > 1 else nullcontext():
        while not course.schedule.finished:
            signals.patient = True
            row = trainer.epoch(course.part, course.schedule.learning_rate, after_step)
            keep()
            # nothing is lost from here to the next step: whoever is told to stop may do so at once
            signals.patient = False
            signals.obey()
            _finish_epoch(trainer, course, val, row, out)
    read()


def _go_on(trainer: Trainer, course: TrainingProgress, states: Checkpoints | None) -> None:
    """Take over weights, momentum and course of earlier attempts, if there were any: the main process reads them."""
    world, said = trainer.world, None
    if states and world.main and (found := states.read()):
        weights, momentum, said = found
        trainer.restore(weights, momentum)
    said = world.from_main(said)
    if said is None:
        return
    course.go_on(said, world)
    trainer.iteration = said["iteration"]
    if world.main:
        where = f"epoch {course.part.epoch}, step {trainer.iteration}"
        about = f"{trainer.run.name}: goes on from {where}, attempt {len(course.attempts) + 1}"
        print(about, file=sys.stderr, flush=True)


def _finish_epoch(trainer: Trainer, course: TrainingProgress, val: Store, row: dict[str, float], out: Path) -> None:
    """Validate after an epoch, take note of it in schedule, metrics and log, and turn to the next."""
    run, error, epochs = trainer.run, trainer.objective.error, trainer.settings.epochs
    about = {"epoch": course.part.epoch, "learning_rate": course.schedule.learning_rate}
    row = about | row | {"iteration": trainer.iteration} | _validate(trainer, val)
    course.schedule.after(course.part.epoch, 1 - row[f"val_{error}"])
    course.rows.append(row)
    course.part = EpochPart(course.part.epoch + 1)
    if trainer.world.main:
        write_text(out / "metrics.csv", metrics_csv(course.rows))
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


def _parent(run: Run, file: Path | None) -> Weights | None:
    """The weights to begin with; a ValueError if they are not those of the paper's parent, or lack where one is needed."""
    expected = run.parent()
    if file is None:
        if expected and (run.S != "256" or run.localises):
            raise ValueError(f"{run.name} goes on from {expected.name}: give its weights with --parent")
        return None
    weights = load_weights(file)
    if weights.run != expected:
        wanted = expected.name if expected else "random weights, without --parent"
        raise ValueError(f"{file}: holds {weights.run.name}, but {run.name} begins with {wanted}")
    return weights


def _validate(trainer: Trainer, val: Store) -> dict[str, float]:
    """The validation error that steers the rate (section 3.1). CHOICE 12: centre crop, at Q = S or the middle of its range."""
    scales = [int(side) for side in trainer.run.S.split("-")]
    middle = sum(scales) // len(scales)
    # a batch that fits in training fits here
    size = -(-trainer.settings.batch // (trainer.world.size * trainer.pieces)) * trainer.model.crop**2
    wrong = trainer.objective.validate(
        trainer.net.eval(),
        val.part(slice(trainer.world.rank, None, trainer.world.size)),
        trainer.store.colours.mean,
        middle,
        settings=EvaluateSettings(batch_pixels=size, precision=trainer.settings.precision),
        device=trainer.device,
        workers=trainer.workers,
        about=f"{trainer.run.name}, validation",
    )
    totals = {name: trainer.world.total(torch.tensor([w.sum(), w.size])).tolist() for name, w in wrong.items()}
    return {name: missed / counted for name, (missed, counted) in totals.items()}


def _line(run: Run, error: str, row: dict[str, float], epochs: int, seconds: float) -> str:
    left = seconds / row["epoch"] * (epochs - row["epoch"])
    return (
        f"{run.name}: epoch {row['epoch']:.0f}/{epochs}, loss {row['loss']:.4f}, "
        f"{error} error {row[f'train_{error}']:.1%} train, {row[f'val_{error}']:.1%} val, rate {row['learning_rate']:g}, "
        f"{row['images_per_s']:.0f} images/s, at most {left:.0f} s to go"
    )
