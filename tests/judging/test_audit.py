"""What was done against the paper and against the settings: each rule finds what breaks it, and nothing undeclared passes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.oracles.records import made_json, run_json, write_runs
from vggrepro.judging.audit import Audit, findings, promised_of_test
from vggrepro.judging.footnotes import ALL, footnotes
from vggrepro.judging.records import (
    EvaluationRecord,
    TrainingRecord,
    evidence_of_svms,
    evidence_of_test,
    evidence_of_training,
)
from vggrepro.paper.protocol import (
    PROTOCOL_FILE,
    STAGES,
    DrawnRange,
    Ends,
    Exactly,
    Expected,
    Items,
    OneOf,
    Range,
    Rule,
    SampleSpread,
    protocol_rules,
)
from vggrepro.paper.runs import Evaluation, Run
from vggrepro.paper.tables import MEASURED, TRANSFER, published_table, table_evaluations
from vggrepro.paper.tasks import TASKS
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings

PAPER = load_settings({})
RUNS = {
    "scratch": Run("D", "256"),
    "384": Run("D", "384"),
    "jitter": Run("D", "256-512"),
    "localisation": Run("D", "256", objective="PCR"),
}
EVALUATIONS = {
    "dense": Evaluation(Run("D", "256"), "dense", 256),
    "multi-crop": Evaluation(Run("D", "256"), "multi-crop", 256),
    "centre-crop": Evaluation(Run("D", "256"), "centre-crop", 256),
    "boxes": Evaluation(RUNS["localisation"], "dense", 256),
    "features": Evaluation(Run("D", "256"), "dense", 256),
}
ALL_RULES = [
    (about, rule, stage) for about, held in protocol_rules().items() for rule in held for stage in STAGES[about]
]
HELD = [(about, rule, stage) for about, rule, stage in ALL_RULES if rule.expected(stage, Run("D", "256")) is not None]


def evidence(about: str, stage: str, settings: Settings = PAPER) -> dict[str, Any]:
    """What a faithful run, evaluation or SVM of the paper's would show."""
    if about == "training":
        said = run_json(RUNS[stage], settings)
        return evidence_of_training(said, TrainingRecord.model_validate_json(json.dumps(said["record"])))
    if about == "evaluation":
        made = made_json(EVALUATIONS[stage], settings, 50_000)
        shown = EvaluationRecord.model_validate_json(json.dumps(made["record"]))
        return evidence_of_test(made, shown, 50_000, settings.model, (256,))
    if about == "merging":
        return settings.merge.model_dump()
    train = {"caltech101": [30], "caltech256": [60]}.get(stage, [])
    classes = ["x"] * TASKS[stage].classes
    made = {"C from": list(settings.transfer.C), "measure": "11-point", "classes": classes, "C": [1.0] * 3}
    return evidence_of_svms(made | {"settings": flat_transfer(settings), "trained on": train})


def flat_transfer(settings: Settings) -> dict[str, Any]:
    return settings.transfer.model_dump(mode="json")


def broken(expected: Expected, value: Any) -> Any:
    """A value that an expectation must not hold for, made from the expectation itself."""
    match expected:
        case DrawnRange(low=low, high=high):
            return Ends(low + 40, high + 40, 0)
        case Range(high=high):
            return high + 1
        case OneOf():
            return "something else"
        case Items(items=items):
            return [*items, "one more"]
    usual = expected.value
    if isinstance(value, SampleSpread):
        return SampleSpread(usual + 10 * value.error + 0.01, value.error)
    if isinstance(usual, bool) or not isinstance(usual, int | float):
        return not usual if isinstance(usual, bool) else "something else"
    return 2 * usual + 1


def named(case: Any) -> str:
    return f"{case[1].id}-{case[2]}"


@pytest.mark.parametrize("case", HELD, ids=map(named, HELD))
def test_a_rule_finds_what_breaks_it_and_nothing_else(case):
    about, rule, stage = case
    run, kept = RUNS.get(stage), evidence(about, stage)
    expected = rule.expected(stage, run)
    assert expected.holds(kept[rule.field]), "what the paper did keeps the rule"
    changed = kept | {rule.field: broken(expected, kept[rule.field])}
    found = [f for f in findings(changed, [rule], stage, about="it", run=run) if f.differs]
    assert [(f.rule, f.kind, f.deviates) for f in found] == [(rule.id, rule.kind, rule.kind == "paper")]
    other = [r.id for r in protocol_rules()[about] if r.field != rule.field]
    also = findings(changed, protocol_rules()[about], stage, about="it", run=run)
    assert not {f.rule for f in also if f.differs} & set(other)
    with pytest.raises(ValueError, match=f"it: no {rule.field} in its record, which rule {rule.id}"):
        findings({k: v for k, v in kept.items() if k != rule.field}, [rule], stage, about="it", run=run)


