"""Files in which others keep scores or labels of images, read as they are: a row per image. No torch.

A row has a number per class, or up to five labels, best first, and perhaps the image's id. Formats: `.npy`, `.npz`, `.csv`,
`.tsv`, `.parquet`, and `.txt`, ILSVRC's official one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vggrepro.data import devkit
from vggrepro.data.layouts import IMAGE

WNID = re.compile(r"n\d{8}")
ID_COLUMNS = ("id", "image", "image_id", "imageid", "file", "filename", "name", "path")
MAX_LABELS = devkit.MAX_GUESSES


class ScoreFile(NamedTuple):
    """A file as it is: a row per image."""

    values: NDArray[Any]
    """[N, columns]: a number per class, or labels: whole numbers, or WNIDs, with -1 or "" for none."""
    ids: list[str] | None = None
    names: list[str] | None = None
    """Of the columns."""


def read_score_file(path: Path, known: Collection[str], classes: int, ids: str | None = None) -> ScoreFile:
    """The rows of a file, whichever of the formats it has; a ValueError where it has none.

    `known` are the names of the images without endings. `ids` names the column (or the array of an npz) with the images' ids,
    where the file leaves that open.
    """
    readers = {
        ".npy": _read_numpy,
        ".npz": _read_numpy,
        ".csv": _read_table,
        ".tsv": _read_table,
        ".parquet": _read_table,
    }
    if path.suffix not in (*readers, ".txt"):
        raise ValueError(f"{path}: expected a file that ends in {', '.join(readers)} or .txt")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if path.suffix == ".txt":
        guesses = devkit.read_guesses(path, len(known), classes, with_boxes=devkit.predictions_have_boxes(path))
        return ScoreFile(np.array([[*g.labels, *[-1] * (MAX_LABELS - len(g.labels))] for g in guesses]))
    file = readers[path.suffix](path, known, classes, ids)
    if file.values.ndim != 2 or not file.values.size:
        raise ValueError(f"{path}: expected a row per image with a column per class or label, got {file.values.shape}")
    return file


def _read_numpy(path: Path, known: Collection[str], classes: int, ids: str | None) -> ScoreFile:
    try:
        loaded = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix == ".npy" else None)
        if isinstance(loaded, np.ndarray):
            return ScoreFile(loaded)
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: not arrays of NumPy that can be read without unpickling: {error}") from None
    tables = [name for name, array in arrays.items() if array.ndim == 2]
    if len(tables) != 1:
        raise ValueError(f"{path}: expected one array [images, classes or labels], got {_shapes(arrays)}")
    lists = {name: array.tolist() for name, array in arrays.items() if array.ndim == 1 and array.dtype.kind in "US"}
    lists = {name: [v.decode() if isinstance(v, bytes) else v for v in values] for name, values in lists.items()}
    if ids is not None and ids not in arrays:
        raise ValueError(f"{path}: no array is called {ids!r}, expected one of {', '.join(arrays)}")
    names = [values for values in lists.values() if all(map(WNID.fullmatch, values))]
    id_lists = (
        [[str(v) for v in arrays[ids].tolist()]]
        if ids
        else [values for values in lists.values() if values not in names]
    )
    if len(names) > 1 or len(id_lists) > 1:
        raise ValueError(
            f"{path}: several lists of ids or of WNIDs: {', '.join(lists)}: say which are ids with --ids NAME"
        )
    return ScoreFile(arrays[tables[0]], id_lists[0] if id_lists else None, names[0] if names else None)


def _shapes(arrays: dict[str, NDArray[Any]]) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in arrays.items())


def _read_table(path: Path, known: Collection[str], classes: int, ids: str | None) -> ScoreFile:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    try:
        if path.suffix == ".parquet":
            table = parquet.read_table(path)
        else:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            names = arrow_csv.ReadOptions(autogenerate_column_names=not _has_header(path, delimiter, known, classes))
            table = arrow_csv.read_csv(path, names, arrow_csv.ParseOptions(delimiter=delimiter))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: cannot be read as {path.suffix[1:]}: {error}") from None
    if len(set(table.column_names)) < table.num_columns:
        raise ValueError(f"{path}: two columns have the same name")
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    column = ids or _id_column(columns)
    if ids is not None and ids not in columns:
        raise ValueError(f"{path}: no column is called {ids!r}, expected one of {', '.join(list(columns)[:9])} ...")
    image_ids = [str(value) for value in columns.pop(column).to_pylist()] if column else None
    lists = [c for c in columns.values() if pa.types.is_list(c.type) or pa.types.is_fixed_size_list(c.type)]
    if len(lists) == len(columns) == 1:
        rows = lists[0].to_pylist()
        if len({len(row) for row in rows}) != 1:
            raise ValueError(f"{path}: its rows are of different lengths")
        return ScoreFile(np.array(rows), image_ids)
    arrays = [_column(c, f"{path}: column {name}") for name, c in columns.items()]
    if len({array.dtype.kind for array in arrays} & {"U"}) and any(array.dtype.kind != "U" for array in arrays):
        odd = [name for name, array in zip(columns, arrays, strict=True) if array.dtype.kind == "U"]
        raise ValueError(
            f"{path}: column {odd[0]} is text among numbers: if it has the images' ids, say --ids {odd[0]}"
        )
    return ScoreFile(np.column_stack(arrays) if arrays else np.empty((len(table), 0)), image_ids, list(columns))


def _column(column: Any, where: str) -> NDArray[Any]:  # noqa: ANN401
    """A column of an Arrow table: float32, int64 with -1 for none, or text with "" for none."""
    import pyarrow as pa

    if pa.types.is_integer(column.type) or pa.types.is_null(column.type):
        filled: NDArray[Any] = np.asarray(column.cast(pa.int64()).fill_null(-1))
        return filled
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return np.asarray(column.cast(pa.float32()).to_numpy(zero_copy_only=False))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array([value or "" for value in column.to_pylist()], dtype=np.str_)
    raise ValueError(f"{where}: expected numbers or text, got {column.type}")


def _id_column(columns: dict[str, Any]) -> str | None:
    """The column that has the images' ids: by its name, or the first text column that does not hold WNIDs."""
    for name, column in columns.items():
        if name.strip().lower() in ID_COLUMNS:
            return name
        if str(column.type) in ("string", "large_string") and not WNID.fullmatch(
            next(iter(column.to_pylist()), None) or ""
        ):
            return name
    return None


def _has_header(path: Path, delimiter: str, known: Collection[str], classes: int) -> bool:
    """Whether the first line names columns: it begins with no image, and is neither all numbers nor all labels."""
    with path.open(encoding="utf-8", newline="") as file:
        first = [field.strip() for field in next(csv.reader(file, delimiter=delimiter), [])]
    if first and stem(first[0]) in known:
        return False
    labels = len(first) <= MAX_LABELS < classes and all(map(WNID.fullmatch, first))
    return not labels and not all(map(_is_number, first))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return not text
    return True


def stem(name: str) -> str:
    """`val/ILSVRC2012_val_00000001.JPEG` -> `ILSVRC2012_val_00000001`."""
    last = name.strip().replace("\\", "/").rsplit("/", 1)[-1]
    stem, dot, ending = last.rpartition(".")
    return stem if f"{dot}{ending}".lower() in IMAGE else last
