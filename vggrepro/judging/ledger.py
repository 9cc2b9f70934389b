"""The ledger: every claim of the paper, judged on which images each system gets wrong. No torch.

Begin with `judge_claims`; `comparisons.py` compares cells, `decisions.py` turns p-values into verdicts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from vggrepro.core.files import file_digest, read_json, write_json, write_text
from vggrepro.core.validation import read_typed
from vggrepro.judging.comparisons import NotRunError, TestedStep, compare_cells, compare_speeds
from vggrepro.judging.decisions import Decision, JudgedClaim, corrected, leaning, unjudged
from vggrepro.judging.verdicts import tolerances_digest
from vggrepro.paper.claims import CLAIMS_FILE, Claim, load_claims
from vggrepro.paper.tables import table_name
from vggrepro.scores.outcomes import Outcomes, read_outcomes
from vggrepro.settings.models import Settings
from vggrepro.tables.lineage import FinishedTraining
from vggrepro.tables.render import read_table


@dataclass(frozen=True)
class Ledger:
    """All claims, judged."""

    papers: bool
    """Whether images and settings are the paper's: else the verdicts are of these images, not of the paper."""
    tested: int
    """Claims with a p-value, over which Holm's correction is made."""
    claims_sha256: str
    tolerances_sha256: str
    claims: tuple[JudgedClaim, ...]


def judge_claims(
    settings: Settings, tables: Path, trainings: Sequence[FinishedTraining] = (), path: Path = CLAIMS_FILE
) -> Ledger:
    """The ledger of the claims in the file `path`, from the outcomes and tables in the folder `tables`, and from trainings.

    Raises ValueError for claims that are wrong, and for outcomes of different images.
    """
    read = cache(partial(_read_outcomes, settings, tables))
    claims: list[JudgedClaim] = []
    comparisons: dict[str, list[TestedStep]] = {}
    for claim in load_claims(settings.table, path):
        try:
            if claim.test == "arithmetic":
                claims.append(_judge_arithmetic(claim, tables))
                continue
            by_speed = claim.test == "speed"
            compared = compare_speeds(claim, trainings) if by_speed else compare_cells(settings, claim, read)
            comparisons[claim.id] = compared
            claims.append(leaning(claim, compared))
        except NotRunError as missing:
            claims.append(replace(unjudged(claim), reason=str(missing)))
    return Ledger(
        papers=all(_comparable(tables / f"{name}.json") for name in _compared_tables(claims)),
        tested=sum(claim.p is not None for claim in claims),
        claims_sha256=file_digest(path),
        tolerances_sha256=tolerances_digest(),
        claims=corrected(claims, comparisons),
    )


def _compared_tables(claims: Sequence[JudgedClaim]) -> set[str]:
    """The names of the tables whose cells are compared."""
    return {
        cell.partition("-")[0] for claim in claims if claim.test != "speed" for step in claim.steps for cell in step.at
    }


def _comparable(table: Path) -> bool:
    """Whether the cells of a table can be compared with the paper's."""
    if not table.exists():
        return False
    verdicts = {cell.verdict for row in read_table(table).rows for cell in row.cells}
    return not verdicts & {"other data", "other settings"}


def _read_outcomes(settings: Settings, tables: Path, number: str, of: str) -> Outcomes:
    """The outcomes of a table, ours or of results from random weights; none where it was not made."""
    file = (_unstaged_tables(settings, of) if of else tables) / f"{table_name(number)}.npz"
    return read_outcomes(file) if file.exists() else Outcomes(number, ())


def _unstaged_tables(settings: Settings, of: str) -> Path:
    """The tables of nets that began with random weights of this kind; a ValueError where they began otherwise."""
    if not settings.staged:
        raise NotRunError("these nets start from random weights themselves (staged=false)")
    if of not in settings.unstaged:
        raise NotRunError(f"no results from random weights were given: unstaged={{{of}: FOLDER}}")
    folder = Path(settings.unstaged[of])
    files = sorted(folder.glob("runs/*_256_s*/run.json"))
    if not files:
        raise ValueError(
            f"unstaged.{of}: {folder}: no results of trainings at S = 256 in it: name a folder below results/"
        )
    for file in files:
        record = read_json(file, ("parent", "settings"))
        if record["parent"] or record["settings"]["train"]["init"] != of:
            raise ValueError(
                f"unstaged.{of}: {file}: begins otherwise: train there with staged=false train={{init: {of}}}"
            )
    return folder / "tables"


def _judge_arithmetic(claim: Claim, tables: Path) -> JudgedClaim:
    """A claim that needs no images: that filters have fewer weights, or how many parameters the nets have."""
    blank = unjudged(claim)
    if claim.of == "filters":
        # weights per pair of channels; both see 7x7, three layers one of each layer's neighbours at a time
        stacked, single, seen = 3 * 3**2, 7**2, 1 + 3 * (3 - 1)
        more = 100 * (single / stacked - 1)
        verdict: Decision = "supported" if round(more) == 81 and seen == 7 else "refuted"
        reason = f"{single} to {stacked} weights for C to C channels: {more:.1f}% more"
        return replace(blank, verdict=verdict, reason=reason)
    file = tables / f"{table_name('2')}.json"
    if not file.exists():
        raise NotRunError("Table 2 was not made")
    cells = [cell for row in read_table(file).rows for cell in row.cells if cell.verdict]
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


def _csv_line(claim: JudgedClaim) -> dict[str, Any]:
    """The claim, and the step that decides it."""
    step = claim.steps[claim.weakest] if claim.steps else None
    low, high = step.interval if step else ("", "")
    names = ("id", "section", "claim", "test", "quantity", "by", "margin", "verdict")
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
    }


def read_ledger(path: Path) -> Ledger:
    """The ledger in a `claims.json`; a ValueError that names the file where it is damaged."""
    return read_typed(Ledger, path, "judge the claims again")
