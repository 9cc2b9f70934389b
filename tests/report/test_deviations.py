"""The report's section on departures and choices."""

from __future__ import annotations

import pytest

from vggrepro.report.deviations import deviations_section
from vggrepro.tables.cells import Table, TableFinding


def finding(**changes: object) -> TableFinding:
    """Batches of 16, by three runs, in all cells of Table 3."""
    given = {"rule": "batch", "section": "3.1", "says": "The batch is 256.", "kind": "paper", "choice": None} | {
        "did": "batch of 16",
        "expected": "256",
        "differs": True,
        "about": ("A_256_s0", "B_256_s0", "C_256_s0"),
        "cells": ("table03-1-1", "table03-2-1"),
    }
    return TableFinding(**(given | changes))


def table(*findings: TableFinding) -> Table:
    return Table("3", "table03", "", "", "", (), (), (), (), (), findings=findings)


LATER = finding(rule="length", kind="choice", choice=7, did="2 epochs", expected="74", cells=("table03-2-1",))


def test_a_departure_of_all_cells_names_its_runs_and_no_place():
    (row,) = deviations_section([table(finding())])["deviations"]
    assert (row["did"], row["expected"], row["section"], row["where"]) == ("batch of 16", "256", "3.1", [])
    assert (row["about"], row["all"]) == ("A_256_s0 and 2 more", "A_256_s0, B_256_s0, C_256_s0")


def test_a_choice_of_some_cells_has_its_number_and_says_how_many():
    (row,) = deviations_section([table(finding(), LATER)])["choices"]
    assert (row["section"], row["differs"]) == ("3.1, choice 7", True)
    assert row["where"] == [("table03", "Table 3", " (1 of 2)")]


@pytest.mark.parametrize(("findings", "broken"), [((), 0), ((LATER,), 0), ((finding(), LATER), 1)])
def test_only_departures_break_rules(findings, broken):
    section = deviations_section([table(*findings)])
    assert (section["broken"], section["audited"]) == (broken, bool(findings))
