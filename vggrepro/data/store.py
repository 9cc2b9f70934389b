"""The prepared store: a split of a data set in one flat file with an index, read by memory map.

images.bin     the images one after another: decoded pixels (H x W x 3 bytes), or the files as they came
index.npy      per image: offset, length, height, width, label
ids.txt        per image: its id, one a line
boxes.npy      [M, 5]: number of the image, xmin, ymin, xmax, ymax (0-based, inclusive)
store.json     encoding, classes, colour statistics (of the training set), blacklisted images, digest of all the above
"""

from __future__ import annotations

import copy
import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vggrepro.data.annotations import Box
from vggrepro.data.layouts import Item, Layout
from vggrepro.files import atomic_folder, read_json, write_json
from vggrepro.flow import Complaints, ahead, progress

Encoding = Literal["pixels", "files"]
INDEX = np.dtype([("offset", "<u8"), ("length", "<u8"), ("height", "<i4"), ("width", "<i4"), ("label", "<i4")])


def decode(data: bytes, name: str) -> NDArray[np.uint8]:
    """An image file as RGB pixels [H, W, 3]; EXIF orientation is ignored. A ValueError names a file that is damaged."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # PIL raises OSError, SyntaxError, ValueError, struct.error ... for damaged files
        raise ValueError(f"{name} is no image that can be decoded: {error}. Replace the file or leave it out") from None


@dataclass(frozen=True)
class Colours:
    """Colour statistics of a training set."""

    mean: tuple[float, float, float]
    """Mean R, G, B, 0-255: the only preprocessing (PAPER 2.1)."""
    eigenvalues: tuple[float, float, float]
    """Of the covariance of RGB in [0, 1], descending: the scale in which the PCA constants are usually printed."""
    eigenvectors: tuple[tuple[float, float, float], ...]
    """In columns; rows are R, G, B."""

    @classmethod
    def of(cls, count: float, total: NDArray[np.float64], products: NDArray[np.float64]) -> Colours:
        """From the number of pixels, the sum of RGB [3] and the sum of its outer products [3, 3], 0-255."""
        mean = total / count
        values, vectors = np.linalg.eigh((products / count - np.outer(mean, mean)) / 255**2)
        vectors = vectors[:, ::-1] * np.where(vectors[0, ::-1] > 0, -1, 1)  # the sign is free: first row negative
        return cls(_triple(mean), _triple(values[::-1].clip(0)), tuple(_triple(row) for row in vectors))


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    r, g, b = (float(value) for value in values)
    return r, g, b


@dataclass(frozen=True)
class _Sums:
    """Sums for `Colours`, in whole numbers: the order of images changes nothing."""

    count: int = 0
    total: NDArray[np.int64] | int = 0
    products: NDArray[np.int64] | int = 0

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> _Sums:
        # float64 holds these sums exactly for any image under 10^11 pixels, and multiplies with BLAS
        pixels = image.reshape(-1, 3).astype(np.float64)
        return cls(len(pixels), pixels.sum(0).astype(np.int64), (pixels.T @ pixels).astype(np.int64))

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.count + other.count, self.total + other.total, self.products + other.products)

    def colours(self) -> Colours:
        return Colours.of(self.count, np.asarray(self.total, np.float64), np.asarray(self.products, np.float64))


def write(
    folder: Path,
    layout: Layout,
    items: list[Item],
    *,
    classes: int | None = None,
    encoding: Encoding = "pixels",
    training: bool = False,
    workers: int = 1,
    about: str = "",
) -> None:
    """Prepare `items`: every image is decoded, so that a damaged one stops here and not in the middle of a training.

    Nothing is left at `folder` unless all went well. A training set gets its colour statistics; a box of its images that
    is no box, or was drawn on an image of another size, is left out, and one that reaches over the image's edge is cut
    there, with a message: ILSVRC's own have such. Boxes that others are judged by stay as they are, or are a ValueError.
    """
    if twice := [name for name, n in Counter(item.id for item in items).items() if n > 1]:
        raise ValueError(f"{layout.files.path}: {len(twice)} images are there more than once, the first is {twice[0]}")
    sums, hasher, index = _Sums(), hashlib.sha256(), np.zeros(len(items), INDEX)
    boxes: list[tuple[int, ...]] = []
    complaints = Complaints()
    with atomic_folder(folder, "store.json") as root:
        with (root / "images.bin").open("wb") as file:
            read = ahead(partial(_read, layout, training), items, workers=workers, waiting=4 * workers)
            for i, (data, image, found) in enumerate(progress(read, total=len(items), about=about, unit="image")):
                data = image.tobytes() if encoding == "pixels" else data
                index[i] = file.tell(), len(data), *image.shape[:2], items[i].label
                file.write(data)
                hasher.update(data)
                sums = sums + found
                where = f"{layout.files.path}: {items[i].name}"
                usable = _usable(items[i], image.shape[:2], where, None if not training else complaints)
                boxes += [(i, *box) for box in usable]
        complaints.end()
        true_boxes = np.array(boxes, np.int32).reshape(-1, 5)
        blacklisted = [item.id for item in items if item.blacklisted]
        np.save(root / "index.npy", index)
        np.save(root / "boxes.npy", true_boxes)
        ids = "".join(f"{item.id}\n" for item in items)
        (root / "ids.txt").write_text(ids, encoding="utf-8")
        for part in (index.tobytes(), true_boxes.tobytes(), ids.encode(), "\n".join(blacklisted).encode()):
            hasher.update(part)
        wnids = layout.wnids[:classes]
        write_json(
            root / "store.json",
            {
                "data set": layout.title,
                "encoding": encoding,
                "images": len(items),
                "wnids": wnids,
                "words": {wnid: layout.words[wnid] for wnid in wnids if wnid in layout.words},
                "colours": vars(sums.colours()) if training else None,
                "blacklisted": blacklisted,
                "digest": hasher.hexdigest(),
            },
        )


def _usable(item: Item, size: tuple[int, int], where: str, complaints: Complaints | None) -> list[Box]:
    """The boxes of an image [height, width] that are boxes in it; without `complaints`, all or a ValueError. See `write`."""
    (height, width), kept = size, []
    for box in item.boxes:
        x0, y0, x1, y1 = box
        cut = max(x0, 0), max(y0, 0), min(x1, width - 1), min(y1, height - 1)
        said = f"{where}: {box} is no box in an image of {width} x {height} px"
        if item.annotated and item.annotated != size:
            drawn_on = "{1} x {0} px".format(*item.annotated)
            said = f"{where}: {box} was drawn on an image of {drawn_on}, this has {width} x {height}"
        elif cut[0] <= cut[2] and cut[1] <= cut[3]:
            if complaints and cut != box:
                complaints.add(f"{where}: {box} reaches out of an image of {width} x {height} px: cut at its edge")
            kept.append(cut if complaints else box)
            continue
        if complaints is None:
            raise ValueError(f"{said}: correct its annotation")
        complaints.add(f"{said}: left out")
    return kept


def _read(layout: Layout, colours: bool, item: Item) -> tuple[bytes, NDArray[np.uint8], _Sums]:
    """A file, its pixels and their sums. In a thread: PIL and numpy let go of the interpreter lock."""
    data = layout.files.read(item.name)
    image = decode(data, f"{layout.files.path}: {item.name}")
    return data, image, _Sums.of(image) if colours else _Sums()


def count_boxes(folder: Path) -> int:
    """How many boxes a prepared store has; a ValueError where it is damaged."""
    try:
        return len(np.load(folder / "boxes.npy", mmap_mode="r"))
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{folder}: damaged store ({error}): delete the folder and prepare it again") from None


class Store:
    """A prepared split, open for reading. Safe to read from many threads."""

    def __init__(self, folder: Path) -> None:
        """Open a store; a ValueError that names the file where it is missing or cut short."""
        self.folder = folder
        self.about: dict[str, Any] = read_json(
            folder / "store.json", keys=("wnids", "images", "encoding", "blacklisted", "digest")
        )
        try:
            self.index: NDArray[np.void] = np.load(folder / "index.npy")
            self.labels: NDArray[np.int64] = self.index["label"].astype(np.int64)
            self.ids = (folder / "ids.txt").read_text(encoding="utf-8").splitlines()
            self._boxes: NDArray[np.int32] = np.load(folder / "boxes.npy")
        except (OSError, ValueError, EOFError, IndexError) as error:
            raise ValueError(f"{folder}: damaged store ({error}): delete the folder and prepare it again") from None
        self.classes = len(self.about["wnids"])
        self._first_box = np.searchsorted(self._boxes[:, 0], np.arange(len(self.index) + 1))
        if not len(self.index) == len(self.ids) == self.about["images"]:
            raise ValueError(
                f"{folder}: {len(self.ids)} ids, {len(self.index)} images: delete the folder, prepare it again"
            )
        images = folder / "images.bin"
        expected = int(self.index["length"].sum())
        if images.stat().st_size != expected:
            raise ValueError(f"{images}: expected {expected} bytes, got {images.stat().st_size}: prepare it again")
        self._bytes = np.memmap(images, np.uint8, mode="r")

    def part(self, which: slice) -> Store:
        """The store of some of the images, in their order."""
        found, chosen = copy.copy(self), np.arange(len(self))[which]
        found.index, found.labels, found.ids = self.index[which], self.labels[which], self.ids[which]
        boxes = self._boxes[np.isin(self._boxes[:, 0], chosen)]
        found._boxes = np.column_stack([np.searchsorted(chosen, boxes[:, 0]), boxes[:, 1:]]).astype(np.int32)
        found._first_box = np.searchsorted(found._boxes[:, 0], np.arange(len(chosen) + 1))
        return found

    def __len__(self) -> int:
        return len(self.index)

    @property
    def digest(self) -> str:
        """SHA-256 of images, index, boxes and ids."""
        return str(self.about["digest"])

    @property
    def colours(self) -> Colours:
        """The colour statistics; only the store of a training set has them."""
        found = self.about["colours"]
        if found is None:
            raise ValueError(f"{self.folder}: not a training set: it has no colour statistics")
        return Colours(tuple(found["mean"]), tuple(found["eigenvalues"]), tuple(map(tuple, found["eigenvectors"])))

    def boxes(self, i: int) -> NDArray[np.int32]:
        """The true boxes [T, 4] of image `i`; none in an image that was not annotated."""
        return self._boxes[self._first_box[i] : self._first_box[i + 1], 1:]

    @property
    def truth(self) -> NDArray[np.int32]:
        """[M, 5]: number of the image and true box, of all true boxes."""
        return self._boxes

    @property
    def annotated(self) -> NDArray[np.bool_]:
        """[N]: whether an image has a box."""
        return np.diff(self._first_box) > 0

    @property
    def blacklisted(self) -> NDArray[np.bool_]:
        """[N]: whether an image is left out of the localisation error (ILSVRC's blacklist)."""
        return np.isin(self.ids, self.about["blacklisted"])

    def size(self, i: int) -> tuple[int, int]:
        """Height and width of image `i`."""
        return int(self.index[i]["height"]), int(self.index[i]["width"])

    @property
    def sizes(self) -> NDArray[np.int64]:
        """[N, 2]: height and width of the original images."""
        return np.stack([self.index["height"], self.index["width"]], 1).astype(np.int64)

    def image(self, i: int) -> NDArray[np.uint8]:
        """The pixels [H, W, 3] of image `i`, in its original size."""
        row = self.index[i]
        data = self._bytes[int(row["offset"]) : int(row["offset"]) + int(row["length"])]
        if self.about["encoding"] == "pixels":
            return data.reshape(int(row["height"]), int(row["width"]), 3)
        return decode(data.tobytes(), f"{self.folder}: {self.ids[i]}")
