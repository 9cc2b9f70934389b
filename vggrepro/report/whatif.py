"""What if other evaluations were fused? Packs what a browser needs to answer into a file of some megabytes. No torch.

An average of posteriors lies between the smallest and the largest. So a class that beats the true class under every
evaluation beats it under every fusion, and a class that loses under all evaluations always loses: only classes on which
evaluations disagree have to be kept, with the margin (the posterior minus that of the true class) under every evaluation.
The margin of a fusion is the average of margins, and the rank of the true class is the number of classes with a positive
margin. Of few images the file keeps every such class, with margins as 32-bit floats; of many, each evaluation's best five,
with margins in eight bits. The rows of the paper carry their exact counts, so that this part and the tables are one truth.

`reports/whatif.js` reads the file and repeats `Contest.wrong` and `averaged_system` in the browser.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core import provenance
from vggrepro.core.checksums import CHECKSUMS_SUFFIX, write_list
from vggrepro.core.files import check_ending, write_json
from vggrepro.core.progress import prefetch, show_progress
from vggrepro.paper.nets import NETS
from vggrepro.paper.systems import PROTOCOLS, Evaluation, System, averaged_system, with_seed
from vggrepro.paper.tables import Row, published_table, table_evaluations, table_numbers
from vggrepro.scores import statistics
from vggrepro.scores.ranks import TOP, wrong_images
from vggrepro.scores.stores import Scores, read_scores, same_images
from vggrepro.scores.trainings import pooled_spread, with_trainings
from vggrepro.settings.models import Settings

IMAGES_PER_PACK = 250
"""Images that are packed at a time."""

MAX_MARGINS = 20_000_000
"""Most margins that are kept, one byte each, so that the page stays below 30 MB."""

MAX_FLOAT_MARGINS = 1_000_000
"""Up to so many posteriors (evaluations x images x classes, of which a byte counts the last) margins are kept as 32-bit
floats: the page grows by less than 1 MB, because most classes of most images are never contested."""

RANDOM_FUSIONS = 100
"""Random fusions whose packed errors are compared with the exact ones, besides the paper's."""

MAX_FUSION_SIZE = 20
"""Evaluations in the largest random fusion."""


WrongCounts = NDArray[np.int64]
"""Numbers of wrong images, top-1 and top-5, of fusions: [fusions, 2]."""


@dataclass(frozen=True)
class Contest:
    """The images whose correctness depends on the fusion, and the classes that decide it.

    A pair is an image and a class that beats the true class under at least one evaluation but not under all. Pairs are
    sorted by image; every image has at least one.
    """

    settled: NDArray[np.int64]
    """Of the images left out, the numbers that are wrong under every fusion: [2], top-1 and top-5."""
    always: NDArray[np.int64]
    """Number of classes that beat the true one under every evaluation, [images]."""
    image: NDArray[np.int64]
    """The image of every pair, [pairs], ascending from 0."""
    wins: NDArray[np.bool_]
    """Whether the class of a pair wins ties, because its number is lower than the true class's: [pairs]."""
    margins: NDArray[np.number]
    """Posterior minus that of the true class, [evaluations, pairs]; each pair may have a unit of its own."""

    def wrong(self, weights: NDArray[np.float64]) -> WrongCounts:
        """Numbers of wrong images [fusions, 2] for weights of evaluations [fusions, evaluations]."""
        counts = np.tile(self.settled, (len(weights), 1))
        if not len(self.always):
            return counts
        margins = weights @ self.margins.astype(np.float64, copy=False)
        before = (margins > 0) | ((margins == 0) & self.wins)
        starts = np.searchsorted(self.image, np.arange(len(self.always)))
        ranks = self.always + np.add.reduceat(before, starts, axis=1, dtype=np.int64)
        counts += np.stack([wrong_images(ranks, quantity).sum(1) for quantity in TOP], 1)
        return counts

    def kept(self, pairs: NDArray[np.integer]) -> Contest:
        """The same with only these pairs, in this order."""
        return Contest(self.settled, self.always, self.image[pairs], self.wins[pairs], self.margins[:, pairs])


