"""What touches the same cells is one footnote."""

from __future__ import annotations

from vggrepro.judging.footnotes import footnotes, noted
from vggrepro.paper.protocol import rules_by_id
from vggrepro.tables.cells import ALL_CELLS, AuditFinding

MARKS = dict[str, tuple[str, ...]]


def finding(
    name: str, did: str, *, choice: int | None = None, differs: bool = True, about: str = "run"
) -> AuditFinding:
    kind = "choice" if choice else "paper"
    return AuditFinding(name, "3", "x", kind, choice, rules_by_id()[name].words(did), "it", differs, (about,))


def marked(findings: dict[str, list[AuditFinding]]) -> tuple[MARKS, tuple[tuple[str, str], ...]]:
    return footnotes(noted(findings), list(findings))


def test_what_was_done_alike_is_one_finding_of_all_that_did_it():
    first, second, other = finding("batch", "16"), finding("batch", "16", about="other"), finding("batch", "8")
    alike, alone = noted({"1": [first, second], "2": [second, other]})
    assert (alike.about, alike.cells, alike.did) == (("run", "other"), ("1", "2"), "batch of 16")
    assert (alone.about, alone.cells, alone.did) == (("run",), ("2",), "batch of 8")


def test_what_touches_the_same_cells_is_one_footnote():
    batch, crop, later = finding("batch", "16"), finding("crop", "56"), finding("drops", "4", choice=7)
    cells = {"1": [batch, crop], "2": [batch, crop, later], "3": [batch, crop, later]}
    marks, texts = marked(cells)
    assert marks == {"1": (ALL_CELLS,), "2": (ALL_CELLS, "a"), "3": (ALL_CELLS, "a")}
    assert dict(texts) == {
        ALL_CELLS: "Not as in the paper: batch of 16 (it), crop of 56 px (it).",
        "a": "Choices, not the default: learning-rate drops, at most: 4 (choice 7: it).",
    }


def test_no_footnote_speaks_of_all_cells_beside_systems_that_others_tested():
    crop = finding("crop", "56")
    marks, texts = footnotes(noted({"1": [crop], "2": [crop]}), ["1", "2"], whole=False)
    assert (marks, [mark for mark, _ in texts]) == ({"1": ("a",), "2": ("a",)}, ["a"])


def test_a_choice_at_its_default_is_no_footnote():
    assert marked({"1": [finding("pooling", "it", choice=1, differs=False)]}) == ({"1": ()}, ())


def test_values_of_several_runs_are_named_together():
    cells = {"1": [finding("length", "58")], "2": [finding("length", "61")]}
    assert marked(cells) == (
        {"1": (ALL_CELLS,), "2": (ALL_CELLS,)},
        ((ALL_CELLS, "Not as in the paper: 58 or 61 epochs (it)."),),
    )
    many = {str(i): [finding("length", str(i))] for i in range(9)}
    assert marked(many)[1] == ((ALL_CELLS, "Not as in the paper: 9 different values epochs (it)."),)
