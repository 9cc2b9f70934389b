"""The report's section on departures and choices."""

from __future__ import annotations

import pytest

from vggrepro.report.deviations import deviations_section
from vggrepro.settings.choices import defaults, departures, described
from vggrepro.settings.effects import effects
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import AuditFinding, Table


def finding(**changes: object) -> AuditFinding:
    """Batches of 16, by three runs, in all cells of Table 3."""
    given = {"rule": "batch", "section": "3.1", "says": "The batch is 256.", "kind": "paper", "choice": None} | {
        "did": "batch of 16",
        "expected": "256",
        "differs": True,
        "about": ("A_256_s0", "B_256_s0", "C_256_s0"),
        "cells": ("table03-1-1", "table03-2-1"),
    }
    return AuditFinding(**(given | changes))


def table(*findings: AuditFinding) -> Table:
    return Table("3", "table03", "", "", "", (), (), (), (), (), findings=findings)


LATER = finding(rule="length", kind="choice", choice=7, did="2 epochs", expected="74", cells=("table03-2-1",))


PAPER, SMOKE = load_settings({}), load_settings({"smoke": True})


def all_rows(section: dict) -> list[dict]:
    return [*section["departures"], *(row for c in section["choices"] for row in c["rows"]), *section["harmless"]]


def test_a_departure_of_all_cells_names_its_runs_and_no_place():
    (row,) = deviations_section([table(finding())], PAPER)["departures"]
    assert (row["here"], row["default"], row["name"], row["where"]) == ("batch of 16", "256", "\u00a73.1", [])
    assert row["about"] == "A_256_s0 and 2 more"


def test_a_choice_of_some_cells_stands_under_its_number_and_says_how_many():
    choices = {
        choice["number"]: choice["rows"] for choice in deviations_section([table(finding(), LATER)], PAPER)["choices"]
    }
    touched = [row for row in choices[7] if ("table03", "Table 3", " (1 of 2)") in row["where"]]
    assert touched
    assert all(row["about"] == "A_256_s0 and 2 more" for row in touched)


@pytest.mark.parametrize(("findings", "broken"), [((), 0), ((LATER,), 0), ((finding(), LATER), 1)])
def test_only_departures_break_rules(findings, broken):
    section = deviations_section([table(*findings)], PAPER)
    assert (section["broken"], section["audited"]) == (broken, bool(findings))


def test_every_setting_that_departs_is_listed_once_and_a_finding_of_it_takes_its_place():
    alone = [row["name"] for row in deviations_section([], SMOKE)["departures"]]
    assert sorted(alone) == sorted(key for key, _, _ in departures(SMOKE))
    found = [row["name"] for row in deviations_section([table(finding())], SMOKE)["departures"]]
    assert set(alone) - set(found) == {"train.batch"}
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("rule", "setting"),
    [("crop", "model.scale_unit"), ("svm-train", "transfer.caltech256_train"), ("rescaled", "data.rescaled")],
)
def test_a_setting_is_covered_by_every_rule_that_it_declares_however_that_is_written(rule, setting):
    """By a table of its values, by the name of a task, or because it is what is measured."""
    settings = load_settings({"smoke": True, "data": {"rescaled": "jpeg"}})
    assert setting in {row["name"] for row in deviations_section([], settings)["departures"]}
    rows = deviations_section([table(finding(rule=rule))], settings)["departures"]
    assert setting not in {row["name"] for row in rows}


def test_a_choice_of_precision_and_what_it_did_are_one_row():
    """Its setting declares the rule by a table of values."""
    listed = finding(rule="precision", kind="choice", choice=15, did="trained in fp32", expected="fp32", differs=False)
    (rows,) = [c["rows"] for c in deviations_section([table(listed)], SMOKE)["choices"] if c["number"] == 15]
    assert [(row["name"], row["about"]) for row in rows] == [
        ("train.precision", "A_256_s0 and 2 more"),
        ("evaluate.precision", ""),
    ]


def test_nothing_that_differs_from_the_paper_preset_is_left_out():
    listed = {row["name"] for row in all_rows(deviations_section([], SMOKE))}
    paper = defaults()
    same = {key for key, effect in effects(Settings) if effect.same}
    changed = {key for key, value, _ in described(SMOKE) if value != paper.get(key, value)}
    assert changed - same <= listed
