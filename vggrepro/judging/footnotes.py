"""Findings as footnotes of the cells that they touch. No torch, no markup."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Literal, TypeVar

from vggrepro.judging.audit import Finding

Key = TypeVar("Key", bound=Hashable)

ALL = "all cells"
"""The mark of what touches every cell that was measured: said once for the table."""
LISTED = 3
"""Values that a footnote lists; where there are more, it says how many."""


@dataclass(frozen=True)
class Noted:
    """A finding with all that did it and all the cells that it touches."""

    rule: str
    section: str
    says: str
    """The paper, in our words."""
    kind: Literal["paper", "choice"]
    choice: int | None
    """Number in the list of the paper's silences."""
    did: str
    """What was done."""
    expected: str
    """By the paper; of a choice, the default."""
    differs: bool
    about: tuple[str, ...]
    """Runs, evaluations, results."""
    cells: tuple[str, ...]
    """Anchors of the cells."""


def noted(found: Mapping[str, Collection[Finding]]) -> tuple[Noted, ...]:
    """What was found about cells, by their anchors: one entry for what was done alike."""
    about: dict[tuple[str, str, str], tuple[Finding, dict[str, None], dict[str, None]]] = {}
    for cell, findings in found.items():
        for f in findings:
            _, who, cells = about.setdefault((f.rule, f.did, f.expected), (f, {}, {}))
            who[f.about] = cells[cell] = None
    return tuple(
        Noted(
            f.rule,
            f.section,
            f.says,
            f.kind,
            f.choice,
            f.shows.replace("{}", f.did),
            f.expected,
            f.differs,
            (*who,),
            (*cells,),
        )
        for f, who, cells in about.values()
    )


def footnotes(
    found: Mapping[Key, Collection[Finding]],
) -> tuple[dict[Key, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    """The marks of every cell, and (mark, text) of every footnote, for what was found about each measured cell.

    What touches the same cells is one footnote, so that a table of many differences has few of them.
    """
    # columns of transfer have rules in common, and expect different things by them
    by_rule: dict[tuple[str, str], tuple[list[Finding], dict[Key, None]]] = {}
    for key, about in found.items():
        for finding in about:
            if finding.differs:
                findings, touched = by_rule.setdefault((finding.rule, finding.expected), ([], {}))
                findings.append(finding)
                touched[key] = None
    groups: dict[tuple[Key, ...], list[list[Finding]]] = {}
    for findings, touched in by_rule.values():
        groups.setdefault(tuple(touched), []).append(findings)
    marks: dict[Key, tuple[str, ...]] = dict.fromkeys(found, ())
    texts = []
    letters = (letter for letter in (*ascii_lowercase, *(2 * letter for letter in ascii_lowercase)))
    # what touches all cells comes first; then in the order of the cells
    order = list(found)
    for keys in sorted(groups, key=lambda keys: (len(keys) < len(found), order.index(keys[0]), -len(keys))):
        mark = ALL if len(keys) == len(found) else next(letters)
        texts.append((mark, _sentences(groups[keys])))
        for key in keys:
            marks[key] = (*marks[key], mark)
    return marks, tuple(texts)


def _sentences(groups: list[list[Finding]]) -> str:
    """What departs from the paper, and then what is a choice of ours where it is silent."""
    said = []
    for kind, words in (("paper", "Not as in the paper"), ("choice", "Choices, not the default")):
        if texts := [_text(findings) for findings in groups if findings[0].kind == kind]:
            said.append(f"{words}: {', '.join(texts)}.")
    return " ".join(said)


def _text(findings: list[Finding]) -> str:
    """`batch of 16 (256)`: what was done, and what the paper did, or is usual here."""
    first, values = findings[0], list(dict.fromkeys(finding.did for finding in findings))
    did = " or ".join(values) if len(values) <= LISTED else f"{len(values)} different values"
    number = f"choice {first.choice}: " if first.choice else ""
    return f"{first.shows.replace('{}', did)} ({number}{first.expected})"
