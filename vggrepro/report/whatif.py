"""What if other evaluations were fused? All that a browser needs to say, packed into a file of some megabytes. No torch.

An average of posteriors lies between them. So a class that is ahead of the true one under every evaluation is ahead under
every fusion, and one that is behind under all stays behind: only the classes on which evaluations disagree need keeping. Of
these, each evaluation's best five are kept, with the margin (the posterior less that of the true class) under every
evaluation, eight bits each. A fusion's margin is the average of margins, and a rank the number of classes ahead.

`reports/whatif.js` reads the file, and does what `Contest.wrong` and `catalogue.average` do here.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core import provenance
from vggrepro.core.files import read_json, write_json
from vggrepro.core.paths import ROOT
from vggrepro.core.progress import prefetch, show_progress
from vggrepro.paper import catalogue
from vggrepro.paper.catalogue import Evaluation, Row, System, with_seed
from vggrepro.scores import statistics
from vggrepro.scores.ranks import TOP, wrong_images
from vggrepro.scores.stores import Scores, read_scores, same_images
from vggrepro.settings.models import Settings

IMAGES_PER_PACK = 250
"""Images that are packed at a time."""

TABLES = ("3", "4", "5", "6", "7")
"""The tables whose rows are shown beside a fusion."""

LIMIT = 20_000_000
"""Margins that are kept at most, a byte each: the page stays below 30 MB."""

RANDOM = 100
"""Random fusions, beside those of the paper, whose packed errors are compared with the exact ones."""

MEMBERS = 20
"""Evaluations in the largest of them."""

Counts = NDArray[np.int64]
"""Wrong images, top-1 and top-5, of each of some fusions: [fusions, 2]."""


@dataclass(frozen=True)
class Contest:
    """Of some images, those whose verdict a fusion can change, and the classes on which that depends.

    Pairs are of an image and a class that is ahead of the true one under some evaluation and not under all. They lie image
    by image, and every image has one at least.
    """

    settled: NDArray[np.int64]
    """Wrong under every fusion, top-1 and top-5: of the images that are not here."""
    always: NDArray[np.int64]
    """Classes ahead under every evaluation, per image [images]."""
    image: NDArray[np.int64]
    """The image of every pair, [pairs], ascending from 0."""
    wins: NDArray[np.bool_]
    """Whether the class of a pair comes first where margins are equal: its number is the lower one."""
    margins: NDArray[np.number]
    """Posterior less that of the true class, [evaluations, pairs]; in any unit that is the same for a whole pair."""

    def wrong(self, weights: NDArray[np.float64]) -> Counts:
        """Wrong images under fusions, [fusions, 2], from the weights of evaluations [fusions, evaluations]."""
        found = np.tile(self.settled, (len(weights), 1))
        if not len(self.always):
            return found
        margins = weights @ self.margins.astype(np.float64, copy=False)
        before = (margins > 0) | ((margins == 0) & self.wins)
        starts = np.searchsorted(self.image, np.arange(len(self.always)))
        ranks = self.always + np.add.reduceat(before, starts, axis=1, dtype=np.int64)
        found += np.stack([wrong_images(ranks, quantity).sum(1) for quantity in TOP], 1)
        return found

    def kept(self, pairs: NDArray[np.integer]) -> Contest:
        """The same with some of its pairs, in this order."""
        return Contest(self.settled, self.always, self.image[pairs], self.wins[pairs], self.margins[:, pairs])


def contest(posteriors: Sequence[NDArray[np.float32]], labels: NDArray[np.int64]) -> Contest:
    """What fusions of these posteriors, [images, classes] per evaluation, can decide. Nothing is lost."""
    n, classes = posteriors[0].shape
    true = [np.take_along_axis(p, labels[:, None], 1) for p in posteriors]
    high, low = np.full((n, classes), -np.inf, np.float32), np.full((n, classes), np.inf, np.float32)
    for p, t in zip(posteriors, true, strict=True):
        margin = p - t
        np.maximum(high, margin, out=high)
        np.minimum(low, margin, out=low)
    wins = np.arange(classes) < labels[:, None]
    always = (low > 0) | ((low == 0) & wins)
    open_ = ~always & ((high > 0) | ((high == 0) & wins))
    least = always.sum(1)
    most = least + open_.sum(1)
    # a verdict is open where the rank can fall on either side of it
    undecided = np.any([(least < top) & (most >= top) for top in TOP.values()], axis=0)
    settled = [int(wrong_images(least[~undecided], quantity).sum()) for quantity in TOP]
    rows = np.flatnonzero(undecided)
    image, label = np.nonzero(open_[rows])
    where = rows[image], label
    # in float64: between posteriors of 1 and 0 there are differences that float32 rounds away
    margins = np.stack(
        [np.subtract(p[where], t[rows[image], 0], dtype=np.float64) for p, t in zip(posteriors, true, strict=True)]
    )
    return Contest(np.array(settled), least[rows], image, wins[where], margins)


def worth_keeping(found: Contest) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs to keep, image by image and the most wanted first; and the place of each within its image, from 0.

    An evaluation wants the best classes ahead of the true one, as many as can make its top-5 answer wrong: with them its own
    errors are exact. A class is wanted the more, the more evaluations want it.
    """
    need = max(TOP.values()) - found.always[found.image]
    order = np.lexsort((-found.margins, np.broadcast_to(found.image, found.margins.shape)))
    starts = np.searchsorted(found.image, found.image)
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(len(starts)), order.shape), 1)
    before = (found.margins > 0) | ((found.margins == 0) & found.wins)
    wanted = (before & (place - starts < need)).sum(0)
    kept = np.lexsort((-found.margins.mean(0), -wanted, found.image))
    kept = kept[wanted[kept] > 0]
    return kept, np.arange(len(kept)) - np.searchsorted(found.image[kept], found.image[kept])