def test_every_rule_holds_somewhere_and_every_silence_is_numbered():
    assert {rule.id for _, rule, _ in HELD} == {rule.id for _, rule, _ in ALL_RULES}
    numbers = {rule.choice for _, rule, _ in ALL_RULES if rule.choice}
    assert numbers == {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12}, "8 is how a printed difference is read: no run's matter"


@pytest.mark.parametrize("number", MEASURED)
def test_the_paper_preset_keeps_the_papers_protocol(number, tmp_path):
    """Without a finding other than choices at their defaults: what settings promise and what rules expect agree."""
    if number in TRANSFER:
        runs = [run for row in published_table(number).rows for run in row.members]
    else:
        runs = [e.run for e in table_evaluations(number)]
    audit = Audit(write_runs(tmp_path, PAPER, runs), PAPER)
    found = [finding for run in runs for finding in audit.of_run(run)]
    assert found
    assert [finding for finding in found if finding.differs] == []


@pytest.mark.parametrize("preset", ["smoke", "tiny"])
def test_other_presets_deviate_as_they_say(preset, tmp_path):
    settings = load_settings({"preset": preset})
    run = Run("D", "256-512", "fc")
    audit = Audit(write_runs(tmp_path, settings, [run]), settings)
    found = {finding.rule: finding for finding in audit.of_run(run) if finding.differs}
    assert {"crop", "train-images", "data-set", "length", "iterations"} <= set(found)
    assert found["crop"].shows.format(found["crop"].did) == "crop of 56 px"
    assert found["length"].about == "A_256_s0", "it comes down from the first of its ancestors"
    assert found["length-later"].kind == "choice"


def test_what_an_ancestor_did_touches_its_children(tmp_path):
    """The audit of E tells what A did: momentum of A alone is another."""
    settings = load_settings({"smoke": True})
    audit = Audit(write_runs(tmp_path, settings, [Run("E", "384")]), settings)
    abouts = {finding.about for finding in audit.of_run(Run("E", "384"))}
    assert abouts == {"E_384_s0", "E_256_s0", "A_256_s0"}


def tamper(folder: Path, run: Run, *keys: str, value: Any) -> None:
    file = folder / run.name / "run.json"
    said = json.loads(file.read_text())
    *path, last = keys
    inner = said
    for key in path:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    file.write_text(json.dumps(said))


TAMPERED = {
    ("record", "batch"): (32, "batch is 32, but train.batch says 16"),
    ("record", "momentum"): ([0.9, 0.5], r"momentum is 0.9, 0.5, but train.momentum says 0.9"),
    ("record", "weight_decay"): ([0.0], "weight_decay is 0, but train.weight_decay says 0.0005"),
    ("record", "rates"): ([[1, 0.001]], "drops is none, but train.drop_epochs says 5"),
    ("record", "iterations"): (7, "record.iterations: expected 750, got 7"),
    ("epochs",): (5, "epochs is 5, but train.epochs says 6"),
    ("record", "precision"): (["bf16"], "precision is bf16, but train.precision says fp32"),
    ("record", "crop"): ([224], "crop is 224, but model.scale_unit says 56"),
    ("record", "S"): ([96, 96], r"S is 384, but the run's name says 256"),
    ("record", "flipped"): (0.0, "flipped is 0, but train.flip says 0.5"),
    ("record", "colour_std"): (0.3, "colour_std is 0.3, but train.colour_std says 0.1"),
    ("record", "dropout"): (0.5, "dropout is 0.5, but model.dropout says 0.2"),
    ("record", "init"): ("normal-0.1", "init is normal-0.1, but train.init says glorot"),
    ("record", "lent_by"): ("E_256_s0", "parent is E_256_s0, but staged says A_256_s0"),
    ("record", "still"): (["conv1_1"], "moved is .*, but the run's name says all"),
    ("record", "train_images"): (9_000, "train_images is 9,000, but data.train_per_class says 1 to 2,000"),
    ("record", "data_set"): ("ILSVRC-2012", "data_set is ILSVRC-2012, but data.layout says stand-in"),
    ("record", "images"): (100, "every_image_once: every image once an epoch: no, expected yes"),
    ("record", "mean"): ([[0.0, 0.0, 0.0]], "mean_error: mean RGB off by 123.7"),
    ("record", "pixels"): ([-2.1, 2.6], "pixel_span: pixel values that span 4.7"),
    ("record", "optimiser"): ("Adam", "optimiser: optimiser Adam, expected SGD"),
    ("record", "biases"): (0.1, "biases: biases begin at 0.1, expected 0"),
    ("record", "net", "layers"): (["BatchNorm2d", "Conv2d"], "layers: layers of the kinds BatchNorm2d, Conv2d"),
    ("record", "net", "width"): (64, "width is 64, but model.width says 8"),
    ("record", "net", "pooling"): ("ceil", "pooling is ceil, but model.pooling says floor"),
    ("settings", "train", "batch"): (256, "settings.train.batch is 256, but the table's settings say 16"),
    ("parent", "weights"): (
        "others",
        r"parent.weights: began with others, but .*A_256_s0/run.json now has weights of A",
    ),
    ("run",): ("E_256_s0", "run: expected D_256_s0, got E_256_s0"),
    ("record",): (None, "record: there is none of what this training did: it is older .* train D_256_s0 again"),
    ("record", "pieces"): (None, "record: pieces is missing"),
    ("record", "speed"): (3, "record: no key is called 'speed'"),
}


