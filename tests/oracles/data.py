"""Slow, obvious versions of functions in `vggrepro.data`."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
from PIL import Image


def rescaled_whole(image: np.ndarray, smallest: int) -> np.ndarray:
    """The whole image, resized by PIL in one call."""
    height, width = image.shape[:2]
    scale = Fraction(smallest, min(height, width))
    size = (floor(width * scale + Fraction(1, 2)), floor(height * scale + Fraction(1, 2)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def colour_statistics(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean RGB, and the covariance of RGB in [0, 1], over all pixels at once."""
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(np.float64)
    return pixels.mean(0), np.cov(pixels.T / 255, bias=True)
