"""Claims about made-up outcomes of Table 3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from vggrepro.judging.decisions import JudgedClaim
from vggrepro.judging.ledger import judge_claims
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes, write_outcomes
from vggrepro.settings.loading import load_settings

PAPER = load_settings({})
NETS = {net: {"net": net, "S": "256", "Q": "256", "protocol": "dense"} for net in ("A", "A-LRN", "B", "C", "D", "E")}


def pair(cell: str, against: str) -> dict:
    return {"cell": {"net": cell, "S": 256, "Q": 256}, "against": {"net": against, "S": 256, "Q": 256}}


def claim(test: str = "superiority", **given) -> dict:
    """B is better than A."""
    base = {"id": "it", "section": "4.1", "claim": "It holds.", "test": test, "quantity": "top-1", "table": "3"}
    pairs = {} if test == "ordering" else {"pairs": [pair("B", "A")]}
    return base | pairs | {"margin": 0.3, "why": "so"} | given


def patterns(alone_a: int, alone_b: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Which images A and B get wrong, [1, N]."""
    parts = [(1, 0)] * alone_a + [(0, 1)] * alone_b + [(1, 1)] * both + [(0, 0)] * neither
    a, b = np.array(parts, bool).T
    return a[None], b[None]


def write_outcomes_of(folder: Path, wrong: dict[str, np.ndarray], number: str = "3") -> None:
    """The outcomes of some nets of Table 3."""
    n = next(iter(wrong.values())).shape[1]
    entries = [OutcomeEntry(NETS[net], "top-1", Errors(w, f"images {n}", ())) for net, w in wrong.items()]
    write_outcomes(folder / "table03.npz", Outcomes(number, (0,), tuple(entries)))


def judge(folder: Path, wrong: dict[str, np.ndarray], *entries: dict) -> JudgedClaim:
    """The first of some claims, judged on which images nets get wrong."""
    write_outcomes_of(folder, wrong)
    (folder / "claims.yaml").write_text(yaml.safe_dump([*entries], sort_keys=False))
    return judge_claims(PAPER, folder, path=folder / "claims.yaml").claims[0]
