"""What a training really did, measured on the objects that did it.

Nothing is read off settings here: a hook on the net that runs sees every forward pass, the optimiser is read after every
step, and the draws of an epoch are counted. `judging` holds the record against the paper, and against the settings. What
counts cannot show (the update itself, whether what was drawn was applied) shows in the first steps: see `first_steps.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, with_config
from torch import Tensor, nn

from vggrepro.data.store import Store
from vggrepro.evaluation.recorder import distinct, precision_of
from vggrepro.nets.composition import layer_digests, net_record, weight_layers
from vggrepro.nets.initialisation import initialisation_of
from vggrepro.nets.vgg import VGG
from vggrepro.training.loader import Batches
from vggrepro.training.optimiser import SGD
from vggrepro.training.processes import ProcessGroup


@dataclass(frozen=True)
class StartingWeights:
    """What a training began with, measured on its net before the first step."""

    record: dict[str, Any]
    """Layers `lent` by the run that this one is initialised from; of the others, which are `random`, the standard deviations
    of their weights, the `init` that these fit, and their largest bias."""
    digests: dict[str, str]

    @classmethod
    def measure(cls, net: VGG, transferred: Sequence[str], expected: str) -> StartingWeights:
        """Measure a net; its random layers are `expected` to be drawn by an initialisation."""
        random = {name: layer for name, layer in weight_layers(net).items() if name not in transferred}
        biases = [float(layer.bias.detach().abs().max()) for layer in random.values() if layer.bias is not None]
        record = {
            "lent": list(transferred),
            "random": {name: round(float(layer.weight.detach().std()), 6) for name, layer in random.items()},
            "init": initialisation_of([layer.weight.detach() for layer in random.values()], expected),
            "biases": max(biases, default=0.0),
        }
        return cls(record, layer_digests(net))

    def unchanged(self, net: VGG) -> list[str]:
        """The layers that are still as they began."""
        return [name for name, digest in layer_digests(net).items() if digest == self.digests[name]]


@with_config(extra="forbid")
@dataclass
class StepCounts:
    """What the steps of an attempt were. Two attempts add up: of tuples, the different values are kept."""

    steps: int = 0
    images: int = 0
    """That went through the net forwards and backwards."""
    batch: int = 0
    """The most images of a step."""
    rates: tuple[tuple[int, float, float, float], ...] = ()
    """Epoch, learning rate, momentum, weight decay: as the optimiser had them at its steps."""
    crop: tuple[int, ...] = ()
    """Sides of the net's input, in pixels."""
    precision: tuple[str, ...] = ()
    pixels: tuple[float, ...] = ()
    """Lowest and highest values of the net's input, of the first batch of every epoch."""
    dropped: int = 0
    """Units that dropout left out, of so many `units`, in the first batch of every epoch."""
    units: int = 0
    in_epoch: tuple[int, ...] = ()
    """Images of an epoch."""
    drawn: int = 0
    """Images whose S, mirroring and colour shift were drawn."""
    S: tuple[int, ...] = ()
    """Smallest and largest S of every epoch, in pixels."""
    flipped: int = 0
    squares: float = 0.0
    """Sum of the squared draws of the colour shift along the first principal component."""
    cut_on: tuple[str, ...] = ()
    """Where crops were cut: `CPU`, from images as they are read, or a `device` that keeps them."""
    mean: tuple[tuple[float, float, float], ...] = ()
    """R, G, B that was subtracted."""

    def __add__(self, other: StepCounts) -> StepCounts:
        pairs = {name: (value, getattr(other, name)) for name, value in vars(self).items()}
        both: Any = {name: distinct(*a, *b) if isinstance(a, tuple) and b else a + b for name, (a, b) in pairs.items()}
        return StepCounts(**both | {"batch": max(self.batch, other.batch)})

    def as_recorded(self) -> dict[str, Any]:
        """What the record has of them: most as they are, ranges, rates by epoch, shares of what was drawn and of units."""
        drawn = max(self.drawn, 1)
        counted = {name: value for name, value in vars(self).items() if name not in ("steps", "squares", "dropped")}
        return counted | {
            "iterations": self.steps,
            "rates": [(next(same)[0], rate) for rate, same in groupby(self.rates, key=itemgetter(1))],
            "momentum": distinct(*(momentum for _, _, momentum, _ in self.rates)),
            "weight_decay": distinct(*(decay for *_, decay in self.rates)),
            "pixels": _range(self.pixels),
            "S": _range(self.S),
            "flipped": self.flipped / drawn,
            "colour_std": round(math.sqrt(self.squares / drawn), 6),
            "dropout": self.dropped / max(self.units, 1),
        }


