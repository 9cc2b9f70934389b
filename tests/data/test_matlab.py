"""Files of MATLAB: honest ones come back; one whose variables say more entries than they have bytes is refused first."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from scipy.io import savemat
from scipy.sparse import eye

from vggrepro.data.matlab import read_mat

VARIABLES = {
    "numbers": np.arange(6.0).reshape(2, 3),
    "text": "a name",
    "none": np.zeros((0, 7)),
    "flags": np.array([True, False]),
    "sparse": eye(50).tocsc(),
    "complex": np.array([1 + 2j, 3j]),
    "sparse and complex": (1j * eye(5)).tocsc(),
    "cells": np.array([["a", 2.0, np.zeros((0, 0))]], object),
    "structure": {"weights": np.ones((3, 5, 2)), "name": "conv", "inner": {"a": 1}, "empty": {}},
    "structures": np.array([(1, "x"), (2, "y")], dtype=[("n", object), ("s", object)]),
}


@pytest.mark.parametrize("packed", [False, True])
def test_honest_variables_of_every_kind_come_back(packed):
    file = io.BytesIO()
    savemat(file, VARIABLES, do_compression=packed)
    variables = read_mat(file, "x.mat")
    assert set(VARIABLES) <= set(variables)
    assert np.array_equal(variables["numbers"], VARIABLES["numbers"])


@pytest.mark.parametrize("version", ["4", "5"])
def test_numbers_of_both_versions_come_back(version):
    file = io.BytesIO()
    savemat(file, {"x": np.arange(4.0)}, format=version)
    assert read_mat(file, "x.mat")["x"].tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    "value",
    [
        np.array([["a"] * 77], object),
        np.array([(1, 2)] * 77, dtype=[("n", object), ("s", object)]),
        {"inner": np.array([["a"] * 77], object)},
        np.arange(77.0),
    ],
    ids=["cells", "structures", "cells in a structure", "numbers"],
)
def test_dimensions_that_no_bytes_stand_behind_are_refused_before_memory_is_taken(value):
    file = io.BytesIO()
    savemat(file, {"x": value}, oned_as="row")
    side = struct.pack("<i", 77)
    honest = file.getvalue()
    lying = honest.replace(struct.pack("<i", 1) + side, struct.pack("<ii", 1, 50_000_000))
    lying = lying.replace(side + struct.pack("<i", 1), struct.pack("<ii", 50_000_000, 1))
    assert lying != honest
    tracemalloc.start()
    with pytest.raises(
        ValueError, match=r"x\.mat: cannot be read as MATLAB's: a variable of .* bytes says that it has"
    ):
        read_mat(io.BytesIO(lying), "x.mat")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("good", "changed"),
    [
        (struct.pack("<II", 9, 72), struct.pack("<II", 72, 72)),
        (struct.pack("<II", 9, 72), struct.pack("<II", 14, 72)),
        (struct.pack("<IIII", 6, 8, 6, 0), struct.pack("<IIII", 6, 8, 0x806, 0)),
    ],
    ids=["no type", "no numbers", "no imaginary parts"],
)
def test_types_that_end_scipy_without_a_word_are_refused(good, changed):
    file = io.BytesIO()
    savemat(file, {"layers": {"weights": np.ones((3, 3)), "name": "x"}})
    assert good in file.getvalue()
    with pytest.raises(
        ValueError, match=r"x.mat: cannot be read as MATLAB's: a variable of class 6 has elements of types"
    ):
        read_mat(io.BytesIO(file.getvalue().replace(good, changed)), "x.mat")


def test_every_file_that_scipy_reads_of_its_own_is_read():
    """MATLAB of many versions and machines wrote them."""
    files = sorted((Path(scipy.io.__file__).parent / "matlab/tests/data").glob("*.mat"))
    if not files:
        pytest.skip("this scipy comes without its tests")
    read = 0
    for file in files:
        try:
            scipy.io.loadmat(file)
        except Exception:  # some are damaged on purpose
            continue
        read_mat(io.BytesIO(file.read_bytes()), file.name)
        read += 1
    assert read > 50
