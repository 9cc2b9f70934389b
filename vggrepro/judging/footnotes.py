"""Findings as footnotes of the cells that they touch. No torch, no markup."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from string import ascii_lowercase

from vggrepro.paper.protocol import rules_by_id
from vggrepro.tables.cells import ALL_CELLS, AuditFinding

LISTED = 3
"""Values that a footnote lists; where there are more, it says how many."""


def noted(findings: Mapping[str, Collection[AuditFinding]]) -> tuple[AuditFinding, ...]:
    """The findings about cells, by their ids: one for what was done alike, with all that did it and all its cells."""
    alike: dict[AuditFinding, tuple[dict[str, None], dict[str, None]]] = {}
    for cell, of_cell in findings.items():
        for finding in of_cell:
            about, cells = alike.setdefault(replace(finding, about=()), ({}, {}))
            about |= dict.fromkeys(finding.about)
            cells[cell] = None
    return tuple(replace(each, about=tuple(about), cells=tuple(cells)) for each, (about, cells) in alike.items())


def footnotes(
    findings: Iterable[AuditFinding], measured: Sequence[str], *, whole: bool = True
) -> tuple[dict[str, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    """The marks of every `measured` cell, by its id, and (mark, text) of every footnote.

    What touches the same cells is one footnote, so that a table of many differences has few of them. Without the `whole` table
    among them, because others' systems have cells too, no footnote speaks of all cells.
    """
    # columns of transfer have rules in common, and expect different things by them
    alike: dict[tuple[object, ...], list[AuditFinding]] = {}
    for finding in findings:
        if finding.differs:
            alike.setdefault((finding.rule, finding.expected, finding.choice), []).append(finding)
    by_cells: dict[tuple[str, ...], list[list[AuditFinding]]] = {}
    for members in alike.values():
        touched = {cell for finding in members for cell in finding.cells}
        by_cells.setdefault(tuple(sorted(touched, key=measured.index)), []).append(members)
    marks: dict[str, tuple[str, ...]] = dict.fromkeys(measured, ())
    texts = []
    letters = iter([*ascii_lowercase, *(2 * letter for letter in ascii_lowercase)])
    # what touches all cells comes first; then in the order of the cells
    everywhere = len(measured)
    for cells in sorted(by_cells, key=lambda cells: (len(cells) < everywhere, measured.index(cells[0]), -len(cells))):
        mark = ALL_CELLS if whole and len(cells) == everywhere else next(letters)
        texts.append((mark, _sentences(by_cells[cells])))
        marks |= {cell: (*marks[cell], mark) for cell in cells}
    return marks, tuple(texts)


def _sentences(groups: Iterable[list[AuditFinding]]) -> str:
    """First what departs from the paper, then what is a choice of ours where it is unspecified."""
    headings = {"paper": "Not as in the paper", "choice": "Choices, not the default"}
    texts = {kind: [_text(group) for group in groups if group[0].kind == kind] for kind in headings}
    return " ".join(f"{headings[kind]}: {', '.join(listed)}." for kind, listed in texts.items() if listed)


def _text(findings: list[AuditFinding]) -> str:
    """`batch of 16 (256)`: what was done, and what the paper did, or our default."""
    rule = rules_by_id()[findings[0].rule]
    values = list(dict.fromkeys(rule.did(finding.did) for finding in findings))
    did = " or ".join(values) if len(values) <= LISTED else f"{len(values)} different values"
    number = f"choice {findings[0].choice}: " if findings[0].choice else ""
    return f"{rule.words(did)} ({number}{findings[0].expected})"
