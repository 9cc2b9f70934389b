"""What would stand many times on the page is said once: notes of several tables, columns of one value. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vggrepro.paper.tables import table_label
from vggrepro.tables.cells import Table


def shared_notes(tables: Sequence[Table]) -> list[tuple[str, str]]:
    """The notes that stand in more than one table: the tables, `Tables 3 to 7 and 9`, and the note."""
    notes = dict.fromkeys(note for table in tables for note in table.notes)
    holders = {note: [k for k, table in enumerate(tables) if note in table.notes] for note in notes}
    return [(_named(tables, places), note) for note, places in holders.items() if len(places) > 1]


def _named(tables: Sequence[Table], places: Sequence[int]) -> str:
    """`Tables 3 to 7, 9` and the tables without a number by their titles; `places` ascend."""
    runs: list[list[int]] = []
    for place in (place for place in places if tables[place].number.isdigit()):
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    numbered = [" to ".join(tables[end].number for end in dict.fromkeys((run[0], run[-1]))) for run in runs]
    titled = [table_label(tables[place].number) for place in places if not tables[place].number.isdigit()]
    word = "Table" if len(runs) == 1 and len(runs[0]) == 1 else "Tables"
    return ", ".join([f"{word} {', '.join(numbered)}"] * bool(numbered) + titled)


def varying_columns(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], list[str]]:
    """The columns (key, heading) whose values differ between the rows; and of the others a sentence each, `attempts: 1`.

    Of a single row every column is kept.
    """
    constant = [key for key in columns if len(rows) > 1 and len({str(row[key]) for row in rows}) == 1]
    kept = {key: heading for key, heading in columns.items() if key not in constant}
    return kept, [f"{columns[key]}: {rows[0][key]}" for key in constant]
