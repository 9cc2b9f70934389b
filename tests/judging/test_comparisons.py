"""What is compared: the same images, the same resamples or splits, or a number that the paper quotes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.judging.made_claims import NETS, PAPER, claim, patterns
from tests.made_tables import judged_table
from vggrepro.judging import comparisons
from vggrepro.judging.comparisons import paired_gain
from vggrepro.judging.ledger import ONE_SEED_ELSEWHERE, judge_claims
from vggrepro.paper.tables import published_table
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes, Shares, write_outcomes
from vggrepro.scores.statistics import Estimate, mcnemar_exact, nested
from vggrepro.settings.loading import load_settings
from vggrepro.tables import render


def test_outcomes_of_other_images_are_not_compared(tmp_path):
    a, b = patterns(20, 8, 10, 200)
    entries = (
        OutcomeEntry(NETS["A"], "top-1", Errors(a, "x", ())),
        OutcomeEntry(NETS["B"], "top-1", Errors(b, "y", ())),
    )
    write_outcomes(tmp_path / "table03.npz", Outcomes("3", (0,), entries))
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([claim()], sort_keys=False))
    with pytest.raises(ValueError, match="claim it: Table 3: B, 256, 256 and .* are of different images"):
        judge_claims(PAPER, tmp_path, path=tmp_path / "claims.yaml")


def transfer(folder: Path, values: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    entries = [
        OutcomeEntry({"method": method}, "voc2007", Shares(v, r, 100, 100, "voc", ()))
        for method, (v, r) in values.items()
    ]
    write_outcomes(folder / "table11.npz", Outcomes("11", (0,), tuple(entries)))


D, E, BOTH = (row.keys["method"] for row in published_table("11").rows if row.members)


def test_precisions_are_compared_on_the_same_resamples(tmp_path):
    """What images do to both alike cancels out; higher is better."""
    rng = np.random.default_rng(0)
    common, own = rng.normal(0, 0.02, (1, 200)), rng.normal(0, 0.001, (3, 1, 200))
    values = {
        m: (np.array([[v]]), v + common + o) for m, v, o in zip((D, E, BOTH), (0.89, 0.891, 0.9), own, strict=True)
    }
    transfer(tmp_path, values)
    claims = {c.id: c for c in judge_claims(PAPER, tmp_path).claims}
    assert claims["transfer-voc2007"].steps[0].gain == pytest.approx(1.0)
    low, high = claims["transfer-voc2007"].steps[0].interval
    assert high - low < 4.5  # an image's worth, 1 point, is in it; unpaired it would be 9
    assert claims["transfer-caltech101"].verdict == "not run"


def test_of_precisions_the_higher_is_better_and_of_calibration_errors_the_lower():
    low, high = (
        Shares(np.full((1, 1), mean), mean + np.linspace(-0.01, 0.01, 9)[None], 100, 100, "", ()) for mean in (0.2, 0.3)
    )
    assert paired_gain(high, low, higher_is_better=True).estimate.mean == pytest.approx(0.1)
    assert paired_gain(low, high, higher_is_better=False).estimate.mean == pytest.approx(0.1)


def test_splits_are_compared_in_pairs(tmp_path):
    splits = np.array([[0.80, 0.85, 0.90]])
    values = {m: (splits + gain, np.empty((1, 0))) for m, gain in ((D, 0.0), (E, 0.0), (BOTH, 0.05))}
    entries = [
        OutcomeEntry({"method": m}, "caltech101", Shares(v, r, 10**6, 1, "c", ())) for m, (v, r) in values.items()
    ]
    write_outcomes(tmp_path / "table11.npz", Outcomes("11", (0,), tuple(entries)))
    claims = {c.id: c for c in judge_claims(PAPER, tmp_path).claims}
    assert claims["transfer-caltech101"].verdict == "supported"


QUOTED = published_table("7")
BEST = next(row.keys for row in QUOTED.rows if row.keys["method"].startswith("VGG (2 nets"))


def judge_against(folder: Path, wrong: np.ndarray, against: str):
    entries = (OutcomeEntry(BEST, "top-5", Errors(wrong, "val", ())),)
    write_outcomes(folder / "table07.npz", Outcomes("7", (0,), entries))
    pair = {"cell": {"method": BEST["method"]}, "against": {"method": against}}
    (folder / "claims.yaml").write_text(yaml.safe_dump([claim(table="7", quantity="top-5", pairs=[pair], margin=0.5)]))
    return judge_claims(PAPER, folder, path=folder / "claims.yaml").claims[0]


@pytest.mark.parametrize(("errors", "verdict"), [(650, "supported"), (880, "refuted"), (760, "undecided")])
def test_a_number_that_the_paper_quotes_is_a_constant(tmp_path, errors, verdict):
    """GoogLeNet's 7.9: the interval is that of our error alone, as for a single proportion."""
    wrong = (np.arange(10_000) < errors)[None]
    judged = judge_against(tmp_path, wrong, "GoogLeNet (Szegedy et al., 2014) (1 net)")
    assert judged.verdict == verdict
    step, share = judged.steps[0], errors / 10_000
    assert step.gain == pytest.approx(7.9 - errors / 100, abs=0.01)
    assert step.against.endswith("printed 7.9")
    half = 196 * np.sqrt(share * (1 - share) / 10_000)
    assert (step.interval[1] - step.interval[0]) / 2 == pytest.approx(half, rel=0.01)


