"""What several tests of tables share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tables.made_up import CLASSES, N, key_of, posteriors_with_ranks
from vggrepro.paper.tables import table_evaluations, table_numbers
from vggrepro.scores.stores import write_scores


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """Score stores for two seeds of every evaluation of the paper, with random ranks."""
    root = tmp_path_factory.mktemp("scores")
    labels = np.random.default_rng(1).integers(0, CLASSES, N)
    ids = [str(i) for i in range(N)]
    numbers = table_numbers("scores")
    for k, evaluation in enumerate({e: None for n in numbers for e in table_evaluations(n, (0, 1))}):
        ranks = np.random.default_rng(k).choice(CLASSES, N, p=[0.6, *[0.4 / 11] * 11])
        about = {"data set": "made up", "data": "digest"} | key_of(evaluation)
        write_scores(root / evaluation.path, posteriors_with_ranks(ranks, labels, k), labels, ids, about)
    return root
