"""The report's section on departures from the paper and on choices, from the findings of all tables. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vggrepro.paper.protocol import protocol_rules
from vggrepro.paper.tables import table_label
from vggrepro.tables.cells import Table, TableFinding

NAMED = 2
"""Runs or evaluations that the report names; of more it gives the number."""


@dataclass
class _Alike:
    """The same finding in several tables."""

    finding: TableFinding
    about: dict[str, None] = field(default_factory=dict)
    """All that did it."""
    where: list[tuple[str, str, str]] = field(default_factory=list)
    """Name and label of each table, and how many of its cells depend on it, if not all."""


def deviations_section(tables: Sequence[Table]) -> dict[str, Any]:
    """The section as strings: rule by rule what the paper says, what was done, by which runs, and in which tables."""
    audited = {
        table.name: len({cell for finding in table.findings for cell in finding.cells})
        for table in tables
        if table.findings
    }
    alike: dict[tuple[str, str, str, int | None], _Alike] = {}
    for table in tables:
        for finding in table.findings:
            same = alike.setdefault((finding.rule, finding.did, finding.expected, finding.choice), _Alike(finding))
            same.about |= dict.fromkeys(finding.about)
            part = (
                f" ({len(finding.cells)} of {audited[table.name]})" if len(finding.cells) < audited[table.name] else ""
            )
            same.where.append((table.name, table_label(table.number), part))
    rules = [rule for section in protocol_rules().values() for rule in section]
    order = [rule.id for rule in rules]
    if unknown := [(key[0], same.where[0][0]) for key, same in alike.items() if key[0] not in order]:
        rule, name = unknown[0]
        raise ValueError(
            f"{name} was audited by the rule {rule!r}, which tables/protocol.yaml does not have: make the table again"
        )
    rows = [_row(alike[key], len(audited)) for key in sorted(alike, key=lambda key: order.index(key[0]))]
    return {
        "deviations": [row for row in rows if row["kind"] == "paper"],
        "choices": [row for row in rows if row["kind"] == "choice"],
        "rules": len(rules),
        "broken": len({same.finding.rule for same in alike.values() if same.finding.kind == "paper"}),
        "audited": bool(rows),
    }


def _row(alike: _Alike, tables: int) -> dict[str, Any]:
    finding, about = alike.finding, list(alike.about)
    everywhere = len(alike.where) == tables and not any(part for *_, part in alike.where)
    return {
        "kind": finding.kind,
        "section": finding.section if finding.kind == "paper" else f"{finding.section}, choice {finding.choice}",
        "says": finding.says,
        "did": finding.did,
        "differs": finding.differs,
        "expected": finding.expected,
        "about": ", ".join(about) if len(about) <= NAMED else f"{about[0]} and {len(about) - 1} more",
        "all": ", ".join(about),
        "where": [] if everywhere else alike.where,
    }
