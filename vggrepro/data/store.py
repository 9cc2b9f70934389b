"""The prepared store: a split of a data set in one flat file with an index, read through a memory map. No torch.

images.bin     the images one after another: decoded pixels (H x W x 3 bytes), or the original files
index.npy      per image: offset, length, height, width, label
ids.txt        per image: its id on a line
boxes.npy      [M, 5]: number of the image, xmin, ymin, xmax, ymax (0-based, inclusive)
sums.npy       [N]: checksum of each image's bytes, which is compared whenever the image is read
store.json     encoding, classes, colour statistics (of a training set), blacklisted images, digest of all the above, and the
               smallest side of rescaled images
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL.Image import Image

from vggrepro.core.arrays import read_array, read_ids
from vggrepro.core.checksums import CHECKSUMS, data_checksum
from vggrepro.core.records import StoreRecord, typed_record
from vggrepro.data.colours import Colours
from vggrepro.data.images import open_image, too_large
from vggrepro.data.transforms import rescaled_size, rescaled_sizes

Encoding = Literal["pixels", "files", "jpeg"]
INDEX = np.dtype([("offset", "<u8"), ("length", "<u8"), ("height", "<i4"), ("width", "<i4"), ("label", "<i4")])
IMAGES = "images.bin"
SUMS = "sums.npy"
PREPARE_AGAIN = "prepare the store again"
"""What to do about a damaged store."""


def decode_jpeg(data: bytes | memoryview, room: NDArray[np.uint8] | None = None) -> NDArray[np.uint8] | None:
    """The pixels of most JPEGs, see `decode`; None for those, and for all other data, about which PIL has to decide.

    They lie in `room` if it is given and large enough: then the next call may write over them. libjpeg-turbo gives the same
    pixels as PIL in two thirds of the time, and releases the interpreter's lock.
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in ("YCbCr", "RGB", "Gray") or too_large(data, width * height):
            return None
        buffer = room if room is not None and room.size >= 3 * width * height else None
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", buffer=buffer)
    except ValueError:
        return None  # no JPEG, or a flawed one
    return pixels


def decode(data: bytes | memoryview, name: str) -> NDArray[np.uint8]:
    """An image file as RGB pixels [H, W, 3], equal to PIL's `convert("RGB")`; EXIF orientation and ICC profiles are ignored.

    Grey becomes three equal channels, a palette its colours, CMYK the light that its ink leaves; transparency is left out, so
    that the colour below it shows; of an animation, the first frame is read. Of 16 bits a channel, colours keep their upper 8;
    grey is divided by 257, where PIL would cut it off at 255. White stays white. Raises ValueError that names (`name`) a
    damaged file, one of more pixels than `limits.PIXELS`, and one of 32 bits, whose white nobody knows.
    """
    pixels = decode_jpeg(data)
    if pixels is not None:
        return pixels
    try:
        with open_image(data) as image:
            return _as_rgb(image)
    except Exception as error:  # PIL raises OSError, SyntaxError, ValueError, struct.error ... for damaged files
        raise ValueError(f"{name} cannot be decoded as an image: {error}. Replace the file or leave it out") from None


def _as_rgb(image: Image) -> NDArray[np.uint8]:
    if image.mode in ("I", "F"):
        raise ValueError(
            f"its numbers are of 32 bits (mode {image.mode}), and nobody says which is white: write 8 or 16 bits"
        )
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image).astype(np.uint32) * 2 + 257) // 514
        return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)
    return np.asarray(image.convert("RGB"))


def count_boxes(folder: Path) -> int:
    """The number of boxes in a prepared store; a ValueError where it is damaged."""
    return len(read_array(folder / "boxes.npy", np.int32, (None, 5), PREPARE_AGAIN))