@pytest.mark.parametrize("keys", TAMPERED, ids=".".join)
def test_an_undeclared_deviation_stops(keys, tmp_path):
    settings, run = load_settings({"smoke": True}), Run("D", "256")
    write_runs(tmp_path, settings, [run])
    assert Audit(tmp_path, settings).of_run(run)
    value, said = TAMPERED[keys]
    tamper(tmp_path, run, *keys, value=value)
    with pytest.raises(ValueError, match=f"run.json: {said}"):
        Audit(tmp_path, settings).of_run(run)
    with pytest.raises(ValueError, match="D_256_s0/run.json"):
        Audit(tmp_path, settings).of_run(Run("D", "384")) if write_child(tmp_path, settings) else None


def write_child(folder: Path, settings: Settings) -> bool:
    child = folder / "D_384_s0" / "run.json"
    child.parent.mkdir()
    child.write_text(json.dumps(run_json(Run("D", "384"), settings)))
    return True


def test_an_unknown_value_stops(tmp_path):
    settings, run = load_settings({"smoke": True}), Run("A", "256")
    write_runs(tmp_path, settings, [run])
    tamper(tmp_path, run, "record", "precision", value=["fp8"])
    with pytest.raises(ValueError, match=r"run.json: record: precision.0: .*'fp32', 'tf32' or 'bf16', got 'fp8'"):
        Audit(tmp_path, settings).of_run(run)


def test_a_run_that_is_not_there_stops(tmp_path):
    with pytest.raises(ValueError, match=r"A_256_s0/run.json: no such file.*train A_256_s0"):
        Audit(tmp_path, load_settings({})).of_run(Run("A", "256"))


def test_an_adopted_net_has_weights_and_no_findings(tmp_path):
    run, settings = Run("D", "256-512"), load_settings({})
    (tmp_path / run.name).mkdir()
    (tmp_path / run.name / "adopted.json").write_text(json.dumps({"run": run.name, "weights": "theirs"}))
    audit = Audit(tmp_path, settings)
    assert audit.of_run(run) == ()
    audit.check_weights(run, "theirs", Path("made.json"), "again")
    with pytest.raises(ValueError, match=r"expected theirs, those that .*adopted.json"):
        audit.check_weights(run, "ours", Path("made.json"), "again")


def test_tf32_is_leave_and_fp32_keeps_it(tmp_path):
    settings, run = load_settings({"train": {"precision": "tf32"}}), Run("A", "256")
    write_runs(tmp_path, settings, [run])
    assert [f.rule for f in Audit(tmp_path, settings).of_run(run) if f.deviates] == ["precision"]
    tamper(tmp_path, run, "record", "precision", value=["fp32"])
    assert [f.rule for f in Audit(tmp_path, settings).of_run(run) if f.deviates] == []


