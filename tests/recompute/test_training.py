"""The first steps of a training, taken again: they agree with what the code does, and with nothing else that it could do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import prepared, small
from tests.forks import in_a_group
from tests.training.helpers import train_to_the_end, trained, with_dropout
from vggrepro.core.devices import set_cpu_arithmetic
from vggrepro.core.files import file_digest
from vggrepro.data import crops, transforms
from vggrepro.data.prepare import rescaled_images
from vggrepro.data.store import Store
from vggrepro.data.writer import write_store
from vggrepro.nets import initialisation, vgg
from vggrepro.paper import nets
from vggrepro.paper.runs import Run
from vggrepro.recompute import training
from vggrepro.recompute.findings import Finding
from vggrepro.recompute.first_steps import TOLERANCES, compared_steps
from vggrepro.recompute.training import recomputed_training, take_steps
from vggrepro.settings.blocks import BoxTargets
from vggrepro.training import loader, objectives, optimiser
from vggrepro.training.first_steps import FIRST_STEPS

pytestmark = pytest.mark.trains
A, D = Run("A", "256"), Run("D", "256")
SETTINGS = with_dropout(small())


@pytest.fixture(scope="module", autouse=True)
def arithmetic() -> None:
    """As the commands set it."""
    set_cpu_arithmetic(torch.get_num_threads())


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A folder of results with images and a trained A."""
    folder = tmp_path_factory.mktemp("results")
    prepared(folder / "data", workers=1)
    train(folder, A, SETTINGS)
    return folder


def train(folder: Path, run: Run, settings, parent: Run | None = None) -> dict:
    weights = folder / "runs" / parent.name / "weights.safetensors" if parent else None
    stores = folder / "data" / "train", folder / "data" / "val"
    return trained(run, settings, stores, folder / "runs" / run.name, weights)


def findings(folder: Path, run: Run) -> list[Finding]:
    return list(recomputed_training(folder, run.name, steps=FIRST_STEPS))


def differing(folder: Path, run: Run) -> list[str]:
    return [finding.what for finding in findings(folder, run) if finding.status == "differs"]


def test_the_steps_of_a_training_agree_to_five_digits_and_the_rest_is_said_not_to_be_taken_again(results):
    *steps, rest = findings(results, A)
    assert [finding.what.split(" in ")[0] for finding in steps] == [
        "loss of steps 1 to 4", "norms of gradients", "norms of weights", "norms of changes",
    ]  # fmt: skip
    assert all(finding.status == "agrees" and finding.digits > 4 for finding in steps)
    assert rest.status == "not recomputed"
    assert "4 of 10" in rest.note


