"""What touches the same cells is one footnote."""

from __future__ import annotations

from vggrepro.judging.audit import Finding
from vggrepro.judging.footnotes import footnotes
from vggrepro.paper.protocol import Rule
from vggrepro.tables.cells import ALL_CELLS


def finding(name: str, did: str, *, choice: int | None = None, differs: bool = True) -> Finding:
    rule = Rule(
        id=name,
        section="3",
        says="x",
        measured={"text": name},
        expect={"every": "it"},
        shows=f"{name} {{}}",
    )
    return Finding(rule, did, "it", differs, "run", choice)


def test_what_touches_the_same_cells_is_one_footnote():
    batch, crop, later = finding("batch", "16"), finding("crop", "56"), finding("later", "4", choice=7)
    cells = {"1": [batch, crop], "2": [batch, crop, later], "3": [batch, crop, later]}
    marks, texts = footnotes(cells)
    assert marks == {"1": (ALL_CELLS,), "2": (ALL_CELLS, "a"), "3": (ALL_CELLS, "a")}
    assert dict(texts) == {
        ALL_CELLS: "Not as in the paper: batch 16 (it), crop 56 (it).",
        "a": "Choices, not the default: later 4 (choice 7: it).",
    }


def test_a_choice_at_its_default_is_no_footnote():
    assert footnotes({"1": [finding("a", "it", choice=1, differs=False)]}) == ({"1": ()}, ())


def test_values_of_several_runs_are_named_together():
    cells = {"1": [finding("length", "58")], "2": [finding("length", "61")]}
    assert footnotes(cells) == (
        {"1": (ALL_CELLS,), "2": (ALL_CELLS,)},
        ((ALL_CELLS, "Not as in the paper: length 58 or 61 (it)."),),
    )
    many = {str(i): [finding("length", str(i))] for i in range(9)}
    assert footnotes(many)[1] == ((ALL_CELLS, "Not as in the paper: length 9 different values (it)."),)