def contest_of(posteriors: Sequence[NDArray[np.float32]], labels: NDArray[np.int64]) -> Contest:
    """The contest between fusions of posteriors [images, classes], one array per evaluation. Exact: no pair is dropped."""
    n, classes = posteriors[0].shape
    true = [np.take_along_axis(p, labels[:, None], 1) for p in posteriors]
    high, low = np.full((n, classes), -np.inf, np.float32), np.full((n, classes), np.inf, np.float32)
    for p, t in zip(posteriors, true, strict=True):
        margin = p - t
        np.maximum(high, margin, out=high)
        np.minimum(low, margin, out=low)
    wins = np.arange(classes) < labels[:, None]
    always = (low > 0) | ((low == 0) & wins)
    contested = ~always & ((high > 0) | ((high == 0) & wins))
    least = always.sum(1)
    most = least + contested.sum(1)
    # an image is undecided if its rank can fall on either side of a limit
    undecided = np.any([(least < top) & (most >= top) for top in TOP.values()], axis=0)
    settled = [int(wrong_images(least[~undecided], quantity).sum()) for quantity in TOP]
    rows = np.flatnonzero(undecided)
    image, label = np.nonzero(contested[rows])
    where = rows[image], label
    # in float64, because float32 rounds away small differences between posteriors near 1 and near 0
    margins = np.stack(
        [np.subtract(p[where], t[rows[image], 0], dtype=np.float64) for p, t in zip(posteriors, true, strict=True)]
    )
    return Contest(np.array(settled), least[rows], image, wins[where], margins)


