"""Boxes from nets: the geometry of the dense map against a sliding window, and what a box store keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import prepared, small
from vggrepro.data.boxes import from_vectors
from vggrepro.data.devkit import Guess, Truth
from vggrepro.data.store import Store
from vggrepro.data.transforms import rescale, zoom_of
from vggrepro.localisation.judging import judge_guesses
from vggrepro.localisation.prediction import localise, predict_boxes, windows
from vggrepro.localisation.stores import (
    ARRAYS,
    BoxStore,
    boxes_of_images,
    merged_label_boxes,
    missed_boxes,
    read_boxes,
    write_boxes,
)
from vggrepro.localisation.top5_labels import read_top5_labels, write_top5_labels
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import load_weights
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import best_classification
from vggrepro.scores import stores as scores
from vggrepro.settings.blocks import BoxTargets, EvaluateSettings, MergeSettings, NetSettings
from vggrepro.training.train import Trainer

MEAN = (120.0, 110.0, 100.0)
SCR, PCR, DENSE = Run("D", "256", "fc", 0, "SCR"), Run("D", "256", "all", 0, "PCR"), "dense"


def pointwise(run: Run, unit: int = 8, seed: int = 0) -> VGG:
    """A random net whose 3x3 kernels are zero but for their middle: no padding shows, so that windows are exact."""
    net = VGG("D", run.outputs(10), NetSettings(scale_unit=unit, width=4, fc=16))
    initialise_randomly(net, "he", seed)
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, torch.nn.Conv2d):
                middle = layer.weight[:, :, 1:2, 1:2].clone()
                layer.weight.zero_()
                layer.weight[:, :, 1:2, 1:2] = middle * 3
    return net.eval()


@pytest.fixture(scope="module")
def val(stores) -> Store:
    return Store(stores[1])


@pytest.mark.parametrize("unit", [8, 16, 32])
def test_a_location_of_the_map_is_the_window_at_its_strides(unit):
    net = pointwise(PCR, unit)
    images = torch.randn(1, 3, 9 * unit + 3, 11 * unit)
    dense = net.score_map(images)
    rows, columns = dense.shape[2:]
    assert (rows, columns) == (3, 5)
    for (left, top), found in zip(
        windows(rows, columns, (0, 0), unit).reshape(-1, 2), dense[0].flatten(1).T, strict=True
    ):
        window = images[:, :, top : top + 7 * unit, left : left + 7 * unit]
        torch.testing.assert_close(net(window)[0], found)


@pytest.mark.parametrize("unit", [8, 32])
def test_what_a_location_sees_lies_around_the_middle_of_its_window(unit):
    """With real kernels a location sees more than its window, the same on every side: by its gradient."""
    net = VGG("D", 8, NetSettings(scale_unit=unit, width=4, fc=16))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(0.01)
    side = 7 * unit + 24 * unit
    image = torch.randn(1, 3, side, side, requires_grad=True)
    y, x = 11, 13
    net.eval().score_map(image)[0, :, y, x].sum().backward()
    seen = torch.nonzero(image.grad[0].abs().sum(0))
    low, high = seen.min(0).values, seen.max(0).values
    left, top = windows(y + 1, x + 1, (0, 0), unit)[y, x]
    # pooling passes gradients to the largest value alone: the edge of what is seen is exact to a pooling's width
    assert ((low + high + 1) / 2 - torch.tensor([top + 3.5 * unit, left + 3.5 * unit])).abs().max() < unit / 2
    assert (high - low + 1 > 7 * unit).all()


@pytest.mark.parametrize("run", [SCR, PCR])
@pytest.mark.parametrize("Q", [256, 352])
def test_dense_boxes_are_those_of_a_sliding_window(val, run, Q):
    """Brute force: every window is cut out, shown to the net, and its box mapped back on its own."""
    net, classifier = pointwise(run), pointwise(Run("D", "256"), seed=1)
    asked = np.stack([np.random.default_rng(i).permutation(10)[:5] for i in range(len(val))])
    found = predict_boxes(
        net, classifier, val, MEAN, DENSE, (Q,), asked, settings=EvaluateSettings(batch_pixels=20_000)
    )[Q]
    smallest = net.model.pixels(Q)
    for i in range(0, len(val), 7):
        image = rescale(val.image(i), smallest)
        boxes, posteriors = [], []
        for top in range(0, image.shape[0] - 56 + 1, 8):
            for left in range(0, image.shape[1] - 56 + 1, 8):
                cut = torch.from_numpy(image[top : top + 56, left : left + 56].copy()).float() - torch.tensor(MEAN)
                with torch.no_grad():
                    vectors = net(cut.permute(2, 0, 1)[None])[0].reshape(-1, 4).numpy()
                    scores = classifier(cut.permute(2, 0, 1)[None])[0].softmax(0).numpy()
                mine = vectors[asked[i]] if run.objective == "PCR" else np.repeat(vectors, 5, 0)
                boxes.append(from_vectors(mine, zoom_of(64, 64, smallest), np.array([left, top]), 56))
                posteriors.append(scores[asked[i]])
        here = slice(found.offsets[i], found.offsets[i + 1])
        np.testing.assert_allclose(found.boxes[here], boxes, rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(found.scores[here], posteriors, rtol=1e-3, atol=1e-6)


def test_images_of_any_size_have_a_box_per_location(tmp_path):
    from PIL import Image

    sizes = [(70, 64), (64, 131), (200, 90)]
    for split in ("train", "val"):
        for i, (height, width) in enumerate(sizes):
            folder = tmp_path / "images" / split / f"n0000000{i}"
            folder.mkdir(parents=True)
            pixels = np.random.default_rng(i).integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{split}{i}.JPEG")
        rows = [f"{split}{i},n0000000{i} 0 0 {w - 1} {h - 1}\n" for i, (h, w) in enumerate(sizes)]
        (tmp_path / "images" / f"LOC_{split}_solution.csv").write_text("ImageId,PredictionString\n" + "".join(rows))
    store = Store(prepared(tmp_path / "out", "ilsvrc", tmp_path / "images", per_class=(None, None))[1])
    net = VGG("D", 12, NetSettings(scale_unit=8, width=4, fc=16))
    initialise_randomly(net, "he", 0)
    labels = store.labels[:, None]
    found = predict_boxes(net.eval(), None, store, MEAN, DENSE, (256, 384), labels)
    assert np.diff(found[256].offsets).tolist() == [2 * 2, 2 * 10, 11 * 2]
    assert np.diff(found[384].offsets).tolist() == [7 * 6, 6 * 18, 20 * 6]
    crop = predict_boxes(net, None, store, MEAN, "centre-crop", (256,), labels)[256]
    assert np.diff(crop.offsets).tolist() == [1, 1, 1]


def test_a_centre_crop_is_mapped_back_from_where_it_was_cut(val):
    net = VGG("D", 4, NetSettings(scale_unit=8, width=4, fc=16))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.fc8.bias.copy_(torch.tensor([0.0, 0.0, 1.0, 1.0]))
    found = predict_boxes(net.eval(), None, val, MEAN, "centre-crop", (256, 384), val.labels[:, None])
    # a box that is the window: 56 px in the middle of 64, and 56 of 96 in the middle of an image 1.5 times as large
    assert (found[256].boxes[:, 0] == [4, 4, 59, 59]).all()
    np.testing.assert_allclose(found[384].boxes[0, 0], [20 / 1.5, 20 / 1.5, 76 / 1.5 - 1, 76 / 1.5 - 1], rtol=1e-6)


def random_store(val: Store, seed: int, locations: int = 12) -> BoxStore:
    """Boxes around the true ones and elsewhere, of five labels among which the true one is not always."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(len(val)):
        n = int(rng.integers(1, locations))
        middle = val.boxes(i)[0] + rng.normal(0, 6, (n, 5, 4))
        low, high = np.minimum(middle[..., :2], middle[..., 2:]), np.maximum(middle[..., :2], middle[..., 2:])
        rows.append((np.concatenate([low, high], -1).astype(np.float32), rng.random((n, 5)).astype(np.float32)))
    asked = np.stack([np.random.default_rng(i).permutation(10)[:5] for i in range(len(val))])
    return boxes_of_images(val, rows, asked)


