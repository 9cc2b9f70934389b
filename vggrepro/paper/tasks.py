"""The tasks of transfer that Tables 11 and 12 measure (appendix B). No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vggrepro.paper.tables import Column, Row


@dataclass(frozen=True)
class Task:
    """A task of transfer: a column of Table 11, a row of Table 12, or a cell of an unprinted table."""

    data: str
    """The data set, by its name in the settings."""
    collections: tuple[str, ...]
    """The images, or the persons in them, whose features are computed; descriptors of several collections are stacked."""
    scales: tuple[int, ...]
    """PAPER B: test scales Q."""
    combine: Literal["average", "stack", "maximum"]
    """PAPER B: how an image's features at several Q are combined."""
    classes: int
    """The number of classes in the paper."""
    counted: Literal["all", "but other"] = "all"
    """The classes whose mean is printed; VOC's "other" is not an action."""


VOC_SCALES, CALTECH_SCALES = (256, 384, 512, 640, 768), (256, 384, 512)

TASKS = {
    "voc2007": Task("voc2007", ("voc2007",), VOC_SCALES, "average", 20),
    "voc2012": Task("voc2012", ("voc2012",), VOC_SCALES, "average", 20),
    "caltech101": Task("caltech101", ("caltech101",), CALTECH_SCALES, "stack", 102),
    "caltech256": Task("caltech256", ("caltech256",), CALTECH_SCALES, "stack", 257),
    "actions-image": Task("voc2012", ("actions-image",), VOC_SCALES, "average", 11, "but other"),
    "actions-image-and-box": Task("voc2012", ("actions-image", "actions-box"), VOC_SCALES, "average", 11, "but other"),
    # PAPER B: what the paper compares its aggregation with, in words
    "voc2007-average": Task("voc2007", ("voc2007",), CALTECH_SCALES, "average", 20),
    "voc2007-stack": Task("voc2007", ("voc2007",), CALTECH_SCALES, "stack", 20),
    "caltech101-average": Task("caltech101", ("caltech101",), CALTECH_SCALES, "average", 102),
    "caltech101-maximum": Task("caltech101", ("caltech101",), CALTECH_SCALES, "maximum", 102),
    "caltech256-average": Task("caltech256", ("caltech256",), CALTECH_SCALES, "average", 257),
    "caltech256-maximum": Task("caltech256", ("caltech256",), CALTECH_SCALES, "maximum", 257),
}
"""Every task of Tables 11 and 12, then those of the unprinted tables, by the name of its folder."""

COLLECTIONS = tuple(dict.fromkeys(name for task in TASKS.values() for name in task.collections))
"""All collections of pictures whose features are computed."""

TRANSFER_SETS = tuple(dict.fromkeys(task.data for task in TASKS.values()))
"""The data sets of transfer, by their names in the settings."""


def task_of(row: Row, column: Column) -> str:
    """The name of the task that a cell measures: its quantity and, where the table has that key, its input or combination."""
    variant = row.keys.get("input") or row.keys.get("combined")
    return f"{column.quantity}-{variant.replace(' ', '-')}" if variant else column.quantity