class Store:
    """A prepared split, open for reading. Safe to read from many threads."""

    def __init__(self, folder: Path) -> None:
        """Open a store; a ValueError that names a file that is missing, damaged, or cut short."""
        self.folder = folder
        self.about: dict[str, Any] = typed_record(
            folder / "store.json",
            ("wnids", "images", "encoding", "blacklisted", "digest", "colours"),
            kind=StoreRecord,
            again=PREPARE_AGAIN,
        )
        self.ids = list(read_ids(folder / "ids.txt", PREPARE_AGAIN))
        self.index: NDArray[np.void] = read_array(folder / "index.npy", INDEX, (self.about["images"],), PREPARE_AGAIN)
        self.labels: NDArray[np.int64] = self.index["label"].astype(np.int64)
        self._boxes: NDArray[np.int32] = read_array(folder / "boxes.npy", np.int32, (None, 5), PREPARE_AGAIN)
        self.classes = len(self.about["wnids"])
        self._first_box = np.searchsorted(self._boxes[:, 0], np.arange(len(self.index) + 1))
        if len(self.ids) != len(self.index):
            raise ValueError(
                f"{folder}: {len(self.ids)} ids, {len(self.index)} images: delete the folder and {PREPARE_AGAIN}"
            )
        images = folder / IMAGES
        # an older version wrote no checksums
        self._sums: NDArray[np.uint64] | None = None
        if (folder / SUMS).exists() or (folder / CHECKSUMS).exists():
            self._sums = read_array(folder / SUMS, np.uint64, (self.about["images"],), PREPARE_AGAIN)
        expected = int(self.index["length"].sum())
        if images.stat().st_size != expected:
            raise ValueError(
                f"{images}: expected {expected} bytes, got {images.stat().st_size}: delete {folder} and {PREPARE_AGAIN}"
            )
        # not through a memory map: a file that is cut while it is mapped kills the process (SIGBUS)
        self._images = images.open("rb", buffering=0)

    def part(self, which: slice) -> Store:
        """A store of the images in a slice, in their order."""
        store, chosen = copy.copy(self), np.arange(len(self))[which]
        store.index, store.labels, store.ids = self.index[which], self.labels[which], self.ids[which]
        store._sums = None if self._sums is None else self._sums[which]
        boxes = self._boxes[np.isin(self._boxes[:, 0], chosen)]
        store._boxes = np.column_stack([np.searchsorted(chosen, boxes[:, 0]), boxes[:, 1:]]).astype(np.int32)
        store._first_box = np.searchsorted(store._boxes[:, 0], np.arange(len(chosen) + 1))
        return store

    def __len__(self) -> int:
        return len(self.index)

    @property
    def smallest(self) -> int | None:
        """The smallest side of the stored images in pixels, where they are rescaled; None for originals."""
        smallest: int | None = self.about.get("smallest")
        return smallest

    @property
    def digest(self) -> str:
        """SHA-256 of images, index, boxes and ids."""
        return str(self.about["digest"])

    @property
    def colours(self) -> Colours:
        """The colour statistics; a ValueError for a store that is not of a training set."""
        colours = self.about["colours"]
        if colours is None:
            raise ValueError(f"{self.folder}: no colour statistics: expected the store of a training set")
        return Colours(
            tuple(colours["mean"]), tuple(colours["eigenvalues"]), tuple(map(tuple, colours["eigenvectors"]))
        )

    def boxes(self, i: int) -> NDArray[np.int32]:
        """The true boxes [T, 4] of image `i`; T is 0 for an image that was not annotated."""
        return self._boxes[self._first_box[i] : self._first_box[i + 1], 1:]

    @property
    def truth(self) -> NDArray[np.int32]:
        """[M, 5]: number of the image, and box, of all true boxes."""
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

    @property
    def keeps_pixels(self) -> bool:
        """Whether decoded pixels are stored, not files."""
        return bool(self.about["encoding"] == "pixels")

    def stored_sizes(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """[B, 2]: height and width of some images as they are stored: in their original size, or rescaled."""
        index = self.index[numbers]
        sizes = np.stack([index["height"], index["width"]], 1).astype(np.int64)
        return rescaled_sizes(sizes, self.smallest) if self.smallest else sizes

    @property
    def descriptor(self) -> int:
        """The open file of all images, for reading at a position."""
        return self._images.fileno()

    def places(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in that file the bytes of some images begin, and how many they are: [B], [B]."""
        index = self.index[numbers]
        return index["offset"].astype(np.int64), index["length"].astype(np.int64)

    def checksums(self, numbers: NDArray[np.int64]) -> NDArray[np.uint64] | None:
        """The checksums [B] of the bytes of some images; None in a store of a version that wrote none."""
        return None if self._sums is None else self._sums[numbers]

    def image(self, i: int) -> NDArray[np.uint8]:
        """The pixels [H, W, 3] of image `i`, in its original size, or rescaled to the `smallest` side.

        Raises ValueError where its bytes are not those that were written.
        """
        size, data = self.size(i), self.data(i)
        if self.keeps_pixels:
            return data.reshape(*(rescaled_size(*size, self.smallest) if self.smallest else size), 3)
        return decode(data.data, f"{self.folder}: {self.ids[i]}")

    def data(self, i: int) -> NDArray[np.uint8]:
        """The stored bytes of image `i`; a ValueError where they are not those that were written."""
        row = self.index[i]
        data = np.frombuffer(os.pread(self.descriptor, int(row["length"]), int(row["offset"])), np.uint8)
        if len(data) < row["length"]:
            raise ValueError(
                f"{self.folder / IMAGES}: was cut short while it was read, at {self.ids[i]}: delete {self.folder} and "
                f"{PREPARE_AGAIN}"
            )
        if self._sums is not None and data_checksum(data.data) != self._sums[i]:
            raise ValueError(
                f"{self.folder / IMAGES}: damaged (the bytes of {self.ids[i]} are not those that {SUMS} has the checksum of): "
                f"delete {self.folder} and {PREPARE_AGAIN}"
            )
        return data
