"""Measured steps against an image at a time with PIL, torchvision and the plain net."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import prepared, real, small, write_devkit
from vggrepro.data.ilsvrc import open_ilsvrc
from vggrepro.data.prepare import original_images
from vggrepro.data.store import Store
from vggrepro.data.transforms import rescale_image
from vggrepro.data.writer import write_store
from vggrepro.diagnosis.decomposition import Decomposition, read_decomposition
from vggrepro.diagnosis.measurement import (
    computed_ranks,
    devkit_class_places,
    formatted_input,
    measure_decomposition,
    squeezed_square,
)
from vggrepro.diagnosis.steps import (
    COMPUTED_STEPS,
    IMAGENET_STD,
    MISTAKES,
    DecompositionStep,
)
from vggrepro.evaluation.evaluate import compute_posteriors, evaluate_run
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import load_weights, save_weights
from vggrepro.paper.runs import Run
from vggrepro.scores.ranks import true_class_ranks, wrong_images
from vggrepro.scores.stores import read_scores
from vggrepro.settings.blocks import EvaluateSettings, NetSettings

D, MEAN, CLASSES = Run("D", "256-512"), (120.0, 110.0, 100.0), 90
CPU = torch.device("cpu")


def random_net(name: str, classes: int, model: NetSettings) -> VGG:
    """A random net with biases: without them the scale of the input changes no prediction."""
    net = VGG(name, classes, model).eval()
    initialise_randomly(net, "glorot", seed=0)
    rng = torch.Generator().manual_seed(0)
    for name, bias in net.named_parameters():
        if name.endswith("bias") and name != "fc8.bias":
            torch.nn.init.normal_(bias, std=0.02, generator=rng)
    return net


@pytest.fixture(scope="module")
def ilsvrc(tmp_path_factory) -> Store:
    """Six validation images of ILSVRC in their own shapes, with made-up labels of 90 classes."""
    root = tmp_path_factory.mktemp("ilsvrc")
    with zipfile.ZipFile(real("ilsvrc2012-val-200.zip")) as file:
        for name in [n for n in file.namelist() if n.endswith(".JPEG")][:6]:
            target = root / "train" / "n01440764" / name.split("/")[-1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read(name))
    layout = open_ilsvrc(root)
    items = layout.items("train")
    layout.wnids = [f"n014407{i:02d}" for i in range(CLASSES)]
    write_store(root / "store", original_images(layout, items, encoding="files"))
    store = Store(root / "store")
    store.labels = 15 * np.arange(len(store))
    images = [store.image(i) for i in range(len(store))]
    store.image = images.__getitem__  # decoded once for all tests
    return store


def one_by_one(net: VGG, store: Store, step: DecompositionStep) -> np.ndarray:
    """Posteriors the slow way, [N, classes]: PIL, torchvision's transforms, and the net on one image at a time."""
    from torchvision.transforms.v2 import functional as F

    rows = []
    for i in range(len(store)):
        picture = Image.fromarray(store.image(i))
        if step.view == "square":
            picture = picture.resize((64, 64), Image.Resampling.BILINEAR)
        else:
            picture = Image.fromarray(rescale_image(store.image(i), 64))
        if step.view in ("square", "crop"):
            width, height = picture.size
            left, top = (width - 56) // 2, (height - 56) // 2
            picture = picture.crop((left, top, left + 56, top + 56))
        pixels = F.to_image(picture).float()
        pixels = pixels[[2, 1, 0]] if step.input.bgr else pixels
        x = F.normalize(pixels, list(MEAN if step.input.mean else (0.0, 0.0, 0.0)), list(step.input.divisor))[None]
        views = [x, x.flip(3)] if step.view == "mirrored" else [x]
        rows.append(torch.stack([net.scores(view).softmax(1) for view in views]).mean(0)[0].numpy())
    return np.stack(rows)


def well_separated_labels(posteriors: np.ndarray) -> np.ndarray:
    """Labels [N] whose ranks survive rounding: of each image the class furthest from its neighbours in all `posteriors`.

    `posteriors` is [steps, N, classes].
    """
    logs = np.log(posteriors)
    distances = np.abs(logs[..., None] - logs[..., None, :])
    distances[..., range(CLASSES), range(CLASSES)] = np.inf
    nearest = distances.min((0, 3))
    assert nearest.max(1).min() > 5e-4, "rounding errors are a hundred times smaller"
    return nearest.argmax(1)


def test_every_step_equals_one_image_at_a_time(ilsvrc, monkeypatch):
    net = random_net("B", CLASSES, NetSettings(scale_unit=8, width=8, fc=24))
    steps = [step for step in (*COMPUTED_STEPS, *MISTAKES) if not step.devkit_order]
    steps.append(replace(COMPUTED_STEPS[3], view="mirrored"))
    with torch.inference_mode():
        slow = np.stack([one_by_one(net, ilsvrc, step) for step in steps])
    monkeypatch.setattr(ilsvrc, "labels", well_separated_labels(slow))
    settings = EvaluateSettings(batch_pixels=20_000)
    computed = computed_ranks(net, ilsvrc, steps, mean=MEAN, settings=settings, workers=2)
    for ranks, expected in zip(computed, slow, strict=True):
        np.testing.assert_array_equal(ranks, true_class_ranks(expected, ilsvrc.labels))
    assert len({tuple(ranks) for ranks in computed}) == len(steps), "every step must be another way to measure"


