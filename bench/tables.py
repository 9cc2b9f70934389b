"""Tables 3-7 from score stores of ILSVRC's size, all verdicts, and packing: wall time and memory, on made-up posteriors.

    python bench/tables.py FOLDER      needs 9 GB there; the stores are made once and kept

Writes a line of JSON per table, one for the claims, one for all of these, and one for `vggrepro whatif`. The times are of
whole processes, imports included, one after another.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from pathlib import Path

import numpy as np
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


def measured(folder: Path, out: Path, *verb: str) -> dict[str, float | str]:
    """Wall time and peak memory of a verb that reads the stores, or the tables made from them."""
    read = ["--tables", str(folder / "tables")] if verb[0] == "claims" else ["--scores", str(folder)]
    call = [sys.executable, "-m", "vggrepro.cli", *verb, "--settings", "paper", *read, "--out", str(out)]
    started = time.perf_counter()
    process = os.posix_spawn(call[0], call, os.environ)
    _, status, usage = os.wait4(process, 0)
    assert status == 0, f"{' '.join(verb)} failed"
    return {
        "verb": " ".join(verb[:2]),
        "seconds": round(time.perf_counter() - started, 2),
        "peak GB": round(usage.ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Make the stores, then every table and every verdict."""
    folder = Path(sys.argv[1])
    stores = make_stores(folder)
    runs = ("--runs", str(folder / "runs"))
    rows = [measured(folder, folder / "tables", "table", number, *runs) for number in catalogue.REPRODUCED]
    rows.append(measured(folder, folder / "claims", "claims"))
    for row in rows:
        print(json.dumps(row))
    total = {
        "stores": stores,
        "seconds": round(sum(float(r["seconds"]) for r in rows), 2),
        "peak GB": max(float(r["peak GB"]) for r in rows),
    }
    print(json.dumps(total))
    packed = folder / "whatif.json"
    print(
        json.dumps(measured(folder, packed, "whatif", "--threads", "2") | {"MB": round(packed.stat().st_size / 1e6, 1)})
    )


if __name__ == "__main__":
    main()
