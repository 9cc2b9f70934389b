"""The report's section on claims: a ledger as strings. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from vggrepro.judging.decisions import Decision, JudgedClaim
from vggrepro.judging.ledger import Ledger
from vggrepro.paper.claims import RATIOS
from vggrepro.tables.numbers import RANGE, printed_number, printed_p

TIMES = "\u00d7"
DECISION_SIGNS: dict[Decision, str] = {
    "supported": "\u2713",
    "smaller than claimed": "<",
    "refuted": "\u2717",
    "undecided": "?",
    "not run": "\u2013",
}
"""Printed before a verdict, so that it can be read without colours."""


def claims_section(ledger: Ledger) -> dict[str, Any]:
    """A ledger as strings."""
    papers = [claim for claim in ledger.claims if claim.papers]
    where = "" if ledger.papers else " on these images"
    return {
        "summary": f"Of {len(papers)} claims of the paper{where}: {_counted(papers)}.",
        "papers": ledger.papers,
        "family": ledger.family,
        "files": [vars(file) for file in ledger.files],
        "again": _judged_again(ledger),
        "digest": ledger.claims_sha256,
        "tolerances": ledger.tolerances_sha256,
        "parts": [
            {"heading": heading, "claims": [_claim_view(claim) for claim in claims]}
            for heading, claims in parts_of(claim for claim in ledger.claims if not claim.reference)
        ],
    }


def _judged_again(ledger: Ledger) -> list[dict[str, Any]]:
    """For each reference: how many claims keep their verdict on it, which change it, and the claims as judged there."""
    first = {claim.id: claim for claim in ledger.claims}
    names = dict.fromkeys(claim.reference for claim in ledger.claims if claim.reference)
    sections = []
    for name in names:
        again = [claim for claim in ledger.claims if claim.reference == name]
        run = [
            (first[claim.same_as], claim)
            for claim in again
            if "not run" not in (claim.verdict, first[claim.same_as].verdict)
        ]
        changed = [(was, now) for was, now in run if was.verdict != now.verdict]
        changes = "; ".join(f"{was.id} ({was.verdict}, here {now.verdict})" for was, now in changed)
        sections.append(
            {
                "name": name,
                "summary": f"{len(run) - len(changed)} of {len(run)} claims that were judged on both keep their verdict"
                + (f". Changed: {changes}" if changes else ""),
                "claims": [_claim_view(claim) for claim in again if claim.verdict != "not run"],
            }
        )
    return sections


def _counted(claims: Sequence[JudgedClaim]) -> str:
    """`12 supported, 2 refuted`."""
    counts = Counter(claim.verdict for claim in claims)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in DECISION_SIGNS if counts[verdict])


OURS = "Not the paper's, but ours"
"""The heading above claims that the paper does not make."""
YOURS = "Not the paper's, but yours"
"""The heading above the claims of a user's file, before its name."""


def parts_of(claims: Iterable[JudgedClaim]) -> list[tuple[str, list[JudgedClaim]]]:
    """The claims by section of the paper, in the ledger's order, with a heading; then ours, then each file of the user's."""
    parts: dict[str, list[JudgedClaim]] = {}
    for claim in sorted(claims, key=lambda claim: (bool(claim.file), claim.ours)):
        parts.setdefault(_heading(claim), []).append(claim)
    return list(parts.items())


def _heading(claim: JudgedClaim) -> str:
    if claim.file:
        return f"{YOURS}: {claim.file}"
    kind = "Section" if claim.section[0].isdigit() else "Appendix"
    return OURS if claim.ours else f"{kind} {claim.section}"


def _claim_view(claim: JudgedClaim) -> dict[str, Any]:
    step = claim.steps[claim.weakest] if claim.steps else None
    is_ratio = claim.test in RATIOS
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
        "claim": claim.claim if claim.reference or not claim.same_as else f"The same in {claim.quantity}.",
        "quantity": claim.quantity if claim.reference or not claim.same_as else "",
        "verdict": claim.verdict,
        "sign": DECISION_SIGNS[claim.verdict],
        "chip": claim.verdict.replace(" ", "-"),
        "test": _test_in_words(claim),
        "gain": number(step.gain) + TIMES * is_ratio if step else "",
        "interval": RANGE.join(map(number, step.interval)) if step else "",
        "tested": claim.tested,
        "trainings": step.trainings if step else "",
        "p": printed_p(claim.p_holm),
        "n": f"{step.n:,}" if step else "",
        "seeds": f"{step.seeds} seeds" if step and step.seeds > 1 else "",
        "reason": claim.reason,
        "why": claim.why,
        "limits": claim.limits,
        "printed": _printed_gains(claim),
        "steps": steps if len(steps) > 1 else [],
        "where": steps[0] if len(steps) == 1 else None,
    }


def _printed_gains(claim: JudgedClaim) -> str:
    """The gains in print, the smallest first; empty where the paper does not print them all."""
    gains = [gain for gain in claim.printed if gain is not None]
    ends = dict.fromkeys((min(gains), max(gains))) if gains and len(gains) == len(claim.printed) else ()
    return " to ".join(printed_number(gain, signed=True) for gain in ends)


def _test_in_words(claim: JudgedClaim) -> str:
    margin = f"{claim.margin:g}"
    size = f"by more than {claim.by:g}" if claim.by else f"less than {margin} would be smaller than claimed"
    return {
        "superiority": f"better; {size}",
        "ordering": f"each better than the one before; less than {margin} would be smaller than claimed",
        "non-inferiority": f"worse by less than {margin}",
        "equivalence": f"{f'by {claim.by:g}, ' if claim.by else ''}within {margin}",
        "arithmetic": "arithmetic",
        "equality": f"the same to {margin} of it",
        "cost": "more than one time" if claim.p is not None else "dearer",
        "speed": f"at least {claim.by - claim.margin:g} times",
    }[claim.test]
