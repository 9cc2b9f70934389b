"""The claims of the paper: their margins, and the messages about what is wrong in the file."""

from __future__ import annotations

import math

import pytest
import yaml

from tests.judging.made_claims import PAPER, claim
from vggrepro.paper import claims
from vggrepro.paper.tables import published_table


@pytest.fixture(scope="module")
def papers() -> tuple[claims.Claim, ...]:
    return claims.load_claims(PAPER.table)


def printed(place: claims.CellPlace, quantity: str) -> float:
    table = published_table(place.table)
    row = next(row for row in table.rows if place.matches(row.keys))
    value = next(row.cells[c.name].value for c in table.columns if c.quantity == quantity)
    return -value if table.higher_is_better else value


def test_margins_of_gains_are_half_of_the_smallest_printed_one(papers):
    for c in papers:
        if c.id in ("one-googlenet", "caltech256-chatfield"):
            continue  # of the number in the sentence
        if c.test in ("superiority", "ordering") and not c.by and None not in claims.printed_gains(c, PAPER.table):
            gains = [printed(against, c.quantity) - printed(cell, c.quantity) for cell, against in c.compared()]
            assert claims.printed_gains(c, PAPER.table) == pytest.approx(gains)
            assert min(gains) > 0 or c.id == "multi-crop-top-5", c.id
            assert c.margin == max(0.05, math.floor(10 * min(gains) / 2 + 1e-6) / 10), c.id


@pytest.mark.parametrize(
    ("name", "margin"),
    [("depth", 0.3), ("depth-top-5", 0.2), ("jitter", 0.4), ("test-scales-top-5", 0.05), ("box-fusion", 0.3)]
    + [("transfer-voc2007", 0.2), ("previous-generation-top-5", 3.2), ("caltech256-chatfield", 4.3)]
    + [("one-googlenet", 0.45), ("small-filters", 3.5)],
)
def test_some_margins_by_hand(papers, name, margin):
    assert {c.id: c.margin for c in papers}[name] == margin


def test_a_claim_on_several_quantities_is_one_for_each(papers):
    by_id = {c.id: c for c in papers}
    for c in papers:
        if c.same_as:
            first = by_id[c.same_as]
            assert (c.id, c.claim, c.pairs) == (f"{first.id}-{c.quantity}", first.claim, first.pairs)
    classification = {c.same_as or c.id for c in papers if c.quantity in ("top-1", "top-5")}
    both = {c.same_as for c in papers if c.quantity == "top-5"}
    # the paper says these of one of the two
    assert classification - both == {"small-filters", "small-filters-by-7", "two-against-seven", "one-googlenet"}


def test_every_number_that_stands_in_a_sentence_is_judged_by_a_claim_that_names_it():
    """Cells of these say "see claims"."""
    text = published_table("text")
    stated = {row.keys["number"] for row in text.rows if row.cells["stated"].value is not None}
    named = [entry["number"] for entry in yaml.safe_load(claims.CLAIMS_FILE.read_text()) if "number" in entry]
    assert stated == set(named) - {"how much higher the error of the shallow net is"}


def test_margins_of_no_difference_hold_what_is_printed(papers):
    for c in papers:
        if c.test in ("equivalence", "non-inferiority") and c.table != "text":
            for cell, against in c.compared() if not c.by and not c.table.endswith("-scales") else ():
                assert abs(printed(against, c.quantity) - printed(cell, c.quantity)) < c.margin or cell.of


def test_every_claim_says_why(papers):
    assert len(papers) >= 30
    assert all(c.why for c in papers if c.margin)
    assert {c.test for c in papers} == {
        "superiority",
        "ordering",
        "non-inferiority",
        "equivalence",
        "equality",
        "arithmetic",
        "speed",
        "cost",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margine": 1}, r"claim it: no key is called 'margine' \(did you mean 'margin'\?\)"),
        ({"test": "superior"}, "claim it: test: .*got 'superior'"),
        ({"margin": -1}, "claim it: margin: .*got -1"),
        ({"margin": None}, "claim it: margin:"),
        ({"test": "non-inferiority", "why": ""}, "claim it: why: needed for a test of non-inferiority"),
        (
            {"quantity": ["top-1", "top-5"], "margin": {"top-1": 1}},
            "claim it: margin: expected a number, or one each for ",
        ),
        ({"number": "81"}, "claim it: number: text.csv has no number called '81'"),
        ({"of": 4}, "claim it: of: means nothing for a test of superiority"),
        ({"by": 2.0}, "claim it: margin: means nothing beside by"),
        ({"test": "non-inferiority", "by": 2.0}, "claim it: by: means nothing"),
        (
            {"quantity": "top-3"},
            "claim it: quantity: 'top-3' of Table 3: B, 256, 256 is not measured. .*: top-1, top-5",
        ),
        ({"table": "13"}, "claim it: table: the paper has no table '13'"),
        (
            {"pairs": [{"cell": {"net": "F"}, "against": {"net": "A"}}]},
            "claim it: expected one row of table 3 with {'net': 'F'}, got 0",
        ),
        (
            {"pairs": [{"cell": {"net": "D"}, "against": {"net": "A"}}]},
            "claim it: expected one row of table 3 with {'net': 'D'}, got 3",
        ),
        ({"pairs": [{"cell": {"net": "A"}}]}, r"claim it: pairs.0.against is missing"),
        ({"id": "It"}, "claim It: id: "),
    ],
)
def test_what_is_wrong_with_a_claim_is_named(tmp_path, change, message):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump([claim() | change], sort_keys=False))
    with pytest.raises(ValueError, match=rf"c.yaml: {message}"):
        claims.load_claims(PAPER.table, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "cannot be read as YAML"), ("a: 1", "expected a list of claims"), ("- 1", "expected a list of claims")],
)
def test_a_file_without_claims_is_named(tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"c.yaml: {message}"):
        claims.load_claims(PAPER.table, tmp_path / "c.yaml")


def test_two_claims_of_one_name_are_refused(tmp_path):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump([claim(), claim()], sort_keys=False))
    with pytest.raises(ValueError, match="c.yaml: claim it: id: expected a different one"):
        claims.load_claims(PAPER.table, tmp_path / "c.yaml")
