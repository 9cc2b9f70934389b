"""How often intervals and tests are right where trainings differ: simulated image by image at the size of ILSVRC's validation.

    python bench/interval_coverage.py [TRIALS]       writes bench/results/coverage.json

In every trial N images and the trainings of NETS nets are drawn anew. Two nets are compared in pairs of images; their outcomes
are drawn image by image, and of the other nets only what the pool needs: how their seeds spread. Trainings differ by `spread`
points (standard deviation of a net's error) besides the chance of single images. Kept are the shares of trials in which the
95% interval holds the truth, and in which equal nets are called unequal, or a claim of no effect is "supported", at 5%.
"""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import numpy as np
from harness import MADE, RESULTS
from numpy.typing import NDArray

from vggrepro.core.files import write_json
from vggrepro.paper.tolerances import tolerance_of
from vggrepro.scores.statistics import nested, one_seed_interval
from vggrepro.scores.trainings import SeedSpread, TrainingSpread, spread_of_values, training_spread, with_trainings

N, NETS = 50_000, 12
SEEDS, SPREADS = (1, 2, 3, 5), (0.0, 0.1, 0.5, 1.0)
HARD, EASY, SHARE_OF_HARD = 0.9, 0.065, 0.2455
"""Chances to get an image wrong: the error is 27%, and two trainings disagree on 14% of the images, as such nets do."""
ERROR = SHARE_OF_HARD * HARD + (1 - SHARE_OF_HARD) * EASY


def drawn_net(
    difficulty: NDArray[np.float32], rng: np.random.Generator, seeds: int, spread: float
) -> NDArray[np.float32]:
    """Which images a net gets wrong, [seeds, N]."""
    shift = rng.normal(0, spread / 100, (seeds, 1)).astype(np.float32)
    wrong: NDArray[np.bool_] = rng.random((seeds, len(difficulty)), np.float32) < difficulty + shift
    return wrong.astype(np.float32)


def pooled(nets: list[NDArray[np.float32]], rng: np.random.Generator, spread: float) -> TrainingSpread:
    """The spread of trainings: of two drawn nets, and of others that spread by as much in truth."""
    sources, seeds = tolerance_of("top-1").sources, len(nets[0])
    spreads = [spread_of_values(net) for net in nets]
    if seeds > 1:
        chance = float(np.mean([each.chance for each in spreads]))
        total = chance + (spread / 100) ** 2
        others = total * rng.chisquare(seeds - 1, NETS - len(nets)) / (seeds - 1)
        spreads += [SeedSpread(float(variance), chance, seeds - 1) for variance in others]
    return training_spread(spreads, prior=(sources.training / 100) ** 2, df=sources.df)


def trial(rng: np.random.Generator, seeds: int, spread: float) -> tuple[bool, bool, bool, float]:
    """Whether the intervals of a difference and of a cell hold the truth, whether p is below 5%, and the half width."""
    difficulty = np.where(rng.random(N, np.float32) < SHARE_OF_HARD, np.float32(HARD), np.float32(EASY))
    a, b = nets = [drawn_net(difficulty, rng, seeds, spread) for _ in range(2)]
    trainings = pooled(nets, rng, spread)
    difference = with_trainings(nested(a - b), trainings, 2)
    cell = with_trainings(nested(a), trainings, 1)
    low, high = one_seed_interval(float(a.sum()), N, cell) if seeds == 1 else cell.interval()
    return (
        abs(difference.mean) <= difference.half(),
        low <= ERROR <= high,
        difference.differs() <= 0.05,
        difference.half(),
    )


def measured(seeds: int, spread: float, trials: int) -> dict[str, Any]:
    """What so many trials come to."""
    rng = np.random.default_rng([seeds, round(1000 * spread)])
    differences, cells, unequal, halves = np.array([trial(rng, seeds, spread) for _ in range(trials)]).T
    return {
        "seeds": seeds,
        "spread in points": spread,
        "trials": trials,
        "interval of a difference holds the truth": round(float(differences.mean()), 4),
        "interval of a cell holds the truth": round(float(cells.mean()), 4),
        "equal nets called unequal": round(float(unequal.mean()), 4),
        "no effect called a gain": round(float(unequal.mean()) / 2, 4),
        "median half width of a difference in points": round(100 * float(np.median(halves)), 3),
    }


def main() -> None:
    """Simulate all numbers of seeds and all spreads."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rows = [measured(seeds, spread, trials) for seeds, spread in product(SEEDS, SPREADS)]
    about = {"title": f"Coverage of 95% intervals: {NETS} nets, {N:,} images, error {100 * ERROR:.0f}%"}
    write_json(RESULTS / "coverage.json", {"about": about, "coverage": rows, "made": MADE})


if __name__ == "__main__":
    main()
