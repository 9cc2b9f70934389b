"""Preparing: from a data set on disk to the stores of its two splits, and to stores of rescaled images. No torch."""

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
from vggrepro.data.images import open_image
from vggrepro.data.layouts import SPLITS, Item, Layout, Split, TinyImageNet, select
from vggrepro.data.numbered import NumberedFolders
from vggrepro.data.store import Encoding, Store, decode
from vggrepro.data.transforms import rescale_image, rescaled_sizes
from vggrepro.data.writer import StoredImage, StoreSource, free_bytes, gigabytes

LAYOUTS: dict[str, Callable[[Path], Layout]] = {"tiny-imagenet": TinyImageNet, "ilsvrc": open_ilsvrc}
SAMPLE = 200
"""Images that a store's size is estimated from."""
QUALITY = 95
"""JPEG quality in a store of rescaled images."""


@dataclass(frozen=True)
class StoreTask:
    """A store to be written."""

    folder: Path
    source: StoreSource
    exactness: str
    """How its images will differ from the originals, for the user."""

    def run(self, workers: int) -> None:
        """Write the store."""
        writer.write_store(self.folder, self.source, workers=workers, about=f"{self.source.name}: {self.folder.name}")

    def description(self) -> str:
        """The bytes that the store will take, and the exactness of its images."""
        about = "" if self.source.exact else "about "
        return (
            f"{self.folder}: {len(self.source.ids):,} images, {about}{gigabytes(self.source.expected_bytes)} "
            f"({gigabytes(free_bytes(self.folder))} free). {self.exactness}"
        )


def _run(tasks: list[StoreTask], *, workers: int, dry_run: bool) -> None:
    """Write the stores, or print their descriptions."""
    for task in tasks:
        if dry_run:
            print(task.description())
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
    like: Path | None = None,
    dry_run: bool = False,
) -> None:
    """Write a store for each split that has a folder; or, `dry_run`, print what the stores would take.

    The training store has the colour statistics. `classes` and `per_class` (training, validation) take the first so many; of
    the stand-in, `per_class` says how many are drawn; numbered folders have the classes of the store `like`. Raises ValueError
    that names a wrong file of the data set, so that no training meets it.
    """
    folders = {split: f for split, f in zip(SPLITS, (train_folder, val_folder), strict=True) if f is not None}
    if len({folder.resolve() for folder in folders.values()}) < max(len(folders), 1):
        raise ValueError(f"--train, --val: expected one folder for each store, got {train_folder} and {val_folder}")
    if layout == "stand-in":
        drawn = Path(tempfile.mkdtemp(prefix="stand-in-"))
        try:
            standin.draw_data_set(
                drawn / "images", train_per_class=per_class[0] or 200, val_per_class=per_class[1] or 40
            )
            tasks = _tasks(standin.StandIn(drawn / "images"), folders, classes, per_class, encoding)
            _run(tasks, workers=workers, dry_run=dry_run)
        finally:
            shutil.rmtree(drawn)
        return
    if path is None:
        raise ValueError(f"the layout {layout} needs --path: the folder or archive of the data set")
    opened = _numbered(path, like) if layout == "numbered" else LAYOUTS[layout](path)
    _run(_tasks(opened, folders, classes, per_class, encoding), workers=workers, dry_run=dry_run)


def _numbered(path: Path, like: Path | None) -> Layout:
    if like is None:
        raise ValueError(
            "the layout numbered needs --like: the prepared store whose classes the folders are numbered by"
        )
    return NumberedFolders(path, list(Store(like).about["wnids"]))


def _tasks(
    layout: Layout,
    folders: dict[Split, Path],
    classes: int | None,
    per_class: tuple[int | None, int | None],
    encoding: Encoding,
) -> list[StoreTask]:
    # all lists are checked before the first image is decoded, so that a wrong list is found in seconds
    counts = dict(zip(SPLITS, per_class, strict=True))
    lists = {split: select(layout.items(split), classes, counts[split]) for split in folders}
    exactness = "Exact: " + ("decoded pixels" if encoding == "pixels" else "the original files")
    return [
        StoreTask(
            folders[split],
            original_images(layout, items, classes=classes, encoding=encoding, training=split == "train"),
            exactness,
        )
        for split, items in lists.items()
    ]


