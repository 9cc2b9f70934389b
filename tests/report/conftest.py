"""Results that several tests of this room share."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.made_tables import table_with_outcomes
from vggrepro.core.files import write_json
from vggrepro.judging import ledger
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import needed_runs, table_evaluations, table_numbers
from vggrepro.report import export
from vggrepro.report.page import write_report
from vggrepro.scores import outcomes
from vggrepro.scores.stores import write_scores
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.tables import lineage, render

SEEDS = (0, 1)
MADE = {"commit": "c" * 40, "versions": {"python": "3"}, "processor": "a CPU", "at": "2026-01-02T03:04:05+00:00"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_run(folder: Path, run: Run) -> None:
    """What a training leaves, but for the weights."""
    parent = run.parent()
    about = {
        "run": run.name,
        "settings": {"train": {"init": "glorot", "batch": 16}},
        "parent": {"run": parent.name, "weights": sha(parent.name)} if parent else None,
        "data": {"train": sha("train"), "val": sha("val"), "data set": "made up", "images": 9},
        "initialised": ["conv1_1"] if parent else [],
        "record": {"classes": 6},
        "drops": [1],
        "epochs": 2,
        "seconds": 3.0,
        "attempts": [
            {
                "seconds": 3.0,
                "processes": 1,
                "pieces": 1,
                "device": "CPU",
                "joules": None,
                "peak_bytes": 9,
                "began": MADE["at"],
            }
        ],
        "device": "CPU",
        "weights": sha(run.name),
        "made": MADE,
    }
    write_json(folder / run.name / "run.json", about)
    lines = "epoch,loss,val_top1,images_per_s\n1,2.0,0.9,5\n2,1.0,0.8,5\n"
    (folder / run.name / "metrics.csv").write_text(lines)


@pytest.fixture(scope="session")
def settings(tmp_path_factory) -> Settings:
    """Of a data set, and of a file of somebody else, whose place nobody is to learn."""
    place = tmp_path_factory.mktemp("secret")
    theirs = {"Theirs": {"file": str(place / "theirs.npy")}}
    data = {"tiny_imagenet": str(place / "tiny-imagenet-200.zip"), "localisation": False}
    more = {"imported": theirs, "fusions": {"Both": "D/384/384 + Theirs"}}
    return load_settings({"smoke": True, "seeds": list(SEEDS)} | data | more)


@pytest.fixture(scope="session")
def results(tmp_path_factory, settings) -> Path:
    """A folder of results from made-up scores of 20 images, for two seeds: runs, scores, tables, report, export."""
    root, rng = tmp_path_factory.mktemp("results") / "smoke", np.random.default_rng(0)
    for run in needed_runs(table_numbers("scores"), SEEDS):
        write_run(root / "runs", run)
    labels = np.arange(20) % 6
    for e in {e: None for number in table_numbers("scores") for e in table_evaluations(number, SEEDS)}:
        about = {"run": e.run.name, "protocol": e.protocol, "Q": e.Q, "weights": sha(e.run.name), "data": sha("val")}
        about |= {"data set": "made up", "classes": 6, "device": "CPU", "seconds": 1.5, "made": MADE}
        posteriors = rng.dirichlet(np.ones(6), 20).astype(np.float32)
        write_scores(root / "scores" / e.path, posteriors, labels, [str(i) for i in range(20)], about)
    about = {"name": "Theirs", "file": "theirs.npy", "digest": sha("theirs"), "classes": 6, "made": MADE}
    about |= {"data": sha("val"), "data set": "made up"}
    theirs = root / "scores/imported/theirs"
    write_scores(theirs, posteriors, labels, [str(i) for i in range(20)], about)
    for number in table_numbers():
        made, of_images = table_with_outcomes(number, settings, root / "scores", imported=[theirs])
        render.write_table(made, root / "tables")
        outcomes.write_outcomes(root / "tables" / f"{made.name}.npz", of_images)
    trainings = [lineage.read_training(path) for path in root.glob("runs/*/run.json")]
    ledger.write_ledger(ledger.judge_claims(settings, root / "tables", trainings), root / "claims")
    write_report(
        settings,
        table_files=sorted((root / "tables").glob("*.json")),
        run_files=sorted((root / "runs").glob("*/run.json")),
        out=root / "report",
        claims=root / "claims/claims.json",
        results=root,
    )
    export.export_tidy_data(settings, root, root / "export")
    return root
