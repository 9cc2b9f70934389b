"""What would stand many times on a page is said once, with where it holds."""

from __future__ import annotations

from vggrepro.report.repeated import shared_notes, varying_columns
from vggrepro.tables.cells import Table, TableRow
from vggrepro.tables.render import table_html


def noted(number: str, *notes: str) -> Table:
    return Table(
        number, f"table{number}", "a title", "4", "a caption", ("net",), (), (TableRow(("A",), (), 1),), (), notes
    )


def test_a_note_of_several_tables_is_said_once_with_their_numbers():
    tables = [
        noted("3", "a", "own"),
        noted("4", "a"),
        noted("5", "a", "b"),
        noted("6"),
        noted("7", "a", "b"),
        noted("text", "a"),
    ]
    assert shared_notes(tables) == [
        ("Tables 3 to 5, 7, Numbers printed in the text", "a"),
        ("Tables 5, 7", "b"),
    ]
    html = table_html(tables[0], without=["a"])
    assert "own" in html
    assert '<p class="note">a</p>' not in html
    assert '<p class="note">a</p>' in table_html(tables[0])


def test_a_column_of_one_value_becomes_a_sentence_and_one_row_keeps_all():
    rows = [{"on": "CPU", "time": "3 s"}, {"on": "CPU", "time": "4 s"}]
    columns = {"on": "on", "time": "time"}
    assert varying_columns(columns, rows) == ({"time": "time"}, ["on: CPU"])
    assert varying_columns(columns, rows[:1]) == (columns, [])
    assert varying_columns(columns, []) == (columns, [])
