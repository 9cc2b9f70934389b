"""The ledger: every claim of the paper, judged on which images each system gets wrong. No torch.

A claim is supported or refuted where its p-value, after Holm's correction over the ledger, is at most 5%, else undecided.

Superiority is tested by McNemar's exact test (one seed), or by the nested variance of images and seeds, or of splits, both
two-sided. It is refuted where the sign is the other one; and where there is no gain (0 or less) and one shown to be smaller
than the margin. A true gain, however small, is never refuted by many images: it ends as supported. Equivalence is tested by
two one-sided tests, and refuted where the difference surely lies outside the margin.

Of several pairs each has to hold: the largest p-value is that of all (intersection-union). One that fails is enough to
refute: the smallest p-value, times their number. Claims that were not run, and those of arithmetic, have no p-value and are
not counted in the correction.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vggrepro.core.files import file_digest, read_json, write_json, write_text
from vggrepro.core.validation import read_typed
from vggrepro.judging import verdicts
from vggrepro.paper import claims
from vggrepro.paper.claims import CellPlace, Claim
from vggrepro.paper.tables import table_name
from vggrepro.scores import statistics
from vggrepro.scores.outcomes import Errors, Outcome, Outcomes, Shares
from vggrepro.scores.outcomes import read_outcomes as read_outcomes
from vggrepro.scores.statistics import Estimate
from vggrepro.settings.models import Settings
from vggrepro.tables import render
from vggrepro.tables.lineage import Training

ALPHA = 0.05

Decision = Literal["supported", "refuted", "undecided", "not run"]


@dataclass(frozen=True)
class Step:
    """Two cells compared in pairs of images. Gains are in points, positive where the cell is better; of speed, a ratio."""

    cell: str
    against: str
    at: tuple[str, str]
    """Ids of the two cells; of speed, where trainings stand in the report."""
    gain: float
    interval: tuple[float, float]
    """95%."""
    n: int
    """Images; of speed, epochs."""
    seeds: int
    p_for: float
    p_against: float
    needed: str = ""
    """What would decide it, were it so in truth."""


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict."""

    id: str
    section: str
    claim: str
    test: str
    quantity: str
    by: float
    margin: float
    why: str
    verdict: Decision = "not run"
    reason: str = ""
    """Why it was not run, what decided it, or what would."""
    p: float | None = None
    """Of the decision that the outcomes lean to, before correction."""
    p_holm: float | None = None
    steps: tuple[Step, ...] = ()
    weakest: int = 0
    """The step that decides: its estimate stands for the claim."""


@dataclass(frozen=True)
class Ledger:
    """All claims, judged."""

    papers: bool
    """Whether images and settings are the paper's: else the verdicts are of these images, not of the paper."""
    tested: int
    """Claims with a p-value, over which Holm's correction is made."""
    claims_sha256: str
    tolerances_sha256: str
    claims: tuple[Judged, ...]


@dataclass(frozen=True)
class _Compared:
    """What a step is made of, before and after it was tested."""

    step: Step
    estimate: Estimate
    """In points, or logarithms of ratios."""
    unit: str
    """What it is a mean over: images, splits, epochs."""


Read = Callable[[str, str], Outcomes]
"""The outcomes of a table by its number, ours or, by their name, those of other results."""


class NotRunError(Exception):
    """Something that a claim needs was not run."""