def test_errors_are_those_of_the_devkit(val):
    """The fast judging of the true label's box against devkit.judge of all five; some images blacklisted."""
    store = random_store(val, 0)
    blacklisted = np.arange(len(val)) % 5 == 0
    store.counted[:] = ~blacklisted
    every = merged_label_boxes([store], MergeSettings())[0]
    only = merged_label_boxes([store], MergeSettings(), true_only=True)[0]
    truth = Truth({}, val.labels, tuple(val.boxes(i).astype(np.int64) for i in range(len(val))), blacklisted)
    guesses = [Guess(tuple(row.tolist()), box) for row, box in zip(store.answers, every, strict=True)]
    judged = judge_guesses(truth, guesses)
    for boxes in (every, only):
        missed = missed_boxes(store, boxes)
        assert (int(missed.sum()), missed.size) == (judged.localisation, judged.localisation_images)
    assert 0 < judged.localisation < judged.localisation_images


def test_thresholds_are_answered_in_one_pass(val):
    store = random_store(val, 1)
    steps = (0.1, 0.5, 0.83, 2.0)
    together = merged_label_boxes([store], MergeSettings(), thresholds=steps)
    alone = [merged_label_boxes([store], MergeSettings(threshold=step))[0] for step in steps]
    assert np.array_equal(together, alone)
    assert np.array_equal(missed_boxes(store, together), [missed_boxes(store, boxes) for boxes in alone])


