"""Images on which two systems differ: one is right, the other is wrong. From score stores and pictures alone, no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import TypeAdapter

from vggrepro.core.files import atomic_folder, read_json, write_json
from vggrepro.data.store import Store
from vggrepro.paper.systems import System, parse_system, with_seed
from vggrepro.scores.statistics import nested_interval
from vggrepro.scores.stores import best_labels, read_scores

FLIPS_SHOWN = 4
"""Images of each kind to look at."""
PICTURE_SIDE = 160
"""Longest side of a picture in pixels."""


@dataclass(frozen=True)
class Flip:
    """An image that one system gets right and the other wrong."""

    id: str
    picture: str
    """File name beside the list."""
    true: str
    """The class, in words where the data set has them; else its WNID."""
    answers: tuple[str, str]
    """Those of the two systems."""


@dataclass(frozen=True)
class Comparison:
    """Top-1 answers of two systems on the same images."""

    names: tuple[str, str]
    protocol: str
    images: int
    both_right: int
    both_wrong: int
    mended: int
    """Images that the first system gets wrong and the second right."""
    broken: int
    """The other way round."""
    points: float
    """Error of the second minus error of the first, in percentage points, and its paired 95% interval."""
    interval: tuple[float, float]
    shown: dict[str, list[Flip]]
    """Some of the `mended` and some of the `broken`."""


def write_flips(
    names: tuple[str, str], protocol: str, seed: int, *, scores_folder: Path, val_folder: Path, out: Path
) -> None:
    """Compare two systems, named as tables name them (`D/256/224,256,288`), and write `flips.json` and pictures into `out`."""
    val = Store(val_folder)
    first, second = (_answers(with_seed(parse_system(name, protocol), seed), scores_folder, val) for name in names)
    was, is_now = first == val.labels, second == val.labels
    kinds = {"mended": ~was & is_now, "broken": was & ~is_now}
    low, high = nested_interval((was.astype(float) - is_now)[None])
    with atomic_folder(out, "flips.json") as root:
        shown = {kind: list(_flips(there, first, second, val, root)) for kind, there in kinds.items()}
        found = Comparison(
            names,
            protocol,
            len(val),
            int((was & is_now).sum()),
            int((~was & ~is_now).sum()),
            **{kind: int(there.sum()) for kind, there in kinds.items()},
            points=100 * float(was.mean() - is_now.mean()),
            interval=(100 * low, 100 * high),
            shown=shown,
        )
        write_json(root / "flips.json", asdict(found))


def read_flips(folder: Path) -> Comparison:
    """The comparison in a folder that `write` wrote."""
    return TypeAdapter(Comparison).validate_python(read_json(folder / "flips.json"))


def _answers(system: System, folder: Path, val: Store) -> NDArray[np.int64]:
    """The best label of every image, [N]; a ValueError for scores of other images than the store's."""
    stores = {e.path: read_scores(folder / e.path) for e, _ in system}
    for store in stores.values():
        if store.made.get("data") != val.digest:
            raise ValueError(f"{store.folder}: scores of other images than those in {val.folder}: evaluate again")
    return best_labels(stores, {e.path: share for e, share in system}, 1)[:, 0]


def _flips(
    there: NDArray[np.bool_], first: NDArray[np.int64], second: NDArray[np.int64], val: Store, out: Path
) -> Iterator[Flip]:
    """Some of the images that are `there` [N], spread evenly over the set: picked by nobody."""
    found = np.flatnonzero(there)
    wnids, words = val.about["wnids"], val.about.get("words", {})
    names = [words.get(wnid, wnid) for wnid in wnids]
    for i in found[np.linspace(0, len(found) - 1, min(FLIPS_SHOWN, len(found))).astype(int)].tolist():
        picture = Image.fromarray(val.image(i))
        picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        picture.save(out / f"{i}.png")
        yield Flip(val.ids[i], f"{i}.png", names[val.labels[i]], (names[first[i]], names[second[i]]))