def judge_claims(
    settings: Settings, tables: Path, runs: Sequence[Training] = (), path: Path = claims.CLAIMS_FILE
) -> Ledger:
    """The ledger from the outcomes and tables in the folder `tables`, and from trainings.

    Raises ValueError for claims that are wrong, and for outcomes of different images.
    """
    read = cache(partial(_read, settings, tables))
    judged, compared = [], {}
    for claim in claims.load_claims(settings.table, path):
        try:
            if claim.test == "arithmetic":
                judged.append(_arithmetic(claim, tables))
                continue
            compared[claim.id] = _speed(claim, runs) if claim.test == "speed" else _pairs(settings, claim, read)
            judged.append(_tested(claim, compared[claim.id]))
        except NotRunError as missing:
            judged.append(replace(_blank(claim), reason=str(missing)))
    counted = [j for j in judged if j.p is not None]
    adjusted = dict(
        zip((j.id for j in counted), statistics.holm([j.p for j in counted if j.p is not None]), strict=True)
    )
    left = sum(p > ALPHA for p in adjusted.values())
    decided = [_decided(j, adjusted[j.id], compared[j.id], left) if j.id in adjusted else j for j in judged]
    shown = {cell.partition("-")[0] for j in judged if j.test != "speed" for step in j.steps for cell in step.at}
    papers = all(_compares(tables / f"{name}.json") for name in shown)
    return Ledger(papers, len(counted), file_digest(path), verdicts.tolerances_digest(), tuple(decided))


def _compares(table: Path) -> bool:
    """Whether the cells of a table may be compared with the paper's."""
    said = (
        {cell.verdict for row in render.read_table(table).rows for cell in row.cells}
        if table.exists()
        else {"other data"}
    )
    return not said & {"other data", "other settings"}


def tested_claim(settings: Settings, claim: Claim, read: Read) -> Judged:
    """One claim on outcomes, before it is corrected for the others: its verdict is what the outcomes lean to."""
    return _tested(claim, _pairs(settings, claim, read))


def _blank(claim: Claim) -> Judged:
    return Judged(claim.id, claim.section, claim.claim, claim.test, claim.quantity, claim.by, claim.margin, claim.why)


def _read(settings: Settings, tables: Path, number: str, of: str) -> Outcomes:
    """The outcomes of a table, ours or of results from random weights; none where it was not made."""
    file = (_unstaged(settings, of) if of else tables) / f"{table_name(number)}.npz"
    return read_outcomes(file) if file.exists() else Outcomes(number, ())


def _unstaged(settings: Settings, of: str) -> Path:
    """The tables of nets that began as random weights of this kind; a ValueError where they began otherwise."""
    if not settings.staged:
        raise NotRunError("these nets start from random weights themselves (staged=false)")
    if of not in settings.unstaged:
        raise NotRunError(f"no results from random weights were given: unstaged={{{of}: FOLDER}}")
    folder = Path(settings.unstaged[of])
    runs = sorted(folder.glob("runs/*_256_s*/run.json"))
    if not runs:
        raise ValueError(
            f"unstaged.{of}: {folder}: no results of trainings at S = 256 in it: name a folder below results/"
        )
    for file in runs:
        said = read_json(file, ("parent", "settings"))
        if said["parent"] or said["settings"]["train"]["init"] != of:
            raise ValueError(
                f"unstaged.{of}: {file}: begins otherwise: train there with staged=false train={{init: {of}}}"
            )
    return folder / "tables"


def _pairs(settings: Settings, claim: Claim, read: Read) -> list[_Compared]:
    """Every pair of a claim, compared; NotRunError where an outcome is missing."""
    found = []
    for place, against in claim.compared():
        ours, theirs = (_outcome(p, claim.quantity, read(p.table, p.of)) for p in (place, against))
        if ours.images != theirs.images or type(ours) is not type(theirs):
            raise ValueError(
                f"claim {claim.id}: {place.label} and {against.label} are of different images: make the tables anew"
            )
        estimate, n, seeds, p, unit = _difference(ours, theirs)
        at = place.cell(claim.quantity, settings.table), against.cell(claim.quantity, settings.table)
        step = Step(
            place.label, against.label, at, estimate.mean, estimate.interval(), n, seeds, *_sides(claim, estimate, p)
        )
        found.append(_Compared(step, estimate, unit))
    return found


def _outcome(place: CellPlace, quantity: str, found: Outcomes) -> Outcome:
    rows = [entry.outcome for entry in found.entries if entry.quantity == quantity and place.matches(entry.row)]
    if not rows:
        raise NotRunError(f"{place.label} was not measured")
    return rows[0]