def evaluated(tmp_path: Path, declared: Settings, **changes: Any) -> Any:
    evaluation = EVALUATIONS["dense"]
    write_runs(tmp_path / "runs", declared, [evaluation.run])
    made = made_json(evaluation, declared, 400)
    inner = made["record"] if set(changes) <= set(made["record"]) else made
    inner |= changes
    return Audit(tmp_path / "runs", declared).of_evaluation(tmp_path / "scores" / evaluation.path, made, 400)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"weights": "others"},
            "made.json: weights: expected weights of D, those that .*D_256_s0/run.json.*got others",
        ),
        ({"views": {"64": 400}}, "made.json: views: 1 views of an image, expected 2"),
        ({"views": {"56": 800}}, "made.json: views: 0 views of an image, expected 2"),
        ({"mirrored": False}, "made.json: mirrored: mirror image with every view: no, expected yes"),
        ({"pixels": [-2.0, 2.0]}, "made.json: pixel_span: pixel values that span 4"),
        ({"precision": ["tf32"]}, "made.json: precision is tf32, but evaluate.precision says fp32"),
        (
            {"settings": {"average": "posteriors", "crop_grid": "whole"}},
            "settings.average is posteriors, but evaluate.average",
        ),
        ({"data set": "ILSVRC-2012"}, "data_set is ILSVRC-2012, but data.layout says stand-in"),
        ({"record": {}}, "made.json: record: views is missing"),
    ],
    ids=str,
)
def test_an_evaluation_that_was_otherwise_stops(changes, said, tmp_path):
    settings = load_settings({"smoke": True})
    assert evaluated(tmp_path / "kept", settings)
    with pytest.raises(ValueError, match=said):
        evaluated(tmp_path, settings, **changes)


def test_a_declared_choice_is_a_finding_of_its_evaluation(tmp_path):
    settings = load_settings({"smoke": True, "evaluate": {"average": "posteriors", "precision": "bf16"}})
    found = {f.rule: f for f in evaluated(tmp_path, settings)}
    assert (found["order"].differs, found["order"].deviates) == (True, False)
    assert found["test-precision"].deviates
    assert found["order"].touches == ("top-1", "top-5")


def test_every_promise_of_a_test_is_in_its_evidence():
    for stage in STAGES["evaluation"]:
        assert set(promised_of_test(PAPER, stage)) <= set(evidence("evaluation", stage))


@pytest.mark.trains
def test_real_trainings_and_evaluations_did_what_their_settings_say(stores, tmp_path):
    """From A to the D whose FC layers alone move, to boxes, and to scores: measured, and not a word undeclared."""
    import torch

    from vggrepro.evaluation.evaluate import evaluate
    from vggrepro.training.train import train_run

    torch.set_num_threads(1)
    small = {"batch": 48, "epochs": 2, "drop_epochs": [1], "learning_rate": 0.001}
    settings = load_settings(
        {"smoke": True, "model": {"width": 4, "fc": 32, "dropout": 0.5}, "train": small}
        | {stage: {"epochs": 1, "drop_epochs": []} for stage in ("finetune", "localise")}
    )
    where = {"train_folder": stores[0], "val_folder": stores[1], "device": torch.device("cpu"), "workers": 0}
    chain = ["A_256_s0", "D_256_s0", "D_384_s0", "D_256-512_fc_s0", "D_384_pcr_s0"]
    for name in chain:
        run = Run.parse(name)
        parent = run.parent()
        file = tmp_path / parent.name / "weights.safetensors" if parent else None
        train_run(run, settings.for_run(run), **where, parent_file=file, out=tmp_path / name)
    audit = Audit(tmp_path, settings)
    found = {finding.rule: finding for name in chain for finding in audit.of_run(Run.parse(name))}
    assert (found["batch"].did, found["length"].did, found["drops"].did) == ("48", "2", "1")
    assert {"momentum", "moved", "scale", "flip", "colour", "mean", "pixels", "parent", "every-image"} & set(
        found
    ) == set()
    evaluation = Evaluation(Run("A", "256"), "multi-crop", 384)
    where = {"weights_file": tmp_path / "A_256_s0" / "weights.safetensors", "val_folder": stores[1]}
    how = {"device": torch.device("cpu"), "workers": 0, "out": tmp_path / "scores"}
    evaluate(evaluation.run, "multi-crop", (256, 384), settings.evaluate, **where, **how)
    made = json.loads((tmp_path / "scores" / "384" / "made.json").read_text())
    assert {f.rule for f in audit.of_evaluation(tmp_path / "scores" / "384", made, 40) if f.about != "A_256_s0"} == {
        "test-images",
        "test-data",
        "grid",
    }


