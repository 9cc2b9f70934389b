"""What happens to an image before a net sees it, and the random draws that decide it (section 3.1).

Every draw for an image follows from (seed, epoch, image): neither the order of workers, nor the number of processes, nor
a restart changes what an image looks like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vggrepro.data.store import Colours

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Draws:
    """The random draws of one epoch, a row per image of the training set."""

    order: NDArray[np.int64]
    """[N]: the permutation in which the images are seen."""
    S: NDArray[np.int64]
    """[N]: smallest side in pixels that the image is rescaled to."""
    place: NDArray[np.float64]
    """[N, 2]: top and left of the crop, as shares in [0, 1) of the room there is."""
    flip: NDArray[np.bool_]
    """[N]: whether the crop is mirrored."""
    alpha: NDArray[np.float64]
    """[N, 3]: the colour shift's draws, of standard deviation 1."""

    @classmethod
    def of(cls, seed: int, epoch: int, images: int, S: tuple[int, int]) -> Draws:
        """The draws of an epoch; S is uniform over the integers from S[0] to S[1] (CHOICE 6)."""
        rng = np.random.default_rng([seed, epoch])
        return cls(
            order=rng.permutation(images),
            S=rng.integers(S[0], S[1] + 1, images),
            place=rng.random((images, 2)),
            flip=rng.random(images) < 0.5,
            alpha=rng.standard_normal((images, 3)),
        )


def rescaled_size(height: int, width: int, smallest: int) -> tuple[int, int]:
    """Height and width after an isotropic rescaling that makes the smallest side `smallest`."""
    shorter = min(height, width)
    # integers throughout: halves are rounded up, whatever the machine
    return (2 * height * smallest + shorter) // (2 * shorter), (2 * width * smallest + shorter) // (2 * shorter)


def rescale(image: Pixels, smallest: int) -> Pixels:
    """The whole image [H, W, 3] with smallest side `smallest`. CHOICE 6: PIL's antialiased bilinear filter."""
    return window(image, smallest, (0, 0), rescaled_size(image.shape[0], image.shape[1], smallest))


def window(image: Pixels, smallest: int, top_left: tuple[int, int], size: tuple[int, int]) -> Pixels:
    """A window [h, w, 3] of the rescaled image, of which no more than the window is computed.

    The same pixels as rescaling the whole and cutting the window out, but for values on a half that round the other way.
    """
    (height, width), (top, left) = rescaled_size(image.shape[0], image.shape[1], smallest), top_left
    if (height, width) == image.shape[:2]:
        return image[top : top + size[0], left : left + size[1]]
    down, right = image.shape[0] / height, image.shape[1] / width
    box = (left * right, top * down, (left + size[1]) * right, (top + size[0]) * down)
    # a last digit must not put the box outside the image
    box = (box[0], box[1], min(box[2], image.shape[1]), min(box[3], image.shape[0]))
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized)


def training_crop(image: Pixels, draws: Draws, i: int, crop: int, *, flip: bool = True) -> Pixels:
    """The crop [crop, crop, 3] of image number `i` in this epoch: rescaled to its S, cut out at random, perhaps mirrored."""
    smallest = int(draws.S[i])
    height, width = rescaled_size(image.shape[0], image.shape[1], smallest)
    top, left = (int(share * (side - crop + 1)) for share, side in zip(draws.place[i], (height, width), strict=True))
    cut = window(image, smallest, (top, left), (crop, crop))
    return cut[:, ::-1] if flip and draws.flip[i] else cut


def colour_shift(alpha: NDArray[np.float64], colours: Colours, std: float) -> NDArray[np.float32]:
    """Krizhevsky's shift of R, G and B, 0-255: sum_i p_i (std * alpha_i) lambda_i, for `alpha` [N, 3]."""
    shift = 255 * (std * alpha * np.array(colours.eigenvalues)) @ np.array(colours.eigenvectors).T
    return np.asarray(shift, np.float32)


def centre(side: int, crop: int) -> int:
    """Where a central crop of a side begins."""
    return (side - crop) // 2


def grid(height: int, width: int, crop: int, kind: str = "whole") -> list[tuple[int, int]]:
    """Top-left corners of the regular 5x5 grid of crops (section 3.2).

    CHOICE 5: over the whole image, the outermost crops touching its edges, or over its central square.
    """
    if kind == "square":
        side = min(height, width)
        corners = grid(side, side, crop)
        return [(top + centre(height, side), left + centre(width, side)) for top, left in corners]
    tops, lefts = (np.linspace(0, side - crop, 5).round().astype(int) for side in (height, width))
    return [(int(top), int(left)) for top in tops for left in lefts]
