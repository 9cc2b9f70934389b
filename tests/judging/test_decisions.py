"""How claims are decided, as laws."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.judging.made_claims import NETS, PAPER, claim, judge, pair, patterns
from vggrepro.core.validation import validated
from vggrepro.judging import comparisons
from vggrepro.judging.comparisons import ClaimComparison, compare_cells
from vggrepro.judging.decisions import JudgedClaim, corrected, leaning
from vggrepro.paper.claims import Claim, load_claims
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes
from vggrepro.scores.statistics import Estimate, nested

COMPARING = ["superiority", "non-inferiority", "equivalence"]

counts = st.tuples(*(st.integers(0, 60),) * 2, st.integers(0, 60), st.integers(1, 400))


@given(counts)
def test_one_comparison_of_one_seed_is_mcnemars_test(tmp_path_factory, errors):
    a, b = patterns(*errors)
    only_a, only_b = errors[:2]
    judged = judge(tmp_path_factory.mktemp("c"), {"A": a, "B": b}, claim(margin=0.0))
    p = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert judged.p == pytest.approx(p)
    decided = "undecided" if p > 0.05 else "supported" if only_a > only_b else "refuted"
    assert judged.verdict == decided
    assert judged.steps[0].gain == pytest.approx(100 * (only_a - only_b) / a.shape[1])


@given(counts, st.sampled_from([1.0, 5.0, 20.0]))
def test_a_gain_above_a_size_is_tested_at_that_size(tmp_path_factory, errors, by):
    """McNemar's test is of no difference: a gain of 3 points that is surely there is no gain above 5."""
    a, b = (np.tile(wrong, 50) for wrong in patterns(*errors))
    judged = judge(tmp_path_factory.mktemp("c"), {"A": a, "B": b}, claim(by=by, margin=0.0))
    gains = 100 * (a.astype(float) - b)[0]
    if gains.std() > 0:
        z = (gains.mean() - by) / (gains.std() / len(gains) ** 0.5)
        assert judged.p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.1, abs=1e-6)
    if gains.mean() < by:
        assert judged.verdict != "supported"


@given(counts, st.sampled_from([0.0, 0.3, 5.0]))
def test_swapping_two_systems_mirrors_the_verdict(tmp_path_factory, errors, margin):
    a, b = patterns(*errors)
    folder = tmp_path_factory.mktemp("c")
    one, other = (judge(folder, wrong, claim(margin=margin)) for wrong in ({"A": a, "B": b}, {"A": b, "B": a}))
    # a gain below the margin can refute what a loss of the same size would not support
    if one.verdict == "supported":
        assert other.verdict == "refuted"
    if margin == 0:
        mirror = {"supported": "refuted", "refuted": "supported", "undecided": "undecided"}
        assert other.verdict == mirror[one.verdict]
        assert other.p == pytest.approx(one.p)


SHARPER = {
    "undecided": {"undecided", "supported", "smaller than claimed", "refuted"},
    "supported": {"supported", "smaller than claimed"},
    "smaller than claimed": {"smaller than claimed", "refuted"},
    "refuted": {"refuted"},
}
"""The verdicts that a verdict may become, and contradict nothing that it said."""


@given(counts, st.sampled_from(COMPARING), st.sampled_from([0.0, 1.0, 5.0]), st.integers(2, 8))
def test_more_images_in_the_same_proportions_only_sharpen_a_verdict(tmp_path_factory, errors, test, margin, times):
    a, b = patterns(*errors)
    folder = tmp_path_factory.mktemp("c")
    few = judge(folder, {"A": a, "B": b}, claim(test, margin=margin))
    many = judge(folder, {"A": np.tile(a, times), "B": np.tile(b, times)}, claim(test, margin=margin))
    assert many.verdict in SHARPER[few.verdict]


@given(st.floats(-3, 3), st.sampled_from(COMPARING), st.sampled_from([0.0, 0.5, 1.0]))
def test_every_claim_is_decided_by_images_enough_and_as_its_test_says(gain, test, margin):
    """Without noise the verdict follows from the gain alone: the definition of every test, written out."""
    if min(abs(gain - edge) for edge in (0, margin, -margin)) < 1e-3:
        return
    tested = validated(Claim, claim(test, margin=margin), "")
    expected = {
        "superiority": "refuted" if gain < 0 else "smaller than claimed" if gain < margin else "supported",
        "non-inferiority": "supported" if gain > -margin else "refuted",
        "equivalence": "supported" if abs(gain) < margin else "refuted",
    }[test]
    assert decided(tested, gain, error=1e-6).verdict == expected


