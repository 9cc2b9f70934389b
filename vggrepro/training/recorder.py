"""What a training really did, measured on the objects that did it.

Nothing is read off settings here: hooks on the net and its optimiser see every step, and the draws of an epoch are counted.
`audit` holds what was seen against the paper, and against what the settings said.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from operator import add
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from vggrepro.data.store import Store
from vggrepro.evaluation.recorder import merge_distinct, precision_of
from vggrepro.nets.initialisation import standard_deviation
from vggrepro.nets.vgg import VGG, LocalResponseNorm
from vggrepro.settings.blocks import TrainSettings
from vggrepro.training.loader import Batches
from vggrepro.training.processes import ProcessGroup

INITS: tuple[str, ...] = get_args(TrainSettings.model_fields["init"].annotation)
FITS = 6.0
"""Standard errors that the measured spread of random weights may be off."""


def _span(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    return (min(*a, *b), max(*a, *b)) if a and b else a or b


def _turns(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values of epochs, one after another, of which only those are kept that are another than the one before."""
    return (*a, *b[1:]) if a and b and a[-1][1:] == b[0][1:] else (*a, *b)


def _by(how: Any, default: Any = ()) -> Any:  # noqa: ANN401
    """A field of `Seen`, and how two attempts' values become one."""
    return field(default=default, metadata={"with": how})