def test_a_quoted_number_is_not_compared_with_errors_on_other_images(tmp_path):
    """On drawn images any net would be far better than GoogLeNet."""
    wrong = np.zeros((1, 1000), bool)
    render.write_table(replace(judged_table("7", PAPER, tmp_path), other_data=("top-1", "top-5")), tmp_path)
    judged = judge_against(tmp_path, wrong, "GoogLeNet (Szegedy et al., 2014) (1 net)")
    assert judged.verdict == "not run"
    assert "is of the paper's images" in judged.reason
    render.write_table(judged_table("7", PAPER, tmp_path), tmp_path)
    assert judge_against(tmp_path, wrong, "GoogLeNet (Szegedy et al., 2014) (1 net)").verdict == "supported"


def test_a_quoted_row_without_the_number_cannot_be_compared_with(tmp_path):
    with pytest.raises(ValueError, match="claim it: quantity: 'top-5' of Table 7: MSRA.*11 nets.* is not measured"):
        judge_against(tmp_path, np.zeros((1, 100), bool), "MSRA (He et al., 2014) (11 nets)")


@pytest.mark.parametrize(("higher", "verdict"), [("points", "refuted"), ("relative", "supported")])
def test_the_shallow_nets_7_percent_is_read_as_the_setting_says(tmp_path, higher, verdict):
    """30.0 against 32.1 is 2.1 points, and 7% of 30.0."""
    rng = np.random.default_rng(0)
    rows = [row.keys for row in published_table("text").rows[:2]]
    hard = rng.random(50_000)
    entries = [
        OutcomeEntry(keys, "top-1", Errors((hard < error)[None], "val", ()))
        for keys, error in zip(rows, (0.321, 0.300), strict=True)
    ]
    write_outcomes(tmp_path / "text.npz", Outcomes("text", (0,), tuple(entries)))
    claims = {c.id: c for c in judge_claims(load_settings({"higher": higher}), tmp_path).claims}
    assert claims["small-filters-by-7"].verdict == verdict
    assert claims["small-filters-by-7"].steps[0].gain == pytest.approx(2.1 if higher == "points" else 7.0, abs=0.3)
    # half of it is 3.5 points, or 3.5% of the error
    small = claims["small-filters"]
    assert small.steps[0].gain == claims["small-filters-by-7"].steps[0].gain
    assert (small.verdict, small.margin) == ("smaller than claimed" if higher == "points" else "supported", 3.5)


