"""Tables of others: which column has ids, which labels, scores or a list of both; what is only an index. No torch."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.text import encoding_of
from vggrepro.data import devkit
from vggrepro.data.layouts import image_stem

if TYPE_CHECKING:
    import pyarrow as pa

WNID = re.compile(r"n\d{8}")
ID_COLUMNS = (
    "id",
    "image",
    "image_id",
    "imageid",
    "file",
    "filename",
    "name",
    "path",
    "img",
    "image_name",
    "file_name",
)
INDEX_COLUMNS = ("", "unnamed: 0", "index", "__index_level_0__")
"""Columns in which pandas writes the numbers of rows."""
SCORE_COLUMN = re.compile(r"(?i).*(score|prob|conf|logit)")
"""Names of columns with the scores of labels."""
MAX_LABELS = devkit.MAX_GUESSES
SNIFFED = 1 << 16
"""Bytes of a file that its delimiter is judged by."""


class ScoreFile(NamedTuple):
    """A file as it is: a row per image."""

    values: NDArray[Any]
    """[N, columns]: a number per class, or labels: whole numbers, or WNIDs, with -1 or "" for none."""
    ids: list[str] | None = None
    names: list[str] | None = None
    """Of the columns."""
    scores: NDArray[np.float64] | None = None
    """[N, K]: of the labels, where the file has them."""
    boxes: NDArray[np.float64] | None = None
    """[N, K, 4]: of the labels, where the file has them; NaN for none."""


def whole_labels(file: ScoreFile, classes: int) -> ScoreFile:
    """The same with labels that were written as decimal fractions, such as 281.0, as whole numbers; none (NaN) is -1."""
    values = file.values
    if (
        values.dtype.kind != "f"
        or values.ndim != 2
        or values.shape[1] > MAX_LABELS
        or values.shape[1] in (classes, classes + 1)
    ):
        return file
    filled = np.where(np.isnan(values), -1, values)
    if not (np.isfinite(filled).all() and (filled == np.floor(filled)).all()):
        return file
    return file._replace(values=filled.astype(np.int64))


# Text with delimiters


def read_delimited(path: Path, known: Collection[str], classes: int) -> pa.Table:
    """A text file with delimiters as a table: encoding, delimiter, decimal mark and header are recognised."""
    from pyarrow import csv as arrow_csv

    with path.open("rb") as file:
        start = file.read(SNIFFED)
    encoding = encoding_of(start)
    lines = [line for line in start.decode(encoding, "ignore").splitlines() if line.strip()][:5]
    delimiter = _delimiter(lines)
    decimal_comma = delimiter != "," and any(re.search(r"(^|\W)-?\d+,\d+(\W|$)", line) for line in lines[1:])
    has_header = bool(lines) and _has_header(lines[0], delimiter, known, classes)

    def read(*, header: bool) -> pa.Table:
        table: pa.Table = arrow_csv.read_csv(
            path,
            arrow_csv.ReadOptions(
                autogenerate_column_names=not header, encoding=encoding.replace("utf-8-sig", "utf-8")
            ),
            arrow_csv.ParseOptions(delimiter=delimiter),
            arrow_csv.ConvertOptions(decimal_point="," if decimal_comma else "."),
        )
        return table

    table = read(header=has_header)
    # a header of numbers, as pandas writes it, was taken for a row
    return read(header=True) if not has_header and table.num_rows == len(known) + 1 else table


def _delimiter(lines: list[str]) -> str:
    """The mark that stands in all lines equally often; a space only where nothing else does and all fields are one word."""
    for mark in "\t;,|":
        if len({line.count(mark) for line in lines}) == 1 and lines[0].count(mark):
            return mark
    counts = {mark: lines[0].count(mark) for mark in "\t;,|"} if lines else {",": 1}
    if not any(counts.values()) and len({len(line.split(" ")) for line in lines}) == 1 and " " in lines[0].strip():
        return " "
    return max(counts, key=lambda mark: counts[mark])


def _has_header(line: str, delimiter: str, known: Collection[str], classes: int) -> bool:
    """Whether the first line names columns: it begins with no image, and is neither all numbers nor all labels."""
    first = [field.strip() for field in next(csv.reader(io.StringIO(line), delimiter=delimiter), [])]
    if any(image_stem(field) in known for field in first[:2]):
        return False
    numbers = [field for field in first if _is_number(field)]
    if first[1:] == [str(i) for i in range(len(first) - 1)] and not first[0] and len(first) > 2:
        return True  # pandas' header of numbers, above its index
    if len(first) > MAX_LABELS and first in (
        [str(i) for i in range(len(first))],
        [str(i + 1) for i in range(len(first))],
    ):
        return True
    labels = len(first) <= MAX_LABELS < classes and all(map(WNID.fullmatch, first))
    return not labels and len(numbers) < len(first)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return not text
    return True


# Columns


def of_columns(columns: dict[str, pa.Array], path: Path, known: Collection[str], ids: str | None) -> ScoreFile:
    """What a table's columns hold; a ValueError that says which choice to make where that is not plain."""
    if ids is not None and ids not in columns:
        raise ValueError(f"{path}: no column is called {ids!r}, expected one of {', '.join(list(columns)[:9])} ...")
    column = ids or _id_column(columns, known)
    image_ids = [str(value) for value in columns.pop(column).to_pylist()] if column else None
    columns = _without_index(columns, path, has_ids=image_ids is not None)
    if not columns:
        raise ValueError(f"{path}: no column has scores or labels")
    rows = _lists(columns)
    if rows is not None:
        return of_rows(rows, image_ids, path, known, None)
    arrays = {name: _column(c, f"{path}: column {name}") for name, c in columns.items()}
    labels, scores = _labels_and_scores(arrays)
    if scores:
        return ScoreFile(np.column_stack(labels), image_ids, scores=np.column_stack(scores).astype(np.float64))
    text = [name for name, array in arrays.items() if array.dtype.kind == "U"]
    if 0 < len(text) < len(arrays):
        raise ValueError(
            f"{path}: column {text[0]} is text among numbers: if it has the images' ids, say --ids {text[0]}"
        )
    return ScoreFile(np.column_stack(list(arrays.values())), image_ids, list(columns))


