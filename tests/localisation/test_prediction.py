"""Boxes from nets: the geometry of the dense map against a sliding window, and what is written of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.box_stores import five_labels
from tests.conftest import prepared, small
from vggrepro import cli
from vggrepro.data.boxes import from_vectors
from vggrepro.data.store import Store
from vggrepro.data.transforms import rescale_image, zoom_of
from vggrepro.localisation.prediction import localise, predict_boxes, window_corners
from vggrepro.localisation.stores import read_boxes
from vggrepro.localisation.top5_labels import labelling_weights, write_top5_labels
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import load_weights
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import BoxTargets, EvaluateSettings, NetSettings
from vggrepro.training.train import train_run

MEAN = (120.0, 110.0, 100.0)
SCR, PCR, DENSE = Run("D", "256", "fc", 0, "SCR"), Run("D", "256", "all", 0, "PCR"), "dense"
CPU = torch.device("cpu")


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


@pytest.mark.parametrize("unit", [4, 8, 16, 32])
def test_a_location_of_the_map_is_the_window_at_its_strides(unit):
    net = pointwise(PCR, unit)
    images = torch.randn(1, 3, 9 * unit + 3, 11 * unit)
    dense = net.score_map(images)
    rows, columns = dense.shape[2:]
    assert (rows, columns) == (3, 5)
    corners = window_corners(rows, columns, (0, 0), unit).reshape(-1, 2)
    for (left, top), location in zip(corners, dense[0].flatten(1).T, strict=True):
        window = images[:, :, top : top + 7 * unit, left : left + 7 * unit]
        torch.testing.assert_close(net(window)[0], location)


@pytest.mark.parametrize("unit", [8, 32])
def test_the_receptive_field_of_a_location_lies_around_the_middle_of_its_window(unit):
    """With real kernels a location sees more than its window, equally far on every side: as its gradient shows."""
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
    left, top = window_corners(y + 1, x + 1, (0, 0), unit)[y, x]
    # pooling passes gradients to the largest value alone, so that the edge is exact to a pooling's width
    assert ((low + high + 1) / 2 - torch.tensor([top + 3.5 * unit, left + 3.5 * unit])).abs().max() < unit / 2
    assert (high - low + 1 > 7 * unit).all()


@pytest.mark.parametrize("run", [SCR, PCR])
@pytest.mark.parametrize("Q", [256, 352])
def test_dense_boxes_are_those_of_a_sliding_window(val, run, Q):
    """Brute force: every window is cut out, the net is run on it, and its box is mapped back on its own."""
    net, classifier = pointwise(run), pointwise(Run("D", "256"), seed=1)
    labels, settings = five_labels(len(val)), EvaluateSettings(batch_pixels=20_000)
    options = {"mean": MEAN, "protocol": DENSE, "scales": (Q,), "labels": labels, "settings": settings}
    predicted = predict_boxes(net, val, classifier=classifier, **options)[Q]
    smallest = net.model.pixels(Q)
    for i in range(0, len(val), 7):
        image = rescale_image(val.image(i), smallest)
        boxes, posteriors = [], []
        for top in range(0, image.shape[0] - 56 + 1, 8):
            for left in range(0, image.shape[1] - 56 + 1, 8):
                cut = torch.from_numpy(image[top : top + 56, left : left + 56].copy()).float() - torch.tensor(MEAN)
                with torch.no_grad():
                    vectors = net(cut.permute(2, 0, 1)[None])[0].reshape(-1, 4).numpy()
                    scores = classifier(cut.permute(2, 0, 1)[None])[0].softmax(0).numpy()
                of_labels = vectors[labels[i]] if run.objective == "PCR" else np.repeat(vectors, 5, 0)
                boxes.append(from_vectors(of_labels, zoom_of(64, 64, smallest), np.array([left, top]), 56))
                posteriors.append(scores[labels[i]])
        locations = slice(predicted.offsets[i], predicted.offsets[i + 1])
        np.testing.assert_allclose(predicted.boxes[locations], boxes, rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(predicted.scores[locations], posteriors, rtol=1e-3, atol=1e-6)


def test_images_of_any_size_have_a_box_per_location(tmp_path):
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
    options = {"classifier": None, "mean": MEAN, "labels": store.labels[:, None]}
    dense = predict_boxes(net.eval(), store, protocol=DENSE, scales=(256, 384), **options)
    assert np.diff(dense[256].offsets).tolist() == [2 * 2, 2 * 10, 11 * 2]
    assert np.diff(dense[384].offsets).tolist() == [7 * 6, 6 * 18, 20 * 6]
    crop = predict_boxes(net, store, protocol="centre-crop", scales=(256,), **options)[256]
    assert np.diff(crop.offsets).tolist() == [1, 1, 1]


def test_a_centre_crop_is_mapped_back_from_where_it_was_cut(val):
    net = VGG("D", 4, NetSettings(scale_unit=8, width=4, fc=16))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.fc8.bias.copy_(torch.tensor([0.0, 0.0, 1.0, 1.0]))
    options = {"classifier": None, "mean": MEAN, "labels": val.labels[:, None]}
    crops = predict_boxes(net.eval(), val, protocol="centre-crop", scales=(256, 384), **options)
    # a box that is the window: 56 px in the middle of 64, and 56 of 96 in the middle of an image 1.5 times as large
    assert (crops[256].boxes[:, 0] == [4, 4, 59, 59]).all()
    np.testing.assert_allclose(crops[384].boxes[0, 0], [20 / 1.5, 20 / 1.5, 76 / 1.5 - 1, 76 / 1.5 - 1], rtol=1e-6)


@pytest.mark.trains
def test_a_localiser_is_initialised_from_its_classifier_and_predicts_boxes(stores, best_scores, tmp_path):
    """The whole way: train D at 256, then PCR from it, then dense boxes for the best labels."""

    def train(run: Run, parent: Path | None) -> Path:
        train_run(
            run,
            small().model_copy(update={"boxes": BoxTargets() if run.localises else None}),
            train_folder=stores[0],
            val_folder=stores[1],
            initial_weights=parent,
            out=tmp_path / run.name,
            device=CPU,
            workers=0,
        )
        return tmp_path / run.name / "weights.safetensors"

    a = train(Run("A", "256"), None)
    d = train(Run("D", "256"), a)
    for run in (PCR, SCR):
        before, after = load_weights(d).tensors, load_weights(train(run, d)).tensors
        assert after["fc8.weight"].shape[0] == run.outputs(10)
        changed = {name for name in before if not name.startswith("fc8") and not before[name].equal(after[name])}
        assert ("features.conv1_1.weight" in changed) == (run.layers == "all")
        assert "fc6.weight" in changed
    write_top5_labels(best_scores, seed=0, out=tmp_path / "labels")
    options = {
        "protocol": DENSE,
        "scales": (256, 384),
        "settings": EvaluateSettings(),
        "weights_file": tmp_path / PCR.name / "weights.safetensors",
        "labels_folder": tmp_path / "labels",
        "val_folder": stores[1],
        "out": tmp_path / "boxes",
        "device": CPU,
        "workers": 0,
    }
    localise(PCR, classifier_file=d, **options)
    store = read_boxes(tmp_path / "boxes" / "384")
    assert store.metadata["run"] == PCR.name
    assert store.metadata["labelled by"] == labelling_weights(tmp_path / "labels")
    assert np.diff(store.offsets).tolist() == [36] * len(store)
    with pytest.raises(ValueError, match="holds A_256_s0, expected D_256_s0"):
        localise(PCR, classifier_file=a, **options)


def test_a_net_of_classes_predicts_no_boxes(val):
    options = {"classifier": None, "mean": MEAN, "scales": (256,), "labels": val.labels[:, None]}
    with pytest.raises(ValueError, match="a net of 10 outputs predicts no boxes of 10 classes"):
        predict_boxes(pointwise(Run("D", "256")), val, protocol=DENSE, **options)
    with pytest.raises(ValueError, match="under dense or centre-crop"):
        predict_boxes(pointwise(PCR), val, protocol="multi-crop", **options)


@pytest.mark.parametrize("more", [["--answers", "a"], ["--classifier", "c"]])
def test_a_centre_crop_takes_neither_labels_nor_classifier(more, capsys):
    options = ["--scales", "384", "--weights", "w", "--val", "v", "--out", "o"]
    assert cli.main(["boxes", "D_384_pcr_s0", "centre-crop", *options, *more]) == 2
    assert "on a centre crop the true class is given, and neither" in capsys.readouterr().err
    assert cli.main(["boxes", "D_384_pcr_s0", "dense", *options, *more]) == 2
