"""Trainings by several processes: the losses, the weights and the record of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from tests.conftest import THOROUGH, small
from tests.forks import in_a_group
from tests.training.helpers import CPU, batches, build, float64, torchrun, train_to_the_end, trained, with_dropout
from vggrepro.core.paths import ROOT
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import BoxTargets
from vggrepro.settings.models import RunSettings
from vggrepro.training.processes import ALONE, ProcessGroup, join_processes

A = Run("A", "256")
EXACT = {"rel": 1e-5, "abs": 1e-5}
SLOW = 1e-7
"""A rate in float32. At 10^-3 a pooling that rounding turns moves the losses of later steps by up to 3%; so slow, by 2e-6."""


class Case(NamedTuple):
    """A training of which several processes take some steps."""

    run: str
    settings: RunSettings
    steps: int
    exactly: bool = False
    """In float64."""

    def losses(self, stores: tuple[Path, Path], group: ProcessGroup = ALONE) -> list[float]:
        """The mean losses of global batches."""
        if self.exactly:
            with float64():
                return self._replace(exactly=False).losses(stores, group)
        training = build(Run.parse(self.run), self.settings, stores, group)
        totals = [
            group.total(torch.stack(training.step(batch)))
            for batch, _ in zip(batches(training), range(self.steps), strict=False)
        ]
        return [float(loss / counted) for loss, _, counted in totals]


STEPS = 20 if THOROUGH else 8
"""Five epochs, or two."""
SMALL_LAST = small(batch=53)
"""The last batch of an epoch has 1 image: with four processes, three have none."""
BOXES = small(batch=32).model_copy(update={"boxes": BoxTargets(min_inside=0.9)})
CASES = {
    "without dropout": Case("A-LRN_256_s0", with_dropout(SMALL_LAST, 0.0), STEPS, exactly=True),
    "with dropout": Case("A-LRN_256_s0", with_dropout(SMALL_LAST, 0.5), STEPS, exactly=True),
    "the paper's beginning": Case("A_256_s0", small(batch=79, init="normal-0.01", learning_rate=0.01), 2 * STEPS),
    "larger weights": Case("A_256_s0", small(batch=79, learning_rate=SLOW), STEPS),
    "boxes": Case("D_256_pcr_s0", BOXES, 6, exactly=True),
}
EXACT_CASES = ["without dropout", "with dropout"]
RECORDED = with_dropout(small(batch=79))


def in_this_process(stores: tuple[Path, Path], out: Path, cases: list[str], group: ProcessGroup) -> None:
    """Losses of cases, a whole training, and one with other settings in another process; the main process writes."""
    losses = {name: CASES[name].losses(stores, group) for name in cases}
    train_to_the_end(A, RECORDED, stores, out, group=group)
    try:
        train_to_the_end(A, small(momentum=0.8 + 0.01 * group.rank), stores, out / "disagreement", group=group)
    except ValueError as error:
        (out / f"error-{group.rank}.txt").write_text(str(error))
    if group.main:
        (out / "losses.json").write_text(json.dumps(losses))


@pytest.fixture(scope="module")
def groups(stores, tmp_path_factory) -> dict[int, Path]:
    """What groups of two and four processes wrote: of all cases, and of those that are exact."""
    folders = {}
    for processes, cases in ((2, list(CASES)), (4, EXACT_CASES)):
        folders[processes] = tmp_path_factory.mktemp("group")
        in_a_group(processes, in_this_process, stores, folders[processes], cases)
    return folders


def group_losses(folder: Path, name: str) -> list[float]:
    return json.loads((folder / "losses.json").read_text())[name]


@pytest.mark.trains
@pytest.mark.parametrize("name", EXACT_CASES)
def test_one_two_and_four_processes_have_the_same_losses(stores, groups, name):
    """In float64: so small a net on pixels of 0-255 doubles what differs in the last digit every other step, and in float32
    that is seen after twenty.
    """
    expected = CASES[name].losses(stores)
    assert len(expected) == STEPS
    assert expected[-1] < expected[0]
    for folder in groups.values():
        assert group_losses(folder, name) == pytest.approx(expected, **EXACT)


@pytest.mark.trains
@pytest.mark.parametrize("name", ["the paper's beginning", "larger weights"])
def test_in_float32_they_begin_alike(stores, groups, name):
    """At the paper's initialisation and rate; and much slower, from larger weights."""
    assert group_losses(groups[2], name) == pytest.approx(CASES[name].losses(stores), **EXACT)


