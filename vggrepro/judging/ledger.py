"""The ledger: every claim of the paper, and of the user, judged on which images each system gets wrong. No torch.

Begin with `judge_claims`; `comparisons.py` compares cells, `decisions.py` turns p-values into verdicts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from vggrepro.core.checksums import CHECKSUMS_SUFFIX, write_list
from vggrepro.core.files import file_digest, write_json, write_text
from vggrepro.core.validation import read_typed
from vggrepro.judging.comparisons import NotRunError, OutcomesReader, TestedComparison, compare_cells
from vggrepro.judging.costs import compare_costs, compare_speeds, counted_bytes, step_differences
from vggrepro.judging.decisions import Decision, JudgedClaim, corrected, leaning, unjudged
from vggrepro.judging.unstaged import audited_unstaged
from vggrepro.paper.claims import CLAIMS_FILE, RATIOS, Claim, printed_gains
from vggrepro.paper.tables import table_name
from vggrepro.paper.tolerances import tolerances_digest
from vggrepro.scores.outcomes import Outcomes, read_outcomes
from vggrepro.settings.claims import ClaimFamily, claim_families
from vggrepro.settings.models import Settings
from vggrepro.tables.lineage import FinishedTraining
from vggrepro.tables.render import read_table


@dataclass(frozen=True)
class ClaimsFile:
    """A file of the user's claims, which are a family of their own."""

    name: str
    """In the setting `claims`."""
    file: str
    sha256: str
    tested: int
    """Its claims with a p-value."""


@dataclass(frozen=True)
class Ledger:
    """All claims, judged."""

    papers: bool
    """Whether images and settings are the paper's: else the verdicts are of these images, not of the paper."""
    tested: int
    """Claims of the paper with a p-value, over which Holm's correction is made."""
    claims_sha256: str
    tolerances_sha256: str
    claims: tuple[JudgedClaim, ...]
    """The paper's, those that are ours, those of each file of the user's; then the same judged again on every reference."""
    family: str = ""
    """Over which claims Holm's correction is made."""
    files: tuple[ClaimsFile, ...] = ()
    """The files of the user's claims."""


def judge_claims(
    settings: Settings, tables: Path, trainings: Sequence[FinishedTraining] = (), path: Path = CLAIMS_FILE
) -> Ledger:
    """The ledger of the claims in the file `path` and in the user's, from outcomes and tables in `tables`, and from trainings.

    Raises ValueError for claims that are wrong, and for outcomes of different images.
    """
    read = cache(partial(_read_outcomes, settings, tables))
    claims = [
        claim
        for family in claim_families(settings, path)
        for claim in _judge_family(family, settings, tables, trainings, read)
    ]
    listed = [claim for claim in claims if not claim.file and not claim.reference]
    tested = _tested(claim for claim in claims if claim.papers)
    own = {
        name: _tested(claim for claim in claims if claim.file == name and not claim.reference)
        for name in settings.claims
    }
    return Ledger(
        papers=all(_comparable(tables / f"{name}.json") for name in _compared_tables(listed)),
        tested=tested,
        claims_sha256=file_digest(path),
        tolerances_sha256=tolerances_digest(),
        claims=tuple(claims),
        family=FAMILY.format(tested=tested),
        files=tuple(
            ClaimsFile(name, file, file_digest(Path(file)), own[name]) for name, file in settings.claims.items()
        ),
    )


def _tested(claims: Iterable[JudgedClaim]) -> int:
    return sum(claim.p is not None for claim in claims)


def _judge_family(
    family: ClaimFamily,
    settings: Settings,
    tables: Path,
    trainings: Sequence[FinishedTraining],
    read: OutcomesReader,
) -> list[JudgedClaim]:
    """The claims of a family, judged, after Holm's correction among them."""
    claims: list[JudgedClaim] = []
    remarks: dict[str, str] = {}
    comparisons: dict[str, list[TestedComparison]] = {}
    for claim in family.claims:
        printed = printed_gains(claim, settings.table)
        try:
            if claim.test in ("arithmetic", "equality") or claim.of == "memory":
                claims.append(_judge_counted(claim, settings, tables, trainings))
                continue
            _check_constants(claim, settings, tables)
            comparisons[claim.id] = _compared(claim, settings, tables, trainings, read)
            remarks[claim.id] = _remarks(claim, comparisons[claim.id], settings, tables)
            claims.append(leaning(claim, comparisons[claim.id], printed))
        except NotRunError as missing:
            claims.append(replace(unjudged(claim, printed), reason=str(missing)))
    return [
        replace(
            claim,
            reason="; ".join(filter(None, (claim.reason, remarks.get(claim.id)))),
            file=family.file,
            reference=family.reference,
        )
        for claim in corrected(claims, comparisons)
    ]


