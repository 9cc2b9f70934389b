"""Training batches: read, rescaled and cut by threads ahead of the net."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggrepro.config import Boxes
from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws, colour_shift, target_vector, training_crop
from vggrepro.flow import ahead

AHEAD = 4
"""Batches that are made before they are asked for."""


class Batch(NamedTuple):
    """What one step of training sees."""

    images: Tensor
    """[B, 3, crop, crop], float32 in channels-last memory: 0-255 less the mean RGB, plus the colour shift."""
    labels: Tensor
    """[B]."""
    targets: Tensor
    """[B, 4] box vectors, NaN where a box does not count; [B, 0] where no boxes are learnt."""


class Batches:
    """The batches of one epoch. The last may be smaller.

    With `boxes` they are of the images that have one. The first `start` batches are left out.
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
        boxes: Boxes | None = None,
        start: int = 0,
    ) -> None:
        self.store, self.draws, self.batch, self.crop, self.flip = store, draws, batch, crop, flip
        self.shift = colour_shift(draws.alpha, store.colours, colour_std) - np.array(store.colours.mean, np.float32)
        self.workers, self.boxes, self.start = workers, boxes, start
        self.order = draws.order[store.annotated[draws.order]] if boxes else draws.order
        if not len(self.order):
            raise ValueError(f"{store.folder}: no training image has a box: nothing to learn boxes from")

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch) - self.start

    def __iter__(self) -> Iterator[Batch]:
        chosen = np.array_split(self.order, range(self.batch, len(self.order), self.batch))
        yield from ahead(self._make, chosen[self.start :], workers=self.workers, waiting=AHEAD)

    def _make(self, numbers: NDArray[np.int64]) -> Batch:
        pixels = np.empty((len(numbers), self.crop, self.crop, 3), np.uint8)
        for row, i in zip(pixels, numbers, strict=True):
            row[:] = training_crop(self.store.image(i), self.draws, i, self.crop, flip=self.flip)
        images = torch.from_numpy(pixels).float() + torch.from_numpy(self.shift[numbers])[:, None, None]
        labels = torch.from_numpy(self.store.labels[numbers])
        return Batch(images.permute(0, 3, 1, 2), labels, torch.from_numpy(self._targets(numbers)))

    def _targets(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        if self.boxes is None:
            return np.empty((len(numbers), 0), np.float32)
        targets = np.empty((len(numbers), 4), np.float32)
        for row, i in zip(targets, numbers, strict=True):
            row[:] = target_vector(
                self.store.boxes(i), self.store.size(i), self.draws, i, self.crop, self.boxes, flip=self.flip
            )
        return targets
