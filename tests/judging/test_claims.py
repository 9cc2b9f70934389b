"""Claims: how they are written, and how they are judged, as laws."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vggrepro import cli
from vggrepro.core.validation import validated
from vggrepro.judging import ledger
from vggrepro.judging.ledger import Judged
from vggrepro.paper import claims
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import published_table
from vggrepro.report.page import write_report
from vggrepro.scores import outcomes
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes, Shares
from vggrepro.settings.loading import load_settings
from vggrepro.tables import render
from vggrepro.tables.build import make_table
from vggrepro.tables.lineage import Training

PAPER = load_settings({})
NETS = {net: {"net": net, "S": "256", "Q": "256", "protocol": "dense"} for net in ("A", "A-LRN", "B", "C", "D", "E")}


def pair(cell: str, against: str) -> dict:
    return {"cell": {"net": cell, "S": 256, "Q": 256}, "against": {"net": against, "S": 256, "Q": 256}}


def claim(test: str = "superiority", **given) -> dict:
    """B is better than A."""
    base = {"id": "it", "section": "4.1", "claim": "It holds.", "test": test, "quantity": "top-1", "table": "3"}
    pairs = {} if test == "ordering" else {"pairs": [pair("B", "A")]}
    return base | pairs | {"margin": 0.3, "why": "so"} | given


def patterns(alone_a: int, alone_b: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Which images A and B get wrong, [1, N]."""
    parts = [(1, 0)] * alone_a + [(0, 1)] * alone_b + [(1, 1)] * both + [(0, 0)] * neither
    a, b = np.array(parts, bool).T
    return a[None], b[None]


def write(folder: Path, wrong: dict[str, np.ndarray], number: str = "3") -> None:
    """The outcomes of some nets of Table 3."""
    n = next(iter(wrong.values())).shape[1]
    entries = [OutcomeEntry(NETS[net], "top-1", Errors(w, f"images {n}", ())) for net, w in wrong.items()]
    outcomes.write_outcomes(folder / "table03.npz", Outcomes(number, (0,), tuple(entries)))


def judge(folder: Path, wrong: dict[str, np.ndarray], *entries: dict) -> Judged:
    write(folder, wrong)
    (folder / "claims.yaml").write_text(yaml.safe_dump([*entries], sort_keys=False))
    return ledger.judge_claims(PAPER, folder, path=folder / "claims.yaml").claims[0]


# The paper's own claims


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
        if c.test in ("superiority", "ordering") and c.table != "text":
            gains = [printed(against, c.quantity) - printed(cell, c.quantity) for cell, against in c.compared()]
            assert min(gains) > 0, c.id
            assert c.margin == math.floor(10 * min(gains) / 2 + 1e-6) / 10, c.id


def test_margins_of_no_difference_hold_what_is_printed(papers):
    for c in papers:
        if c.test == "equivalence" and c.table != "text":
            for cell, against in c.compared():
                assert abs(printed(against, c.quantity) - printed(cell, c.quantity)) < c.margin or cell.of


def test_every_claim_says_why(papers):
    assert len(papers) >= 30
    assert all(c.why for c in papers if c.margin)
    assert {c.test for c in papers} == {"superiority", "ordering", "equivalence", "arithmetic", "speed"}


def test_without_any_result_all_but_arithmetic_is_not_run(tmp_path):
    found = ledger.judge_claims(PAPER, tmp_path)
    assert {c.verdict for c in found.claims if c.id != "filters"} == {"not run"}
    assert found.tested == 0
    assert all(c.reason for c in found.claims)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margine": 1}, r"claim it: no key is called 'margine' \(did you mean 'margin'\?\)"),
        ({"test": "superior"}, "claim it: test: .*got 'superior'"),
        ({"margin": -1}, "claim it: margin: .*got -1"),
        ({"margin": None}, "claim it: margin:"),
        ({"why": ""}, "claim it: why: needed for a test of superiority"),
        ({"of": 4}, "claim it: of: means nothing for a test of superiority"),
        ({"by": 2.0}, "claim it: by: means nothing"),
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


# How they are judged

counts = st.tuples(*(st.integers(0, 60),) * 2, st.integers(0, 60), st.integers(1, 400))


