"""Why is my number off? The steps from the number a reader is likely to have to the paper's, and frequent mistakes. No torch.

A *rung* is a way to measure one set of weights. The first ones need a net (`why.py`); the later ones are rows of the paper's
tables, whose score stores are there. Each rung differs from the one before in one thing, so that the difference of their
errors, image by image, is what that thing is worth.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from vggrepro.core.files import atomic_folder, read_json, write_json, write_text
from vggrepro.data.store import Store
from vggrepro.paper.runs import Evaluation, Run, printed_scale
from vggrepro.paper.systems import System, evaluations_of, with_seed
from vggrepro.paper.tables import best_classification, published_table, scales_of
from vggrepro.scores.ranks import TOP, wrong_images
from vggrepro.scores.statistics import nested_interval, wilson
from vggrepro.scores.stores import Scores, mixture_ranks, read_scores

START_Q = 256
"""Test scale of the first rungs: what nearly everyone takes whose nets see 224 x 224."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of RGB in [0, 1] that torchvision's examples divide by."""

PointInterval = tuple[float, float]


@dataclass(frozen=True)
class Input:
    """How a net is given its pixels: (pixels - mean) / divisor, in an order of channels."""

    mean: bool = True
    divisor: tuple[float, float, float] = (1.0, 1.0, 1.0)
    reverse: bool = False
    """The channels come as blue, green, red; the mean is that of red, green, blue all the same."""


PAPERS = Input()
"""PAPER 2.1: the mean RGB is subtracted from pixels of 0 to 255, and nothing else."""


@dataclass(frozen=True)
class Rung:
    """A way to measure one set of weights: by a view of the images and an input, or by what score stores hold."""

    name: str
    says: str
    """What the step to this rung, or the mistake, changes."""
    view: str = ""
    """`square`: the image squeezed to Q x Q, central crop; `crop`: smallest side Q, central crop; `dense`: the whole image;
    `mirrored`: the same, and its mirror image. Empty where scores are stored."""
    input: Input = PAPERS
    official: bool = False
    """Answers are looked up in the order of the devkit's class numbers, though the net has that of the WNIDs."""
    system: System = ()
    published: Mapping[str, str] | None = None
    """What the paper prints for the system, by quantity."""
    where: str = ""
    """The table that prints it."""


def rungs(run: Run) -> list[Rung]:
    """The ladder of a run, from a centre crop as often made to the best system of the paper that it is part of."""
    if run.localises:
        raise ValueError(f"{run.name} predicts boxes: the ladder is one of classification errors")
    mirrored = ((Evaluation(run, "dense", START_Q), Fraction(1)),)
    stored = START_Q in scales_of(run, "dense")
    std = Input(divisor=_in_255(IMAGENET_STD))
    found = [
        Rung(
            f"{START_Q} x {START_Q}, centre crop, divided by std",
            "Where many start: images squeezed to a square, the central crop, the mean subtracted, and divided by the "
            "standard deviation as torchvision's examples do.",
            "square",
            std,
        ),
        Rung(
            "mean only",
            "The nets were trained on pixels of 0 to 255 minus the mean; divided by the standard deviation they are fifty "
            "times too small.",
            "square",
        ),
        Rung(
            f"smallest side {START_Q}",
            "Rescaled with its proportions kept, an image shows things in the shapes that the net has learnt.",
            "crop",
        ),
        Rung("dense", "The whole image counts, not its central crop alone: scores are averaged over space.", "dense"),
        Rung(
            "mirror image",
            "Posteriors of the image and of its mirror image are averaged.",
            "" if stored else "mirrored",
            system=mirrored if stored else (),
        ),
    ]
    for step in _tabled(run):
        if step.system == found[-1].system:
            found[-1] = replace(found[-1], published=step.published, where=step.where)
        else:
            found.append(step)
    return found


def _in_255(share: tuple[float, float, float]) -> tuple[float, float, float]:
    return 255 * share[0], 255 * share[1], 255 * share[2]


