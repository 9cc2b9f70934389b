"""Slow, obvious versions of what `vggrepro.data` does."""

from __future__ import annotations

import numpy as np
from PIL import Image


def rescaled_whole(image: np.ndarray, smallest: int) -> np.ndarray:
    """The whole image, rescaled by PIL."""
    height, width = image.shape[:2]
    scale = smallest / min(height, width)
    size = (int(np.floor(width * scale + 0.5)), int(np.floor(height * scale + 0.5)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def colour_statistics(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean RGB, and the covariance of RGB in [0, 1], over all pixels at once."""
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(np.float64)
    return pixels.mean(0), np.cov(pixels.T / 255, bias=True)