def _column(column: Any, where: str) -> NDArray[Any]:  # noqa: ANN401
    """A column of an Arrow table: float, int64 with -1 for none, or text with "" for none."""
    import pyarrow as pa

    if pa.types.is_integer(column.type) or pa.types.is_null(column.type):
        filled: NDArray[Any] = np.asarray(column.cast(pa.int64()).fill_null(-1))
        return filled
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        # numbers of a text keep their decimals, by which rounded posteriors are known
        wide = pa.types.is_float64(column.type) or pa.types.is_decimal(column.type)
        return np.asarray(column.cast(pa.float64() if wide else pa.float32()).to_numpy(zero_copy_only=False))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array([(value or "").strip() for value in column.to_pylist()], dtype=np.str_)
    raise ValueError(f"{where}: expected numbers or text, got {column.type}")


def _is_text(column: Any) -> bool:  # noqa: ANN401
    return str(column.type) in ("string", "large_string")


def _id_column(columns: Mapping[str, Any], known: Collection[str]) -> str | None:
    """The column that has the images' ids: that begins with an image, or by its name, or text that is no label."""
    texts = {name: str(next(iter(c.to_pylist()[:1]), None) or "") for name, c in columns.items() if _is_text(c)}
    named = [name for name, first in texts.items() if image_stem(first) in known]
    named += [name for name in columns if name.strip().lower() in ID_COLUMNS]
    named += [name for name, first in texts.items() if not WNID.fullmatch(first) and _tokens(first) is None]
    return next(iter(named), None)


def _without_index(columns: Mapping[str, Any], path: Path, *, has_ids: bool) -> dict[str, Any]:
    """The columns without one that numbers the rows, as pandas writes it, and without empty ones.

    Raises ValueError where such numbers are in another order and nothing else says which image a row is of.
    """
    import pyarrow as pa

    kept = {name: c for name, c in columns.items() if name.strip() or not pa.types.is_null(c.type)}
    name = next(iter(kept), None)
    if name is None or len(kept) == 1 or not pa.types.is_integer(kept[name].type) or kept[name].null_count:
        return dict(kept)
    numbers = np.asarray(kept[name])
    counted = (
        np.array_equal(numbers - numbers[0], np.arange(len(numbers))) and len(numbers) > 1 and numbers[0] in (0, 1)
    )
    if not counted and name.strip().lower() in INDEX_COLUMNS and not has_ids:
        raise ValueError(
            f"{path}: its index column is in another order than 0, 1, 2 ..., so the order of its rows is not plain: write it "
            "with the images' names, or sort it by the index and leave that out (pandas: index=False)"
        )
    if counted or name.strip().lower() in INDEX_COLUMNS:
        kept.pop(name)
    return dict(kept)


