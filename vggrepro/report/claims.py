"""The report's section on claims: a ledger as strings. No torch."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from vggrepro.judging.decisions import Decision, JudgedClaim
from vggrepro.judging.ledger import read_ledger
from vggrepro.tables.render import RANGE, printed_number

TIMES = "\u00d7"
DECISION_SIGNS: dict[Decision, str] = {
    "supported": "\u2713",
    "smaller than claimed": "<",
    "refuted": "\u2717",
    "undecided": "?",
    "not run": "\u2013",
}
"""Printed before a verdict, so that it can be read without colours."""


def claims_section(path: Path) -> dict[str, Any]:
    """The ledger in a `claims.json` as strings."""
    ledger = read_ledger(path)
    counts = Counter(claim.verdict for claim in ledger.claims)
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in DECISION_SIGNS if counts[verdict])
    where = "" if ledger.papers else " on these images"
    return {
        "summary": f"Of {len(ledger.claims)} claims of the paper{where}: {summary}.",
        "papers": ledger.papers,
        "tested": ledger.tested,
        "digest": ledger.claims_sha256,
        "tolerances": ledger.tolerances_sha256,
        "claims": [_claim_view(claim) for claim in ledger.claims],
    }


def _claim_view(claim: JudgedClaim) -> dict[str, Any]:
    step = claim.steps[claim.weakest] if claim.steps else None
    is_ratio = claim.test == "speed"
    number = partial(printed_number, signed=not is_ratio, decimals=2)
    steps = [
        {
            "cell": {"name": step.cell, "at": step.at[0]},
            "against": {"name": step.against, "at": step.at[1]},
            "gain": number(step.gain),
            "interval": RANGE.join(map(number, step.interval)),
        }
        for step in claim.steps
    ]
    return {
        "id": claim.id,
        "section": claim.section,
        "claim": claim.claim,
        "verdict": claim.verdict,
        "sign": DECISION_SIGNS[claim.verdict],
        "chip": claim.verdict.replace(" ", "-"),
        "test": _test_in_words(claim),
        "gain": number(step.gain) + TIMES * is_ratio if step else "",
        "interval": RANGE.join(map(number, step.interval)) if step else "",
        "tested": claim.tested,
        "p": _printed_p(claim.p_holm),
        "n": f"{step.n:,}" if step else "",
        "seeds": f"{step.seeds} seeds" if step and step.seeds > 1 else "",
        "reason": claim.reason,
        "why": claim.why,
        "steps": steps if len(steps) > 1 else [],
        "where": steps[0] if len(steps) == 1 else None,
    }


def _test_in_words(claim: JudgedClaim) -> str:
    margin = printed_number(claim.margin)
    return {
        "superiority": f"better; less than {margin} would be smaller than claimed",
        "ordering": f"each better than the one before; less than {margin} would be smaller than claimed",
        "non-inferiority": f"worse by less than {margin}",
        "equivalence": f"{f'by {claim.by:g}, ' if claim.by else ''}within {margin}",
        "arithmetic": "arithmetic",
        "speed": f"at least {claim.by - claim.margin:g} times",
    }[claim.test]


def _printed_p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