FAMILY = (
    "the {tested} claims of the paper that were tested; a claim that is judged on two quantities, such as top-1 and top-5, "
    "counts twice. Claims that were not run, and those that follow from arithmetic, counted bytes or equal steps, have no "
    "p-value and do not count. Claims that are not the paper's are corrected among themselves, file by file; so is what is "
    "judged again on other labels or images"
)


def _compared(
    claim: Claim, settings: Settings, tables: Path, trainings: Sequence[FinishedTraining], read: OutcomesReader
) -> list[TestedComparison]:
    match claim.test:
        case "speed":
            return compare_speeds(claim, trainings)
        case "cost":
            return compare_costs(claim, settings.table, trainings)
    return compare_cells(settings, claim, read, elsewhere=_is_elsewhere(claim, tables))


def _is_elsewhere(claim: Claim, tables: Path) -> bool:
    """Whether a claim is judged on other images than those of the paper."""
    numbers = {place.table for pair in claim.compared() for place in pair}
    return any(claim.quantity in _other_data(tables, number) for number in numbers)


def _other_data(tables: Path, number: str) -> tuple[str, ...]:
    """The quantities of a table that were measured on other images than the paper's; none of a table that was not made."""
    file = tables / f"{table_name(number)}.json"
    return _read_other_data(file, file.stat().st_mtime_ns) if file.exists() else ()


@cache
def _read_other_data(file: Path, _version: int) -> tuple[str, ...]:
    return read_table(file).other_data


def _check_constants(claim: Claim, settings: Settings, tables: Path) -> None:
    """A NotRunError for a system that is not there, and where ours are of other images than a number that the paper quotes."""
    for place, against in claim.compared():
        for cell in (place, against):
            if cell.is_absent(settings.table):
                raise NotRunError(f"{cell.label}: no such system is imported here")
        if not against.row(settings.table).ours and claim.quantity in _other_data(tables, place.table):
            raise NotRunError(
                f"{against.label} is of the paper's images, and {place.label} is of others: nothing to compare"
            )


def _compared_tables(claims: Sequence[JudgedClaim]) -> set[str]:
    """The names of the tables whose cells are compared."""
    return {
        cell.rsplit("-", 2)[0]
        for claim in claims
        if claim.test not in RATIOS
        for step in claim.steps
        for cell in step.at
    }


def _comparable(table: Path) -> bool:
    """Whether the cells of a table can be compared with the paper's."""
    if not table.exists():
        return False
    verdicts = {cell.verdict for row in read_table(table).rows for cell in row.cells}
    return not verdicts & {"other data", "other settings"}


def _read_outcomes(settings: Settings, tables: Path, number: str, of: str) -> Outcomes:
    """The outcomes of a table, ours or of results from random weights; none where it was not made."""
    if of:
        return audited_unstaged(settings, number, of).outcomes
    file = tables / f"{table_name(number)}.npz"
    return read_outcomes(file) if file.exists() else Outcomes(number, ())


ONE_SEED_ELSEWHERE = "one seed: how trainings differ on these images is not known"


def _remarks(claim: Claim, comparisons: Sequence[TestedComparison], settings: Settings, tables: Path) -> str:
    """What a verdict rests on that is not measured, and how nets that a claim compares were made otherwise than each other."""
    unknown = any(each.unknown_spread for each in comparisons)
    places = {(place.table, place.of) for pair in claim.compared() for place in pair if place.of}
    remarks = (
        audited_unstaged(settings, number, of).remarks(tables / f"{table_name(number)}.json")
        for number, of in sorted(places)
    )
    of_seeds = ONE_SEED_ELSEWHERE if unknown else ""
    return "; ".join(filter(None, (of_seeds, *remarks, *_trained_unlike(claim, settings, tables))))


def _trained_unlike(claim: Claim, settings: Settings, tables: Path) -> Iterator[str]:
    """Which compared cells are of released nets that different people trained: what they differ in may be the training."""
    if not settings.released:
        return
    for pair in claim.compared():
        if any(place.of or not place.row(settings.table).ours for place in pair):
            continue
        makers = [_makers(place.cell(claim.quantity, settings.table), tables, place.table) for place in pair]
        if makers[0] != makers[1]:
            each = (f"{place.label} ({maker})" for place, maker in zip(pair, makers, strict=True))
            yield f"not trained alike, so that the difference may be of the training: {', '.join(each)}"


