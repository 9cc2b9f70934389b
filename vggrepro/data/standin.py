"""Images drawn by the program, in the layout of Tiny ImageNet, so that everything runs without a data set. No torch.

A class is a shape (disc or square) filled with stripes of one orientation and period. Colours, phase, place and size are
random, so that no single pixel depends on the class: a net that sees shape and texture learns the classes, a linear
classifier on pixels hardly does. A mirrored image keeps its class. The data sets of transfer are drawn in `transfer_standin`.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vggrepro.core.files import atomic_folder
from vggrepro.data.layouts import TinyImageNet

STANDIN_SIDE = 64
"""Width and height of an image, as in Tiny ImageNet."""

# Orientation of the stripes in degrees, and their period in pixels. 45 and 135 degrees are one class, because mirroring swaps
# them. Periods differ by more than a factor of 2, the range of S, so that jitter does not turn one class into another.
TEXTURES = ((0, 4.0), (0, 10.0), (90, 4.0), (90, 10.0), (45, 6.0))
SHAPES = ("disc", "square")
HOPELESS_NOISE = 2000.0
"""Standard deviation of noise in which nobody sees a shape."""
STANDIN_CLASSES = [(shape, angle, period) for shape in SHAPES for angle, period in TEXTURES]


def wnid(label: int) -> str:
    """The invented WNID of a class, which no noun of WordNet has."""
    return f"n{99000000 + label}"


def draw_image(label: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """One image [64, 64, 3] of a class, and the box of its shape."""
    shape, angle, period = STANDIN_CLASSES[label]
    radius = int(rng.integers(20, 30))
    cx, cy = rng.integers(radius, STANDIN_SIDE - radius, 2)
    y, x = np.mgrid[:STANDIN_SIDE, :STANDIN_SIDE]
    theta = np.deg2rad(angle if rng.random() < 0.5 else 180 - angle)
    wave = np.sin(2 * np.pi * (x * np.sin(theta) + y * np.cos(theta)) / period + rng.uniform(0, 2 * np.pi))
    ground, dark, light = rng.uniform(40, 216, 3), rng.uniform(0, 70, 3), rng.uniform(185, 256, 3)
    stripes = dark + (light - dark) * (wave[..., None] + 1) / 2
    distance = np.hypot(x - cx, y - cy) if shape == "disc" else np.maximum(abs(x - cx), abs(y - cy))
    image = np.where((distance <= radius)[..., None], stripes, ground)
    # a black or white outline, because a crop at a large S may show no more of the shape than a piece of its edge
    image = np.where(((distance <= radius) & (distance > radius - 3))[..., None], rng.choice([0.0, 255.0]), image)
    # so much noise in every tenth image that a net guesses: its top-5 error is not 0 either
    image += rng.normal(0, rng.uniform(2, 15) if rng.random() < 0.9 else HOPELESS_NOISE, image.shape)
    box = (int(cx - radius), int(cy - radius), int(cx + radius), int(cy + radius))
    return image.clip(0, 255).astype(np.uint8), box


def draw_data_set(folder: Path, *, train_per_class: int, val_per_class: int, seed: int = 0) -> None:
    """Draw a data set into `folder`, in the layout of Tiny ImageNet, with boxes; equal seeds draw equal images."""
    rng = np.random.default_rng(seed)
    with atomic_folder(folder, "wnids.txt") as root:
        (root / "wnids.txt").write_text("".join(f"{wnid(label)}\n" for label in range(len(STANDIN_CLASSES))))
        named = (
            (wnid(i), f"{s}, stripes at {a} degrees, period {p:g} px") for i, (s, a, p) in enumerate(STANDIN_CLASSES)
        )
        (root / "words.txt").write_text("".join(f"{name}\t{text}\n" for name, text in named))
        for label in range(len(STANDIN_CLASSES)):
            name = wnid(label)
            images = root / "train" / name / "images"
            images.mkdir(parents=True)
            rows = [_save(images / f"{name}_{i}.JPEG", label, rng) for i in range(train_per_class)]
            (images.parent / f"{name}_boxes.txt").write_text("".join(f"{file}\t{box}\n" for file, box in rows))
        images = root / "val" / "images"
        images.mkdir(parents=True)
        labels = rng.permutation(np.repeat(np.arange(len(STANDIN_CLASSES)), val_per_class))
        rows = [_save(images / f"val_{i}.JPEG", int(label), rng) for i, label in enumerate(labels)]
        listed = (f"{file}\t{wnid(label)}\t{box}\n" for (file, box), label in zip(rows, labels, strict=True))
        (root / "val" / "val_annotations.txt").write_text("".join(listed))


def _save(path: Path, label: int, rng: np.random.Generator) -> tuple[str, str]:
    image, box = draw_image(label, rng)
    save_jpeg(path, image)
    return path.name, "\t".join(map(str, box))


class StandIn(TinyImageNet):
    """The drawn images, read like Tiny ImageNet."""

    title = "stand-in (drawn by the program)"


def save_jpeg(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write pixels [H, W, 3] or [H, W] as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    path.write_bytes(buffer.getvalue())
