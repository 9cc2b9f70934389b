"""One training: that it learns, and that nothing but its settings decides its weights."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import small
from tests.training.helpers import build, float64, losses, trained, with_dropout
from vggrepro.data.store import Store
from vggrepro.nets.weights import load_weights
from vggrepro.paper.runs import Run

pytestmark = pytest.mark.trains
A = Run("A", "256")
GOLDEN = Path(__file__).parent / "golden_losses.txt"


def test_golden_losses(stores):
    """20 steps of a small net: a change of initialisation, order, crop, colour, dropout or step shows here.

    In float64 processors differ by 1e-15, or by 1e-6 where they draw the first weights without AVX2; one per cent more of a
    setting is 3e-4 or more. In float32 a pooling that rounding turns is 2e-4 too.
    Written by: python -m tests.training.test_train TRAIN > tests/training/golden_losses.txt, when such a change is meant.
    """
    expected = [float(line) for line in GOLDEN.read_text().split()]
    assert golden_losses(stores[0]) == pytest.approx(expected, rel=1e-5)


def golden_losses(folder: Path) -> list[float]:
    settings = with_dropout(small(batch=8, learning_rate=1e-5, weight_decay=5.0))
    with float64():
        return losses(build(Run("A", "256-512"), settings, (folder, folder)), 20)


@pytest.fixture(scope="module")
def runs(stores, tmp_path_factory) -> dict[str, Path]:
    """Folders of runs by their names, each initialised from the one before."""
    folder, weights = tmp_path_factory.mktemp("runs"), None
    for run in (A, Run("D", "256"), Run("D", "384"), Run("D", "256-512", "fc")):
        trained(run, with_dropout(small()), stores, folder / run.name, weights)
        weights = folder / run.name / "weights.safetensors"
    return {path.name: path for path in folder.iterdir()}


def tensors(folder: Path) -> dict[str, Tensor]:
    return load_weights(folder / "weights.safetensors").tensors


def changed_layers(before: Path, after: Path) -> set[str]:
    """The layers whose weights differ between two runs."""
    first, second = tensors(before), tensors(after)
    return {name.split(".")[-2] for name in first if not torch.equal(first[name], second[name])}


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_settings_give_the_same_weights_whatever_the_workers(stores, runs, tmp_path, workers):
    """Dropout too follows from the seed and the step."""
    initial_weights = runs["A_256_s0"] / "weights.safetensors"
    trained(Run("D", "256"), with_dropout(small()), stores, tmp_path, initial_weights, workers=workers)
    assert (tmp_path / "weights.safetensors").read_bytes() == (runs["D_256_s0"] / "weights.safetensors").read_bytes()


def test_the_seed_gives_other_weights(stores, runs, tmp_path):
    trained(Run("A", "256", seed=1), with_dropout(small()), stores, tmp_path)
    assert len(changed_layers(runs["A_256_s0"], tmp_path)) == 11


def test_fc_only_moves_the_fully_connected_layers_only(runs):
    assert changed_layers(runs["D_384_s0"], runs["D_256-512_fc_s0"]) == {"fc6", "fc7", "fc8"}


def test_a_run_records_what_made_it(stores, runs):
    record = json.loads((runs["D_256_s0"] / "run.json").read_text())
    rows = list(csv.DictReader((runs["D_256_s0"] / "metrics.csv").open()))
    assert record["parent"]["run"] == "A_256_s0"
    assert record["initialised"][:4] == ["conv1_1", "conv2_1", "conv3_1", "conv3_2"]
    assert (record["epochs"], record["iterations"], len(rows)) == (1, 10, 1)
    assert {"loss", "train_top1", "val_top1", "val_top5", "learning_rate", "images_per_s"} <= set(rows[0])
    assert record["data"]["train"] == Store(stores[0]).digest
    assert all("seen" not in attempt for attempt in record["attempts"])


def test_a_step_is_sgd_with_momentum_and_weight_decay(stores):
    training = build(A, small(momentum=0.9, weight_decay=0.01), stores)
    batch = next(iter(training.loader.batches(1)))
    weight = training.net.fc8.weight
    velocity = torch.zeros_like(weight)
    for _ in range(3):
        before = weight.detach().clone()
        training.step(batch)
        velocity = 0.9 * velocity + weight.grad + 0.01 * before
        torch.testing.assert_close(weight.detach(), before - 0.001 * velocity)


def test_a_folder_with_files_of_others_is_not_trained_into(stores, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="not ours, because it holds thesis.tex"):
        trained(A, small(), stores, tmp_path)
    with pytest.raises(ValueError, match="not ours, because it holds"):
        trained(A, small(), stores, stores[1])
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_divergence_stops_with_advice(stores, tmp_path):
    with pytest.raises(ValueError, match=r"A_256_s0: the loss is nan.*Lower train.learning_rate"):
        trained(A, small(learning_rate=1e4), stores, tmp_path)
    assert not (tmp_path / "weights.safetensors").exists()


def test_a_loss_that_stays_at_chance_stops_with_advice(stores, tmp_path):
    settings = small(init="normal-0.01", learning_rate=1e-9, epochs=3, stuck_epochs=2)
    with pytest.raises(ValueError, match=r"for 2 epochs the loss stayed at ln\(10\) = 2.30.*initialise in stages"):
        trained(A, settings, stores, tmp_path)


def test_bf16_learns_four_images_by_heart(stores):
    """Layers give bf16 from weights that are float32. By chance the loss is ln(10) = 2.3."""
    training, kinds = build(A, small(precision="bf16", batch=4, learning_rate=1e-4), stores), set()
    for layer in (m for m in training.net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)):
        layer.register_forward_hook(lambda layer, inputs, outputs: kinds.add((layer.weight.dtype, outputs.dtype)))
    batch = next(iter(training.loader.batches(1)))
    losses_of_steps = [float(training.step(batch).mean) for _ in range(60)]
    assert losses_of_steps[-1] < 1
    assert kinds == {(torch.float32, torch.bfloat16)}


def test_a_whole_training_in_bf16_is_recorded_as_one(stores, tmp_path):
    assert trained(A, small(precision="bf16"), stores, tmp_path)["record"]["precision"] == ["bf16"]


def test_a_compiled_step_is_the_plain_one_but_for_rounding(stores, monkeypatch):
    # what torch traces is tried here; what it makes of it on a device, bench/gpu.py checks
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    with float64():
        compiled, plain = (losses(build(A, small(compile=flag), stores), 4) for flag in (True, False))
    assert compiled == pytest.approx(plain, rel=1e-9)
    assert len(set(compiled)) > 1


if __name__ == "__main__":
    import sys

    print("\n".join(f"{loss:.9f}" for loss in golden_losses(Path(sys.argv[1]))))
