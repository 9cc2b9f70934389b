"""Features, precisions and SVMs of transfer, against independent versions and on real images."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, recall_score

from tests.conftest import real
from tests.oracles import precision as oracle
from vggrepro import cli
from vggrepro.data import standin
from vggrepro.data.collections import VOC, Actions, Caltech
from vggrepro.data.transforms import rescale
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import save_weights
from vggrepro.paper.runs import Run, members_name
from vggrepro.paper.tables import needed_runs, table_numbers
from vggrepro.paper.tasks import COLLECTIONS, TASKS
from vggrepro.scores import outcomes, statistics
from vggrepro.scores.ranks import average_precision
from vggrepro.settings.blocks import EvaluateSettings, NetSettings, TransferSettings
from vggrepro.settings.loading import load_settings
from vggrepro.tables import render
from vggrepro.tables.build import make_table, make_table_with_outcomes
from vggrepro.transfer import average_precision as precision
from vggrepro.transfer import features
from vggrepro.transfer import svms as transfer

MEAN = (120.0, 110.0, 100.0)
NETS = [Run(net, "256-512") for net in "DE"]
SMALL = TransferSettings(caltech101_train=6, caltech101_test=5, caltech256_train=6, C=(0.1, 1.0, 10.0))


# Average precision


@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40).filter(
        lambda v: any(p for _, p in v)
    )
)
def test_precision_is_that_of_the_development_kits(pairs):
    """Few different scores: many are equal."""
    scores, positive = np.array([s for s, _ in pairs], float), np.array([p for _, p in pairs])
    for kind, slow in (("11-point", oracle.eleven_points), ("area", oracle.area)):
        assert average_precision(scores, positive, kind) == pytest.approx(slow(scores.tolist(), positive.tolist()))


def test_area_is_sklearns_where_precision_never_rises_with_recall():
    """sklearn takes precision as it is, VOC the best at a recall or above: they meet where it only falls."""
    rng, met = np.random.default_rng(0), 0
    for _ in range(300):
        positive = rng.random(12) < 0.5
        scores = rng.permutation(12).astype(float)
        if not positive.any():
            continue
        theirs = average_precision_score(positive, scores)
        points = oracle.curve(scores, positive)
        before = [0, *(recall for recall, _ in points)]
        precision = [p for (recall, p), r in zip(points, before, strict=False) if recall > r]
        if precision == sorted(precision, reverse=True):
            met += 1
            assert average_precision(scores, positive, "area") == pytest.approx(theirs)
        assert average_precision(scores, positive, "area") >= theirs - 1e-12
    assert met > 20


def test_perfect_and_hopeless_orders():
    positive = np.array([True] * 3 + [False] * 7)
    assert average_precision(np.arange(10)[::-1].astype(float), positive, "11-point") == 1
    assert average_precision(np.arange(10).astype(float), positive, "area") == pytest.approx(3 / 10)
    assert np.isnan(average_precision(np.ones(3), np.zeros(3, bool), "area"))
    with pytest.raises(ValueError, match="no average precision is called"):
        average_precision(np.ones(3), np.ones(3, bool), "sum")


def test_difficult_images_are_left_out():
    scores, targets = np.array([[3.0], [2.0], [1.0]]), np.array([[0], [1], [-1]], np.int8)
    assert precision.precisions(scores, targets, "area").tolist() == [1.0]


def test_precisions_on_the_official_lists_at_full_size(tmp_path):
    """Made-up scores for all 4,952 test images of VOC-2007 and its real labels, against the slow versions.

    Images that are marked difficult are left out.
    """
    import zipfile

    with zipfile.ZipFile(real("voc2007-13.zip")) as file:
        file.extractall(tmp_path)
    main, rng = tmp_path / "voc2007-13/ImageSets/Main", np.random.default_rng(0)
    for name in ("aeroplane", "person", "pottedplant", "train"):
        labels = np.array([int(line.split()[1]) for line in main.joinpath(f"{name}_test.txt").read_text().splitlines()])
        assert len(labels) == 4952
        assert (labels == 0).any() == (name != "train")
        scores = (rng.normal(0, 1, 4952) + 1.5 * (labels > 0)).astype(np.float32)
        images = [(score, label > 0) for score, label in zip(scores.tolist(), labels.tolist(), strict=True) if label]
        for kind, slow in (("11-point", oracle.eleven_points), ("area", oracle.area)):
            found = precision.precisions(scores[:, None], labels[:, None].astype(np.int8), kind)[0]
            assert found == pytest.approx(slow(*zip(*images, strict=True)), rel=1e-12)


def test_recall_is_sklearns():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 5, 200), rng.normal(0, 1, (200, 5)).astype(np.float32)
    targets = np.where(np.arange(5) == labels[:, None], 1, -1).astype(np.int8)
    assert precision.recalls(scores, targets) == pytest.approx(recall_score(labels, scores.argmax(1), average=None))


# Features and descriptors


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    standin.write_voc(root / "voc2007", "2007")
    standin.write_voc(root / "voc2012", "2012")
    standin.write_caltech(root / "caltech101", "101", per_class=13)
    standin.write_caltech(root / "caltech256", "256", per_class=13)
    return root


def net(run: Run) -> VGG:
    found = VGG(run.net, 10, NetSettings(scale_unit=8, width=4, fc=24))
    initialise_randomly(found, "he", ord(run.net))
    return found.eval()


def test_features_are_means_over_space_and_both_images(drawn):
    voc = VOC(drawn / "voc2007", "2007")
    d = net(NETS[0])
    found = features.extract_features(d, voc, MEAN, (256, 384), settings=EvaluateSettings(batch_pixels=40_000))
    for i in (0, 17, 63):
        for Q in (256, 384):
            image = torch.from_numpy(rescale(voc.image(i), d.model.pixels(Q)).copy()).float() - torch.tensor(MEAN)
            shown = [d.hidden_map(v.permute(2, 0, 1)[None])[0] for v in (image, image.flip(1))]
            expected = torch.stack([v.mean((0, 1)) for v in shown]).mean(0).detach()
            np.testing.assert_allclose(found[Q][i], expected, rtol=1e-4, atol=1e-4)
    assert (found[256] >= 0).all()  # after the ReLU


def test_real_images_of_all_kinds_have_features():
    """Caltech-101's greyscale and colour images of many sizes; BCCD's blood cells."""
    d = net(NETS[0])
    for collection in (Caltech(real("caltech101-18.zip"), "101"), VOC(real("bccd-voc.zip"), "2007")):
        collection.pictures = collection.pictures[::40]
        found = features.extract_features(d, collection, MEAN, (256,), workers=2)[256]
        assert found.shape == (len(collection), 24)
        assert np.isfinite(found).all()
        assert len(np.unique(found.sum(1))) == len(collection)


def test_descriptors_are_averaged_or_stacked_and_of_unit_length():
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 4)), rng.random((3, 4))
    average, stacked = (transfer.descriptor([a, b], combine, "after") for combine in ("average", "stack"))
    assert average == pytest.approx((a + b) / np.linalg.norm(a + b, axis=1, keepdims=True))
    assert stacked.shape == (3, 8)
    assert np.linalg.norm(stacked, axis=1) == pytest.approx(1)
    before = transfer.descriptor([a, 10 * b], "average", "before")
    assert before == pytest.approx(transfer.descriptor([a, b], "average", "before"))
    assert not np.allclose(transfer.descriptor([a, 10 * b], "average", "after"), average)
    assert transfer.unit_length(np.zeros((1, 4))).tolist() == [[0.0] * 4]


# SVMs


def separable(n: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, n)
    x = np.eye(classes)[labels] + rng.normal(0, 0.2, (n, classes))
    return x.astype(np.float32), np.where(np.arange(classes) == labels[:, None], 1, -1).astype(np.int8)


def test_an_svm_is_liblinears_and_processes_change_nothing():
    """More dimensions than images: LIBLINEAR then draws at random, from one generator a process."""
    from sklearn.svm import LinearSVC

    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (120, 400)).astype(np.float32)
    targets = np.where(rng.random((120, 4)) < 0.3, 1, -1).astype(np.int8)
    targets[::7, 1] = 0
    names = ("a", "b", "c", "d")
    model = transfer.fit_svms(x, targets, 0.01, names, workers=1)
    for c in range(4):
        kept = targets[:, c] != 0
        theirs = LinearSVC(C=0.01, random_state=0, max_iter=10_000).fit(x[kept], targets[kept, c])
        assert model.scores(x)[:, c] == pytest.approx(theirs.decision_function(x), abs=1e-6)
    assert np.array_equal(model.weights, transfer.fit_svms(x, targets, 0.01, names, workers=2).weights)


def test_classes_that_exclude_each_other_are_trained_in_one_call():
    """The same classifiers, but for LIBLINEAR's draws."""
    x, targets = separable(90)
    together = transfer.fit_svms(x, targets, 1.0, ("a", "b", "c"), 1)
    targets[0, 0] = 0  # one that does not count: a call per class
    apart = transfer.fit_svms(x, targets, 1.0, ("a", "b", "c"), 1)
    assert together.weights.shape == apart.weights.shape == (3, 3)
    assert together.scores(x)[:, 1:] == pytest.approx(apart.scores(x)[:, 1:], abs=1e-2)


