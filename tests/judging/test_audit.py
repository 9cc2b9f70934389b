"""What was done against the paper and against the settings: each rule finds what breaks it, and nothing undeclared passes."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.oracles.records import SVM_NET, features_json, made_json, run_json, svm_images, svms_json, write_runs
from vggrepro.core.records import ReleasedRecord, check_types
from vggrepro.judging.audit import Audit, Source, compared, findings, read_record
from vggrepro.judging.values import EFFECTS, declaration, training_recipes, value_of
from vggrepro.paper.protocol import SILENT, STAGES, SampleEstimate, holds, protocol_rules, rules_by_id
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import Evaluation
from vggrepro.paper.tables import published_table, table_evaluations, table_numbers
from vggrepro.paper.tasks import TASKS
from vggrepro.settings.blocks import ReleaseSettings
from vggrepro.settings.effects import HARMLESS
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.settings.variant_settings import initial_layers
from vggrepro.tables.cells import AuditFinding

PAPER = load_settings({})
RUNS = {
    "scratch": Run("D", "256"),
    "384": Run("D", "384"),
    "jitter": Run("D", "256-512"),
    "localisation": Run("D", "256", objective="PCR"),
}
EVALUATIONS = {
    "images": Evaluation(Run("D", "256"), "dense", 256),
    "dense": Evaluation(Run("D", "256"), "dense", 256),
    "multi-crop": Evaluation(Run("D", "256"), "multi-crop", 256),
    "centre-crop": Evaluation(Run("D", "256"), "centre-crop", 256),
    "boxes": Evaluation(RUNS["localisation"], "centre-crop", 256),
    "dense boxes": Evaluation(RUNS["localisation"], "dense", 256),
    "features": Evaluation(Run("D", "256"), "dense", 256),
}
RELEASED = Run("D", "256-512")
SOURCE = Source("it.json", "it", "make it again")
EXPECTING = [
    (section, rule, stage)
    for section, rules in protocol_rules().items()
    for rule in rules
    for stage in STAGES[section]
    if rule.expected(stage, RELEASED if section == "released" else RUNS["scratch"]) != SILENT
]


def document(section: str, stage: str, settings: Settings = PAPER) -> dict[str, Any]:
    """What a training, an evaluation, or SVMs leave that did as the settings say."""
    if section == "released":
        return {"trained by": "the authors", "numbers": "fp32", "S": [256, 512], "file": "d.caffemodel"}
    if section == "transfer":
        return svms_json(stage, settings) | {"images": svm_images(stage, settings), "folder": SVM_NET.name}
    if section == "training":
        return run_json(RUNS[stage], settings)
    if section in ("images", "evaluation"):
        written = made_json(EVALUATIONS[stage], settings, 50_000) | {"images": 50_000, "Q": [256]}
        return written if section == "evaluation" else {key: value for key, value in written.items() if key != "record"}
    return {}


def source_of(written: dict[str, Any]) -> Source:
    return replace(SOURCE, document=written)


def broken(expected: Any, value: Any) -> Any:
    """A value that is not as expected."""
    match expected:
        case {"to": high}:
            return high + 1
        case list() if isinstance(value[0] if value else None, SampleEstimate):
            return [replace(end, low=end.low + 40, high=end.high + 40) for end in value]
        case list():
            return [*expected, "one more"]
        case bool():
            return not expected
        case int() | float() if isinstance(value, SampleEstimate):
            return replace(value, low=value.high + 0.01, high=value.high + 0.02)
        case int() | float():
            return 2 * expected + 1
    return "something else"


def case_name(case: Any) -> str:
    return f"{case[1].id}-{case[2]}"


@pytest.mark.parametrize("case", EXPECTING, ids=map(case_name, EXPECTING))
def test_a_rule_finds_what_breaks_it(case):
    section, rule, stage = case
    run, written = RELEASED if section == "released" else RUNS.get(stage), document(section, stage)
    names = names_of(section, stage, written)
    value, expected = value_of(rule.measured, names), rule.expected(stage, run)
    effect = EFFECTS.get(declaration(rule, names)[1], HARMLESS)
    choice = rule.choice or effect.choice_at(stage)
    assert holds(expected, value), "what the paper did keeps the rule"
    assert not getattr(compared(rule, expected, value, choice=choice, about="it"), "differs", False)
    finding = compared(rule, expected, broken(expected, value), choice=choice, about="it")
    assert (finding.rule, finding.differs, finding.deviates) == (rule.id, True, choice is None)


@pytest.mark.parametrize("section", ["training", "evaluation"])
def test_a_record_has_every_field_that_a_rule_is_read_from(section):
    whole = document(section, STAGES[section][0])["record"]
    for name in whole:
        without = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(ValueError, match=f"it.json: record: {name} is missing.*: make it again$"):
            read_record(section, source_of({"record": without}))


@pytest.mark.parametrize(
    ("section", "stage", "key"),
    [
        ("training", "scratch", "epochs"),
        ("images", "images", "data set"),
        ("transfer", "voc2007", "C from"),
        ("transfer", "voc2007", "classes"),
    ],
)
def test_a_field_beside_the_record_has_to_be_there(section, stage, key):
    without = {name: value for name, value in document(section, stage).items() if name != key}
    with pytest.raises(ValueError, match=f"it.json: rule .* measures .*: {key} is missing: make it again"):
        findings(section, stage, source_of(without), names_of(section, stage, without))


@pytest.mark.parametrize("section", ["training", "evaluation", "transfer"])
def test_no_rule_measures_what_the_tables_settings_say(section):
    fields = [rule.measurement[1][0] for rule in protocol_rules()[section]]
    assert {re.split(r"\W", field)[0] for field in fields} <= {"document", "record"}


@pytest.mark.parametrize(("section", "stage"), [(section, stage) for section in STAGES for stage in STAGES[section]])
def test_every_declaration_is_what_the_paper_did_by_default(section, stage):
    written = document(section, stage)
    results = findings(section, stage, source_of(written), names_of(section, stage, written))
    assert [finding for finding in results if finding.differs] == []


def names_of(section: str, stage: str, written: dict[str, Any]) -> dict[str, Any]:
    """What the rules of a stage are read from."""
    names = dict(PAPER) | {"document": written}
    if section == "training":
        block = {"scratch": "train", "localisation": "localise"}.get(stage, "finetune")
        settings = PAPER.for_run(RUNS[stage])
        names |= dict(settings) | {"run": RUNS[stage], "stage": block, block: settings.train}
        names["initial_layers"] = initial_layers(PAPER, RUNS[stage])
    if section == "released":
        papers = {rule.measured_field: rule.expected("torchvision") for rule in protocol_rules()[section]}
        recipe = {name.removeprefix("recipe."): value for name, value in papers.items() if name.startswith("recipe.")}
        release = ReleaseSettings(file=written["file"])
        names |= {"recipe": recipe, "release": release, "file": written["file"], "run": RELEASED}
    if "record" in written:
        names["record"] = read_record(section, source_of(written))
    return names | ({"task": TASKS[stage]} if section == "transfer" else {})


@pytest.mark.parametrize("number", table_numbers("scores", "boxes", "svms"))
def test_the_paper_preset_keeps_the_papers_protocol(number, tmp_path):
    """What the settings declare and what the paper did agree: there are findings of choices only, at their defaults."""
    if number in table_numbers("svms"):
        runs = [run for row in published_table(number).rows for run in row.members]
    else:
        runs = [evaluation.run for evaluation in table_evaluations(number)]
    audit = Audit(write_runs(tmp_path, PAPER, runs), PAPER)
    results = [finding for run in runs for finding in audit.of_run(run)]
    assert results
    assert [finding for finding in results if finding.differs] == []


@pytest.mark.parametrize("preset", ["smoke", "tiny"])
def test_other_presets_deviate_as_they_declare(preset, tmp_path):
    settings = load_settings({"preset": preset})
    run = Run("D", "256-512", "fc")
    audit = Audit(write_runs(tmp_path, settings, [run]), settings)
    differing = {finding.rule: finding for finding in audit.of_run(run) if finding.differs}
    assert {"crop", "train-images", "data-set", "length", "iterations"} <= set(differing)
    assert differing["crop"].did == f"crop of {settings.model.crop} px"
    assert differing["length"].about == ("A_256_s0",), "the first of its ancestors"
    later = [f for f in audit.of_run(run) if f.rule == "length" and f.about == (run.name,)]
    # 10 epochs of later stages are what the paper could mean, 3 are not
    assert [(f.choice, f.deviates) for f in later if f.differs] == [(7, preset == "smoke")]


def test_what_an_ancestor_did_touches_its_children(tmp_path):
    settings = load_settings({"smoke": True})
    audit = Audit(write_runs(tmp_path, settings, [Run("E", "384")]), settings)
    abouts = {name for finding in audit.of_run(Run("E", "384")) for name in finding.about}
    assert abouts == {"E_384_s0", "E_256_s0", "A_256_s0"}


def tamper(folder: Path, run: Run, *keys: str, value: Any) -> None:
    """Write another value into a run's record; None deletes the key."""
    file = folder / run.name / "run.json"
    written = json.loads(file.read_text())
    *path, last = keys
    inner = written
    for key in path:
        inner = inner[key]
    inner[last] = value
    if value is None:
        del inner[last]
    file.write_text(json.dumps(written))


