"""Batches of images of equal shape, each image decoded once for all test scales."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vggrepro.core.progress import prefetch, show_progress
from vggrepro.data.transforms import Pixels, rescale_image
from vggrepro.evaluation.views import Views
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import SMALLEST_SCALE
from vggrepro.settings.blocks import EvaluateSettings

WAITING_BATCHES = 8
"""So many batches' worth of pixels may wait for more images of their shape."""


CPU_BATCH_PIXELS = 2**20
"""The most pixels of a batch on a CPU, whatever the settings allow: net D evaluates a dozen whole images as fast as a hundred,
whose feature maps take 256 bytes a pixel, 5 GB for the 20 million pixels that suit a GPU."""


def batch_limit(settings: EvaluateSettings, device: torch.device) -> int:
    """The most pixels of a batch on this device."""
    return min(settings.batch_pixels, CPU_BATCH_PIXELS) if device.type == "cpu" else settings.batch_pixels


class ImageSequence(Protocol):
    """Images in a fixed order: a prepared store, or a collection as it lies on disk."""

    def __len__(self) -> int: ...

    def image(self, i: int) -> Pixels:
        """The pixels [H, W, 3] of image `i`."""
        ...


class ImageViews(NamedTuple):
    """The views of an image at a test scale."""

    number: int
    """Of the image."""
    Q: int
    pixels: NDArray[np.uint8]
    """[views, H, W, 3]."""


BatchMembers = list[tuple[int, int]]
"""(number, Q) of every image of a batch."""


def batches_by_shape(
    store: ImageSequence,
    net: VGG,
    scales: tuple[int, ...],
    show: Callable[[Pixels], Views],
    *,
    batch_pixels: int,
    workers: int,
    about: str,
) -> Iterator[tuple[BatchMembers, NDArray[np.uint8]]]:
    """Batches of images of exactly equal shape, nothing padded: their (number, Q), and their views [B, views, H, W, 3].

    A batch has at most `batch_pixels` pixels, or one image. `show` gives the views of a rescaled image, `about` stands beside
    the progress bar.

    Raises ValueError for scales that are repeated or smaller than the net's input.
    """
    if len(set(scales)) < len(scales) or min(scales) < SMALLEST_SCALE:
        raise ValueError(
            f"test scales Q: expected different ones of at least {SMALLEST_SCALE}, the net's input, got {scales}"
        )
    images = show_progress(
        _views_at_scales(store, net, scales, show, workers),
        total=len(store) * len(scales),
        about=about,
        unit="image",
    )
    seen: Counter[tuple[int, int]] = Counter()
    for batch in _grouped(images, batch_pixels):
        members = [(views.number, views.Q) for views in batch]
        seen.update(members)
        yield members, np.stack([views.pixels for views in batch])
    assert set(seen.values()) <= {1}, "an image was seen twice"
    assert len(seen) == len(store) * len(scales), "every image must be seen at every scale"


def _views_at_scales(
    store: ImageSequence, net: VGG, scales: tuple[int, ...], show: Callable[[Pixels], Views], workers: int
) -> Iterator[ImageViews]:
    def decode(i: int) -> list[ImageViews]:
        image = store.image(i)
        return [ImageViews(i, Q, np.stack(show(rescale_image(image, net.model.pixels(Q))))) for Q in scales]

    for at_scales in prefetch(decode, range(len(store)), workers=workers, waiting=4 * workers):
        yield from at_scales


def _grouped(images: Iterator[ImageViews], batch_pixels: int) -> Iterator[list[ImageViews]]:
    """Groups of equal shape: each as soon as one more image would exceed `batch_pixels`, the rest at the end."""
    waiting: dict[tuple[int, ...], list[ImageViews]] = defaultdict(list)

    def pixels_of(shape: tuple[int, ...]) -> int:
        return sum(_count_pixels(views) for views in waiting[shape])

    total = 0
    for views in images:
        shape, pixels, full = views.pixels.shape, _count_pixels(views), None
        waiting[shape].append(views)
        total += pixels
        if pixels_of(shape) + pixels > batch_pixels:
            full = shape
        elif total > WAITING_BATCHES * batch_pixels:
            # thousands of rare shapes must not fill the memory: the fullest group goes as it is
            full = max(waiting, key=pixels_of)
        if full is not None:
            total -= pixels_of(full)
            yield waiting.pop(full)
    yield from waiting.values()


def _count_pixels(views: ImageViews) -> int:
    return views.pixels.size // 3
