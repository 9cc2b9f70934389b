"""Variants beside the rows that they vary: their numbers and verdicts, and that nothing of the paper's moves."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from vggrepro.judging.ledger import judge_claims
from vggrepro.judging.variants import judge_variants
from vggrepro.judging.verdicts import judge_table
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import table_evaluations
from vggrepro.scores.outcomes import Outcomes, write_outcomes
from vggrepro.scores.stores import write_scores
from vggrepro.settings.claims import claim_families
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.tables import render
from vggrepro.tables.build import build_table
from vggrepro.tables.cells import Table
from vggrepro.tables.measurement import Inputs
from vggrepro.tables.render import write_table
from vggrepro.workflow.plan import Plan

N, CLASSES = 400, 12
SEEDS = (0, 1)
VARIANTS = {
    "much worse": {"of": "C/256", "train": {"weight_decay": 0.05}},
    "alike": {"of": "C/256", "train": {"momentum": 0.8}},
    "order": {"of": "C/256", "evaluate": {"average": "posteriors"}},
}
PAPERS = ("rows", "footnotes", "notes", "findings", "other_data")


def settings_with(variants: object, seeds: tuple[int, ...] = SEEDS) -> Settings:
    return load_settings({"smoke": True, "seeds": list(seeds), **({"variants": variants} if variants else {})})


@pytest.fixture(scope="module")
def scores(tmp_path_factory) -> Path:
    """Score stores of Table 3 for two seeds: of the variants one errs on 80 images more, one on few others, one on none."""
    root = tmp_path_factory.mktemp("scores")
    rng = np.random.default_rng(0)
    labels, ids = rng.integers(0, CLASSES, N), [str(i) for i in range(N)]
    for evaluation in table_evaluations("3", SEEDS):
        wrong = rng.random(N) < 0.3
        changes = {"": wrong}
        if evaluation.run.label == "C/256":
            worse = wrong | (rng.random(N) < 0.3)
            changes |= {"much-worse": worse, "decay-0.05": worse, "order": wrong, "alike": np.roll(wrong, 1)}
        for variant, of_variant in changes.items():
            own = evaluation.varied_as(variant)
            posteriors = np.full((N, CLASSES), 0.01, np.float32)
            posteriors[np.arange(N), np.where(of_variant, (labels + 1) % CLASSES, labels)] = 0.89
            about = {"data set": "made up", "data": "digest", "run": own.run.name, "protocol": own.protocol, "Q": own.Q}
            write_scores(root / own.path, posteriors, labels, ids, about)
    return root


def made(scores: Path, variants: object, seeds: tuple[int, ...] = SEEDS) -> tuple[Table, Outcomes]:
    settings = settings_with(variants, seeds)
    published = settings.table("3")
    table, measurement = build_table(published, settings, Inputs(scores))
    table = judge_table(table, published, settings.higher)
    return judge_variants(table, published, measurement, settings), measurement.outcomes


@pytest.mark.parametrize("seeds", [(0,), SEEDS])
def test_the_papers_cells_are_the_same_with_and_without_variants(scores, seeds):
    """Values, intervals, which depend on how trainings differ, best marks, notes: everything that is printed of the paper."""
    plain, varied = (asdict(made(scores, variants, seeds)[0]) for variants in (None, VARIANTS))
    assert len(varied["variants"]) == 3
    assert {key: plain[key] for key in PAPERS} == {key: varied[key] for key in PAPERS}


def test_a_variant_stands_beside_the_row_that_it_varies(scores):
    table, _ = made(scores, VARIANTS)
    row = table.variants[0]
    assert (row.name, row.keys[0], table.rows[row.varies].keys) == ("much worse", "C (much worse)", ("C", "256", "256"))
    assert [asdict(change) for change in row.changes] == [
        {"key": "train.weight_decay", "own": "0.05", "usual": "0.0005"}
    ]


def test_a_difference_is_that_of_the_two_rows_image_by_image(scores):
    table, outcomes = made(scores, VARIANTS)
    for row in table.variants:
        for j, difference in enumerate(row.differences):
            usual = table.rows[row.varies].cells[j]
            assert difference.value == pytest.approx(row.cells[j].value - usual.value)
            low, high = difference.interval
            assert low <= difference.value <= high
            assert (difference.n, difference.seeds) == (N, 2)
    wrong = {tuple(e.row.values()): e.outcome.wrong for e in outcomes.entries if e.quantity == "top-1"}
    own, usual = (next(v for keys, v in wrong.items() if keys[0] == net) for net in ("C (much worse)", "C"))
    assert table.variants[0].differences[0].value == pytest.approx(100 * (own.mean() - usual.mean()))


def test_a_verdict_says_what_the_data_show(scores):
    verdicts = {row.name: row.differences[0].verdict for row in made(scores, VARIANTS)[0].variants}
    assert verdicts == {"much worse": "worse", "alike": "inconclusive", "order": "inconclusive"}


def test_holms_correction_is_over_the_variants_of_the_table(scores):
    alone, among = (made(scores, {name: VARIANTS[name] for name in names})[0].variants[0].differences[0]
                    for names in (["much worse"], list(VARIANTS)))  # fmt: skip
    assert alone.p == among.p
    assert (alone.p_holm, among.p_holm) == pytest.approx((2 * alone.p, 6 * among.p))


def test_the_size_that_would_be_found_with_80_percent_power_holds_after_the_correction(scores):
    """Were it the only difference: Holm asks of the smallest p-value that it is below 5% over the number of them."""
    alone, among = (made(scores, {name: VARIANTS[name] for name in names}, (0,))[0].variants[-1].differences[0]
                    for names in (["order"], list(VARIANTS)))  # fmt: skip
    for difference, tests in ((alone, 2), (among, 6)):
        low, high = difference.interval
        standard_error = (high - low) / (2 * stats.norm.isf(0.025))
        power = stats.norm.sf(stats.norm.isf(0.025 / tests) - difference.minimum_detectable_difference / standard_error)
        assert power == pytest.approx(0.8)


def test_what_is_tested_otherwise_with_the_same_weights_varies_by_no_training(scores):
    """The interval of equal answers is that of the images alone; of other weights it holds what trainings differ by."""
    order = {row.name: row.differences[0] for row in made(scores, VARIANTS, (0,))[0].variants}["order"]
    trained, _ = made(scores, {"order": {"of": "C/256", "train": {"momentum": 0.8}}}, (0,))
    wide = trained.variants[0].differences[0]
    assert order.value == wide.value == 0
    assert order.interval[1] < wide.interval[1]


def test_every_printed_form_has_the_variants_apart(scores):
    table, _ = made(scores, VARIANTS)
    html, markdown, latex, csv = (
        form(table) for form in (render.table_html, render.table_markdown, render.table_latex, render.table_csv)
    )
    for text in (html, markdown, latex):
        assert "Not of the paper" in text or "not of the paper" in text
        assert "C (much worse)" in text
    assert 'id="table03-13-1"' in html
    lines = csv.splitlines()
    assert len(lines) == 1 + len(table.rows) + len(table.variants)
    assert lines[0].count("varied value") == 2


def test_claims_of_the_paper_find_their_cells_whatever_is_varied():
    labels = dict.fromkeys(Run.parse(name).label for name in Plan.of(settings_with(None)).runs)
    everything = {"all": {"of": list(labels), "train": {"momentum": 0.8}}}
    plain, varied = (claim_families(settings_with(variants)) for variants in (None, everything))
    assert plain == varied


@pytest.mark.parametrize("cell", ["much worse", "C (much worse)/256/256", "C (much-worse)/256/256 (dense)"])
def test_a_claim_of_ones_own_names_a_variant_or_its_system(cell, scores, tmp_path):
    entry = {
        "id": "own",
        "claim": "more decay hurts",
        "test": "superiority",
        "quantity": "top-1",
        "margin": 1,
        "why": "w",
    }
    pairs = [{"cell": "C/256/256", "against": cell}]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump([entry | {"pairs": pairs}]))
    settings = load_settings({"smoke": True, "variants": VARIANTS, "claims": {"own": str(tmp_path / "own.yaml")}})
    table, measurement = build_table(settings.table("3"), settings, Inputs(scores))
    write_table(table, tmp_path)
    write_outcomes(tmp_path / "table03.npz", measurement.outcomes)
    (claim,) = (claim for claim in judge_claims(settings, tmp_path).claims if claim.id == "own")
    assert claim.verdict == "supported"
    assert claim.steps[0].at == ("table03-4-1", "table03-13-1")
