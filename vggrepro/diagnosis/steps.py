"""The steps from the number a reader is likely to have to the paper's, and mistakes that people report. No torch.

A step is a way to measure one set of weights. The first steps need the net (`measurement.py`); the later ones are rows of
the paper's tables, whose score stores are read. Each step differs from the one before in one thing, so that the difference
of their errors, image by image, is the effect of that thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from vggrepro.paper.runs import Run, printed_scale
from vggrepro.paper.systems import Evaluation, System, evaluations_of, with_seed
from vggrepro.paper.tables import (
    PublishedTable,
    best_classification,
    published_table,
    scales_of,
    table_label,
    table_numbers,
)

START_Q = 256
"""Test scale of the first steps: the usual one for nets whose input is 224 x 224."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of RGB in [0, 1] that torchvision's examples divide by."""


@dataclass(frozen=True)
class InputFormat:
    """How pixels are turned into a net's input: (pixels - mean) / divisor, in an order of channels."""

    mean: bool = True
    """Whether the mean RGB is subtracted."""
    divisor: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False
    """Channels come as blue, green, red, though the mean is still subtracted in the order red, green, blue."""


PAPER_INPUT = InputFormat()
"""PAPER 2.1: the mean RGB is subtracted from pixels of 0 to 255, and nothing else."""


@dataclass(frozen=True)
class DecompositionStep:
    """A way to measure one set of weights: by a view of the images and an input format, or by stored scores."""

    name: str
    says: str
    """What the step, or the mistake, changes."""
    view: str = ""
    """`square`: the image squeezed to Q x Q, central crop; `crop`: smallest side Q, central crop; `dense`: the whole image;
    `mirrored`: the same, and its mirror image. Empty for stored scores."""
    input: InputFormat = PAPER_INPUT
    devkit_order: bool = False
    """Whether classes are looked up in the order of the devkit's numbers, though the net has that of the WNIDs."""
    system: System = ()
    published: Mapping[str, str] | None = None
    """What the paper prints for the system, by quantity."""
    where: str = ""
    """The table that prints it."""


COMPUTED_STEPS = (
    DecompositionStep(
        f"{START_Q} x {START_Q}, centre crop, divided by std",
        "A common start: the image is squeezed to a square, its central crop is taken, the mean is subtracted, and the "
        "result is divided by the standard deviation, as in torchvision's examples.",
        "square",
        InputFormat(divisor=(255 * IMAGENET_STD[0], 255 * IMAGENET_STD[1], 255 * IMAGENET_STD[2])),
    ),
    DecompositionStep(
        "mean only",
        "The nets were trained on pixels of 0 to 255 minus the mean; divided by the standard deviation they are fifty "
        "times too small.",
        "square",
    ),
    DecompositionStep(
        f"smallest side {START_Q}",
        "The image is rescaled with its proportions kept, so that objects have the shapes that the net has learnt.",
        "crop",
    ),
    DecompositionStep(
        "dense",
        "The net is applied to the whole image, not to its central crop alone, and its scores are averaged over space.",
        "dense",
    ),
)
"""The steps before the paper's tables, all computed from the net."""

MISTAKE_BASE = 2
"""Place of the step that mistakes are made on: the plain centre crop, the cheapest correct input of the net."""

MISTAKES = (
    DecompositionStep(
        "blue, green, red",
        "Channels in the order in which OpenCV and Caffe read them; these nets were trained on red, green, blue.",
        "crop",
        InputFormat(bgr=True),
    ),
    DecompositionStep(
        "pixels of 0 to 1",
        "Pixels, and the mean, in the range 0 to 1 of torchvision's ToTensor, not 0 to 255.",
        "crop",
        InputFormat(divisor=(255.0, 255.0, 255.0)),
    ),
    DecompositionStep(
        "no mean", "Pixels of 0 to 255 as they are, nothing subtracted.", "crop", InputFormat(mean=False)
    ),
    DecompositionStep(
        "the devkit's class order",
        "Predictions are compared with ILSVRC's own class numbers, though the net's outputs are in the order of the WNIDs.",
        "crop",
        devkit_order=True,
    ),
)
"""Mistakes that people report, each made on the plain centre crop."""


def protocol_steps(run: Run) -> list[DecompositionStep]:
    """The steps of a run, from a common centre crop to the best system of the paper that it is part of.

    Raises ValueError for a run that predicts boxes.
    """
    if run.localises:
        raise ValueError(f"{run.name} predicts boxes: an error decomposition needs a run that classifies")
    steps = [*COMPUTED_STEPS, _mirror_step(run)]
    for step in _table_steps(run):
        if step.system == steps[-1].system:
            steps[-1] = replace(steps[-1], published=step.published, where=step.where)
        else:
            steps.append(step)
    return steps


def _mirror_step(run: Run) -> DecompositionStep:
    """Dense evaluation at START_Q with mirror images: from stored scores where a table of the paper needs them."""
    step = DecompositionStep("mirror image", "Posteriors of the image and of its mirror image are averaged.")
    if START_Q in scales_of(run, "dense"):
        return replace(step, system=((Evaluation(run, "dense", START_Q), Fraction(1)),))
    return replace(step, view="mirrored")


def _table_steps(run: Run) -> Iterator[DecompositionStep]:
    """The steps that are rows of tables with a `step`, as far as the paper has them for the run."""
    run_of_seed_0 = replace(run, seed=0)
    for table in map(published_table, table_numbers()):
        if table.step and (system := _system_of_run(table, run_of_seed_0)):
            step = DecompositionStep(
                *_table_step_text(table.step, system, run_of_seed_0), system=with_seed(system, run.seed)
            )
            yield replace(step, published=_published_errors(table, system), where=table_label(table.number))


def _system_of_run(table: PublishedTable, run: Run) -> System:
    """The table's system of this run alone that averages most evaluations; else the paper's best with it; () without one."""
    runs = {row.system: {e.run for e in evaluations_of(row.system)} for row in table.rows if row.system}
    best = best_classification()
    fused = best if run in runs.get(best, ()) else ()
    return max((system for system in runs if runs[system] == {run}), key=len, default=fused)


def _table_step_text(step: Mapping[str, str], system: System, run: Run) -> tuple[str, str]:
    """Name and explanation of the step that is a row of a table."""
    evaluations = evaluations_of(system)
    words = {
        "Q": ", ".join(map(str, sorted({e.Q for e in evaluations}))),
        "S": printed_scale(run.S),
        "partners": ", ".join(sorted({e.run.label for e in evaluations} - {run.label})),
    }
    return step["name"].format_map(words), step["explanation"].format_map(words)


def _published_errors(table: PublishedTable, system: System) -> dict[str, str]:
    """The validation errors that a table prints for a system, by quantity."""
    cells = {row.system: row.cells for row in table.rows}[system]
    return {column.quantity: cells[column.name].text for column in table.columns if column.split == "val"}