TAMPERED = {
    ("record", "in_epoch"): ([1000, 500], "record.images: every image once an epoch: no, expected yes"),
    ("record", "batch"): (32, "record.batch: batch of 32, but train.batch says 16"),
    ("record", "momentum"): ([0.9, 0.5], "record.momentum: momentum 0.9, 0.5, but train.momentum says 0.9"),
    ("record", "weight_decay"): ([0.0], "record.weight_decay: weight decay 0, but train.weight_decay says 0.0005"),
    ("record", "rates"): ([[1, 0.0015]], "record.rates: learning-rate drops: 0, but train.drops says 1"),
    ("record", "iterations"): (7, "record.iterations: expected 504, got 7"),
    ("epochs",): (5, "epochs: 5 epochs, but train.epochs says 8"),
    ("record", "precision"): (["bf16"], "record.precision: trained in bf16, but train.precision says fp32"),
    ("record", "crop"): ([224], "record.crop: crop of 224 px, but model.scale_unit says 28"),
    ("record", "S"): ([48, 48], "record.S: S = 384, but the run's name says 256"),
    ("record", "flipped"): (0.0, "record.flipped: 0 of the crops mirrored, but train.flip says 0.5"),
    ("record", "colour_std"): (0.3, "record.colour_std: colour shift .* 0.3, but train.colour_std says 0.1"),
    ("record", "dropout"): (0.5, "record.dropout: dropout 0.5, but model.dropout says 0.05"),
    ("record", "init"): ("normal-0.1", "record.init: random weights: normal-0.1, but train.init says glorot"),
    ("record", "lent_by"): ("E_256_s0", "record.lent_by: initialised from E_256_s0, but staged says A_256_s0"),
    ("record", "still"): (["conv1_1"], "record.still: trained layers: .*, but the run's name says all"),
    ("record", "train_images"): (9_000, "record.train_images: 9,000 .* but data.train_per_class says 1 to 1,000"),
    ("record", "data_set"): ("ILSVRC-2012", "record.data_set: trained on ILSVRC-2012, but data.layout says stand-in"),
    ("record", "images"): (100, "record.images: every image once an epoch: no, expected yes"),
    ("record", "mean"): ([[0.0, 0.0, 0.0]], "record.mean: mean RGB off by 123.7"),
    ("record", "pixels"): ([-2.1, 2.6], "record.pixels: pixel values that span 4.7"),
    ("record", "optimiser"): ("Adam", "record.optimiser: optimiser Adam, expected SGD"),
    ("record", "lent"): (
        [],
        "record.lent: layers initialised from A: none, but the net, with .*, says conv1_1, conv2_1",
    ),
    ("record", "random"): ({"fc8": 0.01}, "record.random: layers initialised at random: fc8, but the net, with"),
    ("record", "biases"): (0.1, "record.biases: biases initialised to 0.1, expected 0"),
    ("record", "net", "layers"): (["BatchNorm2d", "Conv2d"], "record.net.layers: layers of the kinds BatchNorm2d"),
    ("record", "net", "width"): (64, "record.net.width: 64 channels .* but model.width says 4"),
    ("record", "net", "pooling"): ("ceil", "record.net.pooling: .* ceil, but model.pooling says floor"),
    ("settings", "train", "batch"): (256, "settings.train.batch is 256, but the table's settings say 16"),
    ("parent", "weights"): ("others", "parent.weights: expected weights of A, .*A_256_s0/run.json .* got others"),
    ("run",): ("E_256_s0", "run: expected D_256_s0, got E_256_s0"),
    ("record",): (None, "record is missing: it is older than records, .* train D_256_s0 again"),
    ("record", "pieces"): (None, "record: pieces is missing"),
    ("record", "speed"): (3, "record: no key is called 'speed'"),
}


