"""The lines of a table's CSV by its columns: key columns of its kind, and value columns of `tables.yaml`. No torch."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vggrepro.core.files import read_regular
from vggrepro.core.printable import shortened
from vggrepro.core.validation import nearest_hint
from vggrepro.paper.descriptions import TableDescription
from vggrepro.paper.kinds import TABLE_KINDS


def csv_lines(path: Path, table: TableDescription) -> list[tuple[int, dict[str, str]]]:
    """The number of each line below the header, and its cells by column.

    Raises ValueError that names the file and, with the nearest known name, the column, or the line, for a file that is not in
    UTF-8; a column that is unknown, missing or there twice; a line of more or fewer cells; and a file without lines.
    """
    if not path.is_file():
        expected = ", ".join(_columns(table))
        raise ValueError(
            f"{path}: no such file: tables.yaml describes it: expected a line for each row, under {expected}, ..."
        )
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    lines = []
    try:
        header = next(reader, [])
        _check_header(path, header, table)
        for cells in filter(None, reader):
            if len(cells) != len(header):
                raise ValueError(f"{path}, line {reader.line_num}: expected {len(header)} cells, got {len(cells)}")
            lines.append((reader.line_num, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: cannot be read as CSV: {error}") from None
    if not lines:
        raise ValueError(f"{path}: expected a line for each row under the header, got none")
    return lines


def _text(path: Path) -> str:
    """The text of the file, without the mark that a spreadsheet puts before it."""
    try:
        text = read_regular(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError(f"{path}: expected text in UTF-8, got another encoding: save it as UTF-8 (Excel: CSV UTF-8)")
    return text


def _columns(table: TableDescription) -> list[str]:
    """The columns that have to be there."""
    return [*table.keys, *table.values]


def _check_header(path: Path, header: Sequence[str], table: TableDescription) -> None:
    known = list(dict.fromkeys([*_columns(table), *TABLE_KINDS[table.kind].key_columns]))
    if unknown := [column for column in header if column not in known]:
        absent = [column for column in known if column not in header]
        raise ValueError(
            f"{path}: no column is called {shortened(unknown[0])}{nearest_hint(unknown[0], absent)}. Known here, with commas "
            f"between them: {', '.join(known)}"
        )
    if missing := [column for column in _columns(table) if column not in header]:
        expected = ", ".join(_columns(table))
        raise ValueError(
            f"{path}: there is no column {missing[0]!r}, which tables.yaml describes: expected {expected}, ..."
        )
    if repeated := [column for column, count in Counter(header).items() if count > 1]:
        raise ValueError(f"{path}: expected each column once, got {repeated[0]!r} twice")
