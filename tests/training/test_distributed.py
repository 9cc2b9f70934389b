"""Trainings by several processes, in one piece or many: the same losses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
import torch

from tests.conftest import small
from vggrepro.core.paths import ROOT
from vggrepro.data.store import Store
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import BoxTargets
from vggrepro.settings.models import RunSettings
from vggrepro.training.loader import ALONE, Batch
from vggrepro.training.processes import ProcessGroup
from vggrepro.training.train import Trainer

pytestmark = pytest.mark.trains
CPU = torch.device("cpu")
EXACT = {"rel": 1e-5, "abs": 1e-5}
SLOW = 1e-7
"""A rate in float32. At 10^-3 a pooling that rounding turns moves the losses of later steps by up to 3%; so slow, by 2e-6."""

# What one process of a world computes: the global mean losses of some steps, of several trainings one after another.
WORLD = """
import json, sys
from pathlib import Path
import torch
from vggrepro.training.processes import join_processes
from tests.training.test_distributed import Case, in_float64

torch.set_num_threads(1)
processes, store, out, names = json.loads(sys.argv[1])
with join_processes(processes, torch.device("cpu")) as world:
    found = {}
    for name in names:
        trainer, batches = Case.all()[name].begin(Path(store), world)
        trainer.join()
        losses = [world.total(torch.stack(trainer.step(batch))) for batch in batches]
        found[name] = [float(loss[0] / loss[2]) for loss in losses]
    if world.main:
        Path(out).write_text(json.dumps(found))
"""


@dataclass
class Case:
    """A training of which several processes take some steps."""

    run: str
    settings: RunSettings
    steps: int
    exactly: bool = False
    """In float64."""

    @staticmethod
    def all() -> dict[str, Case]:
        """By name."""
        small_last = small(batch=79)
        boxes = small(batch=32).model_copy(update={"boxes": BoxTargets(min_inside=0.9)})
        return {
            "without dropout": Case("A-LRN_256_s0", with_dropout(small_last, 0.0), 50, exactly=True),
            "with dropout": Case("A-LRN_256_s0", with_dropout(small_last, 0.5), 50, exactly=True),
            "the paper's beginning": Case("A_256_s0", small(batch=79, init="normal-0.01", learning_rate=0.01), 50),
            "larger weights": Case("A_256_s0", small(batch=79, learning_rate=SLOW), 20),
            "boxes": Case("D_256_pcr_s0", boxes, 6, exactly=True),
        }

    def begin(self, store: Path, world: ProcessGroup = ALONE) -> tuple[Trainer, Iterator[Batch]]:
        """The trainer before its first step, and the batches of its steps."""
        torch.set_num_threads(1)
        trainer = Trainer(Run.parse(self.run), self.settings, Store(store), device=CPU, workers=0, world=world)
        trainer = in_float64(trainer) if self.exactly else trainer
        trainer.start(None)
        return trainer, islice((batch for epoch in range(1, 99) for batch in trainer.batches(epoch)), self.steps)


def torchrun(processes: int, *command: str) -> list[str]:
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
        "--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1", "--no-python", sys.executable, *command,
    ]  # fmt: skip


def in_float64(trainer: Trainer) -> Trainer:
    trainer.net.double()
    trainer._outputs = lambda net, images, kept: net(images.double(), kept)
    return trainer


def alone(case: Case, store: Path, pieces: int = 1) -> list[float]:
    trainer, batches = case.begin(store)
    trainer.pieces = pieces
    return [float(trainer.step(batch).mean) for batch in batches]


@pytest.fixture(scope="module")
def together(stores, tmp_path_factory) -> dict[int, dict[str, list[float]]]:
    """The losses of all cases by two processes, and of those that are exact by four."""
    found = {}
    for processes, names in ((2, list(Case.all())), (4, ["without dropout", "with dropout"])):
        out = tmp_path_factory.mktemp("losses") / "found.json"
        call = torchrun(processes, "-c", WORLD, json.dumps([processes, str(stores[0]), str(out), names]))
        done = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
        found[processes] = json.loads(out.read_text())
    return found


def with_dropout(settings: RunSettings, dropout: float) -> RunSettings:
    return settings.model_copy(update={"model": settings.model.model_copy(update={"dropout": dropout})})


@pytest.mark.parametrize("name", ["without dropout", "with dropout"])
def test_one_two_and_four_processes_have_the_same_losses(stores, together, name):
    """Over 50 steps. The last batch of an epoch has 2 images: with four processes, two have none.

    In float64: so small a net on pixels of 0-255 doubles what differs in the last digit every other step, and in float32
    that is seen after twenty.
    """
    expected = alone(Case.all()[name], stores[0])
    assert len(expected) == 50
    assert expected[-1] < expected[0]
    for processes in (2, 4):
        assert together[processes][name] == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize("name", ["the paper's beginning", "larger weights"])
def test_in_float32_they_begin_alike(stores, together, name):
    """Over 50 steps at the paper's initialisation and rate; over 20, much slower, from larger weights."""
    assert together[2][name] == pytest.approx(alone(Case.all()[name], stores[0]), **EXACT)


def test_boxes_that_do_not_count_are_divided_fairly(stores, together):
    """Processes have different numbers of boxes that count: the mean is over all of them."""
    assert together[2]["boxes"] == pytest.approx(alone(Case.all()["boxes"], stores[0]), **EXACT)


@pytest.mark.parametrize("pieces", [2, 3, 20])
def test_gradients_of_pieces_add_up_to_those_of_the_batch(stores, pieces):
    case = Case("A_256_s0", with_dropout(small(), 0.5), 12, exactly=True)
    assert alone(case, stores[0], pieces) == pytest.approx(alone(case, stores[0]), **EXACT)


