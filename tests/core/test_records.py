"""Records that were changed in one key: read, or refused with one message; never a traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vggrepro.core.records import CheckpointRecord, StoreRecord, TrainingRecord, read_released, typed_record
from vggrepro.diagnosis.digests import _circumstances
from vggrepro.report.page import _adopted_row, _training_row
from vggrepro.report.whatif_section import whatif_section
from vggrepro.settings.blocks import TrainSettings
from vggrepro.tables.lineage import read_training, stored_results
from vggrepro.training.processes import ALONE
from vggrepro.training.progress import TrainingProgress

MADE = {"commit": "0f", "versions": {"torch": "2"}, "processor": "a CPU", "at": "2026-01-01", "instructions": "avx2"}
PARENT = {"run": "A_256_s0", "weights": "ab"}
ATTEMPT = {
    "seconds": 1.0, "processes": 1, "pieces": 1, "device": "CPU", "peak_bytes": 9, "joules": None, "began": "2026-01-01"
}  # fmt: skip
TRAINING = {
    "run": "B_256_s0", "settings": {"train": {"init": "he", "epochs": 2}, "model": {"width": 8}, "boxes": None},
    "parent": PARENT, "data": {"train": "aa", "val": "bb", "data set": "drawn"}, "initialised": ["conv1_1"], "drops": [1],
    "epochs": 2, "iterations": 4, "seconds": 1.5, "attempts": [ATTEMPT], "device": "CPU", "weights": "cc", "made": MADE,
    "record": {"x": 1},
}  # fmt: skip
RELEASED = {
    "run": "D_256_s0", "file": "x.pth", "digest": "ab", "format": "torch", "weights": "cc", "made": MADE,
    "trained by": "others", "numbers": "fp32", "S": [256, 512],
    "reading": {"channels": "rgb", "input": "[0, 1]", "classes": "wnid", "full": "chw", "kernels": "x", "mean": [1.0, 2.0]},
    "checked": {"top-1 errors": 3, "images": 9}, "data": {"val": "bb", "data set": "drawn"},
}  # fmt: skip
EVALUATION = {
    "run": "B_256_s0", "weights": "cc", "protocol": "dense", "Q": 256, "data": "bb", "data set": "drawn", "classes": 10,
    "device": "CPU", "seconds": 2.0, "settings": {"crop": 1}, "record": {"mirrored": True}, "made": MADE,
    "classifier": None, "answers": "ab", "labelled by": {"B_256_s0/dense/256": "cc"},
}  # fmt: skip
SVMS = {
    "task": "voc2007", "nets": ["D"], "collection": "VOC", "data": "bb", "classes": ["a", "b"], "counted": ["a"],
    "measure": "area", "part": "test", "C": [1.0], "C from": [0.1, 1.0], "submission": False, "made": MADE,
    "features": [{"run": "B_256_s0", "name": "voc2007", "weights": "cc", "scales": [256]}],
}  # fmt: skip
STORE = {
    "wnids": ["n1"], "images": 4, "encoding": "pixels", "blacklisted": ["x"], "digest": "ab", "data set": "drawn",
    "words": {"n1": "fish"}, "smallest": None,
    "colours": {"mean": [1.0], "eigenvalues": [1.0], "eigenvectors": [[1.0]]},
}  # fmt: skip
STATE = {
    "identity": {"run": "B_256_s0", "settings": {"train": {"epochs": 2}}},
    "about": {
        "iteration": 3, "schedule": {"drops": [1], "best": 0.5, "waited": 0, "finished": False},
        "part": {"epoch": 2, "batches": 1, "seen": 16, "seconds": 0.5, "sums": [1.0, 2.0, 16.0]},
        "rows": [{"loss": 1.0, "epoch": 1}], "attempts": [ATTEMPT],
        "first_steps": [{"loss": 1.0, "norms": {"conv1_1.weight": [1.0, 2.0, 3.0]}}],
    },
}  # fmt: skip
WHATIF = {
    "images": 4, "z": 1.96, "trainings": [0.1, 0.1], "seed": 0, "seeds": 1,
    "evaluations": [{"run": "B/256", "protocol": "dense", "Q": 256}],
    "rows": [{"table": "3", "name": "B/256/256, dense", "published": [1.0, None], "weights": [1], "wrong": [1, 0]}],
    "closeness": {"rows": 1, "random": 9, "members": 2, "largest": {"top-1": 0.0}, "mean": {"top-1": 0.0}},
    "settled": [0, 0], "pairs": 3, "bits": 32, "open": "AAAA", "margins": "AAAA", "made": MADE,
}  # fmt: skip
WRONG = (None, True, -1, 1.5, 1e308, "", "x", "\x1b", [], [None], [[]], {}, {"x": None}, ...)
"""What a value is replaced by; `...` takes its key away."""


def _results(file: Path) -> None:
    for result in stored_results(file.parents[4]).values():
        _circumstances(result.about)
        assert set(result.runs) == set(result.weights)


def _progress(file: Path) -> None:
    state = typed_record(file, kind=CheckpointRecord)
    TrainingProgress.from_json(state["about"], TrainSettings(), ALONE, file)


KINDS: dict[str, tuple[dict[str, Any], Callable[[Path], object]]] = {
    "runs/B_256_s0/run.json": (TRAINING, lambda file: _training_row(read_training(file))),
    "runs/D_256_s0/adopted.json": (RELEASED, lambda file: _adopted_row(read_released(file))),
    "scores/B_256_s0/dense/256/made.json": (EVALUATION, _results),
    "transfer/a/b/c/made.json": (SVMS, _results),
    "state/B_256_s0/000000003/state.json": (STATE, _progress),
    "whatif/whatif.json": (WHATIF, whatif_section),
    "data/train/store.json": (STORE, lambda file: typed_record(file, ("wnids", "colours"), kind=StoreRecord)),
}
"""Good records by their places, and what reads them."""


def changed(record: Any) -> Iterator[Any]:
    """The record with every key, at every depth, replaced by every wrong value."""
    keys = list(record) if isinstance(record, dict) else range(len(record))
    for key in keys:
        for wrong in WRONG:
            other = copy.deepcopy(record)
            if wrong is ...:
                del other[key]
            else:
                other[key] = wrong
            yield other
        if isinstance(record[key], dict | list):
            for inner in changed(record[key]):
                other = copy.deepcopy(record)
                other[key] = inner
                yield other


@pytest.mark.parametrize("name", KINDS)
def test_a_changed_record_is_read_or_refused_with_one_message_that_names_it(tmp_path, name):
    record, read = KINDS[name]
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    row = "epoch,learning_rate,loss,images_per_s,val_top1\n1,0.1,2.0,10,0.5\n"
    file.with_name("metrics.csv").write_text(row)
    file.write_text(json.dumps(record))
    read(file)
    tried = refused = 0
    messages = set()
    for other in changed(record):
        file.write_text(json.dumps(other))
        tried += 1
        try:
            read(file)
        except ValueError as error:
            refused += 1
            messages.add(str(error))
    assert [message for message in messages if str(file) not in message] == []
    assert tried >= 156
    assert refused > tried / 3


@pytest.mark.parametrize("text", ["", "[", "null", "[]", "3", '"run"', "\xff", '{"run": ' + "[" * 5000])
def test_what_is_no_record_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"run\.json"):
        typed_record(tmp_path / "run.json", kind=TrainingRecord)


def test_of_many_wrong_values_a_few_are_named(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(TRAINING | {"attempts": [{}] * 50}))
    with pytest.raises(ValueError, match=r"attempts\.0\..*attempts\.0\..*attempts\.0\..*and 347 more") as refused:
        typed_record(tmp_path / "run.json", kind=TrainingRecord)
    assert len(str(refused.value)) < 1000
