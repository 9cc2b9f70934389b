"""Variants trained for real: what they begin with, what their nets are made of, and that their records say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vggrepro.core.devices import set_cpu_arithmetic
from vggrepro.evaluation.evaluate import evaluate_run
from vggrepro.judging.audit import Audit
from vggrepro.paper.runs import Run
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.training.train import train_run

SETTINGS = {
    "smoke": True,
    "model": {"width": 4, "fc": 16, "dropout": 0.5},
    "train": {"batch": 48, "epochs": 1, "drop_epochs": [], "learning_rate": 1e-4},
    "finetune": {"epochs": 1, "drop_epochs": []},
}
SMALL = [64, "BN", "M", 128, "BN", "M", 256, "M", 256, "M", 256, "M"]
VARIANTS = {
    "no stages": {"of": "B/256", "from": "nothing"},
    "own net": {"of": ["B/256", "D/384"], "net": SMALL},
    "average": {"of": "B/256", "net": [64, "LRN", "M", 64, "M", 64, "M", 64, "M", 64, "M", "GAP"]},
    "from it": {"of": "C/256", "from": "B (own net)/256"},
    "order": {"of": "A/256", "evaluate": {"average": "posteriors"}},
}


@pytest.fixture(scope="module")
def trained(stores, tmp_path_factory) -> tuple[Settings, Path]:
    """A, and the variants that begin with nothing, with A, or with one of them."""
    set_cpu_arithmetic(1)
    settings, folder = load_settings(SETTINGS | {"variants": VARIANTS}), tmp_path_factory.mktemp("runs")
    for run in (Run("A", "256"), Run("D", "256"), *settings.variant_runs):
        if settings.trained_as(run) == run:
            parent = settings.parent(run)
            train_run(
                run,
                settings.for_run(run),
                train_folder=stores[0],
                val_folder=stores[1],
                initial_weights=folder / parent.name / "weights.safetensors" if parent else None,
                out=folder / run.name,
                device=torch.device("cpu"),
                workers=0,
            )
    return settings, folder


@pytest.mark.trains
def test_the_record_of_a_variant_is_as_it_declares(trained):
    settings, folder = trained
    audit = Audit(folder, settings)
    for run in settings.variant_runs:
        if settings.trained_as(run) == run:
            audit.of_run(run)
    began = {finding.did for finding in audit.of_run(Run("C", "256", variant="from-it")) if finding.rule == "parent"}
    assert began == {"initialised from B_256_own-net_s0"}


@pytest.mark.trains
@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("B_256_no-stages_s0", []),
        ("B_256_own-net_s0", ["conv1_1", "conv2_1", "conv3_1", "fc7", "fc8"]),
        ("B_256_average_s0", ["conv1_1"]),
        ("C_256_from-it_s0", ["conv1_1", "conv2_1", "conv3_1", "fc7", "fc8"]),
    ],
)
def test_a_variant_takes_from_its_parent_what_fits(trained, name, layers):
    record = json.loads((trained[1] / name / "run.json").read_text())
    assert record["record"]["lent"] == layers


@pytest.mark.trains
def test_a_variant_under_other_settings_than_its_record_is_refused(trained):
    _, folder = trained
    other = load_settings(SETTINGS | {"variants": VARIANTS | {"no stages": {"of": "B/256", "from": "D/256"}}})
    with pytest.raises(
        ValueError, match=r"B_256_no-stages_s0.*settings\.begins is nothing, but the table's settings say D_2"
    ):
        Audit(folder, other).of_run(Run("B", "256", variant="no-stages"))


@pytest.mark.trains
def test_what_is_only_tested_otherwise_is_tested_with_the_weights_of_the_run_that_it_varies(trained, stores, tmp_path):
    settings, folder = trained
    run = Run("A", "256", variant="order")
    weights, options = folder / "A_256_s0" / "weights.safetensors", {"device": torch.device("cpu"), "workers": 0}
    evaluate_run(
        run,
        "dense",
        (256,),
        settings.of(run).evaluate,
        weights_file=weights,
        val_folder=stores[1],
        out=tmp_path,
        **options,
    )
    written = json.loads((tmp_path / "256" / "made.json").read_text())
    assert (written["run"], written["settings"]["average"]) == ("A_256_order_s0", "posteriors")
    found = {
        finding.rule: finding.did for finding in Audit(folder, settings).of_evaluation(tmp_path / "256", written, 40)
    }
    assert found["order"] == "averaged over space: posteriors"
