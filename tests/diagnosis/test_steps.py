"""The steps of an error decomposition: those that the paper's tables have for a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vggrepro.diagnosis.steps import MISTAKE_BASE, protocol_steps
from vggrepro.paper.runs import Run

D = Run("D", "256-512")


def test_the_steps_of_a_net_end_in_the_papers_best_system():
    steps = protocol_steps(replace(D, seed=3))
    assert [step.where for step in steps] == [""] * 5 + ["Table 3", "Table 4", "Table 5", "Table 6"]
    assert [step.published["top-1"] for step in steps[5:]] == ["25.6", "24.8", "24.4", "23.7"]
    assert {e.path for e, _ in steps[4].system} == {"D_256-512_s3/dense/256"}
    assert {e.run.name for e, _ in steps[-1].system} == {"D_256-512_s3", "E_256-512_s3"}
    assert steps[MISTAKE_BASE].view == "crop"


def test_a_run_has_the_steps_that_the_paper_has_of_it():
    at_256, at_384 = protocol_steps(Run("D", "256")), protocol_steps(Run("D", "384"))
    assert [step.where for step in at_256] == [""] * 4 + ["Table 3", "Table 4"]
    assert at_256[4].published == {"top-1": "27.0", "top-5": "8.8"}
    assert at_384[4].view == "mirrored", "no table has S = 384 at Q = 256"
    assert [step.view for step in protocol_steps(Run("B-5x5", "256"))][-1] == "mirrored"
    with pytest.raises(ValueError, match="predicts boxes"):
        protocol_steps(Run("D", "384", objective="PCR"))