def test_a_search_that_does_not_end_is_told(monkeypatch):
    x, targets = separable()
    monkeypatch.setattr(transfer, "ITERATIONS", 1)
    with pytest.raises(ValueError, match="LIBLINEAR did not converge with C = 1000"):
        transfer.fit_svms(x, targets, 1000.0, ("a", "b", "c"), 1)


def test_a_class_without_examples_or_counterexamples_is_named():
    x, targets = separable()
    with pytest.raises(ValueError, match="no image of class b: an SVM needs both"):
        transfer.fit_svms(x, np.where([False, True, False], -1, targets).astype(np.int8), 1.0, ("a", "b", "c"), 1)
    with pytest.raises(ValueError, match="nothing but images of class c"):
        transfer.fit_svms(x, np.where([False, False, True], 1, targets).astype(np.int8), 1.0, ("a", "b", "c"), 1)


def test_the_cost_is_the_best_on_held_out_images_and_of_equals_the_smallest():
    """A third of the training labels are wrong: the largest C believes them all, the smallest learns little.

    So many images that the best is ten images better than both: rounding moves one or two.
    """
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 600)
    x = np.concatenate([2 * np.eye(3)[labels], rng.normal(0, 1.5, (600, 200))], 1).astype(np.float32)
    targets = np.where(np.arange(3) == labels[:, None], 1, -1).astype(np.int8)
    train, held = np.arange(300), np.arange(300, 600)
    targets[:100] = np.roll(targets[:100], 1, axis=1)
    seen, costs = {}, (1e-5, 1e-3, 0.03, 100.0)
    for C in costs:
        model = transfer.fit_svms(x[train], targets[train], C, ("a", "b", "c"), 1)
        seen[C] = precision.recalls(model.scores(x[held]), targets[held]).mean()
    best = [C for C in seen if seen[C] == max(seen.values())]
    assert max(seen[costs[0]], seen[costs[-1]]) < seen[best[0]] - 0.02
    measured = precision.measure_of("recall")
    assert transfer.choose_cost(x, targets, train, held, ("a", "b", "c"), measured, costs[::-1], 1) == min(best)


