"""How far a run is, from made-up results: done, running, stopped, failed and waiting steps, on this machine and on others."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from vggrepro import cli
from vggrepro.core.files import lock
from vggrepro.core.plan_record import Prediction, write_plan_record
from vggrepro.core.recipes import FAILED, UNFINISHED
from vggrepro.planning.formatting import console
from vggrepro.planning.session import SESSION_LOCK
from vggrepro.planning.status import QUIET, read_status
from vggrepro.planning.status_text import status_view
from vggrepro.planning.watching import newest_results

HERE = socket.gethostname()
RUN = "A_256_s0"


def planned(name: str, output: str, *needs: str, seconds: float, gpus: int = 0) -> dict:
    predicted = Prediction(device="cpu", seconds=seconds, low=seconds / 2, high=2 * seconds, model=seconds, measured=0)
    kind = name.split()[0]
    return {
        "name": name, "rule": kind, "size": "", "needs": list(needs), "outputs": [output], "log": f"logs/{kind}/x.log",
        "benchmark": f"benchmarks/{kind}/x.tsv", "gpus": gpus, "threads": 1, "predicted": predicted,
    }  # fmt: skip


def make(folder: Path, *, machine: str = HERE) -> Path:
    """Results with a plan of three steps, of which the training takes nine tenths of the time."""
    steps = [
        planned("prepare train", "data/train", seconds=50),
        planned(f"train {RUN}", f"runs/{RUN}/weights.safetensors", "prepare train", seconds=900),
        planned(f"evaluate {RUN} dense", f"scores/{RUN}/dense", f"train {RUN}", seconds=50),
    ]
    about = {
        "at": "2026-01-01T00:00:00+00:00",
        "machine": machine,
        "device": "cpu",
        "gpus": 0,
        "per_training": 1,
        "cores": 1,
    }
    write_plan_record(folder, {**about, "steps": steps})
    return folder


def write(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value))


def recipe(folder: Path, output: str, *lines: str) -> None:
    write(folder / "recipes" / f"{output}.json", list(lines))


def finish(folder: Path, output: str, seconds: float | None = None) -> None:
    (folder / output).mkdir(parents=True)
    recipe(folder, output, "settings", "x: y")
    if seconds is not None:
        write(folder / "benchmarks/prepare/x.tsv", f"s\th:m:s\n{seconds}\t0:00:01\n")


def begin_training(folder: Path, host: str = HERE, *, epoch: int = 2, batches: int = 50) -> None:
    recipe(folder, f"runs/{RUN}/weights.safetensors", UNFINISHED)
    state = folder / "state" / RUN
    beat = {
        "run": RUN,
        "host": host,
        "pid": 1,
        "device": "H100",
        "epoch": epoch,
        "epochs": 4,
        "batches": batches,
        "of": 100,
    }
    write(state / "running.json", beat | {"loss": 1.25, "images_per_s": 300.0, "at": "2026-01-01T00:00:00+00:00"})
    write(state / "000000150/state.json", "{}")
    write(state / "metrics.csv", "epoch,seconds\n1,100\n")
    write(folder / "logs/train/x.log", f"{RUN}: epoch 1/4\n")


def states(folder: Path, now: float | None = None) -> dict[str, str]:
    return {each.step["name"].split()[0]: each.state for each in read_status(folder, now).steps}


def held(file: Path):
    """A lock that another process would hold; here, an open file of its own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    opened = file.open("w")
    assert lock(opened)
    return opened


def test_before_anything_ran_everything_waits(tmp_path):
    status = read_status(make(tmp_path))
    assert {each.state for each in status.steps} == {"waiting"}
    assert (status.share, status.seconds_left) == (0.0, 1000.0)


def test_the_whole_is_weighted_by_cost_not_by_the_number_of_steps(tmp_path):
    finish(make(tmp_path), "data/train")
    assert read_status(tmp_path).share == pytest.approx(0.05)


def test_a_training_says_epoch_loss_speed_place_and_when_its_state_was_kept(tmp_path):
    finish(make(tmp_path), "data/train")
    begin_training(tmp_path)
    with held(tmp_path / f"state/{RUN}/lock"):
        status = read_status(tmp_path)
    training = status.of("running")[0].training
    assert (training.epoch, training.epochs, training.share) == (2, 4, 1.5 / 4)
    assert (training.loss, training.images_per_s, training.host, training.device) == (1.25, 300.0, HERE, "H100")
    assert training.seconds_left == pytest.approx(100 * 4 * 2.5 / 4)
    assert abs(training.kept - time.time()) < 60
    assert status.share == pytest.approx(0.05 + 0.9 * 1.5 / 4)
    assert status.seconds_left == pytest.approx(250 + 50)


def test_after_a_kill_of_everything_nothing_runs_on_this_machine(tmp_path):
    finish(make(tmp_path), "data/train")
    begin_training(tmp_path)
    assert states(tmp_path)["train"] == "stopped"


def test_a_training_that_outlived_snakemake_runs(tmp_path):
    begin_training(make(tmp_path))
    with held(tmp_path / f"state/{RUN}/lock"):
        assert not read_status(tmp_path).here
        assert states(tmp_path)["train"] == "running"


def test_on_another_node_a_step_runs_while_its_files_change(tmp_path):
    begin_training(make(tmp_path, machine="elsewhere"), "elsewhere")
    now = time.time()
    assert states(tmp_path, now)["train"] == "running"
    assert states(tmp_path, now + QUIET + 60)["train"] == "stopped"


