"""Values are checked against typed models; one message names all that is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from vggrepro.core.validation import FrozenModel, read_typed, validated


class Inner(FrozenModel):
    size: int = 1
    entries: tuple[int, ...] = ()


class Outer(FrozenModel):
    name: str
    inner: Inner = Inner()


def test_a_valid_value_becomes_the_model():
    assert validated(Outer, {"name": "x", "inner": {"size": 3}}, "file") == Outer(name="x", inner=Inner(size=3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "file: name is missing"),
        ({"name": "x", "nane": 1}, r"file: no key is called 'nane' \(did you mean 'name'\?\). Known here: name, inner"),
        ({"name": "x", "inner": {"sise": 1}}, r"file: no key is called 'inner.sise' \(did you mean 'size'\?\)"),
        ({"name": 3}, "file: name: expected a valid string, got 3"),
        ({"name": "x", "inner": {"entries": [1, "b"]}}, "file: inner.entries.1: expected a valid integer, got 'b'"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(values, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        validated(Outer, values, "file")


def test_all_wrong_values_are_named_at_once():
    with pytest.raises(ValueError, match=r"name.*\n.*inner.size"):
        validated(Outer, {"name": 3, "inner": {"size": "x"}}, "file")


def test_keys_known_elsewhere_are_proposed_at_the_top_only():
    with pytest.raises(ValueError, match="did you mean 'smoke'"):
        validated(Outer, {"name": "x", "smok": True}, "file", also_known=("smoke",))
    with pytest.raises(ValueError, match=r"Known here: size, entries$"):
        validated(Outer, {"name": "x", "inner": {"smok": True}}, "file", also_known=("smoke",))


@dataclass(frozen=True)
class Pair:
    first: int
    second: tuple[str, ...]


def test_a_typed_file_comes_back_and_another_is_named(tmp_path):
    (tmp_path / "pair.json").write_text('{"first": 1, "second": ["a"]}')
    assert read_typed(Pair, tmp_path / "pair.json", "write it again") == Pair(1, ("a",))
    (tmp_path / "pair.json").write_text('{"first": "one"}')
    with pytest.raises(ValueError, match=r"pair.json: damaged \([\s\S]*delete .*pair.json and write it again"):
        read_typed(Pair, tmp_path / "pair.json", "write it again")