def test_a_class_that_no_held_out_image_shows_is_named():
    x, targets = separable()
    held = np.flatnonzero(targets[:, 2] < 0)
    with pytest.raises(ValueError, match="held-out training images shows c: more images"):
        transfer.choose_cost(
            x, targets, np.arange(60), held, ("a", "b", "c"), precision.measure_of("area"), (1.0, 2.0), 1
        )


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_held_out_images_are_a_share_of_every_class_and_never_its_last(share):
    labels = np.repeat(np.arange(5), [5, 30, 30, 2, 1])
    targets = np.where(np.arange(5) == labels[:, None], 1, -1).astype(np.int8)
    train = np.arange(len(labels))
    drawn = transfer.part_held_out(targets, train, train, share)
    taken = np.bincount(labels[drawn], minlength=5)
    assert taken.tolist() == [max(1, round(share * n)) for n in (5, 30, 30, 2)] + [0]
    assert np.array_equal(drawn, transfer.part_held_out(targets, train, train, share))


def test_images_of_several_classes_leave_each_class_one_to_train_on():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        targets = np.where(rng.random((14, 4)) < 0.3, 1, -1).astype(np.int8)
        train = np.arange(14)
        drawn = transfer.part_held_out(targets, train, train, 0.4)
        shown = (targets > 0).any(0)
        assert ((targets[~drawn] > 0).any(0) == shown).all()


