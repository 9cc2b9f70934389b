"""Posteriors under the three protocols, against one image and one view at a time."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from tests.conftest import real
from vggrepro.data.ilsvrc import open_ilsvrc
from vggrepro.data.prepare import original_images
from vggrepro.data.store import Store
from vggrepro.data.transforms import grid, rescale_image
from vggrepro.data.writer import write_store
from vggrepro.evaluation.evaluate import compute_posteriors, evaluate_run
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import save_weights
from vggrepro.paper.runs import Run
from vggrepro.scores.stores import read_scores
from vggrepro.settings.blocks import EvaluateSettings, NetSettings

MEAN = (120.0, 110.0, 100.0)


@pytest.fixture(scope="module")
def net() -> VGG:
    net = VGG("B", 10, NetSettings(scale_unit=8, width=8, fc=24)).eval()
    initialise_randomly(net, "glorot", seed=0)
    return net


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Store:
    """A store of images of several shapes, as ILSVRC's are."""
    from PIL import Image

    root, rng = tmp_path_factory.mktemp("mixed"), np.random.default_rng(0)
    shapes = [(70, 90), (90, 70), (70, 90), (64, 64), (70, 90), (200, 61), (64, 64)]
    for i, shape in enumerate(shapes):
        (root / "train" / "n01440764").mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*shape, 3), np.uint8)).save(root / "train" / "n01440764" / f"{i}.png")
    layout = open_ilsvrc(root)
    layout.wnids = [f"n0144076{i}" for i in range(10)]
    items = open_ilsvrc(root).items("train")
    write_store(root / "store", original_images(layout, items))
    return Store(root / "store")


