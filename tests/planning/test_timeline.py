"""When steps begin and end: no sooner than their inputs and machines allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggrepro.planning.timeline import Task, schedule_tasks


@st.composite
def task_lists(draw) -> list[Task]:
    """Tasks each of which needs some of those before it."""
    tasks: list[Task] = []
    for number in range(draw(st.integers(1, 12))):
        needs = draw(st.sets(st.sampled_from([task.name for task in tasks]))) if tasks else set()
        seconds, gpus = draw(st.integers(1, 50)), draw(st.integers(0, 2))
        tasks.append(Task(f"t{number}", tuple(sorted(needs)), float(seconds), gpus, 0 if gpus else 1))
    return tasks


@given(task_lists())
def test_nothing_begins_before_what_it_needs_has_ended(tasks):
    made = schedule_tasks(tasks, gpus=2, cores=2)
    for task in tasks:
        assert all(made.ends[need] <= made.ends[task.name] - task.seconds + 1e-9 for need in task.needs)


@given(task_lists())
def test_a_run_is_no_shorter_than_its_longest_chain_and_no_longer_than_all_steps_together(tasks):
    made = schedule_tasks(tasks, gpus=2, cores=2)
    assert made.chain_seconds <= made.seconds <= sum(task.seconds for task in tasks) + 1e-9
    assert made.seconds >= sum(task.seconds * task.gpus for task in tasks) / 2 - 1e-9


@given(task_lists())
def test_with_machines_without_end_the_longest_chain_is_all_that_is_waited_for(tasks):
    made = schedule_tasks(tasks, gpus=100, cores=100)
    assert made.seconds == pytest.approx(made.chain_seconds)
    lengths = {task.name: task.seconds for task in tasks}
    assert sum(lengths[name] for name in made.chain) == pytest.approx(made.chain_seconds)


def test_what_is_made_already_is_waited_for_by_nobody():
    assert schedule_tasks([Task("b", ("a",), 3.0, 0, 1)], gpus=0, cores=1).seconds == 3.0


def test_nothing_to_do_takes_no_time():
    assert schedule_tasks([], gpus=1, cores=1).seconds == 0.0
