"""The stream of random numbers, as docs/guides/recompute.md writes it down: what follows from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggrepro.recompute.net import Shapes


@dataclass(frozen=True)
class EpochDraws:
    """All draws of an epoch; row i is for image i."""

    order: NDArray[np.int64]
    S: NDArray[np.int64]
    place: NDArray[np.float64]
    """[N, 2]: top and left of the crop, as shares of the possible positions."""
    mirrored: NDArray[np.bool_]
    alpha: NDArray[np.float64]
    """[N, 3]: for the colour shift."""
    box: NDArray[np.float64]
    """[N]: which of an image's boxes is the target, as a share of their number."""


def epoch_draws(seed: int, epoch: int, images: int, S: tuple[int, int]) -> EpochDraws:
    """Six draws, one after another, from numpy's default generator of (seed, epoch); S in pixels, both ends included."""
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(images)
    sides = generator.integers(S[0], S[1] + 1, images)
    place = generator.random((images, 2))
    mirrored = generator.random(images) < 0.5
    alpha = generator.standard_normal((images, 3))
    return EpochDraws(order, sides, place, mirrored, alpha, generator.random(images))


def random_weights(shapes: Shapes, init: str, seed: int) -> dict[str, Tensor]:
    """First weights: normal, layer after layer from one generator of the seed; biases are 0 (PAPER 3.1, CHOICE 1)."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        if name.endswith(".bias"):
            weights[name] = torch.zeros(shape)
            continue
        taps = math.prod(shape[2:])
        fan_in, fan_out = shape[1] * taps, shape[0] * taps
        deviation = {"glorot": math.sqrt(2 / (fan_in + fan_out)), "he": math.sqrt(2 / fan_in)}.get(init)
        weights[name] = torch.randn(shape, generator=generator) * (deviation or float(init.removeprefix("normal-")))
    return weights


def kept_units(seed: int, step: int, images: int, units: int, dropout: float) -> Tensor:
    """PAPER 3.1: [images, 2, units], 0 for a unit that dropout leaves out in a step (from 0), else 1 / (1 - p)."""
    generator = torch.Generator().manual_seed(seed * 1_000_000_007 + step)
    return (torch.rand(images, 2, units, generator=generator) >= dropout).float() / (1 - dropout)
