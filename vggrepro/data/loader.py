"""Training batches: read, rescaled and cut by threads ahead of the net."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws, colour_shift, training_crop
from vggrepro.flow import ahead

AHEAD = 4
"""Batches that are made before they are asked for."""


class Batches:
    """The batches of one epoch: images [B, 3, crop, crop] as float32 in channels-last memory, labels [B].

    Pixels are 0-255 less the mean RGB, plus the colour shift. The last batch of an epoch may be smaller.
    """

    def __init__(
        self, store: Store, draws: Draws, *, batch: int, crop: int, flip: bool, colour_std: float, workers: int
    ) -> None:
        self.store, self.draws, self.batch, self.crop, self.flip = store, draws, batch, crop, flip
        self.shift = colour_shift(draws.alpha, store.colours, colour_std) - np.array(store.colours.mean, np.float32)
        self.workers = workers

    def __len__(self) -> int:
        return -(-len(self.store) // self.batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        chosen = np.array_split(self.draws.order, range(self.batch, len(self.store), self.batch))
        yield from ahead(self._make, chosen, workers=self.workers, waiting=AHEAD)

    def _make(self, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        pixels = np.empty((len(numbers), self.crop, self.crop, 3), np.uint8)
        for row, i in zip(pixels, numbers, strict=True):
            row[:] = training_crop(self.store.image(i), self.draws, i, self.crop, flip=self.flip)
        images = torch.from_numpy(pixels).float() + torch.from_numpy(self.shift[numbers])[:, None, None]
        return images.permute(0, 3, 1, 2), torch.from_numpy(self.store.labels[numbers])
