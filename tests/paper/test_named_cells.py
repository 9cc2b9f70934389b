"""Cells of a user's claims, named by the text of a system."""

from __future__ import annotations

import pytest
import yaml

from vggrepro.paper.claims import CellPlace, load_claims
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings

OWN = {"margin": 0.3, "why": "so", "test": "superiority", "quantity": "top-1", "claim": "It holds."}


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(
        {
            "imported": {"Net one": {"file": "a.npy"}, "Net two": {"file": "b.txt"}},
            "fusions": {"Both": "Net one + D/384/384"},
            "devkit": {"folder": "devkit"},
        }
    )


@pytest.fixture
def compared(settings, tmp_path):
    """The two places of the single pair of a user's claim."""

    def read(cell: object, against: object = "Net two", **changes: object) -> tuple[CellPlace, CellPlace]:
        entry = OWN | {"id": "mine", "pairs": [{"cell": cell, "against": against}]} | changes
        (tmp_path / "c.yaml").write_text(yaml.safe_dump([entry]))
        claims = load_claims(settings.table, tmp_path / "c.yaml", named_in=settings.table_numbers())
        return claims[0].compared()[0]

    return read


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        ("Net one", "Table 7: Net one"),
        ({"system": "Net one"}, "Table 7: Net one"),
        ("Both", "Table 7: Both"),
        ("D/384/384 + Net one", "Table 7: Both"),
        ("D/256/256", "Table 3: D, 256, 256, dense"),
        ("D/[256;512]/512,256,384", "Table 4: D, [256;512], 256,384,512, dense"),
        ({"system": "D/[256;512]/256,384,512", "table": "5"}, "Table 5: D, dense"),
        ("E/[256;512]/256,384,512 (multi-crop & dense)", "Table 5: E, multi-crop & dense"),
        ({"table": "3", "net": "A", "S": 256, "Q": 256}, "Table 3: A, 256, 256"),
    ],
)
def test_a_text_names_the_row_that_measures_its_system(compared, cell, label):
    place, against = compared(cell)
    shown = [part for part in label.split(": ")[1].split(", ") if part]
    assert place.label.startswith(label.split(": ")[0])
    assert set(shown) <= set(place.label.split(": ")[1].split(", "))
    assert against.label == "Table 7: Net two"


def test_a_system_is_found_in_the_table_that_measures_the_quantity(compared):
    place, against = compared("Net one", quantity="localisation")
    assert (place.label, against.label) == ("Table 10: Net one", "Table 10: Net two")


def test_several_systems_are_ordered_by_their_names(settings, tmp_path):
    entry = OWN | {"id": "deeper", "test": "ordering", "order": ["Net one", "A/256/256", {"system": "Net two"}]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump([entry]))
    (claim,) = load_claims(settings.table, tmp_path / "c.yaml", named_in=settings.table_numbers())
    assert [[place.label for place in pair] for pair in claim.compared()] == [
        ["Table 3: A, 256, 256, dense", "Table 7: Net one"],
        ["Table 7: Net two", "Table 3: A, 256, 256, dense"],
    ]


@pytest.mark.parametrize(
    ("cell", "changes", "message"),
    [
        (
            "Net oen",
            {},
            r"claim mine: no system is called 'Net oen' \(did you mean 'Net one'\?\). .*: Net one, Net two, Both",
        ),
        ("D/256/265", {}, r"no system is called 'D/256/265' \(did you mean 'D/256/256'\?\)"),
        ({"system": "Net one", "table": "3"}, {}, "no row of table 3 is called 'Net one'"),
        ({"system": "Net one", "net": "D"}, {}, "claim mine: net: means nothing beside system: 'Net one'"),
        (
            "Net one",
            {"quantity": "top-11"},
            r"quantity: 'top-11' of Net \w+ is not measured \(did you mean 'top-1'\?\)",
        ),
        ({"table": "7", "method": "Net oen"}, {}, r"got 0. .*\(did you mean 'Net one'\?\)"),
        ({"table": "3", "nte": "D"}, {}, r"got 0. .*\(did you mean 'net'\?\)"),
        ({"table": "33", "net": "D"}, {}, "table: the paper has no table '33'"),
        ({"system": "Net one", "table": "99"}, {}, "claim mine: table: the paper has no table '99'"),
        ("Net one", {"table": 99}, "claim mine: table: the paper has no table '99'"),
        (
            "Net one",
            {"quantity": [["top-1"]]},
            r"claim mine: quantity: expected a text or a list of texts.*\[\['top-1'\]\]",
        ),
        ("Net one", {"quantity": {"a": "b"}}, "claim mine: quantity: expected a text or a list of texts"),
        ("Net one", {"quantity": ["top-1", None]}, "claim mine: quantity: expected a text or a list of texts"),
        ("Net one", {"ours": True}, "claim mine: ours: means nothing here"),
        ("Net one", {"margni": 1}, r"no key is called 'margni' \(did you mean 'margin'\?\)"),
        ("Net one", {"test": "superior"}, "test: expected .*superiority"),
        (7, {}, "pairs.0.cell: expected keys and values, got 7"),
    ],
)
def test_what_is_wrong_with_a_users_claim_is_named_with_the_nearest_name(compared, cell, changes, message):
    with pytest.raises(ValueError, match=rf"c.yaml: .*{message}"):
        compared(cell, **changes)


def test_a_gain_that_the_paper_does_not_print_needs_a_margin(settings, tmp_path):
    entry = {key: value for key, value in OWN.items() if key not in ("margin", "why")}
    pairs = [{"cell": "Net one", "against": "Net two"}]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump([entry | {"id": "mine", "pairs": pairs}]))
    with pytest.raises(ValueError, match="claim mine: margin: needed"):
        load_claims(settings.table, tmp_path / "c.yaml", named_in=settings.table_numbers())


def test_a_gain_of_a_claimed_size_needs_no_margin(settings, tmp_path):
    entry = {key: value for key, value in OWN.items() if key not in ("margin", "why")}
    pairs = [{"cell": "Net one", "against": "Net two"}]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump([entry | {"id": "mine", "by": 2.0, "pairs": pairs}]))
    (claim,) = load_claims(settings.table, tmp_path / "c.yaml", named_in=settings.table_numbers())
    assert (claim.by, claim.margin) == (2.0, 0.0)
