"""What is compared: the same images, the same resamples or splits, the same net on the same kind of GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.judging.made_claims import NETS, PAPER, claim, patterns
from vggrepro.judging.ledger import judge_claims
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import published_table
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes, Shares, write_outcomes
from vggrepro.tables.lineage import FinishedTraining


def test_outcomes_of_other_images_are_not_compared(tmp_path):
    a, b = patterns(20, 8, 10, 200)
    entries = (
        OutcomeEntry(NETS["A"], "top-1", Errors(a, "x", ())),
        OutcomeEntry(NETS["B"], "top-1", Errors(b, "y", ())),
    )
    write_outcomes(tmp_path / "table03.npz", Outcomes("3", (0,), entries))
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([claim()], sort_keys=False))
    with pytest.raises(ValueError, match="claim it: Table 3: B, 256, 256 and .* are of different images"):
        judge_claims(PAPER, tmp_path, path=tmp_path / "claims.yaml")


def transfer(folder: Path, values: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    entries = [
        OutcomeEntry({"method": method}, "voc2007", Shares(v, r, 100, 100, "voc", ()))
        for method, (v, r) in values.items()
    ]
    write_outcomes(folder / "table11.npz", Outcomes("11", (0,), tuple(entries)))


D, E, BOTH = (row.keys["method"] for row in published_table("11").rows if row.members)


def test_precisions_are_compared_on_the_same_resamples(tmp_path):
    """What images do to both alike cancels out; higher is better."""
    rng = np.random.default_rng(0)
    common, own = rng.normal(0, 0.02, (1, 200)), rng.normal(0, 0.001, (3, 1, 200))
    values = {
        m: (np.array([[v]]), v + common + o) for m, v, o in zip((D, E, BOTH), (0.89, 0.891, 0.9), own, strict=True)
    }
    transfer(tmp_path, values)
    claims = {c.id: c for c in judge_claims(PAPER, tmp_path).claims}
    assert claims["transfer-voc2007"].steps[0].gain == pytest.approx(1.0)
    low, high = claims["transfer-voc2007"].steps[0].interval
    assert high - low < 4.5  # an image's worth, 1 point, is in it; unpaired it would be 9
    assert claims["transfer-caltech101"].verdict == "not run"


def test_splits_are_compared_in_pairs(tmp_path):
    splits = np.array([[0.80, 0.85, 0.90]])
    values = {m: (splits + gain, np.empty((1, 0))) for m, gain in ((D, 0.0), (E, 0.0), (BOTH, 0.05))}
    entries = [
        OutcomeEntry({"method": m}, "caltech101", Shares(v, r, 10**6, 1, "c", ())) for m, (v, r) in values.items()
    ]
    write_outcomes(tmp_path / "table11.npz", Outcomes("11", (0,), tuple(entries)))
    claims = {c.id: c for c in judge_claims(PAPER, tmp_path).claims}
    assert claims["transfer-caltech101"].verdict == "supported"


def training(net: str, processes: int, speed: float, device: str = "H100", attempts: int = 1) -> FinishedTraining:
    about = {
        "attempts": [{"device": device, "processes": processes}] * attempts,
        "settings": {"model": {"width": 64}},
    }
    return FinishedTraining(
        Run(net, "256"), about, [{"images_per_s": speed * (1 + 0.01 * (-1) ** k)} for k in range(20)]
    )


@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        ([training("A", 1, 100), training("A", 4, 380)], "supported"),
        ([training("A", 1, 100), training("A", 4, 390), training("D", 1, 50), training("D", 4, 195)], "supported"),
        ([training("A", 1, 100), training("A", 4, 300)], "refuted"),
        ([training("A", 1, 100), training("A", 4, 350)], "undecided"),
        ([training("A", 1, 100), training("B", 4, 380)], "not run"),
        ([training("A", 1, 100), training("A", 4, 380, "A100")], "not run"),
        ([training("A", 1, 100, "CPU"), training("A", 4, 380, "CPU")], "not run"),
        ([training("A", 1, 100), training("A", 4, 380, attempts=2)], "not run"),
        ([training("A", 1, 100), training("A", 2, 190)], "not run"),
        ([], "not run"),
    ],
)
def test_speed_is_compared_on_the_same_net_and_kind_of_gpu(tmp_path, runs, verdict):
    judged = {c.id: c for c in judge_claims(PAPER, tmp_path, runs).claims}["four-gpus"]
    assert judged.verdict == verdict
    if judged.steps:
        low, high = judged.steps[0].interval
        assert low < judged.steps[0].gain < high
