"""Trainings that are cut off at any moment: they end with the weights of one that was not."""

from __future__ import annotations

import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import THOROUGH, small
from tests.forks import forks
from tests.training.helpers import CPU, trained, with_dropout
from vggrepro.core.devices import set_cpu_arithmetic
from vggrepro.core.files import file_digest
from vggrepro.core.paths import ROOT
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import BoxTargets
from vggrepro.settings.models import RunSettings
from vggrepro.training import checkpoints
from vggrepro.training.checkpoints import CHECKPOINTS_KEPT, Checkpoint, Checkpoints
from vggrepro.training.processes import ProcessGroup
from vggrepro.training.train import Training, train_run

A = Run("A", "256")


def settings_of(**train: object) -> RunSettings:
    return with_dropout(small(**({"epochs": 3} | train)))


def attempts(
    stores, tmp_path: Path, run: Run, settings: RunSettings, signals: list[int], *, every: float = 0.0, early: float = 0.3,
    initial_weights: Path | None = None,
) -> list[int]:  # fmt: skip
    """A training that is sent one signal after another, and then left alone: the exit codes of its attempts."""
    rng, codes = random.Random(0), []
    out, folder = tmp_path / "out", tmp_path / "state"
    options = {
        "out": out, "train_folder": stores[0], "val_folder": stores[1], "initial_weights": initial_weights,
        "device": CPU, "workers": 0, "checkpoint_folder": folder, "every": every,
    }  # fmt: skip
    log = tmp_path / "attempts.log"

    def progress() -> tuple[int, str]:
        rows = out / "metrics.csv"
        return rows.stat().st_mtime_ns if rows.exists() else 0, max(
            (path.name for path in folder.glob("[0-9]*")), default=""
        )

    for number in [*signals, None]:
        before, began, stopped_early = progress(), time.monotonic(), rng.random() < early
        attempt = forks().Process(target=train_alone, args=(run, settings, options, log))
        attempt.start()
        if number is not None:
            # some are stopped before their first step, the others a little after one: often while they write a checkpoint
            while not stopped_early and progress() == before and time.monotonic() - began < 20:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.05))
            os.kill(attempt.pid, number)
        attempt.join()
        codes.append(attempt.exitcode)
    return codes


def train_alone(run: Run, settings: RunSettings, options: dict[str, Any], log: Path) -> None:
    """An attempt, in a process of its own."""
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    set_cpu_arithmetic(1)
    train_run(run, settings, **options)