@pytest.mark.parametrize("keys", TAMPERED, ids=".".join)
def test_an_undeclared_deviation_stops_a_run_and_its_children(keys, tmp_path):
    settings, run, child = load_settings({"smoke": True}), Run("D", "256"), Run("D", "384")
    write_runs(tmp_path, settings, [child])
    assert Audit(tmp_path, settings).of_run(child)
    value, message = TAMPERED[keys]
    tamper(tmp_path, run, *keys, value=value)
    with pytest.raises(ValueError, match=f"D_256_s0/run.json: {message}"):
        Audit(tmp_path, settings).of_run(run)
    with pytest.raises(ValueError, match="D_256_s0/run.json"):
        Audit(tmp_path, settings).of_run(child)


def test_an_unknown_value_stops(tmp_path):
    settings, run = load_settings({"smoke": True}), Run("A", "256")
    write_runs(tmp_path, settings, [run])
    tamper(tmp_path, run, "record", "precision", value=["fp8"])
    with pytest.raises(ValueError, match=r"record.precision: trained in fp8, but train.precision says fp32"):
        Audit(tmp_path, settings).of_run(run)


def test_a_value_of_another_type_stops(tmp_path):
    settings, run = load_settings({"smoke": True}), Run("A", "256")
    write_runs(tmp_path, settings, [run])
    tamper(tmp_path, run, "record", "colour_std", value="0.1")
    with pytest.raises(ValueError, match=r"run.json: record: colour_std: expected a valid number, got '0.1'"):
        Audit(tmp_path, settings).of_run(run)


