from __future__ import annotations

import pytest

from vggrepro.settings.blocks import TrainSettings
from vggrepro.training.schedule import Schedule


def schedule_after(accuracies: list[float], **settings: object) -> Schedule:
    schedule = Schedule(TrainSettings(**settings))
    for epoch, accuracy in enumerate(accuracies, start=1):
        if schedule.finished:
            break
        schedule.after(epoch, accuracy)
    return schedule


STEPS = [0.1, 0.2, 0.2, 0.2, 0.3, 0.3, 0.1, 0.3, 0.2]


def test_the_rate_drops_when_accuracy_stops_improving_three_times_at_most():
    schedule = schedule_after(STEPS, patience=2, epochs=74)
    assert schedule.drops == [4, 7, 9]
    assert schedule_after([*STEPS, *[0.0] * 40], patience=2, epochs=74).drops == [4, 7, 9]
    assert schedule.learning_rate == pytest.approx(1e-5)


@pytest.mark.parametrize("accuracies", [[*STEPS, *[0.0] * 65], [k / 100 for k in range(74)], [0.1] * 74], ids=str)
def test_training_lasts_all_epochs_however_often_the_rate_has_dropped(accuracies):
    assert not schedule_after(accuracies[:73], patience=2).finished
    assert schedule_after(accuracies, patience=2).finished


def test_the_rate_does_not_drop_after_the_last_epoch():
    assert schedule_after([0.1] * 4, patience=3, epochs=4).drops == []
    assert schedule_after([0.1] * 4, patience=3, epochs=5).drops == [4]


def test_an_improvement_starts_the_waiting_anew():
    assert schedule_after([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4], patience=2, epochs=74).drops == []


def test_a_fixed_schedule_does_not_look_at_accuracy():
    schedule = schedule_after([0.0] * 6, drop_epochs=(2, 5), patience=1, epochs=6)
    assert schedule.drops == [2, 5]
    assert schedule.finished


def test_training_ends_after_its_epochs():
    schedule = schedule_after([0.1, 0.2, 0.3], patience=5, epochs=3)
    assert schedule.finished
    assert schedule.drops == []
