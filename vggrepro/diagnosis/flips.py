"""Images on which two systems differ: one is right, the other is wrong. Needs score stores and pictures, no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vggrepro.core.files import atomic_folder, write_json
from vggrepro.core.leftovers import visible_files
from vggrepro.core.records import typed_record
from vggrepro.core.validation import read_typed
from vggrepro.data.store import Store
from vggrepro.paper.systems import System, parse_system, with_seed
from vggrepro.scores.statistics import nested_interval
from vggrepro.scores.stores import Scores, TopLabels, best_labels, read_scores_or_labels

FLIPS_SHOWN = 4
"""Examples of each kind."""
PICTURE_SIDE = 160
"""Longest side of an example's picture in pixels."""


@dataclass(frozen=True)
class Flip:
    """An image that one system gets right and the other wrong."""

    id: str
    picture: str
    """File name beside the list."""
    true: str
    """The true class: its words where the data set has them, else its WNID."""
    answers: tuple[str, str]
    """The predictions of the two systems, in the same form."""


@dataclass(frozen=True)
class FlipsComparison:
    """The top-1 predictions of two systems on the same images. The fields are keys of `flips.json`."""

    names: tuple[str, str]
    protocol: str
    images: int
    both_right: int
    both_wrong: int
    mended: int
    """Images that the first system gets wrong and the second right."""
    broken: int
    """Images that the first system gets right and the second wrong."""
    points: float
    """Error of the second minus error of the first, in percentage points, and its paired 95% interval."""
    interval: tuple[float, float]
    shown: dict[str, list[Flip]]
    """Examples of the `mended` and of the `broken` images."""


def write_flips(
    names: tuple[str, str], *, protocol: str, seed: int, scores_folder: Path, val_folder: Path, out: Path
) -> None:
    """Compare two systems, named as tables name them (`D/256/224,256,288`): `flips.json` and pictures in the folder `out`.

    A name may be that of an imported system. Raises ValueError for scores of other images than those of the prepared store
    `val_folder`, and for a name that is neither.
    """
    val, imported = Store(val_folder), _imported_names(scores_folder)
    try:
        systems = [with_seed(parse_system(name, protocol, imported=imported), seed) for name in names]
    except ValueError as error:
        raise ValueError(f"{error}. Imported systems: {', '.join(imported) or 'none'}") from None
    first, second = (_top1_labels(system, scores_folder, val) for system in systems)
    first_right, second_right = first == val.labels, second == val.labels
    kinds = {"mended": ~first_right & second_right, "broken": first_right & ~second_right}
    low, high = nested_interval((first_right.astype(float) - second_right)[None])
    with atomic_folder(out, "flips.json") as root:
        examples = {kind: list(_examples(flipped, first, second, val, root)) for kind, flipped in kinds.items()}
        comparison = FlipsComparison(
            names,
            protocol,
            len(val),
            both_right=int((first_right & second_right).sum()),
            both_wrong=int((~first_right & ~second_right).sum()),
            **{kind: int(flipped.sum()) for kind, flipped in kinds.items()},
            points=100 * float(first_right.mean() - second_right.mean()),
            interval=(100 * low, 100 * high),
            shown=examples,
        )
        write_json(root / "flips.json", asdict(comparison))


def read_flips(folder: Path) -> FlipsComparison:
    """The comparison in a folder that `write_flips` wrote."""
    return read_typed(FlipsComparison, folder / "flips.json", "compare the systems again")


def _top1_labels(system: System, folder: Path, val: Store) -> NDArray[np.int64]:
    """The best label of every image, [N]; a ValueError for scores of other images than the store's."""
    stores = {e.path: read_scores_or_labels(folder / e.path) for e, _ in system}
    for store in stores.values():
        # what was imported by the devkit alone knows the images by their names
        same = store.metadata.get("data") == val.digest if store.metadata.get("data") else list(store.ids) == val.ids
        if not same or not np.array_equal(store.labels, val.labels):
            raise ValueError(f"{store.folder}: scores of other images than those in {val.folder}: evaluate again")
    if len(stores) == 1 and isinstance(store := next(iter(stores.values())), TopLabels):
        return store.predicted[:, 0]
    averaged = {path: store for path, store in stores.items() if isinstance(store, Scores)}
    if len(averaged) < len(stores):
        raise ValueError(
            f"{min(stores.keys() - averaged.keys())}: the best labels alone cannot be averaged with others"
        )
    return best_labels(averaged, {e.path: share for e, share in system}, 1)[:, 0]


def _imported_names(folder: Path) -> list[str]:
    """The names of the imported systems below a folder of score stores."""
    return [str(typed_record(file, ("name",))["name"]) for file in visible_files(folder, "imported/*/made.json")]


def _examples(
    flipped: NDArray[np.bool_], first: NDArray[np.int64], second: NDArray[np.int64], val: Store, out: Path
) -> Iterator[Flip]:
    """FLIPS_SHOWN of the `flipped` [N] images, spread evenly over the set, so that nobody picks them."""
    numbers = np.flatnonzero(flipped)
    wnids, words = val.about["wnids"], val.about.get("words", {})
    names = [words.get(wnid, wnid) for wnid in wnids]
    for i in numbers[np.linspace(0, len(numbers) - 1, min(FLIPS_SHOWN, len(numbers))).astype(int)].tolist():
        picture = Image.fromarray(val.image(i))
        picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        picture.save(out / f"{i}.png")
        yield Flip(val.ids[i], f"{i}.png", names[val.labels[i]], (names[first[i]], names[second[i]]))
