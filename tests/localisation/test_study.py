"""Tables 8 to 10 from made-up boxes, the sensitivity of merging, submissions, and systems of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_devkit
from vggrepro import cli
from vggrepro.data import devkit
from vggrepro.data.store import Store
from vggrepro.localisation import judging, submission
from vggrepro.localisation.sensitivity import read_sensitivity, write_sensitivity
from vggrepro.localisation.stores import (
    BoxStore,
    boxes_of_images,
    merged_label_boxes,
    missed_boxes,
    read_boxes,
    write_boxes,
)
from vggrepro.paper.runs import Evaluation
from vggrepro.paper.systems import with_seed
from vggrepro.paper.tables import (
    PUBLISHED,
    best_classification,
    best_localisation,
    localisation_systems,
    published_table,
    table_evaluations,
    table_numbers,
)
from vggrepro.report.figures import localisation
from vggrepro.report.page import report_warning
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.tables import render
from vggrepro.tables.build import Table, make_table

FUSED = "D/256/256 + D/384/352,384"


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings({"smoke": True, "seeds": [0, 1]})


def made_up(val: Store, e: Evaluation) -> BoxStore:
    """Boxes around the true ones, of the true label (centre crop) or of five labels, the true one most times among them."""
    rng = np.random.default_rng([e.Q, e.run.seed, len(e.run.name)])
    asked = np.array(
        [(np.random.default_rng(i).permutation(10)[:5] + val.labels[i] - i % 10) % 10 for i in range(len(val))]
    )
    labels = val.labels[:, None] if e.protocol == "centre-crop" else asked
    rows = []
    for i in range(len(val)):
        shape = (1 if e.protocol == "centre-crop" else int(rng.integers(2, 9)), labels.shape[1], 4)
        found = np.sort((val.boxes(i)[0] + rng.normal(0, 14, shape)).reshape(*shape[:2], 2, 2), 2).reshape(shape)
        rows.append((found.astype(np.float32), rng.random(shape[:2]).astype(np.float32)))
    return boxes_of_images(val, rows, labels)


@pytest.fixture(scope="module")
def boxes(stores, tmp_path_factory) -> Path:
    """Box stores of two seeds of every evaluation of Tables 8 to 10."""
    val, folder = Store(stores[1]), tmp_path_factory.mktemp("boxes")
    for e in dict.fromkeys(e for n in table_numbers("boxes") for e in table_evaluations(n, (0, 1))):
        about = {"run": e.run.name, "protocol": e.protocol, "Q": e.Q, "data": val.digest}
        made = about | {"data set": "made up", "classes": val.classes}
        write_boxes(folder / e.path, made_up(val, e), made)
    return folder


def errors(table: Table) -> dict[str, float]:
    return {"/".join(row.keys): row.cells[0].value for row in table.rows if row.cells[0].status == "measured"}


def judged(stores: list[BoxStore], val: Store, merge) -> float:
    """The slow way: all five boxes of every image, judged one by one as the devkit does."""
    found = merged_label_boxes(stores, merge)[0]
    truth = devkit.Truth(
        {}, val.labels, tuple(val.boxes(i).astype(np.int64) for i in range(len(val))), np.zeros(len(val), bool)
    )
    guesses = [devkit.Guess(tuple(a.tolist()), b) for a, b in zip(stores[0].answers, found, strict=True)]
    return 100 * judging.judge_guesses(truth, guesses).localisation / len(val)


def test_table_8_is_the_error_of_the_true_classes_box(boxes, stores, settings):
    val, table = Store(stores[1]), make_table("8", settings, boxes)
    for row, printed in zip(table.rows, published_table("8").rows, strict=True):
        found = [read_boxes(boxes / e.path) for s in (0, 1) for e, _ in with_seed(printed.system, s)]
        assert all(len(store.boxes) == len(val) for store in found)
        assert row.cells[0].value == pytest.approx(np.mean([judged([store], val, settings.merge) for store in found]))
        assert row.cells[0].n == len(val)
        assert row.cells[0].seeds == 2


def test_table_9_is_judged_as_the_devkit_does(boxes, stores, settings):
    val, table = Store(stores[1]), make_table("9", settings, boxes, workers=2)
    for row, printed in zip(table.rows, published_table("9").rows, strict=True):
        per_seed = []
        for seed in (0, 1):
            paths = [e.path for e, _ in with_seed(printed.system, seed)]
            per_seed.append(judged([read_boxes(boxes / path) for path in paths], val, settings.merge))
        assert row.cells[0].value == pytest.approx(np.mean(per_seed))
        assert row.cells[1].status == "withheld"
    fused = errors(table)[FUSED]
    assert errors(make_table("10", settings, boxes)) == {"VGG": fused}


def test_blacklisted_images_are_out_of_the_denominator_and_said(boxes, stores, settings, tmp_path):
    e = table_evaluations("9")[0]
    store = read_boxes(boxes / e.path)
    store.counted[:10] = False
    one = load_settings({"smoke": True})
    write_boxes(tmp_path / e.path, store, store.metadata)
    table = make_table("9", one, tmp_path)
    assert table.rows[0].cells[0].n == len(store) - 10
    assert "10 blacklisted images are left out of the localisation error." in table.notes
    assert [row.cells[0].status for row in table.rows] == ["measured", "not run", "not run", "not run"]


def test_without_the_blacklist_ilsvrc_says_so(boxes, settings, tmp_path):
    e = table_evaluations("9")[0]
    store = read_boxes(boxes / e.path)
    write_boxes(tmp_path / e.path, store, store.metadata | {"data set": "ILSVRC-2012"})
    notes = make_table("9", load_settings({"smoke": True}), tmp_path).notes
    assert any("came without ILSVRC's blacklist" in note for note in notes)


def test_the_sensitivity_contains_the_table(boxes, stores, tmp_path):
    one = load_settings({"smoke": True})
    write_sensitivity(one, boxes, stores[1], tmp_path / "study", workers=2)
    points, examples = read_sensitivity(tmp_path / "study")
    default = {
        "match": one.merge.match,
        "average": one.merge.average,
        "top_k": "all",
        "threshold": str(one.merge.threshold),
    }
    found = {p["system"]: float(p["error"]) for p in points if default.items() <= p.items()}
    assert found == pytest.approx(errors(make_table("9", one, boxes)))
    changed = {(p["match"], p["average"], p["top_k"]) for p in points if p["system"] == FUSED}
    assert len(changed) == 8
    for match, average, top_k in changed:
        merge = {"match": match, "average": average, "top_k": None if top_k == "all" else int(top_k)}
        table = make_table("9", load_settings({"smoke": True, "merge": merge}), boxes)
        point = next(p for p in points if (p["match"], p["average"], p["top_k"]) == (match, average, top_k)
                     and p["system"] == FUSED and p["threshold"] == str(one.merge.threshold))  # fmt: skip
        assert float(point["error"]) == pytest.approx(errors(table)[FUSED])
    assert [e.localised for e in examples] == [True] * 4 + [False] * 4
    assert all((tmp_path / "study" / e.picture).exists() for e in examples)
    for drawn in (
        localisation.draw_sensitivity(points, one.merge, tmp_path),
        localisation.draw_boxes(examples, tmp_path / "study", tmp_path),
    ):
        assert drawn.svg.startswith("<svg")
        assert (tmp_path / f"{drawn.name}.pdf").stat().st_size > 1000


def test_boxes_that_were_not_predicted_are_named(boxes, stores, tmp_path):
    with pytest.raises(ValueError, match="no boxes of D_256_pcr_s7/dense/256: predict them first"):
        write_sensitivity(load_settings({"smoke": True, "seeds": [7]}), boxes, stores[1], tmp_path / "study", workers=1)


@pytest.fixture(scope="module")
def official(stores, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("official") / "devkit"
    write_devkit(folder, Store(stores[1]), blacklisted=(3, 4))
    return folder


def submit(boxes: Path, stores, official: Path, out: Path, *more: str) -> int:
    where = ["--settings", "smoke", "--boxes", str(boxes), "--val", str(stores[1]), "--devkit", str(official)]
    return cli.main(["submission", *more, *where, "--out", str(out)])


def test_a_submission_is_judged_as_its_table(boxes, stores, official, tmp_path):
    assert submit(boxes, stores, official, tmp_path / "p.txt") == 0
    lines = (tmp_path / "p.txt").read_text().splitlines()
    val = Store(stores[1])
    assert len(lines) == len(val)
    assert {len(line.split()) for line in lines} == {25}
    # classes are numbered backwards in this devkit, images by their number
    first = val.ids.index("val_0.JPEG")
    asked = read_boxes(boxes / "D_256_pcr_s0/dense/256").answers[first]
    assert [int(v) for v in lines[0].split()[::5]] == [10 - c for c in asked]
    found = submission.judge_submission(
        tmp_path / "p.txt",
        devkit_folder=official,
        solution=official / "LOC_val_solution.csv",
        first=None,
        with_boxes=True,
    )
    assert found.localisation_images == len(val) - 2
    one = load_settings({"smoke": True})
    opened = [read_boxes(boxes / e.path) for e in table_evaluations("9")]
    order = devkit.official_order(val.ids)
    for store in opened:
        store.counted[[order[2], order[3]]] = False
    missed = missed_boxes(opened[0], merged_label_boxes(opened, one.merge)[0])
    assert found.localisation == int(missed.sum())


def test_labels_alone_and_unknown_systems(boxes, stores, official, tmp_path, capsys):
    assert submit(boxes, stores, official, tmp_path / "p.txt", "--labels-only") == 0
    assert {len(line.split()) for line in (tmp_path / "p.txt").read_text().splitlines()} == {5}
    assert submit(boxes, stores, official, tmp_path / "q.txt", "E/256/256") == 2
    assert "no row of Table 9 measures 'E/256/256': expected one of 'D/256/256'" in capsys.readouterr().err
    assert not (tmp_path / "q.txt").exists()


def test_localisation_that_is_switched_off_opens_nothing(boxes):
    table = make_table("9", load_settings({"smoke": True, "localisation": False}), boxes)
    assert {row.cells[0].status for row in table.rows} == {"not run"}
    assert "localisation is switched off" in table.notes[0]


def test_a_row_added_to_table_9_is_a_system_of_its_own(boxes, monkeypatch, tmp_path):
    import shutil

    folder = shutil.copytree(PUBLISHED, tmp_path / "published")
    with (folder / "table09.csv").open("a") as file:
        file.write("D/384/384,dense,SCR,fc,-,-\n")
    with (folder / "table06.csv").open("a") as file:
        file.write('ours,"D/[256;512]/384 + E/[256;512]/384",multi-crop,-,-,-\n')
    monkeypatch.setattr("vggrepro.paper.tables.PUBLISHED", folder)
    before = best_classification()
    published_table.cache_clear()
    try:
        systems = localisation_systems()
        assert best_classification() == before
    finally:
        monkeypatch.undo()
        published_table.cache_clear()
    assert list(systems)[-2:] == [FUSED, "D/384/384 (SCR, fc)"]
    assert systems["D/384/384"] != systems["D/384/384 (SCR, fc)"]
    assert best_localisation() == FUSED


def test_boxes_of_other_images_are_not_shown_or_submitted(boxes, stores, official, tmp_path, capsys):
    other = (stores[0], stores[0])
    assert submit(boxes, other, official, tmp_path / "p.txt") == 2
    assert "boxes of other images than those in" in capsys.readouterr().err
    with pytest.raises(ValueError, match="boxes of other images than those in"):
        write_sensitivity(load_settings({"smoke": True}), boxes, stores[0], tmp_path / "study", workers=1)


@pytest.mark.parametrize("more", [["--answers", "a"], ["--classifier", "c"]])
def test_a_centre_crop_takes_the_true_class_alone(more, capsys):
    where = ["--scales", "384", "--weights", "w", "--val", "v", "--out", "o"]
    assert cli.main(["boxes", "D_384_pcr_s0", "centre-crop", *where, *more]) == 2
    assert "on a centre crop the true class is given, and neither" in capsys.readouterr().err
    assert cli.main(["boxes", "D_384_pcr_s0", "dense", *where, *more]) == 2


def test_classes_that_the_devkit_does_not_have_are_named(boxes, stores, official, tmp_path, capsys):
    from scipy.io import loadmat, savemat

    synsets = loadmat(official / "meta_clsloc.mat")["synsets"]
    savemat(tmp_path / "meta_clsloc.mat", {"synsets": synsets[1:]})
    assert submit(boxes, stores, tmp_path, tmp_path / "p.txt") == 2
    assert "1 of 10 classes are not the devkit's, the first is n99000000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a_1.JPEG", "b.JPEG"], "b.JPEG: expected a number in its name"),
        (["a_1.JPEG", "b_01.JPEG"], "b_01.JPEG: expected number 2 next"),
        (["a_5.JPEG", "a_6.JPEG"], "predict for the whole validation set"),
        (["a_1.JPEG", "a_3.JPEG"], "a_3.JPEG: expected number 2 next"),
    ],
)
def test_images_are_listed_by_number(ids, message):
    assert devkit.official_order(["v_3.JPEG", "v_2.JPEG", "v_1.JPEG"]) == [2, 1, 0]
    with pytest.raises(ValueError, match=message):
        devkit.official_order(ids)


def test_a_system_of_others_enters_tables_7_and_10(boxes, stores, official, tmp_path):
    solution, n = str(official / "LOC_val_solution.csv"), len(Store(stores[1]))
    given = {"Theirs": {"file": "p.txt"}, "Labels": {"file": "l.txt"}}
    one = load_settings({"smoke": True, "imported": given, "devkit": {"folder": str(official), "solution": solution}})
    by = ["--val", str(stores[1]), "--devkit", str(official), "--solution", solution]
    for name, more in (("Theirs", []), ("Labels", ["--labels-only"])):
        submit(boxes, stores, official, tmp_path / "p.txt", *more)
        out = ["--name", name, "--out", str(tmp_path / name)]
        assert cli.main(["import", str(tmp_path / "p.txt"), *by, *out]) == 0
    folders = [tmp_path / "Theirs", tmp_path / "Labels"]
    ten, seven = (make_table(number, one, boxes, imported=folders) for number in ("10", "7"))
    assert [row.keys for row in ten.rows[-2:]] == [("Theirs",), ("Labels",)] == [row.keys for row in seven.rows[-2:]]
    judged = submission.judge_submission(
        tmp_path / "p.txt", devkit_folder=official, solution=Path(solution), first=None, with_boxes=False
    )
    assert [cell.status for cell in ten.rows[-2].cells] == ["measured", "withheld"]
    assert [cell.status for cell in ten.rows[-1].cells] == ["not reported", "withheld"]
    assert ten.rows[-2].cells[0].n == n - 2
    for row in seven.rows[-2:]:
        assert [cell.n for cell in row.cells] == [n, n, 0]
        assert [cell.value for cell in row.cells[:2]] == pytest.approx([100 * judged.top1 / n, 100 * judged.top5 / n])
    assert "judged here" in render.table_html(ten)
    assert "p.txt" in render.table_html(ten)
    assert make_table("9", one, boxes, imported=folders) == make_table("9", one, boxes)
    with pytest.raises(ValueError, match="the settings import no 'Theirs'"):
        make_table("10", load_settings({"smoke": True}), boxes, imported=folders)


def test_settings_with_systems_of_others_warn_of_nothing():
    given = {"imported": {"Theirs": {"file": "p.npy"}}, "fusions": {"both": "D/256/256 + Theirs"}}
    assert report_warning(load_settings({"smoke": True} | given)) == report_warning(load_settings({"smoke": True}))
