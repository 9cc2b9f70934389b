"""Training batches: read, rescaled and cut by threads ahead of the net."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggrepro.core.progress import prefetch
from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws, colour_shift, target_vector
from vggrepro.nets.vgg import net_input
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import BoxTargets, TrainSettings
from vggrepro.settings.models import RunSettings
from vggrepro.training.processes import ALONE, ProcessGroup
from vggrepro.training.resident import ResidentImages

BATCHES_AHEAD = 4
"""Batches that are made before they are asked for."""


class Batch(NamedTuple):
    """What one step of training sees: a global batch, or one process's part of it."""

    pixels: Tensor
    """[B, crop, crop, 3], bytes: a quarter of what would have to be copied to a device as float32."""
    shift: Tensor
    """[B, 3]: what is added to R, G and B of an image: the colour shift less the mean."""
    labels: Tensor
    """[B]."""
    targets: Tensor
    """[B, 4] box vectors, NaN where a box does not count; [B, 0] where no boxes are learnt."""
    first: int = 0
    """These are the images of a global batch from this one on."""
    global_size: int = 0
    """Images of the global batch."""
    counted: int = 0
    """How many images of the global batch count in the loss."""

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        pixels, shift, labels, targets = (tensor.to(device, non_blocking=True) for tensor in self[:4])
        return self._replace(pixels=pixels, shift=shift, labels=labels, targets=targets)

    def images(self, out: Tensor | None = None) -> Tensor:
        """The net's input, made on the batch's device; see `net_input`."""
        return net_input(self.pixels, self.shift, out)

    def pieces(self, count: int) -> list[Batch]:
        """The batch in `count` parts of about equal size, some perhaps empty."""
        pieces, first = [], self.first
        parts = (tensor.tensor_split(count) for tensor in (self.pixels, self.shift, self.labels, self.targets))
        for pixels, shift, labels, targets in zip(*parts, strict=True):
            pieces.append(Batch(pixels, shift, labels, targets, first, self.global_size, self.counted))
            first += len(labels)
        return pieces


class Batches:
    """The batches of one epoch, or one process's part of each. The last may be smaller."""

    def __init__(
        self,
        store: Store,
        draws: Draws,
        *,
        train: TrainSettings,
        crop: int,
        workers: int,
        boxes: BoxTargets | None = None,
        skip: int = 0,
        group: ProcessGroup = ALONE,
        resident: ResidentImages | None = None,
        pinned: bool = False,
    ) -> None:
        """Batches as `train` says, but for the first `skip` batches; with `boxes`, of the images that have one.

        Batches are made on the device of `resident` images, if given; else, if `pinned`, in memory that a GPU copies from
        while it computes. Raises ValueError if `boxes` are asked for and no image has one.
        """
        self.store, self.draws, self.batch, self.crop, self.flip = store, draws, train.batch, crop, train.flip
        self.shift = colour_shift(draws.alpha, store.colours, train.colour_std) - np.array(
            store.colours.mean, np.float32
        )
        self.workers, self.boxes, self.skip, self.group = workers, boxes, skip, group
        self.resident, self.pinned = resident, pinned
        self.order = draws.order[store.annotated[draws.order]] if boxes else draws.order
        if not len(self.order):
            raise ValueError(f"{store.folder}: no training image has a box: nothing to learn boxes from")

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch) - self.skip

    def __iter__(self) -> Iterator[Batch]:
        batches = np.array_split(self.order, range(self.batch, len(self.order), self.batch))
        # on a device the work is queued, not done: no thread is needed to be ahead
        workers = 0 if self.resident else self.workers
        yield from prefetch(self._make, batches[self.skip :], workers=workers, waiting=BATCHES_AHEAD)

    def _make(self, numbers: NDArray[np.int64]) -> Batch:
        """This process's part of the global batch of the images `numbers`."""
        share = self.group.share(len(numbers))
        own = numbers[share]
        pixels = self._pixels(own)
        shift, labels = torch.from_numpy(self.shift[own]), torch.from_numpy(self.store.labels[own])
        # of the others' images too: a box is cheap, and every process knows how many count
        targets = self._targets(numbers)
        counted = int((~np.isnan(targets)).all(1).sum())
        return Batch(pixels, shift, labels, torch.from_numpy(targets[share]), share.start, len(numbers), counted)

    def _pixels(self, numbers: NDArray[np.int64]) -> Tensor:
        if self.resident:
            return self.resident.crops(numbers, self.draws, self.crop, flip=self.flip)
        # numba takes a second to load, and a training from resident images does without
        from vggrepro.data.crops import training_crops

        pixels = torch.empty(len(numbers), self.crop, self.crop, 3, dtype=torch.uint8, pin_memory=self.pinned)
        training_crops(self.store, numbers, self.draws, self.crop, flip=self.flip, out=pixels.numpy())
        return pixels

    def _targets(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        if self.boxes is None:
            return np.empty((len(numbers), 0), np.float32)
        targets = np.empty((len(numbers), 4), np.float32)
        for row, i in zip(targets, numbers, strict=True):
            row[:] = target_vector(
                self.store.boxes(i), self.store.size(i), self.draws, i, self.crop, self.boxes, flip=self.flip
            )
        return targets


@dataclass(frozen=True)
class EpochLoader:
    """The training images of a run: makes the batches of any epoch."""

    run: Run
    settings: RunSettings
    store: Store
    device: torch.device
    workers: int
    group: ProcessGroup
    resident: ResidentImages | None

    def batches(self, epoch: int, skip: int = 0) -> Batches:
        """The batches of an epoch, counted from 1, but for the first `skip`."""
        low, high = map(self.settings.model.pixels, self.run.scale_ends)
        return Batches(
            self.store,
            Draws.for_epoch(self.run.seed, epoch, len(self.store), (low, high)),
            train=self.settings.train,
            crop=self.settings.model.crop,
            workers=self.workers,
            boxes=self.settings.boxes,
            skip=skip,
            group=self.group,
            resident=self.resident,
            pinned=self.device.type == "cuda",
        )
