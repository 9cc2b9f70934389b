"""How far a reproduction may be from a printed number, and by how much trainings differ: `tables/tolerances.yaml`, checked.

Cells, claims and intervals take both from here. The file derives every number. No torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Annotated

from pydantic import Field

from vggrepro.core.files import file_digest
from vggrepro.core.paths import ROOT
from vggrepro.core.validation import FrozenModel, validated
from vggrepro.core.yaml_files import read_yaml
from vggrepro.paper.references import plain_quantity

TOLERANCES_FILE = ROOT / "tables" / "tolerances.yaml"

Points = Annotated[float, Field(ge=0)]


class Sources(FrozenModel):
    """Why honest reproductions differ: standard deviations in points."""

    sampling: Points
    """Of the printed number, by the choice of images."""
    training: Points
    """Between trainings of one net, besides what the chance of single images does."""
    df: Annotated[int, Field(ge=1)]
    """Degrees of freedom that `training` was measured with."""
    implementation: Points
    """Between implementations of one set of weights."""


class Tolerance(FrozenModel):
    """An entry of the file, which describes its keys."""

    tolerance: Points
    sources: Annotated[Sources, Field(alias="from")]


@cache
def read_tolerances(path: Path = TOLERANCES_FILE) -> Mapping[str, Tolerance]:
    """The entry of every quantity.

    Raises ValueError where the file is damaged, and for a tolerance that is not what its own derivation comes to: it cannot
    be moved without saying why.
    """
    entries = read_yaml(path)
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: expected quantities, each with tolerance and from, got {entries!r}")
    tolerances = {name: validated(Tolerance, entry, f"{path}: {name}") for name, entry in entries.items()}
    for name, entry in tolerances.items():
        derived = derived_tolerance(entry.sources)
        if not math.isclose(entry.tolerance, derived):
            raise ValueError(
                f"{path}: {name}: {entry.sources} come to {derived}, but the tolerance is {entry.tolerance}"
            )
    return tolerances


def derived_tolerance(sources: Sources) -> float:
    """How far the printed number is from what a right reproduction finds, 19 times in 20, to 0.01 points.

    Our own sampling and trainings are not in it: they are in the interval of our number.
    """
    total = sources.sampling**2 + sources.training**2 + 2 * sources.implementation**2
    return round(NormalDist().inv_cdf(0.975) * math.sqrt(total), 2)


DIFFERENCES = {"points": "difference in points", "relative": "relative difference"}
"""CHOICE 8: the quantity of a printed difference of two errors, by how it is read (the setting `higher`)."""


def tolerance_of(quantity: str) -> Tolerance:
    """The entry of a quantity, whatever it is measured on; a ValueError where it has none."""
    tolerances, measure = read_tolerances(), plain_quantity(quantity)
    if measure not in tolerances:
        raise ValueError(f"{TOLERANCES_FILE}: no tolerance for {measure}: derive one before looking at results")
    return tolerances[measure]


def known_quantity(quantity: str) -> str:
    """The quantity itself, or top-1 for one of the user's own: what is known of top-1 stands in for what is known of it."""
    return quantity if plain_quantity(quantity) in read_tolerances() else "top-1"


def allowed_difference(quantity: str, printed: str) -> float:
    """How far ours may be from a number as it is printed: its tolerance, and what was rounded off."""
    return round(tolerance_of(quantity).tolerance + rounding(printed), 6)


def rounding(printed: str) -> float:
    """Half a unit of the last printed digit: `25.5` may be 25.45 to 25.55."""
    decimals = re.match(r"[0-9]*\.?([0-9]*)", printed)
    assert decimals is not None, "the pattern matches any text"
    return float(0.5 * 10.0 ** -len(decimals[1]))


def tolerances_digest() -> str:
    """SHA-256 of the file."""
    return file_digest(TOLERANCES_FILE)
