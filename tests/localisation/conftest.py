"""Score stores that the tests of labels and of prediction share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vggrepro.data.store import Store
from vggrepro.paper.tables import best_classification
from vggrepro.scores.stores import write_scores


@pytest.fixture(scope="session")
def best_scores(stores, tmp_path_factory) -> Path:
    """Score stores of the best classification system, drawn at random."""
    val, folder = Store(stores[1]), tmp_path_factory.mktemp("scores")
    for e, _ in best_classification():
        rng = np.random.default_rng([e.Q, len(e.protocol), ord(e.run.net)])
        posteriors = rng.dirichlet(np.ones(10), len(val)).astype(np.float32)
        write_scores(
            folder / e.path, posteriors, val.labels, val.ids, {"data": val.digest, "weights": f"of {e.run.name}"}
        )
    return folder
