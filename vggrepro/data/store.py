"""The prepared store: a split of a data set in one flat file with an index, read by memory map.

images.bin     the images one after another: decoded pixels (H x W x 3 bytes), or the files as they came
index.npy      per image: offset, length, height, width, label
ids.txt        per image: its id, one a line
boxes.npy      [M, 5]: number of the image, xmin, ymin, xmax, ymax (0-based, inclusive)
store.json     encoding, classes, colour statistics (of the training set), blacklisted images, digest of all the above, and
               the smallest side where the images are kept rescaled
"""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from vggrepro.core.arrays import read_array, read_ids
from vggrepro.core.files import read_json
from vggrepro.data.colours import Colours
from vggrepro.data.transforms import rescaled_size

# a file of the user's own is no decompression bomb: the largest images of ILSVRC are near PIL's limit
Image.MAX_IMAGE_PIXELS = 1_000_000_000

Encoding = Literal["pixels", "files", "jpeg"]
INDEX = np.dtype([("offset", "<u8"), ("length", "<u8"), ("height", "<i4"), ("width", "<i4"), ("label", "<i4")])
AGAIN = "prepare the store again"
"""What to do about a damaged store."""


def decode(data: bytes | memoryview, name: str) -> NDArray[np.uint8]:
    """An image file as RGB pixels [H, W, 3], always PIL's; EXIF orientation is ignored.

    A ValueError names a file that is damaged.
    """
    try:
        # libjpeg-turbo called directly: the same pixels in two thirds of the time, and other threads run meanwhile
        if simplejpeg.decode_jpeg_header(data)[2] in ("YCbCr", "RGB", "Gray"):
            found: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB")
            return found
    except ValueError:
        pass  # no JPEG, or one with a flaw: PIL decides
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # PIL raises OSError, SyntaxError, ValueError, struct.error ... for damaged files
        raise ValueError(f"{name} is no image that can be decoded: {error}. Replace the file or leave it out") from None


def count_boxes(folder: Path) -> int:
    """How many boxes a prepared store has; a ValueError where it is damaged."""
    return len(read_array(folder / "boxes.npy", np.int32, (None, 5), AGAIN))


class Store:
    """A prepared split, open for reading. Safe to read from many threads."""

    def __init__(self, folder: Path) -> None:
        """Open a store; a ValueError that names the file where it is missing or cut short."""
        self.folder = folder
        self.about: dict[str, Any] = read_json(
            folder / "store.json", keys=("wnids", "images", "encoding", "blacklisted", "digest")
        )
        self.ids = list(read_ids(folder / "ids.txt", AGAIN))
        self.index: NDArray[np.void] = read_array(folder / "index.npy", INDEX, (self.about["images"],), AGAIN)
        self.labels: NDArray[np.int64] = self.index["label"].astype(np.int64)
        self._boxes: NDArray[np.int32] = read_array(folder / "boxes.npy", np.int32, (None, 5), AGAIN)
        self.classes = len(self.about["wnids"])
        self._first_box = np.searchsorted(self._boxes[:, 0], np.arange(len(self.index) + 1))
        if len(self.ids) != len(self.index):
            raise ValueError(f"{folder}: {len(self.ids)} ids, {len(self.index)} images: delete the folder and {AGAIN}")
        images = folder / "images.bin"
        expected = int(self.index["length"].sum())
        if images.stat().st_size != expected:
            raise ValueError(f"{images}: expected {expected} bytes, got {images.stat().st_size}: prepare it again")
        # a plain array over the map: slicing a memmap object takes eight times as long
        self._bytes = np.asarray(np.memmap(images, np.uint8, mode="r"))

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
    def smallest(self) -> int | None:
        """The smallest side in pixels that the images are kept rescaled to, if they are."""
        found: int | None = self.about.get("smallest")
        return found

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
        """The pixels [H, W, 3] of image `i`, in its original size or rescaled to the `smallest` side."""
        row, size = self.index[i], self.size(i)
        data = self._bytes[int(row["offset"]) : int(row["offset"]) + int(row["length"])]
        if self.about["encoding"] == "pixels":
            return data.reshape(*(rescaled_size(*size, self.smallest) if self.smallest else size), 3)
        return decode(data.data, f"{self.folder}: {self.ids[i]}")