def pairs_to_keep(images: Contest) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs to keep, sorted by image and then by importance; and the place of each within its image, from 0.

    An evaluation needs the best classes that beat the true one, as many as can make its top-5 answer wrong: with them its
    own errors are exact. A class is the more important, the more evaluations need it.
    """
    need = max(TOP.values()) - images.always[images.image]
    order = np.lexsort((-images.margins, np.broadcast_to(images.image, images.margins.shape)))
    starts = np.searchsorted(images.image, images.image)
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(len(starts)), order.shape), 1)
    before = (images.margins > 0) | ((images.margins == 0) & images.wins)
    wanted = (before & (place - starts < need)).sum(0)
    kept = np.lexsort((-images.margins.mean(0), -wanted, images.image))
    kept = kept[wanted[kept] > 0]
    return kept, np.arange(len(kept)) - np.searchsorted(images.image[kept], images.image[kept])


def margin_codes(margins: NDArray[np.number]) -> NDArray[np.int8]:
    """Margins in eight bits: 127 is a pair's largest margin; a square-root scale keeps digits of small ones.

    Signs are exact, and only zero becomes zero. So the errors of a single evaluation stay exact.
    """
    share = np.sqrt(np.abs(margins) / np.abs(margins).max(0, initial=np.finfo(np.float32).tiny))
    size = np.maximum(np.rint(127 * share), margins != 0)
    signed: NDArray[np.int8] = (np.sign(margins) * size).astype(np.int8)
    return signed


def with_decoded_margins(part: Contest) -> Contest:
    """The same with margins decoded: codes to integers, the signed square of each; floats are as they are."""
    if part.margins.dtype != np.int8:
        return part
    wide = part.margins.astype(np.int32)
    return replace(part, margins=wide * np.abs(wide))


def write_whatif(settings: Settings, folder: Path, out: Path, workers: int = 1) -> None:
    """Pack the score stores of the first seed below `folder` into the file `out`, and measure the error that packing makes.

    Evaluations of the paper that were not run are left out. Raises ValueError if none was run, or if stores hold different
    images.
    """
    check_ending(out, ".json")
    seed = settings.seeds[0]
    evaluations_of_paper = dict.fromkeys(
        e for number in table_numbers("scores") for e in table_evaluations(number, (seed,))
    )
    evaluations = sorted((e for e in evaluations_of_paper if (folder / e.path).exists()), key=_place)
    if not evaluations:
        raise ValueError(f"{folder}: it holds no score store of the paper's evaluations; run `vggrepro evaluate` first")
    stores = {e.path: read_scores(folder / e.path) for e in evaluations}
    images = len(same_images(stores))
    rows = _rows(evaluations, seed)
    systems = [system for _, system in rows] + _random_systems(evaluations)
    weights = [integer_weights(system, evaluations) for system in systems]
    parts, exact = pack_stores(list(stores.values()), np.array(weights, np.float64), workers)
    compared = {"rows": len(rows), "random": RANDOM_FUSIONS, "members": min(MAX_FUSION_SIZE, len(evaluations))}
    about = {
        "images": images,
        "z": statistics.Z,
        "trainings": [_half_of_training(quantity) for quantity in TOP],
        "evaluations": [{"run": e.run.label, "protocol": e.protocol, "Q": e.Q} for e in evaluations],
        "seed": seed,
        "seeds": len(settings.seeds),
        "rows": [
            row | {"weights": shares, "wrong": counts}
            for (row, _), shares, counts in zip(rows, weights, exact.tolist(), strict=False)
        ],
        "closeness": compared | packing_error(parts, np.array(weights, np.float64), exact, images),
        "made": provenance.provenance_record(),
    }
    write_json(out, about | packed_text(parts))
    write_list(out.with_suffix(CHECKSUMS_SUFFIX), (out,))


def _half_of_training(quantity: str) -> float:
    """Half a 95% interval of what one training does to an error, from 0 to 1: one seed is packed, so it is assumed."""
    nothing = statistics.Estimate(0.0, images=0.0)
    return with_trainings(nothing, pooled_spread([], quantity), times=1).half()


def _place(evaluation: Evaluation) -> tuple[int, tuple[bool, int, int], str, int, int]:
    """Sort key: net, training scale, layers, protocol, test scale."""
    run = evaluation.run
    return (
        NETS.index(run.net),
        run.scale_order,
        run.layers,
        PROTOCOLS.index(evaluation.protocol),
        evaluation.Q,
    )


def pack_stores(
    stores: Sequence[Scores], weights: NDArray[np.float64], workers: int = 1
) -> tuple[list[Contest], WrongCounts]:
    """Contests with coded margins, one per chunk of images; and the exact numbers of wrong images of the fusions.

    Every store is read once. Up to `MAX_FLOAT_MARGINS` posteriors nothing is coded and no class that matters is left out. If
    there are more margins than `MAX_MARGINS`, every image keeps only as many classes as fit.
    """
    starts = range(0, len(stores[0]), IMAGES_PER_PACK)
    few = len(stores) * stores[0].posteriors.size <= MAX_FLOAT_MARGINS and stores[0].classes <= 256
    pack = _pack_chunk_as_floats if few else _pack_chunk
    done = prefetch(partial(pack, stores, weights), starts, workers=workers, waiting=workers)
    exact, parts, places = np.zeros((len(weights), len(TOP)), np.int64), [], []
    for counts, part, place in show_progress(done, total=len(starts), about="packing", unit="chunk"):
        exact += counts
        parts.append(part)
        places.append(place)
    pairs = np.bincount(np.concatenate(places), minlength=1).cumsum()
    fitting = int(np.searchsorted(pairs * len(stores), MAX_MARGINS, "right"))
    classes = min(max(1, fitting), 255)  # a byte counts them
    return [part.kept(np.flatnonzero(place < classes)) for part, place in zip(parts, places, strict=True)], exact


def _pack_chunk(
    stores: Sequence[Scores], weights: NDArray[np.float64], start: int
) -> tuple[WrongCounts, Contest, NDArray[np.int64]]:
    """Of a chunk of images: exact counts, the contest to keep, and the place of every pair within its image."""
    part = slice(start, start + IMAGES_PER_PACK)
    images = contest_of([store.rows(part) for store in stores], stores[0].labels[part])
    pairs, place = pairs_to_keep(images)
    kept = images.kept(pairs)
    return images.wrong(weights), replace(kept, margins=margin_codes(kept.margins)), place


def _pack_chunk_as_floats(
    stores: Sequence[Scores], weights: NDArray[np.float64], start: int
) -> tuple[WrongCounts, Contest, NDArray[np.int64]]:
    """The same with every contested class, and margins as 32-bit floats."""
    part = slice(start, start + IMAGES_PER_PACK)
    images = contest_of([store.rows(part) for store in stores], stores[0].labels[part])
    floats = replace(images, margins=images.margins.astype("<f4"))
    return images.wrong(weights), floats, np.zeros(len(images.image), np.int64)


def packing_error(
    parts: list[Contest], weights: NDArray[np.float64], exact: WrongCounts, images: int
) -> dict[str, Any]:
    """Largest and mean distance between packed and exact errors, in points, top-1 and top-5."""
    packed = np.sum([with_decoded_margins(part).wrong(weights) for part in parts], 0)
    distance = 100 * np.abs(packed - exact) / images
    names = list(TOP)
    return {
        "largest": dict(zip(names, distance.max(0).tolist(), strict=True)),
        "mean": dict(zip(names, distance.mean(0).tolist(), strict=True)),
    }


def packed_text(parts: list[Contest]) -> dict[str, Any]:
    """What the browser reads. `open`: three bytes per image: classes that always win, pairs that win ties, that lose ties.

    `margins`: a number of `bits` bits (8, or a float of 32) per evaluation and pair; within an image the pairs that win ties
    come first.
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
        "bits": 8 * joined.itemsize,
        "open": _base64(np.concatenate(counts)),
        "margins": _base64(joined),
    }