def test_a_run_without_a_record_stops(tmp_path):
    with pytest.raises(ValueError, match=r"A_256_s0/run.json: no such file.*train A_256_s0"):
        Audit(tmp_path, PAPER).of_run(Run("A", "256"))


def released(folder: Path, trained_by: str, **more: Any) -> Audit:
    run = Run("D", "256-512")
    (folder / run.name).mkdir()
    written = {"run": run.name, "weights": "released", "file": "d.pth", "trained by": trained_by} | more
    (folder / run.name / "adopted.json").write_text(json.dumps(written))
    return Audit(folder, load_settings({"released": {"D": {"file": "d.pth", "channels": "bgr"}}}))


RECIPE = [f"released-{name}" for name in ("pixels", "crops", "colour", "weight-decay", "rate", "length", "init")]


@pytest.mark.parametrize(
    ("trained_by", "more", "differ"),
    [
        ("the authors", {}, []),
        ("others", {}, ["released"]),
        ("torchvision", {"numbers": "fp32"}, ["released", *RECIPE]),
        ("mmpretrain", {"numbers": "fp32"}, ["released", *RECIPE]),
        ("the authors", {"numbers": "fp16"}, ["released-numbers"]),
        ("the authors", {"S": [256, 256]}, ["released-scale"]),
    ],
)
def test_of_a_released_net_all_is_told_that_its_makers_did_otherwise_than_the_paper(trained_by, more, differ, tmp_path):
    results = released(tmp_path, trained_by, **more).of_run(Run("D", "256-512"))
    assert [finding.rule for finding in results if finding.deviates] == differ