def test_what_was_not_asked_for_says_what_to_type(tmp_path):
    claims = {c.id: c for c in judge_claims(PAPER, tmp_path).claims}
    asked = ("scale-gap", "boxes-256", "voc-stacking", "caltech101-stacking")
    tables = ("scale-gap", "boxes-256", "voc-scales", "caltech-scales")
    write_outcomes(tmp_path / "table11.npz", Outcomes("11", (0,), ()))
    for name, table in zip(asked, tables, strict=True):
        alone = {c.id: c for c in judge_claims(load_settings({"unprinted": [table]}), tmp_path).claims}[name]
        assert "was not measured" in alone.reason
        assert claims[name].verdict == "not run"
    assert "unprinted=[boxes-256]" in claims["boxes-256"].reason


def errors_of(net: str, wrong: np.ndarray) -> OutcomeEntry:
    return OutcomeEntry(NETS[net], "top-1", Errors(wrong, "images", (f"{net}_256_s0/dense/256",)))


def gain_of_b(folder: Path, *entries: OutcomeEntry) -> comparisons.ClaimComparison:
    """The comparison of B with A."""
    write_outcomes(folder / "table03.npz", Outcomes("3", tuple(range(len(entries[0].outcome.wrong))), entries))
    (folder / "claims.yaml").write_text(yaml.safe_dump([claim()], sort_keys=False))
    return judge_claims(PAPER, folder, path=folder / "claims.yaml").claims[0].steps[0]


def test_of_one_seed_on_other_images_the_verdict_says_that_it_is_not_known_how_trainings_differ(tmp_path):
    a, b = (np.repeat(each, 100, 1) for each in patterns(20, 8, 10, 200))
    render.write_table(replace(judged_table("3", PAPER, tmp_path), other_data=("top-1",)), tmp_path)
    step = gain_of_b(tmp_path, errors_of("A", a), errors_of("B", b))
    assert step.trainings.endswith("on these they may differ by far more")
    judged = judge_claims(PAPER, tmp_path, path=tmp_path / "claims.yaml").claims[0]
    assert judged.reason == ONE_SEED_ELSEWHERE


def test_of_one_seed_it_is_assumed_how_trainings_differ(tmp_path):
    """Where McNemar's p-value is of these trainings alone, that of any two is larger, and says what it assumes."""
    a, b = (np.repeat(each, 100, 1) for each in patterns(20, 8, 10, 200))
    step = gain_of_b(tmp_path, errors_of("A", a), errors_of("B", b))
    assert step.trainings == "one seed: it is assumed that trainings differ by 0.10 points"
    assert step.p_for > mcnemar_exact(800, 2000)
    estimate = nested(b.astype(float) - a)
    both = Estimate(0.0, 1e4 * estimate.images, trainings=(2 * 0.102**2, 4))
    assert step.interval[1] - step.gain == pytest.approx(both.half())


def test_other_nets_of_the_table_show_how_trainings_differ(tmp_path):
    """Two seeds of two nets are two degrees of freedom, of six nets six."""
    rng = np.random.default_rng(0)
    entries = [errors_of(net, rng.random((2, 4000)) < 0.3) for net in NETS]
    few, many = gain_of_b(tmp_path, entries[0], entries[2]), gain_of_b(tmp_path, *entries)
    assert "2 degrees of freedom" in few.trainings
    assert "6 degrees of freedom" in many.trainings


def test_evaluations_of_the_same_trainings_are_compared_by_mcnemars_test(tmp_path):
    a, b = patterns(20, 8, 10, 200)
    same = Errors(b, "images", ("A_256_s0/dense/256",))
    step = gain_of_b(tmp_path, errors_of("A", a), OutcomeEntry(NETS["B"], "top-1", same))
    assert step.p_for == pytest.approx(mcnemar_exact(8, 20))
    assert step.trainings == comparisons.SAME_TRAININGS
