"""What `bench/gpu.py` and `bench/scaling.py` measure, and by what clock: trainings, batches and images that are drawn."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vggrepro.core.devices import gpu_joules
from vggrepro.data.colours import Colours
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import NetSettings
from vggrepro.settings.models import RunSettings
from vggrepro.training.loader import Batch
from vggrepro.training.processes import ALONE, ProcessGroup
from vggrepro.training.train import Training, build_training

NETS = ("D", "A", "E")


@dataclass(frozen=True)
class Size:
    """How much is measured: all of it on a GPU, a taste of it on a CPU."""

    model: NetSettings
    batches: tuple[int, ...]
    steps: int
    nets: tuple[str, ...]
    images: int
    scales: tuple[int, ...]
    product: int
    classes: int = 1000
    repeats: int = 5


GPU = Size(NetSettings(), (256, 32), 8, NETS, 192, (256, 384, 512), 8192)
CPU = Size(NetSettings(scale_unit=8, width=4, fc=64), (8, 4), 1, NETS[:2], 2, (256, 384), 256, classes=100, repeats=1)


class Spent(NamedTuple):
    """What a piece of work took."""

    seconds: float
    joules: float
    """NaN where the driver does not measure it."""


class Clock:
    """Time left; seconds, joules and memory of work on the device."""

    def __init__(self, device: torch.device, minutes: float) -> None:
        self.device, self.end = device, time.monotonic() + 60 * minutes

    def wait(self) -> None:
        """Until the device has done all that was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def spent(self, work: Callable[[], object]) -> Spent:
        """What a piece of work takes."""
        self.wait()
        started, joules = time.perf_counter(), gpu_joules(self.device)
        work()
        self.wait()
        return Spent(time.perf_counter() - started, gpu_joules(self.device) - joules)

    def in_turns(self, works: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[Spent]]:
        """What each of several pieces of work takes, in turns, after each was done twice; one that fails is left out."""
        found: dict[str, list[Spent]] = {}
        for name, work in works.items():
            if time.monotonic() > self.end:
                print(f"  no time left for {name}", flush=True)
                continue
            try:
                for _ in range(2):
                    self.spent(work)
                found[name] = []
            except RuntimeError as error:  # out of memory, or no compiler: said, and the others go on
                print(f"  {name}: {str(error).splitlines()[0][:150]}", flush=True)
        for _ in range(repeats):
            for name, turns in found.items():
                turns.append(self.spent(works[name]))
        return found

    def gigabytes(self, build: Callable[[], Callable[[], object]]) -> tuple[float, Callable[[], object] | None]:
        """The peak of a GPU's memory that building and doing a piece of work takes, NaN on a CPU; and the work.

        None for a work that does not fit, or cannot be compiled.
        """
        cuda = self.device.type == "cuda"
        before = torch.cuda.memory_allocated(self.device) if cuda else 0
        if cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        try:
            work = build()
            work()
        except RuntimeError as error:
            print(f"  {str(error).splitlines()[0][:150]}", flush=True)
            return math.nan, None
        return ((torch.cuda.max_memory_allocated(self.device) - before) / 1e9 if cuda else math.nan), work


class Drawn:
    """A store of random images in sizes that ILSVRC has, in memory: what a training and an evaluation ask of one."""

    def __init__(self, count: int, classes: int, scale: float) -> None:
        rng = np.random.default_rng(0)
        shapes = [(375, 500), (500, 375), (500, 500), (333, 500), (500, 333), (400, 600)]
        self._sizes = [tuple(round(scale * side) for side in shapes[i % len(shapes)]) for i in range(count)]
        self._images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in self._sizes]
        self.labels, self.classes = rng.integers(0, classes, count), classes
        self.ids = [f"{i}" for i in range(count)]
        self.colours = Colours((123.7, 116.8, 103.9), (0.2175, 0.0188, 0.0045), ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
        self.annotated = np.zeros(count, bool)

    def __len__(self) -> int:
        return len(self._images)

    def image(self, i: int) -> np.ndarray:
        """Pixels of image `i`."""
        return self._images[i]


def built(net: str, batch: int, size: Size, clock: Clock, group: ProcessGroup = ALONE, **options: object) -> Training:
    """A training that is ready for its first step."""
    train = {"batch": batch, "init": "glorot", "learning_rate": 1e-4, **options}
    settings = RunSettings.model_validate({"model": size.model.model_dump(), "train": train}, strict=False)
    store: Any = Drawn(1, size.classes, 1)
    return build_training(Run(net, "256"), settings, store, store, device=clock.device, group=group)


def drawn_batches(batch: int, size: Size, device: torch.device) -> list[Batch]:
    """Two batches of random crops, as the loader makes them."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2):
        pixels = torch.from_numpy(rng.integers(0, 256, (batch, size.model.crop, size.model.crop, 3), np.uint8))
        shift = torch.from_numpy(rng.normal(-120, 5, (batch, 3)).astype(np.float32))
        labels = torch.from_numpy(rng.integers(0, size.classes, batch))
        if device.type == "cuda":
            pixels = pixels.pin_memory()
        found.append(Batch(pixels, shift, labels, torch.empty(batch, 0), 0, batch, batch))
    return found


def torchvision_steps(batch: int, size: Size, clock: Clock, compiled: bool) -> Callable[[], object]:
    """Training steps of torchvision's vgg16 as its own recipe goes: AMP, channels-last, float32 crops from pinned memory."""
    from torchvision.models import vgg16

    net: nn.Module = vgg16(weights=None, num_classes=size.classes)
    if size.model.width != 64:
        raise RuntimeError("torchvision has no vgg16 of this size")
    net = net.to(clock.device, memory_format=torch.channels_last).train()
    forward = torch.compile(net) if compiled else net
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4, fused=True)
    images = torch.randn(batch, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, size.classes, (batch,))
    if clock.device.type == "cuda":
        images, labels = images.pin_memory(), labels.pin_memory()

    def steps() -> None:
        for _ in range(size.steps):
            x, y = images.to(clock.device, non_blocking=True), labels.to(clock.device, non_blocking=True)
            optimiser.zero_grad()
            with torch.autocast(clock.device.type, torch.bfloat16):
                loss = F.cross_entropy(forward(x), y)
            loss.backward()
            optimiser.step()

    return steps
