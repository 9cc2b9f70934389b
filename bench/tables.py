"""Tables 3-7 from score stores of ILSVRC's size, all verdicts, and packing: wall time and memory, on made-up posteriors.

    python bench/tables.py FOLDER      needs 9 GB there; the stores are made once and kept

All tables, the claims, and `vggrepro whatif`. The times are of whole processes, imports included, one after another.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np
from harness import REPEATS, process, row, write
from numpy.typing import NDArray

from tests.oracles.records import made_json, write_runs
from vggrepro import catalogue, scores
from vggrepro.config import load

IMAGES, CLASSES = 50_000, 1_000
PAPER = load({})


def make_stores(folder: Path) -> int:
    """One store per evaluation of the paper, as far as they are not there yet; returns how many there are.

    Logits that all evaluations share, with some for a run and some for an evaluation: errors are near 30% and 13%, two nets
    disagree on an eighth of the images.
    """
    wanted = dict.fromkeys(e for number in catalogue.CLASSIFICATION for e in catalogue.evaluations(number))
    labels = np.random.default_rng(0).integers(0, CLASSES, IMAGES)
    together = _drawn(0, 1.6) + 1.1 * np.random.default_rng(1).standard_exponential((IMAGES, CLASSES), np.float32)
    together[np.arange(IMAGES), labels] += np.random.default_rng(2).normal(11, 3.4, IMAGES)
    ids = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, IMAGES + 1)]
    for seed, evaluation in enumerate(wanted):
        if (folder / evaluation.path).exists():
            continue
        posteriors = together + _drawn(zlib.crc32(evaluation.run.name.encode()), 1.0) + _drawn(100 + seed, 0.4)
        np.exp(posteriors, out=posteriors)
        posteriors /= posteriors.sum(1, keepdims=True)
        about = made_json(evaluation, PAPER, IMAGES) | {"data": ""}
        scores.write(folder / evaluation.path, posteriors, labels, ids, about)
    write_runs(folder / "runs", PAPER, [evaluation.run for evaluation in wanted])
    return len(wanted)


def _drawn(seed: int, deviation: float) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((IMAGES, CLASSES), np.float32) * np.float32(deviation)


def call(folder: Path, out: Path, *verb: str) -> list[str]:
    """A verb that reads the stores, or the tables made from them."""
    read = ["--tables", str(folder / "tables")] if verb[0] == "claims" else ["--scores", str(folder)]
    return [sys.executable, "-m", "vggrepro.cli", *verb, "--settings", "paper", *read, "--out", str(out)]


def main() -> None:
    """Make the stores, then every table and every verdict."""
    folder = Path(sys.argv[1])
    stores = make_stores(folder)
    runs = ("--runs", str(folder / "runs"))
    tables = [call(folder, folder / "tables", "table", number, *runs) for number in catalogue.REPRODUCED]
    packed = folder / "whatif.json"
    measured = {
        f"all {len(tables)} tables": tables,
        "all verdicts": [call(folder, folder / "claims", "claims")],
        "packed for what-if": [call(folder, packed, "whatif", "--threads", "2")],
    }
    rows = []
    for what, calls in measured.items():
        turns = [[process(one) for one in calls] for _ in range(REPEATS)]
        seconds = [sum(taken for taken, _ in turn) for turn in turns]
        rows.append(row(what, "s", {"ours": seconds}, GB=max(peak for turn in turns for _, peak in turn)))
    about = {"title": f"From {stores} score stores of {IMAGES:,} x {CLASSES:,}, in processes of their own"}
    write("tables", about | {"ours": "vggrepro"}, rows)
    print(f"packed: {packed.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
