"""Tables as values: from made-up scores of known errors to cells, and on to every format."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.made_tables import judged_table, table_with_outcomes
from tests.tables.made_up import CLASSES, N, table
from vggrepro.core.paths import ROOT
from vggrepro.paper.tables import PUBLISHED, published_table, table_numbers
from vggrepro.report.page import report_warning, write_report
from vggrepro.scores.stores import TopLabels, read_scores, write_scores, write_top_labels
from vggrepro.settings.loading import load_settings
from vggrepro.tables import markup, render
from vggrepro.tables.build import build_table, group_sizes, row_keys
from vggrepro.tables.measurement import Inputs


def test_table_1_is_as_published():
    made = judged_table("1", load_settings({}), None)
    assert all(cell.text == cell.published for row in made.rows for cell in row.cells if cell.status == "measured")
    assert "Every cell is as published." in made.notes


def test_a_wrong_layer_shows_in_table_1(monkeypatch):
    from vggrepro.paper.nets import LAYERS

    monkeypatch.setitem(LAYERS, "C", [64, *LAYERS["C"]])
    made = judged_table("1", load_settings({}), None)
    assert any("cells differ" in note for note in made.notes)
    assert "published: conv3-64 x2" in render.table_html(made)


@pytest.mark.parametrize("preset", ["paper", "tiny", "smoke"])
def test_tables_1_and_2_are_of_the_full_size_nets(preset):
    made = judged_table("2", load_settings({"preset": preset}), None)
    assert [cell.value for cell in made.rows[0].cells if cell.value] == pytest.approx(
        [132.863336, 133.047848, 133.638952, 138.357544, 143.667240]
    )
    assert all(abs(cell.delta) <= 0.5 for cell in made.rows[0].cells if cell.value)


def test_single_scale_cells_are_the_errors_of_their_store(made):
    for row, printed in zip(table("3", made).rows, published_table("3").rows, strict=True):
        store = read_scores(made / printed.system[0][0].path)
        answers = np.argsort(-store.posteriors, 1)
        for cell, top in zip(row.cells, (1, 5), strict=True):
            wrong = ~(answers[:, :top] == store.labels[:, None]).any(1)
            assert cell.value == pytest.approx(100 * wrong.mean())
            assert cell.n == N


def test_fusions_are_errors_of_averaged_posteriors(made):
    last = table("6", made).rows[-1]
    stores = [
        read_scores(made / f"{net}_256-512_s0" / p / str(Q))
        for net in "DE"
        for p in ("dense", "multi-crop")
        for Q in (256, 384, 512)
    ]
    mean = np.mean([store.posteriors.astype(np.float64) for store in stores], 0)
    assert last.cells[0].value == pytest.approx(100 * (mean.argmax(1) != stores[0].labels).mean())
    assert last.cells[2].status == "withheld"


def test_the_delta_is_ours_less_the_published_and_allows_for_rounding(made):
    cell = table("3", made).rows[0].cells[0]
    assert cell.delta == pytest.approx(cell.value - 29.6)
    low, high = cell.interval
    assert cell.delta_interval == pytest.approx((low - 29.65, high - 29.55))


def test_several_seeds_give_mean_and_spread(made):
    one, two = (table("3", made, seeds=seeds).rows[0].cells[0] for seeds in ([0], [0, 1]))
    other = table("3", made, seeds=[1]).rows[0].cells[0]
    assert two.value == pytest.approx((one.value + other.value) / 2)
    assert two.spread == pytest.approx(np.std([one.value, other.value], ddof=1))
    assert (one.spread, one.seeds, two.seeds) == (None, 1, 2)


def test_other_peoples_numbers_are_quoted(made):
    statuses = [[cell.status for cell in row.cells] for row in table("7", made).rows]
    assert statuses[0] == ["measured", "measured", "withheld"]
    assert statuses[3] == ["not reported", "quoted", "spanned"]
    assert statuses[-1] == ["quoted", "quoted", "not reported"]


def test_the_shallow_nets_difference_is_paired(made):
    points = table("text", made).rows[2].cells[0]
    a, b = (read_scores(made / f"{net}_256_s0" / "centre-crop" / "256") for net in ("B-5x5", "B"))
    wrong = [s.posteriors.argmax(1) != s.labels for s in (a, b)]
    assert points.value == pytest.approx(100 * (wrong[0].mean() - wrong[1].mean()))
    relative = table("text", made, higher="relative").rows[2].cells[0]
    assert relative.value == pytest.approx(100 * (wrong[0].mean() / wrong[1].mean() - 1))


def test_the_best_is_bold_and_equals_are_not(made):
    made3 = table("3", made)
    best = [row.cells[0].value for row in made3.rows if row.cells[0].best]
    assert set(best) == {min(row.cells[0].value for row in made3.rows)}
    groups = [row.cells[0].best for row in table("5", made).rows]
    assert any(groups[:3])
    assert any(groups[3:])


def test_rows_are_grouped_as_in_the_paper(made):
    assert [row.group for row in table("3", made).rows] == [1, 1, 1, 3, 0, 0, 3, 0, 0, 3, 0, 0]
    assert [row.group for row in table("6", made).rows] == [1, 3, 0, 0]


@pytest.mark.parametrize("number", table_numbers())
def test_a_row_without_its_first_key_has_that_of_the_row_above(number):
    published = published_table(number)
    keys = [row_keys(published, row) for row in published.rows]
    sizes = group_sizes(keys)
    assert sum(sizes) == len(keys)
    starts = [i for i, size in enumerate(sizes) for _ in range(size)]
    assert [keys[start][0] for start in starts] == [shown[0] for shown in keys]


def test_rows_are_grouped_by_the_key_that_is_shown_first(tmp_path):
    """In a file its first column may be another one: of Table 8 it is the net."""
    (tmp_path / "tables.yaml").write_text(
        "mine: {title: Mine, caption: Mine., keys: {S: train S}, values: {top1: {heading: top-1, quantity: top-1}}}\n"
    )
    (tmp_path / "mine.csv").write_text(
        "net,S,Q,protocol,top1\nD,256,256,dense,-\nD,384,384,dense,-\nE,384,384,dense,-\n"
    )
    settings = load_settings({"tables": str(tmp_path), "released": {}})
    mine, _ = build_table(settings.table("mine"), settings, Inputs(tmp_path))
    assert [(row.keys, row.group) for row in mine.rows] == [(("256",), 1), (("384",), 2), (("384",), 0)]


def test_a_dry_run_says_in_each_table_that_deltas_compare_different_data(made):
    for number in table_numbers("scores"):
        shown = table(number, made)
        for text in (render.table_html(shown), render.table_markdown(shown), render.table_latex(shown)):
            assert "The deltas compare different data" in text


def test_what_was_not_run_says_so(made, tmp_path):
    for name in ("A_256_s0", "B_256_s0"):
        shutil.copytree(made / name, tmp_path / name)
    shown = table("3", tmp_path)
    assert [row.cells[0].status for row in shown.rows][:4] == ["measured", "not run", "measured", "not run"]
    for text in (
        render.table_html(shown),
        render.table_markdown(shown),
        render.table_latex(shown),
        render.table_csv(shown),
    ):
        assert text.count("not run") == 20
    empty = table("6", tmp_path / "nowhere")
    assert {cell.status for row in empty.rows for cell in row.cells} == {"not run", "withheld"}


def test_scores_of_another_evaluation_are_refused(made, tmp_path):
    shutil.copytree(made, tmp_path / "s")
    shutil.rmtree(tmp_path / "s/E_384_s0/dense/384")
    shutil.copytree(made / "A_256_s0/dense/256", tmp_path / "s/E_384_s0/dense/384")
    with pytest.raises(ValueError, match=r"E_384_s0/dense/384: holds the scores of \['A_256_s0', 'dense', 256\]"):
        table("3", tmp_path / "s")


def test_scores_of_other_images_are_refused(made, tmp_path):
    shutil.copytree(made, tmp_path / "s")
    said = tmp_path / "s/E_384_s0/dense/384/made.json"
    said.write_text(said.read_text().replace('"digest"', '"another"'))
    (said.parent / "checksums.xxh128").unlink()
    with pytest.raises(ValueError, match="made on different images"):
        table("3", tmp_path / "s")


@pytest.mark.parametrize("given", [{"data": {"classes": 10}}, {"model": {"width": 8}}, {"transfer": {"splits": 1}}])
def test_a_paper_preset_that_is_not_the_papers_says_so(given):
    assert report_warning(load_settings(given))


@pytest.mark.parametrize(
    "given", [{"train": {"init": "glorot"}}, {"train": {"compile": True}}, {"data": {"rescaled": "pixels"}}]
)
def test_neither_a_choice_nor_what_is_harmless_is_a_departure(given):
    assert report_warning(load_settings(given)) == ""


def test_the_readmes_new_row_shows_in_table_and_report(made, tmp_path, monkeypatch):
    """A row that the paper does not print, of a run that was not trained yet."""
    row = re.search(r"```\n(B,.*)\n```", (ROOT / "README.md").read_text(encoding="utf-8"))[1]
    folder = shutil.copytree(PUBLISHED, tmp_path / "published")
    with (folder / "table03.csv").open("a") as file:
        file.write(f"{row}\nE-fc,[256;512],384,dense,-,-\n")
    monkeypatch.setattr("vggrepro.paper.tables.PUBLISHED", folder)
    published_table.cache_clear()
    try:
        shown = table("3", made)
    finally:
        monkeypatch.undo()
        published_table.cache_clear()
    assert [r.cells[0].status for r in shown.rows[-2:]] == ["not run", "not run"]
    render.write_table(shown, tmp_path)
    write_report(load_settings({"smoke": True}), table_files=[tmp_path / "table03.json"], run_files=[], out=tmp_path)
    assert "error-against-depth" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", table_numbers())
def test_a_table_comes_back_from_its_file(made, tmp_path, number):
    written = table(number, made)
    render.write_table(written, tmp_path)
    assert render.read_table(tmp_path / f"{written.name}.json") == written
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".csv", ".md", ".html", ".tex"}


@pytest.mark.parametrize("number", table_numbers("scores"))
def test_outcomes_are_of_every_measured_row(made, number):
    """Their means are the cells; a row that is a difference has none of its own."""
    shown, found = table_with_outcomes(number, load_settings({"smoke": True, "seeds": [0, 1]}), made)
    published = published_table(number)
    cells = [
        cell.value
        for row, printed in zip(shown.rows, published.rows, strict=True)
        for column, cell in zip(published.columns, row.cells, strict=True)
        if cell.value is not None and column.split == "val" and not printed.minus
    ]
    assert [100 * e.outcome.values.mean() for e in found.entries[: len(cells)]] == pytest.approx(cells)
    assert len(found.entries) == len(cells) * (4 if number == "4" else 1)
    assert {(len(e.outcome.wrong), e.outcome.n) for e in found.entries} <= {(2, N)}
    assert len({e.outcome.images for e in found.entries}) <= 1


def test_outcomes_of_table_4_hold_each_scale_alone(made):
    """The error at Q = S is that of Table 3."""
    of_one = {
        tuple(e.row.values()): e.outcome.wrong.mean()
        for e in table_with_outcomes("3", load_settings({}), made)[1].entries
    }
    _, found = table_with_outcomes("4", load_settings({}), made)
    alone = {tuple(e.row.values()): e.outcome.wrong.mean() for e in found.entries if "," not in e.row["Q"]}
    assert {key[2] for key in alone if key[:2] == ("C", "384")} == {"352", "384", "416"}
    shared = set(alone) & set(of_one)
    assert len(shared) == 10
    assert [alone[key] for key in sorted(shared)] == [of_one[key] for key in sorted(shared)]


THEIRS = {"imported": {"Theirs": {"file": "t.npz"}, "Labels": {"file": "l.npz"}}}
JITTERED = [f"D_256-512_s{{}}/dense/{Q}" for Q in (256, 384, 512)]


@pytest.fixture(scope="module")
def theirs(made, tmp_path_factory) -> list[Path]:
    """Imported stores: posteriors, and labels alone, of the images of ours."""
    root, ours = tmp_path_factory.mktemp("imported"), read_scores(made / JITTERED[0].format(0))
    p = np.random.default_rng(9).dirichlet(np.ones(CLASSES), N).astype(np.float32)
    about = {"file": "t.npz", "digest": "0" * 64, "data": None, "data set": "made up", "classes": CLASSES}
    write_scores(root / "theirs", p, ours.labels, list(ours.ids), about | {"name": "Theirs"})
    answers = np.argsort(-p, 1)[:, :5]
    listed = TopLabels(root, answers, ours.labels, ours.ids, about | {"name": "Labels"})
    write_top_labels(root / "labels", listed)
    return [root / "theirs", root / "labels"]


@pytest.mark.parametrize("protocol", ["dense", "multi-crop & dense"])
def test_a_declared_fusion_is_a_row_of_table_7(made, theirs, protocol):
    text = "D/[256;512]/256,384,512 + Theirs" + f" ({protocol})" * (protocol != "dense")
    settings = load_settings({"smoke": True, "seeds": [0, 1], "fusions": {"both": text}} | THEIRS)
    found, outcomes = table_with_outcomes("7", settings, made, imported=theirs)
    assert [row.keys[0] for row in found.rows[-3:]] == ["Theirs", "Labels", "both"]
    other, wrong = read_scores(theirs[0]), []
    for seed in (0, 1):
        paths = [p.format(seed).replace("dense", kind) for kind in protocol.split(" & ") for p in JITTERED]
        mean = np.mean([read_scores(made / path).posteriors.astype(np.float64) for path in paths], 0)
        wrong.append(((mean + other.posteriors).argmax(1) != other.labels).mean())
    assert found.rows[-1].cells[0].value == pytest.approx(100 * np.mean(wrong))
    assert (found.rows[-1].cells[0].seeds, found.rows[-3].cells[0].seeds) == (2, 1)
    alone = [cell.value for cell in found.rows[-3].cells[:2]]
    assert alone == [cell.value for cell in found.rows[-2].cells[:2]]
    assert not any(cell.best or cell.delta for row in found.rows[-3:] for cell in row.cells)
    paired = {entry.row["method"]: entry.outcome.images for entry in outcomes.entries}
    assert len(set(paired.values())) == 1, "theirs and ours are of the same images: they can be compared in pairs"
    assert len(paired) == 6


def test_labels_alone_and_unknown_systems_are_in_no_fusion(made, theirs):
    settings = load_settings({"smoke": True, "fusions": {"both": "D/[256;512]/256,384,512 + Labels"}} | THEIRS)
    with pytest.raises(ValueError, match="holds the best labels alone, which cannot be averaged"):
        judged_table("7", settings, made, imported=theirs)
    with pytest.raises(ValueError, match="fusions: 'Nobody' is no system: .* Imported systems: Theirs, Labels"):
        load_settings({"smoke": True, "fusions": {"both": "D/256/256 + Nobody"}} | THEIRS)
    with pytest.raises(ValueError, match="no table of the paper evaluates B_384_s0/dense/384: add a row"):
        load_settings({"smoke": True, "fusions": {"both": "B/384/384 + Theirs"}} | THEIRS)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/b"], r"imported\.a/b: expected a name without '/'"),
        (["a + b"], r"imported\.a \+ b: expected a name .* without ' \+ '"),
        (["My net", "my-net"], "imported: expected names that differ in a letter or a digit, got My net and my-net"),
        (["..."], r"imported\.\.\.\.: expected a name .* with a letter of a-z or a digit in it"),
    ],
    ids=str,
)
def test_names_that_cannot_be_told_apart_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        load_settings({"smoke": True, "imported": {name: {"file": "x.npy"} for name in names}})


def test_names_end_no_cell_no_line_and_no_command():
    name = "a|b\n<script>\x1b[2J \\input{x} `c`"
    assert markup.escape_markdown(name) == r"a\|b\\n\<script>\\x1b[2J \\input{x} \`c\`"
    assert "\n" not in markup.escape_tex(name)
    assert r"\input" not in markup.escape_tex(name)
    assert not set("\\{}\n \x1b") & set(markup.tex_label(name))
