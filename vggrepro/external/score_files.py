"""Files in which others keep scores or labels of images, read as they are: a row per image. No torch.

A row has a number per class, or up to five labels, perhaps with their scores or boxes, and perhaps the image's id. Formats:
`.npy`, `.npz`, `.csv`, `.tsv`, `.parquet`, `.json`, Kaggle's submissions, and `.txt`, ILSVRC's official one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core import limits
from vggrepro.core.files import read_regular
from vggrepro.core.text import decode_text, parse_json, text_lines
from vggrepro.data import devkit
from vggrepro.data.layouts import image_stem
from vggrepro.external.arrays import NPY, read_npy, read_npz
from vggrepro.external.score_tables import (
    MAX_LABELS,
    WNID,
    ScoreFile,
    of_columns,
    of_rows,
    read_delimited,
    whole_labels,
)


def read_score_file(
    path: Path, known: Collection[str], classes: int, ids: str | None = None, *, with_boxes: bool | None = None
) -> ScoreFile:
    """The rows of a file, whichever of the formats it has; a ValueError where it has none.

    `known` are the names of the images without endings. `ids` names the column (or the array of an npz) with the images' ids,
    where the file leaves that open. `with_boxes`: whether a .txt has boxes; None: what its lines look like.
    """
    readers: dict[str, Callable[[Path, Collection[str], int, str | None], ScoreFile]] = {
        ".npy": _read_numpy,
        ".npz": _read_numpy,
        ".csv": _read_table,
        ".tsv": _read_table,
        ".parquet": _read_table,
        ".json": _read_json,
        ".txt": partial(_read_text, with_boxes=with_boxes),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: expected a file that ends in {', '.join(readers)}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    file = whole_labels(reader(path, known, classes, ids), classes)
    if file.values.ndim != 2 or not file.values.size:
        raise ValueError(f"{path}: expected a row per image with a column per class or label, got {file.values.shape}")
    return file


def _read_numpy(path: Path, known: Collection[str], classes: int, ids: str | None) -> ScoreFile:
    if path.suffix.lower() == NPY:
        return _of_array(read_npy(path), path)
    return _of_arrays({name: _decoded(array) for name, array in read_npz(path).items()}, path, ids)


def _of_array(array: NDArray[Any], path: Path) -> ScoreFile:
    """One array: [N] labels, [N, columns], or [N, K, 2] labels with their scores."""
    array = _decoded(array)
    if array.ndim == 3 and array.shape[2] == 2 and array.dtype.kind in "fiu":
        labels = array[..., 0]
        if not (labels == np.floor(labels)).all():
            raise ValueError(
                f"{path}: expected [images, labels, 2]: labels and their scores, got labels that are not whole"
            )
        return ScoreFile(labels.astype(np.int64), scores=array[..., 1].astype(np.float64))
    return ScoreFile(array[:, None] if array.ndim == 1 else array)


def _decoded(array: NDArray[Any]) -> NDArray[Any]:
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def _of_arrays(arrays: dict[str, NDArray[Any]], path: Path, ids: str | None) -> ScoreFile:
    """Arrays by name: one [N, columns], or labels and their scores; and perhaps lists of ids and of WNIDs."""
    if ids is not None and ids not in arrays:
        raise ValueError(f"{path}: no array is called {ids!r}, expected one of {', '.join(arrays)}")
    texts = {name: array.tolist() for name, array in arrays.items() if array.ndim == 1 and array.dtype.kind == "U"}
    names = [values for values in texts.values() if all(map(WNID.fullmatch, values))]
    others = [values for values in texts.values() if values not in names]
    id_lists = [[str(value) for value in arrays[ids].tolist()]] if ids else others
    if len(names) > 1 or len(id_lists) > 1:
        raise ValueError(
            f"{path}: several lists of ids or of WNIDs: {', '.join(texts)}: say which are ids with --ids NAME"
        )
    image_ids, wnids = id_lists[0] if id_lists else None, names[0] if names else None
    tables = [array for name, array in arrays.items() if array.ndim == 2]
    labels = [array for array in tables if array.shape[1] <= MAX_LABELS and array.dtype.kind in "iuU"]
    scores = [array for array in tables if array.dtype.kind == "f"]
    if len(tables) == 2 and len(labels) == len(scores) == 1 and labels[0].shape == scores[0].shape:
        return ScoreFile(labels[0], image_ids, scores=scores[0].astype(np.float64))
    lists = [array for array in arrays.values() if array.ndim == 1 and array.dtype.kind in "iu"]
    if not tables and len(lists) == 1:
        tables = [lists[0][:, None]]
    elif not tables and wnids is not None:
        # WNIDs that are no names of columns are labels
        tables, wnids = [np.array(wnids)[:, None]], None
    if len(tables) != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"{path}: expected one array [images, classes or labels], got {shapes}")
    return ScoreFile(tables[0], image_ids, wnids)


def _read_table(path: Path, known: Collection[str], classes: int, ids: str | None) -> ScoreFile:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if path.suffix.lower() == ".parquet":
            _check_parquet(parquet.read_metadata(path), len(known))
            table = parquet.read_table(path)
        else:
            table = read_delimited(path, known, classes)
    except (pa.ArrowException, OSError, UnicodeError, csv.Error, MemoryError) as error:
        raise ValueError(f"{path}: cannot be read as {path.suffix[1:]}: {error}") from None
    if len(set(table.column_names)) < table.num_columns:
        raise ValueError(f"{path}: two columns have the same name")
    return of_columns({name: table[name].combine_chunks() for name in table.column_names}, path, known, ids)


def _check_parquet(about: Any, images: int) -> None:  # noqa: ANN401
    """An OSError where a file of a few kilobytes says that it has billions of rows or bytes: repeated values take no space."""
    size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    if about.num_rows > 2 * images + 1 or size > limits.ARRAY_BYTES:
        raise OSError(f"{about.num_rows:,} rows of {size:,} bytes, expected a row for each of {images:,} images")


def _read_json(path: Path, known: Collection[str], classes: int, ids: str | None) -> ScoreFile:
    """JSON: a list with an entry per image, an object of entries by the image's name, or an object of columns by name."""
    try:
        content = parse_json(decode_text(read_regular(path, limits.RECORD_BYTES)))
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path}: cannot be read as JSON: {error}") from None
    if isinstance(content, list):
        return of_rows(content, None, path, known, ids)
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path}: expected a list with an entry per image, or an object, got {str(content)[:60]}")
    if next(iter(content)) in known or image_stem(next(iter(content))) in known or len(content) >= len(known):
        return of_rows(list(content.values()), list(content), path, known, ids)
    try:
        arrays = {name: np.array(value) for name, value in content.items()}
    except ValueError as error:
        raise ValueError(f"{path}: the lists of an object have rows of different lengths: {error}") from None
    return _of_arrays({n: array for n, array in arrays.items() if array.ndim}, path, ids)