def test_what_does_not_fit_into_memory_is_computed_in_pieces(stores, monkeypatch, capsys):
    def small_memory(self, net, images, kept):
        if len(images) > limit:
            raise torch.OutOfMemoryError
        return net(images.double(), kept)

    limit = 5
    monkeypatch.setattr(Trainer, "_outputs", small_memory)
    trainer = Trainer(Run("A", "256"), small(), Store(stores[0]), device=CPU, workers=0)
    trainer.net.double()
    trainer.start(None)
    trainer.fit_memory()
    assert trainer.pieces == 4
    assert "16 images at a time do not fit" in capsys.readouterr().err
    losses = [float(trainer.step(batch).mean) for batch, _ in zip(trainer.batches(1), range(5), strict=False)]
    monkeypatch.undo()
    assert losses == pytest.approx(alone(Case("A_256_s0", small(), 5, exactly=True), stores[0]), **EXACT)
    limit = 0
    monkeypatch.setattr(Trainer, "_outputs", small_memory)
    with pytest.raises(ValueError, match="A_256_s0: not even one image at a time fits"):
        trainer.fit_memory()


def test_memory_that_runs_short_in_the_middle_only_makes_smaller_pieces(stores, monkeypatch, capsys):
    """Somebody else takes a part of the GPU's memory: in the backward pass of the third step, one image in four fits."""
    forward, backward = VGG.forward, torch.Tensor.backward
    limits = iter([16, 16] + [4] * 100)

    def short(self, *given, **named):
        if seen[-1] > next(limits):
            raise torch.OutOfMemoryError
        return backward(self, *given, **named)

    seen = [0]
    monkeypatch.setattr(VGG, "forward", lambda net, x, kept: seen.append(len(x)) or forward(net, x, kept))
    monkeypatch.setattr(torch.Tensor, "backward", short)
    case = Case("A_256_s0", with_dropout(small(), 0.5), 10, exactly=True)
    found = alone(case, stores[0])
    assert seen[1:8] == [16, 16, 16, 8, 4, 4, 4]
    assert "8 images at a time do not fit into the GPU's memory" in capsys.readouterr().err
    monkeypatch.undo()
    assert found == pytest.approx(alone(case, stores[0]), **EXACT)


def test_a_process_alone_is_a_world_of_one():
    world = ProcessGroup()
    assert (world.rows(7), world.any(False), world.from_main("x"), world.main) == (slice(0, 7), False, "x", True)
    assert [ProcessGroup(rank, 4).rows(2) for rank in range(4)] == [slice(0, 1), slice(1, 2), slice(2, 2), slice(2, 2)]


def call(stores, tmp_path: Path, processes: int, **train: object) -> list[str]:
    settings = with_dropout(small(**({"epochs": 3, "learning_rate": SLOW} | train)), 0.5)
    return [
        "-m", "vggrepro", "train", "A_256_s0", "--settings", settings.model_dump_json(), "--device", "cpu",
        "--train", str(stores[0]), "--val", str(stores[1]), "--out", str(tmp_path / "out"),
        "--state", str(tmp_path / "state"), "--processes", str(processes),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("world", "said"),
    [
        ({}, "--processes 2: there are 1: start them with torchrun"),
        ({"SLURM_STEP_NUM_TASKS": "2"}, "Slurm started 2 that do not know of each other"),
        ({"WORLD_SIZE": "3"}, "--processes 2: there are 3"),
    ],
)
def test_a_world_of_another_size_is_refused(stores, tmp_path, world, said):
    done = subprocess.run(
        [sys.executable, *call(stores, tmp_path, 2)], capture_output=True, text=True, cwd=ROOT, env=os.environ | world
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr


def final(tmp_path: Path) -> tuple[dict, list[float]]:
    lines = (tmp_path / "out/metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("loss")
    return json.loads((tmp_path / "out/run.json").read_text()), [float(line.split(",")[column]) for line in lines[1:]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_two_processes_stop_together_and_three_go_on(stores, tmp_path, number):
    """Told to stop, both keep one state; on another number of processes training sees the same images and ends alike."""
    whole = tmp_path / "whole"
    done = subprocess.run([sys.executable, *call(stores, whole, 1)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    with subprocess.Popen(
        torchrun(2, *call(stores, tmp_path, 2)), stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        while "epoch 1/3" not in (line := process.stderr.readline()):
            assert line, "it ended before its first epoch"
        process.send_signal(number)
        told = time.monotonic()
        process.wait(30)
        assert time.monotonic() - told < 30
        said = process.stderr.read()
        assert "its state is kept" in said, said
    assert list((tmp_path / "state").iterdir())
    done = subprocess.run(torchrun(3, *call(stores, tmp_path, 3)), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("goes on from epoch") == 1
    (about, losses), (expected, smooth) = final(tmp_path), final(whole)
    assert losses == pytest.approx(smooth, rel=1e-4)
    assert [attempt["processes"] for attempt in about["attempts"]] == [2, 3]
    assert about["iterations"] == expected["iterations"] == 30


def test_processes_that_disagree_stop(stores, tmp_path):
    """Another data set on another machine is another training."""
    other = tmp_path / "other"
    script = (
        "import os, sys; from vggrepro import cli; given = sys.argv[1:]; "
        "given[given.index('--settings') + 1] = given[given.index('--settings') + 1].replace("
        "'\"momentum\":0.9', '\"momentum\":0.8' if os.environ['RANK'] == '1' else '\"momentum\":0.9'); "
        "sys.exit(cli.main(given))"
    )
    given = call(stores, other, 2)[2:]
    done = subprocess.run(torchrun(2, "-c", script, *given), capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode != 0
    assert "do not agree about settings, data and parent" in done.stderr
    assert not (other / "out").exists()
