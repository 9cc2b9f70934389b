"""Numbers of others mean what they mean: lists in any order, rounded posteriors, and tables in many forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vggrepro.core.text import decode_text
from vggrepro.external.meanings import is_best_first
from vggrepro.external.posteriors import posteriors_of
from vggrepro.external.score_files import read_score_file

IDS = [f"val_{i}.JPEG" for i in range(30)]
LABELS = np.random.default_rng(0).permuted(np.tile(np.arange(100), (30, 1)), axis=1)[:, :5]
HEAD = ["image", *(f"p{k}" for k in range(5))]


def lines(rows: list[list[object]], mark: str = ",", end: str = "\n") -> str:
    return "".join(mark.join(map(str, row)) + end for row in rows)


ROWS = [[name, *labels] for name, labels in zip(IDS, LABELS.tolist(), strict=True)]
FORMS: dict[str, bytes] = {
    "plain.csv": lines([HEAD, *ROWS]).encode(),
    "no header.csv": lines(ROWS).encode(),
    "crlf.csv": lines([HEAD, *ROWS], end="\r\n").encode(),
    "bom.csv": lines([HEAD, *ROWS]).encode("utf-8-sig"),
    "bom, no header.csv": lines(ROWS).encode("utf-8-sig"),
    "utf-16.csv": lines([HEAD, *ROWS]).encode("utf-16"),
    "semicolons.csv": lines([HEAD, *ROWS], ";").encode(),
    "tabs.tsv": lines([HEAD, *ROWS], "\t").encode(),
    "index.csv": lines([["", *HEAD], *([i, *row] for i, row in enumerate(ROWS))]).encode(),
    "floats.csv": lines([HEAD, *([row[0], *(f"{v}.0" for v in row[1:])] for row in ROWS)]).encode(),
    "lists.csv": lines([["image", "top5"], *([row[0], '"' + str(row[1:]) + '"'] for row in ROWS)]).encode(),
    "by name.json": json.dumps({row[0]: row[1:] for row in ROWS}).encode(),
    "records.json": json.dumps([dict(zip(HEAD, row, strict=True)) for row in ROWS]).encode(),
    "beside names.txt": lines(ROWS, " ").encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_in_every_form_are_the_same_labels(tmp_path: Path, form):
    (tmp_path / form).write_bytes(FORMS[form])
    file = read_score_file(tmp_path / form, {f"val_{i}" for i in range(30)}, 100)
    assert file.ids == IDS
    assert np.array_equal(file.values, LABELS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_read_in_any_encoding_and_with_any_line_ends(encoding):
    assert decode_text("é, 1\r\nb\rc\n".encode(encoding)) == "é, 1\nb\nc\n"


def hits_of(order: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Where the true class of a net lands that is right at the first place in two images of three, its lists reordered."""
    rng = np.random.default_rng(1)
    place = rng.choice(6, 5000, p=[0.65, 0.11, 0.05, 0.03, 0.02, 0.14])
    ranks = np.array([order(rng.permutation(5)) for _ in range(5000)])
    return (ranks == place[:, None]).mean(0)


def test_only_lists_that_are_best_first_seem_so():
    assert is_best_first(hits_of(np.sort), 5000, 0.001)
    for order in (lambda r: r, lambda r: np.sort(r)[::-1], lambda r: np.roll(np.sort(r), 1)):
        assert not is_best_first(hits_of(order), 5000, 0.001)
    # the shares of public lists that numpy.argpartition made
    assert not is_best_first(np.array([0.306, 0.240, 0.163, 0.102, 0.051]), 50_000, 0.001)


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("decimals", [2, 3, 4, 6])
def test_rounded_posteriors_and_per_cent_sum_to_one_again_and_are_no_logits(decimals, times):
    rng = np.random.default_rng(decimals)
    exact = rng.dirichlet(np.full(100, 0.05), 200)
    written = (times * exact).round(decimals)
    posteriors = posteriors_of(written, Path("p.npy"), logits=False).values
    np.testing.assert_allclose(posteriors.sum(1), 1, atol=2e-3)
    assert np.abs(posteriors - exact).max() < 20 * 10.0**-decimals
    with pytest.raises(ValueError, match="leave out --logits"):
        posteriors_of(written, Path("p.npy"), logits=True)
