"""Tolerances and margins of one quantity come from one place."""

from __future__ import annotations

import pytest

from tests.judging.made_claims import PAPER
from vggrepro.paper.claims import load_claims
from vggrepro.paper.tolerances import DIFFERENCES, allowed_difference


@pytest.mark.parametrize("higher", DIFFERENCES)
def test_the_claim_of_7_percent_allows_what_its_cell_allows(higher):
    claim = next(c for c in load_claims(PAPER.table, higher=higher) if c.id == "small-filters-by-7")
    assert claim.margin == allowed_difference(DIFFERENCES[higher], "7")
    assert claim.relative == (higher == "relative")