@pytest.mark.parametrize("trained_by", STAGES["released"])
def test_records_name_those_who_trained_a_net_as_rules_do(trained_by):
    check_types(ReleasedRecord, {"trained by": trained_by})


def test_who_trained_a_released_net_is_one_of_those_that_are_known(tmp_path):
    with pytest.raises(
        ValueError, match=r"adopted.json: .*trained by: .*'the authors'.* got 'Bob'.* adopt D_256-512_s0 again"
    ):
        released(tmp_path, "Bob").of_run(Run("D", "256-512"))


def test_what_a_footnote_says_of_a_recipe_is_what_its_makers_say():
    assert training_recipes().keys() < set(STAGES["released"])
    assert {key: getattr(training_recipes()["torchvision"], key) for key in ("epochs", "weight_decay")} == {
        "epochs": 90,
        "weight_decay": 1e-4,
    }


def test_released_weights_have_to_be_those_that_were_tested(tmp_path):
    audit, run = released(tmp_path, "the authors"), Run("D", "256-512")
    audit.check_weights(run, "released", SOURCE)
    with pytest.raises(
        ValueError, match=r"it.json: weights: expected released, .*adopted.json .* got ours: make it again"
    ):
        audit.check_weights(run, "ours", SOURCE)


def test_a_training_in_fp32_is_as_tf32_declares(tmp_path):
    """A CPU has no tf32."""
    settings, run = load_settings({"train": {"precision": "tf32"}}), Run("A", "256")
    write_runs(tmp_path, settings, [run])
    assert [f.rule for f in Audit(tmp_path, settings).of_run(run) if f.differs] == ["precision"]
    tamper(tmp_path, run, "record", "precision", value=["fp32"])
    assert [f.rule for f in Audit(tmp_path, settings).of_run(run) if f.differs] == []


def evaluated(folder: Path, declared: Settings, **changes: Any) -> dict[str, AuditFinding]:
    """The findings, by rule, about an evaluation whose `made.json` or record has changes."""
    evaluation = EVALUATIONS["dense"]
    write_runs(folder / "runs", declared, [evaluation.run])
    written = made_json(evaluation, declared, 400)
    inner = written["record"] if set(changes) <= set(written["record"]) else written
    inner |= changes
    results = Audit(folder / "runs", declared).of_evaluation(folder / "scores" / evaluation.path, written, 400)
    return {finding.rule: finding for finding in results}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "others"}, "weights: expected weights of D, .*D_256_s0/run.json .*got others"),
        ({"views": {"32": 400}}, "record.views: views of an image: 1, expected 2"),
        ({"views": {"28": 800}}, "record.views: views of an image: 0, expected 2"),
        ({"mirrored": False}, "record.mirrored: mirror image with every view: no, expected yes"),
        ({"pixels": [-2.0, 2.0]}, "record.pixels: pixel values that span 4"),
        ({"precision": ["tf32"]}, "record.precision: tested in tf32, but evaluate.precision says fp32"),
        ({"settings": {"average": "posteriors", "crop_grid": "whole"}}, "settings.average: .*, but evaluate.average"),
        ({"settings": {"average": "scores"}}, "rule grid measures document.settings.crop_grid: crop_grid is missing"),
        ({"data set": "ILSVRC-2012"}, "data set: measured on ILSVRC-2012, but data.layout says stand-in"),
        ({"record": {}}, "record: views is missing"),
    ],
    ids=str,
)
def test_an_undeclared_deviation_stops_an_evaluation(changes, message, tmp_path):
    settings = load_settings({"smoke": True})
    assert evaluated(tmp_path / "kept", settings)
    with pytest.raises(ValueError, match=f"made.json: {message}"):
        evaluated(tmp_path, settings, **changes)