def _makers(cell: str, tables: Path, number: str) -> str:
    """Who trained the released nets behind a cell, by its table's findings."""
    findings = read_table(tables / f"{table_name(number)}.json").findings
    did = [
        finding.did for finding in findings if finding.rule in ("released", "released-scale") and cell in finding.cells
    ]
    return " and ".join(did) or "released weights, trained by the authors"


def _judge_counted(
    claim: Claim, settings: Settings, tables: Path, trainings: Sequence[FinishedTraining]
) -> JudgedClaim:
    """A claim that needs no images: weights of filters and of nets, memory and steps of trainings. Nothing is estimated."""
    blank = unjudged(claim)
    if claim.test == "equality":
        differences = step_differences(claim, trainings)
        equal: Decision = "supported" if all(each <= claim.margin for _, each in differences) else "refuted"
        return replace(
            blank, verdict=equal, reason="; ".join(f"{what}: {each:.1g} apart" for what, each in differences)
        )
    if claim.of == "memory":
        pairs = counted_bytes(claim, settings.table, trainings)
        reason = "; ".join(f"{what}: {first / 2**30:.2f} to {other / 2**30:.2f} GB" for what, first, other in pairs)
        dearer: Decision = "supported" if all(first > other for _, first, other in pairs) else "refuted"
        return replace(blank, verdict=dearer, reason=reason)
    if claim.of == "filters":
        # weights per pair of channels; both see 7x7, three layers one of each layer's neighbours at a time
        stacked, single, seen = 3 * 3**2, 7**2, 1 + 3 * (3 - 1)
        more = 100 * (single / stacked - 1)
        verdict: Decision = "supported" if round(more) == claim.by and seen == 7 else "refuted"
        reason = f"{single} to {stacked} weights for C to C channels: {more:.1f}% more"
        return replace(blank, verdict=verdict, reason=reason)
    file = tables / f"{table_name('2')}.json"
    if not file.exists():
        raise NotRunError("Table 2 was not made")
    cells = [cell for row in read_table(file).rows for cell in row.cells if cell.verdict]
    if claim.of == "most-weights":
        most = max(cell.value for cell in cells if cell.value is not None)
        return replace(
            blank, verdict="supported" if most <= claim.by else "refuted", reason=f"{most:.1f} million at most"
        )
    verdict = "supported" if cells and all(cell.verdict == "agrees" for cell in cells) else "refuted"
    counts = ", ".join(f"{round(1e6 * cell.value):,}" for cell in cells if cell.value is not None)
    return replace(blank, verdict=verdict, reason=f"counted: {counts}")


def write_ledger(ledger: Ledger, out: Path) -> None:
    """Write `claims.json` and `claims.csv`, a line per claim, into the folder `out`."""
    write_json(out / "claims.json", asdict(ledger))
    text = io.StringIO()
    lines = [_csv_line(claim) for claim in ledger.claims]
    writer = csv.DictWriter(text, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(out / "claims.csv", text.getvalue())
    write_list(out / f"claims{CHECKSUMS_SUFFIX}", (out / "claims.json", out / "claims.csv"))


def _csv_line(claim: JudgedClaim) -> dict[str, Any]:
    """The claim, and the step that decides it."""
    step = claim.steps[claim.weakest] if claim.steps else None
    low, high = step.interval if step else ("", "")
    names = (
        "id",
        "same_as",
        "ours",
        "file",
        "reference",
        "section",
        "claim",
        "test",
        "quantity",
        "by",
        "margin",
        "verdict",
    )
    return {name: getattr(claim, name) for name in names} | {
        "cell": step.cell if step else "",
        "against": step.against if step else "",
        "gain": f"{step.gain:.6g}" if step else "",
        "low": f"{low:.6g}" if step else "",
        "high": f"{high:.6g}" if step else "",
        "tested": claim.tested,
        "p": "" if claim.p is None else f"{claim.p:.6g}",
        "p_holm": "" if claim.p_holm is None else f"{claim.p_holm:.6g}",
        "n": step.n if step else "",
        "seeds": step.seeds if step else "",
        "reason": claim.reason,
        "limits": claim.limits,
    }


def read_ledger(path: Path) -> Ledger:
    """The ledger in a `claims.json`; a ValueError that names the file where it is damaged."""
    return read_typed(Ledger, path, "judge the claims again")
