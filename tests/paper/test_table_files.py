"""What is wrong in `tables/published/` is one message with the file, the place and the nearest right name."""

from __future__ import annotations

import codecs

import pytest

from tests.paper.conftest import clear_caches
from vggrepro.paper.tables import published_table, table_numbers

MINE = """
"13":
  kind: scores
  title: Mine
  section: "4"
  caption: Rows of my own.
  keys: {net: net, S: train S, Q: test Q}
  values:
    top1_val: {heading: top-1 val. error (%), quantity: top-1, split: val}
"""
LINES = 'net,S,Q,protocol,top1_val\nE,[256;512],"256,384,512",dense,-\n'


@pytest.fixture
def added(published):
    """A function that adds a Table 13 to a copy of the published ones, with one text in it replaced, and reads it."""

    words = (published / "tables.yaml").read_text(encoding="utf-8")

    def add(old: str = "", new: str = "", lines: str | bytes = LINES) -> None:
        assert old in MINE
        (published / "tables.yaml").write_text(words + MINE.replace(old, new), encoding="utf-8")
        (published / "table13.csv").write_bytes(lines if isinstance(lines, bytes) else lines.encode())
        clear_caches()
        return published_table("13")

    return add


def test_the_recipes_entry_and_two_lines_are_a_table(added):
    assert [column.quantity for column in added().columns] == ["top-1"]
    assert len(added().rows) == 1
    assert "13" in table_numbers()