def test_a_declared_choice_is_a_finding_of_its_evaluation(tmp_path):
    settings = load_settings({"smoke": True, "evaluate": {"average": "posteriors", "precision": "tf32"}})
    by_rule = evaluated(tmp_path, settings)
    assert (by_rule["order"].differs, by_rule["order"].deviates) == (True, False)
    precision = by_rule["test-precision"]
    assert (precision.differs, precision.deviates, precision.choice) == (True, False, 15)
    assert rules_by_id()["order"].touches == ("top-1", "top-5", "localisation")


SVMS_TAMPERED = {
    "features": ([], "svm-features|SVMs of none, but the task says voc2007 of D_256-512_s0"),
    "measure": ("area", "measure: average precision: area, but transfer.ap_2007 says 11-point"),
    "counted": (["a class"], "counted: mean over the classes a class, but the task says all"),
    "C": ([7.0], "C: SVMs with C = 7, but transfer.C says 0.1 or 0.3"),
    "classes": (3, "rule svm-.* measures .*: "),
    "nothing": (None, ""),
}


@pytest.mark.parametrize("key", SVMS_TAMPERED)
def test_svms_are_of_the_net_the_scales_and_the_measure_of_their_task(key, tmp_path):
    audit = Audit(write_runs(tmp_path, PAPER, [SVM_NET]), PAPER)
    value, message = SVMS_TAMPERED[key]
    folder, images = tmp_path / "voc2007" / SVM_NET.name, svm_images("voc2007", PAPER)
    if key == "nothing":
        assert audit.of_svms(folder, svms_json("voc2007", PAPER), images)
        return
    with pytest.raises(ValueError, match=f"made.json: .*({message}).*classify again"):
        audit.of_svms(folder, svms_json("voc2007", PAPER) | {key: value}, images)


def test_features_at_other_scales_than_the_tasks_are_refused(tmp_path):
    audit = Audit(write_runs(tmp_path, PAPER, [SVM_NET]), PAPER)
    made = svms_json("caltech101", PAPER) | {"features": [features_json("caltech101", (256,), PAPER)]}
    with pytest.raises(ValueError, match="features at Q = 256, but the task says 256, 384, 512"):
        audit.of_svms(tmp_path / "caltech101" / SVM_NET.name, made, svm_images("caltech101", PAPER))


@pytest.mark.parametrize(("answers", "classifier"), [("the true classes", "x"), ("labels", None)])
def test_dense_boxes_are_of_labels_and_scored_by_a_classifier(answers, classifier, tmp_path):
    evaluation = EVALUATIONS["dense boxes"]
    audit = Audit(write_runs(tmp_path, PAPER, [evaluation.run, *(Run(net, "256-512") for net in "DE")]), PAPER)
    made = made_json(evaluation, PAPER, 50_000)
    assert audit.of_evaluation(tmp_path / "dense/256", made, 50_000)
    classifier = classifier and made["classifier"]
    with pytest.raises(ValueError, match="answers: boxes of the .*expected top-5 labels"):
        audit.of_evaluation(tmp_path / "dense/256", made | {"answers": answers, "classifier": classifier}, 50_000)


def test_boxes_of_labels_from_a_net_that_was_trained_again_since_are_refused(tmp_path):
    evaluation = EVALUATIONS["dense boxes"]
    audit = Audit(write_runs(tmp_path, PAPER, [evaluation.run, *(Run(net, "256-512") for net in "DE")]), PAPER)
    made = made_json(evaluation, PAPER, 50_000)
    first = next(iter(made["labelled by"]))
    made["labelled by"][first] = "weights of before"
    with pytest.raises(ValueError, match=rf"labelled by.{first}: expected weights of D, .* got weights of b"):
        audit.of_evaluation(tmp_path / "dense/256", made, 50_000)
    # of older records nothing is known of it
    del made["labelled by"]
    assert audit.of_evaluation(tmp_path / "dense/256", made, 50_000)