def codes(margins: NDArray[np.number]) -> NDArray[np.int8]:
    """Margins in eight bits: 127 for a pair's largest, square roots between, so that small ones keep their digits.

    Signs are kept: zero is zero and nothing else is. So the errors of one evaluation lose nothing.
    """
    share = np.sqrt(np.abs(margins) / np.abs(margins).max(0, initial=np.finfo(np.float32).tiny))
    size = np.maximum(np.rint(127 * share), margins != 0)
    signed: NDArray[np.int8] = (np.sign(margins) * size).astype(np.int8)
    return signed


def decoded(part: Contest) -> Contest:
    """The same with margins for codes, in whole numbers: a code times its size."""
    wide = part.margins.astype(np.int32)
    return replace(part, margins=wide * np.abs(wide))


def write_whatif(settings: Settings, folder: Path, out: Path, workers: int = 1) -> None:
    """Pack the score stores of the first seed below `folder` into the file `out`, and measure how close that comes.

    The paper's evaluations are taken as far as they are there. Raises ValueError where none is, and where stores do not
    hold the same images.
    """
    seed = settings.seeds[0]
    wanted = dict.fromkeys(e for number in catalogue.CLASSIFICATION for e in catalogue.evaluations(number, (seed,)))
    evaluations = sorted((e for e in wanted if (folder / e.path).exists()), key=_place)
    if not evaluations:
        raise ValueError(f"{folder}: none of the paper's evaluations is in it: run `vggrepro evaluate` first")
    stores = {e.path: read_scores(folder / e.path) for e in evaluations}
    images = len(same_images(stores))
    rows = _rows(evaluations, seed)
    systems = [system for _, system in rows] + _random_systems(evaluations)
    weights = [whole_weights(system, evaluations) for system in systems]
    parts, exact = pack(list(stores.values()), np.array(weights, np.float64), workers)
    compared = {"rows": len(rows), "random": RANDOM, "members": min(MEMBERS, len(evaluations))}
    about = {
        "images": images,
        "z": statistics.Z,
        "evaluations": [{"run": e.run.label, "protocol": e.protocol, "Q": e.Q} for e in evaluations],
        "rows": [row | {"weights": shares} for (row, _), shares in zip(rows, weights, strict=False)],
        "closeness": compared | closeness(parts, np.array(weights, np.float64), exact, images),
        "made": provenance.provenance_record(),
    }
    write_json(out, about | as_text(parts))


def _place(evaluation: Evaluation) -> tuple[int, int, str, int, int]:
    """The order of the page: nets, training scales, protocols, test scales."""
    run = evaluation.run
    return (
        catalogue.NETS.index(run.net),
        catalogue.SCALES.index(run.S),
        run.layers,
        catalogue.PROTOCOLS.index(evaluation.protocol),
        evaluation.Q,
    )


def pack(stores: Sequence[Scores], weights: NDArray[np.float64], workers: int = 1) -> tuple[list[Contest], Counts]:
    """What is kept of some stores, with coded margins, a chunk of images after the other; and how often fusions are wrong.

    Every store is read once. Where the margins exceed `LIMIT`, each image keeps no more than so many classes that they fit.
    """
    starts = range(0, len(stores[0]), IMAGES_PER_PACK)
    done = prefetch(partial(_pack_chunk, stores, weights), starts, workers=workers, waiting=workers)
    exact, parts, places = np.zeros((len(weights), len(TOP)), np.int64), [], []
    for counts, part, place in show_progress(done, total=len(starts), about="packing", unit="chunk"):
        exact += counts
        parts.append(part)
        places.append(place)
    pairs = np.bincount(np.concatenate(places), minlength=1).cumsum()
    fitting = int(np.searchsorted(pairs * len(stores), LIMIT, "right"))
    classes = min(max(1, fitting), 255)  # a byte counts them
    return [part.kept(np.flatnonzero(place < classes)) for part, place in zip(parts, places, strict=True)], exact