def test_a_clock_that_is_ahead_is_told_and_stops_nothing(tmp_path):
    begin_training(make(tmp_path, machine="elsewhere"), "elsewhere")
    status = read_status(tmp_path, time.time() - 7200)
    assert [each.state for each in status.of("running")] == ["running"]
    assert any("clocks differ" in note for note in status.notes)


def test_a_step_that_failed_shows_the_end_of_its_log_and_the_file(tmp_path):
    recipe(make(tmp_path), "data/train", FAILED)
    write(tmp_path / "logs/prepare/x.log", "\n".join([*map(str, range(100)), "vggrepro prepare: no such file"]))
    [failed] = read_status(tmp_path).of("failed")
    assert failed.last_lines[-1] == "vggrepro prepare: no such file"
    assert failed.log == str(tmp_path / "logs/prepare/x.log")


def test_a_line_of_progress_in_a_log_says_how_much_of_a_step_is_done(tmp_path):
    recipe(make(tmp_path), f"scores/{RUN}/dense", UNFINISHED)
    write(tmp_path / "logs/evaluate/x.log", "A_256_s0 dense: 12,500 of 50,000 images, 12 min to go\n")
    with held(tmp_path / SESSION_LOCK):
        [running] = read_status(tmp_path).of("running")
    assert running.share == 0.25


def test_a_step_of_this_machine_whose_log_is_open_runs_without_snakemake(tmp_path):
    recipe(make(tmp_path), f"scores/{RUN}/dense", UNFINISHED)
    log = tmp_path / "logs/evaluate/x.log"
    write(log, "")
    assert states(tmp_path)["evaluate"] == "stopped"
    with log.open("a"):
        assert states(tmp_path)["evaluate"] == "running"


def test_half_written_and_damaged_files_of_a_training_are_no_obstacle(tmp_path):
    begin_training(make(tmp_path))
    state = tmp_path / "state" / RUN
    write(state / ".000000200.writing-abcdefgh/state.json", "{")
    write(state / "running.json", '{"run": "A')
    shutil.rmtree(state / "000000150")
    status = read_status(tmp_path)
    assert status.of("stopped")[0].training is None
    assert any("running.json" in note for note in status.notes)


def test_what_finished_steps_took_corrects_what_is_left(tmp_path):
    finish(make(tmp_path), "data/train", seconds=100)
    assert read_status(tmp_path).seconds_left == pytest.approx(2 * 950)


def test_results_of_other_settings_that_are_to_be_made_again_are_not_done_yet(tmp_path):
    finish(make(tmp_path), "data/train")
    plan = json.loads((tmp_path / "plan/plan.json").read_text())
    plan["steps"][0]["to_do"] = True
    write_plan_record(tmp_path, plan)
    recipe_file = tmp_path / "recipes/data/train.json"
    os.utime(recipe_file, (time.time() - 100,) * 2)
    assert states(tmp_path)["prepare"] == "waiting"
    os.utime(recipe_file, (time.time() + 1,) * 2)
    assert states(tmp_path)["prepare"] == "done"


def test_a_copy_of_results_says_the_same(tmp_path):
    finish(make(tmp_path / "a"), "data/train")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert states(tmp_path / "a") == states(tmp_path / "b")


def test_results_of_a_version_without_plans_show_what_is_made(tmp_path):
    finish(tmp_path, "data/train")
    status = read_status(tmp_path)
    assert status.planned is None
    assert [each.state for each in status.steps] == ["done"]


def test_the_view_of_every_state_can_be_printed_in_a_pipe(tmp_path, capsys):
    begin_training(make(tmp_path))
    recipe(tmp_path, f"scores/{RUN}/dense", FAILED)
    console().print(status_view(read_status(tmp_path), datetime.now().astimezone(), bar=False))
    said = capsys.readouterr().out
    assert RUN in said
    assert "\x1b" not in said
    assert "stopped" in said


def test_the_command_prints_json_for_programs(tmp_path, capsys):
    finish(make(tmp_path), "data/train")
    assert cli.main(["status", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["counts"] == {"done": 1, "running": 0, "stopped": 0, "failed": 0, "waiting": 2}


def test_watching_ends_when_nothing_runs(tmp_path, capsys):
    make(tmp_path)
    assert cli.main(["status", str(tmp_path), "--watch"]) == 0
    assert "nothing runs" in capsys.readouterr().out


def test_no_run_yet_is_one_message(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["status"]) == 2
    assert "no results of a run are here yet" in capsys.readouterr().err


def test_a_folder_that_is_none_of_results_is_one_message(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    assert cli.main(["status", str(tmp_path)]) == 2
    assert "no results in it" in capsys.readouterr().err


def test_a_damaged_plan_is_one_message_that_names_it(tmp_path, capsys):
    write(tmp_path / "plan/plan.json", "{")
    assert cli.main(["status", str(tmp_path)]) == 2
    assert "plan/plan.json: damaged" in capsys.readouterr().err


def test_without_a_name_the_results_that_were_written_last_are_shown(tmp_path):
    for age, name in ((100, "old"), (0, "new")):
        make(tmp_path / name)
        os.utime(tmp_path / name / "plan/plan.json", (time.time() - age,) * 2)
    assert newest_results(tmp_path).name == "new"


def test_a_lock_that_died_with_its_process_is_free(tmp_path):
    make(tmp_path)
    code = f"import sys; sys.path.insert(0, '.'); f = open({str(tmp_path / SESSION_LOCK)!r}, 'w'); " + (
        "from vggrepro.core.files import lock; lock(f); print('held', flush=True); import time; time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "held"
    assert read_status(tmp_path).here
    process.kill()
    process.wait()
    assert not read_status(tmp_path).here
