"""Every setting, changed, does to the findings about a table's cells what it declares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.oracles.records import SVM_NET, images_of, made_json, svm_images, svms_json, write_runs
from vggrepro.core.paths import ROOT
from vggrepro.judging.audit import Audit
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import Evaluation
from vggrepro.paper.tasks import TASKS
from vggrepro.settings.choices import departures
from vggrepro.settings.effects import effects
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import AuditFinding

EFFECTS = dict(effects(Settings))

OTHER_VALUES: dict[str, Any] = {
    "preset": None,
    "seeds": [1],
    "threads": 2,
    "staged": False,
    "localisation": False,
    "higher": "relative",
    "released": None,
    "ours": None,
    "imported": {"My net": {"file": str(ROOT / "README.md")}},
    "fusions": {"Fused": "D/[256;512]/256,384,512 + E/[256;512]/256,384,512"},
    "devkit": {"folder": str(ROOT)},
    "claims": {"mine": str(ROOT / "docs/examples/public-nets.yaml")},
    "labels": {"ReaL": str(ROOT / "README.md")},
    "validation": {"V2": str(ROOT)},
    "unstaged": {"glorot": str(ROOT)},
    "variants": {"Less decay": {"of": "C/256", "train": {"weight_decay": 1e-4}}},
    "tables": None,  # rows beside the paper's: tests/tables/test_own_tables.py
    "unprinted": ["scale-gap"],
    "downloads.folder": "elsewhere",
    "downloads.mirror": "http://mirror.example",
    "downloads.proxy": "http://proxy.example",
    "instructions": "avx2",
    "transfer.instructions": "avx2",
    "evaluate.instructions": "avx2",
    "data.layout": "tiny-imagenet",
    "data.path": str(ROOT),
    "data.encoding": "pixels",
    "data.rescaled": "jpeg",
    "data.classes": 100,
    "data.train_per_class": 100,
    "data.val_per_class": 10,
    "model.layers": None,  # of a variant alone: tests/settings/test_variants.py
    "model.scale_unit": 16,
    "model.width": 32,
    "model.fc": 512,
    "model.pooling": "ceil",
    "model.dropout": 0.2,
    "train.batch": 32,
    "train.epochs": 5,
    "train.learning_rate": 0.02,
    "train.momentum": 0.8,
    "train.weight_decay": 0.0,
    "train.drops": 2,
    "train.patience": 4,
    "train.stuck_epochs": 3,
    "train.drop_epochs": [1, 2, 3],
    "train.init": "glorot",
    "train.colour_std": 0.2,
    "train.flip": False,
    "train.on_device": True,
    "train.precision": "tf32",
    "train.compile": True,
    "finetune.epochs": 30,
    "finetune.learning_rate": 0.01,
    "finetune.drops": 1,
    "finetune.drop_epochs": [20],
    "localise.epochs": 30,
    "localise.learning_rate": 0.01,
    "localise.drops": 1,
    "localise.drop_epochs": [20],
    "boxes.target": "random",
    "boxes.min_inside": 0.5,
    "merge.match": "overlap",
    "merge.threshold": 0.5,
    "merge.top_k": 3,
    "merge.average": "members",
    "transfer.voc2007": str(ROOT),
    "transfer.voc2012": str(ROOT),
    "transfer.caltech101": str(ROOT),
    "transfer.caltech256": str(ROOT),
    "transfer.stand_in": True,
    "transfer.normalise": "before",
    "transfer.C": [1.0],
    "transfer.held_out": 0.3,
    "transfer.ap_2007": "area",
    "transfer.splits": 1,
    "transfer.caltech101_train": 5,
    "transfer.caltech101_test": 5,
    "transfer.caltech256_train": 5,
    "evaluate.average": "posteriors",
    "evaluate.crop_grid": "square",
    "evaluate.batch_pixels": 1_000_000,
    "evaluate.precision": "tf32",
    "evaluate.cpu_kernels": False,
}
"""Another value of every setting; None where a test of its own tries it: other presets, released nets, no nets."""

IMPLAUSIBLE: dict[str, Any] = {
    "train.patience": 1,
    "finetune.epochs": 5,
    "finetune.learning_rate": 0.5,
    "finetune.drops": 0,
    "finetune.drop_epochs": [1, 2, 3],
    "localise.epochs": 5,
    "localise.drops": 0,
    "localise.drop_epochs": [1],
    "boxes.min_inside": 0.9,
    "merge.threshold": 0.01,
    "merge.top_k": 5000,
    "transfer.C": [1e-9],
    "transfer.held_out": 0.9,
    "evaluate.precision": "bf16",
}
"""Of every choice with values that are not plausible, one that no reader of the paper could mean."""


def changed(key: str, values: Mapping[str, Any] = OTHER_VALUES) -> Settings:
    """The paper's settings with another value of one."""
    block, _, name = key.rpartition(".")
    value = values[key]
    return load_settings({block: {name: value}} if block else {key: value})