# Footnotes


def finding(rule: str, did: str, kind: str = "paper", differs: bool = True) -> Any:
    about = Rule.model_validate_json(
        json.dumps(
            {"id": rule, "section": "3", "says": "x", "field": rule, "shows": f"{rule} {{}}", "kind": kind}
            | {"expect": {"every": "it"}}
            | ({"choice": 7} if kind == "choice" else {})
        )
    )
    value = did if differs else "it"
    return findings({rule: value}, [about], "scratch", about="run")[0]


def test_what_touches_the_same_cells_is_one_footnote():
    batch, crop, later = finding("batch", "16"), finding("crop", "56"), finding("later", "4", "choice")
    cells = {"1": {batch, crop}, "2": {batch, crop, later}, "3": {batch, crop, later}}
    marks, texts = footnotes(cells)
    assert marks == {"1": (ALL,), "2": (ALL, "a"), "3": (ALL, "a")}
    assert dict(texts)["a"] == "Choices, not the default: later 4 (choice 7: it)."
    said = dict(texts)[ALL].removeprefix("Not as in the paper: ").removesuffix(".")
    assert sorted(said.split(", ")) == ["batch 16 (it)", "crop 56 (it)"]


def test_a_choice_at_its_default_is_no_footnote():
    assert footnotes({"1": {finding("a", "it", "choice", differs=False)}}) == ({"1": ()}, ())


def test_values_of_several_runs_are_named_together():
    cells = {"1": {finding("length", "58")}, "2": {finding("length", "61")}}
    assert footnotes(cells) == ({"1": (ALL,), "2": (ALL,)}, ((ALL, "Not as in the paper: length 58 or 61 (it)."),))
    many = {str(i): {finding("length", str(i))} for i in range(9)}
    assert footnotes(many)[1] == ((ALL, "Not as in the paper: length 9 different values (it)."),)


# The file of rules


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "law"}, "training, rule batch: kind: .*'paper' or 'choice', got 'law'"),
        ({"field": ""}, "rule batch: field"),
        ({"colour": 1}, "rule batch: no key is called 'colour'"),
        ({"expect": {}}, "rule batch: .*expected a value for a stage"),
        ({"expect": {"later": 1}}, "rule batch: expect: no stage is called later: expected every or scratch"),
        ({"expect": {"every": {"form": 1}}}, "rule batch: .*expected a value, a list"),
        ({"choice": 7}, "rule batch: choice: a rule of the kind choice has a number"),
        ({"choice": 13}, "rule batch: choice: .*got 13"),
        ({"shows": "batch"}, "rule batch: shows: expected one {}"),
        ({"touches": ["speed"]}, "rule batch: touches.*got 'speed'"),
        ({"id": "momentum"}, "rule momentum: id: there are two rules of this name"),
    ],
    ids=str,
)
def test_a_wrong_rule_is_named(change, said, tmp_path):
    read = yaml.safe_load(PROTOCOL_FILE.read_text())
    at = next(i for i, rule in enumerate(read["training"]) if rule["id"] == "batch")
    read = copy.deepcopy(read)
    read["training"][at] |= change
    file = tmp_path / "protocol.yaml"
    file.write_text(yaml.safe_dump(read))
    with pytest.raises(ValueError, match=f"protocol.yaml: training, {said.removeprefix('training, ')}"):
        protocol_rules(file)


def test_a_file_that_is_no_rules_is_named(tmp_path):
    (tmp_path / "p.yaml").write_text("training: []")
    with pytest.raises(
        ValueError, match=r"p.yaml: expected the keys training, evaluation, merging, transfer, got \['training'\]"
    ):
        protocol_rules(tmp_path / "p.yaml")


def test_forms_hold_as_they_say():
    assert Exactly(0.1).holds([0.1, 0.1 + 1e-12])
    assert not Exactly(0.1).holds([0.1, 0.2])
    assert Exactly(0.5).holds(SampleSpread(0.52, 0.005))
    assert not Exactly(0.5).holds(SampleSpread(0.53, 0.005))
    assert not Exactly(True).holds(False)
    assert DrawnRange(256, 512).holds(Ends(260, 508, 5))
    assert not DrawnRange(256, 512).holds(Ends(250, 512, 5))
    assert not DrawnRange(256, 512).holds(Ends(256, 400, 5))
    assert Items((2, 5)).holds([2.0, 5.0])
    assert not Items(()).holds(["fc8"])
