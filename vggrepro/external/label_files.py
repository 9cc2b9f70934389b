"""Other labels of the validation images, from a JSON file: checked, and put into a store of label sets. No torch.

    [[559], [], [65, 62], ...]                      of ILSVRC, by number of the validation image, as ReaL has them
    {"ILSVRC2012_val_00000001": ["n01751748"]}      by file name, of any data set; a label alone needs no brackets

A label is a WNID, or its place among the sorted WNIDs, from 0. An image without a label does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core import limits, provenance
from vggrepro.core.files import file_digest, read_regular
from vggrepro.core.printable import shortened
from vggrepro.core.text import parse_json
from vggrepro.data.store import Store
from vggrepro.external.validation_images import ImportedImages
from vggrepro.scores.label_sets import LabelSets, label_array, write_label_sets

LEAST_SHARED = 0.5
"""The share of images that have the data set's own label among theirs: of ReaL it is 0.9, of a wrong order about chance."""


def read_label_file(
    path: Path, *, name: str, out: Path, val: Path | None = None, devkit_folder: Path | None = None
) -> LabelSets:
    """Check a file of labels of the validation images, and write them to `out` as a store of label sets with this `name`.

    The images come from the prepared store `val`, or from the devkit alone. Raises ValueError that names the file where it is
    cut, leaves out an image, has a label that is no class, or is in an order in which its labels do not fit the images.
    """
    if val is None and devkit_folder is None:
        raise ValueError("give --val STORE, or --devkit FOLDER: one of them says which images the labels are of")
    images = (
        ImportedImages.of_store(Store(val), devkit_folder) if val else ImportedImages.of_devkit(devkit_folder or Path())
    )
    content = _content(path)
    rows = content if isinstance(content, list) else list(content.values())
    labels = label_array([_labels(row, number, images, path) for number, row in enumerate(rows, start=1)])
    if isinstance(content, list):
        places = images.ordered("validation", len(content), str(path))
    else:
        places = images.places(list(content), str(path))
    ours = np.full((len(images.ids), labels.shape[1]), -1, np.int64)
    ours[places[places >= 0]] = labels[places >= 0]
    _check_shared(ours, labels, images, path)
    metadata = {
        "name": name,
        "file": path.name,
        "digest": file_digest(path),
        "classes": len(images.wnids),
        "made": provenance.provenance_record(),
        **images.about,
    }
    sets = LabelSets(out, ours, tuple(images.ids), metadata)
    write_label_sets(sets)
    return sets


def _content(path: Path) -> list[Any] | dict[str, Any]:
    """The list or the keys of a JSON file."""
    expected = "a list with a list of labels for each validation image, or keys that are their file names"
    try:
        content = parse_json(read_regular(path, limits.TEXT_BYTES))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected {expected}, in JSON, and cannot be read as it: {error}. Is it cut? Fetch it again"
        ) from None
    if not isinstance(content, list | dict) or not content:
        raise ValueError(f"{path}: expected {expected}, got {shortened(content)}")
    return content


def _labels(row: Any, number: int, images: ImportedImages, path: Path) -> list[int]:  # noqa: ANN401
    """The labels of an image as places among the sorted WNIDs."""
    labels = []
    for label in row if isinstance(row, list) else [row]:
        place = images.wnids.index(label) if isinstance(label, str) and label in images.wnids else label
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(images.wnids):
            raise ValueError(
                f"{path}, image {number}: expected labels from 0 to {len(images.wnids) - 1}, places among the sorted WNIDs of "
                f"the images' classes, or these WNIDs, got {shortened(label)}"
            )
        labels.append(place)
    return labels


def _shared(labels: NDArray[np.int64], own: NDArray[np.int64]) -> float:
    """The share of the images with a label, of [N, L], that have their own one, of [N], among them."""
    counted = labels[:, 0] >= 0
    right: NDArray[np.bool_] = (labels == own[:, None]).any(1)
    return float(right[counted].mean()) if counted.any() else 0.0


def _check_shared(ours: NDArray[np.int64], given: NDArray[np.int64], images: ImportedImages, path: Path) -> None:
    """A ValueError where too few images have their own label among those of the file: it is of another order, or classes."""
    shared = _shared(ours, images.labels)
    if shared >= LEAST_SHARED:
        return
    others = [f"{what}, it would be {share:.1%}" for what, share in _other_meanings(ours, given, images)]
    raise ValueError(
        f"{path}: the data set's own label is among the file's in {shared:.1%} of the images that have one, and was "
        f"expected in {LEAST_SHARED:.0%} at least: its labels are in another order, or of other classes"
        f"{f': {others[0]}' if others else ''}. Write them by file name, as keys, with WNIDs"
    )


def _other_meanings(
    ours: NDArray[np.int64], given: NDArray[np.int64], images: ImportedImages
) -> Iterator[tuple[str, float]]:
    """Readings of a file under which its labels do fit."""
    readings: Sequence[tuple[str, NDArray[np.int64]]] = [("read in the order of folders", given)]
    readings = [*readings, ("with labels counted from 1", np.where(ours > 0, ours - 1, -1))]
    if images.numbered is not None:
        place = np.array([*images.devkit_places(), -1])
        readings = [*readings, ("with the devkit's ids, from 1", place[np.where(ours > 0, ours - 1, -1)])]
    for what, labels in readings:
        if (
            len(labels) == len(images.labels)
            and (share := _shared(np.sort(labels)[:, ::-1], images.labels)) >= LEAST_SHARED
        ):
            yield what, share
