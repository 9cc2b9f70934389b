"""What a step takes on some hardware."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vggrepro.planning.forecast import Machines, forecast, memory_problem
from vggrepro.planning.hardware import MeasuredShares, device_called, devices
from vggrepro.planning.rates import MeasuredRates
from vggrepro.planning.steps import Step
from vggrepro.planning.work import StepWork, work_of
from vggrepro.settings.loading import load_settings
from vggrepro.workflow.plan import Plan

NOTHING_MEASURED = MeasuredRates({})


def step(run: str = "D_256_s0", **config) -> Step:
    """The training of a run of the paper."""
    plan = Plan.of(load_settings(config))
    work = work_of(plan, "train", {"run": run})
    return Step(f"train {run}", "train", {"run": run}, (), (f"runs/{run}/run.json",), "", "", True, 8, work)


@pytest.mark.parametrize("run", ["A_256_s0", "C_256_s0", "D_256_s0", "E_256_s0"])
def test_the_weeks_that_the_paper_says_it_took_lie_in_the_range(run):
    """PAPER 3.3: on four Titan Black "training a single net took 2-3 weeks depending on the architecture"."""
    machines = Machines(device_called("titan-black"), gpus=4, per_training=4, cores=16)
    seconds = forecast(step(run), machines, NOTHING_MEASURED).seconds
    week = 7 * 86400
    assert seconds.low < 3 * week
    assert seconds.high > (1 if run[0] == "A" else 2) * week


def test_more_gpus_are_faster_and_never_as_many_times():
    device = device_called("h100")
    one, four = (forecast(step(), Machines(device, 4, count, 64), NOTHING_MEASURED).seconds for count in (1, 4))
    assert one.mid / 4 < four.mid < one.mid


def test_short_arithmetic_is_faster_on_hardware_that_has_it():
    machines = Machines(device_called("a100"), cores=16)
    fp32, bf16 = (
        forecast(step(train={"precision": name}), machines, NOTHING_MEASURED).seconds for name in ("fp32", "bf16")
    )
    assert bf16.mid < fp32.mid / 3


def test_a_precision_that_a_device_lacks_is_named():
    with pytest.raises(ValueError, match="t4: it does not compute in bf16"):
        forecast(step(train={"precision": "bf16"}), Machines(device_called("t4")), NOTHING_MEASURED)


def test_reading_images_bounds_a_fast_device():
    """With one core to decode JPEGs, twice the arithmetic rate gains nothing."""
    quick = step(train={"precision": "bf16"})
    h100, b200 = (
        forecast(quick, Machines(device_called(name), cores=1), NOTHING_MEASURED).seconds for name in ("h100", "b200")
    )
    assert h100.mid == pytest.approx(b200.mid, rel=0.01)


def test_hardware_that_was_never_measured_has_a_range_and_measured_hardware_a_narrow_one():
    device = device_called("h100")
    measured = replace(
        device, entry=device.entry.model_copy(update={"measured": MeasuredShares(shares={"fp32": 0.6}, source="x")})
    )
    wide, narrow = (forecast(step(), Machines(each, cores=16), NOTHING_MEASURED).seconds for each in (device, measured))
    assert wide.high / wide.low > 3
    assert narrow.high / narrow.low < 1.3


def test_steps_of_the_same_kind_that_were_measured_correct_the_model():
    training, machines = step(), Machines(device_called("h100"), cores=16)
    plain = forecast(training, machines, NOTHING_MEASURED)
    key = ("train", training.work.size, "h100")
    corrected = forecast(training, machines, MeasuredRates({key: [1.9, 2.0, 2.1, 2.0]}))
    assert corrected.seconds.mid == pytest.approx(2 * plain.model)
    assert corrected.seconds.low == pytest.approx(1.9 * plain.model)
    of_another = forecast(training, machines, MeasuredRates({("train", "another size", "h100"): [9.0]}))
    assert of_another.seconds == plain.seconds


def test_a_batch_that_does_not_fit_is_planned_in_pieces():
    training = step("E_256_s0").work
    assert memory_problem(training, device_called("h100")) == ""
    assert "in 8 pieces" in memory_problem(training, device_called("titan-black"))
    assert "a single image" in memory_problem(StepWork("x", memory=9e12, least_memory=8e12), device_called("t4"))


def test_every_device_says_where_its_figures_are_from():
    assert all(device.entry.source for device in devices().values())


def test_an_unknown_device_is_answered_with_the_nearest_names():
    with pytest.raises(ValueError, match="did you mean 'rtx4090'"):
        device_called("RTX-4090")
