"""How many images a step reads, and how large they are: counted where a store is there, else what is known of a data set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vggrepro.paper.ilsvrc import ILSVRC_CLASSES, ILSVRC_TRAINING_IMAGES, ILSVRC_VALIDATION_IMAGES
from vggrepro.paper.tasks import TASKS
from vggrepro.settings.models import Settings


@dataclass(frozen=True)
class DataSetSize:
    """What is known of a data set before it is read."""

    train: int
    val: int
    classes: int
    pixels: float
    """Of an image, on average."""
    file_bytes: float
    """Of an image as it is stored."""
    aspect: float
    """The longer side over the shorter one, on average."""


KNOWN = {
    "ilsvrc": DataSetSize(ILSVRC_TRAINING_IMAGES, ILSVRC_VALIDATION_IMAGES, ILSVRC_CLASSES, 195_000, 112_000, 1.33),
    "tiny-imagenet": DataSetSize(100_000, 10_000, 200, 64 * 64, 2_200, 1.0),
    "stand-in": DataSetSize(2_000, 400, 10, 64 * 64, 2_200, 1.0),
}
"""By layout. ILSVRC: images of 500 x 375 are the most frequent; 144 GB of JPEGs in all."""

TRANSFER_IMAGES = {
    "voc2007": 9_963,
    "voc2012": 22_531,
    "caltech101": 9_144,
    "caltech256": 30_607,
    "actions-image": 10_000,
    "actions-box": 12_000,
}
"""Pictures, or persons, of a collection of appendix B."""
TRANSFER_ASPECT = 1.35
DRAWN = {"voc2007": 64, "voc2012": 64, "caltech101": 120, "caltech256": 132}
"""Pictures of a data set that the program draws."""


def data_set(settings: Settings, root: Path) -> DataSetSize:
    """The data set of some settings: as its prepared stores in the folder `root` have it, else as it is known to be."""
    data, known = settings.data, KNOWN[settings.data.layout]
    classes = min(data.classes or known.classes, known.classes)
    share = classes / known.classes
    train, val = (
        _at_most(round(count * share), limit and limit * classes)
        for count, limit in ((known.train, data.train_per_class), (known.val, data.val_per_class))
    )
    return DataSetSize(
        _stored(root / "data" / "train") or train,
        _stored(root / "data" / "val") or val,
        classes,
        known.pixels,
        known.file_bytes if data.encoding == "files" else 3 * known.pixels,
        known.aspect,
    )


def _at_most(count: int, limit: int | None) -> int:
    return min(count, limit) if limit else count


def _stored(store: Path) -> int:
    """How many images a prepared store has; 0 where none can be read, which a step that needs it will say."""
    try:
        return int(json.loads((store / "store.json").read_text(encoding="utf-8"))["images"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def images_of(collection: str, settings: Settings) -> int:
    """Pictures of a collection of transfer."""
    name = next(task.data for task in TASKS.values() if collection in task.collections)
    return DRAWN[name] if settings.transfer.paths[name] is None else TRANSFER_IMAGES[collection]
