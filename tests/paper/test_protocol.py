"""The file of rules is checked when it is read, and a value is as expected or not."""

from __future__ import annotations

import copy

import pytest
import yaml

from vggrepro.paper.protocol import PROTOCOL_FILE, STAGES, SampleEstimate, holds, protocol_rules, text_of
from vggrepro.paper.runs import Run


def test_every_rule_applies_somewhere():
    rules = [(section, rule) for section, rules in protocol_rules().items() for rule in rules]
    assert all(any(map(rule.applies, STAGES[section])) for section, rule in rules)


@pytest.mark.parametrize("entries", [{"id": "batch"}, "batch", None], ids=str)
def test_a_section_that_is_no_list_of_rules_is_refused(entries, tmp_path):
    sections = yaml.safe_load(PROTOCOL_FILE.read_text())
    file = tmp_path / "protocol.yaml"
    file.write_text(yaml.safe_dump(sections | {"training": entries}))
    with pytest.raises(ValueError, match="protocol.yaml: training: expected a list of rules, got"):
        protocol_rules(file)
    file.write_text(yaml.safe_dump(sections | {"training": [entries]}))
    with pytest.raises(ValueError, match="protocol.yaml: training, rule"):
        protocol_rules(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"section": ""}, "training, rule batch: section"),
        ({"measured": {}}, "rule batch: measured"),
        ({"measured": {"count": "a", "text": "b"}}, "rule batch: measured"),
        ({"colour": 1}, "rule batch: no key is called 'colour'"),
        ({"expect": {}}, "rule batch: expect: expected at least 1 entry"),
        ({"expect": {"later": 1}}, "rule batch: expect: no stage is called later: expected every or scratch"),
        ({"setting": None}, "rule batch: setting is missing: expected the setting that makes it .train.batch, record"),
        ({"measured": "7 * record.batch"}, "rule batch: measured: "),
        ({"measured": "count(record.batch"}, "rule batch: count.record.batch: unexpected end"),
        ({"declared": "train.batch|most"}, "rule batch: train.batch.most: No filter named 'most'"),
        ({"measured": "share(record.flipped,record.drawn)"}, "rule batch: measured: "),
        ({"expect": {"every": {"form": 1}}}, "rule batch: .*expected a value, a list"),
        ({"expect": {"every": {"from": "a", "to": 1}}}, "rule batch: .*expected a value, a list"),
        ({"choice": 0}, "rule batch: choice: .*got 0"),
        ({"shows": "batch"}, "rule batch: shows: .*got 'batch'"),
        ({"touches": ["speed"]}, "rule batch: touches.*got 'speed'"),
        ({"id": "momentum"}, "rule momentum: id: two rules have this id"),
        ({"id": "views"}, "rule views: id: two rules have this id"),
    ],
    ids=str,
)
def test_a_wrong_rule_is_named(change, message, tmp_path):
    sections = copy.deepcopy(yaml.safe_load(PROTOCOL_FILE.read_text()))
    next(rule for rule in sections["training"] if rule["id"] == "batch").update(change)
    file = tmp_path / "protocol.yaml"
    file.write_text(yaml.safe_dump(sections))
    with pytest.raises(ValueError, match=f"protocol.yaml: (training, )?{message}|protocol.yaml: training, {message}"):
        protocol_rules(file)


def test_a_file_without_the_sections_is_refused(tmp_path):
    (tmp_path / "p.yaml").write_text("training: []")
    with pytest.raises(ValueError, match=r"p.yaml: expected the keys training, .*, transfer, got \['training'\]"):
        protocol_rules(tmp_path / "p.yaml")


def test_a_plain_value_is_expected_of_each_of_a_list():
    assert holds(0.1, [0.1, 0.1 + 1e-12])
    assert not holds(0.1, [0.1, 0.2])
    assert not holds(True, False)
    assert holds(None, None)


def test_a_list_is_expected_item_by_item():
    assert holds([2, 5], [2.0, 5.0])
    assert not holds([], ["fc8"])
    assert not holds([0.1], 0.1)


def test_a_range_and_a_choice_of_values_are_expected_of_each():
    assert holds({"from": 1, "to": 3}, [1, 2.5, 3])
    assert not holds({"from": 1, "to": 3}, [1, 4])
    assert not holds({"from": 1, "to": 3}, "2")
    assert holds({"one_of": ["fp32", "tf32"]}, ["tf32", "fp32"])
    assert not holds({"one_of": ["fp32", "tf32"]}, ["tf32", "bf16"])
    assert holds({"one_of": [[2, 5]]}, [[2.0, 5.0], [2.0, 5.0]])


def test_what_is_expected_of_random_draws_lies_between_the_ends_of_their_estimate():
    assert holds(0.5, SampleEstimate(0.52, 0.495, 0.545))
    assert not holds(0.5, SampleEstimate(0.53, 0.505, 0.555))
    assert not holds("half", SampleEstimate(0.5, 0.475, 0.525))


def test_draws_from_a_range_have_to_reach_both_ends():
    assert holds([256, 512], [SampleEstimate(260, 255, 260), SampleEstimate(508, 508, 513)])
    assert not holds([256, 512], [SampleEstimate(250, 245, 250), SampleEstimate(512, 512, 517)])
    assert not holds([256, 512], [SampleEstimate(256, 251, 256), SampleEstimate(400, 400, 405)])


def test_a_runs_name_says_its_scale_its_layers_and_its_parent():
    rules = {rule.id: rule for rule in protocol_rules()["training"]}
    run = Run("D", "256-512", "fc")
    assert rules["scale"].expected("jitter", run) == [256, 512]
    assert rules["moved"].expected("jitter", run) == "fc"
    assert rules["parent"].expected("jitter", run) == "D_384_s0"
    assert rules["parent"].expected("scratch", Run("A", "256")) is None


def test_values_are_printed_as_a_footnote_says_them():
    assert text_of([True, None, 1281167, 0.0005]) == "yes, none, 1,281,167, 0.0005"
    assert text_of([]) == "none"
    assert text_of({"from": 369000, "to": 371000}) == "369,000 to 371,000"
    assert text_of({"one_of": ["tf32", "fp32"]}) == "tf32 or fp32"
    assert text_of([SampleEstimate(0.49, 0.4, 0.6), SampleEstimate(256, 250, 256), 256, 512]) == "0.49, 256, 512"
