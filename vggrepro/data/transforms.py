"""What happens to an image before a net sees it, and the random draws that decide it (section 3.1).

Every draw for an image follows from (seed, epoch, image): neither the order of workers, nor the number of processes, nor
a restart changes what an image looks like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vggrepro.data.boxes import to_vectors
from vggrepro.data.colours import Colours
from vggrepro.settings.blocks import BoxTargets

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
    pick: NDArray[np.float64]
    """[N]: which of an image's boxes is the target, as a share in [0, 1) of their number."""

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
            pick=rng.random(images),
        )

    def corner(self, i: int, height: int, width: int, crop: int) -> tuple[int, int]:
        """Top and left of image `i`'s crop in the rescaled image."""
        top, left = (int(share * (side - crop + 1)) for share, side in zip(self.place[i], (height, width), strict=True))
        return top, left


def rescaled_sizes(sizes: NDArray[np.int64], smallest: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """[N, 2]: heights and widths after an isotropic rescaling that makes the smallest sides `smallest` [N]."""
    shorter = sizes.min(1, keepdims=True)
    # integers throughout: halves are rounded up, whatever the machine
    found: NDArray[np.int64] = (2 * sizes * np.reshape(smallest, (-1, 1)) + shorter) // (2 * shorter)
    return found


def rescaled_size(height: int, width: int, smallest: int) -> tuple[int, int]:
    """Height and width after an isotropic rescaling that makes the smallest side `smallest`."""
    shorter = min(height, width)
    # as above, for one image at a time: twenty times faster without arrays
    return (2 * height * smallest + shorter) // (2 * shorter), (2 * width * smallest + shorter) // (2 * shorter)


def rescale(image: Pixels, smallest: int) -> Pixels:
    """The whole image [H, W, 3] with smallest side `smallest`. CHOICE 6: PIL's antialiased bilinear filter."""
    return window(image, smallest, (0, 0), rescaled_size(image.shape[0], image.shape[1], smallest))


def window(
    image: Pixels,
    smallest: int,
    top_left: tuple[int, int],
    size: tuple[int, int],
    *,
    mirrored: bool = False,
    out: Pixels | None = None,
) -> Pixels:
    """A window [h, w, 3] of the rescaled image, into `out` if given; only what the window needs is computed.

    The same pixels as rescaling the whole and cutting the window out.
    """
    (height, width), (top, left) = rescaled_size(image.shape[0], image.shape[1], smallest), top_left
    out = np.empty((*size, 3), np.uint8) if out is None else out
    if (height, width) == image.shape[:2]:
        cut = image[top : top + size[0], left : left + size[1]]
        # three bytes at a time: twice as fast for mirrored ones
        out.view("V3")[:] = (cut[:, ::-1] if mirrored else cut).view("V3")
    else:
        # where nothing is rescaled the compiler is not loaded
        from vggrepro.data.resample import resample

        rows = np.ascontiguousarray(image).reshape(len(image), -1)
        resample(rows, (height, width), (top, left), mirrored, out.reshape(len(out), -1))
    return out


def training_crop(
    image: Pixels, draws: Draws, i: int, crop: int, *, flip: bool = True, out: Pixels | None = None
) -> Pixels:
    """The crop [crop, crop, 3] of image number `i` in this epoch: rescaled to its S, cut out at random, perhaps mirrored.

    Written into `out` if that is given.
    """
    smallest = int(draws.S[i])
    corner = draws.corner(i, *rescaled_size(image.shape[0], image.shape[1], smallest), crop)
    return window(image, smallest, corner, (crop, crop), mirrored=flip and bool(draws.flip[i]), out=out)


def zoom_of(height: int, width: int, smallest: int) -> NDArray[np.float64]:
    """[2]: how many times wider and higher than the original the rescaled image is."""
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
    """What a net is to predict of image number `i`'s crop in this epoch: a box vector [4] (see `boxes.to_vectors`).

    The crop is that of `training_crop`; `true_boxes` [T, 4] and `size` (height, width) are the original image's. NaN where
    too little of the target lies in the crop for it to count (`settings.min_inside`).
    """
    smallest = int(draws.S[i])
    top, left = draws.corner(i, *rescaled_size(*size, smallest), crop)
    sides = true_boxes[:, 2:] - true_boxes[:, :2] + 1
    which = int(draws.pick[i] * len(true_boxes)) if settings.target == "random" else int(sides.prod(1).argmax())
    vector = to_vectors(true_boxes[which], zoom_of(*size, smallest), np.array([left, top]), crop)
    low, high = vector[:2] - vector[2:] / 2, vector[:2] + vector[2:] / 2
    inside = (np.minimum(high, 0.5) - np.maximum(low, -0.5)).clip(0).prod() / vector[2:].prod()
    if inside < settings.min_inside:
        return np.full(4, np.nan)
    return vector * [-1, 1, 1, 1] if flip and draws.flip[i] else vector


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