def _pack_chunk(
    stores: Sequence[Scores], weights: NDArray[np.float64], start: int
) -> tuple[Counts, Contest, NDArray[np.int64]]:
    """The exact counts of some images, what is kept of them, and the place of every pair within its image."""
    part = slice(start, start + IMAGES_PER_PACK)
    found = contest([store.rows(part) for store in stores], stores[0].labels[part])
    pairs, place = worth_keeping(found)
    kept = found.kept(pairs)
    return found.wrong(weights), replace(kept, margins=codes(kept.margins)), place


def closeness(parts: list[Contest], weights: NDArray[np.float64], exact: Counts, images: int) -> dict[str, Any]:
    """How far packed errors are from the exact ones, in points: the largest and the mean distance, top-1 and top-5."""
    packed = np.sum([decoded(part).wrong(weights) for part in parts], 0)
    distance = 100 * np.abs(packed - exact) / images
    names = list(TOP)
    return {
        "largest": dict(zip(names, distance.max(0).tolist(), strict=True)),
        "mean": dict(zip(names, distance.mean(0).tolist(), strict=True)),
    }


def as_text(parts: list[Contest]) -> dict[str, Any]:
    """What the browser reads. `open`: three bytes an image, its classes always ahead, and its pairs that win and lose ties.

    `margins`: a byte a pair, evaluation by evaluation; within an image the pairs that win ties come first.
    """
    counts, margins = [], []
    for part in parts:
        images = len(part.always)
        winning = np.bincount(part.image[part.wins], minlength=images)
        losing = np.bincount(part.image[~part.wins], minlength=images)
        counts.append(np.stack([part.always, winning, losing], 1).astype(np.uint8))
        margins.append(part.margins[:, np.lexsort((~part.wins, part.image))])
    joined = np.concatenate(margins, 1)
    return {
        "settled": np.sum([part.settled for part in parts], 0).tolist(),
        "pairs": joined.shape[1],
        "open": _base64(np.concatenate(counts)),
        "margins": _base64(joined),
    }


def _base64(array: NDArray[np.integer]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def whole_weights(system: System, evaluations: Sequence[Evaluation]) -> list[int]:
    """The weight of every evaluation in a system, as whole numbers: equal ones are exactly equal."""
    weights = dict(system)
    common = math.lcm(*(weight.denominator for weight in weights.values()))
    return [int(weights.get(evaluation, 0) * common) for evaluation in evaluations]


def _rows(evaluations: Sequence[Evaluation], seed: int) -> list[tuple[dict[str, Any], System]]:
    """The rows of the paper that these evaluations can fuse: table, name, published top-1 and top-5; and the system."""
    found = []
    for number in TABLES:
        table = catalogue.published_table(number)
        names = [c.name for q in TOP for c in table.columns if (c.quantity, c.split) == (q, "val")]
        for row in table.rows:
            system = with_seed(row.system, seed) if row.system else ()
            if system and {e for e, _ in system} <= set(evaluations):
                published = [row.cells[name].value for name in names]
                found.append(({"table": number, "name": _row_name(row), "published": published}, system))
    return found


def _row_name(row: Row) -> str:
    """`E/[256;512]/384, dense`; of a fusion that has no name of its own, its group and how many nets it has."""
    keys = row.keys
    if "method" in keys:
        return keys["method"]
    if "systems" in keys:
        return f"{keys['group']}, {keys['systems'].count(' + ') + 1} nets, {keys['protocol']}"
    return f"{keys['net']}/{keys['S']}/{keys['Q']}, {keys['protocol']}"


def _random_systems(evaluations: Sequence[Evaluation]) -> list[System]:
    """Fusions as somebody may pick them: the same ones for the same evaluations."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, min(MEMBERS, len(evaluations)) + 1, RANDOM)
    return [
        catalogue.averaged_system(evaluations[i] for i in rng.choice(len(evaluations), n, replace=False)) for n in sizes
    ]


def whatif_section(file: Path) -> dict[str, Any]:
    """The packed file as the report shows it: chips by run and protocol, rows by table, and the file itself for the script."""
    packed = read_json(
        file, keys=("images", "z", "evaluations", "rows", "closeness", "settled", "pairs", "open", "margins")
    )
    chips = [e | {"number": number} for number, e in enumerate(packed["evaluations"])]
    rows = [{"table": row["table"], "name": row["name"], "number": k} for k, row in enumerate(packed["rows"])]
    return {
        "images": packed["images"],
        "runs": _grouped(chips, "run"),
        "protocols": _grouped(sorted(chips, key=lambda chip: catalogue.PROTOCOLS.index(chip["protocol"])), "protocol"),
        "scales": _grouped(sorted(chips, key=lambda chip: chip["Q"]), "Q"),
        "tables": _grouped(rows, "table"),
        "closeness": packed["closeness"],
        "script": (ROOT / "reports" / "whatif.js").read_text(encoding="utf-8"),
        "packed": {key: value for key, value in packed.items() if key != "made"},
    }


def _grouped(items: Sequence[Mapping[str, Any]], key: str) -> list[tuple[Any, list[Mapping[str, Any]]]]:
    return [(name, list(members)) for name, members in groupby(items, key=lambda item: item[key])]