def _difference(ours: Outcome, theirs: Outcome) -> tuple[Estimate, int, int, float, str]:
    """By how much the first is better, in points; images; seeds; the two-sided p-value of no difference; what was drawn."""
    seeds = min(len(ours.values), len(theirs.values))
    if isinstance(ours, Errors) and isinstance(theirs, Errors):
        better = theirs.values[:seeds] - ours.values[:seeds]
        estimate = statistics.nested(better)
        if seeds > 1:
            return _points(estimate), ours.n, seeds, estimate.differs(), "images"
        p = statistics.mcnemar_exact(int((better < 0).sum()), int((better > 0).sum()))
        return _points(estimate), ours.n, seeds, p, "images"
    assert isinstance(ours, Shares)
    assert isinstance(theirs, Shares)
    better = ours.values[:seeds] - theirs.values[:seeds]
    if ours.resampled.size:
        resampled = ours.resampled[:seeds] - theirs.resampled[:seeds]
        estimate, unit = statistics.of_resamples(better[:, 0], resampled, ours.groups), "images"
    else:
        estimate, unit = statistics.of_splits(better, ours.n), "splits"
    return _points(estimate), ours.n, seeds, estimate.differs(), unit


def _points(estimate: Estimate) -> Estimate:
    drawn = tuple((1e4 * variance, df) for variance, df in estimate.drawn)
    return Estimate(100 * estimate.mean, 1e4 * estimate.images, drawn, 1e4 * estimate.shared)


def _sides(claim: Claim, estimate: Estimate, p: float) -> tuple[float, float]:
    """p-values for a claim, and against it; `p` is that of no difference."""
    if claim.test == "equivalence":
        low, high = claim.by - claim.margin, claim.by + claim.margin
        return estimate.equivalent(low, high), estimate.outside(low, high)
    p_for = p if estimate.mean > 0 else 1.0
    p_against = p if estimate.mean < 0 else 1.0
    if claim.margin and estimate.mean <= 0:
        p_against = min(p_against, estimate.below(claim.margin))
    return p_for, p_against


def _tested(claim: Claim, found: Sequence[_Compared]) -> Judged:
    """A claim with its steps and the p-value that the outcomes lean to."""
    steps = tuple(compared.step for compared in found)
    p_for = max(step.p_for for step in steps)
    p_against = min(1.0, len(steps) * min(step.p_against for step in steps))
    if p_for <= p_against:
        weakest = max(range(len(steps)), key=lambda i: steps[i].p_for)
    else:
        weakest = min(range(len(steps)), key=lambda i: steps[i].p_against)
    leaning: Decision = "supported" if p_for <= p_against else "refuted"
    return replace(_blank(claim), verdict=leaning, p=min(p_for, p_against), steps=steps, weakest=weakest)


def _decided(judged: Judged, p_holm: float, found: Sequence[_Compared], left: int) -> Judged:
    """The claim with its verdict after correction; `left` claims are undecided."""
    if p_holm <= ALPHA:
        return replace(judged, p_holm=p_holm)
    # the smallest p-value of those left decides next, and is held against this
    tail = ALPHA / left
    steps = tuple(replace(c.step, needed=_needed(judged, c, tail, len(found))) for c in found)
    weakest = steps[judged.weakest]
    reason = f"{weakest.needed} would decide it" if weakest.needed else "no number of images or seeds would decide it"
    return replace(judged, verdict="undecided", p_holm=p_holm, steps=steps, reason=reason)


