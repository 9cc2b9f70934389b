"""The workflow on a real Slurm of two nodes: jobs that are cancelled or requeued go on, and a training spans both nodes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.workflow.planning import forked
from vggrepro.core.files import file_digest
from vggrepro.core.paths import ROOT

BIN = Path(sys.executable).parent
SCRIPT = ROOT / "tests/slurm/local_slurm.sh"

# what this Slurm is, over what the profile says of a real one; the images and epochs of a minute
HERE = (
    "--profile", "slurm", "--jobs", "4", "--latency-wait", "10", "--slurm-no-account", "--slurm-status-command", "squeue",
    "--slurm-init-seconds-before-status-checks", "2", "--set-threads", "train=1", "evaluate=1",
    "--config", "smoke=true", "data={train_per_class: 40}", "train={epochs: 16, drop_epochs: [14]}",
    "--default-resources", "nodes=1", "mem_mb=2000", "runtime=30",
)  # fmt: skip
ONE = ("--set-resources", "train:gpu=1", "evaluate:gpu=1")
TWO = (
    "--set-resources", "train:gpu=2", "train:nodes=2", "train:tasks=2", "train:tasks_per_gpu=0", "train:mpi=srun",
    "train:slurm_extra='--gpus-per-node=1'", "evaluate:gpu=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Iterator[None]:
    if os.environ.get("VGGREPRO_SLURM") != "1":
        pytest.skip("VGGREPRO_SLURM=1 lets the tests start a Slurm of their own: it needs root and writes /etc/slurm")
    if os.getuid() or not all(map(shutil.which, ("slurmctld", "slurmd", "munged"))):
        pytest.skip("a local Slurm needs root and slurm-wlm")
    if " " in sys.executable:
        pytest.skip("the jobs of Snakemake's Slurm executor name Python unquoted: its path has a space here")
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([SCRIPT, "start", folder], check=True)
    yield
    subprocess.run(["scancel", "--user=root"], check=False)
    # a Slurm without cgroups leaves behind what a cancelled job had started in a session of its own
    subprocess.run(["pkill", "--signal", "KILL", "--full", f"{tmp_path_factory.getbasetemp()}/a cluster"], check=False)
    subprocess.run([SCRIPT, "stop", folder], check=True)


@pytest.fixture(scope="module")
def folder(slurm, tmp_path_factory) -> Path:
    """Where a training was cancelled and went on, and after it one on two nodes was requeued and went on."""
    folder = working_folder(tmp_path_factory.mktemp("a cluster"))
    for resources, target, trained, disturb in (
        (ONE, "results/smoke/runs/A_256_s0/weights.safetensors", "A_256_s0", cancel),
        (TWO, "results/smoke/scores/B_256_s0/dense", "B_256_s0", requeue),
    ):
        process = start(folder, *resources, "--", target)
        job = job_in_training(folder, trained, process)
        (folder / f"nodes of {trained}").write_text(re.findall(r"\sNodeList=(\S+)", state_of(job))[-1])
        disturb(job)
        ends_well(process, folder)
    return folder


def working_folder(folder: Path) -> Path:
    """A folder with a space in its name, where the command is typed as the README says."""
    for name in ("Snakefile", "workflow", "slurm", "tables", "reports", "environment.yml"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    # nodes of one machine share its disk: a folder for the node that a job begins on, where the variable gets its value
    stage = f"stage_folder='{folder}/disk of $SLURMD_NODENAME'"
    call = [BIN / "snakemake", "--cores", "all", *HERE, stage, "stage_gb=1", *arguments]
    log = (folder / "snakemake.log").open("w")
    return subprocess.Popen(call, cwd=folder, stdout=log, stderr=subprocess.STDOUT, text=True)


def ends_well(process: subprocess.Popen, folder: Path) -> None:
    assert process.wait(600) == 0, (folder / "snakemake.log").read_text()[-4000:]


def job_in_training(folder: Path, run: str, process: subprocess.Popen) -> str:
    """The Slurm job that trains a run, once an epoch of it is over."""
    log = folder / f"results/smoke/logs/train/{run}.log"
    before = log.read_text() if log.exists() else ""
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        said = log.read_text() if log.exists() else ""
        if said != before and ": epoch " in said:
            submitted = (folder / "snakemake.log").read_text()
            return re.findall(rf"SLURM jobid (\d+) \(log: .*rule_train/\w*{run}/", submitted)[-1]
        time.sleep(0.1)
    raise AssertionError((folder / "snakemake.log").read_text()[-4000:])


def state_of(job: str) -> str:
    return subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=True).stdout


def cancel(job: str) -> None:
    subprocess.run(["scancel", job], check=True)


def requeue(job: str) -> None:
    """Slurm holds a requeued job back for two minutes, unless it is told not to once it waits again."""
    subprocess.run(["scontrol", "requeue", job], check=True)
    until = time.monotonic() + 120
    while time.monotonic() < until and "JobState=PENDING" not in state_of(job):
        time.sleep(0.2)
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)


def about(folder: Path, run: str) -> dict:
    return json.loads((folder / f"results/smoke/runs/{run}/run.json").read_text())


def test_a_cancelled_training_is_retried_and_goes_on(folder, tmp_path):
    assert "A_256_s0: goes on from epoch" in (folder / "results/smoke/logs/train/A_256_s0.log").read_text()
    attempts = about(folder, "A_256_s0")["attempts"]
    assert len(attempts) == 2
    assert all(attempt["seconds"] > 0 for attempt in attempts)
    # the same command by hand, undisturbed
    settings = json.dumps(about(folder, "A_256_s0")["settings"])
    data = folder / "results/smoke/data"
    call = [BIN / "vggrepro", "train", "A_256_s0", "--settings", settings]
    call += ["--train", data / "train", "--val", data / "val", "--out", tmp_path, "--threads", "1"]
    subprocess.run(call, check=True, capture_output=True)
    assert file_digest(tmp_path / "weights.safetensors") == about(folder, "A_256_s0")["weights"]


def test_a_training_on_two_nodes_is_requeued_and_goes_on(folder):
    assert (folder / "nodes of B_256_s0").read_text() == "node[1-2]"
    made = about(folder, "B_256_s0")
    assert [attempt["processes"] for attempt in made["attempts"]] == [2, 2]
    assert made["iterations"] == made["epochs"] * 25
    assert (folder / "results/smoke/scores/B_256_s0/dense/256/made.json").exists()


def test_a_node_copies_a_store_once_and_its_next_job_finds_it(folder):
    """Of a training on two nodes, both attempts and the evaluation after it read what was copied for the run before."""
    logs = folder / "results/smoke/logs"
    text = "".join(file.read_text() for file in logs.rglob("*_256_s0*.log"))
    places = [folder / f"disk of node{number}" for number in (1, 2)]
    used = [place for place in places if place.exists()]
    assert used
    for place in used:
        # the copies, and nothing half copied
        names = {path.name for path in place.iterdir() if path.is_dir()}
        assert {f"{name}.checked" for name in names} == {path.name for path in place.glob("*.checked")}
        assert text.count(f"MB are copied to {place}") <= len(names) <= 2
    training, evaluation = (logs / name for name in ("train/B_256_s0.log", "evaluate/B_256_s0.dense.log"))
    assert len(re.findall(r"data/train: read from .*/disk of node[12]/\w{32}, after \d", training.read_text())) == 2
    assert re.search(r"data/val: read from .*/disk of node[12]/\w{32}, after \d", evaluation.read_text())


def test_a_move_to_a_cluster_trains_nothing_again(folder):
    """Where and on how many processes a run was trained is none of its settings."""
    for where in (ONE, TWO):
        call = ["--cores", "all", *HERE, *where, "--dry-run", "--", "results/smoke/scores/B_256_s0/dense"]
        done = forked(call, folder)
        assert "Nothing to be done" in done.stdout + done.stderr


READ = """
import sys
from pathlib import Path
from vggrepro.cli.options import Stage
with Stage(stage=sys.argv[1]).stores(Path(sys.argv[2]), workers=1) as (folder,):
    print("reads", folder)
"""


def test_every_node_has_a_copy_of_its_own_and_keeps_it(slurm, stores, tmp_path):
    (tmp_path / "read.py").write_text(READ)
    call = shlex.join([sys.executable, "read.py", f"{tmp_path}/disk of $SLURMD_NODENAME", str(stores[1])])

    def job(name: str, node: str) -> str:
        options = ["--wait", f"--nodelist={node}", f"--chdir={tmp_path}", f"--output={tmp_path}/{name}.log"]
        subprocess.run(["sbatch", *options, "--wrap", call], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
        text = (tmp_path / f"{name}.log").read_text()
        assert re.search(rf"^reads {re.escape(str(tmp_path))}/disk of {node}/\w{{32}}$", text, re.M)
        return text

    with ThreadPoolExecutor() as pool:
        first = list(pool.map(job, ("a", "b"), ("node1", "node2")))
    assert all("are copied to" in text for text in first)
    assert "are copied to" not in job("c", "node1")