def _base64(array: NDArray[np.number]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def integer_weights(system: System, evaluations: Sequence[Evaluation]) -> list[int]:
    """The weight of every evaluation in a system as integers, so that equal weights are exactly equal."""
    weights = dict(system)
    common = math.lcm(*(weight.denominator for weight in weights.values()))
    return [int(weights.get(evaluation, 0) * common) for evaluation in evaluations]


def _rows(evaluations: Sequence[Evaluation], seed: int) -> list[tuple[dict[str, Any], System]]:
    """The rows of which the paper prints errors and all evaluations exist: table, name, top-1 and top-5; and the system."""
    rows = []
    for number in table_numbers("scores"):
        table = published_table(number)
        names = [c.name for q in TOP for c in table.columns if (c.quantity, c.split) == (q, "val")]
        for row in table.rows:
            system = with_seed(row.system, seed) if row.system else ()
            published = [row.cells[name].value for name in names]
            if system and not row.minus and any(published) and {e for e, _ in system} <= set(evaluations):
                rows.append(({"table": number, "name": _row_name(row), "published": published}, system))
    return rows


def _row_name(row: Row) -> str:
    """`E/[256;512]/384, dense`; for a fusion without a name, its group and number of nets."""
    keys = row.keys
    if "method" in keys:
        return keys["method"]
    if "systems" in keys:
        return f"{keys['group']}, {keys['systems'].count(' + ') + 1} nets, {keys['protocol']}"
    return f"{keys['net']}/{keys['S']}/{keys['Q']}, {keys['protocol']}"


def _random_systems(evaluations: Sequence[Evaluation]) -> list[System]:
    """Random fusions, drawn with a fixed seed."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, min(MAX_FUSION_SIZE, len(evaluations)) + 1, RANDOM_FUSIONS)
    return [averaged_system(evaluations[i] for i in rng.choice(len(evaluations), n, replace=False)) for n in sizes]