def _needed(judged: Judged, compared: _Compared, tail: float, steps: int) -> str:
    """How much more would decide a step with 80% power, if the truth is as it was estimated."""
    gain = compared.estimate.mean
    if judged.test == "superiority" or judged.test == "ordering":
        distance = gain if gain > 0 else max(judged.margin - gain, -gain)
        tail = tail / 2 if gain > 0 or not judged.margin else tail / steps
    elif judged.test == "equivalence":
        distance = abs(judged.margin - abs(gain - judged.by))
    else:
        distance = abs(gain - math.log(judged.by - judged.margin))
    step, estimate = compared.step, compared.estimate
    images = statistics.images_needed(estimate, distance, step.n, tail) if compared.unit == "images" else None
    more = statistics.seeds_needed(estimate, distance, tail)
    parts = [f"{_round(images):,} images in place of {step.n:,}"] if images else []
    few = "seeds" if compared.unit == "images" else compared.unit
    parts += [f"{more} {few} in place of {estimate.drawn[0][1] + 1}"] if more else []
    # one seed tells nothing of how many would do
    parts += ["more seeds"] if images and not estimate.drawn else []
    return " or ".join(parts)


def _round(number: int) -> int:
    """To two digits: an estimate of an estimate."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // unit) * unit


def _arithmetic(claim: Claim, tables: Path) -> Judged:
    """Claims that need no images."""
    if claim.of == "filters":
        # weights per pair of channels; both see 7x7, three layers one of each layer's neighbours at a time
        stacked, single, seen = 3 * 3**2, 7**2, 1 + 3 * (3 - 1)
        more = 100 * (single / stacked - 1)
        verdict: Decision = "supported" if round(more) == 81 and seen == 7 else "refuted"
        reason = f"{single} to {stacked} weights for C to C channels: {more:.1f}% more"
        return replace(_blank(claim), verdict=verdict, reason=reason)
    file = tables / f"{table_name('2')}.json"
    if not file.exists():
        raise NotRunError("Table 2 was not made")
    cells = [cell for row in render.read_table(file).rows for cell in row.cells if cell.verdict]
    off = sum(cell.verdict != "agrees" for cell in cells)
    counts = ", ".join(f"{round(1e6 * cell.value):,}" for cell in cells if cell.value is not None)
    return replace(_blank(claim), verdict="refuted" if off or not cells else "supported", reason=f"counted: {counts}")


def _speed(claim: Claim, runs: Sequence[Training]) -> list[_Compared]:
    """Images per second of a net on several GPUs against one of the same kind, epoch by epoch."""
    assert isinstance(claim.of, int)
    rates: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for run in runs:
        attempts = run.about["attempts"]
        # an epoch does not say which attempt it was part of
        if len(attempts) == 1 and attempts[0]["device"] != "CPU" and not run.run.localises:
            key = run.run.net, attempts[0]["device"], str(run.about["settings"]["model"])
            of = rates.setdefault(key, {}).setdefault(attempts[0]["processes"], [])
            of += [math.log(row["images_per_s"]) for row in run.metrics]
    found = []
    for (net, device, _), by in sorted(rates.items()):
        one, many = by.get(1, []), by.get(claim.of, [])
        if min(len(one), len(many)) > 1:
            drawn = tuple((float(np.var(rate, ddof=1)) / len(rate), len(rate) - 1) for rate in (many, one))
            estimate = Estimate(float(np.mean(many) - np.mean(one)), 0.0, drawn)
            low, high = (math.exp(bound) for bound in estimate.interval())
            limit = math.log(claim.by - claim.margin)
            sides = estimate.above(limit), estimate.below(limit)
            labels = f"{net} on {claim.of} x {device}", f"{net} on one", ("trainings", "trainings")
            step = Step(*labels, math.exp(estimate.mean), (low, high), len(one) + len(many), 1, *sides)
            found.append(_Compared(step, estimate, "epochs"))
    if not found:
        raise NotRunError(
            f"no net was trained on one GPU and on {claim.of} of the same kind, in one go and for two epochs each"
        )
    return found


# Files and words


def write_ledger(ledger: Ledger, out: Path) -> None:
    """Write `claims.json` and `claims.csv`, a line per claim, into the folder `out`."""
    write_json(out / "claims.json", asdict(ledger))
    text = io.StringIO()
    rows = [_row(judged) for judged in ledger.claims]
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out / "claims.csv", text.getvalue())


def _row(judged: Judged) -> dict[str, Any]:
    """A line: the claim, and the step that decides it."""
    step = judged.steps[judged.weakest] if judged.steps else None
    low, high = step.interval if step else ("", "")
    said = {name: getattr(judged, name) for name in ("id", "section", "claim", "test", "quantity", "by", "margin")}
    return said | {
        "verdict": judged.verdict,
        "cell": step.cell if step else "",
        "against": step.against if step else "",
        "gain": f"{step.gain:.6g}" if step else "",
        "low": f"{low:.6g}" if step else "",
        "high": f"{high:.6g}" if step else "",
        "p": "" if judged.p is None else f"{judged.p:.6g}",
        "p_holm": "" if judged.p_holm is None else f"{judged.p_holm:.6g}",
        "n": step.n if step else "",
        "seeds": step.seeds if step else "",
        "reason": judged.reason,
    }


def read_ledger(path: Path) -> Ledger:
    """The ledger in a `claims.json`; a ValueError that names the file where it is none."""
    return read_typed(Ledger, path, "judge the claims again")


TIMES = "\u00d7"
DECISION_SIGNS: dict[Decision, str] = {
    "supported": "\u2713",
    "refuted": "\u2717",
    "undecided": "?",
    "not run": "\u2013",
}
"""What stands before a verdict, for who does not see its colour."""


def claims_section(path: Path) -> dict[str, Any]:
    """What the report shows of a ledger, as strings."""
    ledger = read_ledger(path)
    counts = Counter(judged.verdict for judged in ledger.claims)
    said = [f"{counts[verdict]} {verdict}" for verdict in DECISION_SIGNS if counts[verdict]]
    where = "" if ledger.papers else " on these images"
    return {
        "summary": f"Of {len(ledger.claims)} claims of the paper{where}: {', '.join(said)}.",
        "papers": ledger.papers,
        "tested": ledger.tested,
        "digest": ledger.claims_sha256,
        "tolerances": ledger.tolerances_sha256,
        "claims": [_shown(judged) for judged in ledger.claims],
    }


def _shown(judged: Judged) -> dict[str, Any]:
    step = judged.steps[judged.weakest] if judged.steps else None
    times = judged.test == "speed"
    number = partial(render.printed_number, signed=not times, decimals=2)
    steps = [
        {
            "cell": {"name": s.cell, "at": s.at[0]},
            "against": {"name": s.against, "at": s.at[1]},
            "gain": number(s.gain),
            "interval": render.RANGE.join(map(number, s.interval)),
        }
        for s in judged.steps
    ]
    return {
        "id": judged.id,
        "section": judged.section,
        "claim": judged.claim,
        "verdict": judged.verdict,
        "sign": DECISION_SIGNS[judged.verdict],
        "chip": judged.verdict.replace(" ", "-"),
        "test": _test(judged),
        "gain": number(step.gain) + TIMES * times if step else "",
        "interval": render.RANGE.join(map(number, step.interval)) if step else "",
        "p": _p(judged.p_holm),
        "n": f"{step.n:,}" if step else "",
        "seeds": f"{step.seeds} seeds" if step and step.seeds > 1 else "",
        "reason": judged.reason,
        "why": judged.why,
        "steps": steps if len(steps) > 1 else [],
        "where": steps[0] if len(steps) == 1 else None,
    }


def _test(judged: Judged) -> str:
    """What is tested, in words."""
    margin = render.printed_number(judged.margin)
    return {
        "superiority": f"better; less than {margin} would be no gain",
        "ordering": f"each better than the one before; less than {margin} would be no gain",
        "equivalence": f"{f'by {judged.by:g}, ' if judged.by else ''}within {margin}",
        "arithmetic": "arithmetic",
        "speed": f"at least {judged.by - judged.margin:g} times",
    }[judged.test]


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