def _tabled(run: Run) -> Iterator[Rung]:
    """The rungs that are rows of Tables 3 to 6, as far as the paper has them for the run."""
    here, best = replace(run, seed=0), best_classification()
    for number in ("3", "4", "5", "6"):
        systems = {row.system: row for row in published_table(number).rows if row.system}
        runs = {system: {e.run for e in evaluations_of(system)} for system in systems}
        mine = [best] if number == "6" and here in runs[best] else [s for s in systems if runs[s] == {here}]
        if not mine:
            continue
        system = max(mine, key=len)
        scales = ", ".join(map(str, sorted({e.Q for e in evaluations_of(system)})))
        partners = ", ".join(sorted(other.label for other in runs[system] - {here}))
        name, says = {
            "3": (f"Q = {scales}", f"The test scale that suits S = {printed_scale(run.S)}."),
            "4": (f"Q = {scales}", "Posteriors are averaged over several test scales."),
            "5": (
                "crops too",
                "50 crops a scale are evaluated as well; their posteriors are averaged with the dense ones.",
            ),
            "6": (f"with {partners}", "Posteriors are averaged with those of a second net."),
        }[number]
        columns = [column for column in published_table(number).columns if column.split == "val"]
        printed = {column.quantity: systems[system].cells[column.name].printed for column in columns}
        yield Rung(name, says, system=with_seed(system, run.seed), published=printed, where=f"Table {number}")


BASE = 2
"""The rung that mistakes are made on: the plain centre crop, the cheapest right way to feed the net."""


def mistakes() -> list[Rung]:
    """Mistakes that people report, each made on the plain centre crop."""
    return [
        Rung(
            "blue, green, red",
            "Channels in the order in which OpenCV and Caffe read them; these nets were trained on red, green, blue.",
            "crop",
            Input(reverse=True),
        ),
        Rung(
            "pixels of 0 to 1",
            "Pixels, and the mean, in the range 0 to 1 of torchvision's ToTensor, not 0 to 255.",
            "crop",
            Input(divisor=(255.0, 255.0, 255.0)),
        ),
        Rung("no mean", "Pixels of 0 to 255 as they are, nothing subtracted.", "crop", Input(mean=False)),
        Rung(
            "the devkit's class order",
            "Answers are compared with ILSVRC's own class numbers; the net's outputs are in the order of the WNIDs.",
            "crop",
            official=True,
        ),
    ]


@dataclass(frozen=True)
class Change:
    """What a step does to one error, in percentage points, and to how many images."""

    points: float
    interval: PointInterval
    mended: int
    """Images that were wrong before and are right after."""
    broken: int
    """Images that were right before and are wrong after."""


@dataclass(frozen=True)
class Line:
    """A rung as it was measured."""

    name: str
    says: str
    errors: dict[str, float]
    """In per cent, by quantity."""
    intervals: dict[str, PointInterval]
    changes: dict[str, Change]
    """By quantity: against the rung before, or of a mistake against the rung that it is made on. None on the first rung."""
    published: dict[str, str]
    where: str
    source: str
    """`computed`, or the score stores that were averaged."""


@dataclass(frozen=True)
class Ladder:
    """All lines for one set of weights."""

    run: str
    images: int
    data: str
    steps: list[Line]
    mistakes: list[Line]
    base: str
    """Name of the step that mistakes are made on."""
    missing: list[str]
    """What was not measured, and why."""
    made: dict[str, Any]


Ranks = NDArray[np.int32]


def measured_rung(rung: Rung, ranks: Ranks, before: Ranks | None) -> Line:
    """A rung from the ranks [N] of the true classes, and those of the rung before it."""
    errors, intervals, changes = {}, {}, {}
    for quantity in TOP:
        wrong = wrong_images(ranks, quantity)
        errors[quantity] = 100 * float(wrong.mean())
        low, high = wilson(int(wrong.sum()), len(wrong))
        intervals[quantity] = 100 * low, 100 * high
        if before is not None:
            changes[quantity] = _change(wrong_images(before, quantity), wrong)
    source = ", ".join(e.path for e, _ in rung.system) or "computed"
    return Line(rung.name, rung.says, errors, intervals, changes, dict(rung.published or {}), rung.where, source)


