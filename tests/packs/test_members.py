"""Bytes that were sorted come back in order, whatever they are."""

from __future__ import annotations

import zipfile

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vggrepro.packs import members
from vggrepro.packs.members import in_order, read_member, sorted_by_place, write_member


@given(st.binary(max_size=70))
def test_sorted_bytes_come_back_in_order(data):
    assert in_order(sorted_by_place(data)) == data
    assert sorted(sorted_by_place(data)) == sorted(data)


def test_the_first_bytes_of_all_numbers_come_first():
    assert sorted_by_place(b"abcdABCDx") == b"aAbBcCdDx"


def test_a_file_of_many_blocks_comes_back_and_is_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "BYTES_PER_SORT", 1 << 12)
    logits = np.random.default_rng(0).standard_normal((50, 1000))
    posteriors = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    np.save(tmp_path / "posteriors.npy", posteriors)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        member = write_member(archive, "a", tmp_path / "posteriors.npy")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        read_member(archive, "a", member, tmp_path / "again.npy")
        assert archive.getinfo("a").compress_size < 0.88 * member.bytes
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "posteriors.npy").read_bytes()