WRONG_WORDS = [
    ('"13":', "13:", r'13: expected a text for the name .*: write "13" in quotes'),
    ('"13":', "Mine:", r"Mine: expected a number, or a name of a-z"),
    ("title:", "titel:", r"13: no key is called 'titel' \(did you mean 'title'\?\)"),
    ("caption:", "captoin:", r"13: no key is called 'captoin' \(did you mean 'caption'\?\)"),
    ("  title: Mine\n", "", "13: title is missing"),
    ("kind: scores", "kind: score", "13: kind: expected .*'scores'.*, got 'score'"),
    ("kind: scores", "best: xtable\n  kind: scores", "13: best: expected 'table', 'group' or 'none', got 'xtable'"),
    ("kind: scores", "step: {name: x}\n  kind: scores", "13: step: expected at least 2"),
    ("kind: scores", "above: {side: [SS]}\n  kind: scores", r"13: above\.side: .*'SS' \(did you mean 'S'\?\)"),
    ("kind: scores", "texts: {ne: {A: B}}\n  kind: scores", r"13: texts: .*'ne' \(did you mean 'net'\?\)"),
    ("split: val", "split: vla", "13: values.top1_val.split: expected .*'val'.*, got 'vla'"),
    (
        "split: val",
        "split: test",
        "13: values.top1_val.split: expected 'val' or 'withheld' or 'claims' in a table of sc",
    ),
    (", split: val", "", "13: values.top1_val.split is missing"),
    ("quantity: top-1", "quantity: topp-1", r"13: values.top1_val.quantity: .*'topp-1' \(did you mean 'top-1'\?\)"),
    ("{net: net", "{nett: net", r"13: keys: no key column is called 'nett' \(did you mean 'net'\?\)"),
    ("top1_val:", "minus:", "13: values.minus: minus is a key column"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG_WORDS, ids=range(len(WRONG_WORDS)))
def test_a_wrong_word_of_a_tables_description_is_named(added, old, new, message):
    with pytest.raises(ValueError, match=rf"published/tables\.yaml: {message}") as caught:
        added(old, new)
    assert all("published/tables.yaml: " in line for line in str(caught.value).splitlines())


@pytest.mark.parametrize("text", ["", "[]", "x", '"13": 3'])
def test_a_file_that_describes_no_tables_is_named(published, text):
    (published / "tables.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"published/tables\.yaml: .*expected.* title, keys and values, got"):
        table_numbers()


ONE = "E,256,256,dense,-\n"
WRONG_LINES = [
    ("net,S,Q,protcol,top1_val\n" + ONE, r": no column is called 'protcol' \(did you mean 'protocol'\?\)"),
    ("net,S,Q,protocol,mins,top1_val\nE,256,256,dense,D/256/256,-\n", r".*'mins' \(did you mean 'minus'\?\)"),
    ("net,S,Q,protocol,top1_vla\n" + ONE, r".*'top1_vla' \(did you mean 'top1_val'\?\)"),
    ("net;S;Q;protocol;top1_val\n", r": no column is called 'net;S.*with commas between them"),
    ("net,S,Q,protocol\nE,256,256,dense\n", ": there is no column 'top1_val', which tables.yaml describes"),
    ("S,Q,protocol,top1_val\n256,256,dense,-\n", ": there is no column 'net'"),
    ("net,S,Q,protocol,top1_val,net\nE,256,256,dense,-,D\n", ": expected each column once, got 'net' twice"),
    # without an evaluation there is nothing to measure
    ("net,S,Q,top1_val\nE,256,256,-\n", ", line 2: expected protocol beside the nets E/256/256"),
    ("net,S,Q,protocol,top1_val\n,,,dense,-\n", ", line 2: expected nets beside dense"),
    ("net,S,Q,protocol,minus,top1_val\n,,,,D/256/256,-\n", ", line 2: expected nets beside D/256/256"),
    ("net,S,Q,protocol,top1_val\n,,,,-\n", ", line 2: expected something in a key column"),
    ('net,S,Q,protocol,top1_val\n"E,256,256,dense,-\n', ", line 2: cannot be read as CSV"),
    ("net,S,Q,protocol,top1_val\n\n" + ONE + "E,256\n", ", line 4: expected 5 cells, got 2"),
    ("net,S,Q,protocol,top1_val\n", ": expected a line for each row under the header, got none"),
    ("", ": there is no column 'net'"),
    (LINES.encode("utf-16"), ": expected text in UTF-8, got another encoding: save it as UTF-8"),
    (LINES.encode("utf-16-le"), ": expected text in UTF-8"),
    (LINES.encode().replace(b"E,", b"\xc9,"), ": expected text in UTF-8"),
]


@pytest.mark.parametrize(("lines", "message"), WRONG_LINES, ids=range(len(WRONG_LINES)))
def test_a_wrong_column_or_line_of_a_csv_is_named(added, lines, message):
    with pytest.raises(ValueError, match=rf"published/table13\.csv{message}") as caught:
        added(lines=lines)
    assert len(str(caught.value).splitlines()) == 1


def test_the_mark_that_a_spreadsheet_puts_before_its_text_is_none_of_it(added):
    plain = added()
    assert added(lines=codecs.BOM_UTF8 + LINES.replace("\n", "\r\n").encode()) == plain


def test_a_table_of_quoted_rows_needs_no_protocol(added):
    table = added("{net: net, S: train S, Q: test Q}", "{method: method}", lines="method,top1_val\nSomebody,20.1\n")
    assert not table.rows[0].ours


def test_a_net_that_predicts_boxes_needs_what_it_is_trained_for(published):
    (published / "table08.csv").write_text("net,S,Q,protocol,layers,objective,localisation_val\nD,384,384,dense,,,-\n")
    with pytest.raises(
        ValueError, match=r"table08\.csv, line 2: expected objective and layers beside the nets D/384/384"
    ):
        published_table("8")


def test_a_difference_stays_one_or_is_refused(published):
    text = published / "text.csv"
    text.write_text(text.read_text().replace("minus", "mnius", 1))
    with pytest.raises(ValueError, match=r"text\.csv: no column is called 'mnius' \(did you mean 'minus'\?\)"):
        published_table("text")


@pytest.mark.parametrize(("old", "new"), [(",image,", ",imgae,"), ("D/[256;512] + E/", "D/[256;512] - E/")])
def test_a_row_of_transfer_names_a_task(published, old, new):
    csv = published / "table12.csv"
    csv.write_text(csv.read_text().replace(old, new))
    with pytest.raises(
        ValueError, match=r"table12\.csv, line 5: .*(actions-imgae.*did you mean 'actions-image'|is no net)"
    ):
        published_table("12")
