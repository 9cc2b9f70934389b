"""Images drawn by the program, in the layout of Tiny ImageNet, so that everything runs where no data set is at hand.

A class is a shape (disc or square) filled with a grating of one orientation and period. Colours, phase, place and size
are random, so that no pixel says anything by itself: a net that sees shape and texture learns it, a linear classifier on
pixels hardly does. Mirroring an image keeps its class.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vggrepro.data.layouts import TinyImageNet
from vggrepro.files import atomic_folder

SIDE = 64
"""Width and height of an image, as in Tiny ImageNet."""

# Orientation of the stripes in degrees and their period in pixels. 45 and 135 degrees mirror each other: one class.
# Periods differ by more than the factor of 2 between S = 256 and 512, so that jitter does not turn one class into another.
TEXTURES = ((0, 4.0), (0, 10.0), (90, 4.0), (90, 10.0), (45, 6.0))
SHAPES = ("disc", "square")
CLASSES = [(shape, angle, period) for shape in SHAPES for angle, period in TEXTURES]


def wnid(label: int) -> str:
    """The made-up WNID of a class; no noun of WordNet has it."""
    return f"n{99000000 + label}"


def draw(label: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """One image [64, 64, 3] of a class, and the box of its shape."""
    shape, angle, period = CLASSES[label]
    radius = int(rng.integers(14, 25))
    cx, cy = rng.integers(radius, SIDE - radius, 2)
    y, x = np.mgrid[:SIDE, :SIDE]
    theta = np.deg2rad(angle if rng.random() < 0.5 else 180 - angle)
    wave = np.sin(2 * np.pi * (x * np.sin(theta) + y * np.cos(theta)) / period + rng.uniform(0, 2 * np.pi))
    ground, dark, light = rng.uniform(40, 216, 3), rng.uniform(0, 110, 3), rng.uniform(145, 256, 3)
    stripes = dark + (light - dark) * (wave[..., None] + 1) / 2
    distance = np.hypot(x - cx, y - cy) if shape == "disc" else np.maximum(abs(x - cx), abs(y - cy))
    image = np.where((distance <= radius)[..., None], stripes, ground)
    # an outline in black or white: the shape shows in every piece of its edge, as a crop at a large S has no more of it
    image = np.where(((distance <= radius) & (distance > radius - 3))[..., None], rng.choice([0.0, 255.0]), image)
    # from clean to hardly visible: no net is to get everything right
    image += rng.normal(0, rng.uniform(5, 70), image.shape)
    box = (int(cx - radius), int(cy - radius), int(cx + radius), int(cy + radius))
    return image.clip(0, 255).astype(np.uint8), box


def write(folder: Path, *, train_per_class: int, val_per_class: int, seed: int = 0) -> None:
    """Draw a data set into `folder`, in the very layout of Tiny ImageNet, boxes included. The same seed draws the same."""
    rng = np.random.default_rng(seed)
    with atomic_folder(folder, "wnids.txt") as root:
        (root / "wnids.txt").write_text("".join(f"{wnid(label)}\n" for label in range(len(CLASSES))))
        named = ((wnid(i), f"{s}, stripes at {a} degrees, period {p:g} px") for i, (s, a, p) in enumerate(CLASSES))
        (root / "words.txt").write_text("".join(f"{name}\t{text}\n" for name, text in named))
        for label in range(len(CLASSES)):
            name = wnid(label)
            images = root / "train" / name / "images"
            images.mkdir(parents=True)
            rows = [_save(images / f"{name}_{i}.JPEG", label, rng) for i in range(train_per_class)]
            (images.parent / f"{name}_boxes.txt").write_text("".join(f"{file}\t{box}\n" for file, box in rows))
        images = root / "val" / "images"
        images.mkdir(parents=True)
        labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), val_per_class))
        rows = [_save(images / f"val_{i}.JPEG", int(label), rng) for i, label in enumerate(labels)]
        listed = (f"{file}\t{wnid(label)}\t{box}\n" for (file, box), label in zip(rows, labels, strict=True))
        (root / "val" / "val_annotations.txt").write_text("".join(listed))


def _save(path: Path, label: int, rng: np.random.Generator) -> tuple[str, str]:
    image, box = draw(label, rng)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90)
    path.write_bytes(buffer.getvalue())
    return path.name, "\t".join(map(str, box))


class StandIn(TinyImageNet):
    """The drawn images, read as the Tiny ImageNet that they imitate."""

    title = "stand-in (drawn by the program)"