def original_images(
    layout: Layout,
    items: list[Item],
    *,
    classes: int | None = None,
    encoding: Encoding = "pixels",
    training: bool = False,
) -> StoreSource:
    """The images of a data set as they are; each is decoded, so that a damaged image stops here and not during a training.

    A training set gets colour statistics. Some training boxes of ILSVRC are wrong: a box outside of its image, or drawn on an
    image of another size, is left out, and a box that crosses the image's edge is cut there, with a warning. Validation boxes
    stay as they are, because predictions are judged by them; a wrong one is a ValueError.
    """
    wnids = layout.wnids[:classes]

    def read(i: int) -> StoredImage:
        data = layout.files.read(items[i].name)
        image = decode(data, f"{layout.files.path}: {items[i].name}")
        sums = Sums.of(image) if training else Sums()
        return StoredImage(image.tobytes() if encoding == "pixels" else data, (image.shape[0], image.shape[1]), sums)

    def boxes(sizes: NDArray[np.int64]) -> NDArray[np.int32]:
        warnings, rows = RepeatedWarnings(), []
        for i, (item, size) in enumerate(zip(items, sizes.tolist(), strict=True)):
            where = f"{layout.files.path}: {item.name}"
            rows += [(i, *box) for box in _usable(item, tuple(size), where, warnings if training else None)]
        warnings.end()
        return np.array(rows, np.int32).reshape(-1, 5)

    about = {
        "data set": layout.title,
        "encoding": encoding,
        "wnids": wnids,
        "words": {wnid: layout.words[wnid] for wnid in wnids if wnid in layout.words},
        "colours": None,
        "blacklisted": [item.id for item in items if item.blacklisted],
    }
    expected, exact = _bytes(layout, items, encoding)
    return StoreSource(
        name=str(layout.files.path) if layout.title != standin.StandIn.title else layout.title,
        identity=[str(layout.files.path.resolve()), encoding, training, wnids, [asdict(item) for item in items]],
        about=about,
        measure_colours=training,
        ids=[item.id for item in items],
        labels=[item.label for item in items],
        read=read,
        boxes=boxes,
        expected_bytes=expected,
        exact=exact,
    )


def _bytes(layout: Layout, items: list[Item], encoding: Encoding) -> tuple[int, bool]:
    """Bytes of the images in a store, and whether they are exact: pixels are estimated from a sample of file headers."""
    if encoding == "files":
        sizes = layout.files.sizes()
        return sum(sizes[item.name] for item in items), True
    chosen = items[:: max(1, len(items) // SAMPLE)]
    return round(len(items) * float(np.mean([_pixels(layout, item) for item in chosen])) * 3), len(chosen) == len(items)


def _pixels(layout: Layout, item: Item) -> int:
    data = layout.files.read(item.name)
    try:
        with open_image(data) as image:
            return image.width * image.height
    except Exception:
        return 0


def _usable(item: Item, size: tuple[int, int], where: str, warnings: RepeatedWarnings | None) -> list[Box]:
    """The usable boxes of an image of `size` (height, width), see `original_images`; without `warnings`, a ValueError."""
    (height, width), kept = size, []
    for box in item.boxes:
        x0, y0, x1, y1 = box
        cut = max(x0, 0), max(y0, 0), min(x1, width - 1), min(y1, height - 1)
        problem = f"{where}: expected a box inside {width} x {height} px, got {box}"
        if item.annotated and item.annotated != size:
            drawn_on = "{1} x {0} px".format(*item.annotated)
            problem = f"{where}: {box} was drawn on an image of {drawn_on}, but this image has {width} x {height} px"
        elif cut[0] <= cut[2] and cut[1] <= cut[3]:
            if warnings and cut != box:
                warnings.add(f"{where}: {box} crosses the edge of an image of {width} x {height} px: cut at the edge")
            kept.append(cut if warnings else box)
            continue
        if warnings is None:
            raise ValueError(f"{problem}: correct its annotation")
        warnings.add(f"{problem}: left out")
    return kept


def rescaled_images(store: Store, smallest: int, encoding: Encoding) -> tuple[StoreSource, str]:
    """The images of a store, rescaled to the smallest side `smallest` (section 3.1: S), and how exact they are, as text.

    For runs with one S, which otherwise rescale every image anew in every epoch. Sizes and boxes stay the originals'.
    """
    if encoding not in ("pixels", "jpeg"):
        raise ValueError(f"--encoding: expected pixels or jpeg for rescaled images, got {encoding}")
    if store.smallest:
        raise ValueError(f"{store.folder}: its images are rescaled already: give the store of the original images")

    def read(i: int) -> StoredImage:
        image = rescale_image(store.image(i), smallest)
        return StoredImage(image.tobytes() if encoding == "pixels" else _jpeg(image), store.size(i), Sums())

    if encoding == "pixels":
        count, exact = 3 * int(rescaled_sizes(store.sizes, smallest).prod(1).sum()), True
        exactness = "Exact: the rescaled pixels that training crops are cut from"
    else:
        chosen = range(0, len(store), max(1, len(store) // SAMPLE))
        sample = [(rescale_image(store.image(i), smallest), read(i).data) for i in chosen]
        count, exact = round(len(store) * float(np.mean([len(data) for _, data in sample]))), False
        error = np.mean([np.abs(decode(data, "").astype(int) - image).mean() for image, data in sample])
        exactness = f"Not exact: JPEG of quality {QUALITY} changes a pixel by {error:.1f} of 255 levels on average"
    kept = {name: value for name, value in store.about.items() if name not in ("images", "digest")}
    source = StoreSource(
        name=str(store.folder),
        identity=[store.digest, smallest, encoding],
        about=kept | {"encoding": encoding, "smallest": smallest, "of": store.digest},
        measure_colours=False,
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
    # decoding time grows with bytes: colour at half resolution and optimised tables halve it, with the least change of pixels
    Image.fromarray(image).save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0", optimize=True)
    return buffer.getvalue()


def prepare_rescaled(
    folder: Path, smallest: int, encoding: Encoding, out: Path, *, workers: int, dry_run: bool = False
) -> None:
    """Write a store of another store's images, rescaled; or, `dry_run`, print what it would take."""
    source, exactness = rescaled_images(Store(folder), smallest, encoding)
    _run([StoreTask(out, source, exactness)], workers=workers, dry_run=dry_run)
