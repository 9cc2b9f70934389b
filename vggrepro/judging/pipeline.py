"""How a table is made: read, build, audit, judge, write. Each stage takes a `Table` and gives one with more in it. No torch.

The audit refuses a table with a number that was made under a deviation that nobody declared, and adds the footnotes of those
that were declared. Verdicts come last, because a cell that deviates from the paper's protocol cannot be compared with it.
"""

from __future__ import annotations

from pathlib import Path

from vggrepro.core.checksums import CHECKSUMS_SUFFIX, write_list
from vggrepro.judging.audit import audit_table
from vggrepro.judging.variants import judge_variants
from vggrepro.judging.verdicts import judge_table
from vggrepro.scores.outcomes import write_outcomes
from vggrepro.settings.models import Settings
from vggrepro.tables.build import build_table
from vggrepro.tables.measurement import Inputs
from vggrepro.tables.render import TABLE_FORMATS, write_table


def make_table(number: str, settings: Settings, inputs: Inputs, *, runs: Path | None, out: Path) -> None:
    """Make Table `number` ("1" to "12", or "text") and write it, with its outcomes, into the folder `out`.

    Raises ValueError for a table that the paper does not have, and as `build_table` and `audit_table` do.
    """
    published = settings.table(number)
    table, measurement = build_table(published, settings, inputs)
    table = audit_table(table, published, settings, results=inputs.folder, runs=runs)
    table = judge_table(table, published, settings.higher)
    if table.variants:
        table = judge_variants(table, published, measurement, settings)
    write_outcomes(out / f"{table.name}.npz", measurement.outcomes)
    write_table(table, out)
    formats = (*TABLE_FORMATS, "npz")
    write_list(out / f"{table.name}{CHECKSUMS_SUFFIX}", [out / f"{table.name}.{ending}" for ending in formats])
