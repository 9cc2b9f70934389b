"""Outcomes, which images each row gets wrong, are read back as they were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vggrepro.scores import outcomes
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes, Shares, ids_digest


def made_up(seeds: int = 2, n: int = 21) -> Outcomes:
    rng = np.random.default_rng(0)
    errors = Errors(rng.random((seeds, n)) < 0.3, ids_digest([str(i) for i in range(n)]), ("D_256_s0/dense/256",))
    shares = Shares(rng.random((seeds, 1)), rng.random((seeds, 200)), 40, 30, "set part", ("voc2007/D",))
    entries = (
        OutcomeEntry({"net": "D", "S": "256"}, "top-1", errors),
        OutcomeEntry({"method": "Net-D & Net-E"}, "voc2007", shares),
    )
    return Outcomes("3", tuple(range(seeds)), entries)


def assert_same(a: Outcomes, b: Outcomes) -> None:
    np.testing.assert_equal([vars(e.outcome) for e in a.entries], [vars(e.outcome) for e in b.entries])
    keys, expected = ((x.table, x.seeds, [(e.row, e.quantity) for e in x.entries]) for x in (a, b))
    assert keys == expected


@pytest.mark.parametrize("n", [1, 7, 8, 9, 1000])
def test_outcomes_are_read_back_as_they_were_written(tmp_path, n):
    outcomes.write_outcomes(tmp_path / "o.npz", made_up(n=n))
    assert_same(outcomes.read_outcomes(tmp_path / "o.npz"), made_up(n=n))
    assert [path.name for path in tmp_path.iterdir()] == ["o.npz"]


def test_the_same_outcomes_are_the_same_bytes(tmp_path):
    for name in "ab":
        outcomes.write_outcomes(tmp_path / name, made_up())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_table_without_outcomes_has_a_file_too(tmp_path):
    outcomes.write_outcomes(tmp_path / "o.npz", Outcomes("1", ()))
    assert outcomes.read_outcomes(tmp_path / "o.npz") == Outcomes("1", ())


def test_an_image_takes_a_bit(tmp_path):
    n = 50_000
    wrong = np.random.default_rng(0).random((1, n)) < 0.27
    outcomes.write_outcomes(
        tmp_path / "o.npz", Outcomes("3", (0,), (OutcomeEntry({}, "top-1", Errors(wrong, "", ())),))
    )
    assert (tmp_path / "o.npz").stat().st_size < n / 8 + 1000


@pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: b"", lambda data: b"not a zip file"])
def test_damaged_outcomes_are_named(tmp_path, damage):
    path: Path = tmp_path / "o.npz"
    outcomes.write_outcomes(path, made_up())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"o.npz: damaged \(.*make the table again"):
        outcomes.read_outcomes(path)


def test_missing_outcomes_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"o.npz: no such file: make it first"):
        outcomes.read_outcomes(tmp_path / "o.npz")


def test_a_file_with_pickled_objects_is_refused(tmp_path):
    np.savez(tmp_path / "o.npz", about=np.array({"table": "3"}, dtype=object))
    with pytest.raises(ValueError, match="o.npz: damaged"):
        outcomes.read_outcomes(tmp_path / "o.npz")


def test_the_order_of_images_is_in_their_digest():
    assert ids_digest(["a", "b"]) != ids_digest(["b", "a"])
    assert ids_digest(["ab", "c"]) != ids_digest(["a", "bc"])
