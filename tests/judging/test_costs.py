"""Trainings are compared where they did the same work, but for what is asked about."""

from __future__ import annotations

from typing import Any

import pytest

from tests.judging.made_claims import PAPER
from vggrepro.judging.ledger import judge_claims
from vggrepro.paper.runs import Run
from vggrepro.tables.lineage import FinishedTraining

WORK: dict[str, Any] = {
    "settings": {"model": {"width": 64}, "train": {"batch": 256, "precision": "fp32", "compile": False}},
    "data": {"train": "images"},
    "made": {"versions": {"torch": "2"}},
}


def training(
    run: Run | str,
    processes: int,
    speed: float,
    device: str = "H100",
    attempts: int = 1,
    gigabytes: float = 1.0,
    pieces: int = 1,
    train: dict[str, Any] | None = None,
    **about: Any,
) -> FinishedTraining:
    of_one = {"device": device, "processes": processes, "pieces": pieces, "peak_bytes": int(gigabytes * 2**30)}
    settings = {**WORK["settings"], "train": WORK["settings"]["train"] | (train or {})}
    document = {**WORK, "settings": settings, "attempts": [of_one] * attempts} | about
    rows = [{"images_per_s": speed * (1 + 0.01 * (-1) ** k)} for k in range(20)]
    return FinishedTraining(run if isinstance(run, Run) else Run(run, "256"), document, rows)


def judged(tmp_path, runs: list[FinishedTraining], name: str):
    return {c.id: c for c in judge_claims(PAPER, tmp_path, runs).claims}[name]


@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        ([training("A", 1, 100), training("A", 4, 380)], "supported"),
        ([training("A", 1, 100), training("A", 4, 390), training("D", 1, 50), training("D", 4, 195)], "supported"),
        ([training("A", 1, 100), training("A", 4, 300)], "refuted"),
        ([training("A", 1, 100), training("A", 4, 350)], "undecided"),
        ([training("A", 1, 100, "CPU"), training("A", 4, 380, "CPU")], "not run"),
        ([training("A", 1, 100), training("A", 4, 380, attempts=2)], "not run"),
        ([training("A", 1, 100), training("A", 2, 190)], "not run"),
        ([], "not run"),
    ],
)
def test_four_gpus_are_held_against_one(tmp_path, runs, verdict):
    claim = judged(tmp_path, runs, "four-gpus")
    assert claim.verdict == verdict
    if claim.steps:
        low, high = claim.steps[0].interval
        assert low < claim.steps[0].gain < high


D_384 = Run("D", "384")
OTHER_WORK = {
    "net": training("B", 4, 380),
    "S": training(Run("A", "384"), 4, 380),
    "layers that move": training(Run("D", "384", objective="PCR", layers="fc"), 4, 380),
    "objective": training(Run("D", "384", objective="SCR"), 4, 380),
    "precision": training("A", 4, 380, train={"precision": "bf16"}),
    "compiled": training("A", 4, 380, train={"compile": True}),
    "batch": training("A", 4, 380, train={"batch": 64}),
    "where images are kept": training("A", 4, 380, train={"on_device": True}),
    "width": training("A", 4, 380, settings=WORK["settings"] | {"model": {"width": 8}}),
    "device": training("A", 4, 380, "A100"),
    "images": training("A", 4, 380, data={"train": "others"}),
    "versions": training("A", 4, 380, made={"versions": {"torch": "1"}}),
}


@pytest.mark.parametrize("name", OTHER_WORK)
def test_trainings_of_other_work_are_not_compared(tmp_path, name):
    ones = [training(run, 1, 100) for run in (Run("A", "256"), D_384, Run("D", "384", objective="PCR"))]
    assert judged(tmp_path, [*ones, OTHER_WORK[name]], "four-gpus").verdict == "not run"


def test_trainings_with_other_seeds_do_the_same_work(tmp_path):
    runs = [training(Run("A", "256", seed=seed), count, 100 * count) for seed, count in ((0, 1), (1, 4))]
    assert judged(tmp_path, runs, "four-gpus").verdict == "supported"