def _range(values: tuple[float, ...]) -> tuple[float, ...]:
    return (min(values), max(values)) if values else ()


class TrainingRecorder:
    """Sees every step of a process's part of a training, in this attempt."""

    def __init__(
        self, starting_weights: StartingWeights, runner: nn.Module, net: VGG, optimiser: SGD, train: Store, val: Store
    ) -> None:
        """Watch the module that really runs: the `net` itself, wrapped for many processes, or compiled."""
        self.starting_weights, self.net, self.optimiser = starting_weights, net, optimiser
        self.train, self.val = train, val
        self.counts = StepCounts()
        self._epoch, self._first_batch = 0, False
        self._images_in_step: int | None = None
        """None between two steps: what runs then is no training."""
        runner.register_forward_hook(self._forward)

    def begin_epoch(self, epoch: int, batches: Batches) -> None:
        """Record the draws for the images of an epoch that are still to come."""
        self._epoch, self._first_batch = epoch, True
        draws, numbers = batches.draws, batches.order[batches.skip * batches.batch :]
        if not len(numbers):
            return
        colours = batches.store.colours
        # the shift is linear in its draws, and what is left is the mean that was subtracted
        known = np.column_stack([draws.alpha[numbers], np.ones(len(numbers))])
        *along, rest = np.linalg.lstsq(known, batches.shift[numbers].astype(np.float64), rcond=None)[0]
        component = np.array(colours.eigenvectors)[:, 0]
        scale = 255 * max(colours.eigenvalues[0], 1e-12)
        draws_used = (batches.shift[numbers] - rest) @ component / scale if along else np.zeros(len(numbers))
        r, g, b = (round(float(-value), 3) for value in rest)
        self.counts += StepCounts(
            in_epoch=(len(batches.order),),
            drawn=len(numbers),
            S=(int(draws.S[numbers].min()), int(draws.S[numbers].max())),
            flipped=int(draws.flip[numbers].sum()) if batches.flip else 0,
            squares=float(np.square(draws_used).sum()),
            cut_on=("device" if batches.resident else "CPU",),
            mean=((r, g, b),),
        )

    def begin_step(self) -> None:
        """Count the images of a step from here; a step that memory cut off begins again."""
        self._images_in_step = 0

    def _forward(self, runner: nn.Module, inputs: tuple[Any, ...], outputs: Tensor) -> None:
        if self._images_in_step is None:
            return
        images, kept = inputs
        self._images_in_step += len(images)
        counts = StepCounts(crop=(int(images.shape[-1]),), precision=(precision_of(outputs),))
        if self._first_batch and len(images):
            # reading from a GPU waits for it: once an epoch
            self._first_batch = False
            counts.pixels = (round(float(images.min()), 1), round(float(images.max()), 1))
            if kept is not None:
                counts.units, counts.dropped = kept.numel(), int((kept == 0).sum())
        self.counts += counts

    def end_step(self) -> None:
        """Record a step, with the optimiser as it was in it."""
        images, optimiser = self._images_in_step or 0, self.optimiser
        rate = (self._epoch, optimiser.learning_rate, optimiser.momentum, optimiser.weight_decay)
        self.counts += StepCounts(steps=1, images=images, batch=images, rates=(rate,))
        self._images_in_step = None

    def total_counts(self, group: ProcessGroup) -> dict[str, Any]:
        """The counts of all processes in this attempt, for JSON. Every process has to call this."""
        names = ("images", "batch", "dropped", "units")
        totals = group.total(torch.tensor([getattr(self.counts, name) for name in names])).tolist()
        return asdict(self.counts) | dict(zip(names, totals, strict=True))

    def record(self, attempts: list[dict[str, Any]], initial_run: str | None) -> dict[str, Any]:
        """The record of a finished training, of all its attempts: see `judging.values.record_form`."""
        seen = TypeAdapter(list[StepCounts]).validate_python([attempt.get("seen", {}) for attempt in attempts])
        return (
            sum(seen, StepCounts()).as_recorded()
            | self.starting_weights.record
            | {
                "optimiser": type(self.optimiser).__name__,
                "processes": distinct(*(attempt["processes"] for attempt in attempts)),
                "pieces": distinct(*(attempt["pieces"] for attempt in attempts)),
                "mean_of_data": [round(value, 3) for value in self.train.colours.mean],
                "lent_by": initial_run,
                "still": self.starting_weights.unchanged(self.net),
                "net": net_record(self.net),
                "data_set": self.train.about["data set"],
                "classes": self.train.classes,
                "train_images": len(self.train),
                "val_images": len(self.val),
            }
        )