def _labels_and_scores(arrays: Mapping[str, NDArray[Any]]) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Columns of labels and as many of their scores, by name or by kind; no scores where it is not so."""
    by_name = [name for name in arrays if SCORE_COLUMN.match(name)]
    by_kind = [name for name, a in arrays.items() if a.dtype.kind == "f" and (a != np.floor(a)).any()]
    for scored in (by_name, by_kind):
        labels = [name for name in arrays if name not in scored]
        if scored and len(labels) == len(scored) <= MAX_LABELS and all(arrays[n].dtype.kind in "fiu" for n in scored):
            return [_as_labels(arrays[name]) for name in labels], [arrays[name] for name in scored]
    return [], []


def _as_labels(array: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.isnan(array), -1, array).astype(np.int64) if array.dtype.kind == "f" else array


def _lists(columns: Mapping[str, Any]) -> list[Any] | None:
    """The entries of a column of lists (or of texts that hold lists), with the scores of a second one; None without any."""
    import pyarrow as pa

    lists = {
        n: c.to_pylist() for n, c in columns.items() if pa.types.is_list(c.type) or pa.types.is_fixed_size_list(c.type)
    }
    for name, column in columns.items():
        if _is_text(column):
            tokens = [_tokens(text or "") for text in column.to_pylist()]
            if all(entry is not None for entry in tokens) and any(len(entry or ()) > 1 for entry in tokens):
                lists[name] = tokens
    if not lists or len(lists) < len(columns) or len(lists) > 2:
        return None
    if len(lists) == 1:
        (only,) = lists.values()
        return list(only)
    by_name = {bool(SCORE_COLUMN.match(name)): rows for name, rows in lists.items()}
    first, second = (by_name[False], by_name[True]) if len(by_name) == 2 else tuple(lists.values())
    return [list(zip(labels, scores, strict=False)) for labels, scores in zip(first, second, strict=True)]


def _tokens(text: str) -> list[str] | None:
    """The entries of a list that was written as text: `[1, 2]`, `n01440764 n01443537`; None for other text."""
    tokens = [token.strip("'\"") for token in re.split(r"[\s,;|]+", text.strip().strip("[](){}")) if token]
    return tokens if all(WNID.fullmatch(token) or _is_number(token) for token in tokens) else None


# Entries per image


def of_rows(
    rows: list[Any], image_ids: list[str] | None, path: Path, known: Collection[str], ids: str | None
) -> ScoreFile:
    """What entries per image hold: a label, numbers per class, labels, labels with scores, or with boxes (Kaggle's)."""
    import pyarrow as pa

    if rows and all(isinstance(row, dict) for row in rows):
        if all(WNID.fullmatch(key) for row in rows for key in row):
            return _of_named_scores(rows, image_ids, path)
        nested = any(isinstance(value, (list, dict)) for value in rows[0].values())
        columns = {str(name): [row.get(name) for row in rows] for name in rows[0]}
        if image_ids is None and nested:
            column = next((n for n in ([ids] if ids else columns) if image_stem(str(columns[n][0])) in known), None)
            image_ids = [str(value) for value in columns.pop(column)] if column else None
        try:
            table = {name: pa.array(values) for name, values in columns.items()}
        except pa.ArrowException as error:
            raise ValueError(f"{path}: entries of different kinds: {error}") from None
        if image_ids is None:
            return of_columns(table, path, known, ids)
        return of_columns(table | {"__image": pa.array(image_ids)}, path, known, "__image")
    entries = [list(row) if isinstance(row, (list, tuple)) else [row] for row in rows]
    if entries and all(len(entry) % 5 == 0 and entry and _is_boxed(entry) for entry in entries):
        return _of_boxed(entries, image_ids, path)
    scores = None
    if entries and all(isinstance(item, (list, tuple, dict)) and item for entry in entries for item in entry):
        pairs = [[_pair(item, path) for item in entry] for entry in entries]
        entries = [[label for label, _ in entry] for entry in pairs]
        scores = _padded([[score for _, score in entry] for entry in pairs], np.nan).astype(np.float64)
    return ScoreFile(_values(entries, path), image_ids, scores=scores)


def _values(entries: list[Any], path: Path) -> NDArray[Any]:
    """Entries per image [N, columns], short lists filled up with none."""
    kinds = Counter(type(value) for entry in entries for value in entry)
    if str in kinds and len(kinds) == 1:
        if all(_is_number(value) for entry in entries for value in entry):
            entries = [[float(value) for value in entry] for entry in entries]
            return _padded(entries, np.nan)
        return _padded(entries, "")
    if not kinds or not set(kinds) <= {int, float, bool, type(None)}:
        raise ValueError(
            f"{path}: expected numbers or labels for every image, got {', '.join(k.__name__ for k in kinds)}"
        )
    if len({len(entry) for entry in entries}) > 1 and max(map(len, entries)) > MAX_LABELS:
        raise ValueError(f"{path}: its rows are of different lengths")
    return _padded([[np.nan if value is None else value for value in entry] for entry in entries], np.nan)


def _padded(rows: list[list[Any]], nothing: Any) -> NDArray[Any]:  # noqa: ANN401
    longest = max(map(len, rows), default=0)
    return np.array([[*row, *[nothing] * (longest - len(row))] for row in rows])


def _pair(item: Any, path: Path) -> tuple[Any, float]:  # noqa: ANN401
    """A label and its score, from `[label, score]`, Keras' `[WNID, words, score]`, or `{"label": .., "score": ..}`."""
    if isinstance(item, dict):
        scored = [name for name in item if SCORE_COLUMN.match(name)]
        labels = [name for name in item if name not in scored and (isinstance(item[name], int) or _is_wnid(item[name]))]
        if len(scored) == len(labels) == 1:
            return item[labels[0]], float(item[scored[0]])
    elif len(item) in (2, 3) and isinstance(item[-1], (int, float, str)) and _is_number(str(item[-1])):
        first = item[0]
        return (int(float(first)) if isinstance(first, str) and _is_number(first) else first), float(item[-1])
    raise ValueError(f"{path}: expected a label and its score, got {str(item)[:60]}")


def _is_wnid(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, str) and WNID.fullmatch(value) is not None


def _of_named_scores(rows: list[dict[str, Any]], image_ids: list[str] | None, path: Path) -> ScoreFile:
    """Scores by WNID for every image: of all classes, or of the best."""
    if max(len(row) for row in rows) <= MAX_LABELS:
        labels, scores = [list(row) for row in rows], [[float(v) for v in row.values()] for row in rows]
        return ScoreFile(_padded(labels, ""), image_ids, scores=_padded(scores, np.nan))
    names = sorted(rows[0])
    if any(sorted(row) != names for row in rows):
        raise ValueError(f"{path}: its images have scores of different classes")
    return ScoreFile(np.array([[row[name] for name in names] for row in rows], np.float64), image_ids, names)


def _is_boxed(entry: list[Any]) -> bool:
    """Whether an entry is Kaggle's PredictionString: WNID xmin ymin xmax ymax, up to five times."""
    return all(_is_wnid(entry[i]) == (i % 5 == 0) for i in range(len(entry)))


def _of_boxed(entries: list[list[Any]], image_ids: list[str] | None, path: Path) -> ScoreFile:
    longest = max(len(entry) // 5 for entry in entries)
    if longest > MAX_LABELS:
        raise ValueError(f"{path}: expected up to {MAX_LABELS} labels with boxes an image, got {longest}")
    boxes = np.full((len(entries), longest, 4), np.nan)
    for row, entry in enumerate(entries):
        values = [[float(value) for value in entry[i + 1 : i + 5]] for i in range(0, len(entry), 5)]
        boxes[row, : len(values)] = values
    return ScoreFile(_padded([entry[::5] for entry in entries], ""), image_ids, boxes=boxes)
