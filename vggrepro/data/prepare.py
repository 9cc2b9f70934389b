"""From a data set as it lies on disk to the prepared stores of its two splits."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from vggrepro.data import standin, store
from vggrepro.data.layouts import LAYOUTS, Layout, select


def prepare(
    layout: str,
    path: Path | None,
    *,
    train_folder: Path,
    val_folder: Path,
    classes: int | None,
    per_class: tuple[int | None, int | None],
    encoding: store.Encoding,
    workers: int,
) -> None:
    """Write the stores of both splits; the training store carries the colour statistics.

    A ValueError names the file where the data set is not what it should be, before anything is trained on it.
    """
    if train_folder.resolve() == val_folder.resolve():
        raise ValueError(f"--train and --val are both {train_folder}: a store needs a folder of its own")
    if layout == "stand-in":
        drawn = Path(tempfile.mkdtemp(prefix="stand-in-"))
        try:
            standin.write(drawn / "images", train_per_class=per_class[0] or 200, val_per_class=per_class[1] or 40)
            found: Layout = standin.StandIn(drawn / "images")
            _prepare(found, train_folder, val_folder, classes, per_class, encoding, workers)
        finally:
            shutil.rmtree(drawn)
        return
    if path is None or str(path) in ("", "."):
        raise ValueError(f"the layout {layout} needs --path: the folder or archive of the data set")
    _prepare(LAYOUTS[layout](path), train_folder, val_folder, classes, per_class, encoding, workers)


def _prepare(
    layout: Layout,
    train_folder: Path,
    val_folder: Path,
    classes: int | None,
    per_class: tuple[int | None, int | None],
    encoding: store.Encoding,
    workers: int,
) -> None:
    # both lists are read and checked before the first image is decoded
    train = select(layout.items("train"), classes, per_class[0])
    val = select(layout.items("val"), classes, per_class[1])
    for folder, items in ((train_folder, train), (val_folder, val)):
        store.write(
            folder,
            layout,
            items,
            classes=classes,
            encoding=encoding,
            training=folder == train_folder,
            workers=workers,
            about=f"{layout.title}: {folder.name}",
        )
