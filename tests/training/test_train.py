"""One training: its schedule, its steps, and that nothing but its settings decides its weights."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path

import pytest
import torch

from tests.conftest import small
from tests.training.test_distributed import in_float64, with_dropout
from vggrepro.data.store import Store
from vggrepro.nets.weights import load_weights
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import TrainSettings
from vggrepro.settings.models import RunSettings
from vggrepro.training.progress import Schedule
from vggrepro.training.train import Trainer, train_run

pytestmark = pytest.mark.trains
CPU = torch.device("cpu")
GOLDEN = Path(__file__).parent / "golden_losses.txt"


def run(run: Run, settings: RunSettings, stores, out: Path, parent: Path | None = None, workers: int = 0) -> dict:
    torch.set_num_threads(1)
    folders = {"train_folder": stores[0], "val_folder": stores[1]}
    train_run(run, settings, **folders, parent_file=parent, out=out, device=CPU, workers=workers)
    return json.loads((out / "run.json").read_text())


def drops(accuracies: list[float], **settings) -> Schedule:
    schedule = Schedule(TrainSettings(**settings))
    for epoch, accuracy in enumerate(accuracies, start=1):
        if schedule.finished:
            break
        schedule.after(epoch, accuracy)
    return schedule


def test_the_rate_drops_three_times_when_accuracy_stops_improving_and_then_it_ends():
    schedule = drops([0.1, 0.2, 0.2, 0.2, 0.3, 0.3, 0.1, 0.3, 0.2, 0.1, 0.1, 0.1], patience=2, epochs=74)
    assert schedule.drops == [4, 7, 9]
    assert schedule.learning_rate == pytest.approx(1e-5)
    assert schedule.finished


def test_an_improvement_starts_the_waiting_anew():
    assert drops([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4], patience=2, epochs=74).drops == []


def test_a_fixed_schedule_does_not_look_at_accuracy():
    schedule = drops([0.0] * 6, drop_epochs=(2, 5), patience=1, epochs=6)
    assert schedule.drops == [2, 5]
    assert schedule.finished


def test_training_ends_after_its_epochs():
    schedule = drops([0.1, 0.2, 0.3], patience=5, epochs=3)
    assert schedule.finished
    assert schedule.drops == []


def test_golden_losses(stores):
    """20 steps of a small net: a change of initialisation, order, crop, colour, dropout or step shows here.

    In float64 processors differ by 1e-15, or by 1e-6 where they draw the first weights without AVX2; one per cent more of a
    setting is 3e-4 or more. In float32 a pooling that rounding turns is 2e-4 too.
    Written by: python -m tests.test_train STORE > tests/golden_losses.txt, when such a change is meant.
    """
    expected = [float(line) for line in GOLDEN.read_text().split()]
    assert losses(stores[0]) == pytest.approx(expected, rel=1e-5)


def losses(folder: Path) -> list[float]:
    torch.set_num_threads(1)
    settings = with_dropout(small(batch=8, learning_rate=1e-5, weight_decay=0.5), 0.5)
    trainer = in_float64(Trainer(Run("A", "256-512"), settings, Store(folder), device=CPU, workers=0))
    trainer.start(None)
    trainer.net.train()
    batches = (batch for epoch in (1, 2) for batch in trainer.batches(epoch))
    return [trainer.step(batch).mean.item() for batch, _ in zip(batches, range(20), strict=False)]


def test_the_same_settings_give_the_same_weights_whatever_the_workers(stores, tmp_path):
    made = [
        run(Run("D", "256"), small(), stores, tmp_path / str(workers), workers=workers)["weights"] for workers in (0, 2)
    ]
    assert made[0] == made[1]


def test_the_seed_gives_other_weights(stores, tmp_path):
    made = {run(Run("A", "256", seed=seed), small(), stores, tmp_path / str(seed))["weights"] for seed in (0, 1)}
    assert len(made) == 2


def test_dropout_follows_from_seed_and_step(stores, tmp_path):
    settings = small()
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"dropout": 0.5})})
    made = [run(Run("A", "256"), settings, stores, tmp_path / name)["weights"] for name in "ab"]
    assert made[0] == made[1]


def test_what_a_run_says_of_itself(stores, tmp_path):
    parent = tmp_path / "A_256_s0"
    run(Run("A", "256"), small(), stores, parent)
    about = run(Run("D", "256"), small(epochs=2), stores, tmp_path / "D_256_s0", parent / "weights.safetensors")
    rows = list(csv.DictReader((tmp_path / "D_256_s0" / "metrics.csv").open()))
    assert about["parent"]["run"] == "A_256_s0"
    assert about["initialised"][:4] == ["conv1_1", "conv2_1", "conv3_1", "conv3_2"]
    assert (about["epochs"], about["iterations"], len(rows)) == (2, 20, 2)
    assert {"loss", "train_top1", "val_top1", "val_top5", "learning_rate", "images_per_s"} <= set(rows[0])
    assert about["data"]["train"] == Store(stores[0]).digest


def test_fc_only_moves_the_fully_connected_layers_only(stores, tmp_path):
    chain = [Run("A", "256"), Run("D", "256"), Run("D", "384")]
    for before, after in zip([None, *chain], chain, strict=False):
        file = tmp_path / before.name / "weights.safetensors" if before else None
        run(after, small(), stores, tmp_path / after.name, file)
    parent = tmp_path / "D_384_s0"
    run(Run("D", "256-512", "fc"), small(), stores, tmp_path / "fc", parent / "weights.safetensors")
    before = load_weights(parent / "weights.safetensors").tensors
    after = load_weights(tmp_path / "fc" / "weights.safetensors").tensors
    moved = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"fc6", "fc7", "fc8"}


def test_only_the_papers_parent_will_do(stores, tmp_path):
    with pytest.raises(ValueError, match="D_384_s0 goes on from D_256_s0: give its weights"):
        run(Run("D", "384"), small(), stores, tmp_path / "D")
    run(Run("A", "256"), small(), stores, tmp_path / "any name")
    weights = tmp_path / "any name" / "weights.safetensors"
    for child, wanted in (
        (Run("D", "384"), "D_256_s0"),
        (Run("A-LRN", "256"), "random weights"),
        (Run("D", "256", seed=1), "A_256_s1"),
    ):
        with pytest.raises(ValueError, match=f"holds A_256_s0, but {child.name} begins with {wanted}"):
            run(child, small(), stores, tmp_path / "child", weights)
    assert run(Run("D", "256"), small(), stores, tmp_path / "child", weights)["parent"]["run"] == "A_256_s0"


def test_a_step_is_sgd_with_momentum_and_weight_decay(stores):
    trainer = Trainer(Run("A", "256"), small(momentum=0.9, weight_decay=0.01), Store(stores[0]), device=CPU, workers=0)
    trainer.start(None)
    batch = next(iter(trainer.batches(1)))
    weight = trainer.net.fc8.weight
    velocity = torch.zeros_like(weight)
    for _ in range(3):
        before = weight.detach().clone()
        trainer.step(batch)
        velocity = 0.9 * velocity + weight.grad + 0.01 * before
        torch.testing.assert_close(weight.detach(), before - 0.001 * velocity)


def test_divergence_stops_with_advice(stores, tmp_path):
    with pytest.raises(ValueError, match=r"A_256_s0: the loss is nan.*Lower train.learning_rate"):
        run(Run("A", "256"), small(learning_rate=1e4), stores, tmp_path)
    assert not (tmp_path / "weights.safetensors").exists()


def test_bf16_learns_four_images_by_heart(stores):
    """Layers give bf16 from weights that are float32. By chance the loss is ln(10) = 2.3."""
    settings, kinds = small(precision="bf16", batch=4, learning_rate=1e-4), set()
    trainer = Trainer(Run("A", "256"), settings, Store(stores[0]), device=CPU, workers=0)
    trainer.start(None)
    trainer.net.train()
    for layer in (m for m in trainer.net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)):
        layer.register_forward_hook(lambda layer, given, found: kinds.add((layer.weight.dtype, found.dtype)))
    batch = next(iter(trainer.batches(1)))
    losses = [float(trainer.step(batch).mean) for _ in range(60)]
    assert losses[-1] < 1
    assert kinds == {(torch.float32, torch.bfloat16)}


def test_a_whole_training_in_bf16_is_recorded_as_one(stores, tmp_path):
    assert run(Run("A", "256"), small(precision="bf16"), stores, tmp_path)["record"]["precision"] == ["bf16"]


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b"x" * 50, lambda data: b""])
def test_damaged_weights_are_named(stores, tmp_path, damage):
    run(Run("A", "256"), small(), stores, tmp_path)
    file = tmp_path / "weights.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match="weights.safetensors: damaged weights"):
        load_weights(file)


def test_weights_of_others_are_named(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors: not written by vggrepro"):
        load_weights(tmp_path / "other.safetensors")


def test_a_compiled_step_is_the_plain_one_but_for_rounding(stores, monkeypatch):
    # what torch traces is tried here; what it makes of it on a device, bench/gpu.py checks
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    losses = {}
    for compiled in (False, True):
        settings = small(compile=compiled)
        trainer = in_float64(Trainer(Run("A", "256"), settings, Store(stores[0]), device=CPU, workers=0))
        trainer.start(None)
        trainer.join()
        trainer.net.train()
        losses[compiled] = [float(trainer.step(batch).mean) for batch in trainer.batches(1, start=6)]
    assert losses[True] == pytest.approx(losses[False], rel=1e-9)
    assert len(set(losses[True])) > 1


if __name__ == "__main__":
    import sys

    print("\n".join(f"{loss:.9f}" for loss in losses(Path(sys.argv[1]))))
