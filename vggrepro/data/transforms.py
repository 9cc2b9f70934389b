"""Rescaling, cropping, mirroring and colour shift of images, and the random draws that determine them (section 3.1).

The draws for an image depend on (seed, epoch, image) alone. Therefore the order of workers, the number of processes, and a
restart do not change what a net sees. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vggrepro.data.boxes import to_vectors
from vggrepro.data.colours import Colours
from vggrepro.settings.blocks import BoxTargets

Pixels = NDArray[np.uint8]
SMALL = 128 * 128
"""Pixels of an image that PIL rescales, and numba's loops do not."""


@dataclass(frozen=True)
class Draws:
    """The random draws of one epoch; row i is for image i of the training set."""

    order: NDArray[np.int64]
    """[N]: the order of the images in the epoch, a permutation."""
    S: NDArray[np.int64]
    """[N]: smallest side in pixels that the image is rescaled to."""
    place: NDArray[np.float64]
    """[N, 2]: top and left of the crop, as shares in [0, 1) of the possible positions."""
    flip: NDArray[np.bool_]
    """[N]: whether the crop is mirrored."""
    alpha: NDArray[np.float64]
    """[N, 3]: standard normal draws for the colour shift."""
    pick: NDArray[np.float64]
    """[N]: the index of the target among an image's boxes, as a share in [0, 1) of their number."""

    @classmethod
    def for_epoch(cls, seed: int, epoch: int, images: int, S: tuple[int, int]) -> Draws:
        """The draws of an epoch; S is uniform over the integers from S[0] to S[1] (CHOICE 6)."""
        rng = np.random.default_rng([seed, epoch])
        return cls(
            order=rng.permutation(images),
            S=rng.integers(S[0], S[1] + 1, images),
            place=rng.random((images, 2)),
            flip=rng.random(images) < 0.5,
            alpha=rng.standard_normal((images, 3)),
            pick=rng.random(images),
        )

    def corner(self, i: int, height: int, width: int, crop: int) -> tuple[int, int]:
        """Top and left of the crop of image `i`, in the image rescaled to (height, width)."""
        top, left = (int(share * (side - crop + 1)) for share, side in zip(self.place[i], (height, width), strict=True))
        return top, left

    def corners(self, numbers: NDArray[np.int64], sizes: NDArray[np.int64], crop: int) -> NDArray[np.int64]:
        """[B, 2]: the same of the images `numbers`, rescaled to `sizes` [B, 2]."""
        return (self.place[numbers] * (sizes - crop + 1)).astype(np.int64)


