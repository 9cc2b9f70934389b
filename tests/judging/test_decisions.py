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
from vggrepro.judging.comparisons import compare_cells
from vggrepro.judging.decisions import leaning
from vggrepro.paper.claims import Claim
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes

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


@given(counts, st.sampled_from(["superiority", "equivalence"]), st.sampled_from([0.0, 1.0, 5.0]), st.integers(2, 8))
def test_more_images_in_the_same_proportions_undo_no_verdict(tmp_path_factory, errors, test, margin, times):
    a, b = patterns(*errors)
    folder = tmp_path_factory.mktemp("c")
    few = judge(folder, {"A": a, "B": b}, claim(test, margin=margin))
    many = judge(folder, {"A": np.tile(a, times), "B": np.tile(b, times)}, claim(test, margin=margin))
    assert few.verdict in ("undecided", many.verdict)


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


def test_a_gain_shown_to_be_none_refutes(tmp_path):
    """No gain, and one of 2 points ruled out; a small true gain is only undecided."""
    a, b = patterns(100, 101, 1000, 8799)
    assert judge(tmp_path, {"A": a, "B": b}, claim(margin=2.0)).verdict == "refuted"
    assert judge(tmp_path, {"A": a, "B": b}, claim(margin=0.0)).verdict == "undecided"
    assert judge(tmp_path, {"A": b, "B": a}, claim(margin=2.0)).verdict == "undecided"


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