def _read_text(
    path: Path, known: Collection[str], classes: int, ids: str | None, *, with_boxes: bool | None
) -> ScoreFile:
    """ILSVRC's official format; or a table, where lines begin with an image or have delimiters."""
    lines = text_lines(read_regular(path, limits.TEXT_BYTES))
    if not lines:
        raise ValueError(f"{path}: has no lines: expected one for each image")
    first = lines[0].replace(",", " ").replace(";", " ").split() or [""]
    if image_stem(first[0]) in known or any(mark in lines[0] for mark in ",;\t") or ids:
        return _read_table(path, known, classes, ids)
    if all(map(WNID.fullmatch, first)):
        return of_rows([line.split() for line in lines], None, path, known, ids)
    with_boxes = devkit.predictions_have_boxes(path) if with_boxes is None else with_boxes
    guesses = devkit.read_guesses(path, len(known), classes, with_boxes=with_boxes)
    labels, boxes = np.full((len(guesses), MAX_LABELS), -1), np.full((len(guesses), MAX_LABELS, 4), np.nan)
    for row, guess in enumerate(guesses):
        labels[row, : len(guess.labels)] = guess.labels
        if guess.boxes is not None:
            boxes[row, : len(guess.labels)] = guess.boxes
    return ScoreFile(labels, boxes=boxes if with_boxes else None)