def test_a_choice_that_no_setting_makes_is_no_other(tmp_path):
    settings, run = load_settings({"smoke": True}), Run("A-LRN", "256")
    write_runs(tmp_path, settings, [run])
    tamper(tmp_path, run, "record", "net", "lrn", value=[[1, 99, 5, 3]])
    with pytest.raises(ValueError, match="record.net.lrn: LRN with .* = 1, 99, 5, 3, expected 2, 5, 0.0001, 0.75"):
        Audit(tmp_path, settings).of_run(run)


def test_what_lies_there_is_released_where_the_settings_say_so_and_nowhere_else(tmp_path):
    run, other = Run("D", "256-512"), load_settings({"released": {"D": {"file": "e.pth", "channels": "bgr"}}})
    audit = released(tmp_path, "the authors")
    with pytest.raises(ValueError, match="expected a training of D_256-512_s0, got released weights: name them in"):
        Audit(tmp_path, PAPER).of_run(run)
    with pytest.raises(ValueError, match="released weights of the file d.pth, but released says e.pth"):
        Audit(tmp_path, other).of_run(run)
    shutil.rmtree(tmp_path / run.name)
    write_runs(tmp_path, audit.settings, [run])
    with pytest.raises(ValueError, match=r"run.json: expected released weights, as released.D/\[256;512\] says"):
        Audit(tmp_path, audit.settings).of_run(run)


@pytest.mark.trains
def test_real_trainings_and_evaluations_did_what_their_settings_declare(stores, tmp_path):
    """From A to the D whose FC layers alone are trained, to boxes, and to scores. It takes seconds, because it trains."""
    import torch

    from vggrepro.core.devices import set_cpu_arithmetic
    from vggrepro.evaluation.evaluate import evaluate_run
    from vggrepro.training.train import train_run

    set_cpu_arithmetic(1)
    small = {"batch": 48, "epochs": 2, "drop_epochs": [1], "learning_rate": 0.001}
    settings = load_settings(
        {"smoke": True, "model": {"width": 4, "fc": 32, "dropout": 0.5}, "train": small}
        | {stage: {"epochs": 1, "drop_epochs": []} for stage in ("finetune", "localise")}
    )
    options = {"val_folder": stores[1], "device": torch.device("cpu"), "workers": 0}
    runs = [Run.parse(name) for name in ("A_256_s0", "D_256_s0", "D_384_s0", "D_256-512_fc_s0", "D_384_pcr_s0")]
    for run in runs:
        parent = run.parent()
        file = tmp_path / parent.name / "weights.safetensors" if parent else None
        settings_of_run = settings.for_run(run)
        train_run(
            run, settings_of_run, train_folder=stores[0], initial_weights=file, out=tmp_path / run.name, **options
        )
    audit = Audit(tmp_path, settings)
    by_rule = {finding.rule: finding for run in runs for finding in audit.of_run(run)}
    assert [by_rule[name].did for name in ("batch", "length", "drops")] == [
        "batch of 48",
        "2 epochs",
        "learning-rate drops, at most: 1",
    ]
    assert not {"momentum", "moved", "scale", "flip", "colour", "mean", "pixels", "parent", "every-image"} & set(
        by_rule
    )
    weights, scores = tmp_path / "A_256_s0" / "weights.safetensors", tmp_path / "scores"
    evaluate_run(runs[0], "multi-crop", (256, 384), settings.evaluate, weights_file=weights, out=scores, **options)
    written = json.loads((scores / "384" / "made.json").read_text())
    results = audit.of_evaluation(scores / "384", written, 40)
    assert {f.rule for f in results if f.about != ("A_256_s0",)} == {
        "test-images",
        "test-data",
        "grid",
        "test-precision",
    }
