"""Planning many seeds of the whole paper: seconds of `snakemake -n`, its start and all that it prints included.

    python bench/planning.py [--seeds 50]

With ILSVRC alone, then with the data sets of Tables 11 and 12, too; in an empty folder, and where all results are there and
nothing is to be done. No data set is read when a DAG is planned: they are empty folders here, as the results are empty files
and folders that Snakemake is told it made (it takes a tenth of a second for each).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import REPEATS, Row, row, write

from vggrepro.core.paths import ROOT
from vggrepro.paper.tasks import TRANSFER_SETS


def snakemake(folder: Path, given: list[str], *options: str) -> str:
    """What Snakemake prints of the paper in a folder."""
    program = str(Path(sys.executable).with_name("snakemake"))
    call = [program, "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", *options, "--config", *given]
    done = subprocess.run(call, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def make_up(folder: Path, given: list[str]) -> None:
    """Empty results of every job, which Snakemake takes for its own."""
    lines = snakemake(folder, given, "--summary").splitlines()
    for line in lines[lines.index(next(found for found in lines if found.startswith("output_file"))) + 1 :]:
        made = folder / line.split("\t")[0]
        if made.suffix:
            made.parent.mkdir(parents=True, exist_ok=True)
            made.touch()
        else:
            made.mkdir(parents=True, exist_ok=True)
    # before its jobs the workflow looks for boxes in prepared stores
    for store in folder.glob("results/*/data/*"):
        np.save(store / "boxes.npy", np.zeros((1, 5), np.int32))
    snakemake(folder, given, "--touch")


def measured(what: str, folder: Path, given: list[str], expected: str) -> Row:
    """The seconds of a plan, which has to say what is expected."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        said = snakemake(folder, given, "-n")
        seconds.append(time.perf_counter() - started)
        assert re.search(expected, said, re.MULTILINE), f"expected {expected!r}, Snakemake says: {said[-2000:]}"
    return row(what, "s", {"ours": seconds})


def main() -> None:
    """Count the jobs, then plan them again and again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    seeds, rows = parser.parse_args().seeds, []
    with tempfile.TemporaryDirectory() as place:
        for data in (("ilsvrc",), ("ilsvrc", *TRANSFER_SETS)):
            folder = Path(place) / str(len(data))
            for name in data:
                (folder / name).mkdir(parents=True)
            given = [f"seeds={list(range(seeds))}".replace(" ", ""), *(f"{name}={folder / name}" for name in data)]
            jobs = int(re.search(r"^total +(\d+)$", snakemake(folder, given, "-n"), re.MULTILINE)[1])
            rows.append(measured(f"{jobs:,} jobs, all to be made", folder, given, rf"^total +{jobs}$"))
            make_up(folder, given)
            rows.append(measured(f"{jobs:,} jobs, nothing to be done", folder, given, "^Nothing to be done"))
    write("planning", {"title": f"Planning {seeds} seeds of the paper", "ours": "vggrepro"}, rows)


if __name__ == "__main__":
    main()
