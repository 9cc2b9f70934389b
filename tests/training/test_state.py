"""Trainings that are cut off at any moment: they end with the weights of one that was not."""

from __future__ import annotations

import json
import math
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import small
from vggrepro.core.files import file_digest
from vggrepro.core.paths import ROOT
from vggrepro.paper.runs import Run
from vggrepro.training import signals as signals_module
from vggrepro.training.checkpoints import CHECKPOINTS_KEPT, Checkpoints
from vggrepro.training.signals import Signals, Stopped
from vggrepro.training.train import Trainer, train_run

pytestmark = pytest.mark.trains
CPU = torch.device("cpu")

# Torch is imported once; each attempt is a fork of that process, which has computed nothing yet.
ATTEMPTS = """
import json, os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from vggrepro.paper.runs import Run
from vggrepro.settings.models import RunSettings
from vggrepro.training.train import train_run

given = json.loads(sys.argv[1])
rng, attempts = random.Random(given["seed"]), 0
while True:
    attempts += 1
    child = os.fork()
    if child == 0:
        settings = RunSettings.model_validate(given["settings"], strict=False)
        stores = [Path(folder) for folder in given["stores"]]
        parent = Path(given["parent"]) if given["parent"] else None
        train_run(Run.parse(given["run"]), settings, train_folder=stores[0], val_folder=stores[1], parent_file=parent,
              out=Path(given["out"]), device=torch.device("cpu"), workers=0, state_folder=Path(given["state"]), every=0.0)
        os._exit(0)
    if attempts <= given["kills"]:
        newest = lambda: max((p.name for p in Path(given["state"]).glob("[0-9]*")), default="")
        before, began, early = newest(), time.monotonic(), rng.random() < 0.3
        # some die before their first step, the others a little after one: often in the middle of writing a state
        while not early and newest() == before and time.monotonic() - began < 20:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    if os.WIFEXITED(status):
        sys.exit("an attempt failed by itself")
print(attempts)
"""


def arguments(stores, tmp_path: Path, run: str = "A_256_s0", parent: Path | None = None, **train: object) -> dict:
    settings = small(**({"epochs": 3} | train)).model_dump(mode="json")
    settings["model"]["dropout"] = 0.5
    return {
        "run": run,
        "settings": settings,
        "stores": [str(store) for store in stores],
        "parent": str(parent) if parent else None,
        "out": str(tmp_path / "out"),
        "state": str(tmp_path / "state"),
        "kills": 0,
        "seed": 0,
    }


def attempt(given: dict) -> int:
    """Run the attempts of a training; how many there were."""
    done = subprocess.run([sys.executable, "-c", ATTEMPTS, json.dumps(given)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout.split()[-1])


@pytest.fixture(scope="module")
def undisturbed(stores, tmp_path_factory) -> Path:
    given = arguments(stores, tmp_path_factory.mktemp("whole"))
    assert attempt(given) == 1
    return Path(given["out"])


def states(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "state").glob("[0-9]*"))


def course(folder: Path) -> list[str]:
    """The lines of metrics.csv without times."""
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    kept = [i for i, name in enumerate(rows[0]) if name not in ("seconds", "images_per_s")]
    return [",".join(row[i] for i in kept) for row in rows]


def test_a_training_killed_twenty_times_ends_with_the_same_weights(stores, tmp_path):
    undisturbed = tmp_path / "whole" / "out"
    assert attempt(arguments(stores, tmp_path / "whole", epochs=8)) == 1
    attempts = attempt(arguments(stores, tmp_path, epochs=8) | {"kills": 20})
    assert attempts == 21, "all twenty were killed before the end"
    assert file_digest(tmp_path / "out/weights.safetensors") == file_digest(undisturbed / "weights.safetensors")
    assert course(tmp_path / "out") == course(undisturbed)
    about = json.loads((tmp_path / "out/run.json").read_text())
    assert about["iterations"] == 80
    whole = json.loads((undisturbed / "run.json").read_text())["record"]
    for seen in ("batch", "images", "iterations", "rates", "precision", "still", "init"):
        assert about["record"][seen] == whole[seen]
    assert about["seconds"] == pytest.approx(sum(a["seconds"] for a in about["attempts"]))
    assert len(states(tmp_path)) == 1, "the last stays, for a Snakemake that did not hear of the end"