def test_the_mirrored_step_is_dense_evaluation(ilsvrc, monkeypatch):
    net = random_net("B", CLASSES, NetSettings(scale_unit=8, width=8, fc=24))
    step = DecompositionStep("mirror image", "", "mirrored")
    dense = compute_posteriors(net, ilsvrc, MEAN, "dense", (256,))[256]
    monkeypatch.setattr(ilsvrc, "labels", well_separated_labels(dense[None]))
    np.testing.assert_array_equal(
        computed_ranks(net, ilsvrc, [step], mean=MEAN)[0], true_class_ranks(dense, ilsvrc.labels)
    )


def test_a_square_is_pils_and_std_is_torchvisions():
    from torchvision.transforms import Compose, Normalize, ToTensor

    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    picture = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(squeezed_square(pixels, 64), np.asarray(picture))
    mean = (123.68, 116.779, 103.939)
    transform = Compose([ToTensor(), Normalize([m / 255 for m in mean], IMAGENET_STD)])
    images = formatted_input(np.array(picture)[None], torch.tensor(mean), COMPUTED_STEPS[0].input)
    torch.testing.assert_close(images[0], transform(picture), atol=1e-5, rtol=1e-5)


def test_an_image_is_decoded_once(ilsvrc, monkeypatch):
    decoded, image = [], ilsvrc.image
    monkeypatch.setattr(ilsvrc, "image", lambda i: decoded.append(i) or image(i))
    net = random_net("B", CLASSES, NetSettings(scale_unit=8, width=4, fc=8))
    computed_ranks(net, ilsvrc, COMPUTED_STEPS, mean=MEAN)
    assert sorted(decoded) == list(range(len(ilsvrc)))


def test_the_devkits_order_of_the_real_classes(tmp_path):
    with zipfile.ZipFile(real("ilsvrc2012-val-200.zip")) as file:
        (tmp_path / "meta_clsloc.mat").write_bytes(file.read("ilsvrc2012-val-200/devkit/meta_clsloc.mat"))
        lines = file.read("ilsvrc2012-val-200/LOC_synset_mapping.txt").decode().splitlines()
    store = object.__new__(Store)
    store.folder, store.about, store.labels = tmp_path, {"wnids": [line[:9] for line in lines]}, np.arange(1000)
    places = devkit_class_places(store, tmp_path)
    assert sorted(places) == list(range(1000))
    assert places[65] == 490 - 1
    assert (places != np.arange(1000)).all(), "no class keeps its place"


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> tuple[Path, Store]:
    """Weights, scores, a devkit, and the decomposition of a net of random weights, on a stand-in of 20 images."""
    root = tmp_path_factory.mktemp("why")
    store, model = Store(prepared(root, per_class=(1, 2))[1]), small().model
    for name in ("D", "E"):
        weights, run = root / f"{name}.safetensors", Run(name, "256-512")
        save_weights(weights, random_net(name, store.classes, model), run, MEAN, store.about["wnids"])
        options = {"weights_file": weights, "val_folder": store.folder, "device": CPU, "workers": 0}
        for protocol in ("dense", "multi-crop"):
            out = root / "scores" / run.name / protocol
            evaluate_run(run, protocol, (256, 384, 512), EvaluateSettings(), out=out, **options)
    write_devkit(root / "devkit", store)
    decompose(root, store.folder, root / "why")
    return root, store


def decompose(root: Path, val: Path, out: Path, **changes: object) -> Decomposition:
    options = {"weights_file": root / "D.safetensors", "scores_folder": root / "scores", "devkit": root / "devkit"}
    options |= {"settings": EvaluateSettings(), "val_folder": val, "out": out, "device": CPU, "workers": 0}
    measure_decomposition(D, **(options | changes))
    return read_decomposition(out)


def test_steps_that_tables_have_come_from_their_scores(measured):
    root, store = measured
    decomposition = read_decomposition(root / "why")
    assert (decomposition.missing, decomposition.images, decomposition.base) == ([], 20, "smallest side 256")
    assert decomposition.made["passes"] == {"centre crops": 6, "whole images": 1}
    scores = read_scores(root / "scores" / "D_256-512_s0/dense/384")
    expected = 100 * wrong_images(true_class_ranks(scores.posteriors, store.labels), "top-1").mean()
    errors = {step.name: step.errors["top-1"] for step in decomposition.steps}
    assert errors["Q = 384"] == pytest.approx(expected)
    assert list(errors)[-1] == "with E/[256;512]"


def test_the_wrong_class_order_is_that_of_the_devkit(measured):
    """This devkit numbers classes backwards: class c is looked up as classes - 1 - c."""
    root, store = measured
    crops = compute_posteriors(load_weights(root / "D.safetensors").net(), store, MEAN, "centre-crop", (256,))[256]
    expected = wrong_images(true_class_ranks(crops, store.classes - 1 - store.labels), "top-5").mean()
    assert read_decomposition(root / "why").mistakes[-1].errors["top-5"] == pytest.approx(100 * expected)


def test_steps_that_cannot_be_measured_are_listed_as_missing(measured, tmp_path):
    root, store = measured
    decomposition = decompose(root, store.folder, tmp_path / "why", scores_folder=None, devkit=None)
    assert len(decomposition.steps) == 4
    assert len(decomposition.missing) == 6
    assert "the devkit's class order: needs ILSVRC's devkit, which was not given" in decomposition.missing


def test_scores_of_other_weights_are_refused(measured, tmp_path):
    other = tmp_path / "D.safetensors"
    net = random_net("D", 10, small(batch=8).model)
    save_weights(other, net, D, (1.0, 2.0, 3.0), measured[1].about["wnids"])
    with pytest.raises(ValueError, match="scores of other images or weights: evaluate again"):
        decompose(measured[0], measured[1].folder, tmp_path / "why", weights_file=other)
    assert not (tmp_path / "why").exists()
