"""From a data set as it lies on disk to the prepared stores of its two splits, and to stores of rescaled images."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vggrepro.core.progress import RepeatedWarnings
from vggrepro.data import standin, writer
from vggrepro.data.annotations import Box
from vggrepro.data.colours import Sums
from vggrepro.data.ilsvrc import open_ilsvrc
from vggrepro.data.layouts import SPLITS, Item, Layout, Split, TinyImageNet, select
from vggrepro.data.store import Encoding, Store, decode
from vggrepro.data.transforms import rescale, rescaled_sizes
from vggrepro.data.writer import StoredImage, StoreSource, free_bytes, gigabytes

LAYOUTS: dict[str, Callable[[Path], Layout]] = {"tiny-imagenet": TinyImageNet, "ilsvrc": open_ilsvrc}
SAMPLE = 200
"""Images that are looked at to estimate the size of a store."""
QUALITY = 95
"""Of the JPEGs in a store of rescaled images."""


@dataclass(frozen=True)
class StoreTask:
    """A store that is to be written, and how true its images will be."""

    folder: Path
    source: StoreSource
    exactness: str

    def run(self, workers: int) -> None:
        """Write it."""
        writer.write_store(self.folder, self.source, workers=workers, about=f"{self.source.name}: {self.folder.name}")

    def say(self) -> str:
        """What it will take, and what its images will be."""
        about = "" if self.source.exact else "about "
        return (
            f"{self.folder}: {len(self.source.ids):,} images, {about}{gigabytes(self.source.expected_bytes)} "
            f"({gigabytes(free_bytes(self.folder))} free). {self.exactness}"
        )


def _do(tasks: list[StoreTask], workers: int, dry_run: bool) -> None:
    for task in tasks:
        if dry_run:
            print(task.say())
        else:
            task.run(workers)


def prepare_stores(
    layout: str,
    path: Path | None,
    *,
    train_folder: Path | None,
    val_folder: Path | None,
    classes: int | None,
    per_class: tuple[int | None, int | None],
    encoding: Encoding,
    workers: int,
    dry_run: bool = False,
) -> None:
    """Write the stores of the splits that have a folder; that of training carries the colour statistics. Or say what that
    would take.

    A ValueError names the file where the data set is not what it should be, before anything is trained on it.
    """
    folders = {split: f for split, f in zip(SPLITS, (train_folder, val_folder), strict=True) if f is not None}
    if len({folder.resolve() for folder in folders.values()}) < max(len(folders), 1):
        raise ValueError(f"--train and --val: a store needs a folder of its own, got {train_folder} and {val_folder}")
    if layout == "stand-in":
        drawn = Path(tempfile.mkdtemp(prefix="stand-in-"))
        try:
            standin.draw_data_set(
                drawn / "images", train_per_class=per_class[0] or 200, val_per_class=per_class[1] or 40
            )
            found = standin.StandIn(drawn / "images")
            _do(_tasks(found, folders, classes, per_class, encoding), workers, dry_run)
        finally:
            shutil.rmtree(drawn)
        return
    if path is None or str(path) in ("", "."):
        raise ValueError(f"the layout {layout} needs --path: the folder or archive of the data set")
    _do(_tasks(LAYOUTS[layout](path), folders, classes, per_class, encoding), workers, dry_run)


def _tasks(
    layout: Layout,
    folders: dict[Split, Path],
    classes: int | None,
    per_class: tuple[int | None, int | None],
    encoding: Encoding,
) -> list[StoreTask]:
    # all lists are read and checked before the first image is decoded
    counts = dict(zip(SPLITS, per_class, strict=True))
    lists = {split: select(layout.items(split), classes, counts[split]) for split in folders}
    exactness = "Exact: " + ("decoded pixels" if encoding == "pixels" else "the files as they came")
    return [
        StoreTask(
            folders[split],
            original(layout, items, classes=classes, encoding=encoding, training=split == "train"),
            exactness,
        )
        for split, items in lists.items()
    ]


def original(
    layout: Layout,
    items: list[Item],
    *,
    classes: int | None = None,
    encoding: Encoding = "pixels",
    training: bool = False,
) -> StoreSource:
    """The images of a data set: every one is decoded, so that a damaged one stops here and not in the middle of a training.

    A training set gets its colour statistics; a box of its images that is no box, or was drawn on an image of another size,
    is left out, and one that reaches over the image's edge is cut there, with a message: ILSVRC's own have such. Boxes that
    others are judged by stay as they are, or are a ValueError.
    """
    wnids = layout.wnids[:classes]

    def read(i: int) -> StoredImage:
        data = layout.files.read(items[i].name)
        image = decode(data, f"{layout.files.path}: {items[i].name}")
        sums = Sums.of(image) if training else Sums()
        return StoredImage(image.tobytes() if encoding == "pixels" else data, (image.shape[0], image.shape[1]), sums)

    def boxes(sizes: NDArray[np.int64]) -> NDArray[np.int32]:
        warnings, found = RepeatedWarnings(), []
        for i, (item, size) in enumerate(zip(items, sizes.tolist(), strict=True)):
            where = f"{layout.files.path}: {item.name}"
            found += [(i, *box) for box in _usable(item, tuple(size), where, warnings if training else None)]
        warnings.end()
        return np.array(found, np.int32).reshape(-1, 5)

    about = {
        "data set": layout.title,
        "encoding": encoding,
        "wnids": wnids,
        "words": {wnid: layout.words[wnid] for wnid in wnids if wnid in layout.words},
        "colours": ... if training else None,
        "blacklisted": [item.id for item in items if item.blacklisted],
    }
    expected, exact = _bytes(layout, items, encoding)
    return StoreSource(
        name=str(layout.files.path) if layout.title != standin.StandIn.title else layout.title,
        identity=[str(layout.files.path.resolve()), encoding, training, wnids, [asdict(item) for item in items]],
        about=about,
        ids=[item.id for item in items],
        labels=[item.label for item in items],
        read=read,
        boxes=boxes,
        expected_bytes=expected,
        exact=exact,
    )


def _bytes(layout: Layout, items: list[Item], encoding: Encoding) -> tuple[int, bool]:
    """Bytes of the images in a store, and whether that is exact: files as they are, pixels from a sample of headers."""
    if encoding == "files":
        sizes = layout.files.sizes()
        return sum(sizes[item.name] for item in items), True
    chosen = items[:: max(1, len(items) // SAMPLE)]
    return round(len(items) * float(np.mean([_pixels(layout, item) for item in chosen])) * 3), len(chosen) == len(items)


def _pixels(layout: Layout, item: Item) -> int:
    data = layout.files.read(item.name)
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.width * image.height
    except Exception:
        return 0


def _usable(item: Item, size: tuple[int, int], where: str, warnings: RepeatedWarnings | None) -> list[Box]:
    """The boxes of an image [height, width] that are boxes in it; without `warnings`, all or a ValueError. See `write`."""
    (height, width), kept = size, []
    for box in item.boxes:
        x0, y0, x1, y1 = box
        cut = max(x0, 0), max(y0, 0), min(x1, width - 1), min(y1, height - 1)
        said = f"{where}: {box} is no box in an image of {width} x {height} px"
        if item.annotated and item.annotated != size:
            drawn_on = "{1} x {0} px".format(*item.annotated)
            said = f"{where}: {box} was drawn on an image of {drawn_on}, this has {width} x {height}"
        elif cut[0] <= cut[2] and cut[1] <= cut[3]:
            if warnings and cut != box:
                warnings.add(f"{where}: {box} reaches out of an image of {width} x {height} px: cut at its edge")
            kept.append(cut if warnings else box)
            continue
        if warnings is None:
            raise ValueError(f"{said}: correct its annotation")
        warnings.add(f"{said}: left out")
    return kept


def rescaled(store: Store, smallest: int, encoding: Encoding) -> tuple[StoreSource, str]:
    """The images of a store with smallest side `smallest` (section 3.1: S), and how true they are.

    Where S is fixed nothing but the crop's place and the mirroring is random, so that pixels kept are pixels seen. Sizes and
    boxes stay those of the original images.
    """
    if encoding not in ("pixels", "jpeg"):
        raise ValueError(f"rescaled images are kept as pixels or jpeg, got {encoding}")
    if store.smallest:
        raise ValueError(f"{store.folder}: is rescaled already: give the store of the originals")

    def read(i: int) -> StoredImage:
        image = rescale(store.image(i), smallest)
        return StoredImage(image.tobytes() if encoding == "pixels" else _jpeg(image), store.size(i), Sums())

    if encoding == "pixels":
        count, exact = 3 * int(rescaled_sizes(store.sizes, smallest).prod(1).sum()), True
        exactness = "Exact: the rescaled pixels that training crops are cut from"
    else:
        chosen = range(0, len(store), max(1, len(store) // SAMPLE))
        made = [(rescale(store.image(i), smallest), read(i).data) for i in chosen]
        count, exact = round(len(store) * float(np.mean([len(data) for _, data in made]))), False
        off = np.mean([np.abs(decode(data, "").astype(int) - image).mean() for image, data in made])
        exactness = f"Not exact: JPEG of quality {QUALITY} moves a pixel by {off:.1f} of 255 levels on average"
    kept = {name: value for name, value in store.about.items() if name not in ("images", "digest")}
    source = StoreSource(
        name=str(store.folder),
        identity=[store.digest, smallest, encoding],
        about=kept | {"encoding": encoding, "smallest": smallest, "of": store.digest},
        ids=store.ids,
        labels=store.labels.tolist(),
        read=read,
        boxes=lambda sizes: store.truth,
        expected_bytes=count,
        exact=exact,
    )
    return source, exactness


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    # decoding takes time by the byte. Colour at half resolution, as in the originals, and tables of its own halve the time
    # of colour at full resolution; of what halves it, it moves pixels least
    Image.fromarray(image).save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0", optimize=True)
    return buffer.getvalue()


def prepare_rescaled(
    folder: Path, smallest: int, encoding: Encoding, out: Path, *, workers: int, dry_run: bool = False
) -> None:
    """Write a store of the images of another, rescaled; or say what that would take."""
    source, exactness = rescaled(Store(folder), smallest, encoding)
    _do([StoreTask(out, source, exactness)], workers, dry_run)