def rescaled_sizes(sizes: NDArray[np.int64], smallest: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """[N, 2]: heights and widths after an isotropic rescaling that makes the smallest sides `smallest` [N]."""
    shorter = sizes.min(1, keepdims=True)
    # in integers, so that halves are rounded up on every machine
    rescaled: NDArray[np.int64] = (2 * sizes * np.reshape(smallest, (-1, 1)) + shorter) // (2 * shorter)
    return rescaled


def rescaled_size(height: int, width: int, smallest: int) -> tuple[int, int]:
    """Height and width after an isotropic rescaling that makes the smallest side `smallest`."""
    shorter = min(height, width)
    # `rescaled_sizes` for one image: twenty times faster without arrays
    return (2 * height * smallest + shorter) // (2 * shorter), (2 * width * smallest + shorter) // (2 * shorter)


def rescale_image(image: Pixels, smallest: int) -> Pixels:
    """The whole image [H, W, 3], rescaled to the smallest side `smallest`. CHOICE 6: PIL's antialiased bilinear filter."""
    height, width = rescaled_size(image.shape[0], image.shape[1], smallest)
    if image.shape[0] * image.shape[1] <= SMALL:
        # the same pixels: PIL does thousands of such images in the time that numba takes to load
        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    return window(image, smallest, (0, 0), (height, width))


def window(
    image: Pixels,
    smallest: int,
    top_left: tuple[int, int],
    size: tuple[int, int],
    *,
    mirrored: bool = False,
    out: Pixels | None = None,
) -> Pixels:
    """A window [h, w, 3] of the rescaled image, written into `out` if it is given.

    The pixels are those of rescaling the whole image and cutting the window out, but only the window is computed.
    """
    (height, width), (top, left) = rescaled_size(image.shape[0], image.shape[1], smallest), top_left
    out = np.empty((*size, 3), np.uint8) if out is None else out
    if (height, width) == image.shape[:2]:
        cut = image[top : top + size[0], left : left + size[1]]
        # copying a pixel's three bytes at once is twice as fast where the window is mirrored
        out.view("V3")[:] = (cut[:, ::-1] if mirrored else cut).view("V3")
    else:
        # imported here, because numba takes half a second to load and not every command rescales
        from vggrepro.data.resample import resample

        rows = np.ascontiguousarray(image).reshape(len(image), -1)
        resample(rows, (height, width), (top, left), mirrored, out.reshape(len(out), -1))
    return out


def training_crop(
    image: Pixels, draws: Draws, i: int, crop: int, *, flip: bool = True, out: Pixels | None = None
) -> Pixels:
    """The crop [crop, crop, 3] of image number `i` in this epoch: rescaled to its S, cut at its draw, perhaps mirrored.

    It is written into `out` if that is given.
    """
    smallest = int(draws.S[i])
    corner = draws.corner(i, *rescaled_size(image.shape[0], image.shape[1], smallest), crop)
    return window(image, smallest, corner, (crop, crop), mirrored=flip and bool(draws.flip[i]), out=out)


def zoom_of(height: int, width: int, smallest: int) -> NDArray[np.float64]:
    """[2]: width and height of the rescaled image, divided by the original's."""
    rescaled = rescaled_size(height, width, smallest)
    return np.array([rescaled[1] / width, rescaled[0] / height])


def target_vector(
    true_boxes: NDArray[np.integer],
    size: tuple[int, int],
    draws: Draws,
    i: int,
    crop: int,
    settings: BoxTargets,
    *,
    flip: bool = True,
) -> NDArray[np.float64]:
    """The target of a net that predicts boxes, for the crop of image number `i` in this epoch: [4], see `boxes.to_vectors`.

    The crop is that of `training_crop`; `true_boxes` [T, 4] and `size` (height, width) are the original image's. The target
    is NaN, and does not count, where less of it than `settings.min_inside` lies in the crop.
    """
    smallest = int(draws.S[i])
    top, left = draws.corner(i, *rescaled_size(*size, smallest), crop)
    sides = true_boxes[:, 2:] - true_boxes[:, :2] + 1
    chosen = int(draws.pick[i] * len(true_boxes)) if settings.target == "random" else int(sides.prod(1).argmax())
    vector = to_vectors(true_boxes[chosen], zoom_of(*size, smallest), np.array([left, top]), crop)
    low, high = vector[:2] - vector[2:] / 2, vector[:2] + vector[2:] / 2
    inside = (np.minimum(high, 0.5) - np.maximum(low, -0.5)).clip(0).prod() / vector[2:].prod()
    if inside < settings.min_inside:
        return np.full(4, np.nan)
    return vector * [-1, 1, 1, 1] if flip and draws.flip[i] else vector


def colour_shift(alpha: NDArray[np.float64], colours: Colours, std: float) -> NDArray[np.float32]:
    """Krizhevsky's shift of R, G and B [N, 3], 0-255: sum_i p_i (std * alpha_i) lambda_i, for standard normal `alpha`."""
    shift = 255 * (std * alpha * np.array(colours.eigenvalues)) @ np.array(colours.eigenvectors).T
    return np.asarray(shift, np.float32)


def centre(side: int, crop: int) -> int:
    """The first pixel of a central crop of a side."""
    return (side - crop) // 2


def grid(height: int, width: int, crop: int, kind: str = "whole") -> list[tuple[int, int]]:
    """(top, left) of the crops in the regular 5x5 grid (section 3.2), in an image of this height and width.

    CHOICE 5: the grid spans the `whole` image, so that the outermost crops touch its edges, or its central `square`.
    """
    if kind == "square":
        side = min(height, width)
        corners = grid(side, side, crop)
        return [(top + centre(height, side), left + centre(width, side)) for top, left in corners]
    tops, lefts = (np.linspace(0, side - crop, 5).round().astype(int) for side in (height, width))
    return [(int(top), int(left)) for top in tops for left in lefts]
