"""What produced a result: commit, versions, processor, time. Every stored result carries this record. No torch."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vggrepro.core.instructions import instructions_in_force
from vggrepro.core.paths import ROOT

LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn", "scipy", "numba", "snakemake")


@cache
def commit() -> str:
    """The checkout's commit, with `+changes` where the working tree differs from it; `unknown` outside of git."""
    try:
        head = _git("rev-parse", "HEAD")
        return f"{head}+changes" if _git("status", "--porcelain", "--untracked-files=no") else head
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ("git", "-C", str(ROOT), *arguments), capture_output=True, text=True, check=True
    ).stdout.strip()


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that numbers depend on."""
    ours = {"python": platform.python_version(), "vggrepro": _version("vggrepro")}
    return ours | {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def cpu_name() -> str:
    """The CPU's name and the number of cores that this process may use."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        name = next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"


def provenance_record() -> dict[str, object]:
    """Commit, versions, processor, its instructions that were used, and time, to be stored beside a result."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "commit": commit(),
        "versions": versions(),
        "processor": cpu_name(),
        "instructions": instructions_in_force(),
        "at": now,
    }
