"""Small data sets of transfer, drawn by the program in the layouts of PASCAL VOC and Caltech (appendix B). No torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.files import atomic_folder
from vggrepro.data.standin import STANDIN_SIDE, draw_image, save_jpeg

VOC_PART_SIZES = {"train": 24, "val": 16, "test": 24}
"""Images of each part of a VOC stand-in; VOC-2012 has half as many again, with persons who do something."""
VOC_CLASSES = {"disc": 0, "ring": 3, "square": 6, "tile": 9}
"""Classes of a VOC stand-in, and the shapes that are drawn for them."""
ACTIONS = {"jumping": 1, "reading": 4, "other": 7}
"""Actions of a VOC stand-in, and the shapes that are drawn for the persons."""


def _faint(label: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """A shape under so much noise that a net which was trained on such shapes does not recognise them all."""
    image, box = draw_image(label, rng)
    noise = rng.normal(0, rng.uniform(80, 300), image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8), box


def _pair(labels: list[int], rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[tuple[int, int, int, int]]]:
    """Two shapes beside each other, and their boxes."""
    halves = [_faint(label, rng) for label in labels]
    boxes = [(x0 + STANDIN_SIDE * k, y0, x1 + STANDIN_SIDE * k, y1) for k, (_, (x0, y0, x1, y1)) in enumerate(halves)]
    return np.concatenate([image for image, _ in halves], 1), boxes


def _object(name: str, box: tuple[int, int, int, int], *, difficult: bool = False, action: str = "") -> str:
    sides = "".join(f"<{s}>{v + 1}</{s}>" for s, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    flags = "".join(f"<{a}>{int(a == action)}</{a}>" for a in ACTIONS)
    actions = f"<actions>{flags}</actions>" if action else ""
    return (
        f"<object><name>{name}</name><difficult>{int(difficult)}</difficult><bndbox>{sides}</bndbox>{actions}</object>"
    )


def write_voc(folder: Path, year: str, *, seed: int = 0) -> None:
    """Draw a small VOC of a year below `VOCdevkit/VOC<year>`: two objects an image, some difficult; actions in 2012.

    As in the real VOC-2012, labels of the test part are withheld, except the boxes of its persons.
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
        save_jpeg(root / "JPEGImages" / f"{image}.jpg", pixels)
        for c, hard in zip(chosen, difficult, strict=True):
            row[c] = max(row[c], 0 if hard else 1)
        drawn = zip(chosen, boxes, difficult, strict=True)
        objects = "".join(_object(names[c], box, difficult=hard) for c, box, hard in drawn)
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
        save_jpeg(root / "JPEGImages" / f"{image}.jpg", pixels)
        published = [""] * 2 if part == "test" else doing
        objects = [_object("person", box, action=action) for action, box in zip(published, boxes, strict=True)]
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
                save_jpeg(images / file, pixels if i % 7 else pixels.mean(2).astype(np.uint8))
