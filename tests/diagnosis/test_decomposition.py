"""The statistics and files of an error decomposition, from made-up ranks."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from vggrepro.data.store import Store
from vggrepro.diagnosis.decomposition import measured_step, read_decomposition, unmeasured_steps, write_decomposition
from vggrepro.diagnosis.steps import COMPUTED_STEPS, MISTAKES, DecompositionStep, protocol_steps
from vggrepro.paper.runs import Run

D = Run("D", "256-512")


def test_a_change_is_the_difference_of_the_errors():
    rng, step = np.random.default_rng(0), DecompositionStep("", "")
    before, after = rng.integers(0, 8, 300).astype(np.int32), rng.integers(0, 7, 300).astype(np.int32)
    errors_before, errors_after = (measured_step(step, ranks, None).errors for ranks in (before, after))
    for quantity, change in measured_step(step, after, before).changes.items():
        assert change.points == pytest.approx(errors_after[quantity] - errors_before[quantity])
        assert change.broken - change.mended == round(3 * change.points)
        assert change.interval[0] < change.points < change.interval[1]


@pytest.fixture
def written(stores, tmp_path) -> Path:
    """A decomposition of random ranks, with a step that is missing."""
    val, rng = Store(stores[1]), np.random.default_rng(0)
    ranks = {step.name: rng.integers(0, 9, len(val)).astype(np.int32) for step in (*COMPUTED_STEPS, *MISTAKES)}
    options = {
        "steps": COMPUTED_STEPS,
        "mistakes": MISTAKES,
        "missing": {"Q = 384": "no scores"},
        "metadata": {"seconds": 1},
    }
    write_decomposition(D, store=val, ranks=ranks, out=tmp_path / "why", **options)
    return tmp_path / "why"


def test_a_decomposition_comes_back(written, stores):
    decomposition = read_decomposition(written)
    assert (decomposition.run, decomposition.images) == (D.name, len(Store(stores[1])))
    assert [step.name for step in decomposition.steps] == [step.name for step in COMPUTED_STEPS]
    assert [step.name for step in decomposition.mistakes] == [step.name for step in MISTAKES]
    assert decomposition.steps[0].changes == {}
    assert all(set(step.changes) == {"top-1", "top-5"} for step in (*decomposition.steps[1:], *decomposition.mistakes))
    assert decomposition.base == "smallest side 256"
    assert decomposition.missing == ["Q = 384: no scores"]


def test_a_mistake_is_compared_with_the_plain_centre_crop(written):
    decomposition = read_decomposition(written)
    base = next(step for step in decomposition.steps if step.name == decomposition.base)
    for mistake in decomposition.mistakes:
        for quantity, change in mistake.changes.items():
            assert change.points == pytest.approx(mistake.errors[quantity] - base.errors[quantity])


def test_images_that_a_step_changes_are_listed(written, stores):
    decomposition = read_decomposition(written)
    flips = list(csv.DictReader((written / "flips.csv").open(encoding="utf-8")))
    for step in (*decomposition.steps[1:], *decomposition.mistakes):
        for quantity, change in step.changes.items():
            rows = [row for row in flips if (row["step"], row["error"]) == (step.name, quantity)]
            counts = [sum(row["change"] == kind for row in rows) for kind in ("mended", "broken")]
            assert counts == [change.mended, change.broken]
    assert {row["image"] for row in flips} <= set(Store(stores[1]).ids)


def test_the_csv_has_a_row_for_every_error(written):
    decomposition = read_decomposition(written)
    rows = {
        (row["kind"], row["name"], row["error"]): row
        for row in csv.DictReader((written / "why.csv").open(encoding="utf-8"))
    }
    for kind, steps in (("step", decomposition.steps), ("mistake", decomposition.mistakes)):
        for step in steps:
            for quantity, error in step.errors.items():
                row = rows.pop((kind, step.name, quantity))
                assert float(row["here"]) == pytest.approx(error, abs=1e-3)
                change = step.changes.get(quantity)
                assert row["mended"] == (str(change.mended) if change else "")
    assert rows == {}


def test_steps_without_scores_or_devkit_have_a_reason(tmp_path):
    steps = [*protocol_steps(D), *MISTAKES]
    stored = [step.name for step in steps if step.system]
    reasons = unmeasured_steps(steps, scores_folder=None, devkit=None)
    assert list(reasons) == [*stored, "the devkit's class order"]
    assert reasons["the devkit's class order"] == "needs ILSVRC's devkit, which was not given"
    assert list(unmeasured_steps(steps, scores_folder=tmp_path, devkit=tmp_path)) == stored


def test_a_damaged_decomposition_is_named(written):
    (written / "why.json").write_text('{"run": 1}')
    with pytest.raises(ValueError, match=r"why.json: no error decomposition, or a damaged one: delete .* again"):
        read_decomposition(written)