@given(st.tuples(*(st.integers(0, 40),) * 2, st.integers(0, 60), st.integers(100, 400)), st.sampled_from([0.5, 1.0]))
def test_so_many_images_do_decide(tmp_path_factory, errors, margin):
    """In the same proportions, the number that an undecided claim asks for is enough; of 80% power, no more than needed."""
    a, b = patterns(*errors)
    folder = tmp_path_factory.mktemp("c")
    judged = judge(folder, {"A": a, "B": b}, claim(margin=margin))
    if judged.verdict != "undecided" or " images " not in judged.reason:
        return
    needed = int(judged.reason.split(" images ")[0].replace(",", ""))
    times = -(-needed // a.shape[1])
    if times * a.shape[1] < 200_000:
        enough = judge(folder, {"A": np.tile(a, times), "B": np.tile(b, times)}, claim(margin=margin))
        assert enough.verdict != "undecided"


@pytest.mark.parametrize(
    ("errors", "margin", "verdict"),
    [
        ((50, 50, 1000, 8900), 1.0, "supported"),
        ((5, 5, 10, 80), 1.0, "undecided"),
        ((150, 50, 1000, 8800), 1.0, "undecided"),
        ((400, 50, 1000, 8550), 1.0, "refuted"),
        ((50, 400, 1000, 8550), 1.0, "refuted"),
    ],
)
def test_equivalence_is_shown_and_not_presumed(tmp_path, errors, margin, verdict):
    a, b = patterns(*errors)
    assert judge(tmp_path, {"A": a, "B": b}, claim("equivalence", margin=margin)).verdict == verdict


def test_equivalence_may_be_about_a_difference(tmp_path):
    a, b = patterns(750, 50, 1000, 8200)
    assert judge(tmp_path, {"A": a, "B": b}, claim("equivalence", by=7.0, margin=1.0)).verdict == "supported"
    assert judge(tmp_path, {"A": b, "B": a}, claim("equivalence", by=7.0, margin=1.0)).verdict == "refuted"


@pytest.mark.parametrize("errors", [(100, 101, 1000, 8799), (101, 100, 1000, 8799), (300, 200, 1000, 8500)])
def test_a_gain_shown_to_be_below_the_margin_is_smaller_than_claimed(tmp_path, errors):
    """Be it a loss, nothing or a gain; and the p-value says of what it is."""
    a, b = patterns(*errors)
    judged = judge(tmp_path, {"A": a, "B": b}, claim(margin=2.0))
    assert (judged.verdict, judged.tested) == ("smaller than claimed", "gain below 2")
    better = nested(a.astype(float) - b)
    assert judged.p == pytest.approx(Estimate(100 * better.mean, 1e4 * better.images).below(2.0))


def test_no_gain_without_a_margin_is_undecided(tmp_path):
    a, b = patterns(100, 101, 1000, 8799)
    judged = judge(tmp_path, {"A": a, "B": b}, claim(margin=0.0))
    assert (judged.verdict, judged.tested) == ("undecided", "gain below 0")


def chain(rng: np.random.Generator, errors: list[float], n: int) -> dict[str, np.ndarray]:
    """Nets with these errors, which are wrong on their own images."""
    return {net: rng.random((1, n)) < e for net, e in zip("ABCDE", errors, strict=False)}


ORDER = [{"net": net, "S": 256, "Q": 256} for net in "ABC"]


def test_an_order_holds_if_every_step_does(tmp_path):
    rng = np.random.default_rng(0)
    wrong = chain(rng, [0.4, 0.3, 0.2], 4000)
    judged = judge(tmp_path, wrong, claim("ordering", order=ORDER))
    assert judged.verdict == "supported"
    assert judged.p == max(step.p_for for step in judged.steps)
    alone = [judge(tmp_path, wrong, claim(pairs=[pair(*two)])).p for two in ("BA", "CB")]
    assert judged.p == max(alone)
    assert judged.steps[judged.weakest].p_for == judged.p


def test_one_step_that_fails_refutes_an_order(tmp_path):
    wrong = chain(np.random.default_rng(0), [0.4, 0.2, 0.3], 4000)
    judged = judge(tmp_path, wrong, claim("ordering", order=ORDER))
    assert judged.verdict == "refuted"
    assert judged.p == pytest.approx(2 * judge(tmp_path, wrong, claim(pairs=[pair("C", "B")])).steps[0].p_against)
    assert judged.steps[judged.weakest].cell == "Table 3: C, 256, 256"


def test_wrong_verdicts_are_at_most_one_in_20():
    """Nothing is better than anything: superiority, and an order with one step that is none."""
    rng = np.random.default_rng(0)
    tested = [validated(Claim, c, "") for c in (claim(margin=0.0), claim("ordering", order=ORDER))]
    decisions: list[list[tuple[str, bool]]] = []
    for _ in range(1000):
        wrong = chain(rng, [0.3, 0.3, 0.2], 300)
        entries = tuple(OutcomeEntry(NETS[net], "top-1", Errors(w, "", ())) for net, w in wrong.items())
        read = partial(read_these, entries)
        judged = [leaning(c, compare_cells(PAPER, c, read)) for c in tested]
        decisions.append([(one.verdict, one.p <= 0.05) for one in judged])
    alone, order = zip(*decisions, strict=True)
    assert sum(significant for _, significant in alone) / 1000 <= 0.05
    assert sum(significant for verdict, significant in order if verdict == "supported") / 1000 <= 0.05


def read_these(entries: tuple[OutcomeEntry, ...], _number: str, _of: str) -> Outcomes:
    return Outcomes("3", (0,), entries)


def test_holm_counts_what_was_tested(tmp_path):
    """Claims that were not run cost nothing; tested ones share the 5%."""
    a, b = patterns(20, 8, 10, 200)
    alone = judge(tmp_path, {"A": a, "B": b}, claim(), claim(id="other", pairs=[pair("D", "C")]))
    assert alone.verdict == "supported"
    assert alone.p_holm == alone.p
    wrong = {"A": a, "B": b, "C": b, "D": b}
    shared = judge(tmp_path, wrong, claim(), claim(id="other", pairs=[pair("D", "C")], margin=0.0))
    assert shared.p_holm == pytest.approx(2 * shared.p)
    assert shared.verdict == "undecided"


def test_seeds_are_nested(tmp_path):
    """The same gain in every training decides; one that depends on the training does not, and more seeds are asked for."""
    rng = np.random.default_rng(0)
    base = rng.random((1, 4000)) < 0.3
    better = base & (rng.random((1, 4000)) < 0.9)
    steady = judge(tmp_path, {"A": np.repeat(base, 3, 0), "B": np.repeat(better, 3, 0)}, claim())
    assert (steady.verdict, steady.steps[0].seeds) == ("supported", 3)
    varying = np.concatenate([base & (rng.random((1, 4000)) < keep) for keep in (0.75, 0.97, 0.98)])
    judged = judge(tmp_path, {"A": np.repeat(base, 3, 0), "B": varying}, claim())
    assert judged.verdict == "undecided"
    assert "seeds in place of 3" in judged.reason
    low, high = judged.steps[0].interval
    assert high - low > 3 * (steady.steps[0].interval[1] - steady.steps[0].interval[0])


# The paper's claims, each by the direction of its sentence


def decided(tested: Claim, *gains: float, error: float = 0.1) -> JudgedClaim:
    """The verdict on a claim alone, where its pairs have these gains in points, with a standard error."""
    steps = [
        comparisons.TestedComparison(
            ClaimComparison("", "", ("", ""), gain, (gain, gain), 50_000, 1), Estimate(gain, error**2), "images"
        )
        for gain in gains
    ]
    return corrected([leaning(tested, steps)], {tested.id: steps})[0]


PAPERS = {c.id: c for c in load_claims(PAPER.table) if c.pairs or c.order}

AS_WRONG_ABOVE = {
    "small-filters-by-7": "the shallow net is 7% worse: a size",
    "transfer-alike": "on VOC D and E do the same",
    "voc-five-scales": "two scales more gain a marginal 0.3",
    "voc-stacking": "averaging does as well as stacking: the two do the same",
}
"""The claims that a much better `cell` speaks against, and why."""


@pytest.mark.parametrize("name", PAPERS)
def test_doing_much_better_than_the_paper_refutes_no_claim_that_one_thing_is_better_or_no_worse(name):
    tested = PAPERS[name]
    expected = "refuted" if name in AS_WRONG_ABOVE else "supported"
    assert decided(tested, *[tested.by + tested.margin + 5] * len(tested.compared())).verdict == expected


@pytest.mark.parametrize("name", PAPERS)
def test_doing_much_worse_than_the_paper_refutes_every_claim(name):
    tested = PAPERS[name]
    assert decided(tested, *[tested.by - tested.margin - 5] * len(tested.compared())).verdict == "refuted"


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("lrn", {"net": "A"}, {"net": "A-LRN"}),
        ("saturation", {"net": "D"}, {"net": "E"}),
        ("initialisation", {"of": "glorot"}, {}),
    ],
)
def test_results_that_say_more_than_no_gain_agree_with_no_gain(name, better, worse):
    """A-LRN 1.0 worse than A, E than D, staged than Glorot: all of them are what the paper says."""
    pairs = PAPERS[name].pairs
    assert all(better.items() <= pair.cell.items() and worse.items() <= pair.against.items() for pair in pairs)
    judged = decided(PAPERS[name], *[1.0] * len(pairs))
    assert (judged.verdict, judged.tested.split(",")[0]) == ("supported", "gain above -0.5")
    assert decided(PAPERS[name], *[-1.0] * len(pairs)).verdict == "refuted"
