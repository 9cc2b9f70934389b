"""Quantities of a user's own tables, from averaged posteriors: top-N errors, and those of `paper/measures.py`. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vggrepro.paper.measures import MEASURES, RankedImages
from vggrepro.paper.systems import System, seeded_mixtures
from vggrepro.scores.outcomes import Errors, Outcome, Shares, ids_digest
from vggrepro.scores.ranks import true_class_ranks, wrong_images
from vggrepro.scores.statistics import resampled
from vggrepro.scores.stores import Scores, summed_posteriors


def measured_quantities(
    quantities: Sequence[str], systems: Iterable[System], seeds: Sequence[int], stores: Mapping[str, Scores]
) -> dict[System, dict[str, Outcome]]:
    """The outcomes of every system of ours whose evaluations were all run, in quantities that the paper does not have."""
    mixtures = seeded_mixtures(systems, seeds, stores)
    answers = _answers(stores, mixtures)
    images = ids_digest(next(iter(stores.values())).ids) if stores else ""
    return {
        system: {
            quantity: _outcome(quantity, [answers[system, seed] for seed in seeds], system, images)
            for quantity in quantities
        }
        for system in dict.fromkeys(system for system, _ in mixtures)
    }


def _answers(
    stores: Mapping[str, Scores], mixtures: Mapping[tuple[System, int], Mapping[str, Fraction]]
) -> dict[tuple[System, int], RankedImages]:
    if not mixtures:
        return {}
    labels = next(iter(stores.values())).labels
    ranks = {key: np.empty(len(labels), np.int32) for key in mixtures}
    confidence = {key: np.empty(len(labels)) for key in mixtures}
    for part, key, total, weights in summed_posteriors(stores, mixtures):
        ranks[key][part] = true_class_ranks(total, labels[part])
        confidence[key][part] = total.max(1) / weights
    return {key: RankedImages(ranks[key], confidence[key], labels) for key in mixtures}


def _outcome(quantity: str, answers: Sequence[RankedImages], system: System, images: str) -> Outcome:
    sources = tuple(member.path for member, _ in system)
    if quantity not in MEASURES:
        return Errors(np.stack([wrong_images(of_seed.ranks, quantity) for of_seed in answers]), images, sources)
    of_seeds = [partial(_measure, MEASURES[quantity], of_seed) for of_seed in answers]
    count = len(answers[0].labels)
    values = np.array([[measure(np.arange(count))] for measure in of_seeds])
    return Shares(values, resampled(of_seeds, np.arange(count)), count, count, images, sources)


def _measure(function: Callable[[RankedImages], float], answers: RankedImages, images: NDArray[np.int64]) -> float:
    return function(answers.of(images))
