"""What the benchmarks share: cores, taking turns, what is written, and the table of docs/explanation/performance.md.

    python bench/harness.py        writes that table again, from bench/results/*.json

A benchmark runs the peer and ours in turn, in one process, on the same files and cores; the first turn warms up and does not
count. Of the others it keeps every measurement, the medians, and the median of the turns' ratios, which other work on the
machine hardly moves.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from vggrepro.core.files import write_json, write_text
from vggrepro.core.paths import ROOT
from vggrepro.core.provenance import provenance_record

REPEATS = 5
RESULTS = ROOT / "bench" / "results"
MADE = provenance_record()
"""By what hardware and versions: asked before any core is left out."""
MARKS = "<!-- made by bench/harness.py -->", "<!-- end -->"

PEERS = ("peer", "best", "runtime")
"""What ours is measured beside: a usual way, its best flags, and a kept runtime where one is installed."""

Row = dict[str, Any]
"""What is measured, its unit, and speeds or times of `ours` and of some of the `PEERS`."""


CORES = sorted(os.sched_getaffinity(0))
"""Those that this process may run on, before it is pinned to some of them."""


def pin(cores: int) -> None:
    """Run on so many cores, with as many threads."""
    import torch

    os.sched_setaffinity(0, CORES[:cores])
    torch.set_num_threads(cores)


def in_turn(works: dict[str, Callable[[], float]], repeats: int = REPEATS) -> dict[str, list[float]]:
    """What each work gets done in a second, `repeats` times. A work returns how much it did: images, say."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            started = time.perf_counter()
            done = work()
            if turn:
                found[name].append(done / (time.perf_counter() - started))
    return found


def process(call: list[str]) -> tuple[float, float]:
    """Seconds and peak memory in GB of a process, imports included; a RuntimeError where it fails."""
    started = time.perf_counter()
    child = os.posix_spawn(call[0], call, os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"{' '.join(call)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 2**20


def row(what: str, unit: str, found: dict[str, list[float]], reach: float | None = None, **more: object) -> Row:
    """A row of results, printed. `found` has what is measured of `ours`, and perhaps of `peer` and `best`; a unit that ends
    in `/s` is a speed, another a time. `reach` is the ratio to the peer that is aimed at; `GB` may be the peak of memory."""
    medians = {name: median(values) for name, values in found.items()}
    ratios = {
        peer: median(_ratio(unit, mine, its) for mine, its in zip(found["ours"], values, strict=True))
        for peer, values in found.items()
        if peer != "ours"
    }
    said = ", ".join(
        f"{name} {medians[name]:.4g} ({min(values):.4g} to {max(values):.4g})" for name, values in found.items()
    )
    print(f"{what}: {said} {unit}", *(f"{ratio:.2f} x {peer}" for peer, ratio in ratios.items()), sep=", ", flush=True)
    return {"what": what, "unit": unit, "measured": found, "median": medians, "ratio": ratios, "reach": reach, **more}


def _ratio(unit: str, ours: float, peer: float) -> float:
    return ours / peer if unit.endswith("/s") else peer / ours


def write(name: str, about: dict[str, str], rows: list[Row]) -> None:
    """Write `bench/results/<name>.json`: rows, what the columns are (`about`), hardware, versions, commit, date, load."""
    load = [round(value, 1) for value in os.getloadavg()]
    write_json(RESULTS / f"{name}.json", {"about": about, "rows": rows, "load average": load, "made": MADE})


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown: a part for each benchmark, in the order of their names."""
    parts = []
    for name, result in sorted(results.items()):
        if "rows" not in result:
            continue
        about, when = result["about"], result["made"]
        peers = [peer for peer in PEERS if any(peer in found["median"] for found in result["rows"])]
        head = ["", *(about[peer] for peer in peers), about["ours"], *("ratio" for _ in peers)]
        lines = [f"**{about['title']}** (`bench/{name}.py`; {when['processor'].split(',')[0]}; {when['at'][:10]})", ""]
        lines += [_line(head), _line(["---"] * len(head))]
        for found in result["rows"]:
            shown, ratios = found["median"], found["ratio"]
            cells = [_number(shown.get(column), found["unit"]) for column in (*peers, "ours")]
            cells[-1] += f", {found['GB']:.1f} GB" if "GB" in found else ""
            lines.append(_line([found["what"], *cells, *(_times(ratios.get(peer)) for peer in peers)]))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1f}"


def read() -> dict[str, dict[str, Any]]:
    """The results by the names of their benchmarks."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")}


def marked(part: str) -> str:
    """A part of a text between the marks."""
    return f"{MARKS[0]}\n\n{part}\n\n{MARKS[1]}"


def in_text(text: str) -> str:
    """What stands between the marks of a text."""
    return re.search(marked("(.*)"), text, re.DOTALL)[1]


def main() -> None:
    """Write the page's table again."""
    page = ROOT / "docs" / "explanation" / "performance.md"
    text = page.read_text(encoding="utf-8")
    write_text(page, text.replace(marked(in_text(text)), marked(table(read()))))


if __name__ == "__main__":
    main()