@given(counts)
def test_one_comparison_of_one_seed_is_mcnemars_test(tmp_path_factory, found):
    a, b = patterns(*found)
    only_a, only_b = found[:2]
    judged = judge(tmp_path_factory.mktemp("c"), {"A": a, "B": b}, claim(margin=0.0))
    p = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert judged.p == pytest.approx(p)
    decided = "undecided" if p > 0.05 else "supported" if only_a > only_b else "refuted"
    assert judged.verdict == decided
    assert judged.steps[0].gain == pytest.approx(100 * (only_a - only_b) / a.shape[1])


@given(counts, st.sampled_from([0.0, 0.3, 5.0]))
def test_swapping_two_systems_mirrors_the_verdict(tmp_path_factory, found, margin):
    a, b = patterns(*found)
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
def test_more_images_in_the_same_proportions_undo_no_verdict(tmp_path_factory, found, test, margin, times):
    a, b = patterns(*found)
    folder = tmp_path_factory.mktemp("c")
    few = judge(folder, {"A": a, "B": b}, claim(test, margin=margin))
    many = judge(folder, {"A": np.tile(a, times), "B": np.tile(b, times)}, claim(test, margin=margin))
    assert few.verdict in ("undecided", many.verdict)


@given(st.tuples(*(st.integers(0, 40),) * 2, st.integers(0, 60), st.integers(100, 400)), st.sampled_from([0.5, 1.0]))
def test_so_many_images_do_decide(tmp_path_factory, found, margin):
    """In the same proportions, the number that an undecided claim asks for is enough; of 80% power, no more than needed."""
    a, b = patterns(*found)
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
    ("found", "margin", "verdict"),
    [
        ((50, 50, 1000, 8900), 1.0, "supported"),
        ((5, 5, 10, 80), 1.0, "undecided"),
        ((150, 50, 1000, 8800), 1.0, "undecided"),
        ((400, 50, 1000, 8550), 1.0, "refuted"),
        ((50, 400, 1000, 8550), 1.0, "refuted"),
    ],
)
def test_equivalence_is_shown_and_not_presumed(tmp_path, found, margin, verdict):
    a, b = patterns(*found)
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
    judged = [validated(claims.Claim, c, "") for c in (claim(margin=0.0), claim("ordering", order=ORDER))]
    found: list[list[tuple[str, bool]]] = []
    for _ in range(1000):
        wrong = chain(rng, [0.3, 0.3, 0.2], 300)
        entries = tuple(OutcomeEntry(NETS[net], "top-1", Errors(w, "", ())) for net, w in wrong.items())
        said = [ledger.tested_claim(PAPER, c, lambda *_, e=entries: Outcomes("3", (0,), e)) for c in judged]
        found.append([(one.verdict, one.p <= 0.05) for one in said])
    alone, order = zip(*found, strict=True)
    assert sum(told for _, told in alone) / 1000 <= 0.05
    assert sum(told for verdict, told in order if verdict == "supported") / 1000 <= 0.05


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
    moody = np.concatenate([base & (rng.random((1, 4000)) < keep) for keep in (0.75, 0.97, 0.98)])
    judged = judge(tmp_path, {"A": np.repeat(base, 3, 0), "B": moody}, claim())
    assert judged.verdict == "undecided"
    assert "seeds in place of 3" in judged.reason
    low, high = judged.steps[0].interval
    assert high - low > 3 * (steady.steps[0].interval[1] - steady.steps[0].interval[0])


def test_outcomes_of_other_images_are_not_compared(tmp_path):
    a, b = patterns(20, 8, 10, 200)
    entries = (
        OutcomeEntry(NETS["A"], "top-1", Errors(a, "x", ())),
        OutcomeEntry(NETS["B"], "top-1", Errors(b, "y", ())),
    )
    outcomes.write_outcomes(tmp_path / "table03.npz", Outcomes("3", (0,), entries))
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([claim()], sort_keys=False))
    with pytest.raises(ValueError, match="claim it: Table 3: B, 256, 256 and .* are of different images"):
        ledger.judge_claims(PAPER, tmp_path, path=tmp_path / "claims.yaml")


