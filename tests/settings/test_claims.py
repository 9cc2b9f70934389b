"""Files of claims of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vggrepro.settings.claims import PAPERS, claims_by_file
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
    by_file = claims_by_file(load_settings({"claims": files}))
    assert {name: [claim.id for claim in claims] for name, claims in by_file.items() if name != PAPERS} == {
        "mine": ["one", "two"],
        "hers": ["three"],
    }
    assert by_file[PAPERS] == claims_by_file(load_settings({}))[PAPERS]
    assert all(claim.ours for name in files for claim in by_file[name])


def test_a_margin_between_rows_of_the_paper_follows_from_print_as_the_papers_own(tmp_path):
    settings = load_settings({"claims": {"mine": write_claims(tmp_path / "a.yaml", "one")}})
    (claim,) = claims_by_file(settings)["mine"]
    # half of 29.6 less 27.0, rounded down
    assert claim.margin == 1.3


def test_an_id_belongs_to_one_claim(tmp_path):
    taken = {"mine": write_claims(tmp_path / "a.yaml", "depth-top-5")}
    with pytest.raises(ValueError, match=r"a.yaml: claim depth-top-5: id: claims.yaml has a claim of this name"):
        claims_by_file(load_settings({"claims": taken}))
    twice = {"mine": write_claims(tmp_path / "a.yaml", "one"), "hers": write_claims(tmp_path / "b.yaml", "one")}
    with pytest.raises(ValueError, match=r"b.yaml: claim one: id: .*a.yaml has a claim of this name"):
        claims_by_file(load_settings({"claims": twice}))


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