def test_persons_of_one_image_are_held_out_together():
    rng = np.random.default_rng(0)
    targets = np.where(np.arange(3) == rng.integers(0, 3, 60)[:, None], 1, -1).astype(np.int8)
    groups = np.repeat(np.arange(30), 2)
    drawn = transfer.part_held_out(targets, np.arange(60), groups, 0.2)
    assert np.array_equal(drawn[::2], drawn[1::2])
    assert 0 < drawn.sum() < 30


# The whole way, on the drawn data sets


@pytest.fixture(scope="module")
def results(drawn, tmp_path_factory) -> Path:
    """Results of all tasks from random nets, made by the verbs that the rules call."""
    root = tmp_path_factory.mktemp("transfer")
    settings = SMALL.model_dump_json()
    for run in NETS:
        save_weights(root / f"{run.name}.safetensors", net(run), run, MEAN, [f"n{i:08d}" for i in range(10)])
        for name in COLLECTIONS:
            task = next(t for t in TASKS.values() if name in t.collections)
            where = ["--path", str(drawn / task.data), "--weights", str(root / f"{run.name}.safetensors")]
            scales = ["--scales", ",".join(map(str, task.scales)), "--settings", "smoke"]
            assert (
                cli.main(["features", run.name, name, *where, *scales, "--out", str(root / "f" / run.name / name)]) == 0
            )
    for name in ("caltech101", "caltech256"):
        where = ["--path", str(drawn / name), "--settings", settings, "--out", str(root / "splits" / name)]
        assert cli.main(["splits", name, *where]) == 0
    for name, task in TASKS.items():
        for members in ([NETS[0]], [NETS[1]], NETS):
            folders = [str(root / "f" / run.name / c) for c in task.collections for run in members]
            splits = [str(root / "splits" / task.data / f"{k}.csv") for k in range(3)]
            splits = ["--splits", *splits] if task.data.startswith("caltech") else []
            out = root / "transfer" / name / members_name(tuple(members), 0)
            where = ["--path", str(drawn / task.data), "--features", *folders, *splits, "--out", str(out)]
            assert cli.main(["classify", name, *where, "--settings", settings, "--threads", "2"]) == 0
    return root


