"""When steps begin and end: no sooner than their inputs and machines allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggrepro.planning.timeline import PendingStep, schedule_steps


@st.composite
def step_lists(draw) -> list[PendingStep]:
    """Steps each of which needs some of those before it."""
    steps: list[PendingStep] = []
    for number in range(draw(st.integers(1, 12))):
        needs = draw(st.sets(st.sampled_from([step.name for step in steps]))) if steps else set()
        seconds, gpus = draw(st.integers(1, 50)), draw(st.integers(0, 2))
        steps.append(PendingStep(f"t{number}", tuple(sorted(needs)), float(seconds), gpus, 0 if gpus else 1))
    return steps


@given(step_lists())
def test_nothing_begins_before_what_it_needs_has_ended(steps):
    made = schedule_steps(steps, gpus=2, cores=2)
    for step in steps:
        assert all(made.ends[need] <= made.ends[step.name] - step.seconds + 1e-9 for need in step.needs)


@given(step_lists())
def test_a_run_is_no_shorter_than_its_longest_chain_and_no_longer_than_all_steps_together(steps):
    made = schedule_steps(steps, gpus=2, cores=2)
    assert made.chain_seconds <= made.seconds <= sum(step.seconds for step in steps) + 1e-9
    assert made.seconds >= sum(step.seconds * step.gpus for step in steps) / 2 - 1e-9


@given(step_lists())
def test_with_machines_without_end_the_longest_chain_is_all_that_is_waited_for(steps):
    made = schedule_steps(steps, gpus=100, cores=100)
    assert made.seconds == pytest.approx(made.chain_seconds)
    lengths = {step.name: step.seconds for step in steps}
    assert sum(lengths[name] for name in made.chain) == pytest.approx(made.chain_seconds)


def test_what_is_made_already_is_waited_for_by_nobody():
    assert schedule_steps([PendingStep("b", ("a",), 3.0, 0, 1)], gpus=0, cores=1).seconds == 3.0


def test_nothing_to_do_takes_no_time():
    assert schedule_steps([], gpus=1, cores=1).seconds == 0.0
