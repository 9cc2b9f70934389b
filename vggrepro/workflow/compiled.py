"""Compiles the loops that jobs of the smoke run share, once for an environment: `python -m vggrepro.workflow.compiled`.

`make setup` calls it. Without it the first jobs of a run compile them, each for itself, ten seconds and more.
"""

from __future__ import annotations

from vggrepro.core.instructions import pin_instructions
from vggrepro.core.places import find_caches


def compile_loops() -> None:
    """Let numba compile, and keep beside the sources, what reads images and merges boxes: its nets are too narrow for more."""
    # as commands do, before numba is loaded
    find_caches()
    pin_instructions("avx2")
    import numpy as np

    # compiled as it is imported
    import vggrepro.data.crops  # noqa: F401
    from vggrepro.localisation.merging import best_boxes
    from vggrepro.settings.blocks import MergeSettings

    best_boxes(np.zeros((2, 4)), np.ones(2), MergeSettings(), np.ones(1))


if __name__ == "__main__":
    compile_loops()