@dataclass
class StepCounts:
    """What the steps of an attempt were. Two attempts add up."""

    steps: int = _by(add, 0)
    images: int = _by(add, 0)
    """That went through the net forwards and backwards."""
    batch: int = _by(max, 0)
    """The most images of a step."""
    rates: tuple[tuple[int, float, float, float], ...] = _by(_turns)
    """From which epoch on, learning rate, momentum, weight decay: as the optimiser had them at its steps."""
    crop: tuple[int, ...] = _by(merge_distinct)
    """Sides of what the net was shown, in pixels."""
    precision: tuple[str, ...] = _by(merge_distinct)
    pixels: tuple[float, ...] = _by(_span)
    """Lowest and highest value that the net was shown, of the first batch of every epoch."""
    dropped: int = _by(add, 0)
    """Units that dropout left out, of so many `units`, in the first batch of every epoch."""
    units: int = _by(add, 0)
    in_epoch: tuple[int, ...] = _by(merge_distinct)
    """Images of an epoch."""
    drawn: int = _by(add, 0)
    """Images whose S, mirroring and colour shift were drawn."""
    S: tuple[int, ...] = _by(_span)
    """Smallest and largest S in pixels."""
    flipped: int = _by(add, 0)
    squares: float = _by(add, 0.0)
    """Sum of the squared draws of the colour shift along the first principal component."""
    cut_on: tuple[str, ...] = _by(merge_distinct)
    """Where crops were cut: `CPU`, from images as they are read, or a `device` that keeps them."""
    mean: tuple[tuple[float, float, float], ...] = _by(merge_distinct)
    """R, G, B that was subtracted."""

    def __add__(self, other: StepCounts) -> StepCounts:
        return StepCounts(
            **{f.name: f.metadata["with"](getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        )

    @classmethod
    def of(cls, said: dict[str, Any]) -> StepCounts:
        """From what JSON makes of one: its lists are tuples again."""
        return cls(**{name: _tuples(value) for name, value in said.items()})


def _tuples(value: Any) -> Any:  # noqa: ANN401
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def weight_layers(net: VGG) -> dict[str, nn.Conv2d | nn.Linear]:
    """The layers that have weights, by their names: conv1_1 to fc8."""
    named = ((name.split(".")[-1], module) for name, module in net.named_modules())
    return {name: module for name, module in named if isinstance(module, nn.Conv2d | nn.Linear)}


def _digest(layer: nn.Module) -> str:
    found = hashlib.sha256()
    for parameter in layer.parameters():
        found.update(parameter.detach().cpu().contiguous().numpy().data)
    return found.hexdigest()


def initialisation_of(weights: Iterable[Tensor], said: str = "") -> str:
    """Which initialisation the spread of random weights tells of; `none` of no weights, `unknown` where no known one fits.

    Small layers may fit several, He's and Glorot's above all: what was `said` stands then, and else the nearest.
    """
    off: Counter[str] = Counter()
    for weight in weights:
        for name in INITS:
            # the standard error of the logarithm of a measured standard deviation is 1 / sqrt(2 n)
            error = math.log(max(float(weight.std()), 1e-30) / standard_deviation(weight, name))
            off[name] = max(off[name], abs(error) * math.sqrt(2 * weight.numel()))  # type: ignore[assignment]
    if not off:
        return "none"
    best = min(off, key=lambda name: (name != said or off[name] >= FITS, off[name]))
    return best if off[best] < FITS else "unknown"


class TrainingRecorder:
    """Sees every step of a process's part of a training, from the net's first weights on."""

    def __init__(self, net: VGG, optimiser: torch.optim.Optimizer, lent: Sequence[str], init: str) -> None:
        """Look at the weights that the net begins with, said to be drawn by `init`; watch net and optimiser from here on."""
        self.net, self.optimiser, self.lent = net, optimiser, tuple(lent)
        self.now, self.epoch, self.looked = StepCounts(), 0, True
        self.in_step = 0
        self.first = {name: _digest(layer) for name, layer in weight_layers(net).items()}
        fresh = {name: layer for name, layer in weight_layers(net).items() if name not in self.lent}
        self.random = {name: round(float(layer.weight.detach().std()), 6) for name, layer in fresh.items()}
        self.init = initialisation_of([layer.weight.detach() for layer in fresh.values()], init)
        biases = [layer.bias.detach().abs().max() for layer in fresh.values() if layer.bias is not None]
        self.biases = max(map(float, biases), default=0.0)
        net.register_forward_hook(self._forward)
        optimiser.register_step_post_hook(self._step)

    def begin(self, epoch: int, batches: Batches) -> None:
        """Take note of what was drawn for the images of an epoch that are still to come."""
        self.epoch, self.looked = epoch, False
        draws, chosen = batches.draws, batches.order[batches.start * batches.batch :]
        if not len(chosen):
            return
        colours = batches.store.colours
        # the shift is linear in its draws, and what is left is the mean that was subtracted
        known = np.column_stack([draws.alpha[chosen], np.ones(len(chosen))])
        *along, less = np.linalg.lstsq(known, batches.shift[chosen].astype(np.float64), rcond=None)[0]
        first = np.array(colours.eigenvectors)[:, 0]
        scale = 255 * max(colours.eigenvalues[0], 1e-12)
        draws_used = (batches.shift[chosen] - less) @ first / scale if along else np.zeros(len(chosen))
        r, g, b = (round(float(-value), 3) for value in less)
        self.now += StepCounts(
            in_epoch=(len(batches.order),),
            drawn=len(chosen),
            S=(int(draws.S[chosen].min()), int(draws.S[chosen].max())),
            flipped=int(draws.flip[chosen].sum()) if batches.flip else 0,
            squares=float(np.square(draws_used).sum()),
            cut_on=("device" if batches.resident else "CPU",),
            mean=((r, g, b),),
        )

    def _forward(self, net: nn.Module, given: tuple[Any, ...], outputs: Tensor) -> None:
        if not net.training:
            return
        images, kept = given
        self.in_step += len(images)
        seen = StepCounts(crop=(int(images.shape[-1]),), precision=(precision_of(outputs),))
        if not self.looked and len(images):
            # reading from a GPU waits for it: once an epoch
            self.looked = True
            seen.pixels = (round(float(images.min()), 1), round(float(images.max()), 1))
            if kept is not None:
                seen.units, seen.dropped = kept.numel(), int((kept == 0).sum())
        self.now += seen

    def _step(self, optimiser: torch.optim.Optimizer, given: Any, named: Any) -> None:  # noqa: ANN401
        groups = {(group["lr"], group["momentum"], group["weight_decay"]) for group in optimiser.param_groups}
        rates = tuple((self.epoch, *group) for group in sorted(groups))
        self.now += StepCounts(steps=1, images=self.in_step, batch=self.in_step, rates=rates)
        self.in_step = 0

    def seen(self, world: ProcessGroup) -> dict[str, Any]:
        """What all processes saw in this attempt, for JSON. All of them have to ask."""
        names = ("images", "batch", "dropped", "units")
        totals = world.total(torch.tensor([getattr(self.now, name) for name in names])).tolist()
        return asdict(self.now) | dict(zip(names, totals, strict=True))

    def record(self, attempts: list[dict[str, Any]], parent: str | None, train: Store, val: Store) -> dict[str, Any]:
        """The record of a finished training, of all its attempts: see `records.Record`."""
        seen = sum((StepCounts.of(attempt.pop("seen", {})) for attempt in attempts), StepCounts())
        still = [name for name, layer in weight_layers(self.net).items() if _digest(layer) == self.first[name]]
        return {
            "optimiser": type(self.optimiser).__name__,
            "batch": seen.batch,
            "images": seen.images,
            "in_epoch": seen.in_epoch,
            "iterations": seen.steps,
            "rates": [[epoch, rate] for epoch, rate, *_ in _changes(seen.rates, 1)],
            "momentum": merge_distinct((), tuple(momentum for _, _, momentum, _ in seen.rates)),
            "weight_decay": merge_distinct((), tuple(decay for *_, decay in seen.rates)),
            "precision": seen.precision,
            "processes": merge_distinct((), tuple(attempt["processes"] for attempt in attempts)),
            "pieces": merge_distinct((), tuple(attempt["pieces"] for attempt in attempts)),
            "crop": seen.crop,
            "pixels": seen.pixels,
            "cut_on": seen.cut_on,
            "mean": seen.mean,
            "mean_of_data": [round(value, 3) for value in train.colours.mean],
            "drawn": seen.drawn,
            "S": seen.S,
            "flipped": seen.flipped / max(seen.drawn, 1),
            "colour_std": round(math.sqrt(seen.squares / max(seen.drawn, 1)), 6),
            "units": seen.units,
            "dropout": seen.dropped / max(seen.units, 1),
            "lent_by": parent,
            "lent": self.lent,
            "random": self.random,
            "init": self.init,
            "biases": self.biases,
            "still": still,
            "net": _shape(self.net),
            "data_set": train.about["data set"],
            "classes": train.classes,
            "train_images": len(train),
            "val_images": len(val),
        }


def _changes(rates: Sequence[tuple[Any, ...]], which: int) -> Iterator[tuple[Any, ...]]:
    """The entries whose value number `which` is another than the one before."""
    last = None
    for entry in rates:
        if entry[which] != last:
            yield entry
        last = entry[which]


def _shape(net: VGG) -> dict[str, Any]:
    """What a net is made of, read off its layers."""
    modules = [module for module in net.modules() if not list(module.children())]
    pools = [module for module in modules if isinstance(module, nn.MaxPool2d)]
    norms = [module for module in modules if isinstance(module, LocalResponseNorm)]
    return {
        "layers": sorted({type(module).__name__ for module in modules}),
        "width": next(module.out_channels for module in modules if isinstance(module, nn.Conv2d)),
        "fc": net.fc6.out_features,
        "poolings": len(pools),
        "pooling": "ceil" if any(pool.ceil_mode for pool in pools) else "floor",
        "lrn": [[float(n) for n in (norm.k, norm.n, norm.alpha, norm.beta)] for norm in norms],
    }
