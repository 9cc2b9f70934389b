"""Showing a run's status once, or again and again: a live view in a terminal, a line for every change in a pipe."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from rich.live import Live

from vggrepro.planning.formatting import UNBOUNDED, console
from vggrepro.planning.status import RunStatus, read_status
from vggrepro.planning.status_text import status_view, summary_lines

RESULTS = Path("results")


def newest_results(root: Path = RESULTS) -> Path:
    """The folder of results that was written last. Raises ValueError where there is none."""
    folders = [folder for folder in root.glob("*") if (folder / "plan").is_dir() or (folder / "recipes").is_dir()]
    if not folders:
        raise ValueError(
            f"{root.absolute()}: no results of a run are here yet: start one, or name its folder of results"
        )
    return max(folders, key=_last_change)


def _last_change(folder: Path) -> float:
    places = (folder / name for name in ("plan/plan.json", "logs", "recipes"))
    return max((place.stat().st_mtime for place in places if place.exists()), default=0.0)


def show_status(status: RunStatus) -> None:
    """Print a status."""
    out = console(UNBOUNDED)
    out.print(status_view(status, _now(), bar=out.is_terminal))


def watch_status(results: Path, every: float) -> None:
    """Look every so many seconds until nothing runs any more."""
    out, status = console(UNBOUNDED), read_status(results)
    if out.is_terminal:
        with Live(status_view(status, _now(), bar=True), console=out, auto_refresh=False) as live:
            while status.of("running"):
                time.sleep(every)
                status = read_status(results)
                live.update(status_view(status, _now(), bar=True), refresh=True)
        return
    printed = ""
    while status.of("running"):
        line = " ".join(summary_lines(status, _now()))
        if line != printed:
            out.print(line, markup=False, soft_wrap=True)
            printed = line
        time.sleep(every)
        status = read_status(results)
    out.print(status_view(status, _now(), bar=False))


def _now() -> datetime:
    return datetime.now().astimezone()
