"""Tables 3-7 from score stores of ILSVRC's size: wall time and memory of `vggrepro table`, made-up posteriors.

    python bench/tables.py FOLDER      needs 9 GB there; the stores are made once and kept

Writes a line of JSON per table and one for all. The times are of whole processes, imports included, one after another.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from vggrepro import catalogue, scores

IMAGES, CLASSES = 50_000, 1_000


def make_stores(folder: Path) -> int:
    """One store per evaluation of the paper, as far as they are not there yet; returns how many there are."""
    wanted = dict.fromkeys(e for number in catalogue.CLASSIFICATION for e in catalogue.evaluations(number))
    labels = np.random.default_rng(0).integers(0, CLASSES, IMAGES)
    ids = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, IMAGES + 1)]
    for seed, evaluation in enumerate(wanted):
        if (folder / evaluation.path).exists():
            continue
        posteriors = np.random.default_rng(seed).standard_exponential((IMAGES, CLASSES), np.float32) ** 4
        posteriors[np.arange(IMAGES), labels] *= 60
        posteriors /= posteriors.sum(1, keepdims=True)
        about = {"run": evaluation.run.name, "protocol": evaluation.protocol, "Q": evaluation.Q}
        scores.write(folder / evaluation.path, posteriors, labels, ids, about | {"data set": "made up", "data": ""})
    return len(wanted)


def measured(folder: Path, number: str) -> dict[str, float | str]:
    """Wall time and peak memory of one `vggrepro table`."""
    out = str(folder / "tables")
    call = [
        sys.executable,
        "-m",
        "vggrepro.cli",
        "table",
        number,
        "--settings",
        "paper",
        "--scores",
        str(folder),
        "--out",
        out,
    ]
    started = time.perf_counter()
    process = os.posix_spawn(call[0], call, os.environ)
    _, status, usage = os.wait4(process, 0)
    assert status == 0, f"table {number} failed"
    return {
        "table": number,
        "seconds": round(time.perf_counter() - started, 2),
        "peak GB": round(usage.ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Make the stores, then every table."""
    folder = Path(sys.argv[1])
    stores = make_stores(folder)
    rows = [measured(folder, number) for number in catalogue.REPRODUCED]
    for row in rows:
        print(json.dumps(row))
    total = {
        "stores": stores,
        "seconds": round(sum(float(r["seconds"]) for r in rows), 2),
        "peak GB": max(float(r["peak GB"]) for r in rows),
    }
    print(json.dumps(total))


if __name__ == "__main__":
    main()
