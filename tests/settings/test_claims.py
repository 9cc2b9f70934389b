"""Files of claims of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vggrepro.settings.claims import claim_families
from vggrepro.settings.loading import load_settings


def write_claims(file: Path, *names: str) -> str:
    """Claims that D is better than A, under these ids."""
    pair = {"cell": "D/256/256", "against": "A/256/256"}
    claim = {"claim": "It holds.", "test": "superiority", "quantity": "top-1", "pairs": [pair]}
    file.write_text(yaml.safe_dump([claim | {"id": name} for name in names]))
    return str(file)


def test_claims_of_the_user_stand_beside_the_papers_and_change_none_of_them(tmp_path):
    files = {
        "mine": write_claims(tmp_path / "a.yaml", "one", "two"),
        "hers": write_claims(tmp_path / "b.yaml", "three"),
    }
    papers, ours, mine, hers = claim_families(load_settings({"claims": files}))
    assert (papers, ours) == claim_families(load_settings({}))
    assert [(family.file, [claim.id for claim in family.claims]) for family in (mine, hers)] == [
        ("mine", ["one", "two"]),
        ("hers", ["three"]),
    ]
    assert all(claim.ours for family in (ours, mine, hers) for claim in family.claims)
    assert not any(claim.ours for claim in papers.claims)


def test_a_margin_between_rows_of_the_paper_follows_from_print_as_the_papers_own(tmp_path):
    settings = load_settings({"claims": {"mine": write_claims(tmp_path / "a.yaml", "one")}})
    (claim,) = claim_families(settings)[-1].claims
    # half of 29.6 less 27.0, rounded down
    assert claim.margin == 1.3


def test_claims_are_judged_again_on_a_reference_where_all_their_cells_are_measured_on_it(tmp_path):
    own = {"mine": write_claims(tmp_path / "a.yaml", "one")}
    families = claim_families(load_settings({"claims": own, "labels": {"Re aL": "real.json"}}))
    assert [(family.file, family.reference) for family in families] == [
        ("", ""),
        ("", ""),
        ("mine", ""),
        ("", "Re aL"),
        ("", "Re aL"),
        ("mine", "Re aL"),
    ]
    papers, again = families[0].claims, families[3].claims
    first = {claim.id: claim for claim in papers}
    # of quoted numbers, boxes, SVMs, costs and other results nothing is known on these labels
    left_out = {claim.id for claim in papers} - {claim.same_as for claim in again}
    assert {"previous-generation", "boxes-overfeat", "lrn-time", "voc-chatfield", "initialisation"} <= left_out
    assert {"depth", "depth-top-5", "fusion", "small-filters-by-7"}.isdisjoint(left_out)
    for claim in again:
        assert (claim.id, claim.quantity) == (f"{claim.same_as}-re-al", f"{first[claim.same_as].quantity} on Re aL")
        assert (claim.margin, claim.by, claim.compared()) == (
            first[claim.same_as].margin,
            first[claim.same_as].by,
            first[claim.same_as].compared(),
        )
    assert [claim.id for claim in families[5].claims] == ["one-re-al"]


def test_an_id_belongs_to_one_claim(tmp_path):
    taken = {"mine": write_claims(tmp_path / "a.yaml", "depth-top-5")}
    with pytest.raises(ValueError, match=r"a.yaml: claim depth-top-5: id: claims.yaml has a claim of this name"):
        claim_families(load_settings({"claims": taken}))
    twice = {"mine": write_claims(tmp_path / "a.yaml", "one"), "hers": write_claims(tmp_path / "b.yaml", "one")}
    with pytest.raises(ValueError, match=r"b.yaml: claim one: id: .*a.yaml has a claim of this name"):
        claim_families(load_settings({"claims": twice}))


def test_an_id_that_a_claim_judged_again_has_belongs_to_one_claim_too(tmp_path):
    own = {"mine": write_claims(tmp_path / "a.yaml", "one", "one-re-al")}
    assert len(claim_families(load_settings({"claims": own}))) == 3
    again = load_settings({"claims": own, "labels": {"Re aL": "real.json"}})
    with pytest.raises(ValueError, match=r"one on Re aL: claim one-re-al: id: .*a.yaml has a claim of this name"):
        claim_families(again)


def test_a_mistake_in_a_users_claims_is_named_before_anything_runs(tmp_path):
    file = write_claims(tmp_path / "a.yaml", "one")
    Path(file).write_text(Path(file).read_text().replace("D/256/256", "D/256/266"))
    given = {"claims": {"mine": file}}
    with pytest.raises(ValueError, match=r"a.yaml: claim one: no system is called 'D/256/266' \(did you mean"):
        load_settings(given, look_for_files=True)
    # settings also come back from results, whose files may lie on another machine
    assert load_settings(given).claims == {"mine": file}
    with pytest.raises(ValueError, match=r"claims.mine: there is no file"):
        load_settings({"claims": {"mine": str(tmp_path / "nothing.yaml")}}, look_for_files=True)