# Transfer, speed, initialisation, arithmetic


def transfer(folder: Path, values: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    entries = [
        OutcomeEntry({"method": method}, "voc2007", Shares(v, r, 100, 100, "voc", ()))
        for method, (v, r) in values.items()
    ]
    outcomes.write_outcomes(folder / "table11.npz", Outcomes("11", (0,), tuple(entries)))


D, E, BOTH = (row.keys["method"] for row in published_table("11").rows if row.members)


def test_precisions_are_compared_on_the_same_resamples(tmp_path):
    """What images do to both alike cancels out; higher is better."""
    rng = np.random.default_rng(0)
    common, own = rng.normal(0, 0.02, (1, 200)), rng.normal(0, 0.001, (3, 1, 200))
    values = {
        m: (np.array([[v]]), v + common + o) for m, v, o in zip((D, E, BOTH), (0.89, 0.891, 0.9), own, strict=True)
    }
    transfer(tmp_path, values)
    found = {c.id: c for c in ledger.judge_claims(PAPER, tmp_path).claims}
    assert found["transfer-voc2007"].steps[0].gain == pytest.approx(1.0)
    low, high = found["transfer-voc2007"].steps[0].interval
    assert high - low < 4.5  # an image's worth, 1 point, is in it; unpaired it would be 9
    assert found["transfer-caltech101"].verdict == "not run"


def test_splits_are_compared_in_pairs(tmp_path):
    splits = np.array([[0.80, 0.85, 0.90]])
    values = {m: (splits + gain, np.empty((1, 0))) for m, gain in ((D, 0.0), (E, 0.0), (BOTH, 0.05))}
    entries = [
        OutcomeEntry({"method": m}, "caltech101", Shares(v, r, 10**6, 1, "c", ())) for m, (v, r) in values.items()
    ]
    outcomes.write_outcomes(tmp_path / "table11.npz", Outcomes("11", (0,), tuple(entries)))
    found = {c.id: c for c in ledger.judge_claims(PAPER, tmp_path).claims}
    assert found["transfer-caltech101"].verdict == "supported"


def training(net: str, processes: int, speed: float, device: str = "H100", attempts: int = 1) -> Training:
    about = {
        "attempts": [{"device": device, "processes": processes}] * attempts,
        "settings": {"model": {"width": 64}},
    }
    return Training(Run(net, "256"), about, [{"images_per_s": speed * (1 + 0.01 * (-1) ** k)} for k in range(20)])


@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        ([training("A", 1, 100), training("A", 4, 380)], "supported"),
        ([training("A", 1, 100), training("A", 4, 390), training("D", 1, 50), training("D", 4, 195)], "supported"),
        ([training("A", 1, 100), training("A", 4, 300)], "refuted"),
        ([training("A", 1, 100), training("A", 4, 350)], "undecided"),
        ([training("A", 1, 100), training("B", 4, 380)], "not run"),
        ([training("A", 1, 100), training("A", 4, 380, "A100")], "not run"),
        ([training("A", 1, 100, "CPU"), training("A", 4, 380, "CPU")], "not run"),
        ([training("A", 1, 100), training("A", 4, 380, attempts=2)], "not run"),
        ([training("A", 1, 100), training("A", 2, 190)], "not run"),
        ([], "not run"),
    ],
)
def test_speed_is_compared_on_the_same_net_and_kind_of_gpu(tmp_path, runs, verdict):
    found = {c.id: c for c in ledger.judge_claims(PAPER, tmp_path, runs).claims}["four-gpus"]
    assert found.verdict == verdict
    if found.steps:
        low, high = found.steps[0].interval
        assert low < found.steps[0].gain < high