@pytest.mark.trains
def test_boxes_that_do_not_count_are_divided_fairly(stores, groups):
    """Processes have different numbers of boxes that count: the mean is over all of them."""
    assert group_losses(groups[2], "boxes") == pytest.approx(CASES["boxes"].losses(stores), **EXACT)


@pytest.mark.trains
def test_two_processes_record_what_one_does(stores, groups, tmp_path):
    """Of the whole batch, not of a process's half."""
    expected = trained(A, RECORDED, stores, tmp_path)["record"]
    record = json.loads((groups[2] / "run.json").read_text())["record"]
    assert {name for name in expected if record[name] != expected[name]} <= {"processes", "pixels"}
    assert (record["processes"], record["batch"], record["images"]) == ([2], 79, 160)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_that_disagree_stop(groups, processes):
    """Other settings on another machine are another training."""
    errors = [(groups[processes] / f"error-{rank}.txt").read_text() for rank in range(processes)]
    assert all("do not agree about settings, data and initial weights" in error for error in errors)
    assert "process 1 has" in errors[1]
    assert not (groups[processes] / "disagreement").exists()


def test_a_process_alone_is_a_group_of_one():
    assert (ALONE.share(7), ALONE.any(False), ALONE.from_main("x"), ALONE.main) == (slice(0, 7), False, "x", True)


def test_shares_are_equal_up_to_one():
    shares = [ProcessGroup(rank, 4).share(2) for rank in range(4)]
    assert shares == [slice(0, 1), slice(1, 2), slice(2, 2), slice(2, 2)]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "--processes 2: there are 1: start them with torchrun"),
        ({"SLURM_STEP_NUM_TASKS": "2"}, "Slurm started 2 that do not know of each other"),
        ({"WORLD_SIZE": "3"}, "--processes 2: there are 3"),
    ],
)
def test_a_group_of_another_size_is_refused(monkeypatch, environment, message):
    for name in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message), join_processes(2, CPU):
        pytest.fail("it was joined")


def train_command(stores, tmp_path: Path, settings: RunSettings, processes: int) -> list[str]:
    return [
        "-m", "vggrepro", "train", "A_256_s0", "--settings", settings.model_dump_json(), "--device", "cpu",
        "--train", str(stores[0]), "--val", str(stores[1]), "--out", str(tmp_path / "out"),
        "--state", str(tmp_path / "state"), "--processes", str(processes),
    ]  # fmt: skip


def stopped(command: list[str], epoch: int, number: signal.Signals) -> str:
    """Send torchrun a signal after an epoch: what it printed then."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ) as process:
        while f"epoch {epoch}/4" not in (line := process.stderr.readline()):
            assert line, f"it ended before its epoch {epoch}"
        process.send_signal(number)
        return process.communicate(timeout=60)[1]


def losses_of(out: Path) -> list[float]:
    header, *lines = (out / "metrics.csv").read_text().splitlines()
    return [float(line.split(",")[header.split(",").index("loss")]) for line in lines]


def test_processes_stop_together_and_others_go_on(stores, tmp_path):
    """Told to stop, all keep one checkpoint; on another number of processes training sees the same images, ends alike.

    Takes seconds because torchrun starts real processes.
    """
    settings = with_dropout(small(epochs=4, learning_rate=SLOW))
    trained(A, settings, stores, tmp_path / "whole")
    stops = [(2, 1, signal.SIGTERM), *([(3, 2, signal.SIGUSR1)] if THOROUGH else [])]
    for processes, epoch, number in stops:
        log = stopped(torchrun(processes, *train_command(stores, tmp_path, settings, processes)), epoch, number)
        assert "its checkpoint is kept" in log, log
        assert list((tmp_path / "state").glob("[0-9]*"))
    record = trained(A, settings, stores, tmp_path / "out", checkpoint_folder=tmp_path / "state", every=9999.0)
    assert losses_of(tmp_path / "out") == pytest.approx(losses_of(tmp_path / "whole"), rel=1e-4)
    assert [attempt["processes"] for attempt in record["attempts"]] == [*(processes for processes, *_ in stops), 1]
    assert record["iterations"] == 40
