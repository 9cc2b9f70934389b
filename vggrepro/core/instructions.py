"""Which of a CPU's instructions numbers are computed with: the fastest, or those that x86-64 CPUs have in common. No torch.

Libraries choose by the CPU that they find, when they are loaded, and each choice adds in another order: the same program gives
other numbers on another CPU. Each has a variable of the environment that takes the choice from it. `pin_instructions` sets
them all, and has to be called before numpy or torch is imported.
"""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Literal

Instructions = Literal["fastest", "avx2"]
"""`avx2`: AVX2 with FMA, which Intel's CPUs have since 2013 and AMD's since 2015; wider ones are left unused."""

PINNED = {
    # torch's own loops, and its convolutions
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # torch's matrix products: MKL's AVX2 is for Intel's CPUs alone, its compatible code is the same on all
    "MKL_CBWR": "COMPATIBLE",
    # numpy's loops, and the matrix products of numpy and scipy: with several threads their order follows the number of cores
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    # what numba compiles
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+popcnt,+sse4.2",
}
"""The variables of the environment that make every library use AVX2 with FMA, and nothing that only some CPUs have."""

CHOOSERS = ("numpy", "torch", "numba")
"""The modules that choose instructions when they are imported."""


def pin_instructions(instructions: Instructions) -> None:
    """Let the libraries that are not loaded yet use these instructions.

    Where one is loaded already nothing changes, because half a choice is none: `instructions_in_force` then says `fastest`.
    """
    if instructions == "avx2" and not any(module in sys.modules for module in CHOOSERS):
        os.environ.update(PINNED)


def instructions_in_force() -> Instructions:
    """What this process computes with, as results record it."""
    return "avx2" if os.environ.items() >= PINNED.items() and cpu_has_avx2() else "fastest"


@cache
def cpu_has_avx2() -> bool:
    """Whether this is an x86-64 CPU with AVX2 and FMA."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        flags = next(
            line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if line.startswith("flags")
        )
    except (OSError, StopIteration):
        # without Linux's list: what is older than AVX2 runs none of torch's builds of today
        return True
    return {"avx2", "fma"} <= set(flags.split())
