"""All verdicts and figures from score stores of ILSVRC's size: wall time and memory, on made-up posteriors.

    python bench/tables.py FOLDER      needs 9 GB there; the stores are made once and kept

All tables, the claims, what the what-if page needs, and the report with its figures. The times are of whole processes, imports
included, one after another; no training was made up, so that learning curves and costs are not among the figures.
"""

from __future__ import annotations

import multiprocessing
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
from harness import REPEATS, Row, process, row, write
from numpy.typing import NDArray

from vggrepro.paper.tables import table_evaluations, table_name, table_numbers
from vggrepro.scores.stores import write_scores
from vggrepro.settings.loading import load_settings

IMAGES, CLASSES = 50_000, 1_000
PAPER = load_settings({})


def make_stores(folder: Path) -> int:
    """One store per evaluation of the paper, as far as they are not there yet; returns how many there are.

    Logits that all evaluations share, with some for a run and some for an evaluation: errors are near 30% and 13%, two nets
    disagree on an eighth of the images.
    """
    from tests.oracles.records import made_json, write_runs  # here alone: torch comes with it

    wanted = dict.fromkeys(e for number in table_numbers("scores") for e in table_evaluations(number))
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
        write_scores(folder / evaluation.path, posteriors, labels, ids, about)
    write_runs(folder / "runs", PAPER, [evaluation.run for evaluation in wanted])
    return len(wanted)


def _drawn(seed: int, deviation: float) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((IMAGES, CLASSES), np.float32) * np.float32(deviation)


def main() -> None:
    """Make the stores, then every table, every verdict and the report."""
    folder = Path(sys.argv[1]).resolve()
    # in a process of its own: what one that is started here counts as its peak of memory begins with ours
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
        stores = apart.submit(make_stores, folder).result()

    def call(verb: str, *options: str | Path) -> list[str]:
        given = map(str, options)
        return [sys.executable, "-m", "vggrepro", verb, *given, "--settings", "paper", "--out", str(folder / verb)]

    read, packed = ("--scores", folder, "--runs", folder / "runs"), folder / "whatif"
    made = [folder / "table" / f"{table_name(number)}.json" for number in table_numbers()]
    judged = ("--claims", folder / "claims" / "claims.json", "--whatif", packed, "--results", folder)
    measured = {
        f"all {len(made)} tables": [call("table", number, *read, "--threads", "2") for number in table_numbers()],
        "all claims": [call("claims", "--tables", folder / "table")],
        "packed for what-if": [call("whatif", "--scores", folder, "--threads", "2")],
        "report and figures": [call("report", "--tables", *made, *judged)],
    }
    turns = [{what: [process(one) for one in calls] for what, calls in measured.items()} for _ in range(REPEATS)]
    rows = [measured_row(what, [turn[what] for turn in turns]) for what in measured]
    rows.append(measured_row("all of these", [list(chain(*turn.values())) for turn in turns]))
    about = {"title": f"From {stores} score stores of {IMAGES:,} x {CLASSES:,}, in processes of their own"}
    write("tables", about | {"ours": "vggrepro"}, rows)
    print(f"packed: {packed.stat().st_size / 1e6:.1f} MB")


def measured_row(what: str, turns: list[list[tuple[float, float]]]) -> Row:
    """The seconds of every turn, and the largest process of all."""
    seconds = [sum(taken for taken, _ in turn) for turn in turns]
    return row(what, "s", {"ours": seconds}, GB=max(peak for turn in turns for _, peak in turn))


if __name__ == "__main__":
    main()
