"""The views of an image that a net is shown under a protocol (section 3.2), and the tensor that a batch of them becomes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggrepro.data.transforms import Pixels, centre, grid
from vggrepro.nets.vgg import net_input

Views = list[Pixels]
"""What the net is shown of an image, all of one shape [H, W, 3]; mirror images are added to the batch."""


def whole_image(image: Pixels) -> Views:
    """The image itself, as its only view."""
    return [image]


def views_of(image: Pixels, protocol: str, crop: int, crop_grid: str) -> Views:
    """The views of a rescaled image [H, W, 3]: itself under dense, else crops of side `crop` pixels."""
    if protocol == "dense":
        return whole_image(image)
    height, width = image.shape[:2]
    corners = [(centre(height, crop), centre(width, crop))]
    if protocol == "multi-crop":
        corners = grid(height, width, crop, crop_grid)
    return [image[top : top + crop, left : left + crop] for top, left in corners]


def input_of_views(pixels: NDArray[np.uint8], mean: Tensor, *, mirrored: bool = False) -> Tensor:
    """The net's input [B views, 3, H, W] for views [B, views, H, W, 3], on the device of the mean RGB [3].

    If `mirrored`, their mirror images follow, in the same order: [2 B views, 3, H, W].
    """
    # copied to the device as bytes, a quarter of the floats
    views = torch.from_numpy(pixels).flatten(0, 1).to(mean.device)
    return net_input(torch.cat([views, views.flip(2)]) if mirrored else views, -mean[None])