@cache
def one_by_one(net: VGG, store: Store, protocol: str, Q: int, crop_grid: str = "whole") -> np.ndarray:
    """The slow version: an image at a time, a view at a time."""
    rows = []
    for i in range(len(store)):
        image = rescale_image(store.image(i), net.model.pixels(Q)).astype(np.float32) - np.array(MEAN, np.float32)
        x = torch.from_numpy(image).permute(2, 0, 1)[None]
        if protocol == "dense":
            posteriors = [net.score_map(view).mean((2, 3)).softmax(1) for view in (x, x.flip(3))]
        else:
            crop, (h, w) = net.model.crop, x.shape[2:]
            corners = grid(h, w, crop, crop_grid) if protocol == "multi-crop" else [((h - crop) // 2, (w - crop) // 2)]
            cuts = [x[:, :, top : top + crop, left : left + crop] for top, left in corners]
            views = cuts + [cut.flip(3) for cut in cuts] if protocol == "multi-crop" else cuts
            posteriors = [net(view).softmax(1) for view in views]
        rows.append(torch.stack(posteriors).mean(0)[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("protocol", ["dense", "multi-crop", "centre-crop"])
@pytest.mark.parametrize("batch_pixels", [1, 20_000, 10_000_000])
def test_batches_of_equal_shape_equal_one_image_at_a_time(net, mixed, protocol, batch_pixels):
    settings = EvaluateSettings(batch_pixels=batch_pixels)
    with torch.inference_mode():
        posteriors = compute_posteriors(net, mixed, MEAN, protocol, (224, 288), settings=settings, workers=2)
        for Q in (224, 288):
            np.testing.assert_allclose(posteriors[Q], one_by_one(net, mixed, protocol, Q), atol=2e-5)


def test_crops_may_be_of_the_central_square(net, mixed):
    settings = EvaluateSettings(crop_grid="square")
    with torch.inference_mode():
        posteriors = compute_posteriors(net, mixed, MEAN, "multi-crop", (256,), settings=settings)
        np.testing.assert_allclose(posteriors[256], one_by_one(net, mixed, "multi-crop", 256, "square"), atol=2e-5)


def test_averaging_posteriors_instead_of_scores_is_another_choice(net, mixed):
    scores = compute_posteriors(net, mixed, MEAN, "dense", (384,))[384]
    after = compute_posteriors(net, mixed, MEAN, "dense", (384,), settings=EvaluateSettings(average="posteriors"))[384]
    image = rescale_image(mixed.image(0), 96).astype(np.float32) - np.array(MEAN, np.float32)
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = torch.stack([net.score_map(v).softmax(1).mean((2, 3)) for v in (x, x.flip(3))]).mean(0)[0]
    np.testing.assert_allclose(after[0], expected, atol=2e-5)
    assert np.abs(after - scores).max() > 1e-6


def test_dense_on_a_224_image_is_the_crop_and_its_mirror(net, stores):
    with torch.inference_mode():
        dense = compute_posteriors(net, Store(stores[1]), MEAN, "dense", (224,))[224]
        crops = compute_posteriors(net, Store(stores[1]), MEAN, "multi-crop", (224,))[224]
    np.testing.assert_allclose(dense, crops, atol=2e-5)  # all 25 crops of the grid are the same one


def test_every_image_has_a_posterior(net, mixed):
    posteriors = compute_posteriors(net, mixed, MEAN, "dense", (256,))[256]
    assert posteriors.shape == (7, 10)
    np.testing.assert_allclose(posteriors.sum(1), 1, atol=1e-5)


def fitted(store: Store, seed: int = 0) -> VGG:
    """A random net but for its last layer, which tells the classes of the images apart: by ridge regression in float64."""
    net = VGG("B", 10, NetSettings(scale_unit=8, width=8, fc=24)).eval()
    initialise_randomly(net, "glorot", seed)
    pixels = torch.from_numpy(np.stack([store.image(i) for i in range(len(store))])) - torch.tensor(MEAN)
    with torch.no_grad():
        hidden = net.hidden_map(pixels.permute(0, 3, 1, 2)).mean((1, 2)).double()
        centred, labels = hidden - hidden.mean(0), torch.eye(10, dtype=torch.float64)[store.labels] - 0.1
        squares = centred.T @ centred
        ridge = 0.01 * squares.diagonal().mean() * torch.eye(24)
        weights = 10 * torch.linalg.solve(squares + ridge, centred.T @ labels)
        net.fc8.weight.copy_(weights.T)
        net.fc8.bias.copy_(-hidden.mean(0) @ weights)
    return net


def test_bf16_changes_few_answers_of_a_net_that_tells_classes_apart(stores):
    net, store = fitted(Store(stores[1])), Store(stores[1])
    full, half = (
        compute_posteriors(net, store, MEAN, "dense", (256,), settings=EvaluateSettings(precision=precision))[256]
        for precision in ("fp32", "bf16")
    )
    assert (full.argmax(1) == store.labels).sum() >= 15, "by chance 4 of 40"
    assert (full.argmax(1) != half.argmax(1)).sum() <= 6
    assert 1e-3 < np.abs(full - half).max() < 0.3, "fp32 is within 2e-5 on any way, see above"


def test_an_unknown_protocol_is_refused(net, mixed):
    with pytest.raises(ValueError, match="no protocol is called 'ten-crop'"):
        compute_posteriors(net, mixed, MEAN, "ten-crop", (256,))


@pytest.mark.parametrize("cpu_kernels", [True, False])
def test_the_switch_of_cpu_kernels_is_recorded_only_where_it_is_off(cpu_kernels, stores, tmp_path):
    """Results of versions without the switch had them on: their settings must read like those of today."""
    wide = VGG("B", 10, NetSettings(scale_unit=8, width=64, fc=24)).eval()
    initialise_randomly(wide, "he", seed=0)
    run, val = Run("B", "256"), Store(stores[1])
    save_weights(tmp_path / "weights.safetensors", wide, run, MEAN, val.about["wnids"])
    files = {"weights_file": tmp_path / "weights.safetensors", "val_folder": val.folder, "out": tmp_path / "scores"}
    settings = EvaluateSettings(cpu_kernels=cpu_kernels)
    evaluate_run(run, "centre-crop", (256,), settings, **files, device=torch.device("cpu"), workers=0)
    store = read_scores(tmp_path / "scores" / "256")
    assert store.metadata["settings"].get("cpu_kernels", True) == cpu_kernels
    assert ("cpu_kernels" in store.metadata["settings"]) != cpu_kernels
    expected = compute_posteriors(wide, val, MEAN, "centre-crop", (256,))[256]
    # Winograd's sums round otherwise: some 1e-5 of these posteriors of a net that nobody trained
    np.testing.assert_allclose(store.posteriors, expected, atol=1e-4)


def test_real_images_of_ilsvrc_at_their_own_shapes(net, tmp_path):
    import zipfile

    with zipfile.ZipFile(real("ilsvrc2012-val-200.zip")) as file:
        names = [n for n in file.namelist() if n.endswith(".JPEG")][:12]
        for name in names:
            target = tmp_path / "train" / "n01440764" / name.split("/")[-1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read(name))
    layout = open_ilsvrc(tmp_path)
    layout.wnids = [f"n0144076{i}" for i in range(10)]
    write_store(
        tmp_path / "store", original_images(layout, open_ilsvrc(tmp_path).items("train"), encoding="files"), workers=2
    )
    store = Store(tmp_path / "store")
    with torch.inference_mode():
        posteriors = compute_posteriors(net, store, MEAN, "dense", (256, 384), workers=2)
        np.testing.assert_allclose(posteriors[384], one_by_one(net, store, "dense", 384), atol=5e-5)
