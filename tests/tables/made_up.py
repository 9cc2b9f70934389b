"""Score stores of known ranks, and tables made from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.made_tables import judged_table
from vggrepro.paper.systems import Evaluation
from vggrepro.settings.loading import load_settings
from vggrepro.tables.cells import Table

N, CLASSES = 200, 12


def posteriors_with_ranks(wanted: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Posteriors under which the true class of each image has the wanted rank."""
    p = np.random.default_rng(seed).dirichlet(np.ones(CLASSES) * 0.7, len(labels))
    for row, label, rank in zip(p, labels, wanted, strict=True):
        j = np.argsort(-row, kind="stable")[rank]
        row[[label, j]] = row[[j, label]]
    return p.astype(np.float32)


def key_of(evaluation: Evaluation) -> dict[str, object]:
    return {"run": evaluation.run.name, "protocol": evaluation.protocol, "Q": evaluation.Q}


def table(number: str, made: Path, **given) -> Table:
    return judged_table(number, load_settings({"smoke": True} | given), made)