def test_boxes_and_fc_layers_go_on_too(stores, undisturbed, tmp_path):
    """The training of a net that predicts boxes, of which some layers have no momentum."""
    from vggrepro.settings.blocks import BoxTargets

    parent = undisturbed / "weights.safetensors"
    folders = []
    for kills in (0, 6):
        given = arguments(stores, tmp_path / str(kills), "A_256_scr_fc_s0", parent) | {"kills": kills}
        given["settings"]["boxes"] = BoxTargets(target="random").model_dump()
        attempt(given)
        folders.append(Path(given["out"]))
    assert file_digest(folders[0] / "weights.safetensors") == file_digest(folders[1] / "weights.safetensors")


def verb(stores, tmp_path: Path, **train: object) -> list[str]:
    """The same training from the command line."""
    return [
        sys.executable, "-m", "vggrepro", "train", "A_256_s0", "--train", str(stores[0]), "--val", str(stores[1]),
        "--settings", json.dumps(arguments(stores, tmp_path, **train)["settings"]), "--threads", "1", "--device", "cpu",
        "--out", str(tmp_path / "out"), "--state", str(tmp_path / "state"),
    ]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_training_that_is_told_to_stop_keeps_its_state_and_goes_on(stores, undisturbed, tmp_path, number):
    call = verb(stores, tmp_path)
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert "epoch 1/3" in process.stderr.readline()
        process.send_signal(number)
        told = time.monotonic()
        process.wait(30)
        assert time.monotonic() - told < 30
        said = process.stderr.read()
    assert process.returncode == 128 + number, said
    assert "its state is kept" in said
    assert states(tmp_path)
    assert not (tmp_path / "out" / "weights.safetensors").exists()
    again = subprocess.run(call, capture_output=True, text=True, cwd=ROOT)
    assert again.returncode == 0, again.stderr
    assert "A_256_s0: goes on from epoch" in again.stderr
    assert file_digest(tmp_path / "out/weights.safetensors") == file_digest(undisturbed / "weights.safetensors")


class InterruptedTrainingError(Exception):
    pass


def interrupted(stores, tmp_path: Path, monkeypatch, steps: int, **changes: object) -> Path:
    """The states of a training that breaks off after some steps, a state after each."""
    step, done = Trainer.step, []

    def counted(self, batch):
        if len(done) == steps:
            raise InterruptedTrainingError
        done.append(1)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", counted)
    with pytest.raises(InterruptedTrainingError):
        go(stores, tmp_path, **changes)
    monkeypatch.undo()
    return tmp_path / "state"


def go(stores, tmp_path: Path, **changes: object) -> None:
    settings = small(**({"epochs": 3} | changes))
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"dropout": 0.5})})
    torch.set_num_threads(1)
    train_run(
        Run("A", "256"), settings, train_folder=stores[0], val_folder=stores[1], parent_file=None, out=tmp_path / "out",
        device=CPU, workers=0, state_folder=tmp_path / "state", every=0.0,
    )  # fmt: skip


def test_the_two_newest_states_stay_and_a_damaged_one_falls_back(stores, undisturbed, tmp_path, monkeypatch, capsys):
    state = interrupted(stores, tmp_path, monkeypatch, 7)
    assert states(tmp_path) == ["000000006", "000000007"]
    assert CHECKPOINTS_KEPT == 2
    weights = state / "000000007/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    capsys.readouterr()
    go(stores, tmp_path)
    said = capsys.readouterr().err
    assert "a damaged state is passed over" in said
    assert "goes on from epoch 1, step 6" in said
    assert file_digest(tmp_path / "out/weights.safetensors") == file_digest(undisturbed / "weights.safetensors")


@pytest.mark.parametrize("file", ["state.json", "momentum.safetensors"])
def test_any_damage_is_seen(stores, tmp_path, monkeypatch, capsys, file):
    state = interrupted(stores, tmp_path, monkeypatch, 3)
    for folder in state.glob("[0-9]*"):
        (folder / file).write_bytes((folder / file).read_bytes()[:-20])
    go(stores, tmp_path, epochs=1)
    assert capsys.readouterr().err.count("a damaged state is passed over") == 2


def test_a_state_of_other_settings_is_refused_with_the_difference(stores, tmp_path, monkeypatch):
    interrupted(stores, tmp_path, monkeypatch, 3)
    with pytest.raises(ValueError, match="in settings.train.batch: 16, now 32.*delete .*state to train anew"):
        go(stores, tmp_path, batch=32)
    assert len(states(tmp_path)) == 2