@pytest.mark.parametrize(
    ("speeds", "verdict"), [((100, 90), "supported"), ((90, 100), "refuted"), ((100, 100), "undecided")]
)
def test_normalisation_costs_time_where_its_training_is_slower(tmp_path, speeds, verdict):
    runs = [training(net, 1, speed) for net, speed in zip(("A", "A-LRN"), speeds, strict=True)]
    claim = judged(tmp_path, runs, "lrn-time")
    assert claim.verdict == verdict
    assert claim.steps[0].gain == pytest.approx(speeds[0] / speeds[1])


@pytest.mark.parametrize(
    ("bytes_", "verdict"), [((1.0, 1.2), "supported"), ((1.2, 1.0), "refuted"), ((1.0, 1.0), "refuted")]
)
def test_normalisation_costs_memory_where_its_training_needs_more(tmp_path, bytes_, verdict):
    runs = [training(net, 1, 100, gigabytes=size) for net, size in zip(("A", "A-LRN"), bytes_, strict=True)]
    claim = judged(tmp_path, runs, "lrn-memory")
    assert (claim.verdict, claim.p) == (verdict, None)
    assert f"{bytes_[1]:.2f} to {bytes_[0]:.2f} GB" in claim.reason


@pytest.mark.parametrize(
    "other",
    [training("A-LRN", 2, 90), training("A-LRN", 1, 90, "A100"), training("A-LRN", 1, 90, train={"batch": 64})],
)
def test_costs_are_of_the_same_work_but_for_the_net(tmp_path, other):
    runs = [training("A", 1, 100), other]
    assert {judged(tmp_path, runs, name).verdict for name in ("lrn-time", "lrn-memory")} == {"not run"}


def test_of_several_trainings_their_means_are_compared_and_not_all_their_epochs(tmp_path):
    """Twenty epochs of one training, all alike, say nothing of the next training, which may be on a slower day."""
    speeds = {("A", 0): 100, ("A", 1): 120, ("A-LRN", 0): 95, ("A-LRN", 1): 114}
    runs = [training(Run(net, "256", seed=seed), 1, speed) for (net, seed), speed in speeds.items()]
    claim = judged(tmp_path, runs, "lrn-time")
    assert claim.steps[0].gain == pytest.approx(100 / 95)
    assert (claim.verdict, claim.steps[0].seeds) == ("undecided", 2)
    alone = judged(tmp_path, runs[::2], "lrn-time")
    assert (alone.verdict, alone.steps[0].seeds) == ("supported", 1)
    assert "How speed differs from one training to the next is not measured" in alone.steps[0].trainings


def with_steps(processes: int, factor: float = 1.0, **about: Any) -> FinishedTraining:
    steps = [{"loss": 2.0 - k, "norms": {"a": [1, 1, 3 * factor**k], "b": [1, 1, 4 * factor**k]}} for k in range(2)]
    return training("A", processes, 100, parent=None, first_steps=steps, **about)


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        (with_steps(4, 1 + 1e-5), "supported"),
        (with_steps(4, 1.01), "refuted"),
        (with_steps(2), "not run"),
        (with_steps(4, data={"train": "others"}), "not run"),
        (with_steps(4, train={"precision": "bf16"}), "not run"),
        (training("A", 4, 100, parent=None), "not run"),
    ],
)
def test_four_gpus_give_the_same_first_steps_as_one(tmp_path, other, verdict):
    claim = judged(tmp_path, [with_steps(1), other], "four-gpus-same")
    assert (claim.verdict, claim.p) == (verdict, None)
    assert ("A/256 on 4 x H100 and on 1 x H100: 0.01 apart" in claim.reason) == (verdict == "refuted")


def test_memory_is_not_compared_where_a_batch_is_cut_in_pieces(tmp_path):
    runs = [training("A", 1, 100), training("A-LRN", 1, 90, pieces=2)]
    assert judged(tmp_path, runs, "lrn-memory").verdict == "not run"
    assert judged(tmp_path, runs, "lrn-time").verdict == "supported"
