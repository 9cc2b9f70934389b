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

from vggrepro.core.files import atomic_folder
from vggrepro.data.layouts import TinyImageNet

STANDIN_SIDE = 64
"""Width and height of an image, as in Tiny ImageNet."""

# Orientation of the stripes in degrees and their period in pixels. 45 and 135 degrees mirror each other: one class.
# Periods differ by more than the factor of 2 between S = 256 and 512, so that jitter does not turn one class into another.
TEXTURES = ((0, 4.0), (0, 10.0), (90, 4.0), (90, 10.0), (45, 6.0))
SHAPES = ("disc", "square")
STANDIN_CLASSES = [(shape, angle, period) for shape in SHAPES for angle, period in TEXTURES]


def wnid(label: int) -> str:
    """The made-up WNID of a class; no noun of WordNet has it."""
    return f"n{99000000 + label}"


def draw(label: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """One image [64, 64, 3] of a class, and the box of its shape."""
    shape, angle, period = STANDIN_CLASSES[label]
    radius = int(rng.integers(14, 25))
    cx, cy = rng.integers(radius, STANDIN_SIDE - radius, 2)
    y, x = np.mgrid[:STANDIN_SIDE, :STANDIN_SIDE]
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


def draw_data_set(folder: Path, *, train_per_class: int, val_per_class: int, seed: int = 0) -> None:
    """Draw a data set into `folder`, in the very layout of Tiny ImageNet, boxes included. The same seed draws the same."""
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
    image, box = draw(label, rng)
    _save_jpeg(path, image)
    return path.name, "\t".join(map(str, box))


class StandIn(TinyImageNet):
    """The drawn images, read as the Tiny ImageNet that they imitate."""

    title = "stand-in (drawn by the program)"


# Small data sets of transfer, in the layouts of VOC and Caltech

VOC_PART_SIZES = {"train": 24, "val": 16, "test": 24}
"""Images of each part of a VOC stand-in; half as many again show persons who do something."""
VOC_CLASSES = {"disc": 0, "ring": 3, "square": 6, "tile": 9}
"""Classes of a VOC stand-in, and the shapes that are drawn for them."""
ACTIONS = {"jumping": 1, "reading": 4, "other": 7}


def _faint(label: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """A shape under so much noise that the net, which knows such shapes, does not know them all."""
    image, box = draw(label, rng)
    noise = rng.normal(0, rng.uniform(80, 300), image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8), box


def _pair(labels: list[int], rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[tuple[int, int, int, int]]]:
    """Two shapes beside each other, and their boxes."""
    halves = [_faint(label, rng) for label in labels]
    boxes = [(x0 + STANDIN_SIDE * k, y0, x1 + STANDIN_SIDE * k, y1) for k, (_, (x0, y0, x1, y1)) in enumerate(halves)]
    return np.concatenate([image for image, _ in halves], 1), boxes


def _object(name: str, box: tuple[int, int, int, int], *, difficult: bool = False, action: str = "") -> str:
    sides = "".join(f"<{s}>{v + 1}</{s}>" for s, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    did = "".join(f"<{a}>{int(a == action)}</{a}>" for a in ACTIONS)
    told = f"<actions>{did}</actions>" if action else ""
    return f"<object><name>{name}</name><difficult>{int(difficult)}</difficult><bndbox>{sides}</bndbox>{told}</object>"


def write_voc(folder: Path, year: str, *, seed: int = 0) -> None:
    """Draw a small VOC of a year below `VOCdevkit/VOC<year>`: two objects an image, some difficult; actions in 2012.

    As in the real ones the labels of VOC-2012's test part are withheld, but for the boxes of its persons.
    """
    rng = np.random.default_rng([seed, int(year)])
    with atomic_folder(folder, "VOCdevkit") as whole:
        root = whole / "VOCdevkit" / f"VOC{year}"
        for name in ("JPEGImages", "Annotations", "ImageSets/Main", "ImageSets/Action"):
            (root / name).mkdir(parents=True)
        for part, count in VOC_PART_SIZES.items():
            withheld = year == "2012" and part == "test"
            _write_main(root, part, [f"{year}_{part}{i:03d}" for i in range(count)], rng, withheld=withheld)
            if year == "2012":
                _write_actions(root, part, [f"{year}_{part}{i:03d}a" for i in range(count // 2)], rng)


def _write_main(root: Path, part: str, ids: list[str], rng: np.random.Generator, *, withheld: bool) -> None:
    names = list(VOC_CLASSES)
    labels = np.full((len(ids), len(names)), -1)
    for row, image in zip(labels, ids, strict=True):
        chosen = rng.integers(0, len(names), 2)
        difficult = [False, bool(rng.random() < 0.2)]
        pixels, boxes = _pair([VOC_CLASSES[names[c]] for c in chosen], rng)
        _save_jpeg(root / "JPEGImages" / f"{image}.jpg", pixels)
        for c, hard in zip(chosen, difficult, strict=True):
            row[c] = max(row[c], 0 if hard else 1)
        found = zip(chosen, boxes, difficult, strict=True)
        objects = "".join(_object(names[c], box, difficult=hard) for c, box, hard in found)
        if not withheld:
            (root / "Annotations" / f"{image}.xml").write_text(f"<annotation>{objects}</annotation>")
    lists = root / "ImageSets" / "Main"
    (lists / f"{part}.txt").write_text("".join(f"{image}\n" for image in ids))
    for c, name in enumerate(names):
        if not withheld:
            rows = (f"{image} {label:2d}\n" for image, label in zip(ids, labels[:, c], strict=True))
            (lists / f"{name}_{part}.txt").write_text("".join(rows))


def _write_actions(root: Path, part: str, ids: list[str], rng: np.random.Generator) -> None:
    names, lists = list(ACTIONS), root / "ImageSets" / "Action"
    people = []
    for image in ids:
        doing = [names[c] for c in rng.integers(0, len(names), 2)]
        pixels, boxes = _pair([ACTIONS[name] for name in doing], rng)
        _save_jpeg(root / "JPEGImages" / f"{image}.jpg", pixels)
        told = [""] * 2 if part == "test" else doing
        objects = [_object("person", box, action=action) for action, box in zip(told, boxes, strict=True)]
        (root / "Annotations" / f"{image}.xml").write_text(f"<annotation>{''.join(objects)}</annotation>")
        people += [(image, number, action) for number, action in enumerate(doing, start=1)]
    (lists / f"{part}.txt").write_text("".join(f"{image}\n" for image in ids))
    for name in names:
        if part != "test":
            rows = (f"{image}  {number} {1 if action == name else -1:2d}\n" for image, number, action in people)
            (lists / f"{name}_{part}.txt").write_text("".join(rows))


def write_caltech(folder: Path, size: str, *, per_class: int, seed: int = 0) -> None:
    """Draw a small Caltech-101 or -256 below `<size>_ObjectCategories`: five classes and the background one."""
    rng = np.random.default_rng([seed, int(size)])
    classes: list[tuple[str, int | None]] = [(f"shape{label}", label) for label in (0, 2, 4, 6, 8)]
    if size == "256":
        classes = [(f"{number:03d}.{name}", label) for number, (name, label) in enumerate(classes, start=1)]
    classes.append(("BACKGROUND_Google" if size == "101" else "257.clutter", None))
    with atomic_folder(folder, f"{size}_ObjectCategories") as whole:
        for number, (name, label) in enumerate(classes, start=1):
            images = whole / f"{size}_ObjectCategories" / name
            images.mkdir(parents=True)
            for i in range(1, per_class + 1):
                file = f"image_{i:04d}.jpg" if size == "101" else f"{number:03d}_{i:04d}.jpg"
                pixels = (
                    rng.integers(0, 256, (STANDIN_SIDE, STANDIN_SIDE, 3), np.uint8)
                    if label is None
                    else _faint(label, rng)[0]
                )
                # some of Caltech's images are grey
                _save_jpeg(images / file, pixels if i % 7 else pixels.mean(2).astype(np.uint8))


def _save_jpeg(path: Path, pixels: NDArray[np.uint8]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    path.write_bytes(buffer.getvalue())
