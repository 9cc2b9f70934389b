"""Training batches: read, rescaled and cut by threads ahead of the net."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggrepro.core.progress import prefetch
from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws, colour_shift, target_vector, training_crop
from vggrepro.nets.vgg import net_input
from vggrepro.settings.blocks import BoxTargets
from vggrepro.training.processes import ProcessGroup
from vggrepro.training.resident import Resident

ALONE = ProcessGroup()
AHEAD = 4
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
    of: int = 0
    """Images of the global batch."""
    counted: int = 0
    """How many of those count in the loss."""

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        pixels, shift, labels, targets = (tensor.to(device, non_blocking=True) for tensor in self[:4])
        return self._replace(pixels=pixels, shift=shift, labels=labels, targets=targets)

    def images(self, out: Tensor | None = None) -> Tensor:
        """What the net is given, made on the batch's device; see `nets.net_input`."""
        return net_input(self.pixels, self.shift, out)

    def pieces(self, count: int) -> list[Batch]:
        """The batch in so many parts of about equal size, some perhaps empty."""
        found, first = [], self.first
        split = (tensor.tensor_split(count) for tensor in (self.pixels, self.shift, self.labels, self.targets))
        for pixels, shift, labels, targets in zip(*split, strict=True):
            found.append(Batch(pixels, shift, labels, targets, first, self.of, self.counted))
            first += len(labels)
        return found


class Batches:
    """The batches of one epoch, or this process's part of each (`world`). The last may be smaller.

    With `boxes` they are of the images that have one. The first `start` batches are left out. With `resident` images they
    are made on its device; else, if `pinned`, in memory that a GPU copies from while it computes.
    """

    def __init__(
        self,
        store: Store,
        draws: Draws,
        *,
        batch: int,
        crop: int,
        flip: bool,
        colour_std: float,
        workers: int,
        boxes: BoxTargets | None = None,
        start: int = 0,
        world: ProcessGroup = ALONE,
        resident: Resident | None = None,
        pinned: bool = False,
    ) -> None:
        self.store, self.draws, self.batch, self.crop, self.flip = store, draws, batch, crop, flip
        self.shift = colour_shift(draws.alpha, store.colours, colour_std) - np.array(store.colours.mean, np.float32)
        self.workers, self.boxes, self.start, self.world = workers, boxes, start, world
        self.resident, self.pinned = resident, pinned
        self.order = draws.order[store.annotated[draws.order]] if boxes else draws.order
        if not len(self.order):
            raise ValueError(f"{store.folder}: no training image has a box: nothing to learn boxes from")

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch) - self.start

    def __iter__(self) -> Iterator[Batch]:
        chosen = np.array_split(self.order, range(self.batch, len(self.order), self.batch))
        # on a device the work is queued, not done: no thread is needed to be ahead
        yield from prefetch(
            self._make, chosen[self.start :], workers=0 if self.resident else self.workers, waiting=AHEAD
        )

    def _make(self, chosen: NDArray[np.int64]) -> Batch:
        mine = self.world.rows(len(chosen))
        numbers = chosen[mine]
        pixels = self._pixels(numbers)
        shift, labels = torch.from_numpy(self.shift[numbers]), torch.from_numpy(self.store.labels[numbers])
        # of the others' images too: a box is cheap, and every process knows how many count
        targets = self._targets(chosen)
        counted = int((~np.isnan(targets)).all(1).sum())
        return Batch(pixels, shift, labels, torch.from_numpy(targets[mine]), mine.start, len(chosen), counted)

    def _pixels(self, numbers: NDArray[np.int64]) -> Tensor:
        if self.resident:
            return self.resident.crops(numbers, self.draws, self.crop, flip=self.flip)
        pixels = torch.empty(len(numbers), self.crop, self.crop, 3, dtype=torch.uint8, pin_memory=self.pinned)
        for row, i in zip(pixels.numpy(), numbers, strict=True):
            training_crop(self.store.image(i), self.draws, i, self.crop, flip=self.flip, out=row)
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
