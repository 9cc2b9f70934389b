"""Two results held against each other: cell by cell, and upstream to the first step that differs. No torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vggrepro.diagnosis.digests import Circumstances, ResultDigests

STEPS_SHOWN = 5
"""First steps that differ which are listed one by one."""


@dataclass(frozen=True)
class CellDifference:
    """A cell whose two numbers differ."""

    cell: str
    ours: float
    reference: float
    first: tuple[str, ...]
    """The first steps that differ, of those that it was made from; empty where all steps are equal, and the table is not."""


@dataclass(frozen=True)
class StepDifference:
    """A step that differs, although all that it was made from is equal in both."""

    step: str
    reason: str


@dataclass(frozen=True)
class ResultsComparison:
    """Two results held against each other."""

    cells: int
    """That both have."""
    steps: int
    """That both have."""
    equal_steps: int
    differences: tuple[CellDifference, ...]
    first: tuple[StepDifference, ...]
    only_ours: tuple[str, ...]
    """Cells and steps that the reference lacks."""
    only_reference: tuple[str, ...]
    """Cells and steps that the compared result lacks."""

    @property
    def equal(self) -> bool:
        """Whether both have the same cells and steps, all equal to the bit."""
        return not (self.differences or self.first or self.only_ours or self.only_reference)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"equal": self.equal, "line": line_of(self)} | asdict(self)


def compare(ours: ResultDigests, reference: ResultDigests) -> ResultsComparison:
    """Hold one result against another.

    Raises ValueError where they have no cell and no step in common.
    """
    steps = [name for name in ours.steps if name in reference.steps]
    cells = [name for name in ours.cells if name in reference.cells]
    if not steps and not cells:
        raise ValueError("the two results have no step and no cell in common: compare results of the same runs")
    differing = {name for name in steps if ours.steps[name].digest != reference.steps[name].digest}
    first = _first_of(ours, differing)
    differences = tuple(
        CellDifference(name, ours.cells[name].value, reference.cells[name].value, _behind(ours, name, first))
        for name in cells
        if ours.cells[name].value != reference.cells[name].value
    )
    (ours_all, reference_all) = ({*d.steps, *d.cells} for d in (ours, reference))
    return ResultsComparison(
        cells=len(cells),
        steps=len(steps),
        equal_steps=len(steps) - len(differing),
        differences=differences,
        first=tuple(StepDifference(name, _reason(name, ours, reference)) for name in sorted(first, key=_order)),
        only_ours=tuple(sorted(ours_all - reference_all)),
        only_reference=tuple(sorted(reference_all - ours_all)),
    )


def _order(step: str) -> tuple[int, str]:
    kinds = ("data", "runs", "scores", "boxes", "features", "transfer")
    return kinds.index(step.split("/")[0]), step


def _first_of(digests: ResultDigests, differing: set[str]) -> set[str]:
    """The steps that differ, and of which nothing that they were made from differs."""
    return {name for name in differing if not differing.intersection(digests.steps[name].after)}


def _behind(digests: ResultDigests, cell: str, first: set[str]) -> tuple[str, ...]:
    """Those of the first steps that a cell was made from, however many steps lie between."""
    waiting, seen = list(digests.cells[cell].after), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen and name in digests.steps:
            seen.add(name)
            waiting += digests.steps[name].after
    return tuple(sorted(seen & first, key=_order))


def _reason(step: str, ours: ResultDigests, reference: ResultDigests) -> str:
    """Why a step probably differs whose input does not."""
    mine, theirs = ours.of_step(step), reference.of_step(step)
    if mine is None or theirs is None:
        return "other images, or another version of what decodes and draws them"
    if mine.settings != theirs.settings:
        return "other settings"
    if reason := _machine(mine, theirs):
        return reason
    changes = [
        f"{name} {mine.versions.get(name, 'none')}, not {version}"
        for name, version in theirs.versions.items()
        if mine.versions.get(name) != version
    ]
    if mine.commit != theirs.commit:
        changes.append(f"a changed code (commit {mine.commit[:12]}, not {theirs.commit[:12]})")
    if _cpu(mine) != _cpu(theirs):
        changes.append(
            f"another CPU ({_cpu(mine)}, not {_cpu(theirs)}), on which the same instructions gave other bits"
        )
    repeats = "the same settings, machine, versions and commit: a computation that does not repeat"
    return "; or ".join(changes) or repeats


def _cpu(circumstances: Circumstances) -> str:
    """The name of the CPU, without its number of cores."""
    return circumstances.processor.rpartition(", ")[0] or circumstances.processor


def _machine(mine: Circumstances, theirs: Circumstances) -> str:
    """The difference between two machines that explains other bits; empty if there is none."""
    if mine.device != theirs.device:
        return f"another device: {mine.device}, not {theirs.device}"
    if mine.instructions != theirs.instructions:
        return (
            f"other CPU instructions: {mine.instructions} on {_cpu(mine)}, not {theirs.instructions} "
            f"(avx2 is not to be had on ARM)"
        )
    if mine.instructions == "fastest" and mine.processor != theirs.processor:
        return (
            f"another CPU, each with the instructions that are fastest on it: {mine.processor}, not {theirs.processor}"
        )
    return ""


def line_of(comparison: ResultsComparison) -> str:
    """The outcome in one line."""
    c = comparison
    if c.equal:
        return f"all {c.cells} cells and {c.steps} steps equal the reference to the bit"
    if not c.differences and not c.first:
        missing, more = len(c.only_reference), len(c.only_ours)
        return (
            f"{c.cells} cells and {c.steps} steps equal the reference to the bit; it has {missing} others, this {more}"
        )
    far = [abs(d.ours - d.reference) for d in c.differences]
    cells = f"{len(far)} of {c.cells} cells differ from the reference" + (
        f" by up to {max(far):.1f} points" if far else ""
    )
    if not c.first:
        return f"{cells}, though all {c.steps} steps are equal: the tables were made by another code or with other settings"
    others = f" (and {len(c.first) - 1} more that depend on nothing that differs)" if len(c.first) > 1 else ""
    return f"{cells}; first at {c.first[0].step}{others}: {c.first[0].reason}"


def report_of(comparison: ResultsComparison) -> str:
    """The outcome, the first steps that differ, and every cell that differs."""
    lines = [line_of(comparison)]
    lines += [f"  {d.step}: {d.reason}" for d in comparison.first[:STEPS_SHOWN]]
    if (hidden := len(comparison.first) - STEPS_SHOWN) > 0:
        lines.append(f"  and {hidden} more such steps")
    for d in comparison.differences:
        after = f", after {', '.join(d.first)}" if d.first else ""
        lines.append(f"  {d.cell}: {d.ours:g}, reference {d.reference:g}{after}")
    for whose, names in (("only here", comparison.only_ours), ("only in the reference", comparison.only_reference)):
        lines += [f"  {whose}: {', '.join(names)}"] if names else []
    return "\n".join(lines)
