"""A small training set kept whole in the memory of the device that trains, where its crops are cut too.

For images of one size that are not made smaller (Tiny ImageNet: S = 256 is their own 64 px): reading, rescaling and copying
then cost nothing. The filter is PIL's bilinear one, which for enlarging is linear interpolation; results are within one level
of `transforms.training_crop`, which rounds between rows and columns.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vggrepro.core.progress import prefetch
from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws, rescaled_sizes


class ResidentImages:
    """The images of a store on a device."""

    def __init__(self, store: Store, device: torch.device, workers: int = 0) -> None:
        """Load the images. Raises ValueError where they differ in size."""
        sizes = np.unique(store.sizes, axis=0)
        if len(sizes) != 1 or store.smallest:
            raise ValueError(
                f"{store.folder}: train.on_device is for original images of one size, there are {len(sizes)}: set it to false"
            )
        self.folder, self.size, self.device = store.folder, (int(sizes[0, 0]), int(sizes[0, 1])), device
        self.pixels = torch.empty(len(store), 3, *self.size, dtype=torch.uint8, device=device)
        blocks = [range(first, min(first + 1024, len(store))) for first in range(0, len(store), 1024)]

        def read(block: range) -> Tensor:
            return torch.from_numpy(np.stack([store.image(i) for i in block]))

        for block, images in zip(blocks, prefetch(read, blocks, workers=workers, waiting=workers), strict=True):
            self.pixels[block.start : block.stop] = images.permute(0, 3, 1, 2).to(device)

    def crops(self, numbers: NDArray[np.int64], draws: Draws, crop: int, *, flip: bool) -> Tensor:
        """The training crops [B, crop, crop, 3] of the images `numbers`, bytes: see `transforms.training_crop`.

        Raises ValueError for an S below the images' own size: making smaller takes another filter.
        """
        S = draws.S[numbers]
        if len(S) and S.min() < min(self.size):
            raise ValueError(
                f"{self.folder}: train.on_device only enlarges images, S = {S.min()} px is below their {min(self.size)} px: "
                "set it to false"
            )
        images = self.pixels[torch.from_numpy(numbers).to(self.device)].float()
        sampled = F.grid_sample(
            images, self._grid(numbers, draws, crop, flip), "bilinear", "border", align_corners=False
        )
        return sampled.round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def _grid(self, numbers: NDArray[np.int64], draws: Draws, crop: int, flip: bool) -> Tensor:
        """[B, crop, crop, 2]: where (x, y) in the original image every pixel of a crop lies, from -1 to 1."""
        rescaled = rescaled_sizes(np.array([self.size]), draws.S[numbers])
        corners = draws.corners(numbers, rescaled, crop)
        rows = corners[:, :1] + np.arange(crop)
        columns = corners[:, 1:] + np.arange(crop)
        if flip:
            columns = np.where(draws.flip[numbers, None], columns[:, ::-1], columns)
        x, y = (
            # the middle of a pixel of the rescaled image
            torch.from_numpy((2 * (places + 0.5) / side - 1).astype(np.float32)).to(self.device)
            for places, side in ((columns, rescaled[:, 1:]), (rows, rescaled[:, :1]))
        )
        return torch.stack([x[:, None, :].expand(-1, crop, -1), y[:, :, None].expand(-1, -1, crop)], -1)