def test_tables_11_and_12_are_measured_from_the_stored_scores(results):
    settings = load_settings({"smoke": True})
    eleven, twelve = (make_table(n, settings, results / "transfer") for n in ("11", "12"))
    ours = [row for row in eleven.rows if row.keys[0].startswith("VGG")]
    assert [[cell.status for cell in row.cells] for row in ours] == [
        ["measured", "validation", "measured", "measured"]
    ] * 3
    both = ours[-1]
    folder = results / "transfer" / "caltech101" / "D_256-512_s0+E_256-512_s0"
    recalls = []
    for k in range(3):
        scores, targets = (np.load(folder / str(k) / f"{name}.npy") for name in ("scores", "targets"))
        recalls.append(recall_score(targets.argmax(1), scores.argmax(1), average="macro"))
    cell = both.cells[2]
    assert (cell.value, cell.spread) == (
        pytest.approx(100 * np.mean(recalls)),
        pytest.approx(100 * np.std(recalls, ddof=1)),
    )
    assert (cell.splits, cell.n, cell.delta) == (3, 30, pytest.approx(cell.value - 92.7))
    assert both.cells[1].delta is None
    folder = results / "transfer" / "voc2007" / "D_256-512_s0+E_256-512_s0" / "0"
    scores, targets = np.load(folder / "scores.npy"), np.load(folder / "targets.npy")
    slow = [
        oracle.eleven_points(s[t != 0].tolist(), (t[t != 0] > 0).tolist())
        for s, t in zip(scores.T, targets.T, strict=True)
    ]
    assert both.cells[0].value == pytest.approx(100 * np.mean(slow))
    assert both.cells[0].n == standin.VOC_PART_SIZES["test"]
    assert [row.cells[0].status for row in twelve.rows] == ["quoted"] * 3 + ["validation"] * 2
    assert all(low <= cell.value <= high for row in ours for cell in row.cells for low, high in [cell.interval])
    assert "on val" in render.table_html(eleven)
    assert "over 3 splits" in render.table_markdown(eleven)


def test_bold_is_the_highest(results):
    table = make_table("11", load_settings({"smoke": True}), results / "transfer")
    for column in range(4):
        cells = [row.cells[column] for row in table.rows if row.cells[column].value is not None]
        if len({cell.value for cell in cells}) > 1:
            assert {cell.value for cell in cells if cell.best} == {max(cell.value for cell in cells)}


def test_outcomes_of_transfer_are_what_cells_are_made_of(results, tmp_path):
    for number in table_numbers("svms"):
        table, made = make_table_with_outcomes(number, load_settings({"smoke": True}), results / "transfer")
        outcomes.write_outcomes(tmp_path / "t.npz", made)
        found = outcomes.read_outcomes(tmp_path / "t.npz").entries
        cells = {
            (row.keys[0], column): c for row in table.rows for column, c in zip(table.columns, row.cells, strict=True)
        }
        values = [100 * entry.outcome.values.mean() for entry in found]
        assert sorted(values) == pytest.approx(sorted(c.value for c in cells.values() if c.value is not None))
        assert values
        assert all(e.outcome.resampled.shape[1] == (0 if "caltech" in e.quantity else 200) for e in found)


def test_other_is_no_action_of_the_mean(results):
    result = precision.read_svm_result(results / "transfer" / "actions-image" / "D_256-512_s0+E_256-512_s0")
    assert (result.metadata["classes"], result.metadata["counted"]) == (
        ["jumping", "other", "reading"],
        ["jumping", "reading"],
    )
    assert len(result.values(0)) == 2


def test_a_set_that_was_not_given_is_not_run(results, tmp_path):
    shutil.copytree(results / "transfer" / "caltech101", tmp_path / "caltech101")
    table = make_table("11", load_settings({"smoke": True}), tmp_path)
    assert [cell.status for cell in table.rows[-1].cells] == ["not run", "not run", "measured", "not run"]
    empty = make_table("12", load_settings({"smoke": True}), tmp_path)
    assert "give the folders of its data sets, such as voc2012=PATH" in empty.notes[0]


def test_results_of_a_set_that_is_no_longer_given_are_not_shown(results):
    """They lie where an earlier call left them, made with who knows which weights."""
    table = make_table("11", load_settings({"smoke": True, "transfer": {"stand_in": False}}), results / "transfer")
    assert {cell.status for row in table.rows if row.keys[0].startswith("VGG") for cell in row.cells} == {"not run"}


def test_a_set_of_other_classes_says_so_and_a_drawn_one_too(results):
    drawn = make_table("11", load_settings({"smoke": True}), results / "transfer").notes
    assert any("drawn by the program stand for voc2007, voc2012, caltech101, caltech256" in note for note in drawn)
    given = make_table("11", load_settings({"smoke": True, "voc2007": "x"}), results / "transfer").notes
    assert any("voc2007 has 4 classes here and 20 in the paper: the delta compares different data" in n for n in given)
    assert any("The deltas do not compare like with like: the nets depart" in note for note in given)


