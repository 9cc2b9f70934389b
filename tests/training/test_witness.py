"""What a training says it did is what it did: measured, whatever its settings say."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from tests.conftest import small
from tests.training.test_distributed import torchrun
from vggrepro.core.paths import ROOT
from vggrepro.data.store import Store
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import BoxTargets
from vggrepro.settings.models import RunSettings
from vggrepro.training.processes import ProcessGroup
from vggrepro.training.recorder import INITS, StepCounts, initialisation_of
from vggrepro.training.train import Trainer, train_run

pytestmark = pytest.mark.trains
CPU = torch.device("cpu")


def with_dropout(settings: RunSettings) -> RunSettings:
    return settings.model_copy(update={"model": settings.model.model_copy(update={"dropout": 0.5})})


def run(name: str, stores, folder: Path, settings: RunSettings, parent: str | None = None) -> dict:
    torch.set_num_threads(1)
    file = folder / parent / "weights.safetensors" if parent else None
    where = {"train_folder": stores[0], "val_folder": stores[1], "out": folder / name}
    train_run(Run.parse(name), settings, **where, parent_file=file, device=CPU, workers=0)
    return json.loads((folder / name / "run.json").read_text())["record"]


@pytest.fixture(scope="module")
def records(stores, tmp_path_factory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("runs")
    settings = with_dropout(small(epochs=2, drop_epochs=(1,), batch=48, momentum=0.8, weight_decay=1e-3))
    boxes = settings.model_copy(update={"boxes": BoxTargets()})
    return {
        "A": run("A_256_s0", stores, folder, settings),
        "D": run("D_256_s0", stores, folder, settings, "A_256_s0"),
        "D384": run("D_384_s0", stores, folder, settings, "D_256_s0"),
        "Dfc": run("D_256-512_fc_s0", stores, folder, settings, "D_384_s0"),
        "pcr": run("D_384_pcr_s0", stores, folder, boxes, "D_384_s0"),
        "folder": folder,
    }


def test_steps_are_counted_and_the_optimiser_is_read(records):
    found = records["A"]
    assert (found["batch"], found["images"], found["in_epoch"], found["iterations"]) == (48, 320, [160], 8)
    assert found["rates"] == [[1, 0.001], [2, pytest.approx(0.0001)]]
    assert (found["optimiser"], found["momentum"], found["weight_decay"]) == ("SGD", [0.8], [0.001])


def test_what_was_drawn_for_images_is_measured(records):
    for name, S in {"A": [64, 64], "D384": [96, 96]}.items():
        assert records[name]["S"] == S
    low, high = records["Dfc"]["S"]
    assert 64 <= low < 70
    assert 122 < high <= 128
    found = records["A"]
    assert found["crop"] == [56]
    assert found["drawn"] == 320
    assert found["flipped"] == pytest.approx(0.5, abs=5 * 0.5 / 320**0.5)
    assert found["colour_std"] == pytest.approx(0.1, rel=5 / 640**0.5)
    assert found["mean"] == [pytest.approx(found["mean_of_data"], abs=0.002)]
    assert found["pixels"][0] < -100
    assert found["pixels"][1] > 100


def test_dropout_is_counted(records):
    assert records["A"]["units"] == 2 * 48 * 2 * 32
    assert records["A"]["dropout"] == pytest.approx(0.5, abs=5 * 0.5 / records["A"]["units"] ** 0.5)


def test_where_weights_come_from_and_which_moved(records):
    assert (records["A"]["lent_by"], records["A"]["lent"], records["A"]["init"]) == (None, [], "glorot")
    assert records["D"]["lent_by"] == "A_256_s0"
    assert set(records["D"]["random"]) & set(records["D"]["lent"]) == set()
    assert records["Dfc"]["random"] == {}
    assert records["Dfc"]["init"] == "none"
    assert all(layer.startswith("conv") for layer in records["Dfc"]["still"])
    assert len(records["Dfc"]["still"]) == 13
    assert list(records["pcr"]["random"]) == ["fc8"]
    assert records["D"]["still"] == records["pcr"]["still"] == []


@pytest.mark.parametrize("init", INITS)
def test_the_spread_of_random_weights_names_their_initialisation(init):
    from vggrepro.nets.initialisation import initialise_randomly

    net = VGG("B", 10, small().model)
    initialise_randomly(net, init, 0)
    weights = [p.detach() for p in net.parameters() if p.ndim > 1]
    assert initialisation_of(weights) == init
    assert initialisation_of([3 * weight for weight in weights]) == "unknown"
    assert initialisation_of(weights, said="normal-0.1" if init != "normal-0.1" else "he") == init


def test_what_small_layers_cannot_tell_apart_is_what_was_said():
    """The last layer alone, of 64 to 4 units: He's deviation is 3% above Glorot's, and 256 weights tell it to 4%."""
    generator = torch.Generator().manual_seed(0)
    weight = 0.1715 * torch.randn(4, 64, generator=generator)
    assert {initialisation_of([weight], said) for said in ("he", "glorot")} == {"he", "glorot"}
    assert initialisation_of([weight], "normal-0.01") in ("he", "glorot")


def test_the_hooks_see_a_changed_optimiser_and_a_smaller_batch(stores):
    """Not what settings say: what is done to the objects themselves."""
    trainer = Trainer(Run("A", "256"), small(), Store(stores[0]), device=CPU, workers=0)
    trainer.start(None)
    trainer.net.train()
    trainer.optimiser.param_groups[0].update(lr=0.0005, momentum=0.5)
    batches = trainer.batches(1)
    trainer.witness.begin(1, batches)
    batch = next(iter(batches))
    five = {name: getattr(batch, name)[:5] for name in ("pixels", "shift", "labels", "targets")}
    trainer.step(batch._replace(**five))
    seen = trainer.witness.seen(ProcessGroup())
    assert (seen["batch"], seen["images"]) == (5, 5)
    assert seen["rates"] == ((1, 0.0005, 0.5, 0.0005),)


def test_pieces_are_one_step(stores):
    trainer = Trainer(Run("A", "256"), small(), Store(stores[0]), device=CPU, workers=0)
    trainer.start(None)
    trainer.net.train()
    trainer.pieces = 3
    trainer.step(next(iter(trainer.batches(1))))
    assert (trainer.witness.now.batch, trainer.witness.now.steps) == (16, 1)


def test_two_processes_record_what_one_does(stores, tmp_path):
    """Of the whole batch, not of a process's half."""
    settings = with_dropout(small(batch=79))
    expected = run("A_256_s0", stores, tmp_path / "one", settings)
    call = ["vggrepro", "train", "A_256_s0", "--settings", settings.model_dump_json(), "--device", "cpu"]
    call += ["--train", str(stores[0]), "--val", str(stores[1]), "--out", str(tmp_path / "two"), "--processes", "2"]
    done = subprocess.run(torchrun(2, "-m", *call), capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "two" / "run.json").read_text())["record"]
    assert {name for name in expected if found[name] != expected[name]} <= {"processes", "pixels"}
    assert (found["processes"], found["batch"], found["images"]) == ([2], 79, 160)


def test_attempts_add_up_to_what_one_would_have_seen():
    a = StepCounts(
        2, 32, 16, ((1, 0.1, 0.9, 0.0), (2, 0.01, 0.9, 0.0)), (56,), ("fp32",), (-3.0, 1.0), S=(64, 100), drawn=9
    )
    b = StepCounts(
        1, 7, 7, ((2, 0.01, 0.9, 0.0), (3, 0.001, 0.9, 0.0)), (56,), ("bf16",), (-2.0, 4.0), S=(70, 128), drawn=1
    )
    both = StepCounts.of(json.loads(json.dumps(asdict(a)))) + b
    assert (both.steps, both.images, both.batch, both.drawn) == (3, 39, 16, 10)
    assert [rate for _, rate, *_ in both.rates] == [0.1, 0.01, 0.001]
    assert (both.pixels, both.S, both.precision) == ((-3.0, 4.0), (64, 128), ("fp32", "bf16"))
    assert a + StepCounts() == a
