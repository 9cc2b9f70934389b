"""Every step that a GPU takes, on a fake one: no tensor is on the wrong device. Gradients and updates on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import small
from tests.fake_gpu import CUDA, fake_gpu, meta_on_cpu, without_fused_kernels, without_values
from tests.training.helpers import with_dropout
from vggrepro.data.store import Store
from vggrepro.evaluation import views
from vggrepro.evaluation.evaluate import compute_posteriors
from vggrepro.evaluation.recorder import record_inputs
from vggrepro.localisation.prediction import predict_boxes
from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.vgg import VGG, net_input
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import BoxTargets, EvaluateSettings, NetSettings
from vggrepro.training import gradients, loader
from vggrepro.training.train import Training, build_training, validate
from vggrepro.transfer.features import extract_features

MODEL = NetSettings(scale_unit=8, width=4, fc=16)
MEAN = (120.0, 110.0, 100.0)
PRECISIONS = ("fp32", "tf32", "bf16")
RUNS = {
    "classes": Run("A", "256"),
    "a box": Run("D", "256", "all", 0, "SCR"),
    "a box a class": Run("D", "256", "fc", 0, "PCR"),
}


@pytest.fixture(autouse=True)
def arithmetic(request) -> Iterator[None]:
    """TF32 is allowed where a test's precision says so, as `Machine.start_torch` does."""
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = hasattr(request.node, "callspec") and request.node.callspec.params.get("precision") == "tf32"
    yield
    for flag, value in zip(flags, before, strict=True):
        flag.allow_tf32 = value


def training_on(device: torch.device, stores, run: Run, **given: Any) -> Training:
    settings = with_dropout(small(**given))
    if run.localises:
        settings = settings.model_copy(update={"boxes": BoxTargets()})
    train_store, val_store = Store(stores[0]), few(stores)
    return build_training(run, settings, train_store, val_store, device=device)


def take_steps(training: Training) -> None:
    """Two steps, in three pieces, and the validation after them."""
    training.gradients.pieces.count = 3
    batches = training.loader.batches(1)
    training.recorder.begin_epoch(1, batches)
    for batch, _ in zip(batches, range(2), strict=False):
        loss = training.step(batch)
        assert {value.device for value in loss} == {training.loader.device}
    weights = training.optimiser.weights.values()
    assert {weight.grad.device for weight in weights} == {training.loader.device}


def train(stores, run: str = "classes", precision: str = "fp32", **more: object) -> tuple[str, ...]:
    """The arithmetic that a training had."""
    training = training_on(CUDA, stores, RUNS[run], precision=precision, **more)
    take_steps(training)
    validate(training)
    return training.recorder.counts.precision


def few(stores) -> Store:
    """Two validation images."""
    return Store(stores[1]).part(slice(0, 2))


def net_of(outputs: int) -> VGG:
    return VGG("D", outputs, MODEL).to(CUDA, memory_format=torch.channels_last).eval()


def evaluate(stores, protocol: str = "dense", precision: str = "fp32", average: str = "scores") -> tuple[str, ...]:
    """The arithmetic that an evaluation had."""
    settings = EvaluateSettings.model_validate({"precision": precision, "average": average})
    net = ready_for_inference(net_of(10), settings)
    with record_inputs(net) as record:
        found = compute_posteriors(net, few(stores), MEAN, protocol, (256, 288), settings=settings, device=CUDA)
    assert {Q: values.shape for Q, values in found.items()} == {256: (2, 10), 288: (2, 10)}
    return record.precision


def boxes(stores, outputs: int = 4, protocol: str = "dense", precision: str = "fp32") -> list[dict[int, int]]:
    """How many numbers a box has at each Q, with labels of the classifier and without."""
    settings = EvaluateSettings.model_validate({"precision": precision})
    net, classifier = (ready_for_inference(net_of(n), settings) for n in (outputs, 10))
    store, labels = few(stores), np.arange(10).reshape(2, 5)
    options = {"mean": MEAN, "protocol": protocol, "scales": (256,), "labels": labels, "settings": settings}
    predicted = [predict_boxes(net, store, classifier=each, device=CUDA, **options) for each in (classifier, None)]
    return [{Q: value.boxes.shape[-1] for Q, value in of_scales.items()} for of_scales in predicted]