def test_results_of_another_task_or_of_other_nets_are_refused(results, tmp_path):
    for source, target in (
        ("voc2007/D_256-512_s0", "voc2007/E_256-512_s0"),
        ("voc2012/D_256-512_s0", "voc2007/D_256-512_s0"),
    ):
        folder = tmp_path / target.replace("/", "_")
        shutil.copytree(results / "transfer" / source, folder / target)
        for name in ("D_256-512_s0", "D_256-512_s0+E_256-512_s0"):
            if not (folder / "voc2007" / name).exists():
                shutil.copytree(results / "transfer" / "voc2007" / name, folder / "voc2007" / name)
        with pytest.raises(ValueError, match=r"holds voc20\d\d with D_256-512_s0: classify again"):
            make_table("11", load_settings({"smoke": True}), folder)


def test_files_for_the_evaluation_server_list_every_test_image_and_person(results, drawn):
    folder = results / "transfer" / "voc2012" / "D_256-512_s0" / "submission" / "Main"
    voc = VOC(drawn / "voc2012", "2012")
    assert {file.name for file in folder.iterdir()} == {f"comp2_cls_test_{name}.txt" for name in voc.classes}
    lines = [line.split() for line in (folder / "comp2_cls_test_disc.txt").read_text().splitlines()]
    assert [line[0] for line in lines] == [voc.ids[i] for i in voc.parts["test"]]
    assert all(np.isfinite(float(line[1])) for line in lines)
    people = Actions(drawn / "voc2012", boxes=False)
    file = (
        results
        / "transfer/actions-image-and-box/D_256-512_s0+E_256-512_s0/submission/Action/comp10_action_test_jumping.txt"
    )
    assert [" ".join(line.split()[:2]) for line in file.read_text().splitlines()] == [
        people.ids[i] for i in people.parts["test"]
    ]


def test_splits_come_back_from_their_files_and_others_are_refused(results, drawn, tmp_path):
    caltech = Caltech(drawn / "caltech101", "101")
    for k, parts in enumerate(caltech.splits(3, 6, 5)):
        assert np.array_equal(transfer.read_split(results / "splits" / "caltech101" / f"{k}.csv", caltech), parts)
    file = results / "splits" / "caltech101" / "0.csv"
    with pytest.raises(ValueError, match="0.csv: expected image,part for every image of Caltech-256"):
        transfer.read_split(file, Caltech(drawn / "caltech256", "256"))
    damaged = tmp_path / "0.csv"
    for old, new, message in [
        ("image,part", "file,part", "expected image,part for every image"),
        (",train", ",tain", "and each part one of unused, train, test"),
        (",test", ",unused", "class BACKGROUND_Google has no test image"),
    ]:
        damaged.write_text(file.read_text().replace(old, new))
        with pytest.raises(ValueError, match=message):
            transfer.read_split(damaged, caltech)


def test_features_of_other_images_are_refused(results, drawn, tmp_path, capsys):
    where = ["--path", str(drawn / "voc2012"), "--features", str(results / "f" / NETS[0].name / "voc2007")]
    assert cli.main(["classify", "voc2012", *where, "--out", str(tmp_path / "o")]) == 2
    assert "features of other images than voc2012: delete the folder" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["D/actions-image", "D/actions-image"], "features of other images than actions-box"),
        (["D/actions-box", "D/actions-image"], "features of other images than actions-image"),
        (["D/actions-image", "E/actions-box"], "expected the same nets for actions-image and actions-box"),
    ],
)
def test_features_of_images_and_boxes_are_told_apart(results, drawn, tmp_path, capsys, folders, message):
    found = [str(results / "f" / folder.replace("/", "_256-512_s0/")) for folder in folders]
    where = ["--path", str(drawn / "voc2012"), "--features", *found, "--out", str(tmp_path / "o")]
    assert cli.main(["classify", "actions-image-and-box", *where]) == 2
    assert message in capsys.readouterr().err