def test_boxes_of_several_stores_are_one_set(val):
    a, b = random_store(val, 0), random_store(val, 1)
    rows = []
    for i in range(len(val)):
        parts = [(s.boxes[s.offsets[i] : s.offsets[i + 1]], s.scores[s.offsets[i] : s.offsets[i + 1]]) for s in (a, b)]
        rows.append(tuple(np.concatenate(column) for column in zip(*parts, strict=True)))
    both = boxes_of_images(val, rows, a.answers)
    assert np.array_equal(merged_label_boxes([a, b], MergeSettings()), merged_label_boxes([both], MergeSettings()))
    assert np.array_equal(
        merged_label_boxes([a, b], MergeSettings(), workers=3),
        merged_label_boxes([a, b], MergeSettings()),
    )


def test_top_k_takes_the_best_locations_of_each_store(val):
    store = random_store(val, 2)
    boxes, scores = store.of(3, 1, 2)
    here = slice(store.offsets[3], store.offsets[4])
    best = np.sort(np.argsort(-store.scores[here, 1])[:2])
    assert np.array_equal(boxes, store.boxes[here, 1][best])
    assert np.array_equal(scores, store.scores[here, 1][best])
    assert len(store.of(3, 1, 999)[0]) == len(store.of(3, 1, None)[0])


def test_a_store_comes_back_and_damage_is_named(val, tmp_path):
    store = random_store(val, 3)
    write_boxes(tmp_path / "s", store, {"run": "x"})
    back = read_boxes(tmp_path / "s")
    assert all(np.array_equal(getattr(back, name), getattr(store, name)) for name in ARRAYS)
    assert back.ids == store.ids
    np.save(tmp_path / "s" / "scores.npy", store.scores[:-1])
    with pytest.raises(ValueError, match=r"scores.npy: damaged \(expected float32"):
        read_boxes(tmp_path / "s")
    (tmp_path / "s" / "boxes.npy").write_bytes(b"")
    with pytest.raises(ValueError, match="boxes.npy: damaged"):
        read_boxes(tmp_path / "s")


def test_boxes_that_are_not_finite_are_refused(val):
    rows = [(np.zeros((1, 5, 4), np.float32), np.ones((1, 5), np.float32)) for _ in range(len(val))]
    rows[2][0][0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=f"the boxes of {val.ids[2]} are not finite"):
        boxes_of_images(val, rows, np.zeros((len(val), 5), np.int64))


def test_stores_of_other_labels_do_not_mix(val):
    a, b = random_store(val, 0), random_store(val, 0)
    b.answers[0, 0] += 1
    with pytest.raises(ValueError, match="different images, truth or labels"):
        merged_label_boxes([a, b], MergeSettings())