def features(stores, precision: str = "fp32") -> dict[int, tuple[int, ...]]:
    """The shape of the features of two images at each Q."""
    settings = EvaluateSettings.model_validate({"precision": precision})
    net = ready_for_inference(net_of(10), settings)
    extracted = extract_features(net, few(stores), mean=MEAN, scales=(256,), settings=settings, device=CUDA)
    return {Q: values.shape for Q, values in extracted.items()}


TRAININGS = [
    ("classes", "fp32"),
    ("classes", "tf32"),
    ("classes", "bf16"),
    ("a box", "fp32"),
    ("a box a class", "bf16"),
]


@pytest.mark.parametrize(("run", "precision"), TRAININGS)
def test_a_training(stores, run, precision):
    """Its memory is looked at first; dropout, pieces, colour shift, loss, update, validation."""
    with fake_gpu():
        assert train(stores, run, precision) == (precision,)


def test_a_training_whose_crops_are_cut_on_the_device(stores):
    with fake_gpu():
        assert train(stores, on_device=True, scale_unit=8) == ("fp32",)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("protocol", ["dense", "multi-crop", "centre-crop"])
def test_an_evaluation(stores, protocol, precision):
    with fake_gpu():
        for average in ("scores", "posteriors"):
            assert evaluate(stores, protocol, precision, average) == (precision,)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("outputs", [4, 40])
def test_boxes(stores, outputs, precision):
    with fake_gpu():
        for protocol in ("dense", "centre-crop"):
            assert boxes(stores, outputs, protocol, precision) == [{256: 4}] * 2


@pytest.mark.parametrize("precision", PRECISIONS)
def test_features(stores, precision):
    with fake_gpu():
        assert features(stores, precision) == {256: (2, MODEL.fc)}


def on_cpu(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The same function, whose result somebody forgot to put on the device."""
    return lambda *arguments, **more: function(*arguments, **more).cpu()


DROPOUT = (VGG, "dropout", on_cpu(VGG.dropout))
INPUT, VIEWS = (loader, "net_input", on_cpu(net_input)), (views, "net_input", on_cpu(net_input))
CASES = {
    "dropout": (train, *DROPOUT),
    "a training's input": (train, *INPUT),
    "resident crops": (partial(train, on_device=True, scale_unit=8), *INPUT),
    "box training": (partial(train, run="a box a class"), *DROPOUT),
    "dense": (evaluate, *VIEWS),
    "multi-crop": (partial(evaluate, protocol="multi-crop"), *VIEWS),
    "boxes": (boxes, *VIEWS),
    "features": (features, *VIEWS),
    "features of a net": (features, VGG, "fc6_at_windows", on_cpu(VGG.fc6_at_windows)),
    "posteriors that are not fetched": (evaluate, torch.Tensor, "cpu", lambda tensor: tensor),
}


@pytest.mark.parametrize("case", CASES)
def test_a_tensor_that_is_left_on_the_cpu_is_found(stores, case, monkeypatch):
    step, *change = CASES[case]
    monkeypatch.setattr(*change)
    with fake_gpu(), pytest.raises((RuntimeError, TypeError), match="same device|to numpy|device mismatch"):
        step(stores)


@pytest.mark.parametrize("run", RUNS)
def test_gradients_and_updates_have_the_weights_shapes(stores, run, monkeypatch):
    """On the meta device backward passes run, too: shapes and types of all gradients, velocities and weights are checked."""
    without_values(monkeypatch)
    meta_on_cpu(monkeypatch)
    without_fused_kernels(monkeypatch)
    # of mixed precision the meta device knows nothing
    monkeypatch.setattr(gradients, "outputs_of", lambda net, images, kept, precision: net(images, kept))
    training = training_on(torch.device("meta"), stores, RUNS[run])
    take_steps(training)
    for name, weight in training.optimiser.weights.items():
        assert weight.grad.shape == training.optimiser.velocities[name].shape == weight.shape
        assert weight.is_meta
