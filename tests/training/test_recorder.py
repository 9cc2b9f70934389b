"""What a training says it did is what it did: measured, whatever its settings say."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, replace

import pytest
import torch
from pydantic import TypeAdapter

from tests.conftest import small
from tests.training.helpers import batches, build, trained, with_dropout
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import BoxTargets
from vggrepro.training.processes import ALONE
from vggrepro.training.recorder import StartingWeights, StepCounts

pytestmark = pytest.mark.trains
A = Run("A", "256")


@pytest.fixture(scope="module")
def records(stores, tmp_path_factory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("runs")
    settings = with_dropout(small(epochs=2, drop_epochs=(1,), batch=48, momentum=0.8, weight_decay=1e-3))
    boxes = settings.model_copy(update={"boxes": BoxTargets()})

    def record(name: str, settings, parent: str | None) -> dict:
        weights = folder / parent / "weights.safetensors" if parent else None
        return trained(Run.parse(name), settings, stores, folder / name, weights)["record"]

    return {
        "A": record("A_256_s0", settings, None),
        "D": record("D_256_s0", settings, "A_256_s0"),
        "D384": record("D_384_s0", settings, "D_256_s0"),
        "Dfc": record("D_256-512_fc_s0", settings, "D_384_s0"),
        "pcr": record("D_384_pcr_s0", boxes, "D_384_s0"),
    }


def test_steps_are_counted_and_the_optimiser_is_read(records):
    record = records["A"]
    assert (record["batch"], record["images"], record["in_epoch"], record["iterations"]) == (48, 320, [160], 8)
    assert record["rates"] == [[1, 0.001], [2, pytest.approx(0.0001)]]
    assert (record["optimiser"], record["momentum"], record["weight_decay"]) == ("SGD", [0.8], [0.001])


def test_what_was_drawn_for_images_is_measured(records):
    for name, S in {"A": [32, 32], "D384": [48, 48]}.items():
        assert records[name]["S"] == S
    low, high = records["Dfc"]["S"]
    assert 32 <= low < 35
    assert 61 < high <= 64
    record = records["A"]
    assert record["crop"] == [28]
    assert record["drawn"] == 320
    assert record["flipped"] == pytest.approx(0.5, abs=5 * 0.5 / 320**0.5)
    assert record["colour_std"] == pytest.approx(0.1, rel=5 / 640**0.5)
    assert record["mean"] == [pytest.approx(record["mean_of_data"], abs=0.002)]
    assert record["pixels"][0] < -100
    assert record["pixels"][1] > 100


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


def test_layers_that_moved_are_told_from_those_that_did_not():
    net = VGG("A", 10, small().model)
    initialise_randomly(net, "he", 0)
    start = StartingWeights.measure(net, ["conv1_1"], "he")
    assert start.record["lent"] == ["conv1_1"]
    assert "conv1_1" not in start.record["random"]
    assert (start.record["init"], start.record["biases"]) == ("he", 0.0)
    with torch.no_grad():
        net.fc7.bias[3] = 1e-8
    assert {"conv1_1", "fc6", "fc7", "fc8"} - set(start.unchanged(net)) == {"fc7"}


def test_a_changed_optimiser_and_a_smaller_batch_are_seen(stores):
    """Not what settings say: what is done to the objects themselves."""
    training = build(A, small(), stores)
    training.optimiser.learning_rate, training.optimiser.momentum = 0.0005, 0.5
    epoch = training.loader.batches(1)
    training.recorder.begin_epoch(1, epoch)
    batch = next(iter(epoch))
    training.step(
        batch._replace(**{name: getattr(batch, name)[:5] for name in ("pixels", "shift", "labels", "targets")})
    )
    counts = training.recorder.total_counts(ALONE)
    assert (counts["batch"], counts["images"]) == (5, 5)
    assert counts["rates"] == ((1, 0.0005, 0.5, 0.0005),)


def test_pieces_are_one_step(stores):
    training = build(A, small(), stores)
    training.gradients.pieces.count = 3
    training.step(next(batches(training)))
    assert (training.recorder.counts.batch, training.recorder.counts.steps) == (16, 1)


def test_what_is_computed_between_two_steps_is_no_training(stores):
    training = build(A, small(), stores)
    training.step(next(batches(training)))
    before = replace(training.recorder.counts)
    training.net(torch.zeros(2, 3, 56, 56), None)
    assert training.recorder.counts == before


def test_a_compiled_net_is_watched(stores, monkeypatch):
    """The module that really runs: no hook of the net itself, which the compiler would have to trace."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    training = build(A, with_dropout(small(compile=True)), stores)
    training.recorder.begin_epoch(1, training.loader.batches(1))
    for batch, _ in zip(batches(training), range(2), strict=False):
        training.step(batch)
    counts = training.recorder.counts
    assert (counts.steps, counts.images, counts.units) == (2, 32, 16 * 2 * 32)
    assert not training.net._forward_hooks


def test_attempts_add_up_to_what_one_would_have_seen():
    a = StepCounts(
        2, 32, 16, ((1, 0.1, 0.9, 0.0), (2, 0.01, 0.9, 0.0)), (56,), ("fp32",), (-3.0, 1.0), S=(64, 100), drawn=9
    )
    b = StepCounts(
        1, 7, 7, ((2, 0.01, 0.9, 0.0), (3, 0.001, 0.9, 0.0)), (56,), ("bf16",), (-2.0, 4.0), S=(70, 128), drawn=1
    )
    both = TypeAdapter(StepCounts).validate_python(json.loads(json.dumps(asdict(a)))) + b
    assert (both.steps, both.images, both.batch, both.drawn) == (3, 39, 16, 10)
    assert [rate for _, rate, *_ in both.rates] == [0.1, 0.01, 0.001]
    recorded = both.as_recorded()
    assert (recorded["pixels"], recorded["S"], both.precision) == ((-3.0, 4.0), (64, 128), ("fp32", "bf16"))
    assert recorded["rates"] == [(1, 0.1), (2, 0.01), (3, 0.001)]
    assert a + StepCounts() == a


def test_counts_of_a_checkpoint_that_are_none_of_ours_are_refused():
    with pytest.raises(ValueError, match="stepz"):
        TypeAdapter(StepCounts).validate_python({"stepz": 1})
