"""Parts of the DAG, run on other images, killed, and in hard places: each test makes a short run of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import list_again, real
from tests.workflow.planning import SMOKE, jobs, snakemake, snakemake_alone, top1
from vggrepro.core.paths import ROOT
from vggrepro.data import standin
from vggrepro.data.store import Store

OWN_TABLE = """
real:
  title: Do nets learn from real images?
  caption: The first net.
  keys: {net: net, S: train S, Q: test Q}
  values:
    top1: {heading: top-1 val. error (%), quantity: top-1}
"""


def test_the_smoke_run_on_real_images(tmp_path, variables):
    """Cut short, and of a table of the user's own: the other smoke run shows what is learnt, and all of the paper's tables."""
    zipped = real("tiny-imagenet-100.zip")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/tables.yaml").write_text(OWN_TABLE)
    (tmp_path / "mine/real.csv").write_text('net,S,Q,protocol,top1\nA,256,256,dense,-\nA,256,"224,256,288",dense,-\n')
    short = ("data={train_per_class: 60, val_per_class: 10}", "tables=mine")
    done = snakemake(tmp_path, "real", *SMOKE, f"tiny_imagenet={zipped}", *short, cores=2, variables=variables)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    folder = tmp_path / "results/smoke-tiny-imagenet"
    assert [run.name for run in (folder / "runs").iterdir()] == ["A_256_s0"]
    errors = top1(folder, "real")
    assert len(errors) == 2
    assert min(errors.values()) < 80, f"chance is 90%: {errors}"
    page = (folder / "tables/real.html").read_text(encoding="utf-8")
    assert "Measured on Tiny ImageNet, 100 validation images of 10 classes" in page


def test_a_snakemake_that_is_killed_goes_on_with_the_same_line(tmp_path):
    """Its training outlives it: the same line waits for that, keeps what it finished, and clears its state away."""
    start, target = [sys.executable, "-m", "snakemake"], "results/smoke/runs/A_256_s0/run.json"
    where = ["--snakefile", ROOT / "Snakefile", "--directory", tmp_path, "--cores", "2"]
    config = ["--config", "smoke=true", "data={train_per_class: 20}", "train={epochs: 40, drop_epochs: [39]}"]
    call = [*start, *where, *config, "--", target]
    log = tmp_path / "results/smoke/logs/train/A_256_s0.log"
    refusals = (([], "cannot be locked"), (["--nolock"], "another Snakemake is at work here"))
    with subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while not any((tmp_path / ".snakemake/locks").glob("*.output.lock")):
            assert first.poll() is None, "it ended before it had its lock"
            time.sleep(0.05)
        with ThreadPoolExecutor() as pool:
            calls = [[*start, *options, *call[len(start) :]] for options, _ in refusals]
            seconds = list(pool.map(lambda each: subprocess.run(each, capture_output=True, text=True), calls))
        for second, (_, message) in zip(seconds, refusals, strict=True):
            assert message in second.stdout + second.stderr
        while not (log.exists() and ": epoch 1/" in log.read_text()):
            assert first.poll() is None, "it ended before its training began"
            time.sleep(0.05)
        first.kill()
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "another process is at this very training: waiting for it to end" in log.read_text()
    about = json.loads((tmp_path / "results/smoke/runs/A_256_s0/run.json").read_text())
    assert (len(about["attempts"]), about["epochs"]) == (1, 40)
    assert not (tmp_path / "results/smoke/state/A_256_s0").exists()


def test_a_truncated_image_stops_before_any_training(tmp_path, variables):
    images = tmp_path / "images"
    standin.draw_data_set(images, train_per_class=20, val_per_class=10)
    broken = images / "val" / "images" / "val_9.JPEG"
    broken.write_bytes(broken.read_bytes()[:300])
    list_again(broken)  # it came so: no damage since it was listed
    given = (*SMOKE, f"tiny_imagenet={images}", "data={train_per_class: 20, val_per_class: 10}")
    done = snakemake(tmp_path, *given, cores=2, variables=variables)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"{broken.name} cannot be decoded" in output
    assert not (tmp_path / "results/smoke-tiny-imagenet/runs").exists()
    assert not (tmp_path / "results/smoke-tiny-imagenet/data/val").exists()
    shutil.copy(images / "val" / "images" / "val_8.JPEG", broken)
    list_again(broken)
    # a split a job: the other one may or may not have been made before this one failed
    assert jobs(snakemake(tmp_path, *given))["prepare"] in (1, 2)


def test_no_letter_of_a_path_runs_or_breaks_anything(tmp_path):
    """A data set, prepared, rescaled and trained on, below a name with all that a shell would trip over.

    But for a line break, which is refused: logs and lists of files have a name a line.
    """
    data = tmp_path / "a 'quoted' \"name\" $(touch evil) `touch evil` ; touch evil & näme"
    standin.draw_data_set(data, train_per_class=4, val_per_class=2)
    block = {
        "layout": "tiny-imagenet",
        "path": str(data),
        "train_per_class": 4,
        "val_per_class": 2,
        "rescaled": "pixels",
    }
    arguments = ("--config", "smoke=true", f"data={json.dumps(block)}", "train={epochs: 1, drop_epochs: null}")
    arguments += ("--", "results/smoke-tiny-imagenet/runs/A_256_s0/run.json")
    done = snakemake_alone(tmp_path, *arguments, "results/smoke-tiny-imagenet/verified/manifest.csv", cores=2)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert not list(tmp_path.rglob("evil"))
    refused = snakemake(tmp_path, *SMOKE, f"data={json.dumps(block | {'path': str(data) + chr(10)})}")
    assert "without line breaks" in refused.stdout + refused.stderr
    folder = tmp_path / "results/smoke-tiny-imagenet"
    assert Store(folder / "data/train-256").smallest == 32
    assert json.loads((folder / "runs/A_256_s0/run.json").read_text())["data"]["images"] == 40