BOXES = SETTINGS.model_copy(update={"boxes": BoxTargets(target="random", min_inside=0.5)})
CASES = {
    "staged": (D, SETTINGS, A),
    "jitter": (Run("A", "256-512"), SETTINGS, None),
    "5x5": (Run("B-5x5", "256"), SETTINGS, A),
    "LRN": (Run("A-LRN", "256"), SETTINGS, None),
    "boxes, a box per class": (Run("A", "256", objective="PCR"), BOXES, A),
    "boxes, FC layers alone": (Run("A", "256", objective="SCR", layers="fc"), BOXES, A),
    "crops cut on a device": (Run("A", "256", seed=1), with_dropout(small(scale_unit=8, on_device=True)), None),
    "bf16": (Run("A", "256", seed=2), with_dropout(small(precision="bf16")), None),
    "momentum and decay": (
        Run("A", "256", seed=3),
        with_dropout(small(momentum=0.5, weight_decay=0.1, flip=False)),
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_training_agrees(results, name, monkeypatch):
    run, settings, parent = CASES[name]
    # parents of other scales are not trained here: nothing but the weights matters
    monkeypatch.setattr(Run, "parent", lambda self, staged=True: parent)
    train(results, run, settings, parent)
    agreeing = [finding for finding in findings(results, run) if finding.status == "agrees"]
    assert differing(results, run) == []
    assert len(agreeing) == 4


def test_a_training_on_images_that_were_rescaled_once_agrees(results):
    store = results / "data" / "train-256"
    write_store(store, rescaled_images(Store(results / "data" / "train"), 70, "pixels")[0])
    run = Run("A", "256", seed=4)
    trained(run, SETTINGS, (store, results / "data" / "val"), results / "runs" / run.name)
    assert differing(results, run) == []


def test_several_processes_keep_the_steps_of_the_global_batch(results):
    run = Run("A", "256", seed=5)
    stores = results / "data" / "train", results / "data" / "val"
    in_a_group(2, train_to_the_end, run, SETTINGS, stores, results / "runs" / run.name)
    assert differing(results, run) == []


def test_what_rounding_decides_is_no_difference_and_another_loss_is(results, monkeypatch):
    """A record from weights that are a little off stands for other kernels: so far off that it differs on any CPU."""
    record = json.loads((results / "runs" / A.name / "run.json").read_text())
    replay = training._opened(results, record)
    assert not isinstance(replay, str)
    monkeypatch.setattr(training, "NOISE", 1e-4)
    kept = list(take_steps(replay, FIRST_STEPS, noise=1))

    monkeypatch.setattr(training, "PERTURBATIONS", 0)
    assert training.differ(training._compared_with_steps(A.name, kept, replay)), "or the test shows nothing"
    monkeypatch.setattr(training, "PERTURBATIONS", 3)
    found = training._compared_with_steps(A.name, kept, replay)
    assert {finding.status for finding in found} == {"agrees"}
    assert any("weights that are half a millionth off" in finding.note for finding in found)
    kept[0]["loss"] *= 1.0009
    found = training._compared_with_steps(A.name, kept, replay)
    assert [finding.what for finding in found if finding.status == "differs"] == ["loss of steps 1 to 4"]


@pytest.mark.parametrize("odd", [np.inf, np.nan, 1e3])
def test_no_perturbation_makes_a_large_difference_agree(odd):
    def steps(loss: float) -> list[dict]:
        return [{"loss": loss, "norms": {"fc8.bias": [1.0, 1.0, 1.0]}}]

    found = list(compared_steps("a", steps(1.7), steps(0.7), TOLERANCES["fp32"], [steps(odd)]))
    assert [finding.status for finding in found] == ["differs", "agrees", "agrees", "agrees"]
    assert all(np.isfinite(finding.tolerance) for finding in found)


# What trained otherwise, each by a change of the code that makes no record say so.


def change_step(monkeypatch: pytest.MonkeyPatch, before: Callable[[dict], None]) -> None:
    """Do something with the weights and their gradients before the optimiser's step."""
    original = optimiser.SGD.step

    def step(self):
        before(self.weights)
        original(self)

    monkeypatch.setattr(optimiser.SGD, "step", step)


def centre_crop(patch):
    patch.setattr(transforms.Draws, "corner", lambda self, i, height, width, crop: ((height - crop) // 2,) * 2)
    patch.setattr(transforms.Draws, "corners", lambda self, numbers, sizes, crop: (sizes - crop) // 2)


def flips_not_applied(patch):
    original = crops.training_crops  # the loader imports it when it is called
    patch.setattr(crops, "training_crops", lambda *a, flip, **more: original(*a, flip=False, **more))


def mean_not_subtracted(patch):
    original = vgg.net_input
    patch.setattr(loader, "net_input", lambda pixels, shift, out=None: original(pixels, shift * 0, out))


def colours_reversed(patch):
    original = vgg.net_input
    patch.setattr(loader, "net_input", lambda pixels, shift, out=None: original(pixels.flip(-1), shift, out))


def colours_not_shifted(patch):
    original = loader.colour_shift
    patch.setattr(loader, "colour_shift", lambda alpha, colours, std: original(alpha, colours, 0.0))


def nesterov(patch):
    original = optimiser.sgd
    patch.setattr(optimiser, "sgd", lambda *a, **more: original(*a, **(more | {"nesterov": True})))


def label_smoothing(patch):
    original = torch.nn.functional.cross_entropy
    patch.setattr(objectives.F, "cross_entropy", lambda *a, **more: original(*a, **more, label_smoothing=0.1))


def clipping(patch):
    def clip(weights):
        nn.utils.clip_grad_norm_(list(weights.values()), 1.0)

    change_step(patch, clip)


def dropout_without_scale(patch):
    original = vgg.VGG.dropout
    patch.setattr(vgg.VGG, "dropout", lambda self, *a: original(self, *a) * (1 - self.model.dropout))


def dropout_on_one_layer(patch):
    def forward(self, x, kept=None):
        x = torch.relu(self.fc6_at_windows(self.features(x)))
        return self.fc8(torch.relu(self.fc7(x)) * (1 if kept is None else kept[:, 1]))

    patch.setattr(vgg.VGG, "forward", forward)


def batch_norm(patch):
    original = nn.Conv2d.forward

    def forward(self, x):
        return torch.nn.functional.batch_norm(original(self, x), None, None, training=True)

    patch.setattr(nn.Conv2d, "forward", forward)


def _smaller(weights):
    for weight in weights.values():
        if weight.ndim == 4:
            weight.grad *= 0.1


def smaller_gradients(patch):
    change_step(patch, _smaller)


def smaller_learning_rate_of_copied_layers(patch):
    original = optimiser.SGD.__init__

    def build(self, net, **more):
        original(self, net, **more)
        net.fc6.weight.register_hook(lambda gradient: gradient * 0.5)

    patch.setattr(optimiser.SGD, "__init__", build)


def fewer_layers(patch):
    patch.setitem(nets.LAYERS, "A", [64, "M", 128, "M", 256, "M", 512, "M", 512, "M"])


def other_kernels(patch):
    five = nets.Conv(5, 64)
    patch.setitem(nets.LAYERS, "A", [five, *nets.LAYERS["A"][1:]])


def wider_layers(patch):
    original = vgg.scaled_width
    patch.setattr(vgg, "scaled_width", lambda channels, model: 2 * original(channels, model))


def other_initial_weights(patch):
    original = initialisation.standard_deviation
    patch.setattr(initialisation, "standard_deviation", lambda *a: 1.01 * original(*a))


def average_pooling(patch):
    patch.setattr(nn.MaxPool2d, "forward", lambda self, x: torch.nn.functional.avg_pool2d(x, 2, 2))


def leaky_units(patch):
    patch.setattr(nn.ReLU, "forward", lambda self, x: torch.nn.functional.leaky_relu(x, 0.01))


def images_out_of_order(patch):
    original = transforms.Draws.for_epoch.__func__

    def sorted_draws(cls, *arguments):
        draws = original(cls, *arguments)
        draws.order.sort()
        return draws

    patch.setattr(transforms.Draws, "for_epoch", classmethod(sorted_draws))


MUTATIONS = (
    centre_crop, flips_not_applied, mean_not_subtracted, colours_reversed, colours_not_shifted, nesterov, label_smoothing,
    clipping, dropout_without_scale, dropout_on_one_layer, batch_norm, smaller_gradients,
    smaller_learning_rate_of_copied_layers, fewer_layers, other_kernels, wider_layers, other_initial_weights,
    average_pooling, leaky_units, images_out_of_order,
)  # fmt: skip


@pytest.fixture
def again(results, tmp_path) -> Iterator[Path]:
    """The same images, and no run but A."""
    (tmp_path / "data").symlink_to(results / "data")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / A.name).symlink_to(results / "runs" / A.name)
    return tmp_path


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_training_that_does_something_else_differs(again, mutation):
    run = Run("A", "256", seed=9)
    with pytest.MonkeyPatch.context() as patch:
        mutation(patch)
        train(again, run, SETTINGS)
    assert differing(again, run)


def other_layers_copied(patch):
    patch.setattr(initialisation, "TRANSFERRED", (*initialisation.TRANSFERRED, "conv4_1"))


def all_layers_trained(patch):
    patch.setattr(nn.Module, "requires_grad_", lambda self, requires_grad=True: self)


def boxes_of_the_whole_image(patch):
    original = loader.target_vector
    patch.setattr(loader, "target_vector", lambda *a, flip: original(*a, flip=False))


@pytest.mark.parametrize(
    ("mutation", "run", "settings"),
    [
        (other_layers_copied, D, SETTINGS),
        (all_layers_trained, Run("A", "256", objective="SCR", layers="fc"), BOXES),
        (boxes_of_the_whole_image, Run("A", "256", objective="PCR"), BOXES),
    ],
    ids=lambda value: getattr(value, "__name__", None) or getattr(value, "name", "settings"),
)
def test_a_staged_training_that_does_something_else_differs(again, mutation, run, settings):
    with pytest.MonkeyPatch.context() as patch:
        mutation(patch)
        patch.setattr(Run, "parent", lambda self, staged=True: A)
        train(again, run, settings, A)
    assert differing(again, run)


def test_a_record_that_was_changed_differs(again):
    record = again / "runs" / "A_256_s0" / "run.json"
    about = json.loads(record.read_text())
    about["first_steps"][2]["loss"] += 1e-3
    (again / "runs" / "A_256_s0").unlink()
    record.parent.mkdir()
    record.write_text(json.dumps(about))
    assert differing(again, A) == ["loss of steps 1 to 4"]


def _without_steps(about, folder):
    del about["first_steps"]


def _of_other_images(about, folder):
    about["data"]["train"] = "0" * 64


def _of_another_parent(about, folder):
    about["parent"] = {"run": "A_256_s0", "weights": "0" * 64}


@pytest.mark.parametrize("missing", [_without_steps, _of_other_images, _of_another_parent])
def test_what_is_not_there_is_said_and_is_no_difference(again, missing):
    about = json.loads((again / "runs" / A.name / "run.json").read_text())
    missing(about, again)
    (again / "runs" / "A_256_s1").mkdir()
    (again / "runs" / "A_256_s1" / "run.json").write_text(json.dumps(about))
    (finding,) = findings(again, Run("A", "256", seed=1))
    assert finding.status == "not recomputed"
    assert finding.note


def test_a_resumed_training_keeps_the_first_steps_of_its_first_attempt(again):
    run = Run("A", "256", seed=7)
    stores = again / "data" / "train", again / "data" / "val"
    settings = with_dropout(small(epochs=2))
    kept = {"checkpoint_folder": again / "state", "every": 0.0}
    whole = trained(run, settings, stores, again / "whole")
    trained(run, settings, stores, again / "runs" / run.name, **kept)
    assert json.loads((again / "runs" / run.name / "run.json").read_text())["first_steps"] == whole["first_steps"]
    assert file_digest(again / "whole" / "weights.safetensors") == file_digest(
        again / "runs" / run.name / "weights.safetensors"
    )