def test_nets_from_random_weights_are_compared_with_staged_ones(tmp_path):
    import json

    wrong = {net: np.random.default_rng(0).random((1, 5000)) < 0.3 for net in "DE"}
    other = tmp_path / "other"
    for folder in (tmp_path, other / "tables"):
        folder.mkdir(exist_ok=True, parents=True)
        write(folder, wrong)
    for net in "AD":
        said = {"parent": None, "settings": {"train": {"init": "glorot"}}}
        (other / f"runs/{net}_256_s0").mkdir(parents=True)
        (other / f"runs/{net}_256_s0/run.json").write_text(json.dumps(said))

    def judged(**given) -> Judged:
        return {c.id: c for c in ledger.judge_claims(load_settings(given), tmp_path).claims}["initialisation"]

    assert judged().reason == "no results from random weights were given: unstaged={glorot: FOLDER}"
    assert judged(unstaged={"glorot": str(other)}).verdict == "supported"
    assert "staged=false" in judged(staged=False, unstaged={"glorot": str(other)}).reason
    said["parent"] = {"run": "A_256_s0"}
    (other / "runs/D_256_s0/run.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match="D_256_s0/run.json: begins otherwise: train there with staged=false"):
        judged(unstaged={"glorot": str(other)})
    with pytest.raises(ValueError, match="unstaged.glorot: nowhere: no results of trainings"):
        judged(unstaged={"glorot": "nowhere"})


def test_where_other_results_lie_retrains_nothing_and_is_no_departure():
    from vggrepro.settings.choices import departures

    run = Run("D", "256")
    given = load_settings({"unstaged": {"glorot": "somewhere"}})
    assert given.for_run(run) == PAPER.for_run(run)
    assert departures(given) == []


def test_arithmetic_follows_from_the_layers(tmp_path):
    assert cli.main(["table", "2", "--settings", "paper", "--out", str(tmp_path)]) == 0
    found = {c.id: c for c in ledger.judge_claims(PAPER, tmp_path).claims}
    assert {found[name].verdict for name in ("parameters", "filters")} == {"supported"}
    assert "138,357,544" in found["parameters"].reason
    text = (tmp_path / "table02.json").read_text().replace('"agrees"', '"differs"', 1)
    (tmp_path / "table02.json").write_text(text)
    assert {c.id: c for c in ledger.judge_claims(PAPER, tmp_path).claims}["parameters"].verdict == "refuted"


# Files


def test_the_ledger_comes_back_from_its_file_and_shows_in_the_report(tmp_path):
    a, b = patterns(200, 80, 100, 2000)
    write(tmp_path, {"A": a, "A-LRN": a, "B": b, "C": b, "D": b, "E": b})
    options = ["--settings", "smoke", "--tables", str(tmp_path), "--out", str(tmp_path)]
    assert cli.main(["claims", *options]) == 0
    found = ledger.read_ledger(tmp_path / "claims.json")
    assert found == ledger.judge_claims(load_settings({"smoke": True}), tmp_path)
    assert not found.papers
    lines = (tmp_path / "claims.csv").read_text().splitlines()
    assert len(lines) == 1 + len(found.claims)
    settings = load_settings({"smoke": True})
    write_report(settings, table_files=[], run_files=[], claims=tmp_path / "claims.json", out=tmp_path)
    pages = [(tmp_path / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "tex")]
    assert all("These images and settings are not the paper's" in page for page in pages)
    for judged in found.claims:
        assert f'id="claim-{judged.id}"' in pages[0]
        assert pages[0].count(judged.verdict) >= 1
    assert all(sha in page for page in pages for sha in (found.claims_sha256, found.tolerances_sha256))


def test_a_damaged_ledger_is_named(tmp_path):
    (tmp_path / "claims.json").write_text("{}")
    with pytest.raises(ValueError, match=r"claims.json: damaged"):
        ledger.read_ledger(tmp_path / "claims.json")


@pytest.mark.parametrize(
    ("verdict", "papers"),
    [("agrees", True), ("cannot be told", True), ("other data", False), ("other settings", False)],
)
def test_the_ledger_says_whether_it_is_of_the_paper(tmp_path, verdict, papers):
    a, b = patterns(200, 80, 100, 2000)
    write(tmp_path, {"A": a, "B": b, "A-LRN": b})
    assert not ledger.judge_claims(PAPER, tmp_path).papers  # without its cells nobody knows
    first, *others = (table := make_table("3", PAPER, tmp_path)).rows
    cells = replace(first.cells[0], verdict=verdict), *first.cells[1:]
    render.write_table(replace(table, rows=(replace(first, cells=cells), *others)), tmp_path)
    assert ledger.judge_claims(PAPER, tmp_path).papers == papers