def test_what_was_finished_but_lost_is_written_again(stores, undisturbed, tmp_path, monkeypatch):
    """Snakemake died before it heard of the end: started again, it removes the results and asks for the same."""
    go(stores, tmp_path)
    weights = file_digest(tmp_path / "out/weights.safetensors")
    shutil.rmtree(tmp_path / "out")
    monkeypatch.setattr(Trainer, "step", lambda *_: pytest.fail("a step of a training that is finished"))
    go(stores, tmp_path)
    assert (
        weights == file_digest(tmp_path / "out/weights.safetensors") == file_digest(undisturbed / "weights.safetensors")
    )
    assert course(tmp_path / "out") == course(undisturbed)


def test_a_finished_training_gives_way_to_one_of_other_settings(stores, tmp_path):
    go(stores, tmp_path, epochs=1)
    go(stores, tmp_path, epochs=1, batch=32)
    assert json.loads((tmp_path / "out/run.json").read_text())["iterations"] == 5


def test_a_training_that_outlived_its_caller_is_waited_for(stores, tmp_path):
    """Two processes are told to train one run: the second goes on from where the first ends."""
    call = verb(stores, tmp_path, epochs=500, stuck_epochs=500, drop_epochs=[499])
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, cwd=ROOT) as first:
        assert "epoch 1/500" in first.stderr.readline()
        with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, cwd=ROOT) as second:
            assert "another process is at this very training: waiting for it to end" in second.stderr.readline()
            first.terminate()
            assert "A_256_s0: goes on from epoch" in second.stderr.readline()
            second.kill()


def test_a_loss_that_is_no_number_is_not_kept(stores, tmp_path):
    with pytest.raises(ValueError, match=r"the loss is (nan|inf).*Lower train.learning_rate"):
        go(stores, tmp_path, learning_rate=1e4)
    assert 0 < len(states(tmp_path)) <= CHECKPOINTS_KEPT
    kept = [json.loads(file.read_text()) for file in (tmp_path / "state").glob("*/state.json")]
    assert all(math.isfinite(said["about"]["part"]["sums"][0]) for said in kept)


def test_a_disk_that_is_full_keeps_the_states_before(stores, tmp_path, monkeypatch):
    """For real: no file of this process may be larger than half of a state."""
    state = interrupted(stores, tmp_path, monkeypatch, 3)
    before = {path: file_digest(path) for path in state.rglob("*") if path.is_file()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(
            OSError, match=r"weights.safetensors cannot be written: .*too large.*the same command goes on"
        ):
            go(stores, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path: file_digest(path) for path in state.rglob("*") if path.is_file()} == before


def test_a_loss_that_stays_at_chance_stops_with_advice(stores, tmp_path):
    with pytest.raises(ValueError, match=r"for 2 epochs the loss stayed at ln\(10\) = 2.30.*initialise in stages"):
        go(stores, tmp_path, init="normal-0.01", learning_rate=1e-9, stuck_epochs=2)


def test_nothing_half_written_is_trusted(tmp_path):
    states = Checkpoints(tmp_path / "s", {"a": 1})
    states.write(5, {"w": torch.ones(2)}, {}, {"x": 0.1})
    (tmp_path / "s" / ".000000009.tmp").mkdir()
    (tmp_path / "s" / "000000009").mkdir()
    weights, momentum, about = states.read()
    assert weights["w"].tolist() == [1, 1]
    assert (momentum, about) == ({}, {"x": 0.1})
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["000000005"]
    assert Checkpoints(tmp_path / "none", {}).read() is None


def test_who_loses_the_others_is_told_to_stop_a_moment_later(monkeypatch):
    """A process that is told to stop between two steps leaves at once; the others find their exchange broken."""
    signals = Signals()
    signals.patient = True
    with pytest.raises(Stopped) as stopped, signals.watched(), signals.together():
        threading.Timer(0.2, signal.raise_signal, [signal.SIGUSR1]).start()
        raise RuntimeError("connection closed by peer")
    assert stopped.value.code == 128 + signal.SIGUSR1
    monkeypatch.setattr(signals_module, "MOMENT", 0.2)
    with pytest.raises(RuntimeError, match="by peer"), Signals().together():
        raise RuntimeError("connection closed by peer")
