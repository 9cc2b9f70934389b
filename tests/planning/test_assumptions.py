"""What finished runs say of disagreement takes the place of what is assumed; what cannot be read is said and passed over."""

from __future__ import annotations

import numpy as np
import pytest

from vggrepro.planning.assumptions import assumptions_of
from vggrepro.planning.power import BETWEEN, USUAL_ERROR, WITHIN, Assumptions
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes, write_outcomes

IMAGES = 10_000
SOURCES = {"dense": ("A_256_s0/dense/256",), "wide": ("A_256_s0/dense/512",), "other": ("D_256_s0/dense/256",)}


def write(folder) -> None:
    """Two systems of A that disagree on 6% of the images, and one of D on 20%, all with the usual error."""
    wrong = np.zeros((3, IMAGES), bool)
    errors = round(USUAL_ERROR * IMAGES)
    for row, moved in zip(wrong, (0, 300, 1000), strict=True):
        row[moved : errors + moved] = True
    outcomes = [
        OutcomeEntry({"row": name}, "top-1", Errors(row[None], "images", sources))
        for (name, sources), row in zip(SOURCES.items(), wrong, strict=True)
    ]
    (folder / "tables").mkdir(parents=True)
    write_outcomes(folder / "tables/table03.npz", Outcomes("3", (0,), tuple(outcomes)))


def test_disagreement_is_counted_on_the_images(tmp_path):
    write(tmp_path)
    assumed = assumptions_of(tmp_path, 1, 50_000)
    assert assumed.within == pytest.approx(0.06)
    # of A's two systems with D's: 20% and 14%
    assert assumed.between == pytest.approx(0.17)
    assert str(tmp_path) in assumed.source
    assert (assumed.seeds, assumed.usual_images, assumed.training) == (1, 50_000, {})


def test_a_spread_is_of_the_quantity_in_which_it_was_measured(tmp_path):
    """In top-1 five trainings make 40 errors more or less, in top-5 all make the same; boxes were not predicted."""
    errors, more = 2700, np.array([-40, -20, 0, 20, 40])
    top1, top5 = (np.arange(IMAGES) < errors + times * more[:, None] for times in (1, 0))
    outcomes = [
        OutcomeEntry({"row": name}, quantity, Errors(np.roll(wrong, 400 * k, 1), "images", sources))
        for quantity, wrong in (("top-1", top1), ("top-5", top5))
        for k, (name, sources) in enumerate(SOURCES.items())
    ]
    (tmp_path / "tables").mkdir()
    write_outcomes(tmp_path / "tables/table03.npz", Outcomes("3", tuple(range(5)), tuple(outcomes)))
    assumed = assumptions_of(tmp_path, 5, 50_000)
    assert set(assumed.training) == {"top-1", "top-5"}
    assert assumed.spread("top-5") < assumed.spread("top-1")
    assert assumed.spread("localisation") == Assumptions(5, {}, 50_000).spread("localisation")


def test_without_results_the_tolerances_stand(tmp_path):
    assert assumptions_of(tmp_path, 3, 50_000) == Assumptions(3, {}, 50_000)


def test_outcomes_that_cannot_be_read_are_said_and_passed_over(tmp_path):
    write(tmp_path)
    (tmp_path / "tables/table03.npz").write_bytes(b"of an older version")
    assumed = assumptions_of(tmp_path, 1, 50_000)
    assert (assumed.between, assumed.within) == (BETWEEN, WITHIN)
    assert "table03.npz" in assumed.source