def test_splits_are_for_caltech_alone(results, drawn, tmp_path, capsys):
    features = ["--features", str(results / "f" / NETS[0].name / "caltech101")]
    assert (
        cli.main(["classify", "caltech101", "--path", str(drawn / "caltech101"), *features, "--out", str(tmp_path)])
        == 2
    )
    assert "--splits are for Caltech, and needed there" in capsys.readouterr().err


def test_weights_of_another_run_are_refused(results, drawn, tmp_path, capsys):
    where = [
        "--path",
        str(drawn / "voc2007"),
        "--weights",
        str(results / "D_256-512_s0.safetensors"),
        "--scales",
        "256",
    ]
    assert cli.main(["features", "E_256-512_s0", "voc2007", *where, "--out", str(tmp_path / "o")]) == 2
    assert "holds D_256-512_s0, expected E_256-512_s0" in capsys.readouterr().err


def test_a_damaged_result_is_named(results, tmp_path):
    folder = shutil.copytree(results / "transfer" / "voc2007" / "D_256-512_s0", tmp_path / "r")
    (folder / "0" / "scores.npy").write_bytes(b"")
    with pytest.raises(ValueError, match="scores.npy: damaged .*classify again"):
        precision.read_svm_result(folder)


# Intervals


def test_intervals_of_shares_stay_in_range_and_have_a_length():
    same = np.ones((1, 3))
    assert statistics.share(statistics.of_splits(same, 50).interval())[1] == 1
    low, high = statistics.of_splits(same / 2, 50).interval()
    assert 0 < high - low < 0.2
    half = 4.302653 * 0.1 / 3**0.5
    assert statistics.of_splits(np.array([[0.4, 0.5, 0.6]]), 10**9).interval() == pytest.approx(
        (0.5 - half, 0.5 + half)
    )


def test_intervals_of_splits_cover_as_often_as_they_say():
    """Splits of one share that vary alone, and with seeds that vary too."""
    rng, covered, with_seeds = np.random.default_rng(0), 0, 0
    for _ in range(2000):
        low, high = statistics.of_splits(rng.normal(0.8, 0.01, (1, 3)), 10**6).interval()
        covered += low <= 0.8 <= high
        values = 0.8 + rng.normal(0, 0.02, (4, 1)) + rng.normal(0, 0.01, (1, 3))
        low, high = statistics.of_splits(values, 10**6).interval()
        with_seeds += low <= 0.8 <= high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)
    assert 0.935 < with_seeds / 2000 <= 1


def resampled_mean(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    resamples = statistics.resampled([lambda chosen: float(values[chosen].mean())], groups)
    return statistics.of_resamples(values.mean(keepdims=True), resamples, len(np.unique(groups))).interval()


def test_resampling_a_mean_gives_its_standard_error():
    values = np.random.default_rng(0).random(2000)
    low, high = resampled_mean(values, np.arange(2000))
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 2000**0.5, rel=0.12)
    assert (low + high) / 2 == pytest.approx(values.mean())


def test_pictures_of_one_image_are_drawn_together():
    """Pairs of equal values say as much as half as many: the interval is wider by the root of two."""
    values = np.repeat(np.random.default_rng(0).random(500), 2)

    def length(groups: np.ndarray) -> float:
        low, high = resampled_mean(values, groups)
        return high - low

    ratio = length(np.repeat(np.arange(500), 2)) / length(np.arange(1000))
    assert ratio == pytest.approx(2**0.5, rel=0.2)


def test_runs_of_transfer_are_those_of_the_jittered_nets():
    assert {run.name for run in needed_runs(("11", "12"))} == {
        "A_256_s0", *(f"{n}_{S}_s0" for n in "DE" for S in ("256", "384", "256-512")),
    }  # fmt: skip