def train(stores, tmp_path: Path, run: Run = A, initial_weights: Path | None = None, **settings: object) -> dict:
    """A training in this process, with a checkpoint after every step."""
    return trained(
        run, settings_of(**settings), stores, tmp_path / "out", initial_weights,
        checkpoint_folder=tmp_path / "state", every=0.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(stores, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    trained(A, settings_of(), stores, out)
    return out


def names(tmp_path: Path) -> list[str]:
    """The names of the checkpoints."""
    return sorted(path.name for path in (tmp_path / "state").glob("[0-9]*"))


def metrics(folder: Path) -> list[str]:
    """The lines of metrics.csv without times."""
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    columns = [i for i, name in enumerate(rows[0]) if name not in ("seconds", "images_per_s")]
    return [",".join(row[i] for i in columns) for row in rows]


def assert_same_results(out: Path, expected: Path) -> None:
    assert file_digest(out / "weights.safetensors") == file_digest(expected / "weights.safetensors")
    assert metrics(out) == metrics(expected)


def test_a_training_killed_many_times_ends_with_the_same_weights(stores, tmp_path):
    """Takes seconds because every attempt opens its stores and builds its net."""
    kills = 20 if THOROUGH else 3
    settings = settings_of(epochs=8 if THOROUGH else 5)
    whole = trained(A, settings, stores, tmp_path / "whole")["record"]
    codes = attempts(stores, tmp_path, A, settings, [signal.SIGKILL] * kills)
    assert codes == [-signal.SIGKILL] * kills + [0], "all were killed before the end"
    assert_same_results(tmp_path / "out", tmp_path / "whole")
    about = json.loads((tmp_path / "out/run.json").read_text())
    assert about["iterations"] == 10 * settings.train.epochs
    for name in ("batch", "images", "iterations", "rates", "precision", "still", "init"):
        assert about["record"][name] == whole[name]
    assert about["seconds"] == pytest.approx(sum(a["seconds"] for a in about["attempts"]))
    assert len(names(tmp_path)) == 1, "the last stays, for a Snakemake that did not hear of the end"


def test_boxes_and_fc_layers_go_on_too(stores, undisturbed, tmp_path):
    """The training of a net that predicts boxes, of which some layers have no momentum."""
    run, weights = Run("A", "256", "fc", objective="SCR"), undisturbed / "weights.safetensors"
    settings = settings_of().model_copy(update={"boxes": BoxTargets(target="random")})
    trained(run, settings, stores, tmp_path / "whole", weights)
    attempts(stores, tmp_path, run, settings, [signal.SIGKILL] * (4 if THOROUGH else 2), initial_weights=weights)
    assert_same_results(tmp_path / "out", tmp_path / "whole")


def test_a_training_that_is_told_to_stop_keeps_a_checkpoint_and_goes_on(stores, tmp_path):
    """No checkpoint is due in the whole of it: those that are kept are of the ends of epochs and of the stops."""
    signals = [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT]
    settings = settings_of(epochs=9)
    trained(A, settings, stores, tmp_path / "whole")
    codes = attempts(stores, tmp_path, A, settings, signals, every=9999.0, early=0.0)
    assert codes == [128 + number for number in signals] + [0]
    assert_same_results(tmp_path / "out", tmp_path / "whole")
    assert len(json.loads((tmp_path / "out/run.json").read_text())["attempts"]) == 4


def test_the_command_that_was_stopped_goes_on(stores, undisturbed, tmp_path):
    command = [
        sys.executable, "-m", "vggrepro", "train", "A_256_s0", "--train", str(stores[0]), "--val", str(stores[1]),
        "--settings", settings_of().model_dump_json(), "--threads", "1", "--device", "cpu",
        "--out", str(tmp_path / "out"), "--state", str(tmp_path / "state"),
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert "epoch 1/3" in process.stderr.readline()
        process.terminate()
        log = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + signal.SIGTERM, log
    assert "A_256_s0: told to stop; its checkpoint is kept in" in log
    assert names(tmp_path)
    assert not (tmp_path / "out" / "weights.safetensors").exists()
    again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert again.returncode == 0, again.stderr
    assert "A_256_s0: goes on from epoch" in again.stderr
    assert_same_results(tmp_path / "out", undisturbed)


class InterruptedTrainingError(Exception):
    pass


def interrupted(stores, tmp_path: Path, monkeypatch, steps: int) -> Path:
    """The checkpoints of a training that breaks off after some steps, one after each."""
    step, done = Training.step, []

    def counted(self, batch):
        if len(done) == steps:
            raise InterruptedTrainingError
        done.append(1)
        return step(self, batch)

    monkeypatch.setattr(Training, "step", counted)
    with pytest.raises(InterruptedTrainingError):
        train(stores, tmp_path)
    monkeypatch.undo()
    return tmp_path / "state"


def test_the_two_newest_stay_and_a_damaged_one_is_passed_over(stores, undisturbed, tmp_path, monkeypatch, capsys):
    folder = interrupted(stores, tmp_path, monkeypatch, 7)
    assert names(tmp_path) == ["000000006", "000000007"]
    assert CHECKPOINTS_KEPT == 2
    weights = folder / "000000007/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    capsys.readouterr()
    train(stores, tmp_path)
    log = capsys.readouterr().err
    assert "a damaged checkpoint is passed over" in log
    assert "goes on from epoch 1, step 6" in log
    assert_same_results(tmp_path / "out", undisturbed)


@pytest.mark.parametrize("file", ["state.json", "momentum.safetensors"])
def test_any_damage_is_seen(stores, tmp_path, monkeypatch, capsys, file):
    for folder in interrupted(stores, tmp_path, monkeypatch, 3).glob("[0-9]*"):
        (folder / file).write_bytes((folder / file).read_bytes()[:-20])
    train(stores, tmp_path, epochs=1)
    assert capsys.readouterr().err.count("a damaged checkpoint is passed over") == 2


def test_a_checkpoint_of_other_settings_is_refused_with_the_difference(stores, tmp_path, monkeypatch):
    interrupted(stores, tmp_path, monkeypatch, 3)
    with pytest.raises(ValueError, match="in settings.train.batch: 16, now 32.*delete .*state to train anew"):
        train(stores, tmp_path, batch=32)
    assert len(names(tmp_path)) == 2


def test_when_to_give_up_may_change_while_a_training_lasts_and_after_it(
    stores, undisturbed, tmp_path, monkeypatch, capsys
):
    """The message about a loss that stays at chance proposes to allow more such epochs: what was done is not lost then."""
    interrupted(stores, tmp_path, monkeypatch, 3)
    train(stores, tmp_path, stuck_epochs=20)
    assert "goes on from epoch 1, step 3" in capsys.readouterr().err
    expected = (undisturbed / "weights.safetensors").read_bytes()
    assert (tmp_path / "out" / "weights.safetensors").read_bytes() == expected
    train(stores, tmp_path, stuck_epochs=30)
    assert "kept" in capsys.readouterr().err


def test_results_that_were_lost_are_written_again(stores, undisturbed, tmp_path, monkeypatch):
    """Snakemake died before it heard of the end: started again, it removes the results and asks for the same."""
    train(stores, tmp_path)
    shutil.rmtree(tmp_path / "out")
    monkeypatch.setattr(Training, "step", lambda *_: pytest.fail("a step of a training that is finished"))
    train(stores, tmp_path)
    assert_same_results(tmp_path / "out", undisturbed)


def test_a_finished_training_gives_way_to_one_of_other_settings(stores, tmp_path):
    train(stores, tmp_path, epochs=1)
    assert train(stores, tmp_path, epochs=1, batch=32)["iterations"] == 5


def test_a_loss_that_is_not_a_number_is_not_kept(stores, tmp_path):
    with pytest.raises(ValueError, match=r"the loss is (nan|inf).*Lower train.learning_rate"):
        train(stores, tmp_path, learning_rate=1e4)
    assert 0 < len(names(tmp_path)) <= CHECKPOINTS_KEPT
    states = [json.loads(file.read_text()) for file in (tmp_path / "state").glob("*/state.json")]
    assert all(math.isfinite(state["about"]["part"]["sums"][0]) for state in states)


def test_a_disk_that_is_full_keeps_the_checkpoints_before(stores, tmp_path, monkeypatch):
    """For real: no file of this process may be larger than half of a checkpoint."""
    folder = interrupted(stores, tmp_path, monkeypatch, 3)
    before = {path: file_digest(path) for path in folder.rglob("*/*") if path.is_file()}
    assert before, "the checkpoints' files; the heartbeat beside them is written anew"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(
            OSError, match=r"weights.safetensors cannot be written: .*too large.*the same command goes on"
        ):
            train(stores, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path: file_digest(path) for path in folder.rglob("*/*") if path.is_file()} == before


def checkpoint(value: float) -> Checkpoint:
    return Checkpoint({"w": torch.full((2,), value)}, {}, {"x": value})


def test_nothing_half_written_is_trusted(tmp_path):
    kept = Checkpoints(tmp_path, {"a": 1})
    kept.write(5, checkpoint(0.1))
    (tmp_path / ".000000009.tmp").mkdir()
    (tmp_path / "000000009").mkdir()
    weights, momentum, progress = kept.read()
    assert torch.equal(weights["w"], torch.full((2,), 0.1))
    assert (momentum, progress) == ({}, {"x": 0.1})
    assert [path.name for path in tmp_path.iterdir()] == ["000000005"]
    assert Checkpoints(tmp_path / "none", {}).read() is None


def test_without_a_folder_nothing_is_kept():
    nowhere = Checkpoints(None, {}, every=0.0)
    with nowhere.exclusive():
        nowhere.write(5, checkpoint(0.1))
        assert not nowhere.due()
        assert nowhere.read() is None
        nowhere.finish()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_checkpoint_is_due_so_many_seconds_after_the_last_in_every_process(tmp_path, monkeypatch, rank):
    """Only the main process writes; the others count from the same moment."""
    now = 100.0
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now)
    kept = Checkpoints(tmp_path, {}, every=60.0, group=ProcessGroup(rank=rank))
    assert not kept.due()
    now = 161.0
    assert kept.due()
    kept.write(1, checkpoint(0.1))
    assert not kept.due()
    assert len(list(tmp_path.iterdir())) == (rank == 0)


def test_a_training_that_outlived_its_caller_is_waited_for(tmp_path, capsys):
    """Two processes are told to train one run: the second goes on from where the first ends."""
    first, second, progress = Checkpoints(tmp_path, {}), Checkpoints(tmp_path, {}), []

    def go_on() -> None:
        with second.exclusive():
            progress.append(second.read().progress)

    with first.exclusive():
        thread = threading.Thread(target=go_on)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        first.write(7, checkpoint(0.5))
    thread.join(20)
    assert progress == [{"x": 0.5}]
    assert "another process is at this very training: waiting for it to end" in capsys.readouterr().err