def audited(settings: Settings, folder: Path) -> dict[str, tuple[AuditFinding, ...]]:
    """What is found of faithful results under some settings, by what a cell shows."""
    classified, boxes = Run("E", "256-512"), Run("D", "256", objective="PCR")
    audit = Audit(write_runs(folder, settings, [classified, boxes, Run("D", "256-512"), Run("E", "256-512")]), settings)
    images = images_of(settings)[1]
    results = {}
    for name, evaluation in (
        ("dense", Evaluation(classified, "dense", 384)),
        ("crops", Evaluation(classified, "multi-crop", 384)),
        ("boxes", Evaluation(boxes, "dense", 256)),
    ):
        results[name] = audit.of_evaluation(folder / name, made_json(evaluation, settings, images), images)
    results["difference"] = audit.of_settings("difference")
    for task in TASKS:
        results[task] = audit.of_svms(
            folder / task / SVM_NET.name, svms_json(task, settings), svm_images(task, settings)
        )
    return results


@pytest.fixture(scope="module")
def papers(tmp_path_factory) -> dict[str, tuple[AuditFinding, ...]]:
    return audited(load_settings({}), tmp_path_factory.mktemp("paper"))


def test_another_value_of_every_setting_is_tried():
    assert set(OTHER_VALUES) == set(EFFECTS)


def test_the_papers_own_results_differ_nowhere(papers):
    assert [f for found in papers.values() for f in found if f.differs] == []


@pytest.mark.parametrize("key", [key for key, value in OTHER_VALUES.items() if value is not None])
def test_a_setting_departs_chooses_or_is_harmless_as_it_declares(key, tmp_path):
    differing = [f for found in audited(changed(key), tmp_path).values() for f in found if f.differs]
    kinds = {"departure" if finding.deviates else "choice" for finding in differing}
    effect = EFFECTS[key]
    allowed = {"harmless": set(), "choice": {"choice"}, "departure": {"departure", "choice"}}[effect.kind]
    assert kinds <= allowed, [(f.rule, f.choice) for f in differing]
    assert effect.kind == "harmless" or effect.kind in kinds
    assert {f.choice for f in differing if f.choice} <= {effect.number} | {7, 9, 10}
    assert bool(departures(changed(key))) == (effect.kind == "departure")


def test_an_implausible_value_of_every_choice_that_has_one_is_tried():
    assert set(IMPLAUSIBLE) == {key for key, effect in EFFECTS.items() if effect.plausible is not None}


@pytest.mark.parametrize("key", IMPLAUSIBLE)
def test_a_choice_that_the_paper_could_not_mean_departs_from_it(key, tmp_path):
    settings = changed(key, IMPLAUSIBLE)
    findings = [
        f for found in audited(settings, tmp_path).values() for f in found if f.differs and "plausible" in f.expected
    ]
    assert findings
    assert all(f.deviates and f"plausible: {key} of" in f.expected for f in findings)
    assert [name for name, *_ in departures(settings)] == [key]


def test_no_drop_at_fixed_epochs_is_as_implausible_as_a_number_of_none(tmp_path):
    settings = load_settings({"finetune": {"drop_epochs": []}})
    drops = [f for found in audited(settings, tmp_path).values() for f in found if f.rule == "drops" and f.differs]
    assert drops
    assert all((f.did, f.deviates) == ("learning-rate drops, at most: 0", True) for f in drops)


def test_a_setting_of_one_part_touches_no_other(tmp_path):
    def touched(key: str) -> set[str]:
        return {name for name, found in audited(changed(key), tmp_path / key).items() if any(f.differs for f in found)}

    assert touched("transfer.caltech101_test") == {name for name, task in TASKS.items() if task.data == "caltech101"}
    assert touched("localise.learning_rate") == touched("merge.threshold") == {"boxes"}
    assert touched("higher") == {"difference"}
    assert {"dense", "crops", "boxes"} <= touched("train.patience")
    assert touched("transfer.held_out") == {name for name, task in TASKS.items() if task.data != "voc2007"}


def test_what_the_paper_does_not_say_of_voc_is_a_choice_there_only(tmp_path):
    found = audited(changed("transfer.held_out"), tmp_path)
    assert [[f.choice for f in found[task] if f.differs] for task in ("caltech101", "voc2012")] == [[None], [10]]


@pytest.mark.parametrize("rates", [[[1, 0.01]], [[1, 0.01], [20, 0.001]]], ids=str)
def test_a_rate_that_drops_fewer_times_than_it_may_is_no_departure(rates, tmp_path):
    run, settings = Run("A", "256"), load_settings({})
    file = write_runs(tmp_path, settings, [run]) / run.name / "run.json"
    written = json.loads(file.read_text())
    written["record"]["rates"] = rates
    file.write_text(json.dumps(written))
    assert [f for f in Audit(tmp_path, settings).of_run(run) if f.differs] == []
