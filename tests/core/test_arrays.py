"""Arrays that are read back: what is damaged, or not what was expected, is named and never believed."""

from __future__ import annotations

import numpy as np
import pytest

from vggrepro.core.arrays import read_array, read_ids, read_part

VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("shape", [(3, 2), (None, 2), (None, None)])
def test_an_array_comes_back(tmp_path, shape, mapped):
    np.save(tmp_path / "x.npy", VALUES)
    assert np.array_equal(read_array(tmp_path / "x.npy", np.float32, shape, "compute it again", mapped=mapped), VALUES)


@pytest.mark.parametrize("mapped", [False, True])
def test_an_empty_array_comes_back(tmp_path, mapped):
    np.save(tmp_path / "x.npy", VALUES[:0])
    assert read_array(tmp_path / "x.npy", np.float32, (None, 2), "compute it again", mapped=mapped).shape == (0, 2)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize(
    ("dtype", "shape", "expected"),
    [
        (np.float64, (3, 2), r"float64 \[3, 2\]"),
        (np.float32, (4, 2), r"float32 \[4, 2\]"),
        (np.float32, (None, 3), r"float32 \[any, 3\]"),
        (np.float32, (None,), r"float32 \[any\]"),
        (np.float32, (3, 2, 1), r"float32 \[3, 2, 1\]"),
    ],
)
def test_an_array_of_another_type_or_shape_is_named(tmp_path, dtype, shape, expected, mapped):
    np.save(tmp_path / "x.npy", VALUES)
    message = (
        rf"x.npy: damaged \(expected {expected}, got float32 \[3, 2\]\): delete {tmp_path}/x.npy and compute it again"
    )
    with pytest.raises(ValueError, match=message):
        read_array(tmp_path / "x.npy", dtype, shape, "compute it again", mapped=mapped)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:20], lambda data: b"", lambda data: b"PK"]
)
def test_a_file_that_is_cut_short_or_something_else_is_named(tmp_path, damage, mapped):
    np.save(tmp_path / "x.npy", VALUES)
    (tmp_path / "x.npy").write_bytes(damage((tmp_path / "x.npy").read_bytes()))
    with pytest.raises(ValueError, match=r"x.npy: damaged \(.*compute it again"):
        read_array(tmp_path / "x.npy", np.float32, (3, 2), "compute it again", mapped=mapped)


@pytest.mark.parametrize("mapped", [False, True])
def test_nothing_is_unpickled(tmp_path, mapped):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the file was unpickled",))

    np.save(tmp_path / "x.npy", np.array([Trap()], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"x.npy: damaged"):
        read_array(tmp_path / "x.npy", object, (1,), "compute it again", mapped=mapped)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"x.npy: no such file"):
        read_array(tmp_path / "x.npy", np.float32, (3, 2), "compute it again")
    with pytest.raises(ValueError, match=r"ids.txt: no such file"):
        read_ids(tmp_path / "ids.txt", "compute it again")


def test_ids_come_back_and_other_bytes_are_named(tmp_path):
    (tmp_path / "ids.txt").write_text("a.JPEG\nb c.JPEG\n")
    assert read_ids(tmp_path / "ids.txt", "compute it again") == ("a.JPEG", "b c.JPEG")
    (tmp_path / "ids.txt").write_bytes(b"\xff\xfe\n")
    with pytest.raises(ValueError, match=rf"ids.txt: damaged .*delete {tmp_path}/ids.txt and compute it again"):
        read_ids(tmp_path / "ids.txt", "compute it again")


@pytest.mark.parametrize("mapped", [False, True])
def test_a_header_that_no_bytes_stand_behind_is_refused_before_memory_is_taken(tmp_path, mapped):
    np.save(tmp_path / "x.npy", VALUES)
    data = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(data.replace(b"(3, 2), }          ", b"(3000000000000, 2)}"))
    with pytest.raises(ValueError, match=r"its header says float32 \[3000000000000, 2\], .* bytes, but 24 follow"):
        read_array(tmp_path / "x.npy", np.float32, (None, 2), "compute it again", mapped=mapped)


@pytest.mark.parametrize("rows", [slice(None), slice(1, 2), slice(2, 9), slice(3, 3)])
def test_rows_come_back_by_position_and_a_file_that_was_cut_meanwhile_is_named(tmp_path, rows):
    np.save(tmp_path / "x.npy", VALUES)
    assert np.array_equal(read_part(tmp_path / "x.npy", rows, "compute it again"), VALUES[rows])
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"x\.npy: damaged .*compute it again"):
        read_part(tmp_path / "x.npy", rows, "compute it again")


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_part_of_an_array_is_its_rows_in_whichever_order_the_file_has_them(tmp_path, order):
    """NumPy writes an array whose columns were chosen column after column."""
    whole = np.arange(24, dtype=np.float32).reshape(6, 4)
    np.save(tmp_path / "a.npy", np.asarray(whole, order=order))
    for part in (slice(0, 6), slice(2, 4), slice(5, 9), slice(3, 3)):
        assert np.array_equal(read_part(tmp_path / "a.npy", part, "again"), whole[part])