def _change(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Change:
    """The paired difference of two errors on the same images."""
    difference = after.astype(float) - before
    low, high = nested_interval(difference[None])
    mended, broken = int((before & ~after).sum()), int((after & ~before).sum())
    return Change(100 * float(difference.mean()), (100 * low, 100 * high), mended, broken)


def open_rung_stores(folder: Path, system: System, weights: Mapping[str, str], data: str) -> dict[str, Scores]:
    """The score stores of a system, by evaluation; a ValueError for scores of other images, or of other weights of a run.

    `weights` gives the digest of the weights of runs that are known.
    """
    found = {e.path: read_scores(folder / e.path) for e, _ in system}
    for evaluation in evaluations_of(system):
        made = found[evaluation.path].made
        expected = weights.get(evaluation.run.name, made["weights"])
        if (made["data"], made["weights"]) != (data, expected):
            raise ValueError(f"{folder / evaluation.path}: scores of other images or weights: evaluate again")
    return found


def stored_ranks(folder: Path, found: Sequence[Rung], weights: Mapping[str, str], data: str) -> dict[str, Ranks]:
    """Ranks [N] of the true classes under each rung's system, by the rung's name."""
    stores: dict[str, Scores] = {}
    for rung in found:
        stores |= open_rung_stores(folder, rung.system, weights, data)
    return mixture_ranks(stores, {rung.name: {e.path: share for e, share in rung.system} for rung in found})


def unmeasured_rungs(folder: Path | None, found: Sequence[Rung], devkit: Path | None) -> dict[str, str]:
    """The rungs that cannot be measured, and why, for the folder of score stores and the devkit that are there."""
    why = {}
    for rung in found:
        lacking = [e.path for e, _ in rung.system if not (folder and (folder / e.path / "made.json").exists())]
        if lacking:
            why[rung.name] = f"there are no scores {lacking[0]}"
        elif rung.official and not devkit:
            why[rung.name] = "needs ILSVRC's devkit, which was not given"
    return why


def write_decomposition(
    run: Run,
    store: Store,
    steps: Sequence[Rung],
    wrong: Sequence[Rung],
    ranks: Mapping[str, Ranks],
    *,
    lacking: Mapping[str, str],
    made: dict[str, Any],
    out: Path,
) -> None:
    """Judge every rung, by the ranks of its name, and write `why.json`, `why.csv` and `flips.csv` into the folder `out`."""
    befores = [None, *steps[:-1], *(steps[BASE] for _ in wrong)]
    pairs = [(rung, before) for rung, before in zip((*steps, *wrong), befores, strict=True)]
    lines = [measured_rung(rung, ranks[rung.name], ranks[before.name] if before else None) for rung, before in pairs]
    climbed = Ladder(
        run.name,
        len(store),
        str(store.about["data set"]),
        lines[: len(steps)],
        lines[len(steps) :],
        steps[BASE].name,
        [f"{name}: {why}" for name, why in lacking.items()],
        made,
    )
    with atomic_folder(out, "why.json") as root:
        write_json(root / "why.json", asdict(climbed))
        write_text(root / "why.csv", _csv(climbed))
        flipped = [(rung.name, ranks[before.name], ranks[rung.name]) for rung, before in pairs if before]
        write_text(root / "flips.csv", _flips(flipped, store))


def _flips(found: Sequence[tuple[str, Ranks, Ranks]], store: Store) -> str:
    """A line for every image that a step mends or breaks, with the ranks of its true class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "error", "change", "image", "class", "rank before", "rank after"])
    wnids = store.about["wnids"]
    for name, before, after in found:
        for quantity in TOP:
            wrong = wrong_images(before, quantity), wrong_images(after, quantity)
            for i in np.flatnonzero(wrong[0] != wrong[1]).tolist():
                change = "mended" if wrong[0][i] else "broken"
                image = store.ids[i], wnids[store.labels[i]]
                writer.writerow([name, quantity, change, *image, int(before[i]), int(after[i])])
    return text.getvalue()


def _csv(ladder: Ladder) -> str:
    text = io.StringIO()
    columns = [
        "kind",
        "name",
        "error",
        "here",
        "low",
        "high",
        "change",
        "change low",
        "change high",
        "mended",
        "broken",
    ]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, "paper", "table", "n", "source"])
    lines = [("step", found) for found in ladder.steps] + [("mistake", found) for found in ladder.mistakes]
    for kind, found in lines:
        for quantity, error in found.errors.items():
            change = found.changes.get(quantity)
            how = [change.points, *change.interval, change.mended, change.broken] if change else [""] * 5
            measured = [error, *found.intervals[quantity], *how]
            shown = [f"{value:.6g}" if isinstance(value, float) else value for value in measured]
            paper = found.published.get(quantity, "")
            writer.writerow([kind, found.name, quantity, *shown, paper, found.where, ladder.images, found.source])
    return text.getvalue()


def read_decomposition(folder: Path) -> Ladder:
    """The ladder in a folder that `write` wrote."""
    path = folder / "why.json"
    try:
        return TypeAdapter(Ladder).validate_python(read_json(path))
    except ValueError as error:
        raise ValueError(f"{path}: no ladder, or damaged: delete it and make it again ({error})") from None