@pytest.fixture(scope="module")
def scored(val, tmp_path_factory) -> Path:
    """Score stores of the best classification system, drawn at random."""
    folder = tmp_path_factory.mktemp("scores")
    for e, _ in best_classification():
        rng = np.random.default_rng([e.Q, len(e.protocol), ord(e.run.net)])
        values = rng.dirichlet(np.ones(10), len(val)).astype(np.float32)
        scores.write_scores(folder / e.path, values, val.labels, val.ids, {"data": val.digest})
    return folder


def test_labels_are_the_five_best_of_the_fused_system(val, scored, tmp_path):
    write_top5_labels(scored, 0, tmp_path / "answers")
    found = read_top5_labels(tmp_path / "answers", val)
    mixed = sum(
        np.load(scored / e.path / "posteriors.npy").astype(np.float64) * float(w) for e, w in best_classification()
    )
    assert found.tolist() == [sorted(range(10), key=lambda c, row=row: (-row[c], c))[:5] for row in mixed]


def test_labels_of_other_images_are_refused(stores, scored, tmp_path):
    write_top5_labels(scored, 0, tmp_path / "answers")
    with pytest.raises(ValueError, match="labels of other images"):
        read_top5_labels(tmp_path / "answers", Store(stores[0]))


@pytest.mark.trains
def test_a_localiser_goes_on_from_its_classifier_and_predicts_boxes(stores, scored, tmp_path):
    """The whole way: train D at 256, then PCR from it, then dense boxes for the best labels."""
    from vggrepro.training.train import train_run

    def trained(run: Run, parent: Path | None) -> Path:
        train_run(
            run,
            small().model_copy(update={"boxes": BoxTargets() if run.localises else None}),
            train_folder=stores[0],
            val_folder=stores[1],
            parent_file=parent,
            out=tmp_path / run.name,
            device=torch.device("cpu"),
            workers=0,
        )
        return tmp_path / run.name / "weights.safetensors"

    a = trained(Run("A", "256"), None)
    d = trained(Run("D", "256"), a)
    for run in (PCR, SCR):
        file = trained(run, d)
        before, after = load_weights(d).tensors, load_weights(file).tensors
        assert after["fc8.weight"].shape[0] == run.outputs(10)
        moved = {
            name
            for name in before
            if name != "fc8.weight" and name != "fc8.bias" and not before[name].equal(after[name])
        }
        assert ("features.conv1_1.weight" in moved) == (run.layers == "all")
        assert "fc6.weight" in moved
    write_top5_labels(scored, 0, tmp_path / "answers")
    how = {"val_folder": stores[1], "device": torch.device("cpu"), "workers": 0}
    pcr = tmp_path / PCR.name / "weights.safetensors"
    localise(
        PCR, DENSE, (256, 384), EvaluateSettings(), weights_file=pcr, classifier_file=d, answers_folder=tmp_path / "answers",
        out=tmp_path / "boxes", **how,
    )  # fmt: skip
    store = read_boxes(tmp_path / "boxes" / "384")
    assert store.metadata["run"] == PCR.name
    assert np.diff(store.offsets).tolist() == [36] * len(store)
    with pytest.raises(ValueError, match="holds A_256_s0, expected D_256_s0"):
        localise(
            PCR, DENSE, (256,), EvaluateSettings(), weights_file=pcr, classifier_file=a, answers_folder=tmp_path / "answers",
            out=tmp_path / "boxes", **how,
        )  # fmt: skip


@pytest.mark.parametrize(("run", "boxes"), [(Run("D", "256"), BoxTargets()), (PCR, None)])
def test_settings_of_boxes_belong_to_runs_that_predict_them(stores, run, boxes):
    settings = small().model_copy(update={"boxes": boxes})
    with pytest.raises(ValueError, match=f"{run.name}: the settings of a run for {run.objective} (need|have no) boxes"):
        Trainer(run, settings, Store(stores[0]), device=torch.device("cpu"), workers=0)


def test_a_net_of_classes_predicts_no_boxes(val):
    with pytest.raises(ValueError, match="a net of 10 outputs predicts no boxes of 10 classes"):
        predict_boxes(pointwise(Run("D", "256")), None, val, MEAN, DENSE, (256,), val.labels[:, None])
    with pytest.raises(ValueError, match="under dense or centre-crop"):
        predict_boxes(pointwise(PCR), None, val, MEAN, "multi-crop", (256,), val.labels[:, None])
