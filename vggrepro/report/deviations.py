"""The report's section on departures and choices: settings and findings of all tables, in one list. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vggrepro.paper.protocol import Rule, rules_by_id
from vggrepro.paper.runs import TRAINING_STAGES
from vggrepro.paper.tables import table_label
from vggrepro.paper.tasks import TASKS
from vggrepro.settings.choices import CHOICES, choices_by_number, defaults, departures, harmless_differences
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import AuditFinding, Table

NAMED = 2
"""Runs or evaluations that the report names; of more it gives the number."""

BLOCKS_OF_STAGES = tuple(dict.fromkeys(TRAINING_STAGES.values()))
"""Blocks of settings that `{stage}` in `tables/protocol.yaml` stands for."""


@dataclass
class _Alike:
    """The same finding in several tables."""

    finding: AuditFinding
    about: dict[str, None] = field(default_factory=dict)
    """All that did it."""
    where: list[tuple[str, str, str]] = field(default_factory=list)
    """Name and label of each table, and how many of its cells depend on it, if not all."""


def deviations_section(tables: Sequence[Table], settings: Settings) -> dict[str, Any]:
    """The section as strings: what departs from the paper, each numbered choice, and harmless differences of settings.

    A row gives the paper's words, the default, the value here, and what depends on it. A setting stands beside the findings
    of the rules that it declares, so that nothing is listed twice.
    """
    rows = _finding_rows(tables)
    departed = [row for row in rows if row["kind"] == "paper"]
    covered = {key for row in departed for key in row["settings"]}
    paper = defaults()
    choices = []
    for number, listed in choices_by_number(settings).items():
        found = [row for row in rows if row["choice"] == number]
        names = {choice.name for choice in listed if not choice.fixed}
        own = [
            _setting_row(
                choice.name,
                choice.value,
                paper.get(choice.name, choice.value),
                choice.meaning,
                fixed=choice.fixed,
                found=[row for row in found if choice.name in row["settings"]],
            )
            for choice in listed
        ]
        rest = [row for row in found if not names & set(row["settings"])]
        choices.append({"number": number, "title": CHOICES[number], "rows": own + rest})
    return {
        "departures": departed
        + [_setting_row(*different, "") for different in departures(settings) if different[0] not in covered],
        "choices": choices,
        "harmless": [_setting_row(*different, "") for different in harmless_differences(settings)],
        "rules": len(rules_by_id()),
        "broken": len({row["rule"] for row in departed}),
        "audited": bool(rows),
    }


def _finding_rows(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """A row per finding, those of several tables together, in the order of the protocol's rules."""
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
    rules = rules_by_id()
    order = list(rules)
    if unknown := [(key[0], same.where[0][0]) for key, same in alike.items() if key[0] not in rules]:
        rule, name = unknown[0]
        raise ValueError(
            f"{name} was audited by the rule {rule!r}, which tables/protocol.yaml does not have: make the table again"
        )
    return [_row(alike[key], rules[key[0]], len(audited)) for key in sorted(alike, key=lambda key: order.index(key[0]))]


def _row(alike: _Alike, rule: Rule, tables: int) -> dict[str, Any]:
    finding, about = alike.finding, list(alike.about)
    everywhere = len(alike.where) == tables and not any(part for *_, part in alike.where)
    return {
        "kind": finding.kind,
        "rule": finding.rule,
        "choice": finding.choice,
        "settings": _declaring_settings(rule),
        "name": f"\u00a7{finding.section}",
        "fixed": True,
        "says": finding.says,
        "here": finding.did,
        "default": finding.expected,
        "differs": finding.differs,
        "about": ", ".join(about) if len(about) <= NAMED else f"{about[0]} and {len(about) - 1} more",
        "where": [] if everywhere else alike.where,
    }


def _declaring_settings(rule: Rule) -> list[str]:
    """The setting that declares what was done, such as `train.batch`; of several stages or tasks, that of each."""
    setting = rule.setting
    if not setting:
        return []
    names = (setting.format(stage=block, task=task) for block in BLOCKS_OF_STAGES for task in TASKS.values())
    return list(dict.fromkeys(names))


def _setting_row(
    name: str, value: str, default: str, says: str, *, fixed: bool = False, found: Iterable[dict[str, Any]] = ()
) -> dict[str, Any]:
    """A setting, or a fixed choice; what depends on it, by the findings of the rules that it declares."""
    rows = list(found)
    return {
        "name": name,
        "fixed": fixed,
        "says": says or "the value of the paper preset",
        "here": value,
        "default": default,
        "differs": value != default,
        "about": "; ".join(dict.fromkeys(row["about"] for row in rows)),
        "where": list(dict.fromkeys(place for row in rows for place in row["where"])),
    }
