"""Findings as footnotes of the cells that they touch. No torch, no markup."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from string import ascii_lowercase
from typing import TypeVar

from vggrepro.judging.audit import Finding
from vggrepro.tables.cells import ALL_CELLS, TableFinding

Key = TypeVar("Key", bound=Hashable)

LISTED = 3
"""Values that a footnote lists; where there are more, it says how many."""


def noted(findings: Mapping[str, Collection[Finding]]) -> tuple[TableFinding, ...]:
    """The findings about cells, by their anchors: one entry for what was done alike."""
    alike = _grouped(findings, lambda finding: (finding.rule, finding.did, finding.expected, finding.choice))
    return tuple(
        TableFinding(
            rule=finding.rule.id,
            section=finding.rule.section,
            says=finding.rule.says,
            kind=finding.kind,
            choice=finding.choice,
            did=finding.rule.words(finding.did),
            expected=finding.expected,
            differs=finding.differs,
            about=tuple(dict.fromkeys(member.about for member in [finding, *members])),
            cells=cells,
        )
        for [finding, *members], cells in alike
    )


def footnotes(
    findings: Mapping[Key, Collection[Finding]],
) -> tuple[dict[Key, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    """The marks of every measured cell, and (mark, text) of every footnote, for the findings about each cell.

    What touches the same cells is one footnote, so that a table of many differences has few of them.
    """
    differing = {key: [finding for finding in about if finding.differs] for key, about in findings.items()}
    by_cells: dict[tuple[Key, ...], list[list[Finding]]] = {}
    # columns of transfer have rules in common, and expect different things by them
    for members, cells in _grouped(differing, lambda finding: (finding.rule, finding.expected, finding.choice)):
        by_cells.setdefault(cells, []).append(members)
    marks: dict[Key, tuple[str, ...]] = dict.fromkeys(findings, ())
    texts = []
    letters = iter([*ascii_lowercase, *(2 * letter for letter in ascii_lowercase)])
    # what touches all cells comes first; then in the order of the cells
    order = list(findings)
    for cells in sorted(by_cells, key=lambda cells: (len(cells) < len(order), order.index(cells[0]), -len(cells))):
        mark = ALL_CELLS if len(cells) == len(order) else next(letters)
        texts.append((mark, _sentences(by_cells[cells])))
        marks |= {key: (*marks[key], mark) for key in cells}
    return marks, tuple(texts)


def _grouped(
    findings: Mapping[Key, Collection[Finding]], alike: Callable[[Finding], Hashable]
) -> list[tuple[list[Finding], tuple[Key, ...]]]:
    """Findings that are alike, and the cells that they are about."""
    groups: dict[Hashable, tuple[dict[Finding, None], dict[Key, None]]] = {}
    for key, about in findings.items():
        for finding in about:
            members, cells = groups.setdefault(alike(finding), ({}, {}))
            members[finding] = cells[key] = None
    return [(list(members), tuple(cells)) for members, cells in groups.values()]


def _sentences(groups: Iterable[list[Finding]]) -> str:
    """First what departs from the paper, then what is a choice of ours where it is unspecified."""
    headings = {"paper": "Not as in the paper", "choice": "Choices, not the default"}
    texts = {kind: [_text(group) for group in groups if group[0].kind == kind] for kind in headings}
    return " ".join(f"{headings[kind]}: {', '.join(listed)}." for kind, listed in texts.items() if listed)


def _text(findings: list[Finding]) -> str:
    """`batch of 16 (256)`: what was done, and what the paper did, or our default."""
    rule, values = findings[0].rule, list(dict.fromkeys(finding.did for finding in findings))
    did = " or ".join(values) if len(values) <= LISTED else f"{len(values)} different values"
    number = f"choice {findings[0].choice}: " if findings[0].choice else ""
    return f"{rule.words(did)} ({number}{findings[0].expected})"
